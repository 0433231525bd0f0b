"""Windows: a unit reaches only its receptive field, so its signal is carried in a window that grows.

At every value on the way down a unit at y lives in a window that begins at `scale * y + low`, of one
size for all units of the layer, so units of any images and positions run as one batch. A step in a
window is the same step on a small map without padding: the rules need not know. Values that fall
outside the map are set to zero, which makes borders exact.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._types import Box, Size, Step, Value
from deconvnet.receptive_field import step_windows
from deconvnet.rules import Memory, Rule, RuleSet

_COPIED = 8  # multiplications that take as long as moving one number through memory


@dataclass(frozen=True)
class Window:
    """Where the signals of units live in one value: per axis from `scale * y + low`, `size` long."""

    scale: tuple[int, ...]
    low: tuple[int, ...]
    size: tuple[int, ...]

    def union(self, other: "Window") -> "Window | None":
        """The window that holds both; None if they do not move together."""
        if self.scale != other.scale:
            return None
        low = tuple(map(min, self.low, other.low))
        ends = zip(self.low, self.size, other.low, other.size, low, strict=True)
        return Window(self.scale, low, tuple(max(a + s, b + t) - c for a, s, b, t, c in ends))

    def below(self, moves: Sequence[tuple[int, int, int]]) -> "Window":
        """What this window sees of a map below; `moves` as `step_windows` gives them."""
        return Window(
            tuple(a * s for a, (s, _, _) in zip(self.scale, moves, strict=True)),
            tuple(y * s + low for y, (s, low, _) in zip(self.low, moves, strict=True)),
            tuple((n - 1) * s + high - low + 1 for n, (s, low, high) in zip(self.size, moves, strict=True)),
        )

    def origins(self, positions: Int[Tensor, "m axes"]) -> Int[Tensor, "m axes"]:
        """The first pixel of each unit's window, per axis; negative beyond the border."""
        return positions * torch.tensor(self.scale) + torch.tensor(self.low)


@dataclass(frozen=True, eq=False)
class WindowedStep:
    """A step as it runs in windows.

    Attributes:
        step: on maps of the size of its windows, without padding.
        rule: of the way down, the same as on whole maps.
        window: of its output.
        reached: the window of each input that this step alone reaches, by name.
        leaves_map: whether it may put values where the map has none.
    """

    step: Step
    rule: Rule
    window: Window
    reached: Mapping[str, Window]
    leaves_map: bool


@dataclass(frozen=True, eq=False)
class WindowedWay:
    """The first steps of a way down, in windows; the rest runs on whole maps.

    Attributes:
        steps: in the order of the way down.
        windows: of each value, by name; of what several steps reach, their union.
        maps: length of each value's feature maps per axis, by name.
    """

    steps: tuple[WindowedStep, ...]
    windows: Mapping[str, Window]
    maps: Mapping[str, tuple[int, ...]]


def windowed_way(
    start: Value, down: Sequence[tuple[Step, Rule]], rules: RuleSet, *, force: bool = False
) -> WindowedWay:
    """As many of the first steps as pay in windows, by a count of multiplications and copies.

    Args:
        start: the value that units are of.
        down: the steps and rules of the way down.
        rules: the rule set.
        force: take every step that can run in windows, whether it pays or not.
    """
    axes = len(start.shape) - 2
    windows = {start.name: Window((1,) * axes, (0,) * axes, (1,) * axes)}
    steps: list[WindowedStep] = []
    for step, rule in down if axes > 0 else []:
        # every step that reaches this step's output has been seen, so its window is final
        one = _in_window(step, rule, windows[step.output.name], rules) if step.output.name in windows else None
        united = None if one is None else _united(one.reached, windows)
        if one is None or united is None:
            break
        steps.append(one)
        windows.update(united)
    count = len(steps) if force else _worthwhile(steps, [step for step, _ in down])
    values = [start, *(value for step, _ in down for value in (step.output, *step.signals))]
    return WindowedWay(tuple(steps[:count]), windows, {value.name: _map(value) for value in values})


