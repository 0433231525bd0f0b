"""A network's layers as a table: what is known of each before any image is seen."""

from collections.abc import Mapping, Sequence
from html import escape

from deconvnet import receptive_field
from deconvnet._errors import UnsupportedOperationError
from deconvnet._types import LayerInfo
from deconvnet.capture import Graph
from deconvnet.rules import RuleSet, rule_for

PIXELS = "the pixels"
_COLUMNS = ("layer", "forward", "way down", "shape", "stride", "receptive field", "switches below")


def table(layers: Mapping[str, LayerInfo]) -> list[str]:
    """The lines of a table of layers, for people."""
    rows = [_COLUMNS, *map(_row, layers.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def names_of(graph: Graph) -> dict[str, str]:
    """The first of each value's layer names, by the names of values; the input is "the pixels"."""
    names = {value.name: name for name, value in reversed(list(graph.layers.items()))}
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
