"""Arithmetic of receptive fields: a unit's position → the box of input pixels that it sees.

Along each axis a unit at y sees the pixels from `scale * y + low` to `scale * y + high`, both
included and rounded inward. Steps compose; where branches meet, their fields unite. Where a step's
geometry is not that of a window, its units see the whole input.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

from deconvnet._types import Box, Step, Value


@dataclass(frozen=True)
class Field:
    """The field of the units of one map along one axis; fractions of input pixels."""

    scale: Fraction
    low: Fraction
    high: Fraction

    def through(self, scale: Fraction | int, low: Fraction | int, high: Fraction | int) -> "Field":
        """The field of a unit y that sees those from `scale * y + low` to `scale * y + high`."""
        return Field(self.scale * scale, self.scale * low + self.low, self.scale * high + self.high)

    def union(self, other: "Field") -> "Field | None":
        """The field of a unit that sees both; None if they do not move together."""
        if self.scale != other.scale:
            return None
        return Field(self.scale, min(self.low, other.low), max(self.high, other.high))

    @property
    def size(self) -> int:
        """Pixels seen by one unit; the most that any sees where that depends on its place."""
        return floor(self.high - self.low) + 1

    def span(self, position: int) -> tuple[int, int]:
        """First pixel seen by the unit at a position, and the one after the last."""
        return ceil(self.scale * position + self.low), floor(self.scale * position + self.high) + 1


Fields = tuple[Field, ...] | None  # per spatial axis; None: the whole input


def fields(steps: Iterable[Step], source: Value, closed: Mapping[str, frozenset[int]]) -> dict[str, Fields]:
    """The field of every value above `source`, in positions of `source`.

    Args:
        steps: in order.
        source: the value that pictures are made of; its spatial axes are all but the first two.
        closed: for a step's output, the numbers of the signal inputs that no signal travels to.
    """
    axes = len(source.shape) - 2
    whole = (Field(Fraction(1), Fraction(0), Fraction(0)),) * max(axes, 0)
    known: dict[str, Fields] = {source.name: whole if axes > 0 else None}
    for step in steps:
        shut = closed.get(step.output.name, frozenset())
        below = [v for i, v in enumerate(step.signals) if i not in shut and v.name in known]
        if below:
            known[step.output.name] = _through(step, below, known, axes)
    return known


def box(field: Fields, position: Sequence[int], size: Sequence[int]) -> Box:
    """The box that the unit at a position sees, in an input of `size`; it may reach past the border."""
    if field is None or len(position) != len(field):
        return Box((0,) * len(size), tuple(size))
    spans = [one.span(y) for one, y in zip(field, position, strict=True)]
    return Box(tuple(low for low, _ in spans), tuple(high for _, high in spans))


def _through(step: Step, below: list[Value], known: Mapping[str, Fields], axes: int) -> Fields:
    parts: Fields = None
    for value in dict.fromkeys(below):
        under = known[value.name]
        windows = None if under is None else step_windows(step, value, axes)
        if under is None or windows is None:
            return None
        one = tuple(f.through(*w) for f, w in zip(under, windows, strict=True))
        if parts is not None:
            united = [a.union(b) for a, b in zip(parts, one, strict=True)]
            if any(field is None for field in united):
                return None
            one = tuple(field for field in united if field is not None)
        parts = one
    return parts


Window = tuple[Fraction | int, Fraction | int, Fraction | int]

_ONE_BY_ONE = frozenset(
    ["relu", "activation", "batch_norm", "local_response_norm"]
    + [f"aten.{name}" for name in """
        add sub rsub neg mul div clone alias detach to _to_copy contiguous dropout leaky_relu elu silu
        gelu hardswish hardsigmoid sigmoid tanh mish softplus prelu celu selu clamp clamp_min clamp_max
        hardtanh threshold where masked_fill abs maximum minimum exp pow sqrt
    """.split()]
)  # fmt: skip
_SAME_MAPS = frozenset(f"aten.{name}" for name in """
    view _unsafe_view reshape permute transpose cat concat stack split split_with_sizes chunk unbind
    select slice narrow flip channel_shuffle squeeze unsqueeze expand
