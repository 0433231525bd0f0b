"""Steps down: one activation, all others zero, carried to the pixels (section 2.1 of the paper)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._types import Box, Step, Unit, Value
from deconvnet.core.rules import Call, Rule
from deconvnet.core.up import Trace
from deconvnet.engine.passes import Pass
from deconvnet.engine.plan import CHUNK, Plan
from deconvnet.engine.seeds import Seeds
from deconvnet.windows.receptive_field import box
from deconvnet.windows.steps import Frames, Path, Route, added, map_size, moved, united, whole_maps

Watch = Callable[[Value, Int[np.ndarray, " m"], Tensor, Frames], None]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Signals of several units on their way down.

    Attributes:
        numbers: of the units among all.
        images: the image of the forward pass that each belongs to.
        arrived: by the name of a value, what has come to it: signals, and the windows that they lie in;
            taken out as it is carried on, so that it need not wait in memory.
    """

    numbers: Int[np.ndarray, " m"]
    images: Int[np.ndarray, " m"]
    arrived: dict[str, list[tuple[Tensor, Frames]]]

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
        route: which of its steps run in windows.
        room: how many numbers a batch may take at a step before it is split.
        watch: called with a value, numbers of units, and all that came to it of their signals.
    """

    way: Plan
    trace: Trace
    route: Route
    room: int
    watch: Watch | None

    def down(self, batch: _Batch, first: int = 0) -> Iterator[tuple[np.ndarray, Tensor, Frames]]:
        """The signals at the plan's end, in batches: numbers of units, and the windows that their signals lie in."""
        arrived = batch.arrived
        for i, (step, rule) in enumerate(self.way.down[first:], first):
            if step.output.name not in arrived:
                continue
            if self._too_many(batch, self.route.held[i]):
                for half in batch.halves():
                    yield from self.down(half, i)
                return
            signal, frames = _together(arrived.pop(step.output.name), map_size(step.output))
            if self.watch is not None:
                self.watch(step.output, batch.numbers, *self._of_units(batch, step.output, signal, frames))
            carry = self._in_windows if i < len(self.route.local) else self._on_whole_maps
            for name, part, at in carry(i, step, rule, batch.images, signal, frames):
                arrived.setdefault(name, []).append((part, at))
        stop = self.way.stop
        if stop.name not in arrived:
            empty = self.trace.values[self.way.start.name].new_zeros(stop.sizes(len(batch)))
            arrived[stop.name] = [(empty, whole_maps(len(batch), self.way.size))]
        signal, frames = self._of_units(batch, stop, *_together(arrived[stop.name], self.way.size))
        if self.watch is not None:
            self.watch(stop, batch.numbers, signal, frames)
        yield batch.numbers, signal, frames

    def _of_units(self, batch: _Batch, value: Value, signal: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """A row for each unit, where there may be one for every image."""
        if self.way.selects:
            return signal, frames
        return signal[batch.images], whole_maps(len(batch), map_size(value))

    def _too_many(self, batch: _Batch, need: int) -> bool:
        """Whether a batch must and can be split before a step."""
        if len(batch) == 1 or need * len(batch) <= self.room or not self.way.selects:
            return False
        return all(len(signal) == len(batch) for parts in batch.arrived.values() for signal, _ in parts)

    def _in_windows(
        self, i: int, step: Step, rule: Rule, images: np.ndarray, signal: Tensor, frames: Frames
    ) -> Iterator[tuple[str, Tensor, Frames]]:
        local = self.route.local[i]
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
        count = len(images) if self.way.selects else self.trace.images
        call = Call(step, self.way.rules, count, self.trace.tensors, memory)
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
    one: Pass,
    boxes: Sequence[Box],
    windows: Float[Tensor, "all c *box"],
    budget: int,
    path: Path = "auto",
    watch: Watch | None = None,
) -> None:
    """Carry every seed of a pass down alone, as many at a time as the memory budget allows.

    Args:
        way: the plan.
        one: the forward pass, whose switches are used, and its seeds.
        boxes: of each, as `boxes_of` gives them.
        windows: filled with the signal inside each box, at the places of the units.
        budget: bytes that may be taken.
        path: the way of single units.
        watch: called with each value on the way as soon as all of a signal has come to it: the value, the
            units' places, (m, c, *window) their signals, and where these lie.
    """
    trace, seeds = one.trace, one.seeds
    single = way.selects and all(unit.position for unit in seeds.units)
    route = way.routes[("windowed" if trace.frames else path) if single else "dense"]
    room = min(budget // 4, CHUNK) // seeds.values.element_size()  # halves of halves wait in memory
    placed = watch and (lambda value, numbers, *signal: watch(value, one.places[numbers], *signal))
    carrier = _Carrier(way, trace, route, room, placed)
    lows = np.array([box.low for box in boxes], dtype=np.int64).reshape(len(boxes), len(way.size))
    for numbers in _batches(seeds, lows, boxes, way, max(1, room // route.held[0])):
        for some, signal, frames in carrier.down(_started(way, trace, seeds, numbers, single=bool(route.local))):
            if way.size:
                signal = moved(signal, frames, Frames(lows[some], boxes[0].size))
            windows[one.places[some]] = signal


def _batches(
    seeds: Seeds, lows: np.ndarray, boxes: Sequence[Box], way: Plan, at_once: int
) -> Iterator[Int[np.ndarray, " m"]]:
    """Numbers of the units that are carried down together.

    Where what was remembered can be selected, any units: those together whose boxes lie alike in the
    input, and of these those of one image. Elsewhere one unit of each image, so that the batch is that
    of the way up.
    """
    images = seeds.rows
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
    images = seeds.rows[numbers]
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
