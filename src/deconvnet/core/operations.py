"""What every operation is, one row each: how a signal goes down through it, what a unit sees, where it may run.

Capture, receptive fields, windows, costs and the documents read these rows; no other list of operations exists.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, SupportsIndex

from torch import Tensor

from deconvnet._checks import short, text
from deconvnet._errors import ArgumentError, UnsupportedOperationError
from deconvnet.core import geometry, paper, rows
from deconvnet.core.geometry import Fits, Sees, Window
from deconvnet.core.graph import Step, Value
from deconvnet.core.rules import Call, Choose, Memory, Rule, RuleSet

RATED = "deconvnet.rated"
RELU, ACTIVATION = "relu", "activation"  # what capture calls a rectifier, or one made of several steps
LIMIT = "limit"  # what keeps pixels in a range
LARGEST, SMALLEST = "largest_of_maps", "smallest_of_maps"  # what chooses among several maps, value by value
Down = Callable[[Call, Tensor], Tensor | tuple[Tensor | None, ...]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an operation is.

    Attributes:
        rule: (step, rule set) -> how a signal goes down through it; None where none can.
        sees: what a unit sees of a map below; None: all of it.
        windowed: whether a step of it gives on windows of its maps what it gives on the maps.
        border: the value that it takes for pixels beyond the border.
        spreads: a unit below reaches several above, as in a transposed convolution.
        filters: it multiplies by weights, so that what it makes are feature maps.
        norms: it divides maps by what they usually are, and its weight and bias are their scale and shift.
        max_pools: it keeps the largest of each window, so that it has switches.
        rectifies: it is a rectifier, or an activation that a rule set may treat as one.
        remembers: of each step at most a byte for each number of its output, or as much as its inputs.
        elementwise: value by value, "linear" or "bent"; None for the rest.
        selects: of several inputs it takes the one or the other, or scales the one by the other.
        copies: its output holds the numbers of its input, moved about or repeated, and no others.
        pads: it adds a border.
        concatenates: it joins maps side by side.
        stacks: it joins maps along a new axis.
        extreme: what capture calls it where the axis that it goes over was made of several maps.
        scores: it turns class scores into what the model returns, such as "softmax".
        filled: it makes a tensor of one number: that number, or the name of the argument that gives it.
        own_storage: its output shares no memory with what it is given.
        any_layout: it takes maps as fast whose numbers of one position lie together, if not faster; what works value by
            value always does.
    """

    rule: Choose | None = None
    sees: Sees | None = None
    windowed: Fits = geometry.never
    border: float = 0.0
    spreads: bool = False
    filters: bool = False
    norms: bool = False
    max_pools: bool = False
    rectifies: bool = False
    remembers: Literal["bytes", "inputs"] = "inputs"
    elementwise: Literal["linear", "bent"] | None = None
    selects: bool = False
    copies: bool = False
    pads: bool = False
    concatenates: bool = False
    stacks: bool = False
    extreme: str | None = None
    scores: Literal["softmax", "log_softmax", "sigmoid"] | None = None
    filled: float | str | None = None
    own_storage: bool = False
    any_layout: bool = False


