"""One activation, all others zero, carried down: many at once, as many as memory holds (section 2.1 of the paper)."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._devices import sent
from deconvnet._types import Box, Unit
from deconvnet.core.down import Way, carry_down
from deconvnet.core.folding import Fold, with_filters
from deconvnet.core.graph import Value
from deconvnet.core.selection import of_images
from deconvnet.core.up import Trace
from deconvnet.engine.costs import Costs
from deconvnet.engine.passes import Pass
from deconvnet.engine.replayed import MOST_SIGNALS, carried_down
from deconvnet.windows.arrivals import Part
from deconvnet.windows.cost import Route, RouteName
from deconvnet.windows.down import Arrived, carry_down_in_windows, on_whole_map, windows_together
from deconvnet.windows.frames import Frames, whole_maps
from deconvnet.windows.kernels import moved
from deconvnet.windows.receptive_field import box

# value, (m,) indices of units among those of all passes, their signals, and the windows that these lie in
WatchSignals = Callable[[Value, Int[np.ndarray, " m"], Tensor, Frames], object]


def carry_seeds(
    costs: Costs,
    pass_: Pass,
    boxes: Sequence[Box],
    windows: Float[Tensor, "all c *box"],
    budget: int,
    route: RouteName = "auto",
    watch: WatchSignals | None = None,
) -> None:
    """Carry every seed of a pass down alone, as many at a time as the memory budget allows.

    Args:
        costs: of the way.
        pass_: the forward pass, whose switches are used, and its seeds.
        boxes: of each, as `boxes_of` gives them.
        windows: filled with the signal inside each box, at the indices of the units.
        budget: bytes that may be taken.
        route: the way of single units.
        watch: called with each value on the way as soon as all of a signal has come to it.
    """
    way, seeds = costs.way, pass_.seeds
    single = way.images_apart and all(unit.position for unit in seeds.units)
    chosen = costs.routes[("windowed" if pass_.remembered_at else route) if single else "dense"]
    room = min(budget // 4, costs.chunk) // seeds.values.element_size()  # halves of halves wait in memory
    carrier = _Carrier(costs, pass_, chosen, room, watch)
    lows = np.array([box.low for box in boxes], dtype=np.int64).reshape(len(boxes), len(costs.size))
    for indices in _batches(costs, seeds.rows, lows, boxes, max(1, room // chosen.held[0])):
        for part, signal, frames in carrier.carried(carrier.started(indices)):
            if costs.size:
                signal = moved(signal, frames, Frames(lows[part], boxes[0].size))
            windows[sent(pass_.indices[part], windows.device)] = signal


def boxes_of(costs: Costs, units: Sequence[Unit]) -> list[Box]:
    """Each unit's box, all of one size; the whole input for what is not a single unit."""
    size = costs.size
    positions = [unit.position for unit in units if unit.position]
    if costs.field is None or len(positions) < len(units):
        return [Box((0,) * len(size), size)] * len(units)
    lows = [box(costs.field, position, size).low for position in positions]
    lengths = [axis.size for axis in costs.field]
    return [Box(low, tuple(map(sum, zip(low, lengths, strict=True)))) for low in lows]


