"""The paper's three steps as pure tensor functions, and their cousins.

Zeiler and Fergus (2013, section 2.1) carry one activation down by (i) unpooling, (ii) rectifying
and (iii) filtering. `unpool`, `rectify` and `filter_transposed` are these; the rest is what networks
of today need beside them. Shapes: n images or m signals first, then c channels, then one to three
spatial axes. Nothing here changes its arguments.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from deconvnet._types import Index

Overlap = Literal["sum", "max"]
_FEW = 4  # maps: up to here the ways of a convolution that were made for many waste most of their work


def rectify(signal: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The signal with its negative values set to zero (section 2.1, (ii)).

    Example:
        >>> rectify(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return signal.clamp(min=0)


def filter_transposed(
    signal: Float[Tensor, "m c_out *spatial"],
    weight: Float[Tensor, "a b *kernel"],
    size: tuple[int, ...],
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool = False,
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
) -> Float[Tensor, "m c_in *size"]:
    """The signal filtered with the transposed version of the same filters (section 2.1, (iii)).

    The adjoint of the convolution with `weight`, without its bias.

    Args:
        signal: on the convolution's output.
        weight: as the convolution uses it.
        size: shape of the convolution's input, (m, c_in, *spatial): a strided convolution may have
            dropped a row that its output does not tell of.
        stride, padding, dilation, groups: of the convolution, one number per spatial axis.
        transposed: whether the convolution on the way up was itself a transposed one.
        output_padding: of that transposed convolution.
    """
    if set(weight.shape[2:]) == {1} and groups == 1 and not transposed and not any(padding):
        return _point_filter_transposed(signal, weight, size, stride)
    if size[2:] == tuple(weight.shape[2:]) and groups == 1 and not transposed and not any(padding):
        one_place: Tensor = signal.flatten(1) @ weight.flatten(1)
        return one_place.view(size)
    plain = not transposed and groups == 1 and set(dilation) == {1}
    if plain and size[1] <= _FEW and max(stride) > 1:
        return _filter_phases(signal, weight, size, stride, padding)
    plain = plain and max(stride) == 1
    if plain and size[1] <= _FEW and len(stride) == 2 and weight[0].numel() <= weight.shape[0]:
        columns = weight.flatten(1).t() @ signal.flatten(2)
        return torch.nn.functional.fold(columns, size[2:], weight.shape[2:], 1, tuple(padding))
    crops = [k - 1 - p for k, p in zip(weight.shape[2:], padding, strict=True)]
    if plain and min(crops) >= 0 and 4 * weight.numel() <= signal.numel():
        return _filter_flipped(signal, weight, crops)
    below = signal.new_empty(1).expand(size)  # only its shape is read
    grad: Tensor = torch.ops.aten.convolution_backward(
        signal, below, weight, None, list(stride), list(padding), list(dilation),
        transposed, list(output_padding), groups, [True, False, False],
    )[0]  # fmt: skip
    return grad


def _filter_phases(
    signal: Tensor, weight: Tensor, size: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    """A filter of stride s transposed, as one convolution that gives each block of s pixels as maps of its own.

    Quicker than the general way where few maps lie below, as at the pixels.
    """
    axes = range(len(stride))
    blocks = [-(-k // s) for k, s in zip(weight.shape[2:], stride, strict=True)]
    more = [q * s - k for q, s, k in zip(blocks, stride, weight.shape[2:], strict=True)]
    whole = torch.nn.functional.pad(weight, [n for extra in reversed(more) for n in (0, extra)])
    parts = whole.view(*weight.shape[:2], *(n for pair in zip(blocks, stride, strict=True) for n in pair))
    parts = parts.permute(1, *(3 + 2 * i for i in axes), 0, *(2 + 2 * i for i in axes))
    phases = parts.reshape(-1, weight.shape[0], *blocks)
    pixels = _filter_flipped(signal, phases.transpose(0, 1), [q - 1 for q in blocks])
    pixels = pixels.view(len(signal), size[1], *stride, *pixels.shape[2:])
    order = [n for i in axes for n in (2 + len(stride) + i, 2 + i)]
    below = pixels.permute(0, 1, *order).reshape(
        *size[:2], *(n * s for n, s in zip(pixels.shape[2 + len(stride) :], stride, strict=True))
    )
    beyond = [max(p + n - m, 0) for p, n, m in zip(padding, size[2:], below.shape[2:], strict=True)]
    if any(beyond):
        below = torch.nn.functional.pad(below, [n for rest in reversed(beyond) for n in (0, rest)])
    inside: Index = (..., *(slice(p, p + n) for p, n in zip(padding, size[2:], strict=True)))
    return below[inside]


def _filter_flipped(signal: Tensor, weight: Tensor, padding: Sequence[int]) -> Tensor:
    """A filter of stride 1 transposed, as the convolution with the flipped filter; quicker on large maps."""
    flipped = weight.flip(*range(2, weight.ndim)).transpose(0, 1)
    below: Tensor = torch.ops.aten.convolution(
        signal, flipped, None, [1] * len(padding), padding, [1] * len(padding), False, [0], 1
    )
    return below


def _point_filter_transposed(signal: Tensor, weight: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """A filter of one pixel transposed: one matrix product, spread to every stride-th pixel."""
    values = weight.flatten(1).t() @ signal.flatten(2)
    values = values.view(len(signal), -1, *signal.shape[2:])
    if all(step == 1 for step in stride):
        return values
    below = values.new_zeros(*size)
    every: Index = (..., *(slice(None, None, step) for step in stride))
    below[every] = values
    return below


@dataclass(frozen=True)
class Windows:
    """Where the windows of a pooling lie along one axis.

    Attributes:
        size: length of the map below.
        starts: first pixel of each window; negative inside the padding.
        counts: pixels in each window, those outside the map included.
        dilation: distance between the pixels of a window.
    """

    size: int
    starts: Int[Tensor, " windows"]
    counts: Int[Tensor, " windows"]
    dilation: int = 1

    @property
    def span(self) -> int:
        """Length from the first to the last pixel of the longest window."""
        return (int(self.counts.max()) - 1) * self.dilation + 1

    @property
    def middles(self) -> Int[Tensor, " windows"]:
        """The middle pixel of each window, kept inside the map."""
        middle = self.starts + torch.div(self.counts - 1, 2, rounding_mode="floor") * self.dilation
        return middle.clamp(0, self.size - 1)

    @property
    def shares(self) -> Float[Tensor, "windows size"]:
        """Each window's pixels inside the map, as weights that sum to one (float64)."""
        steps = torch.arange(self.size) - self.starts[:, None]
        inside = (steps >= 0) & (steps < self.counts[:, None] * self.dilation)
        inside &= steps % self.dilation == 0
        return inside.double() / inside.sum(1, keepdim=True)