""".split())  # fmt: skip


def step_windows(step: Step, below: Value, axes: int) -> list[Window] | None:
    """Per axis the window (scale, low, high) of `below` that a unit above the step sees; None if none."""
    operation = step.operation.removeprefix("aten.")
    sizes = [size.of(1) for size in below.shape[-axes:]]
    above = [size.of(1) for size in step.output.shape[-axes:]]
    plain = len(below.shape) == axes + 2 == len(step.output.shape)
    if step.operation in _ONE_BY_ONE:
        return [(1, 0, 0)] * axes if sizes == above else None
    if step.operation in _SAME_MAPS:
        return [(1, 0, 0)] * axes if _keeps_maps(step, below, axes) else None
    if not plain:
        return None
    if operation.startswith("conv_transpose"):
        return _transposed(step.arguments, axes)
    if operation.startswith(("conv", "max_pool", "avg_pool")):
        return _sliding(step.arguments, axes)
    if operation.startswith("adaptive_"):
        return [(s // a, 0, s // a - 1) for s, a in zip(sizes, above, strict=True)] if all(
            s % a == 0 and a > 1 for s, a in zip(sizes, above, strict=True)
        ) else None  # fmt: skip
    if operation.startswith("upsample_nearest"):
        return _enlarged(sizes, above, 0)
    if operation.startswith(("upsample_linear", "upsample_bilinear", "upsample_trilinear")):
        return None if step.arguments.get("align_corners") else _enlarged(sizes, above, 1)
    if operation == "pixel_shuffle":
        return _enlarged(sizes, above, 0)
    if operation == "pixel_unshuffle":
        factor = step.arguments["downscale_factor"]
        return [(factor, 0, factor - 1)] * axes
    if operation in ("pad", "constant_pad_nd") and step.arguments.get("mode", "constant") == "constant":
        before = step.arguments["pad"][::2][:axes][::-1]
        return [(1, -pad, -pad) for pad in [0] * (axes - len(before)) + before]
    return None


def _keeps_maps(step: Step, below: Value, axes: int) -> bool:
    """Whether a step that moves values about leaves each map, the last axes, as it is."""
    if below.shape[-axes:] != step.output.shape[-axes:] or len(below.shape) <= axes:
        return False
    rank, arguments = len(below.shape), step.arguments
    named = [axis for name in ("dim", "dim0", "dim1") if (axis := arguments.get(name)) is not None]
    if step.operation == "aten.permute":
        order = [axis % rank for axis in arguments["dims"]]
        return order[-axes:] == list(range(rank - axes, rank))
    if step.operation == "aten.flip":
        named = arguments["dims"]
    flat = [axis for one in named for axis in (one if isinstance(one, list) else [one])]
    ranks = max(rank, len(step.output.shape))
    return all(axis % ranks < ranks - axes for axis in flat)


def _sliding(arguments: Mapping[str, Any], axes: int) -> list[Window] | None:
    padding = arguments.get("padding", 0)
    if isinstance(padding, str):
        return _padded_by_word(arguments, padding, axes)
    kernel = _per_axis(_kernel(arguments), axes)
    stride = _per_axis(arguments.get("stride") or kernel, axes)
    pads, dilation = _per_axis(padding, axes), _per_axis(arguments.get("dilation", 1), axes)
    return [(s, -p, d * (k - 1) - p) for k, s, p, d in zip(kernel, stride, pads, dilation, strict=True)]


def _padded_by_word(arguments: Mapping[str, Any], word: str, axes: int) -> list[Window]:
    kernel = _per_axis(_kernel(arguments), axes)
    stride, dilation = _per_axis(arguments["stride"], axes), _per_axis(arguments["dilation"], axes)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    pads = [length // 2 if word == "same" else 0 for length in reach]
    return [(s, -p, length - p) for s, p, length in zip(stride, pads, reach, strict=True)]


def _transposed(arguments: Mapping[str, Any], axes: int) -> list[Window]:
    kernel = _per_axis(_kernel(arguments), axes)
    stride, padding = _per_axis(arguments["stride"], axes), _per_axis(arguments["padding"], axes)
    dilation = _per_axis(arguments["dilation"], axes)
    return [
        (Fraction(1, s), Fraction(p - d * (k - 1), s), Fraction(p, s))
        for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True)
    ]


def _enlarged(sizes: list[int], above: list[int], reach: int) -> list[Window] | None:
    """A map enlarged by a whole factor; with `reach` 1 its units blend two neighbours per axis."""
    if any(a % s for s, a in zip(sizes, above, strict=True)):
        return None
    windows: list[Window] = []
    for factor in (a // s for s, a in zip(sizes, above, strict=True)):
        shift = Fraction(1 - factor, 2 * factor)
        low = shift - reach if reach else Fraction(1 - factor, factor)
        windows.append((Fraction(1, factor), low, shift + reach if reach else 0))
    return windows


def _kernel(arguments: Mapping[str, Any]) -> Any:
    if "kernel_size" in arguments:
        return arguments["kernel_size"]
    weight: Value = arguments["weight"]
    return [size.of(1) for size in weight.shape[2:]]


def _per_axis(value: Any, axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values
