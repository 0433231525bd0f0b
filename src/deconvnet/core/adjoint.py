"""What is not in the paper and needs no rule of its own: linear operations go down by their adjoint, smooth ones,
where they are admitted, by their derivative.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deconvnet._errors import UnsupportedOperationError
from deconvnet.core.graph import Step
from deconvnet.core.rules import Call, Memory, Rule, RuleSet


def adjoint(
    function: Callable[..., Tensor],
    shapes: Sequence[Sequence[int]],
    dtypes: Sequence[torch.dtype | None],
    signal: Tensor,
) -> tuple[Tensor | None, ...]:
    """The signal carried down through the adjoint of a linear function of several tensors.

    Args:
        function: linear (or affine: its constant does not count) in its arguments.
        shapes: of each argument.
        dtypes: of each argument; None for the signal's.
        signal: on its output.

    Returns:
        For each argument the signal that reaches it; None where the function does not use it.
    """
    at = [signal.new_zeros(1, dtype=dtype).expand(*shape) for dtype, shape in zip(dtypes, shapes, strict=True)]
    return derivative(function, at, signal)


def derivative(function: Callable[..., Tensor], at: Sequence[Tensor], signal: Tensor) -> tuple[Tensor | None, ...]:
    """The signal carried down through the transposed derivative of a function at a point.

    Args:
        function: differentiable in its arguments.
        at: the point, one tensor per argument.
        signal: on its output.

    Returns:
        For each argument the signal that reaches it; None where the function does not use it.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in at]
        output = function(*leaves)
        if not output.requires_grad:  # nothing of the argument reaches the output
            return tuple(None for _ in leaves)
        signals: Sequence[Any] = torch.autograd.grad(output, leaves, signal, allow_unused=True)
    return tuple(signals)


def by_adjoint(step: Step) -> Rule:
    """The rule of a step that is linear in its signals."""
    others = any(not value.signal for value in step.inputs)
    return Rule("adjoint", _adjoint, _remember_others if others else None)


def by_derivative(words: str = "derivative") -> Rule:
    """The rule that differentiates a step where the forward pass was."""
    return Rule(words, _derivative, _remember_all)


def if_smooth_is_admitted(step: Step, rules: RuleSet, what: str) -> Rule:
    """The rule of a step that the paper does not know: its derivative, where the rule set says so.

    Args:
        step: the step.
        rules: the rule set.
        what: the step is, for the message.

    Raises:
        UnsupportedOperationError: it does not.
    """
    if rules.smooth == "gradient":
        return Rule("derivative", _derivative, _remember_all, smooth="differentiated")
    raise UnsupportedOperationError(
        f"cannot project through {step.where}: it is {what}, for which DeconvNet does not have a rule. "
        'Pass smooth="gradient" to use its derivative, or add a rule with @rule; see docs/extend.md.'
    )


def _adjoint(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
    signals = call.step.signals
    shapes = [value.sizes(call.images) for value in signals]
    return adjoint(lambda *at: call.compute_from(iter(at)), shapes, [value.dtype for value in signals], signal)


def _derivative(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
    at = [call.memory[value.name] for value in call.step.signals]
    return derivative(lambda *signals: call.compute_from(iter(signals)), at, signal)


def _remember_others(call: Call) -> tuple[Tensor, Memory]:
    others = {v.name: call.tensors[v.name] for v in call.step.inputs if not v.signal}
    return call.compute(), others


def _remember_all(call: Call) -> tuple[Tensor, Memory]:
    return call.compute(), {v.name: call.tensors[v.name] for v in call.step.inputs}
