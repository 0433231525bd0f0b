"""The rules: for each operation, what to remember on the way up and what to do on the way down.

Everything linear goes down by its adjoint. What is not linear has a row of its own, or is refused:
a signal never goes down by a derivative that nobody asked for.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from deconvnet._errors import ArgumentError, UnsupportedOperationError
from deconvnet._types import Size, Step, Value
from deconvnet.core import ops

Smooth = Literal["refuse", "rectify", "gradient"]
Memory = Mapping[str, Tensor]


@dataclass(frozen=True)
class RuleSet:
    """One way down: a point in the space that Mahendran and Vedaldi (2016) laid out.

    Attributes:
        forward_mask: at a ReLU, let the signal through only where the activation was positive.
        backward_rectify: at a ReLU, rectify the signal.
        unpool: "switches" puts a value back where the maximum was, "centre" in the middle of the
            window, "average" evenly over the window.
        overlap: where pooling windows share a switch, "sum" or "max" (of magnitude) of their values.
        lrn: local response normalisation is passed over ("identity"), undone by multiplying with the
            divisor of the way up ("divisor"), or differentiated ("gradient").
        gates: in a product with a map of a single value, as in squeeze-and-excite, the single value
            is a "constant" of the way up, or both are signals ("product").
        smooth: activations that are not rectifiers are refused, treated as rectifiers ("rectify") or
            differentiated ("gradient"); "gradient" admits other smooth operations as well.

    The values named `deconvnet`, `guided` and `gradient` are `RULE_SETS`.

    Example:
        >>> RuleSet(unpool="centre").name
        'deconvnet, unpool=centre'
    """

    forward_mask: bool = False
    backward_rectify: bool = True
    unpool: Literal["switches", "centre", "average"] = "switches"
    overlap: Literal["sum", "max"] = "sum"
    lrn: Literal["identity", "divisor", "gradient"] = "identity"
    gates: Literal["constant", "product"] = "constant"
    smooth: Smooth = "refuse"

    def __post_init__(self) -> None:
        for option in fields(self):
            allowed = get_args(option.type) or (True, False)
            value = getattr(self, option.name)
            if value not in allowed:
                raise ArgumentError(f"{option.name} is one of {allowed}; got {value!r}.")

    @property
    def name(self) -> str:
        """The nearest named set and what differs from it; never a bare name for something else."""
        differences = {
            name: [
                f"{option.name}={getattr(self, option.name)}"
                for option in fields(self)
                if getattr(self, option.name) != getattr(named, option.name)
            ]
            for name, named in RULE_SETS.items()
        }
        nearest = min(differences, key=lambda name: len(differences[name]))
        return ", ".join([nearest, *differences[nearest]])


RULE_SETS: Mapping[str, RuleSet] = {
    "deconvnet": RuleSet(),
    "guided": RuleSet(forward_mask=True),
    "gradient": RuleSet(forward_mask=True, backward_rectify=False, lrn="gradient", gates="product"),
}


def rule_set(rules: str | RuleSet, smooth: Smooth | None = None) -> RuleSet:
    """A rule set by name or as it is, with another treatment of smooth operations if one is given.

    Raises:
        ArgumentError: no rule set of that name.
    """
    if isinstance(rules, str):
        if rules not in RULE_SETS:
            raise ArgumentError(f"no rule set is called {rules!r}: use one of {', '.join(RULE_SETS)}, or a RuleSet.")
        rules = RULE_SETS[rules]
    if not isinstance(rules, RuleSet):
        raise ArgumentError(f"rules is a name or a RuleSet; got {type(rules).__name__}.")
    return rules if smooth is None else replace(rules, smooth=smooth)


@dataclass(frozen=True)
class Call:
    """One run of a step, as a rule sees it.

    Attributes:
        step: what runs.
        rules: the rule set.
        images: batch size: of the images on the way up, of the signals on the way down.
        tensors: the weights by name; on the way up the step's inputs as well.
        memory: on the way down, what the rule's `up` remembered; first axis `images`.
    """

    step: Step
    rules: RuleSet
    images: int
    tensors: Mapping[str, Tensor]
    memory: Memory = field(default_factory=dict)

    def __getitem__(self, argument: str) -> Any:
        """An argument of the operation, by the name in its schema; None if it has none such."""
        return fill(self.step.arguments.get(argument), self.images, self._tensor)

    def compute(self) -> Tensor:
        """What the step computes (on the way up)."""
        result: Tensor = self.step.function(**fill(dict(self.step.arguments), self.images, self._tensor))
        return result

    def compute_from(self, signals: Iterator[Tensor]) -> Tensor:
        """What the step computes from other signals, the rest as remembered."""

        def tensor(value: Value) -> Any:
            if value.signal:
                return next(signals)
            return self.memory[value.name] if value.varies else self._tensor(value)

        result: Tensor = self.step.function(**fill(dict(self.step.arguments), self.images, tensor))
        return result

    def sizes(self, signal: int = 0) -> tuple[int, ...]:
        """Shape of one of the inputs to which signals travel."""
        return self.step.signals[signal].sizes(self.images)

    def _tensor(self, value: Value) -> Any:
        return self.tensors.get(value.name, value)


def fill(arguments: Any, images: int, tensor: Callable[[Value], Any]) -> Any:
    """Arguments with each `Size` as a number and each `Value` as what `tensor` gives for it."""
    if isinstance(arguments, Value):
        return tensor(arguments)
    if isinstance(arguments, Size):
        return arguments.of(images)
    if isinstance(arguments, list | tuple):
        return [fill(argument, images, tensor) for argument in arguments]
    if isinstance(arguments, dict):
        return {name: fill(argument, images, tensor) for name, argument in arguments.items()}
    return arguments


@dataclass(frozen=True)
class Rule:
    """How one step is undone.

    Attributes:
        words: the way down in a few words, for people.
        down: (call, signal on the output) -> signal on the input; a tuple where there are several,
            None for one that gets nothing.
        up: call -> (output, what to remember); None when nothing need be remembered, and the way
            down through this step is then the same for every image.
        closed: numbers of the signal inputs that get nothing.
    """

    words: str
    down: Callable[[Call, Tensor], Tensor | tuple[Tensor | None, ...]]
    up: Callable[[Call], tuple[Tensor, Memory]] | None = None
    closed: frozenset[int] = frozenset()


Choose = Callable[[Step, RuleSet], Rule]
_TABLE: dict[str, Choose] = {}


def rule_for(step: Step, rules: RuleSet) -> Rule:
    """The rule for a step under a rule set.

    Raises:
        UnsupportedOperationError: there is none.
    """
    choose = _TABLE.get(step.operation)
    if choose is None:
        raise UnsupportedOperationError(
            f"cannot project through {step.place}: there is no rule for this operation. "
            "Add one with @rule; see docs/extend.md."
        )
    return choose(step, rules)


def rule(
    *operations: str,
    words: str = "a rule of your own",
    up: Callable[[Call], tuple[Tensor, Memory]] | None = None,
) -> Callable[[Callable[[Call, Tensor], Any]], Callable[[Call, Tensor], Any]]:
    """Make the decorated function the way down through an operation, under every rule set.

    Args:
        operations: as an UnsupportedOperationError or `print(net)` names them, such as "aten.silu"
            or "mylib.myop"; an overload (".default") is left out.
        words: for the table that `print(net)` shows.
        up: what computes the output and remembers, if the way down needs anything of the image.

    Example:
        >>> @rule("aten.softplus", words="rectify")
        ... def softplus(call, signal):
        ...     return signal.clamp(min=0)
    """

    def register(down: Callable[[Call, Tensor], Any]) -> Callable[[Call, Tensor], Any]:
        for operation in operations:
            _TABLE[operation.replace("::", ".")] = _always(Rule(words, down, up))
        return down

    return register


def _always(one: Rule) -> Choose:
    return lambda step, rules: one


def _table(*operations: str) -> Callable[[Choose], Choose]:
    def register(choose: Choose) -> Choose:
        _TABLE.update(dict.fromkeys(operations, choose))
        return choose

    return register


# Linear operations: the adjoint.


def _adjoint(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
    shapes = [call.sizes(i) for i in range(len(call.step.signals))]
    return ops.adjoint(lambda *signals: call.compute_from(iter(signals)), shapes, signal)


def _remember_others(call: Call) -> tuple[Tensor, Memory]:
    others = {v.name: call.tensors[v.name] for v in call.step.inputs if not v.signal}
    return call.compute(), others


def _remember_all(call: Call) -> tuple[Tensor, Memory]:
    return call.compute(), {v.name: call.tensors[v.name] for v in call.step.inputs}


@_table(*(f"aten.{name}" for name in """
    add sub rsub neg sum mean cumsum view _unsafe_view reshape flatten unflatten permute transpose t
    movedim squeeze unsqueeze expand expand_as repeat tile repeat_interleave stack split
    split_with_sizes chunk unbind slice select narrow slice_scatter select_scatter flip roll rot90
    diagonal tril triu pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d
    replication_pad1d replication_pad2d replication_pad3d pixel_shuffle pixel_unshuffle
    channel_shuffle im2col col2im unfold avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d
    upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
    clone contiguous alias detach lift_fresh lift_fresh_copy to _to_copy type_as
    dropout feature_dropout alpha_dropout native_dropout max_unpool2d max_unpool3d index_select
    real view_as_real view_as_complex fft_rfft2 fft_irfft2
