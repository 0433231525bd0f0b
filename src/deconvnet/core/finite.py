"""NaN and infinity, found and named."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from deconvnet._errors import NotFiniteError
from deconvnet.core.graph import Graph, towards
from deconvnet.core.rules import Rule, RuleSet
from deconvnet.core.up import Trace, forward


def finite_forward(
    graph: Graph, model: nn.Module, x: Tensor, wanted: frozenset[str], rules: RuleSet, chosen: Mapping[str, Rule]
) -> Trace:
    """As `forward`, and the wanted values are finite.

    Raises:
        NotFiniteError: names the layer where NaN or infinity first appears.
    """
    trace = forward(graph, model, x, wanted, rules, chosen)
    if not all(map(all_finite, trace.values.values())):
        check_finite(graph, model, x, wanted)
    return trace


def all_finite(tensor: Tensor) -> bool:
    """Whether a tensor is free of NaN and infinity, without a temporary tensor of its size."""
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return not parts.numel() or bool(torch.isfinite(torch.stack(parts.aminmax())).all())


def check_finite(graph: Graph, model: nn.Module, x: Tensor, wanted: frozenset[str]) -> None:
    """Raise where NaN or infinity first appears on the way to the wanted values, from finite input and weights.

    Raises:
        NotFiniteError: names the layer.
    """
    steps = towards(graph.steps, wanted)
    names = frozenset(step.output.name for step in steps if step.output.signal)
    trace = forward(graph, model, x, names, RuleSet(), {})
    layer_of = {value.name: layer for layer, value in graph.layers.items()}
    for step in steps:
        value = trace.values.get(step.output.name)
        if value is not None and not all_finite(value):
            layer = layer_of.get(step.output.name, step.module)
            raise NotFiniteError(
                f"NaN or infinity first appears at layer '{layer}' ({step.operation}), from finite input "
                f"and weights in {value.dtype}; try a wider floating-point type or smaller input values."
            )


def check_signal(signal: Tensor, otherwise: str = "") -> None:
    """Raise unless a signal that was carried down is finite.

    Raises:
        NotFiniteError: it overflowed.
    """
    if not all_finite(signal):
        raise NotFiniteError(
            f"the signal overflows on the way down in {signal.dtype}: use a wider floating-point type{otherwise}."
        )
