"""Steps up for images of which only a part has changed: no more of each map is computed than the change reaches.

What a changed box of pixels reaches is a window of every map, which grows from step to step. The windows of many boxes
are computed as one batch; around each lies what the image gives without a change. Once a window is as much work as
the map, as behind a step that must see whole maps, the rest is computed on whole maps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn, relu

from deconvnet.core.finite import Overflows, finite_forward
from deconvnet.core.graph import Graph, Step, Value, towards
from deconvnet.core.layout import maps_together, positions_together, takes_any_layout
from deconvnet.core.operations import Operation, overwritable
from deconvnet.core.rules import Call, RuleSet
from deconvnet.core.weights import tensors_of
from deconvnet.windows.changed_work import Ends, Work
from deconvnet.windows.cost import RouteName, speed_of
from deconvnet.windows.frames import Frames, whole_maps
from deconvnet.windows.kernels import moved, pasted
from deconvnet.windows.steps import LocalStep, local_step, reached

_RULES = RuleSet()  # of a way down, which there is none of here


@dataclass(frozen=True, eq=False)
class Batch:
    """Some changes that are computed together.

    Attributes:
        indices: (m,) of the changes.
        windows: by the name of a value, the window of it that each change reaches; the other values are whole.
        local: by the name of its output, each step that runs in windows.
    """

    indices: Int[np.ndarray, " m"]
    windows: Mapping[str, Frames]
    local: Mapping[str, LocalStep]


@dataclass(frozen=True, eq=False)
class Changes:
    """The way up from boxes of pixels that change, each in an image of its own that is else the same.

    Attributes:
        graph: of the network.
        rows: the table of operations.
        wanted: by the name of a value that is asked for, which of its maps are; None for all.
        low: of each box, its first pixel, per spatial axis.
        high: the pixel after its last.
        route: which steps run in windows: "auto" those for which that is less work, "windowed" all that can, "dense"
            none.
    """

    graph: Graph
    rows: Mapping[str, Operation]
    wanted: Mapping[str, Int[Tensor, " maps"] | None]
    low: Int[np.ndarray, "p axes"]
    high: Int[np.ndarray, "p axes"]
    route: RouteName = "auto"

    @cached_property
    def steps(self) -> list[Step]:
        """Those that lead to what is asked for, in order."""
        return towards(self.graph.steps, self.wanted)

    @cached_property
    def apart(self) -> bool:
        """Whether each image has rows of its own in every value, so that several can be computed together."""
        values = [value for step in self.steps for value in (step.output, *step.inputs)]
        return self.graph.images is None and all(value.image_first for value in values)

    @cached_property
    def _local(self) -> dict[str, LocalStep]:
        """By the name of its output, each step that can run in windows."""
        local = {step.output.name: local_step(step, _RULES, self.rows) for step in self.steps if self.apart}
        return {name: step for name, step in local.items() if step is not None}

    @cached_property
    def _ends(self) -> dict[str, Ends]:
        """By the name of a value, the first pixel of it that each change reaches and the one after the last."""
        ends = {self.graph.input.name: (self.low, self.high)}
        for step in self.steps:
            local = self._local.get(step.output.name)
            if local is not None and all(value.name in ends for value in local.below):
                low = np.minimum.reduce([ends[value.name][0] for value in local.below])
                high = np.maximum.reduce([ends[value.name][1] for value in local.below])
                ends[step.output.name] = _reached(local, low, high)
        return ends

    def batches(self, most: int) -> list[Batch]:
        """All changes, in batches.

        Args:
            most: numbers that a batch may hold at a time; a single change is always a batch.
        """
        single = [np.array([i]) for i in range(len(self.low))]
        axes = self.low.shape[1]
        work = Work(self.steps, self._local, self._ends, self.rows, speed_of(self.graph.device), axes, self.route)
        groups = work.split(np.arange(len(self.low)), most) if self.apart and self.steps else single
        return [self._batch(part, work) for group in groups for part in self._allowed(group)]

    def _allowed(self, indices: np.ndarray) -> list[np.ndarray]:
        """The changes in batches for which the steps hold."""
        count = next((n for n in range(len(indices), 1, -1) if self.graph.holds_for(n)), 1)
        return [indices[first : first + count] for first in range(0, len(indices), count)]

    def _batch(self, indices: np.ndarray, work: Work) -> Batch:
        local = {step.output.name: self._local[step.output.name] for step in work.windowed(indices)}
        windows = {name: self._frames(name, indices, local[name].step.output.map_size) for name in local}
        source = self.graph.input
        return Batch(indices, {source.name: self._frames(source.name, indices, source.map_size), **windows}, local)

    def _frames(self, name: str, indices: np.ndarray, size: tuple[int, ...]) -> Frames:
        low, high = (end[indices] for end in self._ends[name])
        longest = (high - low).max(0)
        return Frames(np.minimum(low, np.array(size) - longest), tuple(longest.tolist()))

    def unchanged(
        self, model: nn.Module, x: Float[Tensor, "1 c *size"], batches: Sequence[Batch], values: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """What the image gives without a change, around the windows of batches.

        Args:
            model: its weights are read as they are now.
            x: the image.
            batches: all of them.
            values: by name, what of it has been computed already.

        Raises:
            NotFiniteError: NaN or infinity on the way.
        """
        names = frozenset(name for batch in batches for name in batch.local)
        values = {self.graph.input.name: x, **values}
        if not names <= values.keys():
            values = {**values, **finite_forward(self.graph, model, x, names, _RULES, {}).values}
        return {name: positions_together(value) for name, value in values.items()}

    def run(
        self, batch: Batch, model: nn.Module, start: Float[Tensor, "m c *window"], unchanged: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """What is asked for, of each change of a batch: the whole of the maps that are wanted.

        Args:
            batch: one of `batches`.
            model: its weights are read as they are now.
            start: the changed images, in the batch's windows of the input.
            unchanged: what the method of this name gives.

        Raises:
            NotFiniteError: numbers of 16 bits became too large.
        """
        return _Run(self, batch, tensors_of(self.graph, model, len(batch.indices)), unchanged).run(start)


class _Run:
    """One batch on its way up."""

    def __init__(
        self, changes: Changes, batch: Batch, tensors: dict[str, Tensor], unchanged: Mapping[str, Tensor]
    ) -> None:
        self._changes, self._batch, self._tensors, self._unchanged = changes, batch, tensors, unchanged
        self._count = len(batch.indices)
        self._values: dict[str, Tensor] = {}
        self._overflows = Overflows(changes.graph)

    def run(self, start: Tensor) -> dict[str, Tensor]:
        wanted, steps = self._changes.wanted, self._changes.steps
        own = overwritable(steps, frozenset()) - wanted.keys()
        last_use = {value.name: i for i, step in enumerate(steps) for value in (*step.inputs, step.output)}
        self._values[self._changes.graph.input.name] = positions_together(start)
        results = {name: self._wanted(name) for name in wanted if name in self._values}
        for i, step in enumerate(steps):
            name = step.output.name
            output = self._output(step, writes_over=step.function is relu and step.inputs[0].name in own)
            self._overflows.look(step, output)
            self._values[name] = output
            if name in wanted:
                results[name] = self._wanted(name)
            for used in {value.name for value in (*step.inputs, step.output) if last_use[value.name] == i}:
                del self._values[used]
        self._overflows.check()
        return results

    def _output(self, step: Step, *, writes_over: bool) -> Tensor:
        local, at = self._batch.local.get(step.output.name), self._batch.windows.get(step.output.name)
        if local is None or at is None:
            inputs = {value.name: self._whole(value) for value in step.inputs}
            return self._computed(step, inputs, writes_over=writes_over)
        below, above = local.reached(at)
        inputs = {value.name: self._around(value, below, local.border) for value in local.below}
        output = self._computed(local.sized(above.size, below.size), inputs, writes_over=writes_over)
        return moved(output, above, at)

    def _computed(self, step: Step, inputs: dict[str, Tensor], *, writes_over: bool) -> Tensor:
        if writes_over:
            return inputs[step.inputs[0].name].relu_()
        if not takes_any_layout(step):
            inputs = {name: maps_together(tensor) for name, tensor in inputs.items()}
        return Call(step, _RULES, self._count, {**self._tensors, **inputs}).compute()

    def _whole(self, value: Value) -> Tensor:
        if value.name not in self._batch.windows:
            return self._values[value.name]
        return self._around(value, whole_maps(self._count, value.map_size), 0)

    def _around(self, value: Value, to: Frames, border: float) -> Tensor:
        """A value's windows `to`, changed where it has changed."""
        changed, at = self._values[value.name], self._batch.windows.get(value.name)
        if at is None:
            return moved(changed, whole_maps(self._count, value.map_size), to, fill=border)
        return pasted(changed, at, self._unchanged[value.name], to, fill=border)

    def _wanted(self, name: str) -> Tensor:
        channels, at, changed = self._changes.wanted[name], self._batch.windows.get(name), self._values[name]
        changed = changed if channels is None else changed[:, channels]
        if at is not None:
            whole = self._unchanged[name] if channels is None else self._unchanged[name][:, channels]
            changed = pasted(changed, at, whole, whole_maps(self._count, tuple(whole.shape[2:])))
        return maps_together(changed)


def _reached(local: LocalStep, low: np.ndarray, high: np.ndarray) -> Ends:
    """What a step gives of a part of its maps, one pixel at least: the first, and the one after the last."""
    first, last = np.empty_like(low), np.empty_like(high)
    for i, (window, length) in enumerate(zip(local.windows, local.step.output.map_size, strict=True)):
        above, top = reached(window, low[:, i], high[:, i] - 1)
        first[:, i] = np.clip(above, 0, length - 1)
        last[:, i] = np.maximum(np.minimum(top + 1, length), first[:, i] + 1)
    return first, last
