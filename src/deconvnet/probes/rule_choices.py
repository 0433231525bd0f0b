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
    switches alone: exactly 1 where no max-pool lies below. `numbers` has it for all eight, and the cosine.
    """
    rules = pictured.net.rules
    ways = {
        ", ".join(("mask" if mask else "no mask", unpool, "rectified" if rectify else "not rectified")): replace(
            rules, forward_mask=mask, unpool=unpool, backward_rectify=rectify
        )
        for mask, unpool, rectify in product((False, True), _UNPOOLINGS, (True, False))
    }
    found = {name: similarity(pictured.own, pictured.under(way)) for name, way in ways.items()}
    without = replace(rules, unpool="switches" if rules.unpool == "centre" else "centre")
    value = next(found[name].spearman for name, way in ways.items() if way == without)
    if not np.ptp(pictured.own) or value is None:
        return Measure(*_GRID, why_not=_NOTHING)
    return Measure(*_GRID, value, _numbers(found))


def other_readings(pictured: Pictured) -> Measure:
    """How alike the picture stays under the other readings of what the paper does not say.

    Where pooling windows share a switch, their values add up, or the largest stays; contrast normalisation is passed
    over, undone by its divisor, or differentiated. `value` is the least rank correlation; `numbers` has them all, and
    the cosine.
    """
    rules = pictured.net.rules
    choices: dict[str, RuleSet] = {}
    for overlap in ("sum", "max"):
        choices[f"{overlap} of overlapping windows"] = replace(rules, overlap=overlap)
    for lrn in ("identity", "divisor", "gradient"):
        choices[f"{lrn} for contrast normalisation"] = replace(rules, lrn=lrn)
    found = {}
    for name, other in choices.items():
        picture = pictured.own if other == rules else pictured.under(other)
        if other != rules and not _same(picture, pictured.own):
            found[name] = similarity(pictured.own, picture)
    if not found:
        return Measure(
            *_READINGS, why_not="below the unit no pooling windows share a switch, and no contrast is normalised."
        )
    known = [each.spearman for each in found.values() if each.spearman is not None]
    if not np.ptp(pictured.own) or not known:
        return Measure(*_READINGS, why_not=_NOTHING)
    return Measure(*_READINGS, min(known), _numbers(found))


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two pictures are the same up to a factor and rounding."""
    alike = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return 0 in alike or bool(np.abs(a / alike[0] - b / alike[1]).max() < 1e-6)


def _numbers(found: Mapping[str, Similarity]) -> tuple[tuple[str, float], ...]:
    return tuple(
        (f"{name}: {what}", number)
        for name, alike in found.items()
        for what, number in (("rank", alike.spearman), ("cosine", alike.cosine))
        if number is not None
    )