class OperationTable:
    """A table of operations that can be extended; a `DeconvNet` holds one.

    Args:
        base: the table that this one adds to, and whose later changes it sees; by default the one that all
            networks share, `deconvnet.operations`.

    Example:
        >>> table = OperationTable()
        >>> @table.rule("aten.softplus", words="rectify")
        ... def softplus(call, signal):
        ...     return signal.clamp(min=0)
        >>> table.rows["aten.softplus"].sees is operations.rows["aten.softplus"].sees
        True
        >>> table.remove("aten.softplus")
    """

    def __init__(self, base: "OperationTable | Mapping[str, Operation] | None" = None) -> None:
        if base is not None and not isinstance(base, OperationTable | Mapping):
            raise ArgumentError(f"base is a table of operations; got {short(base)}.")
        self._base = operations if base is None else base if isinstance(base, OperationTable) else dict(base)
        self._own: dict[str, Operation] = {}
        self._under: Mapping[str, Operation] = {}
        self._rows: Mapping[str, Operation] | None = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """The shared table is the shared table in every process; what is added to it there is not sent along."""
        return "operations" if self is operations else super().__reduce_ex__(protocol)

    @property
    def rows(self) -> Mapping[str, Operation]:
        """Every row by the operation's name: the same object as long as no row changes."""
        under = self._base.rows if isinstance(self._base, OperationTable) else self._base
        if self._rows is None or under is not self._under:
            self._under, self._rows = under, {**under, **self._own}
        return self._rows

    def rule(
        self,
        *names: str,
        words: str = "a rule of your own",
        up: Callable[[Call], tuple[Tensor, Memory]] | None = None,
        pointwise: bool | None = None,
        sees: Callable[[Step], list[Window]] | None = None,
    ) -> Callable[[Down], Down]:
        """Make the decorated function the way down through operations, under every rule set.

        Networks that have projected already use it from now on. What is not given of a row that is there
        already stays as it is.

        Args:
            names: of the operations, as an UnsupportedOperationError or `print(net)` shows them, such as
                "aten.silu" or "mylib.myop"; an overload (".default") is left out.
            words: for the table that `print(net)` shows.
            up: what computes the output and remembers, if the way down needs anything of the image.
            pointwise: every unit sees the one at its own position, so the step can run on a part of its maps.
            sees: step -> along each axis (scale, low, high): the unit at y sees the pixels from `scale * y + low`
                to `scale * y + high` of the map below. Where neither is given for a new operation, a unit sees
                the whole input.
        """

        def register(down: Down) -> Down:
            for name in names:
                name = text("the name of an operation", name).replace("::", ".")
                row = replace(self.rows.get(name, Operation()), remembers="inputs")
                if row.windowed is not geometry.point_by_point:
                    row = replace(row, windowed=geometry.never)  # its rule may look farther than its step
                if pointwise is not None:
                    windowed = geometry.point_by_point if pointwise else geometry.never
                    row = replace(row, sees=geometry.same_position if pointwise else None, windowed=windowed)
                if sees is not None:
                    row = replace(row, sees=_given(sees))
                self._set(name, replace(row, rule=_always(Rule(words, down, up, up and "memory", custom=True))))
            return down

        return register

    def remove(self, *names: str) -> None:
        """Take rules of your own out again; what they stood before counts again.

        Raises:
            ArgumentError: it is not a rule of this table's own.
        """
        for name in names:
            name = text("the name of an operation", name).replace("::", ".")
            if name not in self._own:
                raise ArgumentError(
                    f"this table does not have a rule of its own for {name!r}; it has {', '.join(self._own) or 'none'}."
                )
            del self._own[name]
            self._rows = None

    def _set(self, name: str, row: Operation) -> None:
        self._own[name] = row
        self._rows = None


def rule_for(step: Step, rules: RuleSet, rows: Mapping[str, Operation]) -> Rule:
    """The rule for a step under a rule set.

    Raises:
        UnsupportedOperationError: there is none.
    """
    row = rows.get(step.operation)
    if row is None or row.rule is None:
        raise UnsupportedOperationError(
            f"cannot project through {step.where}: this operation does not have a rule. "
            "Add one with @rule: see help(deconvnet.rule)."
        )
    return row.rule(step, rules)


def row_of(step: Step, rows: Mapping[str, Operation]) -> Operation:
    """What a step's operation is; of one without a row nothing is known."""
    return rows.get(step.operation, _UNKNOWN)


_UNKNOWN = Operation()


def depends_on_tensors_alone(step: Step, rule: Rule | None) -> bool:
    """Whether tensors alone decide what a step gives and what its rule does: both are ours."""
    return step.operation in _BUILT_IN and (rule is None or not rule.custom)


def _always(rule: Rule) -> Choose:
    return lambda step, rules: rule


def _given(sees: Callable[[Step], list[Window]]) -> Sees:
    def window(step: Step, below: Value, axes: int) -> list[Window] | None:
        return list(sees(step)) if len(below.shape) == axes + 2 == len(step.output.shape) else None

    return window


_BUILT_IN: dict[str, Operation] = {}


def _row(names: str, rule: Choose | None = None, **facts: Any) -> None:
    """A row for each of the operations: ATen's, or with a leading "=" one that capture gives its name."""
    for name in names.split():
        _BUILT_IN[name[1:] if name[0] == "=" else f"aten.{name}"] = Operation(rule=rule, **facts)


_HERE: dict[str, Any] = {"sees": geometry.same_position, "windowed": geometry.point_by_point}

