"""A picture beside those that networks with random weights give of the same image and unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet.network import DeconvNet
from deconvnet.probes.edges import edges_of
from deconvnet.probes.measure import LEAST_DRAWS, Measure, Null
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.random_twin import random_twins
from deconvnet.probes.similarity import spearman, strength_of

_NAME = "random networks"
_QUESTION = "Would a network of the same architecture with random weights show the same?"
_UNITS, _NOISE = 4, 2  # other units, and signals of noise


@dataclass(frozen=True)
class Shown:
    """What one network shows of the image.

    Attributes:
        own: the unit's picture.
        other_units: the median rank correlation with those of four other units at its position; None if undefined.
        noise: of two signals of noise there, positive on all maps.
        edges: the rank correlation of its magnitudes with the image's edges.
    """

    own: Float[np.ndarray, "c *field"]
    other_units: float | None
    noise: float | None
    edges: float | None


_shown: WeakKeyDictionary[Pictured, tuple[Shown, ...]] = WeakKeyDictionary()  # several measures read them


def against_random_networks(pictured: Pictured) -> Measure:
    """How alike the picture is to those of 20 random twins of the network, by rank correlation.

    `value` is the median; it is compared with how alike the picture of each twin is to those of the other twins: the
    network is one of many such if what it has learned does not matter. `numbers` has the same of the magnitudes, and
    beside what other units, noise and edges come to in the network what they come to in its twins.
    """
    try:
        trained, *random = shown_by_random_networks(pictured)
    except ArgumentError as reason:
        return Measure(_NAME, _QUESTION, why_not=str(reason))
    pictures = np.stack([pictured.own, *(each.own for each in random)])
    value, *draws = _medians(pictures.reshape(len(pictures), -1))
    strengths = np.stack([strength_of(picture) for picture in pictures])
    strong, *strong_draws = _medians(strengths.reshape(len(pictures), -1))
    null = Null("two random networks", tuple(draw for draw in draws if draw is not None))
    if value is None:
        return Measure(_NAME, _QUESTION, why_not="the picture is the same all over, or all those of random networks.")
    numbers = {"magnitudes": strong, "magnitudes, two random networks": _median(strong_draws)}
    for name in ("other_units", "noise", "edges"):
        numbers[name.replace("_", " ")] = getattr(trained, name)
        numbers[f"{name.replace('_', ' ')}, random networks"] = _median([getattr(each, name) for each in random])
    defined = tuple((name, number) for name, number in numbers.items() if number is not None)
    return Measure(_NAME, _QUESTION, value, defined, (null,), _words(value, null))


def shown_by_random_networks(pictured: Pictured) -> tuple[Shown, ...]:
    """What the network shows, and what each of 20 random twins of it shows; worked out once.

    Raises:
        ArgumentError: there are no weights to draw below the unit.
    """
    if pictured not in _shown:
        twins = random_twins(pictured.net, pictured.seed, LEAST_DRAWS, layer=pictured.unit.layer)
        profiles = _profiles(pictured)
        _shown[pictured] = tuple(_shown_by(pictured, net, profiles) for net in chain([pictured.net], twins))
    return _shown[pictured]


def _profiles(pictured: Pictured) -> Float[Tensor, "m maps"]:
    """What starts at the unit's position: the unit, others, and noise on all maps."""
    channels = [pictured.unit.channel or 0, *pictured.other_channels(_UNITS, _NAME)]
    profiles = torch.zeros(len(channels) + _NOISE, pictured.maps, dtype=torch.float64)
    profiles[range(len(channels)), channels] = 1
    random = pictured.generator(f"{_NAME}, noise")
    profiles[len(channels) :] = torch.randn(_NOISE, pictured.maps, generator=random, dtype=torch.float64).abs()
    return profiles


def _shown_by(pictured: Pictured, net: DeconvNet, profiles: Float[Tensor, "m maps"]) -> Shown:
    own, *others = pictured.of_profiles(profiles, net=net)
    alike = [spearman(own, other) for other in others]
    noise = alike[-_NOISE:] if pictured.maps > 1 else []  # noise on one map alone is its unit
    return Shown(own, _median(alike[:-_NOISE]), _median(noise), spearman(strength_of(own), edges_of(pictured.image)))


def _medians(pictures: Float[np.ndarray, "m n"]) -> list[float | None]:
    """Of each picture, the median rank correlation with those of random networks, which are all but the first."""
    ranks = rankdata(pictures, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1)
    scale = np.outer(lengths, lengths)
    alike = np.divide(ranks @ ranks.T, scale, out=np.full_like(scale, np.nan), where=scale > 0)
    return [_median([float(alike[i, j]) for j in range(1, len(alike)) if j != i]) for i in range(len(alike))]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.median(known)) if known else None


def _words(value: float, null: Null) -> str:
    side = null.places(value)
    if not side or null.limits is None:
        return ""
    low, high = null.limits
    return (
        f"This picture is {'no less' if side > 0 else 'less'} like those of random networks than these are like each "
        f"other (rank correlation {value:.2f}, and {low:.2f} to {high:.2f})."
    )
