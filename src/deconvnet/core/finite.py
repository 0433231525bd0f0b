"""NaN and infinity, found and named."""

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from deconvnet._errors import NotFiniteError
from deconvnet._precision import remedy
from deconvnet.core.graph import Graph, Step, towards
from deconvnet.core.rules import Rule, RuleSet
from deconvnet.core.up import Trace, forward


def finite_forward(
    graph: Graph, model: nn.Module, x: Tensor, wanted: frozenset[str], rules: RuleSet, chosen: Mapping[str, Rule]
) -> Trace:
    """As `forward`, and the wanted values are finite.

    Raises:
        NotFiniteError: names the layer where NaN or infinity first appears.
    """
    overflows = Overflows(graph)
    steps = towards(graph.steps, wanted) if overflows.possible else []
    watch = {step.output.name: partial(overflows.look, step) for step in steps}
    trace = forward(graph, model, x, wanted, rules, chosen, watch)
    overflows.check()
    if not all(map(all_finite, trace.values.values())):
        check_finite(graph, model, x, wanted)
    return trace


class Overflows:
    """Where numbers of 16 bits become too large on the way up, noted without waiting for the device.

    What divides by them later is finite again, and wrong. Other types hold whatever networks compute.

    Args:
        graph: of the network.
    """

    def __init__(self, graph: Graph) -> None:
        self.possible = graph.input.dtype == torch.float16
        self._graph = graph
        self._seen: list[tuple[Step, torch.dtype, Tensor]] = []

    def look(self, step: Step, output: Tensor) -> None:
        """Note whether a step's output is below infinity; a network may have minus infinity beside its maps."""
        if self.possible and step.output.signal and output.numel():
            self._seen.append((step, output.dtype, output.amax() < math.inf))

    def check(self) -> None:
        """Raise where infinity or NaN was first seen.

        Raises:
            NotFiniteError: names the layer.
        """
        if self._seen and not bool(torch.stack([flag for *_, flag in self._seen]).all()):
            step, dtype, _ = next(seen for seen in self._seen if not bool(seen[-1]))
            raise _not_finite(self._graph, step, dtype)


def all_finite(tensor: Tensor) -> bool:
    """Whether a tensor is free of NaN and infinity, without a temporary tensor of its size."""
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return not parts.numel() or bool(torch.isfinite(torch.stack(parts.aminmax())).all())


def without_nan(tensor: Tensor) -> bool:
    """Whether a tensor is free of NaN; infinity may be in it."""
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return not parts.numel() or not bool(torch.isnan(torch.stack(parts.aminmax())).any())


def check_finite(graph: Graph, model: nn.Module, x: Tensor, wanted: frozenset[str]) -> None:
    """Raise where NaN or infinity first appears on the way to the wanted values, from finite input and weights.

    Raises:
        NotFiniteError: names the layer.
    """
    steps = towards(graph.steps, wanted)
    names = frozenset(step.output.name for step in steps if step.output.signal)
    trace = forward(graph, model, x, names, RuleSet(), {})
    for step in steps:
        value = trace.values.get(step.output.name)
        if value is not None and not all_finite(value):
            raise _not_finite(graph, step, value.dtype)


def _not_finite(graph: Graph, step: Step, dtype: torch.dtype) -> NotFiniteError:
    layer_of = {value.name: layer for layer, value in graph.layers.items()}
    return NotFiniteError(
        f"NaN or infinity first appears at layer '{layer_of.get(step.output.name, step.module)}' ({step.operation}), "
        f"from finite input and weights in {dtype}: {remedy(dtype)}, or give smaller input values."
    )


def too_large(what: str, values: Tensor, dtype: torch.dtype) -> NotFiniteError:
    """The error for finite values that a type does not hold.

    Args:
        what: holds them.
        values: in their own type.
        dtype: the type.
    """
    return NotFiniteError(f"{what} holds {float(values.abs().max()):.4g}, too large for {dtype}: {remedy(dtype)}.")


def check_signal(signal: Tensor, where: str, otherwise: str = "") -> None:
    """Raise unless a signal that has come down to a layer is finite.

    Raises:
        NotFiniteError: it overflowed.
    """
    if not all_finite(signal):
        raise NotFiniteError(
            f"the signal overflows on the way down in {signal.dtype}, first at {where}: "
            f"{remedy(signal.dtype)}{otherwise}."
        )
