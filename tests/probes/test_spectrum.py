"""Spatial frequencies: known filters lie where they should, and a grid is seen where there is one."""

import math

import pytest
import torch
from torch import Tensor

from deconvnet.probes.spectrum import (
    aliasing,
    centroids,
    mean_spectrum,
    mean_spectrum_of_filters,
    near_grid,
    radii,
    white,
)


def wave(frequency: float, side: int = 32, axes: int = 2) -> Tensor:
    """A cosine along the last axis, under a window that keeps its energy at its frequency: (1, 1, *side)."""
    at = torch.arange(side, dtype=torch.float64)
    window = torch.hann_window(side, dtype=torch.float64)
    line = window * torch.cos(2 * math.pi * frequency * at)
    for _ in range(axes - 1):
        line = line * window.view(-1, *[1] * line.ndim)
    return line[None, None]


def smooth_pictures(seed: int = 0, side: int = 33) -> Tensor:
    """Noise whose spectrum falls with the distance from zero alone: (20, 3, side, side)."""
    noise = torch.randn(20, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    falling = 1 / (radii((side, side)) + 1 / side)
    return torch.fft.ifft2(torch.fft.fft2(noise) * falling).real


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("frequency", [0.1, 0.25, 0.4])
def test_the_centroid_of_a_wave_is_its_frequency(frequency: float, axes: int):
    assert centroids(wave(frequency, axes=axes)).item() == pytest.approx(frequency, abs=0.025)


def test_a_single_pixel_and_noise_lie_at_the_centroid_of_a_white_spectrum():
    pixel = torch.zeros(1, 2, 5, 5)
    pixel[0, 1, 2, 2] = -3
    assert centroids(pixel).item() == pytest.approx(white(2))
    noise = torch.randn(50, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    assert centroids(noise).mean().item() == pytest.approx(white(2), abs=0.01)


def test_a_constant_filter_is_low_and_one_that_is_zero_lies_nowhere():
    assert centroids(torch.ones(1, 1, 16, 16)).item() < 0.12
    assert centroids(torch.zeros(1, 1, 4, 4)).isnan().all()


def test_a_centroid_does_not_depend_on_the_size_of_the_filter():
    filters = torch.randn(4, 3, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(centroids(filters), centroids(-1e-9 * filters))


def test_the_grid_of_a_stride_is_its_multiples_without_zero():
    (near,) = near_grid((16,), (4.0,)).nonzero().T
    assert near.tolist() == [3, 4, 5, 7, 8, 9, 11, 12, 13]
    assert not near_grid((16, 16), (1.0, 1.0)).any()
    rows = near_grid((8, 9), (2.0, 1.0))
    assert rows[:, 0].tolist() == [False, False, False, True, True, True, False, False] and rows.all(1).sum() == 3


@pytest.mark.parametrize("stride", [2.0, 2.5, 3.0, 4.0, 7.3, 40.0])
def test_every_multiple_of_the_strides_frequency_has_its_bins(stride):
    frequency = torch.fft.fftfreq(24, dtype=torch.float64).abs()
    multiples = [i / stride for i in range(1, int(stride / 2) + 1)]
    near = torch.stack([(frequency - each).abs() <= 1.000001 / 24 for each in multiples]).any(0)
    assert near_grid((24,), (stride,)).equal(near)


def test_a_grid_finer_than_all_frequencies_takes_no_time_and_leaves_nothing_to_compare():
    assert aliasing(mean_spectrum(smooth_pictures()), (1e300, 1e300)) is None


@pytest.mark.parametrize("stride", [2.0, 3.0, 4.0])
def test_a_smooth_spectrum_has_what_it_should_near_a_grid(stride: float):
    grid = aliasing(mean_spectrum(smooth_pictures()), (stride, stride))
    assert grid is not None and grid.share == pytest.approx(grid.smooth, rel=0.1)


@pytest.mark.parametrize("stride", [2, 4])
def test_pictures_on_a_grid_have_more_energy_there_than_a_smooth_spectrum(stride: int):
    pictures = torch.zeros(20, 3, 33, 33, dtype=torch.float64)
    pictures[..., ::stride, ::stride] = smooth_pictures()[..., ::stride, ::stride]
    grid = aliasing(mean_spectrum(pictures), (float(stride),) * 2)
    assert grid is not None and grid.share > 1.3 * grid.smooth


def test_a_spectrum_counts_each_picture_alike_and_leaves_out_those_that_do_not_vary():
    one, other = smooth_pictures()[:1], smooth_pictures(1)[:1]
    both = mean_spectrum(torch.cat([one, 1e4 * other + 7, torch.ones_like(one), torch.zeros_like(one)]))
    assert both.sum().item() == pytest.approx(1) and both[0, 0] == 0
    assert torch.allclose(both, (mean_spectrum(one) + mean_spectrum(other)) / 2)


def test_without_a_grid_or_with_few_pixels_there_is_nothing_to_compare():
    spectrum = mean_spectrum(smooth_pictures())
    assert aliasing(spectrum, (1.0, 1.0)) is None
    assert aliasing(mean_spectrum(smooth_pictures(side=3)), (2.0, 2.0)) is None
    assert aliasing(torch.zeros(9, 9, dtype=torch.float64), (2.0, 2.0)) is None


@pytest.mark.parametrize("size", [(31,), (20, 33), (7, 7), (9, 8, 12)])
def test_the_spectrum_of_filters_is_that_of_pictures_with_zeros_around_them(size):
    kernel = (5,) * len(size)
    filters = torch.randn(4, 3, *kernel, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    filters[2] = 0
    padded = torch.zeros(4, 3, *size, dtype=torch.float64)
    padded[(slice(None), slice(None), *(slice(5) for _ in size))] = filters
    torch.testing.assert_close(mean_spectrum_of_filters(filters, size), mean_spectrum(padded), rtol=1e-9, atol=1e-15)
