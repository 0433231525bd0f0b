"""Steps down: a signal carried from one layer of a network to another, on whole maps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

from torch import Tensor

from deconvnet.core.graph import Graph, Step, Value, check_signal_starts
from deconvnet.core.operations import Operation, rule_for
from deconvnet.core.rules import Call, Memory, OfImage, Rule, RuleSet
from deconvnet.core.up import Trace

Watch = Callable[[Value, Tensor], object]


@dataclass(frozen=True, eq=False)
class Way:
    """What is undone from one value down to another.

    Attributes:
        graph: of the network.
        start: the value that the signal starts on.
        stop: the value that it is carried to.
        rules: the rule set.
        rows: the table of operations as it was.
        down: steps and their rules, in the order of the way down.
    """

    graph: Graph
    start: Value
    stop: Value
    rules: RuleSet
    rows: Mapping[str, Operation]
    down: tuple[tuple[Step, Rule], ...]

    @cached_property
    def chosen(self) -> Mapping[str, Rule]:
        """The rule of each step, by the name of its output."""
        return {step.output.name: rule for step, rule in self.down}

    @property
    def image_free(self) -> bool:
        """Whether nothing on the way down depends on the image."""
        return not self.of_image

    @cached_property
    def of_image(self) -> tuple[OfImage, ...]:
        """What the way down takes from the image, in the order of `OfImage`."""
        taken = {rule.of_image for _, rule in self.down}
        return tuple(kind for kind in get_args(OfImage) if kind in taken)

    @cached_property
    def images_apart(self) -> bool:
        """Whether each image has rows of its own in every value, so that each unit can go down alone."""
        values = [value for step, _ in self.down for value in (step.output, *step.signals)]
        return self.graph.images is None and all(value.image_first for value in values)


def way_down(graph: Graph, start: Value, stop: Value, rules: RuleSet, rows: Mapping[str, Operation]) -> Way:
    """The steps between two values and how each is undone.

    Raises:
        ArgumentError, UnsupportedOperationError: the network, or these rules, let no signal pass.
    """
    check_signal_starts(graph, start)
    reachable = {stop.name}
    for step in graph.steps:
        if step.output.signal and any(value.name in reachable for value in step.signals):
            reachable.add(step.output.name)
    wanted, down = {start.name}, []
    for step in reversed(graph.steps):
        if step.output.name in wanted & reachable and step.output != stop:
            rule = rule_for(step, rules, rows)
            down.append((step, rule))
            wanted.update(value.name for value in rule.open_signals(step))
    return Way(graph, start, stop, rules, rows, tuple(down))


def carry_down(
    way: Way, trace: Trace, arrived: dict[str, Tensor], steps: slice = slice(None), watch: Watch | None = None
) -> None:
    """Carry what has arrived at some values through steps of the way, to the values below (figure 1 of the paper).

    Args:
        way: what is undone.
        trace: the forward pass whose switches are used; one image of it for each signal.
        arrived: the signal that has come to each value, by name; taken out when carried on, added where branches meet.
            None of these is written over, only signals that are made on the way.
        steps: of the way; all by default.
        watch: called with a value as soon as all of its signal has come.
    """
    own: set[str] = set()  # of what has arrived, the values whose signal nothing else holds
    for step, rule in way.down[steps]:
        name = step.output.name
        signal = arrived.pop(name, None)
        if signal is None:
            continue
        if watch is not None:
            watch(step.output, signal)
        memory = trace.memory.get(name, _NOTHING)
        call = Call(step, way.rules, trace.images, trace.tensors, memory, name in own and watch is None)
        for value, part in undone(call, rule, signal):
            before = arrived.get(value.name)
            if before is not None:
                part = part.add_(before) if rule.fresh else part + before
            if before is not None or rule.fresh:
                own.add(value.name)
            arrived[value.name] = part


def undone(call: Call, rule: Rule, signal: Tensor) -> list[tuple[Value, Tensor]]:
    """The inputs of a step that a signal on its output reaches, and with what, each in the input's own dtype."""
    below = rule.down(call, signal)
    parts = below if isinstance(below, tuple) else (below,)
    return [
        (value, part if part.dtype == value.dtype else part.to(value.dtype))
        for value, part in zip(call.step.signals, parts, strict=True)
        if part is not None
    ]


_NOTHING: Memory = {}
