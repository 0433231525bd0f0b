"""The paper's layers, and how a signal goes down through each (section 2.1 and figure 1).

Max-pooling is undone by the switches of the way up, a ReLU by rectifying the signal, a convolution and a
fully connected layer by their own filters, transposed. Contrast normalisation is passed over by default.
"""

import torch
from torch import Tensor

from deconvnet.core import geometry, ops, pooling
from deconvnet.core.adjoint import by_adjoint, by_derivative, if_smooth_is_admitted
from deconvnet.core.graph import Step, per_axis
from deconvnet.core.kernels import Convolution, FilterTransposed, way_of_filter_transposed
from deconvnet.core.rules import Call, Memory, Rule, RuleSet

TWO_SIGNALS = "a product of two signals"


def max_pool(step: Step, rules: RuleSet) -> Rule:
    """Unpool: each value back at the position of its maximum."""

    def up(call: Call) -> tuple[Tensor, Memory]:
        output, positions = pooling.max_pool(call)
        return output, {"switches": ops.switches(positions, call.once(pooling.windows_of))}

    def down(call: Call, signal: Tensor) -> Tensor:
        windows = call.once(pooling.windows_of)
        if rules.unpool == "average":
            return pooling.spread(signal, windows)
        if rules.unpool == "switches":
            return ops.unpool_by_switches(signal, call.memory["switches"], windows, overlap=rules.overlap)
        positions = pooling.centres(windows, signal.device)
        return ops.unpool(signal, positions, call.sizes()[2:], overlap=rules.overlap)

    if rules.unpool == "switches":
        return Rule(f"unpool by switches ({rules.overlap})", down, up, "switches", fresh=True, unpools=True)
    return Rule(f"unpool to the {rules.unpool}", down)


def relu(step: Step, rules: RuleSet) -> Rule:
    """Rectify the signal; the rule set `guided` lets it through only where the activation was positive as well."""

    def up(call: Call) -> tuple[Tensor, Memory]:
        output = call.compute()
        mask = output > 0
        return output, {"mask": mask if step.cap is None else mask & (output < step.cap)}

    def down(call: Call, signal: Tensor) -> Tensor:
        if rules.backward_rectify:
            signal = ops.rectify(signal, out=signal if call.own else None)
        return signal * call.memory["mask"] if rules.forward_mask else signal

    words = ["rectify"] * rules.backward_rectify + ["forward mask"] * rules.forward_mask
    return Rule(
        " and ".join(words) or "the same signal", down, up if rules.forward_mask else None,
        "masks" if rules.forward_mask else None,
        unchanged=not words, fresh=bool(words), rectifies=rules.backward_rectify, masks=rules.forward_mask,
    )  # fmt: skip


def convolution(step: Step, rules: RuleSet) -> Rule:
    """Filter with the same filters, transposed, without the bias."""
    if len(step.signals) > 1:
        return if_smooth_is_admitted(step, rules, TWO_SIGNALS)
    if isinstance(step.arguments["padding"], str):
        return Rule("transposed filter", by_adjoint(step).down)
    return Rule("transposed filter", _filter_transposed, fresh=True, folds=not geometry.is_transposed(step))


def _filter_transposed(call: Call, signal: Tensor) -> Tensor:
    weight = call["weight"]
    return ops.filter_transposed(signal, weight, *call.once(_settings, signal.shape, weight.shape, signal.device))


def _settings(
    call: Call, signal: torch.Size, weight: torch.Size, device: torch.device
) -> tuple[tuple[int, ...], Convolution, FilterTransposed]:
    """The size of the map below, the convolution, and the way that is fastest for it."""
    size, axes = call.sizes(), len(call.sizes()) - 2
    convolution = Convolution(
        stride=per_axis(call["stride"], axes, 1),
        padding=per_axis(call["padding"], axes),
        dilation=per_axis(call["dilation"], axes, 1),
        transposed=geometry.is_transposed(call.step),
        output_padding=per_axis(call["output_padding"], axes),
        groups=call["groups"],
    )
    return size, convolution, way_of_filter_transposed(signal, weight, size, convolution, device.type)


def fully_connected(step: Step, rules: RuleSet) -> Rule:
    """As a convolution that sees all of its input: the same weights, transposed."""
    if len(step.signals) > 1:
        return if_smooth_is_admitted(step, rules, TWO_SIGNALS)
    return Rule("transposed filter", lambda call, signal: signal @ call["weight"], fresh=True)


def local_response_norm(step: Step, rules: RuleSet) -> Rule:
    """Contrast normalisation across maps; what became of it on the way down the paper does not say."""

    def up(call: Call) -> tuple[Tensor, Memory]:
        constants = (call["size"], call["alpha"], call["beta"], call["k"])
        return call.compute(), {"divisor": response_norm_divisor(call["input"], *constants)}

    if rules.lrn == "identity":
        return Rule("the same signal", lambda call, signal: signal, unchanged=True)
    if rules.lrn == "divisor":
        return Rule("times its divisor", lambda call, signal: signal * call.memory["divisor"], up, "divisors")
    return by_derivative()


def response_norm(input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Local response normalisation, as in PyTorch; of 16 bits in 32, because their squares overflow."""
    wide = input.float() if input.dtype == torch.float16 else input
    return torch.nn.functional.local_response_norm(wide, size, alpha, beta, k).to(input.dtype)


def response_norm_divisor(below: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """What local response normalisation across maps divides by: (k + alpha * mean square)^beta.

    The mean runs over `size` neighbouring maps, zeros beyond the first and the last, as in PyTorch.
    """
    wide = below.float() if below.dtype == torch.float16 else below
    squares = wide.square().flatten(2).unsqueeze(1)
    padded = torch.nn.functional.pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = torch.nn.functional.avg_pool2d(padded, (size, 1), stride=1)
    return (k + alpha * mean).pow(beta).view(below.shape)