""".split()))  # fmt: skip
def _linear(step: Step, rules: RuleSet) -> Rule:
    if step.operation == "aten.add" and _plain_sum(step):
        return Rule("the same signal to both", lambda call, signal: (signal, signal))
    others = any(not value.signal for value in step.inputs)
    return Rule("adjoint", _adjoint, _remember_others if others else None)


@_table("aten.cat")
def _concatenation(step: Step, rules: RuleSet) -> Rule:
    if len(step.arguments["tensors"]) > len(step.signals):
        return _linear(step, rules)

    def down(call: Call, signal: Tensor) -> tuple[Tensor, ...]:
        axis = call["dim"]
        return torch.split(signal, [call.sizes(i)[axis] for i in range(len(step.signals))], axis)

    return Rule("to each its part", down)


def _plain_sum(step: Step) -> bool:
    return (
        len(step.signals) == 2
        and step.arguments.get("alpha", 1) == 1
        and all(value.shape == step.output.shape for value in step.signals)
    )


@_table("aten.conv1d", "aten.conv2d", "aten.conv3d", "aten.convolution",
        "aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")  # fmt: skip
def _convolution(step: Step, rules: RuleSet) -> Rule:
    if len(step.signals) > 1:
        return _product(step, rules)
    if isinstance(step.arguments["padding"], str):
        return Rule("transposed filter", _adjoint)
    return Rule("transposed filter", _filter_transposed)


def _filter_transposed(call: Call, signal: Tensor) -> Tensor:
    size = call.sizes()

    def per_axis(argument: str, default: int) -> list[int]:
        value = call[argument]
        value = [default] if value is None else [value] if isinstance(value, int) else value
        return list(value) * (len(size) - 2) if len(value) == 1 else list(value)

    return ops.filter_transposed(
        signal,
        call["weight"],
        size,
        stride=per_axis("stride", 1),
        padding=per_axis("padding", 0),
        dilation=per_axis("dilation", 1),
        transposed=bool(call["transposed"]) or "transpose" in call.step.operation,
        output_padding=per_axis("output_padding", 0),
        groups=call["groups"],
    )


@_table("aten.linear")
def _fully_connected(step: Step, rules: RuleSet) -> Rule:
    if len(step.signals) > 1:
        return _product(step, rules)
    return Rule("transposed filter", _weights_transposed)


def _weights_transposed(call: Call, signal: Tensor) -> Tensor:
    weight: Tensor = call["weight"]
    return signal @ weight


@_table("batch_norm")
def _batch_norm(step: Step, rules: RuleSet) -> Rule:
    def down(call: Call, signal: Tensor) -> Tensor:
        scale: Tensor = (call["running_var"] + call["eps"]).rsqrt()
        if call["weight"] is not None:
            scale = scale * call["weight"]
        return signal * scale.view(-1, *[1] * (signal.ndim - 2))

    return Rule("its scale", down)


# Rectifiers.


@_table("relu")
def _relu(step: Step, rules: RuleSet) -> Rule:
    def up(call: Call) -> tuple[Tensor, Memory]:
        output = call.compute()
        mask = output > 0
        return output, {"mask": mask if step.cap is None else mask & (output < step.cap)}

    def down(call: Call, signal: Tensor) -> Tensor:
        if rules.backward_rectify:
            signal = ops.rectify(signal)
        return signal * call.memory["mask"] if rules.forward_mask else signal

    words = ["rectify"] * rules.backward_rectify + ["forward mask"] * rules.forward_mask
    return Rule(" and ".join(words) or "the same signal", down, up if rules.forward_mask else None)


# Max-pooling.


@_table(*(f"aten.{kind}max_pool{d}d" for kind in ("", "adaptive_") for d in (1, 2, 3)))
def _max_pool(step: Step, rules: RuleSet) -> Rule:
    def up(call: Call) -> tuple[Tensor, Memory]:
        output, places = _pool(call)
        return output, {"switches": ops.switch_offsets(places, pooling_windows(call.step, call.sizes()))}

    def down(call: Call, signal: Tensor) -> Tensor:
        windows = pooling_windows(call.step, call.sizes())
        if rules.unpool == "average":
            return ops.spread(signal, windows)
        if rules.unpool == "switches":
            places = ops.switch_places(call.memory["switches"], windows)
        else:
            places = ops.centre_places(windows).to(signal.device)
        return ops.unpool(signal, places, call.sizes()[2:], overlap=rules.overlap)

    if rules.unpool == "switches":
        return Rule(f"unpool by switches ({rules.overlap})", down, up)
    return Rule(f"unpool to the {rules.unpool}", down)


def _pool(call: Call) -> tuple[Tensor, Tensor]:
    """A max-pooling's output and the flat places of its maxima."""
    below = call["self"]
    axes = below.ndim - 2
    if "adaptive" in call.step.operation:
        function = getattr(torch.nn.functional, f"adaptive_max_pool{axes}d_with_indices")
        output, places = function(below, call["output_size"])
    else:
        function = getattr(torch.nn.functional, f"max_pool{axes}d_with_indices")
        if axes == 2 and below.device.type == "cpu":  # several times faster, the way there and back included
            below = below.contiguous(memory_format=torch.channels_last)
        output, places = function(
            below, call["kernel_size"], call["stride"] or None,
            call["padding"], call["dilation"], call["ceil_mode"],
        )  # fmt: skip
    return output.contiguous(), places.contiguous()


