"""Plans: the steps of a way down, found once for each layer, end and rule set, and what they cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deconvnet._types import Step, Value
from deconvnet.capture.trace import Graph
from deconvnet.core.rules import ACTIVATIONS, Rule, RuleSet, rule_for
from deconvnet.core.up import seen, steps_towards
from deconvnet.windows.receptive_field import Fields, fields
from deconvnet.windows.steps import Frames, LocalStep, Path, Route, Span, local_step, map_size, routes, spans, work

CHUNK = 64 * 2**20  # bytes that a batch of signals may take, so that it stays near the processor


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
    def rectified(self) -> frozenset[str]:
        """The names of the rectified values: of rectifiers, of smooth activations that the rules admit in their place,
        and of the concatenation of branches that are all rectified.
        """
        found: set[str] = set()
        for step, _ in reversed(self.down):
            joined = step.operation == "aten.cat" and all(value.name in found for value in step.signals)
            if joined or step.operation == "relu" or step.operation in ACTIVATIONS:
                found.add(step.output.name)
        return frozenset(found)

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

    @cached_property
    def _live_up(self) -> list[tuple[int, int]]:
        """At every step of one image's forward pass: how many numbers of the network's type are held, and bytes."""
        steps = steps_towards(self.graph, {self.start.name})
        last_use = {value.name: i for i, step in enumerate(steps) for value in step.inputs}
        live: dict[str, int] = {self.graph.input.name: _numbers(self.graph.input)}
        held, kept, kept_bytes = [(_numbers(self.graph.input), 0)], 0, 0
        for i, step in enumerate(steps):
            live[step.output.name] = _numbers(step.output)
            rule = self.chosen.get(step.output.name)
            remembers = rule is not None and rule.up is not None
            scratch = 8 * _numbers(step.output) * 3 if remembers else 0  # places, offsets and their sum
            working = max((_numbers(value) for value in step.signals), default=0)
            held.append((sum(live.values()) + working + kept, kept_bytes + scratch))
            if remembers and _a_byte_each(step):
                kept_bytes += _numbers(step.output)
            elif remembers:
                kept += sum(_numbers(value) for value in step.inputs)
            for name in {value.name for value in step.inputs}:
                if last_use[name] == i and name != self.start.name:
                    live.pop(name, None)
        return held

    def bytes_up(self, width: int) -> int:
        """Memory that the forward pass of one image takes at its peak, from the sizes of its values."""
        return max(width * numbers + more for numbers, more in self._live_up)

    @cached_property
    def routes(self) -> Mapping[Path, Route]:
        """The ways down for single units; all else takes the dense one."""
        return routes(self.start, self.down, self.rules)

    def bytes_down(self, width: int) -> int:
        """Memory that one signal takes at its peak on the way down on whole maps, from the sizes of its values."""
        return width * max(self.routes["dense"].held)

    @cached_property
    def remembered(self) -> Mapping[str, Frames] | None:
        """By step, the window of what it remembers that is needed for a unit at each position of a map, in order.

        None if the way of single units does not run in windows down to its end.
        """
        route = self.routes["auto"].local
        if not self.selects or not route or len(route) < len(self.down):
            return None
        size = map_size(self.start)
        at = seen(route, self.stop, np.indices(size).reshape(len(size), -1).T)
        remembering = [(local, name) for local in route if self.chosen[name := local.step.output.name].up is not None]
        if any(local.spreads for local, _ in remembering):
            return None  # its window may reach past the map
        return {name: local.reached(at[name])[1] for local, name in remembering}

    def bytes_kept(self, width: int) -> int:
        """Memory that what is remembered for one unit takes in these windows."""
        total = 0
        for step, _ in self.down:
            if step.output.name in (self.remembered or {}):
                maps = [value.shape[1].of(1) for value in (step.output, *step.signals)]
                each = maps[0] if _a_byte_each(step) else width * sum(maps[1:])
                total += each * math.prod((self.remembered or {})[step.output.name].size)
        return total

    @cached_property
    def up(self) -> tuple[LocalStep, ...] | None:
        """The steps from the input to `start`, from the top down, as they run in windows.

        None if one of them cannot, here or on the way down, which then needs what whole maps remember.
        """
        steps = [local_step(step, RuleSet()) for step in reversed(steps_towards(self.graph, {self.start.name}))]
        local = tuple(step for step in steps if step is not None)
        if not self.selects or not local or len(local) < len(steps):
            return None
        return local if len(self.routes["windowed"].local) == len(self.down) else None

    @cached_property
    def spans_up(self) -> Mapping[str, Span]:
        """How much of every value a unit sees, where all steps up run in windows."""
        return spans(self.start, self.up or ())

    @cached_property
    def work_up(self) -> tuple[float, float]:
        """Of the forward pass: for one image, and in windows for one unit."""
        whole = sum(work(step) for step in steps_towards(self.graph, {self.start.name}))
        return whole, math.inf if self.up is None else sum(work(local.step, self.spans_up) for local in self.up)

    def sees_little(self, units: int, images: int) -> bool:
        """Whether a forward pass for these units alone takes less work than one for their images."""
        whole, alone = self.work_up
        return units * alone < images * whole

    def bytes_up_of_unit(self, width: int) -> int:
        """Memory that a forward pass in windows takes for one unit, at most."""
        return width * sum(
            2 * math.prod(self.spans_up[value.name].most) * value.shape[1].of(1)
            for local in self.up or ()
            for value in (local.step.output, *local.below)
        )


def _a_byte_each(step: Step) -> bool:
    """Whether what is remembered of a step is a byte for each number of its output, as switches and masks are."""
    return "max_pool" in step.operation or step.operation == "relu"


def _numbers(value: Value) -> int:
    return math.prod(value.sizes(1))


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


def words_of(way: Plan, layer: str) -> str:
    """A plan for single units of a layer, for people."""
    route, whole, count = way.routes["auto"], way.routes["dense"].work, len(way.down)

    def times(sizes: Sequence[int]) -> str:
        return "x".join(map(str, sizes))

    if not way.selects or not route.local:
        lines = [f"way down: all {count} steps on whole maps, {whole:.3g} for each unit"]
        if not way.selects:
            lines.append("  the network does not keep its images apart, so one unit of each image goes down at a time")
    else:
        small = len(route.local)
        most = times(route.spans[route.local[-1].below[0].name].most)
        rest = f", the last {count - small} on whole maps" if small < count else ""
        lines = [
            f"way down: {small} of {count} steps in windows of 1 pixel to {most}{rest}",
            f"  {route.work:.3g} for each unit; on whole maps {whole:.3g}, {whole / route.work:.3g} times as much",
        ]
    for_image, for_unit = way.work_up
    lines.append(f"way up: {for_image:.3g} for each image")
    if way.up is not None:
        seen = times(way.spans_up[way.graph.input.name].most)
        lines.append(f"  or for each listed unit, on the {seen} pixels that it sees, {for_unit:.3g}:")
        lines.append(f"  less where an image has fewer than {for_image / for_unit:.3g} of them")
    return "\n".join([f"{layer}: {way.start.shape[1].of(1)} maps of {times(map_size(way.start)) or 1}", *lines])
