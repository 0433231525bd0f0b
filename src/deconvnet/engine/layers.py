"""A network's layers: names, the one that holds the classes, and what is known of each before any image is seen."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from html import escape

from deconvnet._errors import ArgumentError, CaptureError, LayerNotFoundError, UnsupportedOperationError
from deconvnet._types import LayerInfo, Step, Value
from deconvnet.capture.trace import Graph
from deconvnet.core.rules import RuleSet, rule_for
from deconvnet.windows import receptive_field

PIXELS = "the pixels"
_CLASS_SCORES = {"aten.softmax", "aten.log_softmax", "aten._softmax", "aten._log_softmax", "aten.sigmoid"}
_COLUMNS = ("layer", "forward", "way down", "shape", "stride", "receptive field", "switches below")


def table(layers: Mapping[str, LayerInfo]) -> list[str]:
    """The lines of a table of layers, for people."""
    rows = [_COLUMNS, *map(_row, layers.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def names_of(graph: Graph) -> dict[str, str]:
    """The first layer name of each value that has a row for every image, by names of values; the input is "the pixels".

    What else lies on a way, such as tokens before images or maps that are folded into the batch, has none.
    """
    names = {value.name: name for name, value in reversed(list(graph.layers.items())) if has_rows(graph, value)}
    return {**names, graph.input.name: PIXELS}


def html_table(layers: Mapping[str, LayerInfo], heading: str) -> str:
    """The same table for a notebook: it scrolls where it is long, and has the notebook's own colours."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align: left">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"

    head, rows = row(_COLUMNS, "th"), "\n".join(row(_row(info), "td") for info in layers.values())
    return (
        f'<div style="max-height: 30em; overflow: auto" tabindex="0">\n<p>{escape(heading)}</p>\n'
        f'<table style="color: inherit">\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>'
    )


def value_of(graph: Graph, name: str) -> Value:
    """The value that a layer gives.

    Raises:
        LayerNotFoundError: there is no such layer; the nearest names are told.
    """
    if name not in graph.layers:
        near = get_close_matches(name, graph.layers, n=3, cutoff=0.3)
        near += [other for other in graph.layers if other.startswith(f"{name}[")][:3]
        raise LayerNotFoundError(
            f"the network has no layer {name!r}; the nearest names are "
            f"{', '.join(map(repr, dict.fromkeys(near))) or 'none'}. print(net) lists all."
        )
    return graph.layers[name]


def has_rows(graph: Graph, value: Value) -> bool:
    """Whether a value has one row for each image."""
    return value.shape[:1] == graph.input.shape[:1]


def rows_of(graph: Graph, name: str) -> Value:
    """The value that a layer gives, one row for each image.

    Raises:
        LayerNotFoundError: there is no such layer.
        ArgumentError: its rows are no images.
    """
    value = value_of(graph, name)
    if not has_rows(graph, value):
        raise ArgumentError(
            f"{name!r} does not have one row for each image: its maps are folded into the batch. "
            "Choose a layer before or behind."
        )
    return value


def maps_of(graph: Graph, name: str) -> Value:
    """The value that a layer gives, one row for each image and feature maps in it.

    Raises:
        LayerNotFoundError: there is no such layer.
        ArgumentError: its rows are no images, or hold but a number each.
    """
    value = rows_of(graph, name)
    if len(value.shape) < 2:
        raise ArgumentError(f"{name!r} gives one number for each image and has no feature maps: choose a layer below.")
    return value


def class_scores(graph: Graph, output: str | None) -> tuple[Value, tuple[str, ...]]:
    """The value that holds the classes, before a final softmax or sigmoid, and what to note of it.

    Args:
        graph: of the network.
        output: which of several outputs it is.

    Raises:
        ArgumentError: there is no such output, or which of several it is has to be told.
        CaptureError: it has no axis for images.
    """
    names = list(graph.outputs)
    if output is None and len(names) != 1:
        raise ArgumentError(
            f"the model returns {len(names)} tensors ({', '.join(names)}): say which holds the classes "
            f"with DeconvNet(..., output={names[0]!r})." if names else "the model returns no tensor."
        )  # fmt: skip
    name = names[0] if output is None else output
    if name not in graph.outputs:
        raise ArgumentError(f"the model returns no {name!r}; it returns {', '.join(names)}.")
    value = graph.outputs[name]
    notes: tuple[str, ...] = ()
    made: dict[str, Step] = {step.output.name: step for step in graph.steps}
    while value.name in made and made[value.name].operation in _CLASS_SCORES:
        step = made[value.name]
        notes = (f"The {step.operation.removeprefix('aten.')} at the output was skipped.",)
        value = step.inputs[0]
    if value.shape[:1] != graph.input.shape[:1]:
        images, shape = (graph.images or 1), value.sizes(graph.images or 1)
        raise CaptureError(
            f"for {images} image{'s' * (images > 1)} the model returns a tensor of shape {shape}, which has no "
            "axis for images, so no image has scores of its own: give a model that keeps the batch axis first."
        )
    return value, notes


def layer_infos(graph: Graph, rules: RuleSet) -> dict[str, LayerInfo]:
    """What is known of each layer before any image is seen."""
    words, closed = {graph.input.name: "the input"}, {}
    pools: dict[str, frozenset[str]] = {graph.input.name: frozenset()}
    kinds = {graph.input.name: "input"}
    for step in graph.steps:
        name = step.output.name
        try:
            rule = rule_for(step, rules)
            words[name], closed[name] = rule.words, rule.closed
        except UnsupportedOperationError:
            words[name] = "refused"
        kinds[name] = step.operation.removeprefix("aten.")
        open_inputs = [v for i, v in enumerate(step.signals) if i not in closed.get(name, ())]
        below = frozenset[str]().union(*(pools.get(v.name, frozenset()) for v in open_inputs))
        pools[name] = below | {name} if "max_pool" in step.operation else below
    fields = receptive_field.fields(graph.steps, graph.input, closed)
    size = tuple(length.of(1) for length in graph.input.shape[2:])
    infos = {}
    for layer, value in graph.layers.items():
        field = fields.get(value.name)
        shape = value.sizes(1)
        infos[layer] = LayerInfo(
            name=layer,
            kind=kinds[value.name],
            way_down=words[value.name],
            channels=shape[1] if len(shape) > 1 else 1,
            size=shape[2:],
            stride=None if field is None else tuple(float(axis.scale) for axis in field),
            receptive_field=size if field is None else tuple(axis.size for axis in field),
            switches_below=len(pools[value.name]),
        )
    return infos


def _row(info: LayerInfo) -> tuple[str, ...]:

    def times(numbers: Sequence[float]) -> str:
        return "x".join(f"{number:g}" for number in numbers) or "-"

    return (
        info.name or "the model itself",
        info.kind,
        info.way_down,
        times((info.channels, *info.size)),
        "-" if info.stride is None else times(info.stride),
        times(info.receptive_field),
        str(info.switches_below),
    )
