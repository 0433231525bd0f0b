"""Which layers an experiment looks at where none are named: a low one, the last hidden one, and the last map."""

import math

from deconvnet._errors import ArgumentError
from deconvnet.core.graph import Graph, Step, Value, towards
from deconvnet.core.operations import row_of
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import class_scores, names_of


def low_and_high(attached: Attachment, graph: Graph) -> tuple[str, str]:
    """The first layer that rectifies, and the last hidden layer.

    Raises:
        ArgumentError: the network lacks one of them.
    """
    rows, names, high = attached.operations.rows, names_of(graph), _last_hidden(attached, graph)
    below = towards(graph.steps, {high.name})
    low = next((step for step in below if row_of(step, rows).rectifies and step.output.name in names), None)
    if low is None or low.output == high:
        raise _none_below(names[high.name])
    return names[low.output.name], names[high.name]


def map_and_high(attached: Attachment, graph: Graph) -> tuple[str, str]:
    """The last layer whose maps are larger than those of the last hidden layer, which it lies below, and that layer.

    Raises:
        ArgumentError: the network lacks one of them.
    """
    names, high = names_of(graph), _last_hidden(attached, graph)
    for step in reversed(towards(graph.steps, {high.name})):
        if step.output.name in names and math.prod(step.output.map_size) > math.prod(high.map_size):
            return names[step.output.name], names[high.name]
    raise _none_below(names[high.name])


def _last_hidden(attached: Attachment, graph: Graph) -> Value:
    """What the last layer with weights makes the classes of, before it is only flattened.

    Raises:
        ArgumentError: no layer lies below the classes.
    """
    rows, names = attached.operations.rows, names_of(graph)
    scores = class_scores(graph, attached.output, rows).value
    steps = towards(graph.steps, {scores.name})
    maker = {step.output.name: step for step in steps}
    last = next((step for step in reversed(steps) if row_of(step, rows).filters and step.signals), None)
    value = last.signals[0] if last is not None else graph.input

    def flattens(step: Step | None) -> bool:
        if step is None or not row_of(step, rows).copies or len(step.signals) != 1:
            return False
        return step.signals[0].numbers == step.output.numbers and step.signals[0].name in names

    while flattens(maker.get(value.name)):
        value = maker[value.name].signals[0]
    if value == graph.input or value.name not in names:
        raise ArgumentError("no hidden layer lies below the classes: name the layers, layers=[...], --layer.")
    return value


def _none_below(high: str) -> ArgumentError:
    return ArgumentError(f"no layer to compare {high!r} with lies below it: name the layers, layers=[...], --layer.")
