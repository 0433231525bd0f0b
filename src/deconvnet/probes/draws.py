"""What is drawn at random: each draw has a name, and is the same whatever else is drawn."""

import hashlib
from collections.abc import Sequence

import torch

from deconvnet.models.detector_answers import DetectorAnswers


def generator(seed: int, *names: object) -> torch.Generator:
    """Random numbers for what is named.

    Args:
        seed: of all draws.
        names: of this one.
    """
    digest = hashlib.blake2b(repr((seed, *map(str, names))).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def maps_here(labels: Sequence[str] | None, maps: int, channel: int | None) -> Sequence[int]:
    """The feature maps, or classes, that have a unit at a unit's place: all, but of a detector's answers those there.

    Args:
        labels: names of the network's classes.
        maps: how many feature maps the unit's layer has, or how many classes there are.
        channel: the unit's own.
    """
    if not isinstance(labels, DetectorAnswers) or len(labels) != maps or channel is None:
        return range(maps)
    answer = labels.at(channel)
    indices: list[int] = labels.chosen((answer.level, None, None, *answer.position)).tolist()
    return indices


def other_channels(here: Sequence[int], channel: int | None, count: int, generator: torch.Generator) -> list[int]:
    """Some of a layer's other feature maps, each at most once.

    Args:
        here: those that may be taken.
        channel: the one that is left out.
        count: how many at most.
        generator: random numbers.
    """
    order = torch.randperm(len(here), generator=generator, device="cpu").tolist()
    return [here[i] for i in order if here[i] != channel][:count]
