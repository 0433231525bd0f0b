"""How a signal goes down through what the paper does not have: sums, joins, norms, gates, smooth activations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import torch
from torch import Tensor

from deconvnet._errors import UnsupportedOperationError
from deconvnet.core.adjoint import by_adjoint, by_derivative, if_smooth_is_admitted
from deconvnet.core.graph import Size, Step, Value, per_axis
from deconvnet.core.paper import TWO_SIGNALS, relu
from deconvnet.core.rules import Call, Memory, Rule, RuleSet


def linear(step: Step, rules: RuleSet) -> Rule:
    """The adjoint."""
    return by_adjoint(step)


def reshaped(step: Step, rules: RuleSet) -> Rule:
    """The adjoint."""
    if len(step.signals) != 1 or "dtype" in step.arguments:
        return by_adjoint(step)
    return Rule("adjoint", lambda call, signal: signal.reshape(call.sizes()))


def averaged(step: Step, rules: RuleSet) -> Rule:
    """The adjoint."""
    below, above = step.inputs[0].shape, step.output.shape
    axes = frozenset(_averaged_axes(step))
    alike = (Size(1) if axis in axes else size for axis, size in enumerate(below))
    if not axes or any(below[axis].per_image for axis in axes) or above not in (
        tuple(alike), tuple(size for axis, size in enumerate(below) if axis not in axes)
    ):  # fmt: skip
        return by_adjoint(step)

    def down(call: Call, signal: Tensor) -> Tensor:  # each value spread evenly over what it is the mean of
        size = call.sizes()
        values = signal / math.prod(size[axis] for axis in axes)
        return values.reshape([1 if axis in axes else n for axis, n in enumerate(size)]).expand(size)

    return Rule("adjoint", down)


def _averaged_axes(step: Step) -> list[int]:
    """The axes over which a mean, or an adaptive average pooling to a single position, goes; empty if unclear."""
    rank, arguments = len(step.inputs[0].shape), step.arguments
    if "output_size" in arguments:
        axes = len(step.output.map_size)
        return list(range(rank - axes, rank)) if set(step.output.map_size) == {1} else []
    dim = arguments.get("dim")
    if not isinstance(dim, int | list | tuple) or not all(isinstance(axis, int) for axis in per_axis(dim, 1)):
        return []
    return [axis % rank for axis in per_axis(dim, 1)]


def add(step: Step, rules: RuleSet) -> Rule:
    """A skip connection: the same signal to both branches."""
    same = len(step.signals) == 2 and all(value.shape == step.output.shape for value in step.signals)
    if same and step.arguments.get("alpha", 1) == 1:
        return Rule("the same signal to both", lambda call, signal: (signal, signal), unchanged=True)
    return by_adjoint(step)


def detached(step: Step, rules: RuleSet) -> Rule:
    """The same signal: what a network keeps from its training is still what it computes; none under `gradient`."""
    if rules.detach == "zero":
        return Rule("nothing passes", lambda call, signal: torch.zeros_like(signal), noted="stopped")
    return Rule("the same signal", lambda call, signal: signal, unchanged=True)


def rated(step: Step, rules: RuleSet) -> Rule:
    """The same signal to the scores, and nothing to what they are compared by; see `deconvnet.core.rated`."""
    blocked = frozenset(i for i, value in enumerate(step.signals) if value != step.arguments["scores"])

    def down(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
        return tuple(None if i in blocked else signal for i in range(len(step.signals)))

    return Rule("the same signal", down, blocked=blocked, unchanged=True)


def concatenation(step: Step, rules: RuleSet) -> Rule:
    """To each branch its own part."""
    if len(step.arguments["tensors"]) > len(step.signals):
        return by_adjoint(step)

    def down(call: Call, signal: Tensor) -> tuple[Tensor, ...]:
        axis = call["dim"]
        return torch.split(signal, [call.sizes(i)[axis] for i in range(len(step.signals))], axis)

    return Rule("to each its part", down, unchanged=True)


def copied(step: Step, rules: RuleSet) -> Rule:
    """All of the signal to what is copied, nothing to what it is written over."""
    overwritten = frozenset(i for i, value in enumerate(step.signals) if value != step.arguments["src"])

    def down(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
        indices = range(len(step.signals))
        return tuple(None if i in overwritten else signal.sum_to_size(call.sizes(i)) for i in indices)

    return Rule("to what was copied", down, blocked=overwritten)


def batch_norm(step: Step, rules: RuleSet) -> Rule:
    """Its scale, as if it were folded into the filters; the shift is dropped as a bias is."""

    def down(call: Call, signal: Tensor) -> Tensor:
        (scale,) = _norm_scales([call])
        scale = scale.view(-1, *[1] * (signal.ndim - 2))
        return signal.mul_(scale) if call.own else signal * scale

    return Rule("its scale", down, fresh=True, scales=_norm_scales)


def _norm_scales(calls: Sequence[Call]) -> Sequence[Tensor]:
    """What batch norm in evaluation multiplies each map by, of many steps at once."""
    variances, weights = [call["running_var"] for call in calls], [call["weight"] for call in calls]
    scales = torch._foreach_rsqrt(torch._foreach_add(variances, [call["eps"] for call in calls]))
    if all(weight is not None for weight in weights):
        return torch._foreach_mul(scales, weights)
    return [scale if weight is None else scale * weight for scale, weight in zip(scales, weights, strict=True)]


def maximum_over_axes(step: Step, rules: RuleSet) -> Rule:
    """A maximum over whole axes is a max-pool with one window."""
    return _extreme_over_axes(step, rules, torch.argmax)


def minimum_over_axes(step: Step, rules: RuleSet) -> Rule:
    """As a maximum over whole axes, by the switches of the minimum."""
    return _extreme_over_axes(step, rules, torch.argmin)


def _extreme_over_axes(step: Step, rules: RuleSet, pick: Callable[..., Tensor]) -> Rule:
    if "other" in step.arguments:  # of two, of which one is a constant
        return nonlinear(step, rules)
    rank = len(step.inputs[0].shape)
    given = step.arguments.get("dim", [])
    axes = sorted(axis % rank for axis in ([given] if isinstance(given, int) else given)) or [*range(rank)]
    if any(step.inputs[0].shape[axis].per_image for axis in axes):
        return if_smooth_is_admitted(step, rules, "an extreme over the whole batch")
    if rules.differentiates:  # of equals to all, or to one of them, as the operation has it
        return by_derivative(of_image="switches")
    last = range(rank - len(axes), rank)

    def up(call: Call) -> tuple[Tensor, Memory]:
        below = next(tensor for v, tensor in call.tensors.items() if v == step.inputs[0].name)
        switch = pick(below.movedim(axes, list(last)).flatten(last[0]), -1)
        return call.compute(), {"switches": switch}

    def down(call: Call, signal: Tensor) -> Tensor:
        size = call.sizes()
        window = [size[axis] for axis in axes]
        rest = [length for axis, length in enumerate(size) if axis not in axes]
        values = signal.reshape(*rest, 1)
        flat = signal.new_zeros(*rest, math.prod(window))
        if rules.unpool == "average":
            flat = flat + values / flat.shape[-1]
        else:
            if rules.unpool == "switches":
                where = call.memory["switches"].expand(rest).unsqueeze(-1)
            else:
                middle = reduce(lambda flat, length: flat * length + (length - 1) // 2, window, 0)
                where = torch.full_like(values, middle, dtype=torch.int64)
            flat = flat.scatter(-1, where, values)
        return flat.view(*rest, *window).movedim(list(last), axes)

    if rules.unpool == "switches":
        return Rule("unpool by switches", down, up, "switches")
    return Rule(f"unpool to the {rules.unpool}", down)


def largest_of_maps(step: Step, rules: RuleSet) -> Rule:
    """A max-pool over several maps: to the one that was the largest, of equals to the first."""
    return _extreme_of_maps(step, rules, torch.argmax)


def smallest_of_maps(step: Step, rules: RuleSet) -> Rule:
    """As the largest of several maps: to the one that was the smallest, of equals to the first."""
    return _extreme_of_maps(step, rules, torch.argmin)


def _extreme_of_maps(step: Step, rules: RuleSet, pick: Callable[..., Tensor]) -> Rule:
    count = len(step.signals)
    if rules.differentiates:  # of equals to both, or to one of them, as the operation has it
        return by_derivative(of_image="switches")

    def up(call: Call) -> tuple[Tensor, Memory]:
        output = call.compute()
        maps = torch.stack([each.to(output.dtype).expand_as(output) for each in call["maps"]])
        return output, {"switches": pick(maps, 0).to(torch.uint8 if count <= 256 else torch.int32)}

    def down(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
        if rules.unpool == "average":
            parts = [signal / count] * count
        elif rules.unpool == "centre":
            parts = [signal if i == (count - 1) // 2 else torch.zeros_like(signal) for i in range(count)]
        else:
            parts = [signal * (call.memory["switches"] == i) for i in range(count)]
        return tuple(part.sum_to_size(call.sizes(i)) for i, part in enumerate(parts))

    if rules.unpool == "switches":
        return Rule("to the map that it was", down, up, "switches")
    return Rule("to the middle one" if rules.unpool == "centre" else "to all alike", down)


def product(step: Step, rules: RuleSet) -> Rule:
    """A product of two signals."""
    factors = [value for value in step.inputs if value.of_images]
    return by_adjoint(step) if len(factors) == 1 else if_smooth_is_admitted(step, rules, TWO_SIGNALS)


def multiplication(step: Step, rules: RuleSet) -> Rule:
    """A gate that has one value for each map, as in squeeze-and-excite, is a constant of the way up by default."""
    gate = _gate(step) if len(step.signals) == 2 else None
    if gate is not None and rules.gates == "constant":
        return _constant_gate(step, gate)
    return product(step, rules) if gate is None else by_derivative("to both factors")


def division(step: Step, rules: RuleSet) -> Rule:
    """Linear in what is divided, not in what it is divided by."""
    divisor = step.arguments["other"]
    if isinstance(divisor, Value) and divisor.signal:
        return if_smooth_is_admitted(step, rules, TWO_SIGNALS)
    return product(step, rules)


def blend(step: Step, rules: RuleSet) -> Rule:
    """Linear in the two that are blended, not in their shares."""
    return if_smooth_is_admitted(step, rules, TWO_SIGNALS) if _of_images(step, "weight") else by_adjoint(step)


def added_product(step: Step, rules: RuleSet) -> Rule:
    """Linear, unless both factors of what is added depend on the image."""
    both = _of_images(step, "tensor1") and _of_images(step, "tensor2")
    return if_smooth_is_admitted(step, rules, TWO_SIGNALS) if both else by_adjoint(step)


def added_quotient(step: Step, rules: RuleSet) -> Rule:
    """Linear, unless what is divided by depends on the image."""
    return if_smooth_is_admitted(step, rules, TWO_SIGNALS) if _of_images(step, "tensor2") else by_adjoint(step)


def sampled(step: Step, rules: RuleSet) -> Rule:
    """Linear, unless where it is sampled is itself computed from activations."""
    if len(step.signals) > 1:
        return if_smooth_is_admitted(step, rules, "sampled at positions that are computed from activations")
    return by_adjoint(step)


def _of_images(step: Step, argument: str) -> bool:
    value = step.arguments[argument]
    return isinstance(value, Value) and value.of_images


def choice(step: Step, rules: RuleSet) -> Rule:
    """Values from two signals, chosen by a constant: linear in both."""
    return by_adjoint(step) if all(value.signal for value in step.inputs) else product(step, rules)


def _gate(step: Step) -> int | None:
    """Which factor has one value per map while the other has a map; of maps that are stacked, the last two axes."""
    if len(step.signals[0].shape) != len(step.signals[1].shape):
        return None
    for first in (None, -2):
        points = [math.prod(value.map_size[first:]) for value in step.signals]
        if min(points) == 1 != max(points):
            return points.index(1)
    return None


def _constant_gate(step: Step, gate: int) -> Rule:
    def up(call: Call) -> tuple[Tensor, Memory]:
        return call.compute(), {"gate": call.tensors[step.signals[gate].name]}

    def down(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
        passed = (signal * call.memory["gate"]).sum_to_size(call.sizes(1 - gate))
        return (None, passed) if gate == 0 else (passed, None)

    return Rule("times its gate", down, up, "gates", frozenset({gate}))


def activation(step: Step, rules: RuleSet) -> Rule:
    """Refused, because the paper knows rectifiers alone, unless the rule set says what becomes of it."""
    if rules.smooth == "rectify":
        rule = relu(step, rules)
        return replace(rule, words=f"{rule.words} (smooth)", smooth="rectified")
    if rules.smooth == "gradient":
        return if_smooth_is_admitted(step, rules, "an activation")
    raise UnsupportedOperationError(
        f"cannot project through {step.where}. DeconvNet is defined for rectifiers. Treat it as one (--smooth rectify, "
        'smooth="rectify"), use its derivative (--smooth gradient, smooth="gradient"), or add a rule with @rule: see '
        "help(deconvnet.rule)."
    )


def limited(step: Step, rules: RuleSet) -> Rule:
    """Pixels kept in a range: the same signal, since pictures are signed; with forward mask where they were in it."""
    if rules.forward_mask:
        return replace(by_derivative("the same signal in the range", "masks"), noted="limited")
    return Rule("the same signal", lambda call, signal: signal, unchanged=True, noted="limited")


def own_norm(step: Step, rules: RuleSet) -> Rule:
    """Refused, unless the rule set admits derivatives: it divides by the spread of the activations themselves."""
    return if_smooth_is_admitted(step, rules, "a normalisation by the activations' own mean and spread")


def nonlinear(step: Step, rules: RuleSet) -> Rule:
    """Refused, unless the rule set admits derivatives."""
    return if_smooth_is_admitted(step, rules, "not linear and not a rectifier")
