"""A deconvnet attached to a network: its captures, its rules, and the ways down found so far."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._errors import ArgumentError
from deconvnet._memory import free_bytes, in_bytes
from deconvnet._precision import AS_THE_WEIGHTS, Arithmetic
from deconvnet._types import Precision
from deconvnet.capture.captures import Captures
from deconvnet.capture.untouched import computing
from deconvnet.core.down import way_down
from deconvnet.core.graph import Graph, Value
from deconvnet.core.operations import OperationTable
from deconvnet.core.rules import RuleSet
from deconvnet.engine.costs import Costs
from deconvnet.engine.directions import Directions, with_directions
from deconvnet.engine.layers import ClassScores, Layer, class_scores, layer_name, maps_of
from deconvnet.models.class_names import check_label_count


@dataclass(frozen=True, eq=False)
class Attachment:
    """The captures, rules and budget that every request to a network uses.

    Attributes:
        captures: of the network, by input size.
        rules: the rule set.
        operations: the table of operations.
        output: which of several outputs holds the classes.
        memory: budget in bytes; a quarter of what is free where None.
        labels: names of the classes, where they are known.
        arithmetic: how it is computed.
        directions: layers that hang on the network's own.
    """

    captures: Captures
    rules: RuleSet
    operations: OperationTable
    output: str | None
    memory: int | None
    labels: Sequence[str] | None = None
    arithmetic: Arithmetic = AS_THE_WEIGHTS
    directions: tuple[Directions, ...] = ()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """All passes up and down run inside: as `capture.untouched.computing`, with the attachment's arithmetic."""
        with computing(), self.arithmetic.held():
            yield

    @property
    def precision(self) -> Precision:
        """What it is computed in: a type, or "tf32"."""
        own: Any = str(self.captures.like_model().dtype).removeprefix("torch.")
        return self.arithmetic.precision or own

    @property
    def model(self) -> nn.Module:
        """The network itself."""
        return self.captures.model

    def own_graph(self) -> Graph:
        """The capture for images of the example's size, in the type and on the device of the weights."""
        return self.graph(self.captures.like_model())

    def graph(self, x: Float[Tensor, "n c *spatial"], *, look_for_nan: bool = True) -> Graph:
        """The capture for these images, as `Captures.graph`, with the directions."""
        return with_directions(self.captures.graph(x, look_for_nan=look_for_nan), self.directions, x.device)

    def layer_name(self, layer: Layer) -> str:
        """A layer's name."""
        return layer_name(self.model, layer)

    def budget(self, memory: str | int | None) -> int:
        """Bytes that a call may take: its own budget, or else the attachment's."""
        if memory is not None:
            return in_bytes(memory)
        return free_bytes(self.captures.example.device) if self.memory is None else self.memory

    def costs(self, graph: Graph, layer: Layer, to: Layer | None = None) -> Costs:
        """The way down from a layer, and what it costs.

        Raises:
            LayerNotFoundError, ArgumentError: no such layer, or no signal travels between the two.
            UnsupportedOperationError: it cannot be undone under these rules.
        """
        name = self.layer_name(layer)
        return self._costs(graph, name, maps_of(graph, name), to)

    def costs_of_classes(self, graph: Graph, to: Layer | None = None) -> tuple[Costs, ClassScores]:
        """The way down from the class scores; as `costs`."""
        scores = class_scores(graph, self.output, self.operations.rows)
        name = next((n for n, value in graph.layers.items() if value == scores.value), "output")
        return self._costs(graph, name, scores.value, to), scores

    def costs_from(self, graph: Graph, layer: str) -> Costs:
        """The way down from where a result's units are: a layer, or classes that are not maps of one."""
        value = graph.layers.get(layer)
        if value is None or len(value.shape) < 2:
            return self.costs_of_classes(graph)[0]
        return self.costs(graph, layer)

    def check_labels(self, labels: Sequence[str] | None) -> None:
        """Raise unless there is a label for each class of the output that holds them, or of one of several.

        Raises:
            ArgumentError: there is not.
        """
        if labels is not None:
            graph = self.own_graph()
            one_holds_them = self.output is not None or len(graph.outputs) == 1
            values = (
                [class_scores(graph, self.output, self.operations.rows).value]
                if one_holds_them
                else graph.outputs.values()
            )
            check_label_count(labels, {value.maps for value in values})

    def _costs(self, graph: Graph, name: str, start: Value, to: Layer | None) -> Costs:
        stop = graph.input if to is None else maps_of(graph, self.layer_name(to))
        rows, key = self.operations.rows, (name, start.name, stop.name, self.rules)
        costs: Costs | None = graph.ways.get(key)
        if costs is None or costs.way.rows is not rows:
            way = way_down(graph, start, stop, self.rules, rows)
            ends = {value.name for step, rule in way.down for value in rule.open_signals(step)}
            if start != stop and stop.name not in ends:
                raise ArgumentError(f"no signal travels from {name!r} down to the layer that `to` names.")
            costs = graph.ways[key] = Costs(name, way)
        return costs
