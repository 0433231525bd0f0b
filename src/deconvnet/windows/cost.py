"""What windows cost: how much of each value single units see, and which steps are cheaper in windows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deconvnet.core.down import Way
from deconvnet.core.graph import Step, Value
from deconvnet.core.operations import Operation, row_of
from deconvnet.windows.steps import LocalStep, local_step, seen


@dataclass(frozen=True)
class Speed:
    """How long a device takes for what is not a multiplication, in multiplications of float32.

    Attributes:
        moved: for moving one number through memory.
        launched: for beginning one operation, spread over the units that are carried down together.
        chunk: bytes that a batch of signals may take.
    """

    moved: float
    launched: float
    chunk: int


# A CPU: measured on the rows of benchmarks/windows.py, where "auto" takes the fastest way at every one.
# Accelerators, from published figures of an H100 and an H200, not yet from measurements: 67 TFLOP/s of float32, which
# is 33 multiplications and additions a picosecond, of which libraries reach two thirds; 3.4 and 4.8 TB/s, which is
# 0.84 and 1.2 numbers; and 4 microseconds for each launch, which 64 units share. `benchmarks/accelerator.py` prints
# all three routes, by which these can be corrected.
# A batch stays near a CPU. An accelerator must have work for longer than the CPU needs to ask for the next operation,
# 20 microseconds: moving a fifth of the chunk, one of the tensors that a step holds, there and back takes it 30.
_CPU, _ACCELERATOR = Speed(8, 0, 64 * 2**20), Speed(22, 1.4e6, 256 * 2**20)


def speed_of(device: str) -> Speed:
    """The speed of a kind of device, such as "cuda"."""
    return _CPU if device == "cpu" else _ACCELERATOR


@dataclass(frozen=True)
class Span:
    """How long the windows of one value are, per spatial axis: on average over all units, and at most."""

    mean: tuple[float, ...]
    most: tuple[int, ...]


def spans(start: Value, steps: Sequence[LocalStep]) -> dict[str, Span]:
    """The spans of what the units of `start` see of every value that the steps, from the top down, lead to."""
    axes = len(start.map_size)
    ends = {start.name: [(np.arange(n), np.arange(n)) for n in start.map_size]}
    for local in steps:
        above = ends.get(local.step.output.name)
        if above is None:
            continue
        for value in local.below:
            reached = [seen(local.windows[i], *above[i]) for i in range(axes)]
            new = [
                (np.maximum(low, 0), np.minimum(high, n - 1))
                for (low, high), n in zip(reached, value.map_size, strict=True)
            ]
            old = ends.get(value.name, new)
            ends[value.name] = [(np.minimum(a, c), np.maximum(b, d)) for (a, b), (c, d) in zip(new, old, strict=True)]
    lengths = {name: [np.maximum(high - low + 1, 1) for low, high in axis_ends] for name, axis_ends in ends.items()}
    return {
        name: Span(tuple(float(n.mean()) for n in per_axis), tuple(int(n.max()) for n in per_axis))
        for name, per_axis in lengths.items()
    }


def work(step: Step, rows: Mapping[str, Operation], speed: Speed, windows: Mapping[str, Span] | None = None) -> float:
    """Multiplications and copies, in multiplications, of one signal's way down through a step.

    Args:
        step: as it is on whole maps.
        rows: the table of operations.
        speed: of the device.
        windows: the spans of its values where it runs in windows.
    """

    def numbers(value: Value) -> float:
        return _positions(value, windows) * value.maps if len(value.shape) > 1 else 1

    below = [value for value in step.signals if windows is None or value.name in windows]
    products, copied = multiplications(step, rows, windows), numbers(step.output) + sum(map(numbers, below))
    launches = 1 if windows is None else 2  # what has arrived is cut to the windows of the step first
    return products + speed.moved * copied + speed.launched * launches


def multiplications(step: Step, rows: Mapping[str, Operation], windows: Mapping[str, Span] | None = None) -> float:
    """With weights, of one signal's way down through a step, none with a border or a filter's padding; see `work`."""
    row = row_of(step, rows)
    weight = step.arguments.get("weight") if row.filters else None
    filtered = step.signals[0] if row.spreads and step.signals else step.output
    if not isinstance(weight, Value):
        return 0
    return _positions(filtered, windows) * math.prod(size.of(1) for size in weight.shape)


def _positions(value: Value, windows: Mapping[str, Span] | None) -> float:
    return math.prod(value.map_size if windows is None else windows[value.name].mean)


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


RouteName = Literal["auto", "windowed", "dense"]


def routes(way: Way) -> dict[RouteName, Route]:
    """The ways down for single units: as many steps in windows as pay, as many as can run so, or none."""
    local: list[LocalStep] = []
    for step, rule in way.down if len(way.start.shape) > 2 else []:
        in_windows = local_step(step, way.rules, way.rows, rule.blocked)
        if in_windows is None:
            break
        local.append(in_windows)
    windows = spans(way.start, local)
    speed = speed_of(way.graph.device)
    dense = [work(step, way.rows, speed) for step, _ in way.down]
    windowed = [work(in_windows.step, way.rows, speed, windows) for in_windows in local]
    total = [sum(windowed[:i]) + sum(dense[i:]) for i in range(len(local) + 1)]
    cheapest = min(range(len(total)), key=lambda i: (total[i], i))
    counts: dict[RouteName, int] = {"auto": cheapest, "windowed": len(local), "dense": 0}
    return {
        name: Route(tuple(local[:count]), windows, total[count], tuple(_held(way, windows, count)))
        for name, count in counts.items()
    }


def _held(way: Way, windows: Mapping[str, Span], windowed: int) -> Iterator[int]:
    def numbers(value: Value, i: int) -> int:
        return math.prod((*value.sizes(1)[:2], *windows[value.name].most) if i < windowed else value.sizes(1))

    live = {way.start.name: way.start.numbers}
    if not way.down:
        yield live[way.start.name]
    for i, (step, rule) in enumerate(way.down):
        live[step.output.name] = numbers(step.output, i)
        below = {value.name: numbers(value, i) for value in rule.open_signals(step)}
        yield sum(live.values()) + live[step.output.name] + 3 * sum(below.values())
        live.pop(step.output.name)
        live.update(below)
