"""A model's weights, read as they are now."""

from collections.abc import Mapping
from operator import attrgetter

from torch import Tensor, nn

from deconvnet.core.graph import Graph
from deconvnet.core.rules import Call, RuleSet


def tensors_of(graph: Graph, model: nn.Module, images: int) -> dict[str, Tensor]:
    """The weights as they are now, and what is computed of weights alone."""
    tensors = {**graph.tensors, **weights_of(model, graph.weights)}
    for step in graph.constants:
        tensors[step.output.name] = Call(step, RuleSet(), images, tensors).compute()
    return tensors


def weights_of(model: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The model's weights as they are now, by the name of the value that each one fills."""
    tensors = {name: attrgetter(dotted)(model) for name, dotted in names.items()}
    return {name: tensor.clone() if tensor.is_inference() else tensor.detach() for name, tensor in tensors.items()}
