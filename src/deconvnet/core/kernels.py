"""Faster ways of `ops`: the same numbers up to the order of sums."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deconvnet._types import Index

_FEW_MAPS = 4  # up to here the ways of a convolution that were made for many maps waste most of their work


@dataclass(frozen=True)
class Convolution:
    """The settings of a convolution, one number per spatial axis.

    Attributes:
        stride, padding, dilation, groups: as PyTorch names them.
        transposed: whether the convolution on the way up was itself a transposed one.
        output_padding: of that transposed convolution.
    """

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    transposed: bool = False
    output_padding: Sequence[int] = (0,)
    groups: int = 1


def faster_filter_transposed(
    signal: Tensor, weight: Tensor, size: tuple[int, ...], convolution: Convolution
) -> Tensor | None:
    """As `ops.filter_transposed`; None where it is not known how to be faster."""
    stride, padding = convolution.stride, convolution.padding
    ungrouped = convolution.groups == 1 and not convolution.transposed
    if ungrouped and set(weight.shape[2:]) == {1} and not any(padding):
        return _point_filter_transposed(signal, weight, size, stride)
    if ungrouped and size[2:] == tuple(weight.shape[2:]) and not any(padding):
        single_position: Tensor = signal.flatten(1) @ weight.flatten(1)
        return single_position.view(size)
    plain = ungrouped and set(convolution.dilation) == {1}
    if plain and size[1] <= _FEW_MAPS and max(stride) > 1:
        return _filter_phases(signal, weight, size, stride, padding)
    plain = plain and max(stride) == 1
    if plain and size[1] <= _FEW_MAPS and len(stride) == 2 and weight[0].numel() <= weight.shape[0]:
        columns = weight.flatten(1).t() @ signal.flatten(2)
        return torch.nn.functional.fold(columns, size[2:], weight.shape[2:], 1, tuple(padding))
    crops = [k - 1 - p for k, p in zip(weight.shape[2:], padding, strict=True)]
    if plain and min(crops) >= 0 and 4 * weight.numel() <= signal.numel():
        return _filter_flipped(signal, weight, crops)
    return None


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


def looked_up(table: Tensor, indices: Tensor) -> Tensor:
    """`table[indices]`, several times faster."""
    return table.index_select(0, indices.flatten()).view(indices.shape)
