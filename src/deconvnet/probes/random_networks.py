"""A picture beside those that networks with random weights give of the same image and unit."""

from dataclasses import dataclass

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
_UNITS, _NOISE = 8, 4  # other units, and signals of noise


@dataclass(frozen=True)
class _Shown:
    """What one network shows of the image.

    Attributes:
        own: the unit's picture.
        numbers: how alike it is to pictures of other units and of noise, and to the image's edges.
    """

    own: Float[np.ndarray, "c *field"]
    numbers: dict[str, float | None]


def against_random_networks(pictured: Pictured) -> Measure:
    """How alike the picture is to those of 20 random twins of the network, by rank correlation.

    `value` is the median; it is compared with how alike the picture of each twin is to those of the other twins: the
    network is one of many such if what it has learned does not matter. `numbers` has the same of the magnitudes, and
    what other measures give for the network and for its twins: other units, noise and edges.
    """
    try:
        twins = random_twins(pictured.net, pictured.seed, LEAST_DRAWS, layer=pictured.unit.layer)
    except ArgumentError as reason:
        return Measure(_NAME, _QUESTION, why_not=str(reason))
    profiles = _profiles(pictured)
    trained, *random = (_shown(pictured, net, profiles) for net in (pictured.net, *twins))
    pictures = np.stack([pictured.own, *(each.own for each in random)])
    value, *draws = _medians(pictures.reshape(len(pictures), -1))
    strengths = np.stack([strength_of(picture) for picture in pictures])
    strong, *strong_draws = _medians(strengths.reshape(len(pictures), -1))
    if np.isnan(value):
        return Measure(_NAME, _QUESTION, why_not="the picture is the same all over, or all those of random networks.")
    null = Null("two random networks", tuple(draw for draw in draws if not np.isnan(draw)))
    numbers = {"magnitudes": strong, "magnitudes, two random networks": _median(strong_draws)}
    for name, number in trained.numbers.items():
        numbers[name] = np.nan if number is None else number
        numbers[f"{name}, random networks"] = _median([each.numbers[name] for each in random])
    defined = tuple((name, number) for name, number in numbers.items() if not np.isnan(number))
    return Measure(_NAME, _QUESTION, value, defined, (null,), _words(value, null))


def _profiles(pictured: Pictured) -> Float[Tensor, "m maps"]:
    """What starts at the unit's position: the unit, others, and noise on all maps."""
    channels = [pictured.unit.channel or 0, *pictured.other_channels(_UNITS, _NAME)]
    profiles = torch.zeros(len(channels) + _NOISE, pictured.maps, dtype=torch.float64)
    profiles[range(len(channels)), channels] = 1
    random = pictured.generator(f"{_NAME}, noise")
    profiles[len(channels) :] = torch.randn(_NOISE, pictured.maps, generator=random, dtype=torch.float64).abs()
    return profiles


def _shown(pictured: Pictured, net: DeconvNet, profiles: Float[Tensor, "m maps"]) -> _Shown:
    own, *others = pictured.of_profiles(profiles, net=net)
    alike = [spearman(own, other) for other in others]
    return _Shown(
        own,
        {
            "other units": _median(alike[:-_NOISE]),
            "noise": _median(alike[-_NOISE:]) if pictured.maps > 1 else None,
            "edges": spearman(strength_of(own), edges_of(pictured.image)),
        },
    )


def _medians(pictures: Float[np.ndarray, "m n"]) -> list[float]:
    """Of each picture, the median rank correlation with those of random networks, which are all but the first."""
    ranks = rankdata(pictures, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1)
    scale = np.outer(lengths, lengths)
    alike = np.divide(ranks @ ranks.T, scale, out=np.full_like(scale, np.nan), where=scale > 0)
    return [_median([float(alike[i, j]) for j in range(1, len(alike)) if j != i]) for i in range(len(alike))]


def _median(values: list[float | None]) -> float:
    known = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.median(known)) if known else np.nan


def _words(value: float, null: Null) -> str:
    side = null.places(value)
    if not side or null.limits is None:
        return ""
    low, high = null.limits
    return (
        f"This picture is {'more' if side > 0 else 'less'} like those of random networks (rank correlation {value:.2f}) "
        f"than these are like each other ({low:.2f} to {high:.2f})."
    )
