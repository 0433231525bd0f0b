"""Steps in windows: a unit reaches only its receptive field, so it needs no more than a window of every map.

A step in windows is the same step on small maps without padding: the rules need not know.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from deconvnet.core.geometry import Window
from deconvnet.core.graph import Size, Step, Value
from deconvnet.core.operations import Operation, row_of
from deconvnet.core.rules import RuleSet
from deconvnet.windows.frames import Frames, united

_MOST_SIZES = 256  # of windows, for which a step is kept


@dataclass(frozen=True, eq=False)
class LocalStep:
    """A step that can run in windows.

    Attributes:
        step: as it is on whole maps.
        below: the maps that a signal is carried to.
        windows: per spatial axis, what a unit above sees of each of them.
        spreads: whether a unit below reaches several above, as in a transposed convolution.
        border: what the step takes for pixels beyond the border.
    """

    step: Step
    below: tuple[Value, ...]
    windows: tuple[Window, ...]
    spreads: bool
    border: float
    _sized: dict[Any, Step] = field(default_factory=dict)

    def reached(self, above: Frames) -> tuple[Frames, Frames]:
        """The windows below that these reach, and those above that the step gives from exactly these."""
        if all(window == (1, 0, 0) for window in self.windows) and not self.spreads:
            return above, above
        ends = [seen(window, above.low[:, i], above.high[:, i] - 1) for i, window in enumerate(self.windows)]
        longest = tuple(max(int((high - low).max()) + 1, 1) for low, high in ends)
        below = Frames(np.stack([low for low, _ in ends], 1), longest)
        if not self.spreads:
            return below, above
        reach = [(int(1 / scale), int(low / scale), int(high / scale)) for scale, low, high in self.windows]
        lows = np.stack([below.low[:, i] * factor - last for i, (factor, _, last) in enumerate(reach)], 1)
        sizes = [(n - 1) * factor + last - first + 1 for n, (factor, first, last) in zip(longest, reach, strict=True)]
        return below, Frames(lows, tuple(sizes))

    def sized(self, above: tuple[int, ...], below: tuple[int, ...]) -> Step:
        """The step on maps of these sizes, without padding."""
        if (above, below) not in self._sized:
            if len(self._sized) >= _MOST_SIZES:
                self._sized.clear()
            self._sized[above, below] = _small(self, above, below)
        return self._sized[above, below]


def local_step(
    step: Step, rules: RuleSet, rows: Mapping[str, Operation], blocked: frozenset[int] = frozenset()
) -> LocalStep | None:
    """The step as it runs in windows, up and down; None if it must see whole maps.

    Args:
        step: as it is on whole maps.
        rules: the rule set.
        rows: the table of operations.
        blocked: indices of the signal inputs to which no signal is carried.
    """
    axes, row = len(step.output.shape) - 2, row_of(step, rows)
    below = tuple(value for i, value in enumerate(step.signals) if i not in blocked)
    if axes < 1 or not below or len(step.signals) < len(step.inputs) or row.sees is None:
        return None
    if any(len(value.shape) != axes + 2 for value in below) or not row.windowed(step, below, rules):
        return None
    views = [row.sees(step, value, axes) for value in below]
    if views[0] is None or any(view != views[0] for view in views):
        return None
    windows = tuple((Fraction(s), Fraction(low), Fraction(high)) for s, low, high in views[0])
    if any((scale.numerator if row.spreads else scale.denominator) > 1 for scale, _, _ in windows):
        return None
    if row.spreads and any(high - low + scale < 1 for scale, low, high in windows):
        return None  # between the pixels that it reaches lie some that it does not
    return LocalStep(step, below, windows, row.spreads, row.border)


@dataclass(frozen=True, eq=False)
class StepFrames:
    """Where the windows of one step lie.

    Attributes:
        at: on its output, those of all that is above, as far as they lie on the map.
        above: on its output, those that it gives from `below`.
        below: on its inputs, those that it reaches, past the border too.
    """

    at: Frames
    above: Frames
    below: Frames


def frames_of_steps(
    steps: Sequence[LocalStep], wanted: Mapping[str, Sequence[Frames]]
) -> tuple[dict[str, StepFrames], dict[str, list[Frames]]]:
    """Where the windows of every step lie that is reached, by the name of its output; and those behind the last steps.

    Args:
        steps: from the top down.
        wanted: the windows that are wanted of some values, by name.
    """
    parts = {name: list(frames) for name, frames in wanted.items()}
    of: dict[str, StepFrames] = {}
    for local in steps:
        name = local.step.output.name
        if name in parts:
            at = united(parts.pop(name), local.step.output.map_size)
            below, above = local.reached(at)
            of[name] = StepFrames(at, above, below)
            for value in local.below:
                parts.setdefault(value.name, []).append(below)
    return of, parts


def seen(window: Window, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels below that the pixels from `low` to `high` see along one axis, both ends included."""
    scale, before, after, d = _in_whole_numbers(window)
    first, last = low * scale + before, high * scale + after
    return (first, last) if d == 1 else (-(-first // d), last // d)


def reached(window: Window, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels above that see any of the pixels from `low` to `high` along one axis, both ends included."""
    scale, before, after, d = _in_whole_numbers(window)
    return -((after - low * d) // scale), (high * d - before) // scale


@cache
def _in_whole_numbers(window: Window) -> tuple[int, int, int, int]:
    """A window's numbers times their common denominator, and that."""
    d = math.lcm(*(Fraction(bound).denominator for bound in window))
    scale, before, after = (int(bound * d) for bound in window)
    return scale, before, after, d


def _small(local: LocalStep, above: tuple[int, ...], below: tuple[int, ...]) -> Step:
    step = local.step
    inputs = {v.name: replace(v, shape=(*v.shape[:2], *map(Size, below))) for v in local.below}
    arguments = {name: _renamed(argument, inputs) for name, argument in step.arguments.items()}
    for name in ("padding", "output_padding"):
        if name in arguments:
            arguments[name] = [0] * len(above)
    if "start" in arguments and arguments.get("dim", 0) % len(step.output.shape) > 1:  # a slice of all that it sees
        arguments |= {"start": 0, "end": None}
    if arguments.get("output_size") is not None:
        arguments["output_size"] = list(above)
    output = replace(step.output, shape=(*step.output.shape[:2], *map(Size, above)))
    return replace(step, output=output, arguments=arguments, inputs=tuple(inputs.get(v.name, v) for v in step.inputs))


def _renamed(argument: Any, inputs: Mapping[str, Value]) -> Any:
    if isinstance(argument, Value):
        return inputs.get(argument.name, argument)
    return [_renamed(inner, inputs) for inner in argument] if isinstance(argument, list | tuple) else argument
