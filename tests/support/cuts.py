"""Layers that all of a class's signal passes through."""

from support.comparing import assert_equal
from torch import Tensor

from deconvnet import DeconvNet
from deconvnet.engine.layers import has_rows
from deconvnet.network import attached as attached_to


def cuts(net: DeconvNet, x: Tensor) -> list[str]:
    """The layers that all of the signal of the class passes through on its way to the pixels, a row for each image."""
    graph = attached_to(net).captures.graph(x)
    way = attached_to(net).costs_of_classes(graph)[0].way
    top = way.start

    def leads_down_without(name: str) -> bool:
        reached = {top.name} - {name}
        for step, rule in way.down:
            if step.output.name in reached and step.output.name != name:
                reached |= {v.name for i, v in enumerate(step.signals) if i not in rule.blocked and v.name != name}
        return graph.input.name in reached

    named = [(layer, value) for layer, value in graph.layers.items() if has_rows(graph, value)]
    return [layer for layer, value in named if value.name in way.chosen and not leads_down_without(value.name)]


def agree_at_every_cut(net: DeconvNet, x: Tensor) -> list[str]:
    straight, layers = net.explain(x).full(), cuts(net, x)
    for layer in layers:
        stopped = net.explain(x, to=layer).full()
        assert_equal(net.project(x, layer, start=stopped).full(), straight)
    return layers
