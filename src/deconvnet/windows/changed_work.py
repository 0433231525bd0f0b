"""What the way up of changed parts of images costs, and which of them are computed together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from deconvnet.core.graph import Step, Value
from deconvnet.core.operations import Operation, row_of
from deconvnet.windows.cost import RouteName, Speed, multiplications, work
from deconvnet.windows.steps import LocalStep

_CUT = 4e5  # multiplications in the time in which a window is cut out of a map, or pasted into one, on a CPU
_BEGUN = 1e6  # the same for beginning a step, which a whole batch shares

Ends = tuple[NDArray[np.int64], NDArray[np.int64]]  # (p, axes) each: the first pixel, and the one after the last


@dataclass(frozen=True, eq=False)
class Work:
    """The work of every step, and how it is least.

    Attributes:
        steps: in order.
        local: by the name of its output, each step that can run in windows.
        ends: by the name of a value, where each change lies in it; of the others all of the map changes.
        rows: the table of operations.
        speed: of the device.
        axes: how many spatial axes the input has.
        route: "windowed" runs all steps in windows that can, "dense" none; "auto" what is least work.
    """

    steps: Sequence[Step]
    local: Mapping[str, LocalStep]
    ends: Mapping[str, Ends]
    rows: Mapping[str, Operation]
    speed: Speed
    axes: int
    route: RouteName

    @cached_property
    def sizes(self) -> Int[np.ndarray, "p k axes"]:
        """How much of each step's output each change reaches."""
        return np.stack([self._lengths(step.output) for step in self.steps], 1)

    def _lengths(self, value: Value) -> NDArray[np.int64]:
        if value.name in self.ends:
            low, high = self.ends[value.name]
            return high - low
        count = len(next(iter(self.ends.values()))[0])
        return np.ones((count, self.axes), dtype=np.int64)

    @cached_property
    def _open(self) -> NDArray[np.bool_]:
        return np.array([step.output.name in self.ends for step in self.steps])

    @cached_property
    def _map_sizes(self) -> NDArray[np.int64]:
        ones = (1,) * self.axes
        return np.array([s.output.map_size if o else ones for s, o in zip(self.steps, self._open, strict=True)])

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """Of each step on whole maps."""
        return np.array([work(step, self.rows, self.speed) for step in self.steps])

    @cached_property
    def _shared(self) -> float:
        """What a batch costs, however many changes are in it: its weights are read, and its steps begun."""
        read = sum(value.numbers for step in self.steps for value in _weights(step, self.rows))
        return self.speed.moved * read + (_BEGUN + self.speed.launched) * len(self.steps)

    @cached_property
    def _in_windows(self) -> tuple[NDArray[np.float64], ...]:
        """Of each step: what a position of its output costs, one of its inputs, their scale and reach, and the cuts."""
        above, below, cuts = (np.zeros(len(self.steps)) for _ in range(3))
        scale, reach = np.ones((len(self.steps), self.axes)), np.zeros((len(self.steps), self.axes))
        for i, step in enumerate(self.steps):
            local = self.local.get(step.output.name)
            if not self._open[i] or local is None:
                continue
            positions = max(int(np.prod(step.output.map_size)), 1)
            above[i] = multiplications(step, self.rows) / positions + self.speed.moved * step.output.maps
            below[i] = self.speed.moved * sum(value.maps for value in local.below)
            scale[i] = [float(s) for s, _, _ in local.windows]
            reach[i] = [float(high - low) for _, low, high in local.windows]
            if reach[i].any() or len(local.below) > 1:  # what stands around a window is pasted to it
                below[i] *= 2
                cuts[i] = _CUT * len(local.below)
        return above, below, scale, reach, cuts

    def least(
        self, sizes: Int[np.ndarray, "*sets k axes"]
    ) -> tuple[Float[np.ndarray, "*sets"], Int[np.ndarray, "*sets"]]:
        """The least work of a change whose windows have these sizes, and how many of the steps then run in windows."""
        above, below, scale, reach, cuts = self._in_windows
        taken = np.floor((sizes - 1) * scale + reach) + 1
        cost = above * sizes.prod(-1) + below * taken.prod(-1) + cuts
        cost = np.where(self._open & ~self._covers(sizes), cost, self._whole)
        rest = self._whole.sum() - np.cumsum(self._whole)
        total = np.cumsum(cost, -1) + rest
        total = np.concatenate([np.full((*total.shape[:-1], 1), self._whole.sum()), total], -1)
        last = total.shape[-1] - 1
        counts = {
            "auto": total.argmin(-1),
            "windowed": np.full(total.shape[:-1], last),
            "dense": np.zeros(total.shape[:-1], int),
        }
        count = counts[self.route]
        return np.asarray(np.take_along_axis(total, count[..., None], -1)[..., 0]), np.asarray(count)

    def _covers(self, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray((sizes >= self._map_sizes).all(-1))

    def windowed(self, indices: Int[np.ndarray, " m"]) -> list[Step]:
        """The steps that run in windows where these changes are computed together."""
        sizes = self.sizes[indices].max(0)
        count = int(self.least(sizes)[1])
        chosen = self._open & ~self._covers(sizes)
        return [step for step, yes in zip(self.steps[:count], chosen[:count].tolist(), strict=True) if yes]

    def split(self, indices: Int[np.ndarray, " m"], most: int) -> list[NDArray[np.int64]]:
        """Changes in batches, whose windows are of nearly one size: as many as make the work least.

        Args:
            indices: of the changes.
            most: numbers that a batch may hold at a time; a single change is always a batch.
        """
        count = len(indices)
        if count == 1:
            return [indices]
        halves = [self._halved(indices, axis) for axis in range(self.axes)]
        least, ordered, at = min(halves, key=lambda half: half[0])
        together = count * float(self.least(self.sizes[indices].max(0))[0]) + self._shared
        if count * self.held(indices) > most:
            at = at if least < together else count // 2
        elif least >= together:
            return [indices]
        return [part for half in (ordered[:at], ordered[at:]) for part in self.split(half, most)]

    def _halved(self, indices: NDArray[np.int64], axis: int) -> tuple[float, NDArray[np.int64], int]:
        """The least work of two batches, the changes in order of what they reach along an axis, and where they part."""
        reach = (self.sizes[indices, :, axis] / self._map_sizes[:, axis]).sum(1)
        ordered = indices[np.argsort(reach, kind="stable")]
        sizes, count = self.sizes[ordered], len(ordered)
        first = self.least(np.maximum.accumulate(sizes))[0][:-1]
        last = self.least(np.maximum.accumulate(sizes[::-1])[::-1])[0][1:]
        total = np.arange(1, count) * first + np.arange(count - 1, 0, -1) * last + 2 * self._shared
        at = int(total.argmin())
        return float(total[at]), ordered, at + 1

    def held(self, indices: Int[np.ndarray, " m"]) -> int:
        """How many numbers each of these changes takes at its peak, where they are computed together."""
        windows = {step.output.name: self.sizes[indices, i].max(0) for i, step in enumerate(self.steps)}
        small = {step.output.name for step in self.windowed(indices)}

        def room(value: Value) -> int:
            if value.name not in small:
                return value.numbers
            return value.maps * int(windows[value.name].prod())

        last_use = {value.name: i for i, step in enumerate(self.steps) for value in (*step.inputs, step.output)}
        live, peak = dict[str, int](), 0
        for i, step in enumerate(self.steps):
            live |= {value.name: room(value) for value in (*step.inputs, step.output)}
            around = max(sum(live[value.name] for value in step.inputs), live[step.output.name])
            peak = max(peak, sum(live.values()) + 2 * around)
            live = {name: held for name, held in live.items() if last_use[name] > i}
        return peak


def _weights(step: Step, rows: Mapping[str, Operation]) -> list[Value]:
    weight = step.arguments.get("weight") if row_of(step, rows).filters else None
    return [weight] if isinstance(weight, Value) else []
