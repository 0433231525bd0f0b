"""What a picture owes to the rules of the way down: masks, switches, rectification, and what the paper leaves open."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Literal

import numpy as np

from deconvnet.core.rules import RuleSet
from deconvnet.probes.measure import Measure
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.similarity import Similarity, similarity

_GRID = "masks and switches", "What is left of the picture without the image's switches?"
_READINGS = "other readings", "Would the picture be another one if what the paper leaves open were read in another way?"
_UNPOOLINGS: tuple[Literal["switches", "centre"], ...] = ("switches", "centre")
_NOTHING = "the picture is the same all over."


def masks_and_switches(pictured: Pictured) -> Measure:
    """How alike the picture stays under each of the eight ways down of Mahendran and Vedaldi (2016).

    A ReLU lets the signal through where it was active, or everywhere; unpooling uses the switches, or the middle of
    each window; the signal is rectified, or not. `value` is the rank correlation with the picture that differs in the
    switches alone: exactly 1 where no max-pool lies below. `details` has it for all eight, and the cosine.
    """
    rules = pictured.net.rules
    ways = {
        ", ".join(("mask" if mask else "no mask", unpool, "rectified" if rectify else "not rectified")): replace(
            rules, forward_mask=mask, unpool=unpool, backward_rectify=rectify
        )
        for mask, unpool, rectify in product((False, True), _UNPOOLINGS, (True, False))
    }
    alike = {name: similarity(pictured.own, pictured.under(way)) for name, way in ways.items()}
    without = replace(rules, unpool="switches" if rules.unpool == "centre" else "centre")
    value = next(alike[name].spearman for name, way in ways.items() if way == without)
    if not np.ptp(pictured.own) or value is None:
        return Measure(*_GRID, why_not=_NOTHING)
    return Measure(*_GRID, value, _named(alike))


def other_readings(pictured: Pictured) -> Measure:
    """How alike the picture stays under the other readings of what the paper does not say.

    Where pooling windows share a switch, their values add up, or the largest stays; contrast normalisation is passed
    over, undone by its divisor, or differentiated. `value` is the least rank correlation; `details` has them all, and
    the cosine.
    """
    rules = pictured.net.rules
    choices: dict[str, RuleSet] = {}
    for overlap in ("sum", "max"):
        choices[f"{overlap} of overlapping windows"] = replace(rules, overlap=overlap)
    for lrn in ("identity", "divisor", "gradient"):
        choices[f"{lrn} for contrast normalisation"] = replace(rules, lrn=lrn)
    alike = {}
    for name, other in choices.items():
        picture = pictured.own if other == rules else pictured.under(other)
        if other != rules and not _same(picture, pictured.own):
            alike[name] = similarity(pictured.own, picture)
    if not alike:
        return Measure(
            *_READINGS, why_not="below the unit no pooling windows share a switch, and no contrast is normalised."
        )
    ranks = [each.spearman for each in alike.values() if each.spearman is not None]
    if not np.ptp(pictured.own) or not ranks:
        return Measure(*_READINGS, why_not=_NOTHING)
    return Measure(*_READINGS, min(ranks), _named(alike))


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two pictures are the same up to a factor and rounding."""
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return 0 in lengths or bool(np.abs(a / lengths[0] - b / lengths[1]).max() < 1e-6)


def _named(alike: Mapping[str, Similarity]) -> tuple[tuple[str, float], ...]:
    return tuple(
        (f"{name}: {what}", value)
        for name, each in alike.items()
        for what, value in (("rank", each.spearman), ("cosine", each.cosine))
        if value is not None
    )
