"""What is drawn at random: each draw has a name, and is the same whatever else is drawn."""

import hashlib

import torch


def generator(seed: int, *names: object) -> torch.Generator:
    """Random numbers for what is named.

    Args:
        seed: of all draws.
        names: of this one.
    """
    digest = hashlib.blake2b(repr((seed, *map(str, names))).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def other_channels(maps: int, channel: int | None, count: int, generator: torch.Generator) -> list[int]:
    """Some of a layer's other feature maps, each at most once.

    Args:
        maps: how many the layer has.
        channel: the one that is left out.
        count: how many at most.
        generator: random numbers.
    """
    order = torch.randperm(maps, generator=generator, device="cpu").tolist()
    return [other for other in order if other != channel][:count]
