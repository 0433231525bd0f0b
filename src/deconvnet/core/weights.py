"""A model's weights, read as they are now."""

from collections.abc import Mapping
from operator import attrgetter

from torch import Tensor, nn

from deconvnet.core.converted import Converted
from deconvnet.core.graph import Graph
from deconvnet.core.rules import Call, RuleSet


def tensors_of(graph: Graph, model: nn.Module, images: int) -> dict[str, Tensor]:
    """The weights as they are now, and what is computed of weights alone, in the graph's type."""
    tensors = {**graph.tensors, **weights_of(model, graph.weights, graph.converted)}
    for step in graph.constants:
        tensors[step.output.name] = Call(step, RuleSet(), images, tensors).compute()
    return tensors


def held_and_derived(graph: Graph, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of what `tensors_of` gave, the weights, and what was computed of them, which lies elsewhere every time."""
    derived = {step.output.name for step in graph.constants}
    return (
        {name: tensor for name, tensor in tensors.items() if name not in derived},
        {name: tensor for name, tensor in tensors.items() if name in derived},
    )


def weights_of(model: nn.Module, names: Mapping[str, str], converted: Converted | None = None) -> dict[str, Tensor]:
    """The model's weights as they are now, or converted, by the name of the value that each one fills."""
    if converted is not None:
        return {name: converted.of(dotted, attrgetter(dotted)(model)) for name, dotted in names.items()}
    tensors = {name: attrgetter(dotted)(model) for name, dotted in names.items()}
    return {name: tensor.clone() if tensor.is_inference() else tensor.detach() for name, tensor in tensors.items()}
