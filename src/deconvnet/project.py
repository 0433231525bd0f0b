"""Steps down: one activation, all others zero, carried to the pixels (section 2.1 of the paper)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._types import Box, Step, Unit, Value
from deconvnet.capture import Graph
from deconvnet.forward import Trace, steps_towards
from deconvnet.receptive_field import Fields, box, fields
from deconvnet.reconstruction import cut
from deconvnet.rules import Call, Rule, RuleSet, rule_for
from deconvnet.seeds import Seeds
from deconvnet.windows import (
    WindowedWay,
    memory_windows,
    place,
    spread_out,
    windowed_way,
    zero_outside,
)

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
        small = windowed.steps if windowed else ()
        steps = [one.step for one in small] + [step for step, _ in self.down[len(small) :]]
        live: dict[str, int] = {self.start.name: 1 if small else _numbers(self.start)}
        peak = live[self.start.name]
        for step in steps:
            below = {value.name: _numbers(value) for value in step.signals}
            peak = max(peak, sum(live.values()) + _numbers(step.output) + 3 * sum(below.values()))
            live.pop(step.output.name, None)
            live.update(below)
        return peak * width

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


def carry_down(
    way: Plan, trace: Trace, signals: Mapping[str, Tensor], image: Int[Tensor, " m"] | None, *, first: int = 0
) -> Float[Tensor, "m *below"]:
    """Signals carried to the plan's end on whole maps.

    Args:
        way: the plan.
        trace: the forward pass whose switches are used.
        signals: by the name of the value that they have arrived at; m of each.
        image: the image of the batch that each signal belongs to; None if there is one for each.
        first: number of the first step still to take.
    """
    arrived = dict(signals)
    count = len(next(iter(signals.values())))
    for step, rule in way.down[first:]:
        if step.output.name in arrived:
            remembered = trace.memory.get(step.output.name, {})
            memory = {name: _of_images(t, image, trace.images) for name, t in remembered.items()}
            call = Call(step, way.rules, count, trace.tensors, memory)
            for value, part in _undone(call, rule, arrived.pop(step.output.name)):
                arrived[value.name] = _added(arrived.get(value.name), part)
    if way.stop.name not in arrived:
        return next(iter(signals.values())).new_zeros(way.stop.sizes(count))
    return arrived[way.stop.name]


def carry_windows(
    way: Plan, windowed: WindowedWay, trace: Trace, signal: Tensor, image: Tensor, positions: Tensor
) -> dict[str, Tensor]:
    """Single units carried through the first steps in windows.

    Args:
        way: the plan.
        windowed: its first steps, in windows.
        trace: the forward pass whose switches are used.
        signal: (m, c, 1, ...) on the units themselves.
        image: (m,) the image of the batch that each unit belongs to.
        positions: (m, axes) of each unit.

    Returns:
        By the name of the value that they have arrived at, each signal in its window.
    """
    arrived = {way.start.name: signal}
    for one in windowed.steps:
        name = one.step.output.name
        if name not in arrived:
            continue
        memory = memory_windows(
            trace.memory.get(name, {}), image, one.window.origins(positions), one.window, windowed.maps[name]
        )
        call = Call(one.step, way.rules, len(signal), trace.tensors, memory)
        for value, part in _undone(call, one.rule, arrived.pop(name)):
            own, whole = one.reached[value.name], windowed.windows[value.name]
            if one.leaves_map:
                part = zero_outside(part, own.origins(positions), windowed.maps[value.name])
            arrived[value.name] = _added(arrived.get(value.name), place(part, own.low, whole))
    return arrived


def _undone(call: Call, rule: Rule, signal: Tensor) -> Iterator[tuple[Value, Tensor]]:
    """The inputs of a step that a signal on its output reaches, and with what."""
    below = rule.down(call, signal)
    parts = below if isinstance(below, tuple) else (below,)
    for value, part in zip(call.step.signals, parts, strict=True):
        if part is not None:
            yield value, part


def _added(known: Tensor | None, part: Tensor) -> Tensor:
    return part if known is None else known + part


def _of_images(memory: Tensor, image: Int[Tensor, " m"] | None, images: int) -> Tensor:
    """What was remembered for each unit's image; a view where all units share one image."""
    if image is None:
        return memory
    image = image.to(memory.device)
    several = memory.view(images, len(memory) // images, *memory.shape[1:])
    if bool((image == image[0]).all()):
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
    single = way.bytes_down(seeds.values.element_size(), windowed)
    at_once = max(1, min(budget, _CHUNK) // single)
    shared = windowed is None or len(windowed.steps) < len(way.down)
    for chosen in _batches(seeds.images.tolist(), at_once, way.selects, shared):
        inside = [boxes[number] for number in chosen]
        if windowed is None or not windowed.steps:
            windows[chosen] = cut(_carry_batch(way, trace, seeds, chosen), inside)
        else:
            windows[chosen] = _carry_units(way, windowed, trace, seeds, chosen, inside)


def _batches(images: list[int], at_once: int, select: bool, shared: bool) -> Iterator[list[int]]:
    """Numbers of the units that are carried down together.

    Where what was remembered can be selected: any units, or units of one image if they shall share it;
    elsewhere one unit of each image, so that the batch is that of the way up.
    """
    of_image: dict[int, list[int]] = {}
    for number, image in enumerate(images):
        of_image.setdefault(image, []).append(number)
    if select and (not shared or max(map(len, of_image.values())) == 1):
        yield from (list(range(i, min(i + at_once, len(images)))) for i in range(0, len(images), at_once))
    elif select:
        for numbers in of_image.values():
            yield from (numbers[i : i + at_once] for i in range(0, len(numbers), at_once))
    else:
        for turn in range(max(map(len, of_image.values()))):
            yield [numbers[turn] for numbers in of_image.values() if turn < len(numbers)]


def _carry_batch(way: Plan, trace: Trace, seeds: Seeds, chosen: list[int]) -> Float[Tensor, "m c *size"]:
    """Some of the seeds on whole maps."""
    images = seeds.images[chosen]
    signal = torch.stack([seeds.signal(number) for number in chosen])
    if way.selects:
        return carry_down(way, trace, {way.start.name: signal}, images)
    whole = signal.new_zeros(trace.images, *signal.shape[1:])
    whole[images] = signal
    return carry_down(way, trace, {way.start.name: whole}, None)[images]


def _carry_units(
    way: Plan, windowed: WindowedWay, trace: Trace, seeds: Seeds, chosen: list[int], boxes: Sequence[Box]
) -> Float[Tensor, "m c *box"]:
    """Some of the seeds, all single units, in windows as far as these go, then on whole maps; their boxes."""
    images = seeds.images[chosen]
    positions = torch.tensor([seeds.units[number].position for number in chosen])
    arrived = carry_windows(way, windowed, trace, seeds.points(chosen), images, positions)
    if len(windowed.steps) == len(way.down) and way.stop.name in arrived:
        return arrived[way.stop.name]
    whole = {
        name: spread_out(part, windowed.windows[name].origins(positions), windowed.maps[name])
        for name, part in arrived.items()
    }
    return cut(carry_down(way, trace, whole, images, first=len(windowed.steps)), boxes)