def _united(reached: Mapping[str, Window], windows: Mapping[str, Window]) -> dict[str, Window] | None:
    """The windows that hold what was known and what is reached now; None if they do not move together."""
    united = {}
    for name, window in reached.items():
        both = windows[name].union(window) if name in windows else window
        if both is None:
            return None
        united[name] = both
    return united


def _map(value: Value) -> tuple[int, ...]:
    return tuple(size.of(1) for size in value.shape[2:])


def _in_window(step: Step, rule: Rule, window: Window, rules: RuleSet) -> WindowedStep | None:
    """The step on maps of the size of its windows, without padding; None where it cannot run so."""
    axes = len(window.size)
    if not _local(step, rules, axes):
        return None
    reached: dict[str, Window] = {}
    for i, value in enumerate(step.signals):
        if i not in rule.closed:
            moves = step_windows(step, value, axes)
            if moves is None or any(not isinstance(number, int) for move in moves for number in move):
                return None
            reached[value.name] = window.below([(int(s), int(low), int(high)) for s, low, high in moves])
    inputs = {
        value.name: replace(value, shape=(*value.shape[:2], *map(Size, reached[value.name].size)))
        for value in step.signals
        if value.name in reached
    }
    arguments = {name: _renamed(argument, inputs) for name, argument in step.arguments.items()}
    if "padding" in arguments:
        arguments["padding"] = [0] * axes
    small = replace(
        step,
        output=replace(step.output, shape=(*step.output.shape[:2], *map(Size, window.size))),
        arguments=arguments,
        inputs=tuple(inputs.get(value.name, value) for value in step.inputs),
    )
    return WindowedStep(small, rule, window, reached, _leaves_map(step))


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


def _local(step: Step, rules: RuleSet, axes: int) -> bool:
    """Whether the step is the same at every place of its maps, borders included once zeros are set."""
    operation, arguments = step.operation, step.arguments
    if len(step.output.shape) != axes + 2 or any(len(v.shape) != axes + 2 for v in step.signals):
        return False
    if operation in _POINTWISE:
        return all(_point_or_map(value, step) for value in _values(arguments))
    if operation in _CHANNELWISE:
        return arguments.get("dim") in (1, -axes - 1)
    if operation in ("aten.conv1d", "aten.conv2d", "aten.conv3d"):
        return len(step.signals) == 1 and not isinstance(arguments["padding"], str)
    if operation in ("aten.max_pool1d", "aten.max_pool2d", "aten.max_pool3d"):
        return rules.unpool == "switches" or _inside(step, axes)
    if operation in ("aten.avg_pool1d", "aten.avg_pool2d", "aten.avg_pool3d"):
        return _inside(step, axes)
    return False


def _values(arguments: Any) -> list[Value]:
    if isinstance(arguments, Value):
        return [arguments]
    inner = arguments.values() if isinstance(arguments, Mapping) else arguments
    if not isinstance(arguments, Mapping | list | tuple):
        return []
    return [value for one in inner for value in _values(one)]


def _point_or_map(value: Value, step: Step) -> bool:
    """Whether a value is a map like the step's output, or has one number per map."""
    if value in step.signals:
        return value.shape[2:] == step.output.shape[2:] or math.prod(_map(value)) == 1
    if step.operation == "batch_norm":
        return True
    return not value.shape or math.prod(size.of(1) for size in value.shape[-len(step.output.shape) + 2 :]) == 1


def _inside(step: Step, axes: int) -> bool:
    """Whether every window of a pooling lies inside the map, so that none is smaller than the others."""
    padding, ceil = step.arguments["padding"], step.arguments["ceil_mode"]
    return not ceil and not any([padding] if isinstance(padding, int) else padding)


def _leaves_map(step: Step) -> bool:
    padding = step.arguments.get("padding", 0)
    return "conv" in step.operation and any([padding] if isinstance(padding, int) else padding)


def _worthwhile(steps: Sequence[WindowedStep], down: Sequence[Step]) -> int:
    """How many of the first steps run in windows for the least work."""
    dense = [_work(step, _map(step.output), [_map(value) for value in step.signals]) for step in down]
    small = [_work(s.step, s.window.size, [_map(value) for value in s.step.signals]) for s in steps]
    total = [sum(small[:i]) + sum(dense[i:]) for i in range(len(steps) + 1)]
    return min(range(len(total)), key=lambda i: (total[i], i))


