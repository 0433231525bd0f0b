"""Steps down: one activation, all others zero, carried to the pixels (section 2.1 of the paper)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._types import Box, Step, Unit, Value
from deconvnet.capture import Graph
from deconvnet.forward import Trace, steps_towards
from deconvnet.receptive_field import Fields, box, fields
from deconvnet.rules import Call, Rule, RuleSet, rule_for
from deconvnet.seeds import Seeds
from deconvnet.windows import Frames, LocalStep, WindowedWay, added, map_size, moved, united, whole_maps, windowed_way

Carry = Literal["auto", "windowed", "dense"]
_CHUNK = 64 * 2**20  # bytes that a batch of signals may take, so that it stays near the processor


@dataclass(frozen=True, eq=False)
class Plan:
    """The way from one value down to another, found once for each layer, end and rule set.

    Attributes:
        graph: what is gone through.
        start: the value that the signal starts on.
        stop: the value that it is carried to.
        rules: the rule set.
        down: steps and their rules, in the order of the way down.
    """

    graph: Graph
    start: Value
    stop: Value
    rules: RuleSet
    down: tuple[tuple[Step, Rule], ...]

    @cached_property
    def chosen(self) -> Mapping[str, Rule]:
        """The rule of each step, by the name of its output."""
        return {step.output.name: rule for step, rule in self.down}

    @cached_property
    def field(self) -> Fields:
        """What a unit of `start` sees of `stop`."""
        steps = [step for step, _ in reversed(self.down)]
        closed = {name: rule.closed for name, rule in self.chosen.items()}
        return fields(steps, self.stop, closed).get(self.start.name)

    @property
    def size(self) -> tuple[int, ...]:
        """Of the maps of `stop`, per spatial axis."""
        return tuple(length.of(1) for length in self.stop.shape[2:])

    @property
    def image_free(self) -> bool:
        """Whether nothing on the way down depends on the image."""
        return all(rule.up is None for _, rule in self.down)

    @cached_property
    def selects(self) -> bool:
        """Whether what was remembered for an image can be taken out for each of its units."""
        single = self.graph.images is None
        return single and all(value.image_first for step, _ in self.down for value in (step.output, *step.signals))

    def bytes_up(self, width: int) -> int:
        """Memory that the forward pass of one image takes at its peak, from the sizes of its values."""
        steps = steps_towards(self.graph, {self.start.name})
        last_use = {value.name: i for i, step in enumerate(steps) for value in step.inputs}
        live: dict[str, int] = {self.graph.input.name: _numbers(self.graph.input)}
        peak, kept = 0, 0
        for i, step in enumerate(steps):
            live[step.output.name] = _numbers(step.output)
            rule = self.chosen.get(step.output.name)
            pooled = rule is not None and rule.up is not None
            scratch = 8 * _numbers(step.output) * 3 if pooled else 0  # places, offsets and their sum
            working = max((_numbers(value) for value in step.signals), default=0)
            peak = max(peak, width * (sum(live.values()) + working) + kept + scratch)
            kept += _remembered(step, rule, width)
            for name in {value.name for value in step.inputs}:
                if last_use[name] == i and name != self.start.name:
                    live.pop(name, None)
        return max(peak, 1)

    def bytes_down(self, width: int, windowed: WindowedWay | None = None) -> int:
        """Memory that one signal takes at its peak on the way down, from the sizes of its values."""
        return max(self.bytes_of_steps(width, windowed))

    def bytes_of_steps(self, width: int, windowed: WindowedWay | None = None) -> list[int]:
        """Memory that one signal takes at every step of the way down, what waits for later steps included."""
        count = len(windowed.steps) if windowed else 0

        def numbers(value: Value, i: int) -> int:
            if windowed is None or i >= count:
                return _numbers(value)
            return value.shape[1].of(1) * math.prod(windowed.spans[value.name].most)

        live: dict[str, int] = {self.start.name: 0}
        needs = []
        for i, (step, rule) in enumerate(self.down):
            live[step.output.name] = numbers(step.output, i)
            below = {v.name: numbers(v, i) for k, v in enumerate(step.signals) if k not in rule.closed}
            needs.append(width * (sum(live.values()) + live[step.output.name] + 3 * sum(below.values())))
            live.pop(step.output.name)
            live.update(below)
        return needs or [width * _numbers(self.start)]

    def windowed(self, *, force: bool = False) -> WindowedWay:
        """The first steps in windows, where that pays; see `windowed_way`."""
        if force:
            return windowed_way(self.start, self.down, self.rules, force=True)
        return self._windowed

    @cached_property
    def _windowed(self) -> WindowedWay:
        return windowed_way(self.start, self.down, self.rules)


def _numbers(value: Value) -> int:
    return math.prod(value.sizes(1))


def _remembered(step: Step, rule: Rule | None, width: int) -> int:
    """Bytes that a rule remembers for one image."""
    if rule is None or rule.up is None:
        return 0
    if "max_pool" in step.operation or step.operation == "relu":
        return _numbers(step.output)
    return width * sum(_numbers(value) for value in step.inputs)


def plan(graph: Graph, start: Value, stop: Value, rules: RuleSet) -> Plan:
    """The steps between two values and how each is undone.

    Raises:
        UnsupportedOperationError: one of them cannot be under these rules.
    """
    reachable = {stop.name}
    for step in graph.steps:
        if any(value.name in reachable for value in step.signals) and step.output.signal:
            reachable.add(step.output.name)
    wanted, down = {start.name}, []
    for step in reversed(graph.steps):
        name = step.output.name
        if name not in wanted or name == stop.name or name not in reachable:
            continue
        rule = rule_for(step, rules)
        down.append((step, rule))
        wanted.update(v.name for i, v in enumerate(step.signals) if i not in rule.closed)
    return Plan(graph, start, stop, rules, tuple(down))


@dataclass(frozen=True, eq=False)
class _Batch:
    """Signals of several units on their way down.

    Attributes:
        numbers: of the units among all.
        images: the image of the forward pass that each belongs to.
        arrived: by the name of a value, what has come to it: signals, and the windows that they lie in.
    """

    numbers: Int[np.ndarray, " m"]
    images: Int[np.ndarray, " m"]
    arrived: Mapping[str, Sequence[tuple[Tensor, Frames]]]

    def __len__(self) -> int:
        return len(self.numbers)

    def halves(self) -> Iterator["_Batch"]:
        """The first half and the second."""
        middle = len(self) // 2
        for chosen in (slice(0, middle), slice(middle, len(self))):
            arrived = {
                name: [(signal[chosen], frames.of(chosen)) for signal, frames in parts]
                for name, parts in self.arrived.items()
            }
            yield _Batch(self.numbers[chosen], self.images[chosen], arrived)


@dataclass(frozen=True, eq=False)
class _Carrier:
    """One way down, with all that a batch of signals needs on it.

    Attributes:
        way: the plan.
        trace: the forward pass whose switches are used.
        steps: the first steps of the way, as they run in windows; the rest runs on whole maps.
        needs: memory that one signal takes at every step.
        room: memory that a batch may take at a step before it is split.
    """

    way: Plan
    trace: Trace
    steps: Sequence[LocalStep]
    needs: Sequence[int]
    room: int

    def down(self, batch: _Batch, first: int = 0) -> Iterator[tuple[_Batch, Tensor, Frames]]:
        """The signals at the plan's end, in batches, each with the windows that they lie in."""
        arrived = {name: list(parts) for name, parts in batch.arrived.items()}
        for i, (step, rule) in enumerate(self.way.down[first:], first):
            if step.output.name not in arrived:
                continue
            if self._too_many(batch, arrived, self.needs[i]):
                for half in _Batch(batch.numbers, batch.images, arrived).halves():
                    yield from self.down(half, i)
                return
            signal, frames = _together(arrived.pop(step.output.name), map_size(step.output))
            carry = self._in_windows if i < len(self.steps) else self._on_whole_maps
            for name, part, at in carry(i, step, rule, batch.images, signal, frames):
                arrived.setdefault(name, []).append((part, at))
        stop = self.way.stop
        if stop.name not in arrived:
            empty = next(iter(batch.arrived.values()))[0][0].new_zeros(stop.sizes(len(batch)))
            arrived[stop.name] = [(empty, whole_maps(len(batch), self.way.size))]
        yield batch, *_together(arrived[stop.name], self.way.size)

    def _too_many(self, batch: _Batch, arrived: Mapping[str, Sequence[tuple[Tensor, Frames]]], need: int) -> bool:
        """Whether a batch must and can be split before a step."""
        if len(batch) == 1 or need * len(batch) <= self.room or not self.way.selects:
            return False
        return all(len(signal) == len(batch) for parts in arrived.values() for signal, _ in parts)

    def _in_windows(
        self, i: int, step: Step, rule: Rule, images: np.ndarray, signal: Tensor, frames: Frames
    ) -> Iterator[tuple[str, Tensor, Frames]]:
        local = self.steps[i]
        below, above = local.reached(frames)
        at = self.trace.frames.get(step.output.name) or whole_maps(self.trace.images, map_size(step.output))
        memory = {
            name: moved(tensor, at, above, images) if tuple(tensor.shape[2:]) == at.size else tensor[images]
            for name, tensor in self.trace.memory.get(step.output.name, {}).items()
        }
        small = local.sized(above.size, below.size)
        call = Call(small, self.way.rules, len(signal), self.trace.tensors, memory)
        for value, part in _undone(call, rule, moved(signal, frames, above)):
            yield value.name, part, below

    def _on_whole_maps(
        self, i: int, step: Step, rule: Rule, images: np.ndarray, signal: Tensor, frames: Frames
    ) -> Iterator[tuple[str, Tensor, Frames]]:
        if frames.size != map_size(step.output):
            signal = moved(signal, frames, whole_maps(len(signal), map_size(step.output)))
        shared = images if self.way.selects else None
        remembered = self.trace.memory.get(step.output.name, {})
        memory = {name: _of_images(tensor, shared, self.trace.images) for name, tensor in remembered.items()}
        call = Call(step, self.way.rules, len(signal), self.trace.tensors, memory)
        for value, part in _undone(call, rule, signal):
            yield value.name, part, whole_maps(len(part), map_size(value))


