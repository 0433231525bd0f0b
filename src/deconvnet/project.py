"""Steps down: one activation, all others zero, carried to the pixels (section 2.1 of the paper)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._errors import MemoryBudgetError
from deconvnet._types import Box, Step, Value
from deconvnet.capture import Graph
from deconvnet.forward import Trace, steps_towards
from deconvnet.receptive_field import Fields, box, fields
from deconvnet.reconstruction import Reconstruction, cut
from deconvnet.rules import Call, Rule, RuleSet, rule_for
from deconvnet.seeds import Seeds

if TYPE_CHECKING:
    pass


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
    def image_free(self) -> bool:
        """Whether nothing on the way down depends on the image."""
        return all(rule.up is None for _, rule in self.down)

    @cached_property
    def selects(self) -> bool:
        """Whether what was remembered for an image can be taken out for each of its units."""
        single = self.graph.images is None
        return single and all(
            value.image_first for step, _ in self.down for value in (step.output, *step.signals)
        )

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
        return peak

    def bytes_down(self, width: int) -> int:
        """Memory that one signal takes at its peak on the way down, from the sizes of its values."""
        live: dict[str, int] = {self.start.name: _numbers(self.start)}
        peak = _numbers(self.start)
        for step, _ in self.down:
            below = {value.name: _numbers(value) for value in step.signals}
            peak = max(peak, sum(live.values()) + 3 * max(below.values(), default=0))
            live.pop(step.output.name, None)
            for name, numbers in below.items():
                live[name] = numbers
        return peak * width


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
    way: Plan, trace: Trace, signal: Float[Tensor, "m *shape"], image: Int[Tensor, " m"] | None
) -> Float[Tensor, "m *below"]:
    """The signal carried from the plan's start to its end.

    Args:
        way: the plan.
        trace: the forward pass whose switches are used.
        signal: shaped as the plan's start, one for each of m units.
        image: the image of the batch that each signal belongs to; None if there is one for each.
    """
    signals = {way.start.name: signal}
    for step, rule in way.down:
        arrived = signals.pop(step.output.name, None)
        if arrived is None:
            continue
        remembered = trace.memory.get(step.output.name, {})
        memory = {name: _of_images(t, image, trace.images) for name, t in remembered.items()}
        below = rule.down(Call(step, way.rules, len(signal), trace.tensors, memory), arrived)
        parts = below if isinstance(below, tuple) else (below,)
        for value, part in zip(step.signals, parts, strict=True):
            if part is not None:
                known = signals.get(value.name)
                signals[value.name] = part if known is None else known + part
    arrived = signals.get(way.stop.name)
    return signal.new_zeros(way.stop.sizes(len(signal))) if arrived is None else arrived


def _of_images(memory: Tensor, image: Int[Tensor, " m"] | None, images: int) -> Tensor:
    """What was remembered for each unit's image; a view where all units share one image."""
    if image is None:
        return memory
    several = memory.view(images, len(memory) // images, *memory.shape[1:])
    if bool((image == image[0]).all()):
        chosen = several[int(image[0])].unsqueeze(0).expand(len(image), *several.shape[1:])
    else:
        chosen = several[image]
    return chosen.flatten(0, 1) if several.shape[1] > 1 else chosen.squeeze(1)


def project_seeds(way: Plan, trace: Trace, seeds: Seeds, budget: int) -> Reconstruction:
    """Every seed carried down alone, as many at a time as the memory budget allows."""
    size = tuple(length.of(1) for length in way.stop.shape[2:])
    positions = [unit.position if unit.position else None for unit in seeds.units]
    boxes = _boxes(way, positions, size)
    width = seeds.values.element_size()
    result = width * len(boxes) * math.prod(boxes[0].size) * way.stop.shape[1].of(1)
    single = way.bytes_down(width)
    if result + single > budget:
        raise MemoryBudgetError(
            f"{len(boxes)} reconstructions take about {(result + single) / 1e6:.0f} MB, and the budget is "
            f"{budget / 1e6:.0f} MB: ask for fewer units at a time, or give more with memory=."
        )
    at_once = max(1, (budget - result) // single)
    windows = None
    for chosen in _batches(seeds.images.tolist(), at_once, way.selects):
        pictures = _carry_batch(way, trace, seeds, chosen)
        cuts = cut(pictures, [boxes[i] for i in chosen])
        if windows is None:
            windows = cuts.new_zeros(len(boxes), *cuts.shape[1:])
        windows[chosen] = cuts
    corners = torch.tensor([[box.low, box.high] for box in boxes]).view(len(boxes), 2, len(size))
    return Reconstruction(
        units=seeds.units,
        activations=seeds.activations,
        windows=windows if windows is not None else seeds.values.new_zeros(0),
        boxes=corners,
        input_size=size,
        rules=way.rules,
        notes=seeds.notes,
    )


def _boxes(
    way: Plan, positions: Sequence[tuple[int, ...] | None], size: tuple[int, ...]
) -> list[Box]:
    """Each unit's box, all of one size; the whole input for what is not a single unit."""
    if way.field is None or any(position is None for position in positions):
        return [Box((0,) * len(size), size)] * len(positions)
    tight = [box(way.field, position, size) for position in positions if position is not None]
    lengths = [max(lengths) for lengths in zip(*(one.size for one in tight), strict=True)]
    return [
        Box(one.low, tuple(low + length for low, length in zip(one.low, lengths, strict=True)))
        for one in tight
    ]


def _batches(images: list[int], at_once: int, select: bool) -> Iterator[list[int]]:
    """Numbers of the units that are carried down together.

    Where what was remembered can be selected, units of one image, so that they share it; elsewhere
    one unit of each image, so that the batch is that of the way up.
    """
    of_image: dict[int, list[int]] = {}
    for number, image in enumerate(images):
        of_image.setdefault(image, []).append(number)
    if select and max(map(len, of_image.values())) == 1:
        yield from (list(range(i, min(i + at_once, len(images)))) for i in range(0, len(images), at_once))
    elif select:
        for numbers in of_image.values():
            yield from (numbers[i : i + at_once] for i in range(0, len(numbers), at_once))
    else:
        for turn in range(max(map(len, of_image.values()))):
            yield [numbers[turn] for numbers in of_image.values() if turn < len(numbers)]


def _carry_batch(
    way: Plan, trace: Trace, seeds: Seeds, chosen: list[int]
) -> Float[Tensor, "m c *size"]:
    images = seeds.images[chosen]
    signal = torch.stack([seeds.signal(number) for number in chosen])
    if way.selects:
        return carry_down(way, trace, signal, images.to(signal.device))
    whole = signal.new_zeros(trace.images, *signal.shape[1:])
    whole[images] = signal
    return carry_down(way, trace, whole, None)[images]
