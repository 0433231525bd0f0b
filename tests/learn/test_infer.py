"""Sparse codes against a dense LASSO, their optimality conditions, known solutions, and SPORCO's numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import sparse_coding as slow
from torch import Tensor

from deconvnet import ArgumentError, NotFiniteError
from deconvnet.learn import DeconvLayer, Solution, sparse_code
from deconvnet.learn.convolve import Geometry, adjoint

SPORCO = json.loads((Path(__file__).parents[1] / "reference" / "sporco_trajectory.json").read_text())
LAM = 0.3
WAYS = [("circular", "dr"), ("circular", "fista"), ("valid", "fista"), ("zero", "fista")]

each_way = pytest.mark.parametrize(("boundary", "solver"), WAYS)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unit_filters(m: int, c: int, k: int, seed: int = 1) -> Tensor:
    filters = numbers(m, c, k, k, seed=seed)
    return filters / filters.flatten(1).norm(dim=1)[:, None, None, None]


# the optimum -----------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize("nonneg", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_solver_finds_the_minimum_that_a_dense_lasso_finds(boundary, solver, nonneg, channels):
    images, filters = numbers(1, channels, 5, 6), unit_filters(2, channels, 3, seed=3)
    r = slow.painting_matrix(filters.numpy(), (5, 6), boundary)
    best = slow.lasso(r, images.numpy(), LAM, nonneg=nonneg)
    assert slow.violation(r, best, images.numpy(), LAM, nonneg=nonneg) < 1e-12
    found = sparse_code(
        images, filters, LAM, boundary, solver, tol=0, max_iter=300 if solver == "dr" else 700, nonneg=nonneg
    )
    cost = slow.cost(r, best, images.numpy(), LAM)
    assert float(found.objective) == pytest.approx(cost, rel=1e-8)
    np.testing.assert_allclose(found.codes.ravel(), best, atol=1e-4 if solver == "fista" else 1e-8)
    assert 0 <= float(found.gap) < 1e-4 and found.solver == solver
    assert not nonneg or found.codes.min() >= 0


def weights_of(shape: tuple[int, ...]) -> Tensor:
    return numbers(*shape, seed=11).abs() + 0.1


@each_way
@pytest.mark.parametrize(("shape", "nonneg"), [("all", False), ("maps", True), ("positions", False)])
def test_with_weights_every_solver_finds_the_minimum_that_a_dense_lasso_finds(boundary, solver, nonneg, shape):
    images, filters = numbers(1, 2, 5, 6), unit_filters(3, 2, 3, seed=3)
    size = Geometry((5, 6), (3, 3), boundary).maps
    weights = weights_of({"all": (1, 3, *size), "maps": (3, 1, 1), "positions": size}[shape])
    r = slow.painting_matrix(filters.numpy(), (5, 6), boundary)
    lam = LAM * weights.expand(3, *size).numpy().ravel() if shape != "all" else LAM * weights.numpy().ravel()
    best = slow.lasso(r, images.numpy(), lam, nonneg=nonneg)
    found = sparse_code(
        images, filters, LAM, boundary, solver, tol=0, max_iter=400 if solver == "dr" else 900, nonneg=nonneg,
        weights=weights,
    )  # fmt: skip
    exact = solver == "dr"  # the other takes long for the last digits
    cost = slow.cost(r, best, images.numpy(), lam)
    assert float(found.objective) == pytest.approx(cost, rel=1e-9 if exact else 2e-6)
    off = slow.violation(r, found.codes.numpy(), images.numpy(), lam, nonneg=nonneg)
    assert off < (1e-6 if exact else 1e-2) and 0 <= float(found.gap) < 1e-2 and found.solver == solver


@pytest.mark.parametrize("boundary", ["circular", "valid", "zero"])
@pytest.mark.parametrize("weighted", [False, True])
def test_with_a_mask_the_minimum_is_that_of_a_dense_lasso_without_these_pixels(boundary, weighted):
    images, filters = numbers(1, 2, 5, 6), unit_filters(3, 2, 3, seed=3)
    mask = numbers(1, 2, 5, 6, seed=4) > -0.3
    size = Geometry((5, 6), (3, 3), boundary).maps
    weights = weights_of((1, 3, *size)) if weighted else None
    rows = mask.numpy().ravel()
    r = slow.painting_matrix(filters.numpy(), (5, 6), boundary)[rows]
    lam = LAM if weights is None else LAM * weights.numpy().ravel()
    y = images.numpy().ravel()[rows]
    found = sparse_code(images, filters, LAM, boundary, tol=0, max_iter=1500, weights=weights, mask=mask)
    assert float(found.objective) == pytest.approx(slow.cost(r, slow.lasso(r, y, lam), y, lam), rel=2e-6)
    assert slow.violation(r, found.codes.numpy(), y, lam) < 1e-2
    assert 0 <= float(found.gap) < 1e-2 and found.solver == "fista"


def test_what_a_mask_leaves_out_has_no_influence():
    images, filters, mask = numbers(3, 1, 8, 8), unit_filters(3, 1, 3), numbers(8, 8, seed=5) > 0
    other = torch.where(mask, images, 100.0)
    first, second = (sparse_code(x, filters, LAM, "valid", mask=mask) for x in (images, other))
    assert torch.equal(first.codes, second.codes) and torch.equal(first.objective, second.objective)
    nothing = sparse_code(images, filters, LAM, mask=torch.zeros(8, 8, dtype=torch.bool))
    assert not nothing.codes.any() and not nothing.objective.any() and nothing.converged.all()


@each_way
def test_weights_of_one_change_nothing_and_each_image_has_its_own(boundary, solver):
    images, filters = numbers(3, 1, 7, 8), unit_filters(3, 1, 3)
    plain = sparse_code(images, filters, LAM, boundary, solver, tol=1e-8)
    ones = sparse_code(images, filters, LAM, boundary, solver, tol=1e-8, weights=torch.ones(1).double())
    torch.testing.assert_close(ones.codes, plain.codes, atol=1e-9, rtol=0)
    weights = weights_of((3, 1, 1, 1))
    whole = sparse_code(images, filters, LAM, boundary, solver, tol=1e-8, weights=weights)
    for i, weight in enumerate(weights.flatten().tolist()):
        alone = sparse_code(images[i : i + 1], filters, LAM * weight, boundary, solver, tol=1e-8)
        torch.testing.assert_close(whole.codes[i : i + 1], alone.codes, atol=1e-5, rtol=0)


@each_way
def test_an_activation_of_weight_zero_costs_nothing(boundary, solver):
    images, filters = numbers(1, 1, 6, 6), unit_filters(2, 1, 3)
    weights = torch.tensor([0.0, 1.0]).double().view(2, 1, 1)
    found = sparse_code(images, filters, 100.0, boundary, solver, tol=1e-6, max_iter=2000, weights=weights)
    assert found.codes[:, 0].any() and not found.codes[:, 1].any()
    assert float(found.objective) < 0.5 * float(images.square().sum())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": 2.0}, "weights are a tensor of the images' type"),
        ({"weights": torch.ones(2, 1, 1)}, "weights are a tensor of the images' type"),
        ({"weights": -torch.ones(2, 1, 1).double()}, "weights are 0 or more and finite"),
        ({"weights": torch.full((2, 1, 1), np.nan).double()}, "weights are 0 or more and finite"),
        ({"weights": torch.ones(3, 1, 1).double()}, r"weights has a shape that broadcasts to \(1, 2, 6, 6\)"),
        ({"weights": torch.ones(1, 1, 1, 1, 1).double()}, "weights has a shape that broadcasts"),
        ({"mask": torch.ones(6, 6)}, "mask is a tensor of bool"),
        ({"mask": torch.ones(5, 6, dtype=torch.bool)}, r"mask has a shape that broadcasts to \(1, 1, 6, 6\)"),
        ({"mask": torch.ones(6, 6, dtype=torch.bool), "solver": "dr"}, "solver 'dr' needs all pixels to count"),
    ],
)
def test_wrong_weights_and_masks_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        sparse_code(numbers(1, 1, 6, 6), unit_filters(2, 1, 3), LAM, **options)


@each_way
def test_where_the_problem_is_well_posed_the_codes_agree_to_the_last_digits(boundary, solver):
    images, filters = numbers(1, 3, 5, 6), unit_filters(1, 3, 2)
    best = slow.lasso(slow.painting_matrix(filters.numpy(), (5, 6), boundary), images.numpy(), LAM)
    found = sparse_code(images, filters, LAM, boundary, solver, tol=1e-11, max_iter=1500)
    np.testing.assert_allclose(found.codes.ravel(), best, atol=1e-8)
    assert found.converged.all() and float(found.gap) < 1e-9


def test_alternating_directions_code_more_channels_than_auto_would_give_them():
    images, filters = numbers(1, 6, 5, 6), unit_filters(3, 6, 3)
    assert sparse_code(images, filters, LAM, max_iter=1).solver == "fista"
    found = sparse_code(images, filters, LAM, solver="dr", tol=0, max_iter=400)
    best = slow.lasso(slow.painting_matrix(filters.numpy(), (5, 6), "circular"), images.numpy(), LAM)
    np.testing.assert_allclose(found.codes.ravel(), best, atol=1e-8)


@pytest.mark.parametrize("nonneg", [False, True])
def test_the_conditions_of_the_minimum_hold(nonneg):
    images, filters = numbers(1, 1, 12, 12), unit_filters(4, 1, 3)
    found = sparse_code(images, filters, LAM, tol=0, max_iter=600, nonneg=nonneg)
    r = slow.painting_matrix(filters.numpy(), (12, 12), "circular")
    assert slow.violation(r, found.codes.numpy(), images.numpy(), LAM, nonneg=nonneg) < 1e-6
    assert 0 < int((found.codes != 0).sum()) < 144


@each_way
def test_the_gap_is_never_below_the_true_excess_and_closes(boundary, solver):
    images, filters = numbers(1, 1, 6, 6), unit_filters(3, 1, 3)
    r = slow.painting_matrix(filters.numpy(), (6, 6), boundary)
    cost = slow.cost(r, slow.lasso(r, images.numpy(), LAM), images.numpy(), LAM)
    gaps = []
    for iterations in (1, 5, 20, 100, 500):
        found = sparse_code(images, filters, LAM, boundary, solver, tol=0, max_iter=iterations)
        excess = (float(found.objective) - cost) / float(found.objective)
        assert -1e-13 < excess <= float(found.gap) + 1e-13
        gaps.append(float(found.gap))
    assert gaps[-1] < 2e-3 < gaps[0] and gaps == sorted(gaps, reverse=True)


@each_way
def test_what_is_told_of_a_solution_is_true_of_its_codes(boundary, solver):
    images, filters = numbers(3, 1, 9, 8), unit_filters(4, 1, 3)
    found = sparse_code(images, filters, LAM, boundary, solver, tol=1e-4)
    for i in range(3):
        z = found.codes[i].numpy()
        error = slow.painted(z, filters.numpy(), (9, 8), boundary) - images[i].numpy()
        assert float(found.objective[i]) == pytest.approx(0.5 * (error**2).sum() + LAM * np.abs(z).sum(), rel=1e-12)
    assert torch.equal(found.history[-1], found.objective) and len(found.looks) == len(found.history)
    assert (found.looks.diff() > 0).all() and int(found.looks[-1]) == int(found.n_iter.max())
    assert found.converged.all() and (found.n_iter < 500).all()
    few = sparse_code(images, filters, LAM, boundary, solver, tol=1e-9, max_iter=3)
    assert not few.converged.any() and few.n_iter.tolist() == [3, 3, 3]


@each_way
def test_a_smaller_tolerance_takes_longer_and_comes_nearer(boundary, solver):
    images, filters = numbers(1, 1, 12, 12), unit_filters(4, 1, 3)
    found = [sparse_code(images, filters, LAM, boundary, solver, tol=tol, max_iter=3000) for tol in (1e-2, 1e-3, 1e-4)]
    assert [int(one.n_iter) for one in found] == sorted({int(one.n_iter) for one in found})
    assert float(found[0].objective) > float(found[1].objective) > float(found[2].objective)


# known solutions -------------------------------------------------------------------------------------


@each_way
def test_one_filter_of_one_pixel_gives_the_soft_threshold(boundary, solver):
    images = numbers(2, 1, 7, 8)
    found = sparse_code(images, torch.ones(1, 1, 1, 1).double(), LAM, boundary, solver, tol=1e-12, max_iter=2000)
    np.testing.assert_allclose(found.codes, slow.soft(images.numpy(), LAM), atol=1e-9)
    assert found.converged.all()


@each_way
def test_an_orthonormal_basis_of_colours_gives_the_soft_threshold_of_what_it_sees(boundary, solver):
    images, filters = numbers(1, 3, 6, 6), torch.linalg.qr(numbers(3, 3, seed=2)).Q[:, :, None, None]
    found = sparse_code(images, filters, LAM, boundary, solver, tol=1e-12, max_iter=2000)
    seen = np.einsum("mc,nchw->nmhw", filters[:, :, 0, 0].numpy(), images.numpy())
    np.testing.assert_allclose(found.codes, slow.soft(seen, LAM), atol=1e-9)


def test_a_filter_that_is_a_shifted_pixel_gives_the_soft_threshold_of_the_shifted_image():
    images, filters = numbers(1, 1, 7, 6), torch.zeros(1, 1, 3, 3).double()
    filters[0, 0, 1, 2] = 1
    found = sparse_code(images, filters, LAM, tol=1e-12)
    np.testing.assert_allclose(found.codes, np.roll(slow.soft(images.numpy(), LAM), (-1, -2), (2, 3)), atol=1e-9)


@each_way
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("nonneg", [False, True])
def test_all_codes_are_zero_if_lam_is_above_all_that_the_filters_see(boundary, solver, dtype, nonneg):
    images, filters = numbers(2, 1, 12, 12, dtype=dtype), unit_filters(4, 1, 3).to(dtype)
    seen = adjoint(images, filters, Geometry((12, 12), (3, 3), boundary))
    largest = float((seen if nonneg else seen.abs()).max())
    for lam in ((1.1 if solver == "dr" else 1.001) * largest, 3 * largest):  # "dr" is slow just above
        found = sparse_code(images, filters, lam, boundary, solver, tol=1e-5, nonneg=nonneg)
        assert not found.codes.any() and found.converged.all() and (found.n_iter < 500).all()
        torch.testing.assert_close(found.objective, 0.5 * images.flatten(1).square().sum(1))
        assert found.gap.max() < 1e-4
    assert sparse_code(images, filters, 0.9 * largest, boundary, solver, tol=1e-5, nonneg=nonneg).codes.any()


@each_way
def test_an_image_without_anything_has_no_codes(boundary, solver):
    images = torch.cat([torch.zeros(1, 1, 8, 8).double(), numbers(1, 1, 8, 8)])
    found = sparse_code(images, unit_filters(3, 1, 3), LAM, boundary, solver)
    assert not found.codes[0].any() and found.codes[1].any() and found.converged.all()
    assert float(found.objective[0]) == 0 and float(found.gap[0]) == 0


# a batch, a start, a shift ---------------------------------------------------------------------------


def alike(whole: Solution, alone: list[Solution], near: float) -> None:
    for name in ("codes", "objective"):
        expected = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(whole, name), expected, atol=near, rtol=near)
    assert torch.equal(whole.n_iter, torch.cat([one.n_iter for one in alone]))
    assert torch.equal(whole.converged, torch.cat([one.converged for one in alone]))


@each_way
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_gives_what_its_images_give_alone(boundary, solver, channels):
    images, filters = numbers(4, channels, 9, 10), unit_filters(5, channels, 3)
    images[1] *= 4
    images[3] *= 0.3
    whole = sparse_code(images, filters, LAM, boundary, solver, tol=1e-2)
    alone = [sparse_code(one[None], filters, LAM, boundary, solver, tol=1e-2) for one in images]
    alike(whole, alone, 1e-11)  # not bit for bit: one image is transformed and summed in another order than several
    assert len(set(whole.n_iter.tolist())) > 1  # they end at different times


@each_way
def test_the_same_call_gives_the_same_bits(boundary, solver):
    images, filters = numbers(2, 1, 9, 10, dtype=torch.float32), unit_filters(5, 1, 3).float()
    first, second = (sparse_code(images, filters, LAM, boundary, solver) for _ in range(2))
    assert torch.equal(first.codes, second.codes) and torch.equal(first.gap, second.gap)


@each_way
def test_images_that_do_not_fit_at_once_are_coded_in_parts(boundary, solver, monkeypatch):
    images, filters = numbers(5, 1, 8, 8), unit_filters(3, 1, 3)
    start = torch.zeros(5, 3, *Geometry((8, 8), (3, 3), boundary).maps, dtype=torch.float64)
    whole = sparse_code(images, filters, LAM, boundary, solver, tol=1e-4, start=start)
    monkeypatch.setattr("deconvnet.learn.infer._VALUES_AT_ONCE", 2 * start[0].numel())
    parts = sparse_code(images, filters, LAM, boundary, solver, tol=1e-4, start=start)
    alike(parts, [whole], 1e-10)
    assert torch.equal(parts.history[-1], parts.objective)


@each_way
def test_from_the_solution_there_is_nowhere_to_go(boundary, solver):
    images, filters = numbers(2, 1, 6, 6), unit_filters(3, 1, 3)
    r = slow.painting_matrix(filters.numpy(), (6, 6), boundary)
    maps = Geometry((6, 6), (3, 3), boundary).maps
    best = torch.from_numpy(np.stack([slow.lasso(r, image.numpy(), LAM) for image in images])).view(2, 3, *maps)
    again = sparse_code(images, filters, LAM, boundary, solver, tol=1e-9, start=best)
    torch.testing.assert_close(again.codes, best, atol=1e-11, rtol=0)
    assert again.n_iter.max() <= 5 and again.converged.all()


def test_maps_of_older_filters_are_a_good_begin():
    images, filters = numbers(2, 1, 16, 16), unit_filters(4, 1, 3)
    older = sparse_code(images, filters + 0.01 * numbers(4, 1, 3, 3, seed=8), LAM, tol=1e-5)
    cold, warm = (sparse_code(images, filters, LAM, tol=1e-4, start=start) for start in (None, older.codes))
    assert (warm.n_iter <= cold.n_iter).all() and warm.n_iter.sum() < cold.n_iter.sum()


@pytest.mark.parametrize("solver", ["dr", "fista"])
def test_codes_move_with_a_circular_image(solver):
    images, filters = numbers(1, 1, 9, 8), unit_filters(4, 1, 3)
    codes = sparse_code(images, filters, LAM, solver=solver, tol=1e-6).codes
    moved = sparse_code(images.roll((2, -3), (2, 3)), filters, LAM, solver=solver, tol=1e-6).codes
    torch.testing.assert_close(moved, codes.roll((2, -3), (2, 3)), atol=2e-5, rtol=0)


@each_way
def test_single_precision_reaches_the_objective_of_double(boundary, solver):
    images, filters = numbers(2, 1, 10, 10), unit_filters(4, 1, 5)
    double = sparse_code(images, filters, LAM, boundary, solver, tol=0, max_iter=400)
    single = sparse_code(images.float(), filters.float(), LAM, boundary, solver, tol=0, max_iter=400)
    assert single.codes.dtype == single.objective.dtype == torch.float32
    np.testing.assert_allclose(single.objective, double.objective, rtol=1e-5)


def test_neither_the_arguments_nor_the_random_state_change():
    images, filters = numbers(2, 1, 8, 8).requires_grad_(), unit_filters(3, 1, 3).requires_grad_()
    before, state = (images.detach().clone(), filters.detach().clone()), torch.get_rng_state()
    found = sparse_code(images, filters, LAM, "valid")
    assert torch.equal(images, before[0]) and torch.equal(filters, before[1])
    assert torch.equal(torch.get_rng_state(), state) and not found.codes.requires_grad


@pytest.mark.parametrize(
    ("boundary", "channels", "taken"),
    [("circular", 1, "dr"), ("circular", 4, "dr"), ("circular", 5, "fista"), ("valid", 1, "fista")],
)
def test_auto_takes_alternating_directions_where_they_are_quick(boundary, channels, taken):
    found = sparse_code(numbers(1, channels, 6, 6), unit_filters(2, channels, 3), LAM, boundary, max_iter=2)
    assert found.solver == taken
    assert found.codes.shape == (1, 2, *Geometry((6, 6), (3, 3), boundary).maps)


# SPORCO ----------------------------------------------------------------------------------------------


def test_the_problem_is_still_the_one_that_sporco_solved():
    image, filters, _ = slow.sporco_problem()
    assert np.linalg.norm(image) == pytest.approx(SPORCO["checks"]["image_norm"], rel=1e-10)
    np.testing.assert_allclose(filters[0, 0], SPORCO["checks"]["first_filter"], rtol=1e-12)


def test_the_textbook_goes_sporcos_way():
    values, rhos = slow.textbook_admm(*slow.sporco_problem(), max(SPORCO["iterations"]))
    at = [i - 1 for i in SPORCO["iterations"]]
    np.testing.assert_allclose(np.array(values)[at], SPORCO["objective"], rtol=1e-3)
    np.testing.assert_allclose(np.array(rhos)[at], SPORCO["rho"], rtol=1e-3)


@pytest.mark.parametrize(("solver", "iterations"), [("dr", 400), ("fista", 600)])
def test_the_objective_reaches_sporcos(solver, iterations):
    image, filters, lam = slow.sporco_problem()
    found = sparse_code(
        torch.from_numpy(image)[None, None], torch.from_numpy(filters)[:, None], lam,
        solver=solver, tol=0, max_iter=iterations,
    )  # fmt: skip
    assert float(found.objective) == pytest.approx(SPORCO["final"]["objective"], rel=1e-4)
    assert float(found.objective) * (1 - float(found.gap)) <= SPORCO["final"]["objective"]


# what is refused -------------------------------------------------------------------------------------

IMAGES, FILTERS = torch.zeros(2, 1, 8, 8), torch.ones(3, 1, 3, 3)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"images": np.zeros((1, 1, 8, 8))}, ArgumentError, r"images are a tensor \(n, c, h, w\); got ndarray"),
        ({"images": IMAGES[0]}, ArgumentError, r"images are \(n, c, h, w\), none of them 0; got \(1, 8, 8\)"),
        ({"images": IMAGES[:0]}, ArgumentError, r"none of them 0; got \(0, 1, 8, 8\)"),
        ({"images": IMAGES.to(torch.uint8)}, ArgumentError, "images are float32 or float64; got uint8. Divide by 255"),
        ({"images": IMAGES.half()}, ArgumentError, "got float16"),
        ({"images": torch.tensor([0.0, torch.inf])[:, None, None, None].expand(2, 1, 8, 8)}, NotFiniteError, "image 1"),
        ({"images": IMAGES[..., :2]}, ArgumentError, "images of 8x2 are smaller than filters of 3x3"),
        ({"images": IMAGES.expand(2, 3, 8, 8)}, ArgumentError, "images have 3 channels, and the filters 1"),
        ({"filters": [1.0]}, ArgumentError, r"filters are a tensor \(maps, channels, k, k'\); got list"),
        ({"filters": FILTERS[0]}, ArgumentError, r"filters are a tensor .*; got \(1, 3, 3\)"),
        ({"filters": FILTERS[:0]}, ArgumentError, r"filters are a tensor .*; got \(0, 1, 3, 3\)"),
        ({"filters": FILTERS.double()}, ArgumentError, r"filters are torch.float64 on cpu.*filters.to\(images\)"),
        ({"filters": FILTERS / 0}, NotFiniteError, "the filters hold NaN or infinity"),
        ({"lam": 0}, ArgumentError, "lam is a number above 0; got 0"),
        ({"lam": -0.1}, ArgumentError, "lam is a number above 0; got -0.1"),
        ({"lam": float("nan")}, ArgumentError, "lam is a number above 0; got nan"),
        ({"lam": float("inf")}, ArgumentError, "lam is a number above 0; got inf"),
        ({"lam": "much"}, ArgumentError, "lam is a number above 0; got 'much'"),
        ({"lam": True}, ArgumentError, "lam is a number above 0; got True"),
        ({"tol": -1e-3}, ArgumentError, "tol is a number of at least 0; got -0.001"),
        ({"tol": None}, ArgumentError, "tol is a number of at least 0; got None"),
        ({"max_iter": 0}, ArgumentError, "max_iter is a whole number, 1 or more; got 0"),
        ({"max_iter": 2.5}, ArgumentError, "max_iter is a whole number, 1 or more; got 2.5"),
        ({"max_iter": True}, ArgumentError, "max_iter is a whole number, 1 or more; got True"),
        ({"boundary": "same"}, ArgumentError, "boundary is one of .*; got 'same'"),
        ({"solver": "lars"}, ArgumentError, r"solver is one of \('auto', 'dr', 'fista'\); got 'lars'"),
        ({"solver": "dr", "boundary": "valid"}, ArgumentError, "'dr' needs boundary='circular'; got 'valid'. Use"),
        ({"start": torch.zeros(2, 3, 8, 9)}, ArgumentError, r"start has the shape of the codes, \(2, 3, 8, 8\); got"),
        ({"start": torch.zeros(2, 3, 8, 8), "boundary": "valid"}, ArgumentError, r"\(2, 3, 10, 10\); got \(2, 3, 8"),
        ({"start": [0.0]}, ArgumentError, r"start is a tensor of the images' type, .*; got list"),
        ({"start": torch.zeros(2, 3, 8, 8).double()}, ArgumentError, "torch.float32 on cpu; got torch.float64 on cpu"),
        ({"start": torch.full((2, 3, 8, 8), torch.nan)}, NotFiniteError, "start holds NaN or infinity"),
    ],
)
def test_what_cannot_be_coded_is_told(changed, error, words):
    arguments = {"images": IMAGES, "filters": FILTERS, "lam": LAM} | changed
    with pytest.raises(error, match=words):
        sparse_code(**arguments)


@pytest.mark.parametrize("lam", [1e308, 1e-320])
def test_a_weight_of_sparsity_that_the_type_of_the_images_cannot_hold_is_refused(lam: float):
    images, filters = torch.ones(1, 1, 6, 6), torch.ones(1, 1, 2, 2)
    with pytest.raises(ArgumentError, match=r"lam is from 1\.17549e-38 to 3\.40282e\+38 in torch\.float32"):
        sparse_code(images, filters, lam)
    with pytest.raises(ArgumentError, match="lam is from"):
        DeconvLayer(1, 2, 3, lam=lam)