def _work(step: Step, above: Sequence[int], below: Sequence[Sequence[int]]) -> float:
    """Multiplications and copies of one signal's way down through a step, on maps of these sizes."""
    places = math.prod(above)
    channels = step.output.shape[1].of(1) if len(step.output.shape) > 1 else 1
    moved = places * channels + sum(
        math.prod(size) * value.shape[1].of(1)
        for size, value in zip(below, step.signals, strict=True)
        if len(value.shape) > 1
    )
    weight = step.arguments.get("weight") if "conv" in step.operation or "linear" in step.operation else None
    products = places * math.prod(size.of(1) for size in weight.shape) if isinstance(weight, Value) else 0
    return products + _COPIED * moved


def place(part: Float[Tensor, "m c *part"], low: Sequence[int], window: Window) -> Float[Tensor, "m c *window"]:
    """A part that begins at `low` inside its union window."""
    if part.shape[2:] == torch.Size(window.size):
        return part
    whole = part.new_zeros(*part.shape[:2], *window.size)
    first = tuple(a - b for a, b in zip(low, window.low, strict=True))
    inside, _ = Box(first, tuple(a + n for a, n in zip(first, part.shape[2:], strict=True))).overlap(window.size)
    whole[inside] = part
    return whole


def zero_outside(
    signal: Float[Tensor, "m c *window"], origins: Int[Tensor, "m axes"], size: Sequence[int]
) -> Float[Tensor, "m c *window"]:
    """The signal with what lies outside the map set to zero."""
    for axis, length in enumerate(size):
        places = origins[:, axis, None] + torch.arange(signal.shape[2 + axis])
        inside = (places >= 0) & (places < length)
        if not bool(inside.all()):
            shape = [len(signal), 1, *[1] * len(size)]
            shape[2 + axis] = -1
            signal = signal * inside.to(signal).view(shape)
    return signal


def memory_windows(
    memory: Memory,
    image: Int[Tensor, " m"],
    origins: Int[Tensor, "m axes"],
    window: Window,
    map_size: Sequence[int],
) -> dict[str, Tensor]:
    """What was remembered, cut to each unit's window; zero beyond the border."""
    return {
        name: tensor[image.to(tensor.device)]
        if tuple(tensor.shape[2:]) != tuple(map_size)
        else gather_windows(tensor, image, origins, window.size)
        for name, tensor in memory.items()
    }


def gather_windows(
    maps: Tensor, image: Int[Tensor, " m"], origins: Int[Tensor, "m axes"], size: Sequence[int]
) -> Tensor:
    """(m, c, *size) windows of (n, c, *map), one for each unit; zero beyond the border."""
    axes = len(size)
    ends = origins + torch.tensor(size)
    before = (-origins.min(0).values).clamp(min=0).tolist()
    after = (ends.max(0).values - torch.tensor(maps.shape[2:])).clamp(min=0).tolist()
    if any(before) or any(after):
        pads = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
        maps = torch.nn.functional.pad(maps, pads)
    for axis, length in enumerate(size):
        maps = maps.unfold(2 + axis, length, 1)
    shifted = origins + torch.tensor(before)
    windows = maps.movedim(1, 1 + axes)  # images and places first, then channels
    return windows[tuple(index.to(maps.device) for index in (image, *shifted.unbind(1)))]


def spread_out(
    windows: Float[Tensor, "m c *window"], origins: Int[Tensor, "m axes"], size: Sequence[int]
) -> Float[Tensor, "m c *size"]:
    """Each window in its place in a whole map, zero elsewhere."""
    whole = windows.new_zeros(*windows.shape[:2], *size)
    for i, low in enumerate(origins.tolist()):
        high = [first + length for first, length in zip(low, windows.shape[2:], strict=True)]
        of_map, of_window = Box(tuple(low), tuple(high)).overlap(size)
        whole[i][of_map] = windows[i][of_window]
    return whole
