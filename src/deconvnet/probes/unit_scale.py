"""How strong a unit is beside other images, and how much its switches can say beside the choice of the unit."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._types import Unit
from deconvnet.core.graph import Step
from deconvnet.core.operations import row_of
from deconvnet.core.pooling import windows_of
from deconvnet.core.rules import Call
from deconvnet.probes.in_batches import watch_in_batches
from deconvnet.probes.measure import LEAST_DRAWS, Measure
from deconvnet.probes.pictured import Pictured
from deconvnet.windows.receptive_field import box, fields

Percentile = Callable[[Unit, float], float | None]


def strength(pictured: Pictured, percentile: Percentile | None = None) -> Measure:
    """The percentile of the unit's activation among the strongest of its map in other images.

    Args:
        pictured: the unit.
        percentile: of a unit and its activation, 0 to 100, as an atlas knows it; None where it does not. By default
            it is counted over the other photos, of which there must be 20.
    """
    name, question = "strength", "How strong is the unit beside the strongest of its map in other images?"
    details = (("activation", pictured.activation),)
    given = None if percentile is None else percentile(pictured.unit, pictured.activation)
    if given is not None:
        return Measure(name, question, float(given), details)
    count = len(pictured.others.photos)
    if count < LEAST_DRAWS:
        why_not = f"it needs an atlas or at least {LEAST_DRAWS} other photos; there are {count}."
        return Measure(name, question, details=details, why_not=why_not)
    strongest, _ = strongest_in_others(pictured)
    below = (strongest < pictured.activation).mean() + (strongest == pictured.activation).mean() / 2
    return Measure(name, question, float(100 * below), (*details, ("other photos", float(count))))


def switches(pictured: Pictured) -> Measure:
    """How many bits the switches that the unit's picture can use hold at most, beside those that name the unit.

    Counted are the pooling windows below the unit, in all maps; each holds the logarithm of its pixels. Windows that
    overlap share pixels, so that it is a bound. A maximum of several maps has a switch for each of its values.
    """
    count, bits = switches_below(pictured)
    details = (("switches", float(count)), ("bits that name the unit", math.log2(pictured.maps)))
    question = "How much can the picture know from where the image's maxima fell, in bits at most?"
    return Measure("switches", question, bits, details)


def switches_below(pictured: Pictured) -> tuple[int, float]:
    """How many switches the unit's signal can meet on its way down, and how many bits they hold at most."""
    way = pictured.way
    blocked = {name: rule.blocked for name, rule in way.chosen.items()}
    steps, total, bits = [step for step, _ in reversed(way.down)], 0, 0.0
    for step, rule in way.down:
        if rule.of_image != "switches":
            continue
        field = fields(steps, step.output, blocked, way.rows)[way.start.name]
        seen, _ = box(field, pictured.unit.position or (), step.output.map_size).overlap(step.output.map_size)
        of_windows = np.broadcast_to(_bits(step, pictured), step.output.map_size)[seen]
        total += step.output.maps * of_windows.size
        bits += step.output.maps * float(of_windows.sum())
    return total, bits


def strongest_in_others(pictured: Pictured) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "n axes"]]:
    """As `strongest_of_map`, of the other images, once for all measures."""
    return pictured.once("strongest in others", lambda: strongest_of_map(pictured, pictured.others.photos))


def strongest_of_map(
    pictured: Pictured, images: Float[Tensor, "n c *size"]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "n axes"]]:
    """The strongest activation of the unit's map, or the class's score, in each image, and its position.

    Args:
        pictured: the unit.
        images: as the model takes them.
    """
    layer, channel = pictured.unit.layer, pictured.unit.channel
    values: list[np.ndarray] = []
    if not len(images):
        return np.zeros(0), np.zeros((0, len(pictured.unit.position or ())), dtype=np.int64)

    def look(_: str, maps: Tensor) -> None:
        values.append(maps[:, channel].detach().cpu().double().numpy())

    watch_in_batches(pictured, images, [layer], look)
    of_map = np.concatenate(values)
    flat = of_map.reshape(len(of_map), -1)
    at = flat.argmax(1)
    positions = np.stack(np.unravel_index(at, of_map.shape[1:]), 1) if of_map.ndim > 1 else np.zeros((len(flat), 0))
    return flat[np.arange(len(flat)), at], positions.astype(np.int64)


def _bits(step: Step, pictured: Pictured) -> Float[np.ndarray, "*pooled"]:
    """The logarithm of how many numbers below each switch chooses among."""
    if not row_of(step, pictured.way.rows).max_pools:  # a maximum over whole axes, or of several maps
        return np.asarray(math.log2(sum(value.numbers for value in step.signals) / step.output.numbers))
    bits = np.zeros(())
    for axis in windows_of(Call(step, pictured.net.rules, 1, {})):
        inside = np.log2(np.maximum((axis.shares > 0).sum(1).numpy(), 1))
        bits = bits[..., None] + inside
    return bits