def regular_windows(size: int, windows: int, kernel: int, stride: int, padding: int, dilation: int) -> Windows:
    """The windows of a pooling with a kernel, along one axis."""
    starts = torch.arange(windows) * stride - padding
    return Windows(size, starts, torch.full_like(starts, kernel), dilation)


def adaptive_windows(size: int, windows: int) -> Windows:
    """The windows of an adaptive pooling, along one axis: from floor(i*size/n) to ceil((i+1)*size/n)."""
    index = torch.arange(windows)
    starts = index * size // windows
    ends = -(-(index + 1) * size // windows)
    return Windows(size, starts, ends - starts)


def switch_offsets(places: Int[Tensor, "n c *pooled"], windows: Sequence[Windows]) -> Integer[Tensor, "n c *pooled"]:
    """Switches: for each pooling window the place of its maximum, counted inside the window.

    Args:
        places: flat places of the maxima in each feature map, as PyTorch's poolings return them.
        windows: of the pooling, per spatial axis.

    Returns:
        One byte for each window where a window spans at most 256 pixels, else four.
    """
    firsts, steps = _firsts_and_steps(windows, places.device)
    small = torch.uint8 if len(steps) <= 256 else torch.int32
    offset_of = torch.zeros(int(steps.max()) + 1, dtype=small, device=places.device)
    offset_of[steps] = torch.arange(len(steps), device=places.device).to(small)
    return _looked_up(offset_of, places - firsts)


def switch_places(offsets: Integer[Tensor, "n c *pooled"], windows: Sequence[Windows]) -> Int[Tensor, "n c *pooled"]:
    """The flat places in each feature map that `switch_offsets` was made from."""
    firsts, steps = _firsts_and_steps(windows, offsets.device)
    return _looked_up(steps, offsets.int()).add_(firsts)


def _looked_up(table: Tensor, numbers: Tensor) -> Tensor:
    """`table[numbers]`, several times faster."""
    return table.index_select(0, numbers.flatten()).view(numbers.shape)


def _firsts_and_steps(windows: Sequence[Windows], device: torch.device) -> tuple[Tensor, Tensor]:
    """The flat place of each window's first pixel, and how much further each pixel of a window lies."""
    firsts, steps = torch.zeros((), dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    for i, axis in enumerate(windows):
        firsts = firsts * axis.size + _along(axis.starts, i, len(windows))
        steps = (steps[:, None] * axis.size + torch.arange(axis.span)).flatten()
    return firsts.to(device), steps.to(device)


def centre_places(windows: Sequence[Windows]) -> Int[Tensor, "1 1 *pooled"]:
    """The flat place of the middle of each window: unpooling without switches."""
    places = torch.zeros((), dtype=torch.int64)
    for i, axis in enumerate(windows):
        places = places * axis.size + _along(axis.middles, i, len(windows))
    return places[None, None]


def unpool(
    signal: Float[Tensor, "m c *pooled"],
    places: Int[Tensor, "#m #c *pooled"],
    size: Sequence[int],
    *,
    overlap: Overlap = "sum",
) -> Float[Tensor, "m c *size"]:
    """Each value back at the place that its switch remembers, zero elsewhere (section 2.1, (i)).

    Args:
        signal: on the pooled map.
        places: flat place in the feature map below for each window.
        size: of the feature map below, per spatial axis.
        overlap: where windows overlap and share a place, "sum" adds their values (the adjoint of
            max-pooling), "max" keeps the one of largest magnitude, with its sign (as Zeiler's
            own code of 2011 does).

    Example:
        >>> unpool(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1, 2]]]), [4])
        tensor([[[0., 3., 4., 0.]]])
    """
    values = signal.flatten(2)
    where = places.expand_as(signal).flatten(2)
    below = values.new_zeros(*values.shape[:2], math.prod(size))
    if overlap == "sum":
        below.scatter_add_(2, where, values)
    else:
        highest = below.scatter_reduce(2, where, values, "amax")
        lowest = below.scatter_reduce(2, where, values, "amin")
        below = torch.where(highest >= -lowest, highest, lowest)
    return below.view(*values.shape[:2], *size)


def spread(signal: Float[Tensor, "m c *pooled"], windows: Sequence[Windows]) -> Float[Tensor, "m c *size"]:
    """Each value spread evenly over its window's pixels: unpooling by the average, without switches."""
    for i, axis in enumerate(windows):
        signal = torch.tensordot(signal, axis.shares.to(signal), dims=([i + 2], [0])).movedim(-1, i + 2)
    return signal


def adjoint(
    function: Callable[..., Tensor], shapes: Sequence[Sequence[int]], signal: Tensor
) -> tuple[Tensor | None, ...]:
    """The signal carried down through the adjoint of a linear function of several tensors.

    Args:
        function: linear (or affine: its constant does not count) in its arguments.
        shapes: of each argument.
        signal: on its output.

    Returns:
        For each argument the signal that reaches it; None where the function does not use it.
    """
    zero = signal.new_zeros(1)
    return derivative(function, [zero.expand(tuple(shape)) for shape in shapes], signal)


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


def response_norm_divisor(
    below: Float[Tensor, "n c *spatial"], size: int, alpha: float, beta: float, k: float
) -> Float[Tensor, "n c *spatial"]:
    """What local response normalisation across maps divides by: (k + alpha * mean square)^beta.

    The mean runs over `size` neighbouring maps, zeros beyond the first and the last, as in PyTorch.
    """
    squares = below.square().flatten(2).unsqueeze(1)
    padded = torch.nn.functional.pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = torch.nn.functional.avg_pool2d(padded, (size, 1), stride=1)
    return (k + alpha * mean).pow(beta).view(below.shape)


def _along(values: Tensor, axis: int, axes: int) -> Tensor:
    """Values laid along one of the last `axes` axes, for broadcasting."""
    return values.reshape(-1, *[1] * (axes - 1 - axis))
