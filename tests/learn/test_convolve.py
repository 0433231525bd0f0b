"""Painting with filters and its adjoint against loops, for every boundary, both ways of computing, and odd sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import sparse_coding as slow
from torch import Tensor

from deconvnet import ArgumentError
from deconvnet.learn.convolve import Geometry, adjoint, filter_adjoint, spectra, surrounded, synthesis

BOUNDARIES = ("valid", "circular", "zero")
EPS = {torch.float64: 1e-12, torch.float32: 1e-5}

each_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
each_kernel = pytest.mark.parametrize("kernel", [(3, 3), (4, 4), (1, 1), (2, 5)])


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum())


@each_boundary
@each_kernel
@pytest.mark.parametrize("channels", [1, 3, 5])  # above 4 it is not done in Fourier space
def test_filters_paint_what_the_loops_paint(boundary, kernel, channels):
    geometry = Geometry((6, 7), kernel, boundary)
    assert geometry.maps == slow.map_size((6, 7), kernel, boundary)
    z, filters = numbers(2, 3, *geometry.maps), numbers(3, channels, *kernel, seed=1)
    found = synthesis(z, filters, geometry)
    for image, maps in zip(found, z, strict=True):
        np.testing.assert_allclose(image, slow.painted(maps.numpy(), filters.numpy(), (6, 7), boundary), atol=1e-12)


@each_boundary
@each_kernel
@pytest.mark.parametrize("channels", [1, 5])
def test_filters_see_what_the_transposed_matrix_sees(boundary, kernel, channels):
    geometry = Geometry((6, 5), kernel, boundary)
    filters, image = numbers(2, channels, *kernel), numbers(1, channels, 6, 5, seed=1)
    r = slow.painting_matrix(filters.numpy(), (6, 5), boundary)
    np.testing.assert_allclose(adjoint(image, filters, geometry).ravel(), r.T @ image.numpy().ravel(), atol=1e-12)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    size, kernel = (tuple(draw(st.integers(1, most)) for _ in range(2)) for most in (12, 7))
    return Geometry(
        tuple(max(pair) for pair in zip(size, kernel, strict=True)), kernel, draw(st.sampled_from(BOUNDARIES))
    )


@settings(max_examples=120, deadline=None)
@given(geometries(), st.integers(1, 3), st.integers(1, 6), st.sampled_from([torch.float64, torch.float32]))
def test_seeing_is_the_adjoint_of_painting_for_maps_and_for_filters(geometry, m, channels, dtype):
    z, filters = numbers(2, m, *geometry.maps, dtype=dtype), numbers(m, channels, *geometry.kernel, seed=1, dtype=dtype)
    image = numbers(2, channels, *geometry.size, seed=2, dtype=dtype)
    painted = synthesis(z, filters, geometry)
    near = EPS[dtype] * float(painted.norm() * image.norm()) + EPS[dtype]
    assert abs(dot(painted, image) - dot(z, adjoint(image, filters, geometry))) <= near
    assert abs(dot(painted, image) - dot(filters, filter_adjoint(image, z, geometry))) <= near


@settings(max_examples=60, deadline=None)
@given(geometries(), st.integers(1, 4))
def test_fourier_space_and_direct_convolution_paint_the_same(geometry, m):
    z, filters = numbers(2, m, *geometry.maps), numbers(m, 6, *geometry.kernel, seed=1)
    direct = synthesis(z, filters, geometry)
    for c in range(6):
        through_fourier = synthesis(z, filters[:, c : c + 1].contiguous(), geometry)
        torch.testing.assert_close(through_fourier[:, 0], direct[:, c], atol=1e-12, rtol=1e-12)


@each_boundary
def test_a_spectrum_at_hand_changes_nothing(boundary):
    geometry = Geometry((9, 8), (3, 3), boundary)
    z, filters = numbers(1, 4, *geometry.maps), numbers(4, 2, 3, 3, seed=1)
    known = synthesis(z, filters, geometry, spectra(filters, geometry))
    assert torch.equal(known, synthesis(z, filters, geometry))


@each_boundary
def test_the_adjoint_for_filters_is_the_gradient_of_the_squared_error(boundary):
    geometry = Geometry((7, 6), (3, 2), boundary)
    z, image = numbers(2, 3, *geometry.maps), numbers(2, 1, 7, 6, seed=2)
    filters = numbers(3, 1, 3, 2, seed=1).requires_grad_()
    residual = synthesis(z, filters, geometry) - image
    (gradient,) = torch.autograd.grad(0.5 * (residual**2).sum(), filters)
    torch.testing.assert_close(filter_adjoint(residual.detach(), z, geometry), gradient, atol=1e-11, rtol=1e-11)


def test_a_map_of_the_valid_boundary_reaches_over_the_border_and_paints_parts_of_filters():
    geometry, filters = Geometry((4, 4), (3, 3), "valid"), torch.arange(1.0, 10.0).view(1, 1, 3, 3).double()
    z = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    z[0, 0, 0, 0] = 2
    corner = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    corner[0, 0, 0, 0] = 18
    torch.testing.assert_close(synthesis(z, filters, geometry), corner)
    torch.testing.assert_close(synthesis(z.roll((3, 3), (2, 3)), filters, geometry)[0, 0, 1:, 1:], 2 * filters[0, 0])


@settings(max_examples=30, deadline=None)
@given(st.integers(-6, 6), st.integers(-6, 6), st.sampled_from([1, 5]))
def test_a_circular_image_moves_with_its_maps(rows, columns, channels):
    geometry = Geometry((6, 7), (3, 4), "circular")
    z, filters = numbers(1, 2, 6, 7), numbers(2, channels, 3, 4, seed=1)
    moved = synthesis(z.roll((rows, columns), (2, 3)), filters, geometry)
    torch.testing.assert_close(moved, synthesis(z, filters, geometry).roll((rows, columns), (2, 3)))
    seen = adjoint(moved, filters, geometry)
    unmoved = adjoint(synthesis(z, filters, geometry), filters, geometry)
    torch.testing.assert_close(seen, unmoved.roll((rows, columns), (2, 3)))


@each_boundary
@each_kernel
def test_an_image_is_surrounded_by_as_much_as_its_maps_see(boundary, kernel):
    geometry = Geometry((6, 7), kernel, boundary)
    wide = surrounded(numbers(1, 1, 6, 7), geometry)
    assert wide.shape[2:] == tuple(length + k - 1 for length, k in zip(geometry.maps, kernel, strict=True))


@pytest.mark.parametrize(
    ("size", "kernel", "boundary", "words"),
    [
        ((6, 6), (3, 3), "same", r"boundary is one of \('valid', 'circular', 'zero'\); got 'same'"),
        ((6, 6), (3, 3), None, "boundary is one of .*; got None"),
        ((6, 2), (3, 3), "valid", "images of 6x2 are smaller than filters of 3x3: give larger images, or smaller"),
        ((2, 6), (3, 3), "circular", "images of 2x6 are smaller than filters of 3x3"),
    ],
)
def test_sizes_that_do_not_fit_are_told(size, kernel, boundary, words):
    with pytest.raises(ArgumentError, match=words):
        Geometry(size, kernel, boundary)
