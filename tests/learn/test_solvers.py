"""The pieces of the solvers: thresholds, inverses, bounds and descent, against dense linear algebra."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import sparse_coding as slow
from torch import Tensor

from deconvnet.learn.convolve import Geometry, adjoint, from_grid, spectra, synthesis
from deconvnet.learn.douglas_rachford import _Inverse, douglas_rachford
from deconvnet.learn.pooling import pool, unpool
from deconvnet.learn.proximal import Linear, conjugate_gradient, fista, ista, largest_square, shrink_power, splitting
from deconvnet.learn.solution import Solution, clipped, dual, join, largest_seen, objective, relative_gap, shrink

finite = st.floats(-5, 5)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unit_filters(m: int, c: int, k: int, seed: int = 1) -> Tensor:
    filters = numbers(m, c, k, k, seed=seed)
    return filters / filters.flatten(1).norm(dim=1)[:, None, None, None]


def linear(filters: Tensor, geometry: Geometry) -> Linear:
    return Linear(lambda z: synthesis(z, filters, geometry), lambda e: adjoint(e, filters, geometry))


class Small:
    """Two images of 6x6 and three filters, with their R as a matrix."""

    geometry = Geometry((6, 6), (3, 3), "valid")
    filters = unit_filters(3, 1, 3)
    linear = linear(filters, geometry)
    images = numbers(2, 1, 6, 6)
    zeros = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    r = slow.painting_matrix(filters.numpy(), (6, 6), "valid")
    largest = float(np.linalg.eigvalsh(r @ r.T).max())
    lam = 0.3

    @classmethod
    def best(cls, image: int = 0, *, nonneg: bool = False) -> tuple[np.ndarray, float]:
        z = slow.lasso(cls.r, cls.images[image].numpy(), cls.lam, nonneg=nonneg)
        return z, slow.cost(cls.r, z, cls.images[image].numpy(), cls.lam)


# thresholds ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(finite, min_size=1, max_size=5), st.floats(0, 3), st.booleans())
def test_shrinking_is_the_soft_threshold_and_clipping_is_what_it_takes(values, threshold, nonneg):
    z = torch.tensor(values, dtype=torch.float64)
    found = shrink(z, threshold, nonneg=nonneg)
    expected = np.maximum(z.numpy() - threshold, 0) if nonneg else slow.soft(z.numpy(), threshold)
    np.testing.assert_allclose(found, expected, atol=1e-15)
    torch.testing.assert_close(found + clipped(z, threshold, nonneg=nonneg), z, atol=1e-14, rtol=1e-14)


def test_each_image_can_have_its_own_threshold():
    z = numbers(2, 3, 4, 4)
    wide = torch.tensor([0.5, 1.5], dtype=torch.float64)[:, None, None, None]
    for i in range(2):
        assert torch.equal(shrink(z, wide)[i], shrink(z[i], float(wide[i])))
        assert torch.equal(shrink(z[i : i + 1], wide[i : i + 1])[0], shrink(z, wide)[i])


@pytest.mark.parametrize("p", [1.0, 0.8, 2 / 3, 0.5, 0.1])
@pytest.mark.parametrize("beta", [0.3, 1.0, 10.0, 1e3])
def test_the_power_threshold_finds_the_minimum_that_search_finds(p, beta):
    z = torch.linspace(-4, 4, 57, dtype=torch.float64)
    np.testing.assert_allclose(shrink_power(z, p, beta), slow.shrunk_by_search(z.numpy(), p, beta), atol=2e-7)


@pytest.mark.parametrize(
    ("beta", "least", "threshold"), [(1, 0.46600, 1.39799), (10, 0.06840, 0.20520), (100, 0.01004, 0.03012)]
)
def test_the_threshold_for_p_of_0_8_is_where_the_notes_put_it(beta, least, threshold):
    found = shrink_power(torch.tensor([threshold - 1e-5, threshold + 1e-5]).double(), 0.8, beta)
    assert found[0] == 0
    assert float(found[1]) == pytest.approx(least, abs=5e-5)


@settings(deadline=None)
@given(st.floats(0.05, 1), st.floats(0.1, 100), st.floats(0.1, 10), finite)
def test_kappa_weighs_sparsity_as_its_inverse_weighs_the_coupling(p, beta, kappa, z):
    value = torch.tensor([z, -z], dtype=torch.float64)
    found = shrink_power(value, p, beta, kappa)
    torch.testing.assert_close(found, shrink_power(value, p, beta / kappa), atol=1e-9, rtol=1e-9)
    assert found[0] == -found[1] and abs(found[0]) <= abs(z)


# duality ---------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 5), st.floats(0, 3), st.booleans())
def test_no_feature_maps_cost_less_than_the_dual_of_any_residual(seed, lam, size, nonneg):
    z = size * shrink(numbers(2, 3, 8, 8, seed=seed), 0.5)
    z = z.clamp(min=0) if nonneg else z
    residual = Small.images - Small.linear.down(size * numbers(2, 3, 8, 8, seed=seed + 1))
    lower = dual(residual, largest_seen(Small.linear.up(residual), nonneg=nonneg), Small.images, lam)
    assert (lower <= objective(Small.images - Small.linear.down(z), z, lam) + 1e-9).all()


@pytest.mark.parametrize("nonneg", [False, True])
def test_the_dual_of_the_optimum_is_its_cost(nonneg):
    z, cost = Small.best(nonneg=nonneg)
    residual = Small.images[:1] - Small.linear.down(torch.from_numpy(z).view(1, 3, 8, 8))
    lower = dual(residual, largest_seen(Small.linear.up(residual), nonneg=nonneg), Small.images[:1], Small.lam)
    assert float(lower) == pytest.approx(cost, rel=1e-9)


def test_the_objective_is_that_of_the_formula():
    z = numbers(2, 3, 8, 8)
    found = objective(Small.images - Small.linear.down(z), z, 0.7)
    expected = [slow.cost(Small.r, z[i].numpy(), Small.images[i].numpy(), 0.7) for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_gap_is_relative_and_infinite_where_nothing_is_known():
    found = relative_gap(torch.tensor([4.0, 4.0, 0.0]), torch.tensor([3.0, -math.inf, 0.0]))
    assert found.tolist() == [0.25, math.inf, 0.0]


# inverse and largest eigenvalue ----------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_the_inverse_in_fourier_space_is_that_of_the_matrix(channels):
    geometry, filters = Geometry((8, 8), (3, 3), "circular"), unit_filters(4, channels, 3)
    r = slow.painting_matrix(filters.numpy(), (8, 8), "circular")
    image, rho = numbers(2, channels, 8, 8, seed=3), torch.tensor([0.4, 7.0], dtype=torch.float64)
    inverse = _Inverse.of(spectra(filters, geometry))
    found = from_grid(inverse.times(inverse.at(rho), torch.fft.rfft2(image)), geometry)
    for i in range(2):
        dense = np.linalg.solve(float(rho[i]) * np.eye(len(r)) + r @ r.T, image[i].numpy().ravel())
        np.testing.assert_allclose(found[i].ravel(), dense, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_matrix_of_every_frequency_is_hermitian_and_positive(channels):
    geometry = Geometry((8, 8), (3, 3), "circular")
    gram = _Inverse.of(spectra(unit_filters(4, channels, 3), geometry)).gram.permute(2, 3, 0, 1)
    torch.testing.assert_close(gram, gram.mH)
    assert torch.linalg.eigvalsh(gram).min() > 0


@pytest.mark.parametrize("boundary", ["valid", "circular", "zero"])
def test_the_power_method_finds_the_largest_singular_value_squared_from_below(boundary):
    geometry = Geometry((6, 6), (3, 3), boundary)
    like = torch.zeros(2, 3, *geometry.maps, dtype=torch.float64)
    r = slow.painting_matrix(Small.filters.numpy(), (6, 6), boundary)
    largest = np.linalg.svd(r, compute_uv=False)[0] ** 2
    some = linear(Small.filters, geometry)
    np.testing.assert_allclose(largest_square(some, like, 1000), largest, rtol=1e-9)
    steps = [float(largest_square(some, like, count)[0]) for count in (2, 5, 10, 20)]
    assert steps == sorted(steps) and 0.9 * largest < steps[-1] <= largest * (1 + 1e-12)


def test_the_largest_eigenvalue_under_a_circular_boundary_is_that_of_the_spectrum():
    geometry = Geometry((6, 6), (3, 3), "circular")
    exact = float((spectra(Small.filters, geometry).abs() ** 2).sum(0).max())
    like = torch.zeros(1, 3, 6, 6, dtype=torch.float64)
    found = largest_square(linear(Small.filters, geometry), like, 2000)
    assert float(found) == pytest.approx(exact, rel=1e-9)


# proximal gradient -----------------------------------------------------------------------------------


def test_accelerated_steps_keep_beck_and_teboulles_bound():
    best, cost = Small.best()
    for k in (1, 3, 10, 30, 100):
        exact = torch.full((1,), Small.largest, dtype=torch.float64)
        found = fista(
            Small.images[:1], Small.linear, Small.lam, Small.zeros[:1], largest=exact, tol=0, max_iter=k
        ).objective
        assert cost - 1e-10 <= float(found) <= cost + 2 * Small.largest * float((best**2).sum()) / (k + 1) ** 2


def test_a_step_that_is_too_long_is_halved_until_it_fits():
    short = torch.full((2,), Small.largest / 50, dtype=torch.float64)
    found = fista(Small.images, Small.linear, Small.lam, Small.zeros, largest=short, tol=0, max_iter=1000)
    for i in range(2):
        assert float(found.objective[i]) == pytest.approx(Small.best(i)[1], rel=1e-5)


def test_accelerated_steps_stay_at_the_optimum_though_their_length_is_tested_with_rounded_numbers():
    images, filters = Small.images.float(), Small.filters.float()
    some = linear(filters, Small.geometry)
    found = fista(images, some, Small.lam, Small.zeros.float(), tol=0, max_iter=2000)
    for i in range(2):
        assert float(found.objective[i]) == pytest.approx(Small.best(i)[1], rel=1e-6)


@pytest.mark.parametrize("nonneg", [False, True])
def test_plain_steps_never_raise_the_objective_and_approach_the_optimum(nonneg):
    found = ista(Small.images, Small.linear, Small.lam, Small.zeros, nonneg=nonneg, steps=400)
    assert (found.history.diff(dim=0) <= 1e-12).all()
    assert found.looks.tolist() == list(range(1, 401)) and not found.converged.any() and found.gap.isinf().all()
    for i in range(2):
        assert float(found.objective[i]) == pytest.approx(Small.best(i, nonneg=nonneg)[1], rel=1e-3)
    assert not nonneg or found.codes.min() >= 0


def test_one_plain_step_is_that_of_the_paper():
    start, largest = numbers(2, 3, 8, 8, seed=5), torch.tensor([10.0, 20.0], dtype=torch.float64)
    found = ista(Small.images, Small.linear, Small.lam, start, largest=largest, steps=1)
    for i in range(2):
        z, beta = start[i].numpy().ravel(), 1 / float(largest[i])
        moved = z - beta * Small.r.T @ (Small.r @ z - Small.images[i].numpy().ravel())
        np.testing.assert_allclose(found.codes[i].ravel(), slow.soft(moved, Small.lam * beta), atol=1e-13)


def test_what_follows_each_plain_step_has_the_last_word():
    block = (2, 2, 2)
    found = ista(Small.images, Small.linear, Small.lam, Small.zeros, steps=7, then=lambda z: unpool(*pool(z, block)))
    assert torch.equal(unpool(*pool(found.codes, block)), found.codes) and found.codes.any()
    torch.testing.assert_close(
        found.objective, objective(Small.images - Small.linear.down(found.codes), found.codes, Small.lam)
    )


# splitting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "betas"), [(1.0, (1.0, 10, 100)), (0.8, (1.0, 2, 3, 10))])
def test_splitting_takes_the_steps_of_2010_when_its_linear_systems_are_solved(p, betas):
    expected = [slow.half_quadratic(Small.r, image.numpy(), Small.lam, p, betas) for image in Small.images[:2]]
    for step in range(len(betas)):
        some = betas[: step + 1]
        found = splitting(Small.images, Small.linear, Small.lam, Small.zeros, p=p, betas=some, cg_steps=120)
        for i in range(2):
            np.testing.assert_allclose(found.codes[i].ravel(), expected[i][step], atol=1e-6)


def test_at_a_fixed_beta_neither_half_of_splitting_raises_its_cost():
    y, beta, lam = Small.images, 5.0, Small.lam

    def cost(z: Tensor, x: Tensor) -> Tensor:
        fit = 0.5 / lam * (Small.linear.down(z) - y).flatten(1).square().sum(1)
        return fit + beta / 2 * (z - x).flatten(1).square().sum(1) + x.flatten(1).abs().sum(1)

    z = numbers(2, 3, 8, 8, seed=9)
    costs = [cost(z, torch.zeros_like(z))]
    for _ in range(15):
        x = shrink_power(z, 1.0, beta)
        costs.append(cost(z, x))
        right = Small.linear.up(y) / lam + beta * x
        z = conjugate_gradient(lambda v: Small.linear.up(Small.linear.down(v)) / lam + beta * v, right, z, 2)
        costs.append(cost(z, x))
    falls = torch.stack(costs).diff(dim=0)
    assert (falls <= 1e-12).all() and (falls[:8] < 0).all()


@pytest.mark.parametrize("p", [1.0, 0.8])
def test_splitting_tells_the_cost_of_the_sparse_maps_it_returns(p):
    found = splitting(Small.images, Small.linear, Small.lam, Small.zeros, p=p)
    expected = 0.5 * (Small.linear.down(found.codes) - Small.images).flatten(1).square().sum(1)
    expected += Small.lam * found.codes.flatten(1).abs().pow(p).sum(1)
    torch.testing.assert_close(found.objective, expected)
    assert found.history.shape == (6, 2) and found.solver == "splitting"
    assert (found.codes == 0).any() and not found.converged.any() and found.gap.isinf().all()


def test_conjugate_gradient_solves_every_system_of_a_batch_alone():
    square = numbers(9, 9, seed=2)
    matrix, right = square @ square.T + 0.5 * torch.eye(9).double(), numbers(3, 1, 3, 3)
    right[1] = 0
    found = conjugate_gradient(lambda v: (v.flatten(1) @ matrix).view_as(v), right, torch.zeros_like(right), 30)
    np.testing.assert_allclose(found.flatten(1), np.linalg.solve(matrix, right.flatten(1).T).T, atol=1e-10)
    exact = conjugate_gradient(lambda v: (v.flatten(1) @ matrix).view_as(v), right, found, 5)
    torch.testing.assert_close(exact, found, atol=1e-10, rtol=0)


# alternating directions ------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_at_the_optimum_alternating_directions_stay_for_every_rho(channels):
    filters, image = unit_filters(4, channels, 3), numbers(1, channels, 6, 6)
    r = slow.painting_matrix(filters.numpy(), (6, 6), "circular")
    for lam in (0.05, 0.3, 1.0):  # rho begins at 50 lam + 1
        best = torch.from_numpy(slow.lasso(r, image.numpy(), lam)).view(1, 4, 6, 6)
        for iterations in (1, 5, 20):
            found = douglas_rachford(image, filters, lam, tol=0, max_iter=iterations, start=best)
            torch.testing.assert_close(found.codes, best, atol=1e-11, rtol=0)
            assert float(found.gap) < 1e-11
        assert douglas_rachford(image, filters, lam, tol=1e-9, start=best).n_iter.tolist() == [5]


def test_maps_to_begin_with_are_left_as_they_were():
    start = numbers(2, 3, 6, 6)
    before = start.clone()
    douglas_rachford(Small.images, Small.filters, 0.3, start=start)
    assert torch.equal(start, before)


# several images --------------------------------------------------------------------------------------


def solution(n: int, looks: list[int], first: float) -> Solution:
    history = first - torch.arange(len(looks)).double()[:, None].expand(-1, n)
    return Solution(
        torch.full((n, 1, 2, 2), first), history[-1], history, torch.tensor(looks), torch.full((n,), 0.1),
        torch.ones(n, dtype=torch.bool), torch.full((n,), looks[-1]), "fista",
    )  # fmt: skip


def test_solutions_are_joined_and_a_history_that_ended_goes_on_at_its_last_value():
    whole = join([solution(2, [10, 20, 30], 9.0), solution(1, [10], 5.0)])
    assert whole.history.tolist() == [[9, 9, 5], [8, 8, 5], [7, 7, 5]]
    assert whole.looks.tolist() == [10, 20, 30] and whole.n_iter.tolist() == [30, 30, 10]
    assert whole.objective.tolist() == [7, 7, 5] and whole.codes.shape == (3, 1, 2, 2)