def _batches(
    costs: Costs, images: np.ndarray, lows: np.ndarray, boxes: Sequence[Box], at_once: int
) -> Iterator[Int[np.ndarray, " m"]]:
    """Indices of the units that are carried down together.

    Where what was remembered can be selected, any units: those together whose boxes lie alike in the
    input, and of these those of one image. Elsewhere one unit of each image, so that the batch is that
    of the way up.
    """
    if costs.way.images_apart:
        length, size = np.array(costs.size, dtype=np.int64), np.array(boxes[0].size, dtype=np.int64)
        inside = (np.minimum(lows + size, length) - np.maximum(lows, 0)).prod(1)
        order = np.lexsort((images, inside))
        yield from (order[i : i + at_once] for i in range(0, len(order), at_once))
        return
    counts: Counter[int] = Counter()
    turns = []
    for image in images.tolist():
        turns.append(counts[image])
        counts[image] += 1
    for turn in range(max(turns) + 1):
        yield np.flatnonzero(np.array(turns) == turn)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Signals of several units on their way down.

    Attributes:
        indices: of the units among those of the pass.
        images: the image of the forward pass that each belongs to.
        in_windows: what has come to some values in windows.
        on_maps: what has come to some values on whole maps.
    """

    indices: Int[np.ndarray, " m"]
    images: Int[np.ndarray, " m"]
    in_windows: Arrived
    on_maps: dict[str, Tensor]

    def halves(self) -> Iterator["_Batch"]:
        """The first half and the second."""
        middle = len(self.indices) // 2
        for part in (slice(0, middle), slice(middle, len(self.indices))):
            in_windows = {name: [signal.of(part) for signal in parts] for name, parts in self.in_windows.items()}
            on_maps = {name: self._rows(signal, part) for name, signal in self.on_maps.items()}
            yield _Batch(self.indices[part], self.images[part], in_windows, on_maps)

    def _rows(self, signal: Tensor, part: slice) -> Tensor:
        """The signals of some of the units, each of which has several rows where maps are folded into the batch."""
        each = len(signal) // len(self.indices)
        return signal[part.start * each : part.stop * each]


@dataclass(frozen=True, eq=False)
class _Carrier:
    """One way down, with all that a batch of signals needs on it.

    Attributes:
        costs: of the way.
        pass_: the forward pass whose switches are used.
        route: which of its steps run in windows.
        room: how many numbers a batch may take at a step before it is split.
        watch: called with all that came to a value.
    """

    costs: Costs
    pass_: Pass
    route: Route
    room: int
    watch: WatchSignals | None

    def started(self, indices: Int[np.ndarray, " m"]) -> _Batch:
        """Some of the seeds where they start: on single units, or on whole maps."""
        way, seeds = self.costs.way, self.pass_.seeds
        images, name = seeds.rows[indices], way.start.name
        if self.route.local:
            points = np.array([seeds.units[index].position for index in indices])
            signal, frames = seeds.points(indices.tolist()), Frames(points, (1,) * points.shape[1])
            return _Batch(indices, images, {name: [Part(signal, frames)]}, {})
        signal = seeds.signals(indices.tolist())
        if not way.images_apart:
            whole = signal.new_zeros(self.pass_.trace.images, *signal.shape[1:])
            whole[images] = signal
            signal = whole
        return _Batch(indices, images, {}, {name: signal})

    def carried(self, batch: _Batch) -> Iterator[tuple[np.ndarray, Tensor, Frames]]:
        """The signals at the way's end, in batches: indices of units, and the windows that their signals lie in."""
        local, all_local = self.route.local, len(self.route.local) == len(self.costs.way.down)
        for small in self._in_windows(batch):
            for part in [small] if local and all_local else self._on_whole_maps(small):
                signal, frames = self._arrived(part)
                self._show(part, self.costs.way.stop, signal, frames)
                yield part.indices, signal, frames

    def _arrived(self, batch: _Batch) -> tuple[Tensor, Frames]:
        """What has come to the way's end; zero where nothing has."""
        stop, size = self.costs.way.stop, self.costs.size
        if stop.name in batch.in_windows:
            return windows_together(batch.in_windows[stop.name], size)
        signal = batch.on_maps.get(stop.name)
        if signal is None:
            like = self.pass_.trace.values[self.costs.way.start.name]
            signal = like.new_zeros(stop.sizes(len(batch.indices)), dtype=stop.dtype)
        elif not self.costs.way.images_apart:
            signal = signal[batch.images]
        return signal, whole_maps(len(signal), size)

    def _in_windows(self, batch: _Batch, first: int = 0) -> Iterator[_Batch]:
        """The batch, or parts of it, behind the steps that run in windows."""
        count = len(self.route.local)
        last = self._fits_until(batch, first, count)
        carry_down_in_windows(
            self.costs.way, self.route.local[first:last], self.pass_.trace, self.pass_.remembered_at, batch.images,
            batch.in_windows, None if self.watch is None else partial(self._show, batch),
        )  # fmt: skip
        if last == count:
            yield batch
            return
        for half in batch.halves():
            yield from self._in_windows(half, last)

    def _on_whole_maps(self, batch: _Batch) -> Iterator[_Batch]:
        """The batch, or parts of it, behind the other steps, to which the windows hand over."""
        values = {value.name: value for step, _ in self.costs.way.down for value in (step.output, *step.signals)}
        on_maps = {name: on_whole_map(parts, values[name].map_size) for name, parts in batch.in_windows.items()}
        yield from self._down_maps(_Batch(batch.indices, batch.images, {}, {**on_maps, **batch.on_maps}))

    def _down_maps(self, batch: _Batch, first: int | None = None) -> Iterator[_Batch]:
        first, count = len(self.route.local) if first is None else first, len(self.costs.way.down)
        last = self._fits_until(batch, first, count)
        if not self._replayed(batch, slice(first, last)):
            way, trace = self._on_maps
            if way.images_apart:
                trace = of_images(trace, batch.images)
            carry_down(
                way, trace, batch.on_maps, slice(first, last),
                None if self.watch is None else partial(self._show_maps, batch),
            )  # fmt: skip
        if last == count:
            yield batch
            return
        for half in batch.halves():
            yield from self._down_maps(half, last)

    def _replayed(self, batch: _Batch, steps: slice) -> bool:
        """Whether the batch is carried down as `carry_down` does, but recorded and replayed; not where it is large."""
        replays = self.costs.way.graph.replays()
        if replays is None or self.watch is not None or len(batch.indices) > MOST_SIGNALS:
            return False
        trace = self.pass_.trace
        if self.costs.way.images_apart:
            trace = of_images(trace, batch.images)
        arrived = carried_down(replays, self.costs, self._folds, trace, batch.on_maps, steps)
        if arrived is None:
            return False
        batch.on_maps.clear()
        batch.on_maps.update(arrived)
        return True

    @cached_property
    def _on_maps(self) -> tuple[Way, Trace]:
        """The way on whole maps and the pass, on an accelerator with norms folded into filters; shown as they are."""
        way, trace, folds = self.costs.way, self.pass_.trace, self._folds
        return (self.costs.folded, with_filters(way, trace, folds)) if folds else (way, trace)

    @property
    def _folds(self) -> Mapping[str, Fold]:
        on_cpu = self.pass_.seeds.values.device.type == "cpu"
        return {} if self.watch is not None or on_cpu else self.costs.folds

    def _fits_until(self, batch: _Batch, first: int, count: int) -> int:
        """The first step before which the batch must and can be split; `count` if there is none."""
        units = len(batch.indices)
        if units == 1 or not self.costs.way.images_apart:
            return count
        held = self.route.held
        return next((i for i in range(first, count) if held[i] * units > self.room), count)

    def _show_maps(self, batch: _Batch, value: Value, signal: Tensor) -> None:
        if self.watch is not None:
            rows = signal if self.costs.way.images_apart else signal[batch.images]
            self._show(batch, value, rows, whole_maps(len(rows), value.map_size))

    def _show(self, batch: _Batch, value: Value, signal: Tensor, frames: Frames) -> None:
        if self.watch is not None:
            self.watch(value, self.pass_.indices[batch.indices], signal, frames)
