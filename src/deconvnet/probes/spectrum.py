"""Spatial frequencies of filters and pictures, in cycles per pixel: where their energy lies, and the grid of a stride.

No photo and no network here: tensors in, numbers out. Everything is computed in float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

LOW, HIGH = 1 / 6, 1 / 3  # cycles per pixel: thirds of what pixels can hold
BANDS = ("low", "mid", "high")
_FINE = {1: 256, 2: 64, 3: 32}  # filters are padded with zeros to this many pixels at least, by number of axes
_FEWEST = 3  # distances from frequency zero that a smooth spectrum is fitted to


@dataclass(frozen=True)
class Aliasing:
    """Energy of pictures near the frequencies at which a stride leaves its grid.

    Attributes:
        share: of the energy, without that of the constant part, within one bin of a multiple of 1 / stride along any
            axis; 0 to 1.
        smooth: what the share would be if these frequencies followed the others smoothly.
    """

    share: float
    smooth: float


def radii(size: Sequence[int]) -> Float[Tensor, "*size"]:
    """The distance of each frequency of a transform of that size from zero, in cycles per pixel."""
    squares = torch.zeros(1, dtype=torch.float64, device="cpu")
    for axis, length in enumerate(size):
        shape = [-1 if each == axis else 1 for each in range(len(size))]
        squares = squares + torch.fft.fftfreq(length, dtype=torch.float64, device="cpu").view(shape).square()
    return squares.sqrt()


def centroids(filters: Float[Tensor, "m c *kernel"]) -> Float[Tensor, " m"]:
    """The mean distance from frequency zero of each filter's energy, in cycles per pixel.

    Returns:
        0 (a constant over many pixels) to half the root of the number of axes; nan for a filter that is zero.

    Example:
        >>> wave = torch.cos(torch.arange(24) * torch.pi / 2)  # a period of 4 pixels
        >>> centroids(wave.expand(1, 1, 24, 24)).round(decimals=2)
        tensor([0.2500], dtype=torch.float64)
    """
    axes = filters.ndim - 2
    size = [max(_FINE.get(axes, 16), length) for length in filters.shape[2:]]
    distance, over = radii(size), tuple(range(1, axes + 1))
    means = []
    for filter_ in filters.cpu().double():
        power = torch.fft.fftn(filter_, s=size, dim=over).abs().square().sum(0)
        means.append((power * distance).sum() / power.sum())
    return torch.stack(means) if means else torch.zeros(0, dtype=torch.float64, device="cpu")


def along(energy: Float[Tensor, "*size"], axis: int) -> Float[Tensor, " length"]:
    """Energy summed over all axes but one."""
    others = [other for other in range(energy.ndim) if other != axis]
    return energy.sum(others) if others else energy


def white(axes: int) -> float:
    """The centroid of what has the same energy at all frequencies: of a single pixel, and on average of noise.

    Example:
        >>> [round(white(axes), 2) for axes in (1, 2, 3)]
        [0.25, 0.38, 0.48]
    """
    return float(radii([_FINE.get(axes, 16)] * axes).mean())


def mean_spectrum(windows: Float[Tensor, "m c *size"]) -> Float[Tensor, "*size"]:
    """The mean of the pictures' power spectra over all channels, each without its constant part and divided by its sum.

    Zero where no picture varies.
    """
    total = torch.zeros(tuple(windows.shape[2:]), dtype=torch.float64, device="cpu")
    count = 0
    for window in windows.cpu().double():
        power = torch.fft.fftn(window, dim=tuple(range(1, window.ndim))).abs().square().sum(0)
        constant = (0,) * power.ndim
        scale = float(power.sum())
        power[constant] = 0
        if float(power.sum()) > 1e-20 * scale:
            total += power / power.sum()
            count += 1
    return total / max(count, 1)


def mean_spectrum_of_filters(filters: Float[Tensor, "m c *kernel"], size: Sequence[int]) -> Float[Tensor, "*size"]:
    """As `mean_spectrum` of filters with zeros around them, by one transform of that size for all of them.

    A power spectrum is the transform of a filter's products with itself at every shift, which can be added up before.

    Args:
        filters: at most as large as `size`.
        size: in pixels.
    """
    values, over = filters.cpu().double(), tuple(range(1, filters.ndim - 1))
    shifts = [2 * length - 1 for length in filters.shape[2:]]
    power = torch.fft.fftn(values, s=shifts, dim=tuple(axis + 1 for axis in over)).abs().square().sum(1)
    energy = math.prod(size) * values.flatten(1).square().sum(1)
    varying = energy - values.flatten(2).sum(2).square().sum(1)
    weights = torch.where(varying > 1e-20 * energy, 1 / varying, 0)
    mean = torch.einsum("m,m...->...", weights, power) / max(int((weights > 0).sum()), 1)
    products = torch.fft.ifftn(mean).real
    for axis, (length, count) in enumerate(zip(size, shifts, strict=True)):
        index = torch.arange(count, device="cpu")
        at = (index + count // 2) % count - count // 2  # the shifts, in the order of a transform
        shape = list(products.shape)
        shape[axis] = length
        products = torch.zeros(shape, dtype=torch.float64, device="cpu").index_add_(axis, at % length, products)
    spectrum: Tensor = torch.fft.fftn(products).real.clamp(min=0)
    spectrum[(0,) * spectrum.ndim] = 0
    return spectrum


def aliasing(spectrum: Float[Tensor, "*size"], stride: Sequence[float]) -> Aliasing | None:
    """The energy near the grid of a stride, beside that of a smooth spectrum.

    The smooth spectrum depends on the distance r from frequency zero alone: its logarithm is a polynomial of the second
    degree in log r, fitted by least squares to the mean at each distance of what does not lie near the grid.

    Args:
        spectrum: from `mean_spectrum`.
        stride: along each axis, in pixels.

    Returns:
        None where no stride reaches 2, which would leave a grid, or the pictures have too few pixels to be compared.
    """
    near, distance = near_grid(spectrum.shape, stride), radii(spectrum.shape)
    apart = ~near & (distance > 0)
    total = float(spectrum.sum())
    fit = _fit(spectrum[apart], distance[apart], max(spectrum.shape, default=1)) if near.any() and total > 0 else None
    if fit is None:
        return None
    smooth = torch.zeros_like(spectrum)
    smooth[distance > 0] = torch.from_numpy(np.exp(np.polyval(fit, np.log(distance[distance > 0].numpy()))))
    return Aliasing(float(spectrum[near].sum()) / total, float(smooth[near].sum() / smooth.sum()))


def near_grid(size: Sequence[int], stride: Sequence[float]) -> Bool[Tensor, "*size"]:
    """Whether a frequency lies within one bin of a multiple of 1 / stride along any axis; 0 is not such a multiple."""
    near = torch.zeros(tuple(size), dtype=torch.bool, device="cpu")
    for axis, (length, step) in enumerate(zip(size, stride, strict=True)):
        frequency = torch.fft.fftfreq(length, dtype=torch.float64, device="cpu").abs()
        shape = [-1 if each == axis else 1 for each in range(len(size))]
        if step >= 2:
            multiple = (frequency * step).round().clamp(1, float(math.floor(step / 2)))
            near |= ((frequency - multiple / step).abs() <= (1 + 1e-9) / length).view(shape)
    return near


def _fit(power: Tensor, distance: Tensor, length: int) -> NDArray[np.float64] | None:
    """Coefficients of log power over log distance, of means over rings one bin wide; None if these are too few."""
    rings = (distance * length).round().long()
    counts = torch.bincount(rings).double()
    sums, ways = (torch.bincount(rings, weights=each) for each in (power, distance))
    usable = (counts > 0) & (sums > 0)
    r, p = (each[usable] / counts[usable] for each in (ways, sums))
    if len(r) < _FEWEST:
        return None
    return np.polyfit(np.log(r.numpy()), np.log(p.numpy()), 2 if len(r) > _FEWEST else 1)