# The paper's layers.
_row("conv1d conv2d conv3d", paper.convolution, sees=geometry.sliding, windowed=geometry.convolved,
     filters=True, own_storage=True, any_layout=True)  # fmt: skip
_row("conv_transpose1d conv_transpose2d conv_transpose3d", paper.convolution, sees=geometry.sliding_transposed,
     windowed=geometry.convolved, spreads=True, filters=True)  # fmt: skip
_row("convolution", paper.convolution, sees=geometry.sliding_either_way, filters=True)
_row("linear", paper.fully_connected, filters=True, own_storage=True)
_row("=relu", paper.relu, elementwise="bent", rectifies=True, remembers="bytes", **_HERE)
_row("max_pool1d max_pool2d max_pool3d", paper.max_pool, sees=geometry.sliding, windowed=geometry.pooled_to_maximum,
     border=float("-inf"), max_pools=True, remembers="bytes", any_layout=True)  # fmt: skip
_row("adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d", paper.max_pool, sees=geometry.adaptive,
     max_pools=True, remembers="bytes")  # fmt: skip
_row("=limit", rows.limited, elementwise="bent", **_HERE)
_row("=local_response_norm", paper.local_response_norm, **_HERE)

# Linear operations that work value by value.
_LINEAR: dict[str, Any] = {"elementwise": "linear", **_HERE}
_row("add", rows.add, **_LINEAR)
_row("sub subtract rsub neg negative", rows.linear, **_LINEAR)
_row("mul multiply", rows.multiplication, selects=True, **_LINEAR)
_row("div divide true_divide", rows.division, selects=True, **_LINEAR)
_row("clone alias _to_copy type_as", rows.linear, copies=True, **_LINEAR)
_row("detach", rows.detached, copies=True, **_LINEAR)
_row(f"={RATED}", rows.rated, copies=True, own_storage=True, **_HERE)
_row("=batch_norm", rows.batch_norm, sees=geometry.same_position, windowed=geometry.map_by_map, norms=True,
     own_storage=True, any_layout=True)  # fmt: skip

# Linear operations that move values about.
_MAPS: dict[str, Any] = {"sees": geometry.maps_untouched}
_row("view _unsafe_view", rows.reshaped, copies=True, **_MAPS)
_row("transpose squeeze unsqueeze expand", rows.linear, copies=True, **_MAPS)
_row("permute", rows.linear, copies=True, sees=geometry.maps_permuted)
_row("unbind select flip channel_shuffle", rows.linear, **_MAPS)
_row("stack", rows.linear, stacks=True, **_MAPS)
_row("cat concat concatenate", rows.concatenation, concatenates=True, windowed=geometry.among_maps,
     any_layout=True, **_MAPS)  # fmt: skip
_row("split split_with_sizes", rows.linear, windowed=geometry.among_maps, **_MAPS)
_row("slice", rows.linear, copies=True, sees=geometry.sliced, windowed=geometry.sliced_in_windows)
_row("t", rows.linear, copies=True)
_row("copy", rows.copied)
_row("repeat tile repeat_interleave slice_scatter select_scatter roll rot90 diagonal tril triu index_select",
     rows.linear)  # fmt: skip
_row("index_add index_copy index_fill index_put scatter scatter_add masked_scatter hstack vstack dstack column_stack",
     rows.linear)  # fmt: skip
_row("pad constant_pad_nd", rows.linear, sees=geometry.padded, windowed=geometry.pads_maps, pads=True)
_row("reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d",
     rows.linear)  # fmt: skip
_row("pixel_shuffle", rows.linear, sees=geometry.enlarged, windowed=geometry.always, spreads=True)
_row("pixel_unshuffle", rows.linear, sees=geometry.blocks)
_row("im2col col2im unfold max_unpool2d max_unpool3d", rows.linear)

# Linear operations that sum.
_row("sum cumsum trapezoid", rows.linear)
_row("mean", rows.averaged)
_row("diff", rows.linear, sees=geometry.neighbours)
_row("avg_pool1d avg_pool2d avg_pool3d", rows.linear, sees=geometry.sliding, windowed=geometry.pooled,
     any_layout=True)  # fmt: skip
_row("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d",
     rows.averaged, sees=geometry.adaptive, any_layout=True)  # fmt: skip
_row("upsample_nearest1d upsample_nearest2d upsample_nearest3d", rows.linear, sees=geometry.enlarged,
     windowed=geometry.always, spreads=True)  # fmt: skip