def _together(parts: Sequence[tuple[Tensor, Frames]], size: tuple[int, ...]) -> tuple[Tensor, Frames]:
    """The sum of what has come to a value, in windows that hold it as far as it lies on the map."""
    if all(frames.size == size and not frames.low.any() for _, frames in parts):
        return sum((part for part, _ in parts[1:]), parts[0][0]), parts[0][1]
    frames = united([frames for _, frames in parts], size)
    return added(parts, frames), frames


def _undone(call: Call, rule: Rule, signal: Tensor) -> Iterator[tuple[Value, Tensor]]:
    """The inputs of a step that a signal on its output reaches, and with what."""
    below = rule.down(call, signal)
    parts = below if isinstance(below, tuple) else (below,)
    for value, part in zip(call.step.signals, parts, strict=True):
        if part is not None:
            yield value, part


def _of_images(memory: Tensor, image: Int[np.ndarray, " m"] | None, images: int) -> Tensor:
    """What was remembered for each unit's image; a view where all units share one image."""
    if image is None:
        return memory
    several = memory.view(images, len(memory) // images, *memory.shape[1:])
    if (image == image[0]).all():
        chosen = several[int(image[0])].unsqueeze(0).expand(len(image), *several.shape[1:])
    else:
        chosen = several[image]
    return chosen.flatten(0, 1) if several.shape[1] > 1 else chosen.squeeze(1)


def boxes_of(way: Plan, units: Sequence[Unit]) -> list[Box]:
    """Each unit's box, all of one size; the whole input for what is not a single unit."""
    size = way.size
    positions = [unit.position for unit in units if unit.position]
    if way.field is None or len(positions) < len(units):
        return [Box((0,) * len(size), size)] * len(units)
    lows = [box(way.field, position, size).low for position in positions]
    lengths = [axis.size for axis in way.field]
    return [Box(low, tuple(map(sum, zip(low, lengths, strict=True)))) for low in lows]


def project_seeds(
    way: Plan,
    trace: Trace,
    seeds: Seeds,
    boxes: Sequence[Box],
    windows: Float[Tensor, "m c *box"],
    budget: int,
    path: Carry = "auto",
) -> None:
    """Carry every seed down alone, as many at a time as the memory budget allows.

    Args:
        way: the plan.
        trace: the forward pass whose switches are used.
        seeds: what to carry.
        boxes: of each, as `boxes_of` gives them.
        windows: filled with the signal inside each box.
        budget: bytes that may be taken.
        path: the way of single units.
    """
    windowed = None
    if path != "dense" and way.selects and all(unit.position for unit in seeds.units):
        windowed = way.windowed(force=path == "windowed")
    width = seeds.values.element_size()
    needs = way.bytes_of_steps(width, windowed)
    room = min(budget // 3, _CHUNK)  # halves of halves wait in memory
    carrier = _Carrier(way, trace, windowed.steps if windowed else (), needs, room)
    lows = np.array([box.low for box in boxes], dtype=np.int64).reshape(len(boxes), len(way.size))
    for numbers in _batches(seeds, lows, boxes, way, max(1, room // max(needs[0], 1))):
        for batch, signal, frames in carrier.down(_started(way, trace, seeds, numbers, single=windowed is not None)):
            if way.size:
                signal = moved(signal, frames, Frames(lows[batch.numbers], boxes[0].size))
            windows[batch.numbers] = signal if way.selects else signal[batch.images]


def _batches(
    seeds: Seeds, lows: np.ndarray, boxes: Sequence[Box], way: Plan, at_once: int
) -> Iterator[Int[np.ndarray, " m"]]:
    """Numbers of the units that are carried down together.

    Where what was remembered can be selected, any units: those together whose boxes lie alike in the
    input, and of these those of one image. Elsewhere one unit of each image, so that the batch is that
    of the way up.
    """
    images = seeds.images
    if way.selects:
        length, size = np.array(way.size, dtype=np.int64), np.array(boxes[0].size, dtype=np.int64)
        inside = (np.minimum(lows + size, length) - np.maximum(lows, 0)).prod(1)
        order = np.lexsort((images, inside))
        yield from (order[i : i + at_once] for i in range(0, len(order), at_once))
        return
    turn = np.array([(images[:i] == image).sum() for i, image in enumerate(images)])
    for number in range(turn.max() + 1):
        yield np.flatnonzero(turn == number)


def _started(way: Plan, trace: Trace, seeds: Seeds, numbers: np.ndarray, *, single: bool) -> _Batch:
    """Some of the seeds where they start: on single units, or on whole maps."""
    images = seeds.images[numbers]
    if single:
        points = np.array([seeds.units[number].position for number in numbers])
        frames = Frames(points, (1,) * points.shape[1])
        return _Batch(numbers, images, {way.start.name: [(seeds.points(numbers.tolist()), frames)]})
    signal = torch.stack([seeds.signal(number) for number in numbers.tolist()])
    if not way.selects:
        whole = signal.new_zeros(trace.images, *signal.shape[1:])
        whole[images] = signal
        signal = whole
    return _Batch(numbers, images, {way.start.name: [(signal, whole_maps(len(signal), map_size(way.start)))]})
