"""What a way down costs: which steps run in windows, how much work they are, and how much memory they take."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deconvnet.core.down import Way
from deconvnet.core.folding import Fold, folded, folds_of
from deconvnet.core.graph import Step, towards
from deconvnet.core.operations import row_of
from deconvnet.core.rules import RuleSet
from deconvnet.windows.cost import Route, RouteName, Span, routes, spans, speed_of, work
from deconvnet.windows.frames import Frames
from deconvnet.windows.receptive_field import Fields, fields
from deconvnet.windows.steps import LocalStep, local_step
from deconvnet.windows.up import windows_seen


@dataclass(frozen=True, eq=False)
class Costs:
    """What carrying the units of a layer down costs. `print(costs)` says it in words.

    Work is counted in multiplications. A number moved through memory counts as several: as how many depends on the
    device, as does what it costs to begin an operation.

    Attributes:
        layer: the layer's name.
        way: what is undone.
    """

    layer: str
    way: Way

    @property
    def size(self) -> tuple[int, ...]:
        """Of the maps that signals are carried to, per spatial axis."""
        return self.way.stop.map_size

    @cached_property
    def field(self) -> Fields:
        """What a unit of the layer sees of them."""
        steps = [step for step, _ in reversed(self.way.down)]
        blocked = {name: rule.blocked for name, rule in self.way.chosen.items()}
        return fields(steps, self.way.stop, blocked, self.way.rows).get(self.way.start.name)

    @property
    def chunk(self) -> int:
        """Bytes that a batch of signals may take."""
        return speed_of(self.way.graph.device).chunk

    @property
    def width(self) -> int:
        """Bytes of a number of the images."""
        assert self.way.graph.input.dtype is not None
        return self.way.graph.input.dtype.itemsize

    def bytes_of_picture(self, width: int) -> int:
        """Memory that what comes of a single unit takes.

        Args:
            width: bytes of a number.
        """
        lengths = self.size if self.field is None else tuple(axis.size for axis in self.field)
        return width * self.way.stop.maps * math.prod(lengths)

    @cached_property
    def folds(self) -> dict[str, Fold]:
        """The norms whose scale can be folded into the filters below them."""
        return folds_of(self.way)

    @cached_property
    def folded(self) -> Way:
        """The way with these folded, in as many steps."""
        return folded(self.way, self.folds)

    @cached_property
    def routes(self) -> Mapping[RouteName, Route]:
        """The ways down for single units; all else takes the dense one."""
        return routes(self.way)

    @cached_property
    def up(self) -> tuple[LocalStep, ...] | None:
        """The steps from the input to the layer, from the top down, as they run in windows.

        None if one of them cannot, here or on the way down, which then needs what whole maps remember.
        """
        steps = reversed(towards(self.way.graph.steps, {self.way.start.name}))
        local = [local_step(step, RuleSet(), self.way.rows) for step in steps]
        in_windows = tuple(step for step in local if step is not None)
        if not self.way.images_apart or not local or not self.way.down or len(in_windows) < len(local):
            return None
        return in_windows if len(self.routes["windowed"].local) == len(self.way.down) else None

    @cached_property
    def spans_up(self) -> Mapping[str, Span]:
        """How much of every value a unit sees, where all steps up run in windows."""
        return spans(self.way.start, self.up or ())

    @cached_property
    def work_up(self) -> tuple[float, float]:
        """Of the forward pass: for one image, and in windows for one unit (infinite where it cannot)."""
        rows, steps = self.way.rows, towards(self.way.graph.steps, {self.way.start.name})
        speed, seen = speed_of(self.way.graph.device), self.spans_up
        in_windows = math.inf if self.up is None else sum(work(local.step, rows, speed, seen) for local in self.up)
        return sum(work(step, rows, speed) for step in steps), in_windows

    def sees_little(self, units: int, images: int) -> bool:
        """Whether a forward pass for these units alone takes less work than one for their images."""
        image, unit = self.work_up
        return units * unit < images * image

    def bytes_up(self, width: int) -> int:
        """Memory that the forward pass of one image takes at its peak, from the sizes of its values.

        Args:
            width: bytes of a number.
        """
        return max(width * numbers + more for numbers, more in self._live_up)

    def bytes_up_of_unit(self, width: int) -> int:
        """Memory that a forward pass in windows takes for one unit, at most."""
        return width * sum(
            2 * math.prod(self.spans_up[value.name].most) * value.shape[1].of(1)
            for local in self.up or ()
            for value in (local.step.output, *local.below)
        )

    def bytes_down(self, width: int) -> int:
        """Memory that one signal takes at its peak on the way down on whole maps, from the sizes of its values."""
        return width * max(self.routes["dense"].held)

    @cached_property
    def remembered(self) -> Mapping[str, Frames] | None:
        """By step, the window of what it remembers that is needed for a unit at each position of a map, in order.

        None if the way of single units does not run in windows down to its end.
        """
        way, local = self.way, self.routes["auto"].local
        if not way.images_apart or not local or len(local) < len(way.down):
            return None
        size = way.start.map_size
        at = windows_seen(local, way.stop, np.indices(size).reshape(len(size), -1).T)
        remembering = [step for step in local if way.chosen[step.step.output.name].up is not None]
        if any(step.spreads for step in remembering):
            return None  # its window may reach past the map
        return {(name := step.step.output.name): step.reached(at[name])[1] for step in remembering}

    def bytes_remembered(self, width: int) -> int:
        """Memory that what is remembered for one unit takes in these windows."""
        frames, total = self.remembered or {}, 0
        for step, _ in self.way.down:
            if step.output.name in frames:
                inputs = width * sum(value.maps for value in step.signals)
                each = step.output.maps if self._remembers_bytes(step) else inputs
                total += each * math.prod(frames[step.output.name].size)
        return total

    @cached_property
    def _live_up(self) -> list[tuple[int, int]]:
        """At every step of one image's forward pass: how many numbers of the network's type are held, and bytes."""
        graph, start = self.way.graph, self.way.start
        steps = towards(graph.steps, {start.name})
        last_use = {value.name: i for i, step in enumerate(steps) for value in step.inputs}
        live: dict[str, int] = {graph.input.name: graph.input.numbers}
        held, memory, memory_bytes = [(graph.input.numbers, 0)], 0, 0
        for i, step in enumerate(steps):
            live[step.output.name] = step.output.numbers
            rule = self.way.chosen.get(step.output.name)
            remembers = rule is not None and rule.up is not None
            scratch = 8 * step.output.numbers * 3 if remembers else 0  # positions, switches and their sum
            working = max((value.numbers for value in step.signals), default=0)
            held.append((sum(live.values()) + working + memory, memory_bytes + scratch))
            if remembers and self._remembers_bytes(step):
                memory_bytes += step.output.numbers
            elif remembers:
                memory += sum(value.numbers for value in step.inputs)
            for name in {value.name for value in step.inputs}:
                if last_use[name] == i and name != start.name:
                    live.pop(name, None)
        return held

    def _remembers_bytes(self, step: Step) -> bool:
        return row_of(step, self.way.rows).remembers == "bytes"

    def __str__(self) -> str:
        route, whole, count = self.routes["auto"], self.routes["dense"].work, len(self.way.down)
        if not self.way.images_apart or not route.local:
            lines = [f"way down: all {count} steps on whole maps, {whole:.3g} for each unit"]
            if not self.way.images_apart:
                lines.append(
                    "  the network does not keep its images apart, so one unit of each image goes down at a time"
                )
        else:
            small = len(route.local)
            most = _times(route.spans[route.local[-1].below[0].name].most)
            rest = f", the last {count - small} on whole maps" if small < count else ""
            lines = [
                f"way down: {small} of {count} steps in windows of 1 pixel to {most}{rest}",
                f"  {route.work:.3g} for each unit; on whole maps {whole:.3g}, {whole / route.work:.3g} times as much",
            ]
        image, unit = self.work_up
        lines.append(f"way up: {image:.3g} for each image")
        if self.up is not None:
            field = _times(self.spans_up[self.way.graph.input.name].most)
            lines.append(f"  or for each listed unit, on the {field} pixels that it sees, {unit:.3g}:")
            lines.append(f"  less where an image has fewer than {image / unit:.3g} of them")
        speed = speed_of(self.way.graph.device)
        begun = f", beginning an operation as {speed.launched:.3g}" if speed.launched else ""
        lines.append(f"on {self.way.graph.device}: moving a number counts as {speed.moved:.3g} multiplications{begun}")
        maps = f"{self.way.start.shape[1].of(1)} maps of {_times(self.way.start.map_size) or 1}"
        return "\n".join([f"{self.layer}: {maps}", *lines])


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
