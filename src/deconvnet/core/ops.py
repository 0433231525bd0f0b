"""The paper's three operations as pure functions of tensors (Zeiler and Fergus 2013, section 2.1).

One activation is carried down by (i) unpooling, (ii) rectifying and (iii) filtering. Shapes: n images
or m signals first, then c channels, then one to three spatial axes. Nothing but `out` is changed.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from deconvnet.core import kernels
from deconvnet.core.pooling import PoolWindows, covering, pixels

Overlap = Literal["sum", "max"]


def switches(positions: Int[Tensor, "n c *pooled"], windows: Sequence[PoolWindows]) -> Integer[Tensor, "n c *pooled"]:
    """For each pooling window the position of its maximum, counted inside the window.

    Args:
        positions: flat positions of the maxima in each feature map, as PyTorch's poolings return them.
        windows: of the pooling, per spatial axis.

    Returns:
        One byte for each window where a window spans at most 256 pixels, else four.
    """
    if any(axis.span > axis.size for axis in windows[1:]):  # one offset is that of pixels in several rows
        return _switches_by_axis(positions, windows)
    at = pixels(tuple(windows), positions.device)
    return kernels.looked_up(at.switch_of, positions - at.firsts)


def _switches_by_axis(positions: Tensor, windows: Sequence[PoolWindows]) -> Tensor:
    """As `switches`, also where a window is wider than the map."""
    switch, count = torch.zeros_like(positions), 1
    for i, axis in reversed(list(enumerate(windows))):
        starts = axis.starts.to(positions.device).view(-1, *[1] * (len(windows) - 1 - i))
        switch += (positions % axis.size - starts) * count
        positions, count = positions // axis.size, count * axis.span
    return switch.to(torch.uint8 if count <= 256 else torch.int32)


def switched_to(
    switches: Integer[Tensor, "n c *pooled"], windows: Sequence[PoolWindows]
) -> Int[Tensor, "#n c *pooled"]:
    """The flat positions in each feature map that `switches` was made from; once where all images share them."""
    at = pixels(tuple(windows), switches.device)
    return kernels.looked_up(at.offsets, kernels.without_repeats(switches).int()).add_(at.firsts)


def unpool(
    signal: Float[Tensor, "m c *pooled"],
    positions: Int[Tensor, "#m #c *pooled"],
    size: Sequence[int],
    *,
    overlap: Overlap = "sum",
) -> Float[Tensor, "m c *size"]:
    """Each value back at the position that its switch remembers, zero elsewhere (section 2.1, (i)).

    Args:
        signal: on the pooled map.
        positions: flat position in the feature map below for each window.
        size: of the feature map below, per spatial axis.
        overlap: where windows overlap and share a position, "sum" adds their values (the adjoint of
            max-pooling), "max" keeps the one of largest magnitude, with its sign (as Zeiler's
            own code of 2011 does).

    Example:
        >>> unpool(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1, 2]]]), [4])
        tensor([[[0., 3., 4., 0.]]])
    """
    values = signal.flatten(2)
    where = positions.expand_as(signal).flatten(2)
    below = values.new_zeros(*values.shape[:2], math.prod(size))
    if overlap == "sum":
        below.scatter_add_(2, where, values)
    else:
        highest = below.scatter_reduce(2, where, values, "amax")
        lowest = below.scatter_reduce(2, where, values, "amin")
        below = torch.where(highest >= -lowest, highest, lowest)
    return below.view(*values.shape[:2], *size)


def unpool_by_switches(
    signal: Float[Tensor, "m c *pooled"],
    switches: Integer[Tensor, "#m c *pooled"],
    windows: Sequence[PoolWindows],
    *,
    overlap: Overlap = "sum",
) -> Float[Tensor, "m c *size"]:
    """As `unpool`, each value at the position that its switch in its window means."""
    size = [axis.size for axis in windows]
    if signal.device.type == "cpu":
        return unpool(signal, switched_to(switches, windows), size, overlap=overlap)
    at = covering(tuple(windows), signal.device)
    return kernels.unpool_gathered(signal, kernels.without_repeats(switches), at, size, overlap)


def rectify(signal: Float[Tensor, "*shape"], *, out: Tensor | None = None) -> Float[Tensor, "*shape"]:
    """The signal with its negative values set to zero (section 2.1, (ii)).

    Args:
        signal: any.
        out: where the result is written, which may be the signal itself; memory of its own by default.

    Example:
        >>> rectify(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return torch.clamp(signal, min=0, out=out)


def filter_transposed(
    signal: Float[Tensor, "m c_out *spatial"],
    weight: Float[Tensor, "a b *kernel"],
    size: tuple[int, ...],
    convolution: kernels.Convolution,
    way: kernels.FilterTransposed | None = None,
) -> Float[Tensor, "m c_in *size"]:
    """The signal filtered with the transposed version of the same filters (section 2.1, (iii)).

    The adjoint of the convolution with `weight`, without its bias.

    Args:
        signal: on the convolution's output.
        weight: as the convolution uses it.
        size: shape of the convolution's input, (m, c_in, *spatial): a strided convolution may have
            dropped a row that its output does not show.
        convolution: its stride, padding and the like.
        way: as `kernels.way_of_filter_transposed` gives it, where that has been asked already.
    """
    way = way or kernels.way_of_filter_transposed(signal.shape, weight.shape, size, convolution, signal.device.type)
    return way(signal, weight, size, convolution)
