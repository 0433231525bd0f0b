"""What is not in the paper and needs no rule of its own: linear operations go down by their adjoint, smooth ones,
where they are admitted, by their derivative.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deconvnet._errors import UnsupportedOperationError
from deconvnet.core.graph import Step
from deconvnet.core.rules import Call, Memory, OfImage, Rule, RuleSet


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
        try:
            signals: Sequence[Any] = torch.autograd.grad(output, leaves, signal, allow_unused=True)
        except RuntimeError as fault:
            if "fork" not in str(fault):
                raise
            return _node_by_node(output, leaves, signal)
    return tuple(signals)


def _node_by_node(output: Tensor, leaves: Sequence[Tensor], signal: Tensor) -> tuple[Tensor | None, ...]:
    """What torch.autograd.grad gives, which refuses to work in processes forked from one that has used it."""
    reached: list[Tensor | None] = [None] * len(leaves)
    waiting: dict[Any, dict[int, Tensor]] = {output.grad_fn: {output.output_nr: signal}}
    while waiting:
        node = max(waiting, key=lambda node: node._sequence_nr())  # made last, so all of its signal is there
        signals = waiting.pop(node)
        if hasattr(node, "variable"):
            i = next(i for i, leaf in enumerate(leaves) if leaf is node.variable)
            reached[i] = signals[0] if (before := reached[i]) is None else before + signals[0]
            continue
        below = node(*(signals.get(i) for i in range(len(node._input_metadata))))
        for (lower, i), part in zip(node.next_functions, below if isinstance(below, tuple) else (below,), strict=True):
            if lower is not None and part is not None:
                part = part.sum_to_size(lower._input_metadata[i].shape)  # of what was broadcast on the way up
                of_lower = waiting.setdefault(lower, {})
                of_lower[i] = of_lower[i] + part if i in of_lower else part
    return tuple(reached)


def by_adjoint(step: Step) -> Rule:
    """The rule of a step that is linear in its signals."""
    others = [value for value in step.inputs if not value.signal]
    of_image: OfImage | None = "factors" if any(value.of_images for value in others) else None
    return Rule("adjoint", _adjoint, _remember_others if others else None, of_image)


def by_derivative(words: str = "derivative", of_image: OfImage = "derivatives") -> Rule:
    """The rule that differentiates a step where the forward pass was."""
    return Rule(words, _derivative, _remember_all, of_image)


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
        return replace(by_derivative(), smooth="differentiated")
    raise UnsupportedOperationError(
        f"cannot project through {step.where}: it is {what}, for which DeconvNet does not have a rule. Use its "
        'derivative (--smooth gradient, smooth="gradient"), or add a rule with @rule: see help(deconvnet.rule).'
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