def pooling_windows(step: Step, below: tuple[int, ...]) -> list[ops.Windows]:
    """The windows of a pooling step for an input of shape `below`, per spatial axis."""
    sizes = below[2:]
    pooled = [size.of(1) for size in step.output.shape[2:]]
    if "adaptive" in step.operation:
        return [ops.adaptive_windows(*pair) for pair in zip(sizes, pooled, strict=True)]
    kernel = _per_axis(step.arguments["kernel_size"], len(sizes))
    stride = _per_axis(step.arguments["stride"] or kernel, len(sizes))
    padding = _per_axis(step.arguments["padding"], len(sizes))
    dilation = _per_axis(step.arguments["dilation"], len(sizes))
    return [
        ops.regular_windows(*numbers) for numbers in zip(sizes, pooled, kernel, stride, padding, dilation, strict=True)
    ]


def _per_axis(value: Any, axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


@_table("aten.amax", "aten.max")
def _maximum_over_axes(step: Step, rules: RuleSet) -> Rule:
    """A maximum over whole axes is a max-pool with one window."""
    rank = len(step.inputs[0].shape)
    given = step.arguments.get("dim", [])
    axes = sorted(axis % rank for axis in ([given] if isinstance(given, int) else given))
    if not axes or 0 in axes:
        return _smooth_only(step, rules, "a maximum over the whole batch")
    last = range(rank - len(axes), rank)

    def up(call: Call) -> tuple[Tensor, Memory]:
        below = next(tensor for v, tensor in call.tensors.items() if v == step.inputs[0].name)
        switch = below.movedim(axes, list(last)).flatten(last[0]).argmax(-1)
        return call.compute(), {"switches": switch}

    def down(call: Call, signal: Tensor) -> Tensor:
        size = call.sizes()
        window = [size[axis] for axis in axes]
        kept = [length for axis, length in enumerate(size) if axis not in axes]
        values = signal.reshape(*kept, 1)
        flat = signal.new_zeros(*kept, math.prod(window))
        if rules.unpool == "average":
            flat = flat + values / flat.shape[-1]
        else:
            middle = ops.centre_places([ops.adaptive_windows(length, 1) for length in window])
            places = call.memory["switches"] if rules.unpool == "switches" else middle.flatten()
            where = places.to(signal.device).expand(kept).unsqueeze(-1)
            flat = flat.scatter(-1, where, values)
        return flat.view(*kept, *window).movedim(list(last), axes)

    words = "unpool by switches" if rules.unpool == "switches" else f"unpool to the {rules.unpool}"
    return Rule(words, down, up if rules.unpool == "switches" else None)


# Contrast normalisation across maps.


@_table("local_response_norm")
def _local_response_norm(step: Step, rules: RuleSet) -> Rule:
    def up(call: Call) -> tuple[Tensor, Memory]:
        constants = (call["size"], call["alpha"], call["beta"], call["k"])
        return call.compute(), {"divisor": ops.response_norm_divisor(call["input"], *constants)}

    if rules.lrn == "identity":
        return Rule("the same signal", lambda call, signal: signal)
    if rules.lrn == "divisor":
        return Rule("times its divisor", lambda call, signal: signal * call.memory["divisor"], up)
    return Rule("derivative", _derivative, _remember_all)


# Products.


@_table("aten.mul", "aten.div", "aten.matmul", "aten.mm", "aten.bmm", "aten.addmm", "aten.baddbmm",
        "aten.einsum", "aten.where", "aten.masked_fill", "aten.index", "aten.gather")  # fmt: skip
def _product(step: Step, rules: RuleSet) -> Rule:
    if len(step.inputs) == 1 and not (
        step.operation == "aten.div" and isinstance(step.arguments["other"], Value)
        and step.arguments["other"].signal
    ):  # fmt: skip
        return Rule("adjoint", _adjoint)
    if step.operation == "aten.where" and all(value.signal for value in step.inputs):
        return Rule("adjoint", _adjoint)
    if step.operation == "aten.mul" and len(step.signals) == 2:
        gate = _gate(step)
        if gate is not None and rules.gates == "constant":
            return _constant_gate(step, gate)
        if gate is not None:
            return Rule("to both factors", _derivative, _remember_all)
    return _smooth_only(step, rules, "a product of two signals")


def _gate(step: Step) -> int | None:
    """Which factor has one value per map while the other has a map."""
    points = [math.prod(size.of(1) for size in value.shape[2:]) for value in step.signals]
    if len(step.signals[0].shape) != len(step.signals[1].shape) or sorted(points)[0] != 1:
        return None
    return None if points[0] == points[1] else points.index(1)


def _constant_gate(step: Step, gate: int) -> Rule:
    def up(call: Call) -> tuple[Tensor, Memory]:
        return call.compute(), {"gate": call.tensors[step.signals[gate].name]}

    def down(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
        passed = (signal * call.memory["gate"]).sum_to_size(call.sizes(1 - gate))
        return (None, passed) if gate == 0 else (passed, None)

    return Rule("times its gate", down, up, frozenset({gate}))


# Everything else: refused unless asked for.


def _derivative(call: Call, signal: Tensor) -> tuple[Tensor | None, ...]:
    at = [call.memory[value.name] for value in call.step.signals]
    return ops.derivative(lambda *signals: call.compute_from(iter(signals)), at, signal)


def _smooth_only(step: Step, rules: RuleSet, what: str) -> Rule:
    if rules.smooth == "gradient":
        return Rule("derivative", _derivative, _remember_all)
    raise UnsupportedOperationError(
        f"cannot project through {step.place}: it is {what}, which has no rule of its own. "
        'Pass smooth="gradient" to use its derivative, or add a rule with @rule; see docs/extend.md.'
    )


ACTIVATIONS = ("activation", *(f"aten.{name}" for name in """
    leaky_relu prelu _prelu_kernel rrelu elu celu selu silu gelu mish softplus hardswish hardsigmoid
    sigmoid tanh log_sigmoid hardtanh clamp clamp_min clamp_max threshold hardshrink softshrink
""".split()))  # fmt: skip


@_table(*ACTIVATIONS)
def _activation(step: Step, rules: RuleSet) -> Rule:
    if rules.smooth == "rectify":
        return Rule("rectify (smooth)", lambda call, signal: ops.rectify(signal))
    if rules.smooth == "gradient":
        return Rule("derivative", _derivative, _remember_all)
    raise UnsupportedOperationError(
        f"cannot project through {step.place}. DeconvNet is defined for rectifiers. "
        'Pass smooth="rectify" or smooth="gradient", or add a rule with @rule; see docs/extend.md.'
    )


@_table(*(f"aten.{name}" for name in """
    layer_norm native_layer_norm group_norm native_group_norm instance_norm rms_norm _fused_rms_norm
    softmax _softmax log_softmax _log_softmax scaled_dot_product_attention exp expm1 log log1p sqrt
    rsqrt square pow abs reciprocal sin cos erf maximum minimum amin norm linalg_vector_norm var std
    var_mean logsumexp cosine_similarity cdist prod grid_sampler grid_sampler_2d
    _native_batch_norm_legit native_batch_norm
""".split()))  # fmt: skip
def _nonlinear(step: Step, rules: RuleSet) -> Rule:
    return _smooth_only(step, rules, "neither linear nor a rectifier")
