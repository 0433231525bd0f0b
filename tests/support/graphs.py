"""Two captures of one model, compared step by step."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from deconvnet.core.graph import Graph, Step, Value


def described(graph: Graph) -> list[Any]:
    """All that a graph consists of, with its values by the order in which they are met and not by their names."""
    return _Description(graph).all()


class _Description:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.orders: dict[str, int] = {}

    def all(self) -> list[Any]:
        graph = self.graph
        steps = [self.of(step) for step in (graph.input, *graph.constants, *graph.steps)]
        names = [self.of(layers) for layers in (graph.layers, graph.cut_off)]
        weights = sorted((self.orders.get(name, -1), dotted) for name, dotted in graph.weights.items())
        tensors = sorted((self.orders.get(name, -1), str(tensor)) for name, tensor in graph.tensors.items())
        holds_for = [images for images in range(1, 40) if graph.holds_for(images)]
        assumed = sorted((self.orders.get(name, -1), content) for name, content in graph.assumed.items())
        return [*steps, *names, self.of(graph.outputs), weights, tensors, graph.images, holds_for, assumed]

    def of(self, part: Any) -> Any:
        """A step, an argument or a function as plain data."""
        if isinstance(part, Value):
            order = self.orders.setdefault(part.name, len(self.orders))
            return (order, part.shape, part.signal, part.varies, part.dtype)
        if isinstance(part, Step):
            parts = (part.arguments, part.inputs, part.output, part.function)
            return (part.operation, *map(self.of, parts), part.module, part.cap)
        if isinstance(part, Mapping):
            return {name: self.of(inner) for name, inner in part.items()}
        if isinstance(part, list | tuple):
            return [self.of(inner) for inner in part]
        if isinstance(part, partial):
            return self.of([part.func, part.args, part.keywords])
        if isinstance(part, Tensor):
            return part.tolist()
        if type(part).__module__.startswith("deconvnet.capture"):  # a function that is made of others
            return [type(part), *(self.of(inner) for name, inner in vars(part).items() if name != "uniform")]
        return part
