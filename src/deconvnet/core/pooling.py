"""Where the windows of a pooling lie, and unpooling without switches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from deconvnet.core.graph import per_axis
from deconvnet.core.rules import Call


@dataclass(frozen=True, eq=False)
class PoolWindows:
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

    @cached_property
    def span(self) -> int:
        """Length from the first to the last pixel of the longest window."""
        return (int(self.counts.max()) - 1) * self.dilation + 1

    @cached_property
    def middles(self) -> Int[Tensor, " windows"]:
        """The middle pixel of each window, kept inside the map."""
        middle = self.starts + torch.div(self.counts - 1, 2, rounding_mode="floor") * self.dilation
        return middle.clamp(0, self.size - 1)

    @cached_property
    def shares(self) -> Float[Tensor, "windows size"]:
        """Each window's pixels inside the map, as weights that sum to one (float64)."""
        steps = torch.arange(self.size, device="cpu") - self.starts[:, None]
        inside = (steps >= 0) & (steps < self.counts[:, None] * self.dilation)
        inside &= steps % self.dilation == 0
        return inside.double() / inside.sum(1, keepdim=True)


def regular_windows(size: int, windows: int, kernel: int, stride: int, padding: int, dilation: int) -> PoolWindows:
    """The windows of a pooling with a kernel, along one axis."""
    starts = torch.arange(windows, device="cpu") * stride - padding
    return PoolWindows(size, starts, torch.full_like(starts, kernel), dilation)


