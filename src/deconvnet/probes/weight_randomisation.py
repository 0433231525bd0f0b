"""Whether a picture uses what the network has learned: its layers get random weights (Adebayo et al. 2018)."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from deconvnet._errors import ArgumentError
from deconvnet.probes.measure import Measure
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.random_twin import Stage, randomised, stages
from deconvnet.probes.similarity import NAMES, Similarity, similarity

_STEPS = 16  # at most; in deeper networks several layers get random weights at a time
_CASCADE = "random from above", "How soon does the picture change when layer after layer gets random weights?"
_ALONE = "one layer random", "Which layer's weights does the picture depend on?"
_SILENT = "the unit is silent in the networks with random weights, or its pictures are the same all over."


def cascade(pictured: Pictured) -> dict[str, Similarity]:
    """How alike the picture stays when the unit's layer gets random weights, then the one below it as well, and so on.

    Returns:
        By the name of the lowest layer that is random, the unit's own first; at most 16, the last with all random.

    Raises:
        ArgumentError: nothing below the unit has weights to draw.
    """
    steps = _steps(stages(pictured.net, pictured.named_layer))[::-1]
    chosen: tuple[Stage, ...] = ()
    curve = {}
    for step in steps:
        chosen += step
        curve[step[0].name] = _like(pictured, chosen)
    return curve


def one_by_one(pictured: Pictured) -> dict[str, Similarity]:
    """How alike the picture stays when each layer alone gets random weights; as `cascade`."""
    steps = _steps(stages(pictured.net, pictured.named_layer))[::-1]
    return {step[0].name: _like(pictured, step) for step in steps}


def random_from_above(pictured: Pictured) -> Measure:
    """The mean height of the curve of `cascade`, which starts at 1: 1 for a picture that never changes.

    `value` is of the rank correlation; `details` has the mean heights of the other measures of similarity, and the
    curve itself. Where the rules of the way down stop signals at silent units, the unit may lack a picture at some of
    the steps, which are left out.
    """
    try:
        curve = cascade(pictured)
    except ArgumentError as reason:
        return Measure(*_CASCADE, why_not=str(reason))
    heights = {name: _height([getattr(each, name) for each in curve.values()]) for name in NAMES}
    value = heights.pop("spearman")
    if value is None:
        return Measure(*_CASCADE, why_not=_SILENT)
    values = {f"{NAMES[name]}, mean": height for name, height in heights.items()}
    values |= {f"down to {layer}": alike.spearman for layer, alike in curve.items()}
    return Measure(*_CASCADE, value, _defined(values))


def one_layer_random(pictured: Pictured) -> Measure:
    """The mean rank correlation of `one_by_one`.

    `details` has each layer, all measures of similarity of the first layer, and what becomes of the picture when all
    layers above the unit are random: exactly 1, for it does not use them. Layers are left out as in
    `random_from_above`.
    """
    try:
        curve, above = one_by_one(pictured), _above(pictured)
    except ArgumentError as reason:
        return Measure(*_ALONE, why_not=str(reason))
    ranks = [alike.spearman for alike in curve.values() if alike.spearman is not None]
    if not ranks:
        return Measure(*_ALONE, why_not=_SILENT)
    values = {f"{layer} alone": alike.spearman for layer, alike in curve.items()}
    first = list(curve)[-1]
    values |= {f"{first} alone, {NAMES[name]}": getattr(curve[first], name) for name in NAMES if name != "spearman"}
    if above is not None:
        values["layers above the unit"] = above.spearman
    return Measure(*_ALONE, float(np.mean(ranks)), _defined(values))


def _above(pictured: Pictured) -> Similarity | None:
    """How alike the picture stays when the layers that the unit does not see are random; None if there are none."""
    own = {stage.name for stage in stages(pictured.net, pictured.named_layer)}
    above = tuple(stage for stage in stages(pictured.net) if stage.name not in own)
    return _like(pictured, above) if above else None


def _like(pictured: Pictured, chosen: Sequence[Stage]) -> Similarity:
    twin = randomised(pictured.net, chosen, pictured.seed)
    (picture,) = pictured.of_units([pictured.unit], net=twin)
    return similarity(pictured.own, picture)


def _steps(chosen: Sequence[Stage]) -> list[tuple[Stage, ...]]:
    """Layers in a few groups of neighbours, as even as may be."""
    count = min(len(chosen), _STEPS)
    ends = [len(chosen) * i // count for i in range(count + 1)]
    return [tuple(chosen[first:last]) for first, last in pairwise(ends)]


def _height(curve: Sequence[float | None]) -> float | None:
    """The mean height of a curve that starts at 1, up to its last defined point; None if there is none."""
    at = [0, *(i + 1 for i, height in enumerate(curve) if height is not None)]
    heights = [1.0, *(height for height in curve if height is not None)]
    return float(np.trapezoid(heights, at)) / at[-1] if at[-1] else None


def _defined(values: dict[str, float | None]) -> tuple[tuple[str, float], ...]:
    return tuple((name, value) for name, value in values.items() if value is not None)
