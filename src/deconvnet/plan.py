"""Plans: the steps of a way down, found once for each layer, end and rule set, and what they cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from deconvnet._types import Step, Value
from deconvnet.capture import Graph
from deconvnet.forward import steps_towards
from deconvnet.receptive_field import Fields, fields
from deconvnet.rules import Rule, RuleSet, rule_for
from deconvnet.windows import LocalStep, Span, WindowedWay, local_step, map_size, spans, windowed_way, work

Carry = Literal["auto", "windowed", "dense"]
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
        key = 0 if windowed is None else len(windowed.steps)
        if key not in self._numbers_of_steps:
            self._numbers_of_steps[key] = self._numbers_at(windowed)
        return [width * numbers for numbers in self._numbers_of_steps[key]]

    @cached_property
    def _numbers_of_steps(self) -> dict[int, list[int]]:
        return {}

    def _numbers_at(self, windowed: WindowedWay | None) -> list[int]:
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
            needs.append(sum(live.values()) + live[step.output.name] + 3 * sum(below.values()))
            live.pop(step.output.name)
            live.update(below)
        return needs or [_numbers(self.start)]

    @cached_property
    def up(self) -> tuple[LocalStep, ...] | None:
        """The steps from the input to `start`, from the top down, as they run in windows.

        None if one of them cannot, here or on the way down, which then needs what whole maps remember.
        """
        steps = [local_step(step, RuleSet()) for step in reversed(steps_towards(self.graph, {self.start.name}))]
        local = tuple(step for step in steps if step is not None)
        if not self.selects or not local or len(local) < len(steps):
            return None
        return local if len(self.windowed(force=True).steps) == len(self.down) else None

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


def words_of(way: Plan, layer: str) -> str:
    """A plan for single units of a layer, for people."""
    windowed, count = way.windowed(), len(way.down)
    whole = sum(windowed.dense)

    def times(sizes: Sequence[int]) -> str:
        return "x".join(map(str, sizes))

    if not way.selects or not windowed.steps:
        lines = [f"way down: all {count} steps on whole maps, {whole:.3g} for each unit"]
        if not way.selects:
            lines.append("  the network does not keep its images apart, so one unit of each image goes down at a time")
    else:
        small, more = len(windowed.steps), whole / windowed.work
        most = times(windowed.spans[windowed.steps[-1].below[0].name].most)
        rest = f", the last {count - small} on whole maps" if small < count else ""
        lines = [
            f"way down: {small} of {count} steps in windows of 1 pixel to {most}{rest}",
            f"  {windowed.work:.3g} for each unit; on whole maps {whole:.3g}, {more:.3g} times as much",
        ]
    for_image, for_unit = way.work_up
    lines.append(f"way up: {for_image:.3g} for each image")
    if way.up is not None:
        seen = times(way.spans_up[way.graph.input.name].most)
        lines.append(f"  or for each listed unit, on the {seen} pixels that it sees, {for_unit:.3g}:")
        lines.append(f"  less where an image has fewer than {for_image / for_unit:.3g} of them")
    return "\n".join([f"{layer}: {way.start.shape[1].of(1)} maps of {times(map_size(way.start)) or 1}", *lines])