def adaptive_windows(size: int, windows: int) -> PoolWindows:
    """The windows of an adaptive pooling, along one axis: from floor(i*size/n) to ceil((i+1)*size/n)."""
    index = torch.arange(windows, device="cpu")
    starts = index * size // windows
    ends = -(-(index + 1) * size // windows)
    return PoolWindows(size, starts, ends - starts)


def windows_of(call: Call) -> tuple[PoolWindows, ...]:
    """The windows of a pooling step, per spatial axis; to be worked out once."""
    sizes, pooled, arguments = call.sizes()[2:], call.step.output.map_size, call.step.arguments
    if "kernel_size" not in arguments:
        return tuple(adaptive_windows(*lengths) for lengths in zip(sizes, pooled, strict=True))
    kernel = per_axis(arguments["kernel_size"], len(sizes))
    stride = per_axis(arguments["stride"] or kernel, len(sizes))
    padding = per_axis(arguments["padding"], len(sizes))
    dilation = per_axis(arguments["dilation"], len(sizes))
    settings = zip(sizes, pooled, kernel, stride, padding, dilation, strict=True)
    return tuple(regular_windows(*of_axis) for of_axis in settings)


def max_pool(call: Call) -> tuple[Tensor, Tensor]:
    """A max-pooling's output, laid out in memory as its input, and the flat positions of its maxima."""
    below, axes = call["self"], call["self"].ndim - 2
    together = below.is_contiguous()
    if "kernel_size" not in call.step.arguments:
        function = getattr(torch.nn.functional, f"adaptive_max_pool{axes}d_with_indices")
        output, positions = function(below, call["output_size"])
    else:
        function = getattr(torch.nn.functional, f"max_pool{axes}d_with_indices")
        if axes == 2 and below.device.type == "cpu":  # several times faster, the way there and back included
            below = below.contiguous(memory_format=torch.channels_last)
        output, positions = function(
            below, call["kernel_size"], call["stride"] or None,
            call["padding"], call["dilation"], call["ceil_mode"],
        )  # fmt: skip
    return output.contiguous() if together else output, positions.contiguous()


@dataclass(frozen=True, eq=False)
class Pixels:
    """Where the pixels of pooling windows lie in a flattened map.

    Attributes:
        firsts: position of each window's first pixel.
        offsets: how much further each pixel of a window lies, by its switch.
        switch_of: the switch of each offset.
    """

    firsts: Int[Tensor, "*pooled"]
    offsets: Int[Tensor, " switches"]
    switch_of: Integer[Tensor, " span"]


@lru_cache(maxsize=512)
def pixels(windows: tuple[PoolWindows, ...], device: torch.device) -> Pixels:
    """Where the pixels of these windows lie; worked out once for the same objects, one for each axis."""
    firsts, offsets = torch.zeros((), dtype=torch.int64, device="cpu"), torch.zeros(1, dtype=torch.int64, device="cpu")
    for i, axis in enumerate(windows):
        firsts = firsts * axis.size + _along(axis.starts, i, len(windows))
        offsets = (offsets[:, None] * axis.size + torch.arange(axis.span, device="cpu")).flatten()
    small = torch.uint8 if len(offsets) <= 256 else torch.int32
    switch_of = torch.zeros(int(offsets.max()) + 1, dtype=small, device="cpu")
    switch_of[offsets] = torch.arange(len(offsets), device="cpu").to(small)
    return Pixels(firsts.to(device), offsets.to(device), switch_of.to(device))


@dataclass(frozen=True, eq=False)
class Covering:
    """The pooling windows that hold each pixel of a flattened map, in as many rows as one pixel has at most.

    Attributes:
        windows: flat position of the window.
        switches: the pixel's switch in it; -1 where the pixel has fewer windows than rows.
    """

    windows: Int[Tensor, "rows pixels"]
    switches: Int[Tensor, "rows pixels"]


@lru_cache(maxsize=512)
def covering(windows: tuple[PoolWindows, ...], device: torch.device) -> Covering:
    """The windows that hold each pixel; worked out once for the same objects, one for each axis."""
    index, switch = torch.zeros(2, 1, 1, dtype=torch.int64, device="cpu")
    for axis in windows:
        away = torch.arange(axis.size, device="cpu")[:, None] - axis.starts
        inside = (away >= 0) & (away < axis.counts * axis.dilation) & (away % axis.dilation == 0)
        most = max(int(inside.sum(1).max()), 1)
        first = inside.byte().sort(dim=1, descending=True, stable=True).indices[:, :most]
        offset = away.where(inside, -1).gather(1, first)
        index = (index[:, None, :, None] * len(axis.starts) + first.t()[:, None]).flatten(2).flatten(0, 1)
        both = (switch[:, None, :, None] >= 0) & (offset.t()[:, None] >= 0)
        switch = (switch[:, None, :, None] * axis.span + offset.t()[:, None]).where(both, -1).flatten(2).flatten(0, 1)
    return Covering(index.to(device), switch.to(device))


@lru_cache(maxsize=512)
def centres(windows: tuple[PoolWindows, ...], device: torch.device) -> Int[Tensor, "1 1 *pooled"]:
    """The flat position of the middle of each window, for unpooling without switches; worked out once, as `pixels`."""
    positions = torch.zeros((), dtype=torch.int64, device="cpu")
    for i, axis in enumerate(windows):
        positions = positions * axis.size + _along(axis.middles, i, len(windows))
    return positions[None, None].to(device)


def spread(signal: Float[Tensor, "m c *pooled"], windows: Sequence[PoolWindows]) -> Float[Tensor, "m c *size"]:
    """Each value spread evenly over its window's pixels: unpooling by the average, without switches."""
    for i, axis in enumerate(windows):
        shares = _shares_on(axis, signal.device, signal.dtype)
        signal = torch.tensordot(signal, shares, dims=([i + 2], [0])).movedim(-1, i + 2)
    return signal


@lru_cache(maxsize=512)
def _shares_on(axis: PoolWindows, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "windows size"]:
    return axis.shares.to(device, dtype)


def _along(values: Tensor, axis: int, axes: int) -> Tensor:
    """Values laid along one of the last `axes` axes, for broadcasting."""
    return values.reshape(-1, *[1] * (axes - 1 - axis))
