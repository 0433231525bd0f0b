"""A picture beside those that networks with random weights give of the same unit and image."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from deconvnet.probes.edges import edges_of
from deconvnet.probes.measure import Measure, Null, outside
from deconvnet.probes.neighbours import in_random_networks, median, neighbours, null_of
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.similarity import array_of, spearman, spearmans, strength_of

_NAME = "random networks"
_QUESTION = "Would a network of the same architecture with random weights show the same?"


def against_random_networks(pictured: Pictured) -> Measure:
    """The median rank correlation of the picture with those of random twins of the network.

    It stands beside how alike each twin's picture is to those of the other twins: the network is one of many such if
    what it has learned does not matter. `details` has the same of the strengths, and what other units, noise, another
    image and edges come to in the network and, as medians, in its twins.
    """
    if not np.ptp(pictured.own):
        return Measure(_NAME, _QUESTION, why_not="the picture is the same all over.")
    draws = in_random_networks(pictured)
    if not draws:
        return Measure(_NAME, _QUESTION, why_not="nothing below the unit has filters that could be drawn at random.")
    pictures = [pictured.own, *(draw.own for draw in draws)]
    value, *twins = _medians(pictures)
    if value is None:
        return Measure(_NAME, _QUESTION, why_not="the pictures of random networks are the same all over.")
    strengths, *of_twins = _medians([strength_of(picture) for picture in pictures])
    beside = neighbours(pictured)
    edges = pictured.inside(edges_of(array_of(pictured.x[0])))
    pairs = {
        "strengths": (strengths, median(of_twins)),
        "other units": (median(spearmans(pictured.own, beside.units)), median(draw.other_units for draw in draws)),
        "noise": (median(spearmans(pictured.own, beside.noise)), median(draw.noise for draw in draws)),
        "edges": (spearman(strength_of(pictured.own), edges), median(draw.edges for draw in draws)),
    }
    beside_twins = [
        (name, of_both)
        for what, pair in pairs.items()
        for name, of_both in zip((what, f"{what}, random networks"), pair, strict=True)
        if of_both is not None
    ]
    nulls = null_of("two random networks", twins)
    return Measure(_NAME, _QUESTION, value, tuple(beside_twins), nulls, _words(value, nulls))


def _medians(pictures: Sequence[Float[np.ndarray, "*shape"]]) -> list[float | None]:
    """Of each picture, the median rank correlation with those of random networks, which are all but the first."""
    ranks = rankdata(np.stack([picture.ravel() for picture in pictures]), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1)
    scale = np.outer(lengths, lengths)
    alike = np.divide(ranks @ ranks.T, scale, out=np.full_like(scale, np.nan), where=scale > 0).tolist()
    return [median(row[j] for j in range(1, len(row)) if j != i and scale[i, j] > 0) for i, row in enumerate(alike)]


def _words(value: float, nulls: Sequence[Null]) -> str:
    return " ".join(
        f"This picture is {'no less' if more == 'more' else 'less'} like those of random networks (rank correlation "
        f"{value:.2f}) than these are like each other ({between})."
        for _, more, between in outside(value, nulls)
    )