_row("upsample_linear1d upsample_bilinear2d upsample_trilinear3d", rows.linear, sees=geometry.blended, spreads=True)
_row("_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d", rows.linear,
     sees=geometry.enlarged, spreads=True)  # fmt: skip
_row("upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa", rows.linear)

# A maximum over whole axes is a max-pool with one window, one of several maps is one over these.
_row("amax", rows.maximum_over_axes, extreme=LARGEST)
_row("amin", rows.minimum_over_axes, extreme=SMALLEST)
_row("max", rows.maximum_over_axes, extreme=LARGEST, elementwise="bent", selects=True)
_row("min", rows.minimum_over_axes, extreme=SMALLEST, elementwise="bent", selects=True)
_row("=largest_of_maps", rows.largest_of_maps, remembers="bytes", **_HERE)
_row("=smallest_of_maps", rows.smallest_of_maps, remembers="bytes", **_HERE)

# Products, and choices between values.
_row("where", rows.choice, elementwise="bent", selects=True, **_HERE)
_row("masked_fill", rows.product, elementwise="bent", selects=True, **_HERE)
_row("lerp", rows.blend, **_HERE)
_row("addcmul", rows.added_product, **_HERE)
_row("addcdiv", rows.added_quotient, **_HERE)
_row("matmul mm bmm addmm baddbmm einsum tensordot", rows.product, filters=True)
_row("index gather take_along_dim kron linalg_cross", rows.product)
_row("grid_sampler grid_sampler_2d grid_sampler_3d", rows.sampled)

# Activations: refused, rectified or differentiated, as the rule set says.
_ACTIVATION: dict[str, Any] = {"rectifies": True, **_HERE}
_row("=activation", rows.activation, elementwise="bent", **_ACTIVATION)
_row("rrelu log_sigmoid", rows.activation, **_ACTIVATION)
_row("_prelu_kernel", rows.activation, **_ACTIVATION)
_row("prelu", rows.activation, **{**_ACTIVATION, "windowed": geometry.map_by_map})
_row("leaky_relu elu celu selu silu gelu mish softplus hardswish hardsigmoid tanh hardtanh threshold",
     rows.activation, elementwise="bent", **_ACTIVATION)  # fmt: skip
_row("clamp clip clamp_min clamp_max", rows.activation, elementwise="bent", **_ACTIVATION)
_row("sigmoid", rows.activation, elementwise="bent", scores="sigmoid", **_ACTIVATION)

# Everything else that is not linear: refused or differentiated.
_row("exp expm1 log1p sqrt square pow abs absolute erf sign", rows.nonlinear, elementwise="bent", **_HERE)
_row("maximum minimum fmax fmin", rows.nonlinear, elementwise="bent", selects=True, **_HERE)
_row("log rsqrt reciprocal sin cos", rows.nonlinear, **_HERE)
_row("softmax _softmax", rows.nonlinear, scores="softmax")
_row("log_softmax _log_softmax", rows.nonlinear, scores="log_softmax")
_row("layer_norm native_layer_norm group_norm native_group_norm instance_norm rms_norm _native_batch_norm_legit",
     rows.own_norm, norms=True)  # fmt: skip
_row("scaled_dot_product_attention norm glu prod logsumexp linalg_vector_norm var std var_mean cosine_similarity cdist",
     rows.nonlinear)  # fmt: skip

# What carries no signal: comparisons, and tensors of one number.
_row("relu relu6 gt ge lt le eq ne heaviside logical_not logical_and", elementwise="bent")
_row("zeros zeros_like new_zeros", filled=0.0)
_row("ones ones_like new_ones", filled=1.0)
_row("full full_like new_full", filled="fill_value")
_row("fill", filled="value")
_row("scalar_tensor", filled="s")

operations = OperationTable(_BUILT_IN)
rule = operations.rule


def overwritable(steps: Sequence[Step], remembering: frozenset[str]) -> set[str]:
    """The values that one step alone uses and nothing else holds, so that it may write over them.

    Args:
        steps: that will run.
        remembering: names of the outputs of those that remember something.
    """
    uses = Counter(value.name for step in steps for value in step.inputs)
    fresh = {step.output.name for step in steps if row_of(step, operations.rows).own_storage}
    return {name for name in fresh - remembering if uses[name] == 1}
