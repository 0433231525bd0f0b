"""A network's layers: names, the one that holds the classes, and what is known about each before an image is seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from html import escape

from torch import nn

from deconvnet._checks import as_index, short
from deconvnet._errors import ArgumentError, CaptureError, LayerNotFoundError, UnsupportedOperationError
from deconvnet._types import PIXELS, LayerInfo
from deconvnet.core.down import Way
from deconvnet.core.graph import Graph, Step, Value
from deconvnet.core.operations import RATED, RELU, Operation, row_of, rule_for
from deconvnet.core.rules import RuleSet
from deconvnet.windows import receptive_field

Layer = str | nn.Module

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


def layer_name(model: nn.Module, layer: Layer) -> str:
    """A layer's name, also where it is given as the module itself.

    Raises:
        ArgumentError: it is neither.
        LayerNotFoundError: the module is not one of the model's.
    """
    if isinstance(layer, str):
        return layer
    if not isinstance(layer, nn.Module):
        raise ArgumentError(f"a layer is a name or a module; got {short(layer)}.")
    for name, module in model.named_modules():
        if module is layer:
            return str(name)
    raise LayerNotFoundError(f"this {type(layer).__name__} is not a layer of the network.")


def value_of(graph: Graph, name: str) -> Value:
    """The value that a layer gives.

    Raises:
        LayerNotFoundError: no layer of that name; the message has the nearest names.
    """
    if name in graph.cut_off:
        return graph.cut_off[name]
    if name not in graph.layers:
        near = get_close_matches(name, graph.layers, n=3, cutoff=0.3)
        near += [other for other in graph.layers if other.startswith(f"{name}[")][:3]
        nearest = f"; the nearest names are {', '.join(map(repr, dict.fromkeys(near)))}" if near else ""
        raise LayerNotFoundError(
            f"the network has no layer {name!r}{nearest}. List its layers with print(net), or with deconvnet layers."
        )
    return graph.layers[name]


def has_rows(graph: Graph, value: Value) -> bool:
    """Whether a value has one row for each image."""
    return value.shape[:1] == graph.input.shape[:1]


def rows_of(graph: Graph, name: str) -> Value:
    """The value that a layer gives, one row for each image.

    Raises:
        LayerNotFoundError: no layer of that name.
        ArgumentError: its rows are not images.
    """
    value = value_of(graph, name)
    if not has_rows(graph, value):
        raise ArgumentError(
            f"{name!r} does not have one row for each image: its maps are folded into the batch. "
            "Choose an earlier or a later layer."
        )
    return value


def maps_of(graph: Graph, name: str) -> Value:
    """The value that a layer gives, one row for each image and feature maps in it.

    Raises:
        LayerNotFoundError: no layer of that name.
        ArgumentError: its rows are not images, or hold a single number each.
    """
    value = rows_of(graph, name)
    if len(value.shape) < 2:
        raise ArgumentError(f"{name!r} gives one number for each image, not feature maps: choose a layer below.")
    return value


@dataclass(frozen=True)
class ClassScores:
    """Where a network's classes are.

    Attributes:
        value: the scores, before a final softmax or sigmoid.
        output: what the model returns.
        skipped: what lies between, from the output down: "softmax", "log_softmax" or "sigmoid".
        words: the same operations as people know them from `print(net)`; of a detector those that its own answers go
            through, in their place.
        is_array: the scores have other axes than maps of the images have, so that none need be that of classes.
    """

    value: Value
    output: Value
    skipped: tuple[str, ...]
    words: tuple[str, ...]
    is_array: bool = False


def class_scores(graph: Graph, output: str | None, rows: Mapping[str, Operation]) -> ClassScores:
    """The value that holds the classes, before a final softmax or sigmoid.

    Args:
        graph: of the network.
        output: which of several outputs it is.
        rows: the table of operations.

    Raises:
        ArgumentError: not an output of the model, or it returns several and `output` is needed.
        CaptureError: it lacks an axis for images.
    """
    names = list(graph.outputs)
    if output is None and len(names) != 1:
        if not names:
            raise ArgumentError("the model returns no tensor.")
        raise ArgumentError(
            f"the model returns {len(names)} tensors ({', '.join(names)}): say which holds the classes with "
            f"DeconvNet(..., output={names[0]!r}), --class-output {names[0]}."
        )
    name = names[0] if output is None else output
    if name not in graph.outputs:
        raise ArgumentError(f"the model returns no {name!r}; it returns {', '.join(names)}.")
    value, skipped = graph.outputs[name], list[Step]()
    maker = {step.output.name: step for step in graph.steps}
    while value.name in maker and row_of(maker[value.name], rows).scores is not None:
        skipped.append(maker[value.name])
        value = skipped[-1].inputs[0]
    if not has_rows(graph, value):
        images, shape = (graph.images or 1), value.sizes(graph.images or 1)
        raise CaptureError(
            f"for {images} image{'s' * (images > 1)} the model returns a tensor of shape {shape}, which lacks "
            "an axis for images, so images do not have scores of their own: give a model that "
            "keeps the batch axis first."
        )
    kinds = tuple(row_of(step, rows).scores or "" for step in skipped)
    is_array = len(value.shape) != len(graph.input.shape) and math.prod(value.map_size) > 1
    words = _rated_by(value, maker) or tuple(step.kind for step in skipped)
    return ClassScores(value, graph.outputs[name], kinds, words, is_array)


def _rated_by(value: Value, maker: Mapping[str, Step]) -> tuple[str, ...]:
    """What makes the ratings that stand in the place of the scores, if they do."""
    step = maker.get(value.name)
    while step is not None and step.operation != RATED:
        step = maker.get(step.inputs[0].name) if len(step.inputs) == 1 else None
    return () if step is None else tuple(step.arguments["by"].split(","))


def output_name(output: str | int | None) -> str | None:
    """Which output holds the classes, as its name among `Graph.outputs`; None where it was not said.

    Raises:
        ArgumentError: neither a name nor an index.
    """
    index = as_index(output)
    if output is not None and not isinstance(output, str) and index is None:
        raise ArgumentError(f"output is the name or the index of one of the model's outputs; got {short(output)}.")
    return output if index is None else str(index)  # type: ignore[return-value]  # a text, or None


def layer_infos(graph: Graph, rules: RuleSet, rows: Mapping[str, Operation]) -> dict[str, LayerInfo]:
    """What is known about each layer before an image is seen."""
    words, blocked = {graph.input.name: "the input"}, {}
    pools: dict[str, frozenset[str]] = {graph.input.name: frozenset()}
    kinds = {graph.input.name: "input"}
    for step in graph.steps:
        name = step.output.name
        try:
            rule = rule_for(step, rules, rows)
            words[name], blocked[name] = rule.words, rule.blocked
        except UnsupportedOperationError:
            words[name] = "refused"
        kinds[name] = step.kind
        open_inputs = [value for i, value in enumerate(step.signals) if i not in blocked.get(name, ())]
        below = frozenset[str]().union(*(pools.get(value.name, frozenset()) for value in open_inputs))
        pools[name] = below | {name} if row_of(step, rows).max_pools else below
    fields = receptive_field.fields(graph.steps, graph.input, blocked, rows)
    infos = {}
    for layer, value in graph.layers.items():
        field = fields.get(value.name)
        infos[layer] = LayerInfo(
            name=layer,
            kind=kinds[value.name],
            way_down=words[value.name],
            channels=value.maps,
            size=value.map_size,
            stride=None if field is None else tuple(float(axis.scale) for axis in field),
            receptive_field=graph.input.map_size if field is None else tuple(axis.size for axis in field),
            switches_below=len(pools[value.name]),
        )
    return infos


def rectifiers(graph: Graph) -> tuple[str, ...]:
    """The layers that rectify, in the order in which the network computes them, each by its first name."""
    rectified = {step.output.name for step in graph.steps if step.operation == RELU}
    names = names_of(graph)
    return tuple(
        name for name, value in graph.layers.items() if value.name in rectified and names.get(value.name) == name
    )


def rectified_values(way: Way) -> frozenset[str]:
    """The names of the rectified values on a way: of rectifiers, of smooth activations that the rules admit in their
    place, and of the concatenation of branches that are all rectified.
    """
    names: set[str] = set()
    for step, _ in reversed(way.down):
        row = row_of(step, way.rows)
        joined = row.concatenates and all(value.name in names for value in step.signals)
        if row.rectifies or joined:
            names.add(step.output.name)
    return frozenset(names)


def _row(info: LayerInfo) -> tuple[str, ...]:

    def times(lengths: Sequence[float]) -> str:
        return "x".join(f"{length:g}" for length in lengths) or "-"

    return (
        info.name or "the model itself",
        info.kind,
        info.way_down,
        times((info.channels, *info.size)),
        "-" if info.stride is None else times(info.stride),
        times(info.receptive_field),
        str(info.switches_below),
    )
