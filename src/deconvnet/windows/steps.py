"""Windows: a unit reaches only its receptive field, so it needs no more than a window of every map.

On the way down a unit's signal is carried in a window that grows with every step; on the way up a
window of the image is enough. A step in windows is the same step on small maps without padding: the
rules need not know. Units of any images and positions run as one batch, whose windows have one size
and each its own place, inside the map: what lies beyond a border is not carried.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from deconvnet._types import Size, Step, Value
from deconvnet.core.rules import Rule, RuleSet
from deconvnet.windows.receptive_field import step_windows

_COPIED = 8  # multiplications that take as long as moving one number through memory


@dataclass(frozen=True, eq=False)
class Frames:
    """Where the windows of a batch of units lie in one value.

    Attributes:
        low: first pixel of each window, per spatial axis.
        size: length of every window, per spatial axis.
    """

    low: Int[np.ndarray, "m axes"]
    size: tuple[int, ...]

    @property
    def high(self) -> Int[np.ndarray, "m axes"]:
        """The pixel after the last of each window."""
        return self.low + np.array(self.size, dtype=np.int64)

    def of(self, chosen: slice) -> "Frames":
        """Those of some of the units."""
        return Frames(self.low[chosen], self.size)


def whole_maps(count: int, size: Sequence[int]) -> Frames:
    """Windows that are the whole map."""
    return Frames(np.zeros((count, len(size)), dtype=np.int64), tuple(size))


def united(parts: Sequence[Frames], size: Sequence[int]) -> Frames:
    """Windows that hold those of all parts as far as they lie inside a map of `size`."""
    length = np.array(size)
    low, high = parts[0].low, parts[0].high
    for part in parts[1:]:
        low, high = np.minimum(low, part.low), np.maximum(high, part.high)
    low = np.maximum(low, 0)
    longest = np.maximum((np.minimum(high, length) - low).max(0), 1)
    return Frames(np.minimum(low, length - longest), tuple(longest.tolist()))


def moved(
    source: Shaped[Tensor, "n c *before"],
    at: Frames,
    to: Frames,
    rows: Int[np.ndarray, " m"] | None = None,
    *,
    fill: float = 0,
) -> Shaped[Tensor, "m c *after"]:
    """The windows `to` of what lies in the windows `at`.

    Args:
        source: one window for each of `at`.
        at: where they lie.
        to: what is wanted.
        rows: for each window wanted, the number of the one that it is taken from; its own by default.
        fill: stands where there is none.
    """
    shifts = to.low - (at.low if rows is None else at.low[rows])
    alike = rows is None and not (shifts != shifts[0]).any()
    if alike and to.size == at.size and not shifts[0].any():
        return source
    result = source.new_full((len(shifts), source.shape[1], *to.size), fill)
    for i, (here, there) in _shared(shifts, at.size, to.size, alike=alike):
        number = i if rows is None else int(rows[i])
        result[(i, slice(None), *there)] = source[(number, slice(None), *here)]
    return result


def added(parts: Sequence[tuple[Tensor, Frames]], to: Frames) -> Float[Tensor, "m c *after"]:
    """The sum of several parts, each in windows of its own, in the windows `to`, which hold them all."""
    covering = next((i for i, (_, at) in enumerate(parts) if at.size == to.size and not (at.low != to.low).any()), 0)
    total = moved(*parts[covering], to)
    if len(parts) == 1:
        return total
    if total is parts[covering][0]:
        total = total.clone()
    for part, at in (*parts[:covering], *parts[covering + 1 :]):
        shifts = to.low - at.low
        for i, (here, there) in _shared(shifts, at.size, to.size, alike=not (shifts != shifts[0]).any()):
            total[(i, slice(None), *there)] += part[(i, slice(None), *here)]
    return total


Slices = tuple[slice, ...]


def _shared(
    shifts: np.ndarray, before: Sequence[int], after: Sequence[int], *, alike: bool
) -> Iterator[tuple[int | slice, tuple[Slices, Slices]]]:
    """For each window, or all at once where they are alike, what it shares with another: as seen from each."""
    for i, shift in enumerate(shifts[:1].tolist() if alike else shifts.tolist()):
        here, there = zip(*map(_common, shift, before, after), strict=True)
        yield slice(None) if alike else i, (here, there)


def _common(shift: int, before: int, after: int) -> tuple[slice, slice]:
    """What a window of one length shares with another that begins `shift` later: as seen from each."""
    first, last = max(shift, 0), min(shift + after, before)
    last = max(first, last)
    return slice(first, last), slice(first - shift, last - shift)


Move = tuple[Fraction, Fraction, Fraction]  # along one axis, what a unit sees of the map below; see `step_windows`


@dataclass(frozen=True, eq=False)
class LocalStep:
    """A step that can run in windows.

    Attributes:
        step: as it is on whole maps.
        below: the maps that a signal is carried to.
        moves: what a unit above sees of each of them.
        spreads: whether a unit below reaches several above, as in a transposed convolution.
    """

    step: Step
    below: tuple[Value, ...]
    moves: tuple[Move, ...]  # per spatial axis
    spreads: bool
    _sized: dict[Any, Step] = field(default_factory=dict)

    @property
    def fill(self) -> float:
        """What the step takes for pixels beyond the border."""
        return -math.inf if "max_pool" in self.step.operation else 0

    def reached(self, above: Frames) -> tuple[Frames, Frames]:
        """The windows below that these reach, and those above that the step gives from exactly these."""
        ends = [_reached(move, above.low[:, i], above.high[:, i] - 1) for i, move in enumerate(self.moves)]
        longest = tuple(max(int((high - low).max()) + 1, 1) for low, high in ends)
        below = Frames(np.stack([low for low, _ in ends], 1), longest)
        if not self.spreads:
            return below, above
        reach = [(int(1 / scale), int(low / scale), int(high / scale)) for scale, low, high in self.moves]
        lows = np.stack([below.low[:, i] * factor - last for i, (factor, _, last) in enumerate(reach)], 1)
        sizes = [(n - 1) * factor + last - first + 1 for n, (factor, first, last) in zip(longest, reach, strict=True)]
        return below, Frames(lows, tuple(sizes))

    def sized(self, above: tuple[int, ...], below: tuple[int, ...]) -> Step:
        """The step on maps of these sizes, without padding."""
        if (above, below) not in self._sized:
            self._sized[above, below] = _small(self, above, below)
        return self._sized[above, below]


def _reached(move: Move, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels below that the pixels from `low` to `high` see along one axis, both ends included."""
    scale, before, after, d = _in_whole_numbers(move)
    first, last = low * scale + before, high * scale + after
    return (first, last) if d == 1 else (-(-first // d), last // d)


@cache
def _in_whole_numbers(move: Move) -> tuple[int, int, int, int]:
    """A move's numbers times their common denominator, and that."""
    d = math.lcm(*(number.denominator for number in move))
    scale, before, after = (int(number * d) for number in move)
    return scale, before, after, d


def _small(local: LocalStep, above: tuple[int, ...], below: tuple[int, ...]) -> Step:
    step = local.step
    inputs = {v.name: replace(v, shape=(*v.shape[:2], *map(Size, below))) for v in local.below}
    arguments = {name: _renamed(argument, inputs) for name, argument in step.arguments.items()}
    for name in ("padding", "output_padding"):
        if name in arguments:
            arguments[name] = [0] * len(above)
    if arguments.get("output_size") is not None:
        arguments["output_size"] = list(above)
    output = replace(step.output, shape=(*step.output.shape[:2], *map(Size, above)))
    return replace(step, output=output, arguments=arguments, inputs=tuple(inputs.get(v.name, v) for v in step.inputs))


def _renamed(argument: Any, inputs: Mapping[str, Value]) -> Any:
    if isinstance(argument, Value):
        return inputs.get(argument.name, argument)
    return [_renamed(inner, inputs) for inner in argument] if isinstance(argument, list | tuple) else argument


_POINTWISE = frozenset(
    ["relu", "activation", "batch_norm", "local_response_norm"]
    + [f"aten.{name}" for name in """
        add sub rsub neg mul div clone alias detach dropout leaky_relu elu silu gelu hardswish
        hardsigmoid sigmoid tanh mish softplus celu selu clamp clamp_min clamp_max hardtanh threshold
    """.split()]
)  # fmt: skip
_CHANNELWISE = {"aten.cat", "aten.split", "aten.chunk", "aten.slice", "aten.narrow", "aten.split_with_sizes"}


def local_step(step: Step, rules: RuleSet, closed: frozenset[int] = frozenset()) -> LocalStep | None:
    """The step as it runs in windows, up and down; None if it must see whole maps.

    Args:
        step: as it is on whole maps.
        rules: the rule set.
        closed: numbers of the signal inputs to which no signal is carried.
    """
    axes = len(step.output.shape) - 2
    below = tuple(value for i, value in enumerate(step.signals) if i not in closed)
    if axes < 1 or not below or len(step.signals) < len(step.inputs):
        return None
    if any(len(value.shape) != axes + 2 for value in below) or not _same_everywhere(step, below, rules, axes):
        return None
    ways = [step_windows(step, value, axes) for value in below]
    if ways[0] is None or any(way != ways[0] for way in ways):
        return None
    moves = tuple((Fraction(s), Fraction(low), Fraction(high)) for s, low, high in ways[0])
    spreads = any(word in step.operation for word in ("transpose", "upsample", "shuffle"))
    if any((scale.numerator if spreads else scale.denominator) > 1 for scale, _, _ in moves):
        return None
    if spreads and any(high - low + scale < 1 for scale, low, high in moves):
        return None  # between the pixels that it reaches lie some that it does not
    return LocalStep(step, below, moves, spreads)


def _same_everywhere(step: Step, below: tuple[Value, ...], rules: RuleSet, axes: int) -> bool:
    """Whether the step is the same at every place of its maps, and at the border as if the maps went on."""
    operation, arguments = step.operation, step.arguments
    if operation in _POINTWISE:
        return all(_point_or_map(value, step, below) for value in _values(arguments))
    if operation in _CHANNELWISE:
        return arguments.get("dim") in (1, -axes - 1)
    kind = operation.removeprefix("aten.")
    if kind in ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"):
        return len(step.signals) == 1 and not isinstance(arguments["padding"], str)
    if kind in ("max_pool1d", "max_pool2d", "max_pool3d"):
        return rules.unpool == "switches" or _inside(step)
    if kind in ("avg_pool1d", "avg_pool2d", "avg_pool3d"):
        return _inside(step)
    return kind in ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "pixel_shuffle")


def _values(arguments: Any) -> list[Value]:
    if isinstance(arguments, Value):
        return [arguments]
    inner = arguments.values() if isinstance(arguments, Mapping) else arguments
    if not isinstance(arguments, Mapping | list | tuple):
        return []
    return [value for one in inner for value in _values(one)]


def _point_or_map(value: Value, step: Step, below: tuple[Value, ...]) -> bool:
    """Whether a value is a map like the step's output, or has one number per map."""
    if value in below:
        return value.shape[2:] == step.output.shape[2:]
    if step.operation == "batch_norm":
        return True
    return not value.shape or math.prod(size.of(1) for size in value.shape[-len(step.output.shape) + 2 :]) == 1


def _inside(step: Step) -> bool:
    """Whether every window of a pooling lies inside the map, so that none is smaller than the others."""
    padding, ceil = step.arguments["padding"], step.arguments["ceil_mode"]
    return not ceil and not any([padding] if isinstance(padding, int) else padding)


# What windows cost.


@dataclass(frozen=True)
class Span:
    """How long the windows of one value are, per spatial axis: on average over all units, and at most."""

    mean: tuple[float, ...]
    most: tuple[int, ...]


def spans(start: Value, steps: Sequence[LocalStep]) -> dict[str, Span]:
    """The spans of what the units of `start` see of every value that the steps, from the top down, lead to."""
    axes = len(start.shape) - 2
    known = {start.name: [(np.arange(size.of(1)), np.arange(size.of(1))) for size in start.shape[2:]]}
    for local in steps:
        above = known.get(local.step.output.name)
        if above is None:
            continue
        for value in local.below:
            lengths = map_size(value)
            ends = [_reached(local.moves[i], *above[i]) for i in range(axes)]
            new = [(np.maximum(low, 0), np.minimum(high, n - 1)) for (low, high), n in zip(ends, lengths, strict=True)]
            old = known.get(value.name, new)
            known[value.name] = [(np.minimum(a, c), np.maximum(b, d)) for (a, b), (c, d) in zip(new, old, strict=True)]
    seen = {name: [np.maximum(high - low + 1, 1) for low, high in ends] for name, ends in known.items()}
    return {
        name: Span(tuple(float(n.mean()) for n in one), tuple(int(n.max()) for n in one)) for name, one in seen.items()
    }


def map_size(value: Value) -> tuple[int, ...]:
    """Length of a value's feature maps, per spatial axis."""
    return tuple(size.of(1) for size in value.shape[2:])


def work(step: Step, known: Mapping[str, Span] | None = None) -> float:
    """Multiplications and copies, in multiplications, of one signal's way down through a step.

    Args:
        step: as it is on whole maps.
        known: the spans of its values where it runs in windows.
    """

    def places(value: Value) -> float:
        return math.prod(map_size(value) if known is None else known[value.name].mean)

    def numbers(value: Value) -> float:
        return places(value) * value.shape[1].of(1) if len(value.shape) > 1 else 1

    weight = step.arguments.get("weight") if "conv" in step.operation or "linear" in step.operation else None
    seen = step.signals[0] if "transpose" in step.operation and step.signals else step.output
    products = places(seen) * math.prod(size.of(1) for size in weight.shape) if isinstance(weight, Value) else 0
    below = [value for value in step.signals if known is None or value.name in known]
    return products + _COPIED * (numbers(step.output) + sum(map(numbers, below)))


@dataclass(frozen=True, eq=False)
class Route:
    """A way down: the first steps in windows, the rest on whole maps.

    Attributes:
        local: the first steps, in the order of the way down.
        spans: of each value that these lead to, by name.
        work: of one unit's way down; see the function `work`.
        held: how many numbers one signal takes at every step, with what waits for later steps.
    """

    local: tuple[LocalStep, ...]
    spans: Mapping[str, Span]
    work: float
    held: tuple[int, ...]


Path = Literal["auto", "windowed", "dense"]


def routes(start: Value, down: Sequence[tuple[Step, Rule]], rules: RuleSet) -> dict[Path, Route]:
    """The ways down for single units: as many steps in windows as pay, as many as can run so, or none.

    Args:
        start: the value that units are of.
        down: the steps and rules of the way down.
        rules: the rule set.
    """
    local: list[LocalStep] = []
    for step, rule in down if len(start.shape) > 2 else []:
        one = local_step(step, rules, rule.closed)
        if one is None:
            break
        local.append(one)
    known = spans(start, local)
    dense = [work(step) for step, _ in down]
    windowed = [work(one.step, known) for one in local]
    total = [sum(windowed[:i]) + sum(dense[i:]) for i in range(len(local) + 1)]
    cheapest = min(range(len(total)), key=lambda i: (total[i], i))
    counts: dict[Path, int] = {"auto": cheapest, "windowed": len(local), "dense": 0}
    return {
        path: Route(tuple(local[:count]), known, total[count], tuple(_held(start, down, known, count)))
        for path, count in counts.items()
    }


def _held(start: Value, down: Sequence[tuple[Step, Rule]], known: Mapping[str, Span], windowed: int) -> Iterator[int]:
    def numbers(value: Value, i: int) -> int:
        return math.prod((*value.sizes(1)[:2], *known[value.name].most) if i < windowed else value.sizes(1))

    live = {start.name: math.prod(start.sizes(1))}
    if not down:
        yield live[start.name]
    for i, (step, rule) in enumerate(down):
        live[step.output.name] = numbers(step.output, i)
        below = {v.name: numbers(v, i) for k, v in enumerate(step.signals) if k not in rule.closed}
        yield sum(live.values()) + live[step.output.name] + 3 * sum(below.values())
        live.pop(step.output.name)
        live.update(below)
