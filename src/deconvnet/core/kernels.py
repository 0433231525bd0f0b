"""Faster ways of `ops`: the same numbers up to the order of sums."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from deconvnet._types import Index
from deconvnet.core.pooling import Covering

_FEW_MAPS = 4  # up to here the ways of a convolution that were made for many maps waste most of their work


@dataclass(frozen=True)
class Convolution:
    """The settings of a convolution, one number per spatial axis, in tuples.

    Attributes:
        stride, padding, dilation, groups: as PyTorch names them.
        transposed: whether the convolution on the way up was itself a transposed one.
        output_padding: of that transposed convolution.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool = False
    output_padding: tuple[int, ...] = (0,)
    groups: int = 1


FilterTransposed = Callable[[Tensor, Tensor, tuple[int, ...], Convolution], Tensor]


def way_of_filter_transposed(
    signal: torch.Size, weight: torch.Size, size: tuple[int, ...], convolution: Convolution, device: str
) -> FilterTransposed:
    """The fastest way known of `ops.filter_transposed` for tensors of these shapes.

    Args:
        signal: its shape.
        weight: its shape.
        size: of the input of the convolution.
        convolution: its settings.
        device: the kind of device, such as "cuda", whose own library knows better.
    """
    if device != "cpu" or convolution.groups > 1 or convolution.transposed:
        return _filter_of_library
    stride, padding, kernel = convolution.stride, convolution.padding, weight[2:]
    if size[2:] == kernel and not any(padding):
        return _from_single_position
    if set(kernel) == {1} and not any(padding):
        return _point_filter_transposed
    if set(convolution.dilation) != {1}:
        return _filter_of_library
    if max(stride) > 1:
        return _filter_phases if size[1] <= _FEW_MAPS else _filter_of_library
    if size[1] <= _FEW_MAPS and len(stride) == 2 and math.prod(weight[1:]) <= weight[0]:
        return _filter_folded
    fits = all(k > p for k, p in zip(kernel, padding, strict=True))
    return _filter_flipped if fits and 4 * math.prod(weight) <= math.prod(signal) else _filter_of_library


def _filter_of_library(signal: Tensor, weight: Tensor, size: tuple[int, ...], convolution: Convolution) -> Tensor:
    """Any filter, as PyTorch's own way back through a convolution."""
    below = signal.new_empty(1).expand(size)  # only its shape is read
    grad: Tensor = torch.ops.aten.convolution_backward.default(
        signal, below, weight, None, convolution.stride, convolution.padding, convolution.dilation,
        convolution.transposed, convolution.output_padding, convolution.groups, [True, False, False],
    )[0]  # fmt: skip
    return grad


def _from_single_position(signal: Tensor, weight: Tensor, size: tuple[int, ...], convolution: Convolution) -> Tensor:
    """A filter as large as the map below: its maps have one position, so that one matrix product does it."""
    return (signal.flatten(1) @ weight.flatten(1)).view(size)


def _filter_folded(signal: Tensor, weight: Tensor, size: tuple[int, ...], convolution: Convolution) -> Tensor:
    """A filter of stride 1 above few maps: one matrix product, and what each position gives added up."""
    columns = weight.flatten(1).t() @ signal.flatten(2)
    return torch.nn.functional.fold(columns, size[2:], weight.shape[2:], 1, convolution.padding)


def _filter_phases(signal: Tensor, weight: Tensor, size: tuple[int, ...], convolution: Convolution) -> Tensor:
    """A filter of stride s transposed, as one convolution that gives each block of s pixels as maps of its own.

    Quicker than the general way where few maps lie below, as at the pixels.
    """
    stride, padding = convolution.stride, convolution.padding
    axes = range(len(stride))
    blocks = [-(-k // s) for k, s in zip(weight.shape[2:], stride, strict=True)]
    more = [q * s - k for q, s, k in zip(blocks, stride, weight.shape[2:], strict=True)]
    whole = torch.nn.functional.pad(weight, [n for extra in reversed(more) for n in (0, extra)])
    parts = whole.view(*weight.shape[:2], *(n for pair in zip(blocks, stride, strict=True) for n in pair))
    parts = parts.permute(1, *(3 + 2 * i for i in axes), 0, *(2 + 2 * i for i in axes))
    phases = parts.reshape(-1, weight.shape[0], *blocks)
    pixels = _filtered(signal, phases, [q - 1 for q in blocks])
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


def _filter_flipped(signal: Tensor, weight: Tensor, size: tuple[int, ...], convolution: Convolution) -> Tensor:
    """A filter of stride 1 transposed, as the convolution with the flipped filter; quicker on large maps."""
    crops = [k - 1 - p for k, p in zip(weight.shape[2:], convolution.padding, strict=True)]
    return _filtered(signal, weight.transpose(0, 1), crops)


def _filtered(signal: Tensor, weight: Tensor, padding: Sequence[int]) -> Tensor:
    """The signal filtered with the flipped weight."""
    once = [1] * len(padding)
    flipped = weight.flip(*range(2, weight.ndim))
    below: Tensor = torch.ops.aten.convolution.default(signal, flipped, None, once, padding, once, False, [0], 1)
    return below


def _point_filter_transposed(signal: Tensor, weight: Tensor, size: tuple[int, ...], convolution: Convolution) -> Tensor:
    """A filter of one pixel transposed: one matrix product, spread to every stride-th pixel."""
    values = weight.flatten(1).t() @ signal.flatten(2)
    values = values.view(len(signal), -1, *signal.shape[2:])
    if max(convolution.stride) == 1:
        return values
    below = values.new_zeros(size)
    every: Index = (..., *(slice(None, None, step) for step in convolution.stride))
    below[every] = values
    return below


def unpool_gathered(signal: Tensor, switches: Tensor, at: Covering, size: Sequence[int], overlap: str) -> Tensor:
    """As `ops.unpool` where the switches point, but each pixel gathers from the windows that hold it.

    Sums are taken in the same order every time, which scattering on an accelerator does not promise.
    """
    values, switches = signal.flatten(2), switches.flatten(2)
    parts = []
    for windows, switch in zip(at.windows, at.switches, strict=True):
        points_here = switches.index_select(2, windows) == switch
        parts.append(values.index_select(2, windows).where(points_here, 0))
    if overlap == "sum":
        below = sum(parts[1:], parts[0])
    else:
        highest, lowest = (reduce(pick, parts, torch.zeros_like(parts[0])) for pick in (torch.maximum, torch.minimum))
        below = torch.where(highest >= -lowest, highest, lowest)
    return below.view(*signal.shape[:2], *size)


def looked_up(table: Tensor, indices: Tensor) -> Tensor:
    """`table[indices]`, several times faster."""
    return table.index_select(0, indices.flatten()).view(indices.shape)


def without_repeats(memory: Tensor) -> Tensor:
    """What several images share, once; what each has of its own as it is."""
    return memory[:1] if len(memory) > 1 and memory.stride(0) == 0 else memory
