"""A unit's picture beside those of other units and of noise at its place: in its own network and image, and in others.

Several measures need these pictures, so they are made once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet.probes.edges import edges_of
from deconvnet.probes.measure import LEAST_DRAWS, Null
from deconvnet.probes.other_images import Others
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.random_twin import random_twins
from deconvnet.probes.similarity import spearman, spearmans, strength_of

NOISES = 8
_FEW_UNITS, _FEW_NOISES = 3, 1  # of each draw
_AT_ONCE = 4  # other images

_Pictures = Float[np.ndarray, "m c *field"]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pictures at a unit's place.

    Attributes:
        units: of other units.
        noise: of the magnitudes of normal values on all maps.
    """

    units: Float[np.ndarray, "units c *field"]
    noise: Float[np.ndarray, "noise c *field"]


@dataclass(frozen=True, eq=False)
class Draw:
    """What a random network, or another image, gives in place of the picture's own: rank correlations, None of none.

    Attributes:
        own: the unit's picture there.
        other_units: median, of its picture with those of a few other units there.
        noise: of its picture with that of noise there.
        other_image: in a random network, of its picture with that of another image; of another image, of the unit's own
            picture with the one there.
        edges: in a random network, of the strength of its picture with the image's edges; of another image, of the
            strength of the unit's own picture with that image's edges.
    """

    own: Float[np.ndarray, "c *field"]
    other_units: float | None
    noise: float | None
    other_image: float | None
    edges: float | None


def neighbours(pictured: Pictured) -> Neighbours:
    """Those of the picture itself: 20 other units, if the layer has so many, and 8 times noise."""
    return pictured.once("neighbours", lambda: _neighbours(pictured))


def in_random_networks(pictured: Pictured) -> tuple[Draw, ...]:
    """What random networks give; none where nothing can be drawn."""
    return pictured.once("random networks", lambda: tuple(_in_random_networks(pictured)))


def in_other_images(pictured: Pictured) -> tuple[Draw, ...]:
    """What other images give, as many as `more_images` has."""
    return pictured.once("other images", lambda: tuple(_in_other_images(pictured)))


def pictures_of_others(pictured: Pictured) -> _Pictures:
    """The unit's picture in each of the other images, at most as many as are drawn."""
    images = pictured.others.images[: pictured.draws]
    return pictured.once("pictures of others", lambda: _in_images(pictured, images))


def more_images(pictured: Pictured) -> Others:
    """Other images, as many as are drawn: where there are fewer, also they shifted round and mirrored at random."""
    others, missing = pictured.others, pictured.draws - len(pictured.others)
    if missing <= 0 or not len(others):
        return Others(others.images[: pictured.draws], others.words)
    random, axes = pictured.generator("more images"), list(range(1, others.images.ndim - 1))
    moved = []
    for i in range(missing):
        image = others.images[i % len(others)]
        shifts = [int(torch.randint(image.shape[axis], (1,), generator=random, device="cpu")) for axis in axes]
        mirrored = bool(torch.randint(2, (1,), generator=random, device="cpu"))
        shifted = image.roll(shifts, axes)
        moved.append(shifted.flip(-1) if mirrored else shifted)
    return Others(torch.cat([others.images, torch.stack(moved)]), f"{others.words}, shifted and mirrored")


def null_of(name: str, draws: Iterable[float | None]) -> tuple[Null, ...]:
    """A null of the draws that are defined; none without any."""
    defined = tuple(draw for draw in draws if draw is not None)
    return (Null(name, defined),) if defined else ()


def median(values: Iterable[float | None]) -> float | None:
    """The median of those that are defined; None of none."""
    defined = [value for value in values if value is not None]
    return float(np.median(defined)) if defined else None


def _neighbours(pictured: Pictured) -> Neighbours:
    profiles = _profiles(pictured, max(LEAST_DRAWS, pictured.draws), NOISES)[1:]
    pictures = pictured.of_profiles(profiles) if len(profiles) else np.empty((0, *pictured.own.shape))
    count = len(profiles) - (NOISES if len(pictured.here) > 1 else 0)
    return Neighbours(pictures[:count], pictures[count:])


def _profiles(pictured: Pictured, units: int, noises: int) -> Float[Tensor, "m maps"]:
    """What starts at the unit's place: the unit, others, and noise, which on one map alone would be the unit."""
    channels = [pictured.unit.channel or 0, *pictured.other_channels(units, "other units")]
    profiles = torch.zeros(len(channels), pictured.maps, dtype=torch.float64, device="cpu")
    profiles[range(len(channels)), channels] = 1
    here = list(pictured.here)
    if len(here) == 1:
        return profiles
    noise = torch.zeros(noises, pictured.maps, dtype=torch.float64, device="cpu")
    drawn = torch.randn(noises, len(here), generator=pictured.generator("noise"), dtype=torch.float64, device="cpu")
    noise[:, here] = drawn.abs()
    return torch.cat([profiles, noise])


def _few(pictured: Pictured, own: np.ndarray, others: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """The similarities of a draw's picture with those of a few units and of noise."""
    alike = spearmans(own, others)
    count = len(alike) - (_FEW_NOISES if len(pictured.here) > 1 else 0)
    return median(alike[:count]), median(alike[count:])


def _in_random_networks(pictured: Pictured) -> Iterator[Draw]:
    try:
        twins = random_twins(pictured.net, pictured.seed, pictured.draws, layer=pictured.named_layer)
    except ArgumentError:
        return
    profiles, edges = _profiles(pictured, _FEW_UNITS, _FEW_NOISES), _edges(pictured, pictured.x[0])
    others = more_images(pictured).images
    for i, twin in enumerate(twins):
        other = others[i % len(others)][None] if len(others) else pictured.x[:0]
        images = torch.cat([pictured.x, other])
        units = [replace(pictured.unit, image=0)] * len(profiles) + [replace(pictured.unit, image=1)] * len(other)
        own, *pictures = pictured.of_profiles(torch.cat([profiles, profiles[: len(other)]]), units, images, twin)
        elsewhere = [pictures.pop()] if len(other) else []
        units_alike, noise = _few(pictured, own, pictures)
        yield Draw(
            own,
            units_alike,
            noise,
            median(spearman(own, each) for each in elsewhere),
            spearman(strength_of(own), edges),
        )


def _in_other_images(pictured: Pictured) -> Iterator[Draw]:
    profiles, images = _profiles(pictured, _FEW_UNITS, _FEW_NOISES), more_images(pictured).images
    strength = strength_of(pictured.own)
    for part in (images[first : first + _AT_ONCE] for first in range(0, len(images), _AT_ONCE)):
        units = [replace(pictured.unit, image=i) for i in range(len(part)) for _ in profiles]
        drawn = pictured.of_profiles(profiles.repeat(len(part), 1), units, part)
        for image, (own, *pictures) in zip(
            part, drawn.reshape(len(part), len(profiles), *drawn.shape[1:]), strict=True
        ):
            units_alike, noise = _few(pictured, own, pictures)
            (other_image,) = spearmans(pictured.own, [own])
            yield Draw(own, units_alike, noise, other_image, spearman(strength, _edges(pictured, image)))


def _in_images(pictured: Pictured, images: Tensor) -> _Pictures:
    units = [replace(pictured.unit, image=i) for i in range(len(images))]
    return pictured.of_units(units, images) if units else np.empty((0, *pictured.own.shape))


def _edges(pictured: Pictured, image: Float[Tensor, "c *size"]) -> Float[np.ndarray, "*field"]:
    """An image's edges where the picture lies."""
    return pictured.inside(edges_of(image.detach().cpu().double().numpy()))
