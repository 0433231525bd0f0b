"""Whole networks against loops: the stack with its switches, inference through it, reconstructions, and sizes."""

import numpy as np
import pytest
import torch
from reference import sparse_coding as slow
from torch import Tensor

import deconvnet.learn
from deconvnet import ArgumentError, NotFiniteError
from deconvnet.learn import AdaptiveDeconvNet, Codes, DeconvLayer, singles_and_doubles, sparse_code
from deconvnet.learn.pooling import pool, unpool

BOUNDARIES = ("valid", "circular", "zero")
POOL = (2, 2, 2)

each_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small(maps: tuple[int, ...] = (4, 3), boundary: str = "valid", **options) -> AdaptiveDeconvNet:
    arguments = {"kernel": 3, "pool": POOL, "seed": 1} | options
    return AdaptiveDeconvNet.of(maps, boundary=boundary, **arguments).double()


def filters_of(net: AdaptiveDeconvNet, layer: int) -> np.ndarray:
    return net.layers[layer - 1].filters.detach().numpy()


def painted_slowly(net: AdaptiveDeconvNet, codes: Codes, image: int, z: np.ndarray, layer: int) -> np.ndarray:
    """F1 U1 F2 U2 ... F z of one image, with the switches that the maps of the layers below have when pooled again."""
    sizes = [codes.size]
    below = [codes[number].z[image].numpy() for number in range(1, layer)]
    pooled = [slow.pooled(maps, net.layers[i].pool) for i, maps in enumerate(below)]
    sizes += [kept.shape[1:] for kept, _, _ in pooled]
    for number in range(layer, 0, -1):
        z = slow.painted(z, filters_of(net, number), sizes[number - 1], net.boundary)
        if number > 1:
            z = slow.unpooled(z, pooled[number - 2][2], below[number - 2].shape)
    return z


# sizes -----------------------------------------------------------------------------------------------


def test_sizes_are_those_of_the_paper():
    net = AdaptiveDeconvNet.of([15, 50, 100, 150], pool=(3, 3, 2))
    geometries = net.geometries((150, 150))
    assert [geometry.maps for geometry in geometries] == [(156, 156), (58, 58), (26, 26), (15, 15)]
    assert [geometry.size for geometry in geometries] == [(150, 150), (52, 52), (20, 20), (9, 9)]
    assert [(layer.channels, layer.maps) for layer in net.layers] == [(1, 15), (8, 50), (25, 100), (50, 150)]
    assert [layer.pooled_maps for layer in net.layers] == [8, 25, 50, 75]
    assert pool(torch.zeros(1, 150, 15, 15), (3, 3, 2))[0].shape == (1, 75, 5, 5)


@each_boundary
@pytest.mark.parametrize("solver", ["auto", "ista"])
def test_maps_have_the_sizes_that_were_foretold(boundary, solver):
    net = small((5, 4, 3), boundary, channels=3, pool=(2, 3, 2))
    codes = net.infer(numbers(2, 3, 13, 29), solver=solver, max_iter=2, steps=2)
    assert len(codes) == 3 and codes.size == (13, 29)
    for number, (layer, geometry) in enumerate(zip(net.layers, net.geometries((13, 29)), strict=True), 1):
        found = codes[number]
        assert found.z.shape == (2, layer.maps, *geometry.maps)
        assert found.pooled.shape[1] == layer.pooled_maps and found.switches.size == tuple(found.z.shape[1:])
    assert net.reconstruct(codes).shape == (2, 3, 13, 29)


# the stack -------------------------------------------------------------------------------------------


@each_boundary
@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_whole_stack_with_its_switches_has_its_adjoint(boundary, dtype, near):
    net = small((5, 8, 3), boundary).to(dtype)
    images = numbers(2, 1, 14, 15, dtype=dtype)
    codes, geometries = net.infer(images, max_iter=5), net.geometries((14, 15))
    for number in (1, 2, 3):
        r = net.linear(number, codes, geometries)
        z, other = numbers(*codes[number].z.shape, seed=3, dtype=dtype), numbers(*images.shape, seed=4, dtype=dtype)
        with torch.no_grad():
            down, up = r.down(z), r.up(other)
        assert abs(float((down * other).sum() - (z * up).sum())) <= near * float(down.norm() * other.norm())
        assert down.abs().max() > 0


@each_boundary
def test_every_layer_paints_through_the_switches_below_it_what_the_loops_paint(boundary):
    net = small((4, 6, 3), boundary)
    codes = net.infer(numbers(2, 1, 11, 12), max_iter=10)
    for number in (1, 2, 3):
        found = net.reconstruct(codes, number)
        for i in range(2):
            expected = painted_slowly(net, codes, i, codes[number].z[i].numpy(), number)
            np.testing.assert_allclose(found[i], expected, atol=1e-12)
    torch.testing.assert_close(net.reconstruct(codes), net.reconstruct(codes, 3))


def test_without_pooling_the_layers_are_convolved_alone():
    net = small((3, 2), pool=None)
    codes = net.infer(numbers(1, 1, 7, 8), max_iter=10)
    assert codes[1].switches is None and codes[1].pooled is codes[1].z
    z = slow.painted(codes[2].z[0].numpy(), filters_of(net, 2), (9, 10), "valid")
    np.testing.assert_allclose(
        net.reconstruct(codes)[0], slow.painted(z, filters_of(net, 1), (7, 8), "valid"), atol=1e-12
    )


# inference -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boundary", "nonneg"), [("valid", False), ("valid", True), ("circular", False), ("zero", True)]
)
def test_an_upper_layer_finds_the_minimum_that_a_dense_lasso_finds(boundary, nonneg):
    net, images = small(boundary=boundary), numbers(1, 1, 8, 8)
    net.layers[1].nonneg = nonneg
    codes = net.infer(images, tol=0, max_iter=500)
    shape = tuple(codes[2].z.shape[1:])
    r = slow.matrix(lambda z: painted_slowly(net, codes, 0, z, 2), shape)
    best = slow.lasso(r, images.numpy(), 0.2, nonneg=nonneg)
    assert float(codes[2].solution.objective) == pytest.approx(slow.cost(r, best, images.numpy(), 0.2), rel=1e-7)
    assert float(codes[2].solution.gap) < 1e-3 and codes[2].z.any()
    assert not nonneg or codes[2].z.min() >= 0


def test_the_first_layer_is_sparse_coding():
    net, images = small(), numbers(2, 1, 9, 9)
    for solver in ("auto", "fista"):
        codes = net.infer(images, 1, solver=solver, max_iter=30, tol=1e-4)
        found = sparse_code(images, net.layers[0].filters.detach(), 0.2, "valid", max_iter=30, tol=1e-4)
        assert torch.equal(codes[1].z, found.codes) and len(codes) == 1


@pytest.mark.parametrize(
    ("boundary", "solver", "taken"),
    [("circular", "auto", ["dr", "fista"]), ("valid", "auto", ["fista", "fista"]), ("valid", "ista", ["ista", "ista"])],
)
def test_each_layer_is_solved_by_what_fits_it(boundary, solver, taken):
    codes = small(boundary=boundary).infer(numbers(1, 1, 8, 8), solver=solver, max_iter=3)
    assert [layer.solution.solver for layer in codes.layers] == taken


def test_a_layer_of_2010_paints_the_maps_below_it():
    net, images = small(target="below"), numbers(1, 1, 9, 9)
    codes = net.infer(images, max_iter=50)
    alone = sparse_code(codes[1].pooled, net.layers[1].filters.detach(), 0.2, "valid", max_iter=50)
    assert torch.equal(codes[2].z, alone.codes)
    by_steps = net.infer(images, max_iter=50, solver="ista", steps=3)
    painted = slow.painted(by_steps[2].z[0].numpy(), filters_of(net, 2), tuple(by_steps[1].pooled.shape[2:]), "valid")
    cost = 0.5 * ((painted - by_steps[1].pooled[0].numpy()) ** 2).sum() + 0.2 * float(by_steps[2].z.abs().sum())
    assert float(by_steps[2].solution.objective) == pytest.approx(cost, rel=1e-12)


@pytest.mark.parametrize("solver", ["auto", "ista", "splitting"])
def test_the_objective_is_that_of_painting_the_input(solver):
    net, images = small(), numbers(2, 1, 9, 9)
    codes = net.infer(images, solver=solver, max_iter=20)
    for number in (1, 2):
        error = (net.reconstruct(codes, number) - images).flatten(1).square().sum(1)
        expected = 0.5 * error + 0.2 * codes[number].z.flatten(1).abs().sum(1)
        torch.testing.assert_close(codes[number].solution.objective, expected, rtol=1e-11, atol=0)


def test_the_steps_of_2011_leave_one_activation_in_each_block():
    net = small((4, 3))
    codes = net.infer(numbers(2, 1, 10, 10), solver="ista", steps=10)
    for number in (1, 2):
        found = codes[number]
        assert torch.equal(unpool(*pool(found.z, POOL)), found.z) and found.z.any()
        assert torch.equal(unpool(found.pooled, found.switches), found.z)
        assert found.solution.looks.tolist() == list(range(1, 11)) and not found.solution.converged.any()


def test_with_fixed_switches_and_nothing_pooled_the_steps_never_raise_the_objective():
    net = small((4, 3))
    net.layers[1].pool = None
    found = net.infer(numbers(2, 1, 10, 10), solver="ista", steps=60)[2].solution.history
    assert (found.diff(dim=0) <= 1e-12).all() and (found[-1] < found[0]).all()


@pytest.mark.parametrize("solver", ["auto", "ista", "splitting"])
@each_boundary
def test_a_batch_gives_what_its_images_give_alone(solver, boundary):
    net, images = small(boundary=boundary), numbers(3, 1, 9, 10)
    images[1] *= 3
    whole = net.infer(images, solver=solver, max_iter=25)
    for i in range(3):
        alone = net.infer(images[i : i + 1], solver=solver, max_iter=25)
        for number in (1, 2):
            torch.testing.assert_close(whole[number].z[i], alone[number].z[0], atol=1e-10, rtol=1e-10)
            assert torch.equal(whole[number].switches.offsets[i], alone[number].switches.offsets[0])
        part = net.reconstruct(alone)
        torch.testing.assert_close(net.reconstruct(whole)[i], part[0], atol=1e-10, rtol=1e-10)


def test_a_circular_image_that_moves_by_a_block_moves_every_layer():
    net, images = small(boundary="circular"), numbers(1, 1, 12, 8)
    moved_images = images.roll((4, 2), (2, 3))
    codes, moved = (net.infer(given, solver="splitting") for given in (images, moved_images))
    torch.testing.assert_close(moved[1].z, codes[1].z.roll((4, 2), (2, 3)), atol=1e-9, rtol=0)
    torch.testing.assert_close(moved[2].z, codes[2].z.roll((2, 1), (2, 3)), atol=1e-9, rtol=0)
    assert codes[2].z.any()
    codes, moved = (net.infer(given, tol=0, max_iter=500) for given in (images, moved_images))
    torch.testing.assert_close(moved[1].z, codes[1].z.roll((4, 2), (2, 3)), atol=1e-9, rtol=0)
    torch.testing.assert_close(moved[2].solution.objective, codes[2].solution.objective, atol=0, rtol=1e-6)


def test_inference_changes_nothing_and_gives_the_same_bits_again():
    net, images = small(), numbers(2, 1, 9, 9)
    before, state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    first, second = net.infer(images, max_iter=9), net.infer(images, max_iter=9)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and net.training
    assert torch.equal(first[2].z, second[2].z) and not first[2].z.requires_grad
    assert not net.reconstruct(first).requires_grad


# reconstructions -------------------------------------------------------------------------------------


def test_what_is_kept_and_what_is_not_add_up_to_the_whole():
    net = small()
    codes = net.infer(numbers(2, 1, 9, 9), max_iter=20)
    for number in (1, 2):
        keep = numbers(*codes[number].z.shape, seed=5) > 0
        parts = net.reconstruct(codes, number, keep) + net.reconstruct(codes, number, ~keep)
        torch.testing.assert_close(parts, net.reconstruct(codes, number), atol=1e-12, rtol=1e-12)


def test_so_many_of_the_strongest_activations_of_each_image_are_kept():
    net = small()
    codes = net.infer(numbers(2, 1, 9, 9), max_iter=20)
    for count in (1, 4):
        found = net.reconstruct(codes, 2, keep=count)
        for i in range(2):
            z = codes[2].z[i].numpy()
            kept = np.where(np.abs(z) >= np.sort(np.abs(z).ravel())[-count], z, 0)
            assert np.count_nonzero(kept) == count
            np.testing.assert_allclose(found[i], painted_slowly(net, codes, i, kept, 2), atol=1e-12)
    torch.testing.assert_close(net.reconstruct(codes, 2, keep=10**6), net.reconstruct(codes, 2))


def test_one_activation_of_the_first_layer_paints_its_filter():
    net = small(boundary="circular")
    codes = net.infer(numbers(1, 1, 9, 9), 1)
    found = net.reconstruct(codes, 1, keep=1)[0, 0]
    m, row, column = np.unravel_index(int(codes[1].z.abs().argmax()), codes[1].z.shape[1:])
    expected = torch.zeros(9, 9).double()
    expected[:3, :3] = codes[1].z[0, m, row, column] * net.layers[0].filters[m, 0].detach()
    torch.testing.assert_close(found, expected.roll((int(row), int(column)), (0, 1)), atol=1e-12, rtol=0)


# layers ----------------------------------------------------------------------------------------------


def test_filters_have_unit_norm_and_the_same_seed_gives_the_same():
    state = torch.get_rng_state()
    nets = [AdaptiveDeconvNet.of([4, 3], kernel=5, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), state)
    first, again, other = (net.layers[1].filters.detach() for net in nets)
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(first.flatten(1).norm(dim=1), torch.ones(3))
    before = first.clone()
    nets[0].layers[1].normalise()
    torch.testing.assert_close(first, before)


def test_a_filter_of_zeros_stays_one():
    layer = DeconvLayer(1, 2, 3)
    with torch.no_grad():
        layer.filters[0] = 0
    layer.normalise()
    assert not layer.filters[0].any() and layer.filters.isfinite().all()


def test_a_map_paints_only_on_the_channels_that_it_is_connected_with():
    connected = singles_and_doubles(3)
    layer = DeconvLayer(3, 6, 3, connectivity=connected)
    assert torch.equal(layer.filters.detach().flatten(2).any(2), connected)
    torch.testing.assert_close(layer.filters.detach().flatten(1).norm(dim=1), torch.ones(6))
    below = DeconvLayer(1, 3, 3).double()
    codes = AdaptiveDeconvNet([below, layer.double()], target="below").infer(numbers(1, 1, 8, 8), max_iter=5)
    assert codes[2].z.shape == (1, 6, 12, 12)


def test_singles_come_before_doubles_and_all_differ():
    assert singles_and_doubles(3).int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
    assert torch.equal(singles_and_doubles(3, 4), singles_and_doubles(3)[:4])
    assert singles_and_doubles(9).shape == (45, 9) and len(singles_and_doubles(9).unique(dim=0)) == 45


def test_each_layer_can_have_its_own_kernel_and_lam():
    net = AdaptiveDeconvNet.of([4, 3], kernel=[5, 3], lam=[0.5, 0.1], pool=None)
    assert [(layer.kernel, layer.lam) for layer in net.layers] == [(5, 0.5), (3, 0.1)]
    assert [layer.filters.shape for layer in net.layers] == [(4, 1, 5, 5), (3, 4, 3, 3)]


def test_a_network_comes_back_from_its_state():
    net, other, images = small(seed=1), small(seed=2), numbers(1, 1, 9, 9)
    assert not torch.equal(other.infer(images, max_iter=5)[2].z, net.infer(images, max_iter=5)[2].z)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.infer(images, max_iter=5)[2].z, net.infer(images, max_iter=5)[2].z)


def test_a_network_prints_what_it_is():
    text = repr(AdaptiveDeconvNet.of([4, 3], kernel=3, pool=POOL, lam=0.25))
    assert "boundary=valid, target=input" in text and "DeconvLayer(2, 3, 3, pool=(2, 2, 2), lam=0.25)" in text
    assert "pool" not in repr(DeconvLayer(1, 2, 3))


def test_names_are_found_when_they_are_first_used():
    assert set(deconvnet.learn.__all__) <= set(dir(deconvnet.learn))
    assert all(getattr(deconvnet.learn, name).__name__ == name for name in deconvnet.learn.__all__)
    with pytest.raises(AttributeError, match=r"module 'deconvnet.learn' has no attribute 'Nothing'"):
        _ = deconvnet.learn.Nothing


# what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: AdaptiveDeconvNet([]), "a network has at least one layer"),
        (lambda: AdaptiveDeconvNet([DeconvLayer(1, 2, 3)], boundary="same"), "boundary is one of .* got 'same'"),
        (lambda: AdaptiveDeconvNet([DeconvLayer(1, 2, 3)], target="top"), "target one of .* got 'valid', 'top'"),
        (
            lambda: AdaptiveDeconvNet([DeconvLayer(1, 4, 3, pool=POOL), DeconvLayer(4, 2, 3)]),
            "layer 2 has 4 channels, but the layer below has 2 pooled maps",
        ),
        (lambda: AdaptiveDeconvNet.of([]), "a network has at least one layer"),
        (lambda: AdaptiveDeconvNet.of([4, 3], kernel=[7]), "kernel is one number for all 2 layers or one for each"),
        (lambda: AdaptiveDeconvNet.of([4, 3], lam=[1, 2, 3]), "lam is one number for all 2 layers or one for each"),
        (lambda: AdaptiveDeconvNet.of([4, 0]), "maps is a whole number, 1 or more; got 0"),
        (lambda: DeconvLayer(0, 2), "channels is a whole number, 1 or more; got 0"),
        (lambda: DeconvLayer(1, 2.0), "maps is a whole number, 1 or more; got 2.0"),
        (lambda: DeconvLayer(1, 2, True), "kernel is a whole number, 1 or more; got True"),
        (lambda: DeconvLayer(1, 2, pool=(2, 2)), r"pool is \(height, width, neighbouring maps\); got \(2, 2\)"),
        (lambda: DeconvLayer(1, 2, pool=3), r"pool is \(height, width, neighbouring maps\); got 3"),
        (lambda: DeconvLayer(1, 2, pool=(2, 0, 1)), "a length in pool is a whole number, 1 or more; got 0"),
        (lambda: DeconvLayer(1, 2, lam=0), "lam is a number above 0; got 0"),
        (lambda: DeconvLayer(1, 2, p=0), "p is a number above 0; got 0"),
        (lambda: DeconvLayer(1, 2, p=1.5), "p is above 0 and at most 1; got 1.5"),
        (lambda: DeconvLayer(2, 3, connectivity=torch.ones(3, 2)), r"connectivity is bool of shape \(3, 2\)"),
        (lambda: DeconvLayer(2, 3, connectivity=torch.ones(2, 3).bool()), r"got torch.bool of shape \(2, 3\)"),
        (lambda: DeconvLayer(2, 3, connectivity=torch.eye(3, 2).bool()), "every map connected with a channel"),
        (lambda: DeconvLayer(2, 3, connectivity=[[True]]), r"connectivity is bool of shape \(3, 2\).*; got list"),
        (lambda: singles_and_doubles(3, 7), "3 channels have 1 to 6 singles and doubles; got 7"),
        (lambda: singles_and_doubles(3, 0), "3 channels have 1 to 6 singles and doubles; got 0"),
    ],
)
def test_a_network_that_cannot_be_built_is_told(made, words):
    with pytest.raises(ArgumentError, match=words):
        made()


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"images": np.zeros((1, 1, 9, 9))}, ArgumentError, "images are a tensor .*; got ndarray"),
        ({"images": torch.zeros(1, 9, 9).double()}, ArgumentError, r"none of them 0; got \(1, 9, 9\)"),
        ({"images": torch.zeros(0, 1, 9, 9).double()}, ArgumentError, r"none of them 0; got \(0, 1, 9, 9\)"),
        ({"images": torch.zeros(1, 1, 9, 9, dtype=torch.int64)}, ArgumentError, "float32 or float64; got int64"),
        ({"images": torch.zeros(1, 3, 9, 9).double()}, ArgumentError, "images have 3 channels, and the filters 1"),
        ({"images": torch.full((1, 1, 9, 9), torch.nan).double()}, NotFiniteError, "image 0 holds NaN or infinity"),
        ({"images": torch.zeros(1, 1, 9, 9)}, ArgumentError, "filters are torch.float64 .* images torch.float32"),
        (
            {"images": torch.zeros(1, 1, 9, 9), "solver": "ista"},
            ArgumentError,
            "filters are torch.float64 .* images torch.float32",
        ),
        (
            {"images": torch.zeros(1, 1, 9, 2).double()},
            ArgumentError,
            "layer 1: images of 9x2 are smaller than filters",
        ),
        (
            {"images": torch.zeros(1, 1, 3, 3).double()},
            ArgumentError,
            "layer 2: images of 2x2 are smaller than filters",
        ),
        ({"upto": 3}, ArgumentError, "layers are numbered from 1 to 2; got 3"),
        ({"upto": 0}, ArgumentError, "layers are numbered from 1 to 2; got 0"),
        ({"upto": True}, ArgumentError, "layers are numbered from 1 to 2; got True"),
        ({"solver": "lars"}, ArgumentError, r"solver is one of \('auto', 'dr', .*\); got 'lars'"),
        ({"solver": "dr"}, ArgumentError, "solver 'dr' is for a circular convolution; upper layers have switches"),
        ({"tol": -1}, ArgumentError, "tol is a number of at least 0; got -1"),
        ({"max_iter": 0}, ArgumentError, "max_iter is a whole number, 1 or more; got 0"),
        ({"steps": 1.0}, ArgumentError, "steps is a whole number, 1 or more; got 1.0"),
    ],
)
def test_what_cannot_be_inferred_is_told(changed, error, words):
    net = small(boundary="circular")
    with pytest.raises(error, match=words):
        net.infer(**({"images": torch.zeros(1, 1, 9, 9).double()} | changed))


@pytest.mark.parametrize(
    ("options", "solver", "words"),
    [
        ({"nonneg": True}, "splitting", "layer 1: solver 'splitting' cannot keep maps from being negative"),
        ({"p": 0.8}, "auto", r"layer 1: p=0.8 needs solver='splitting'; got 'auto'"),
        ({"p": 0.8}, "ista", r"layer 1: p=0.8 needs solver='splitting'; got 'ista'"),
    ],
)
def test_a_layer_that_a_solver_cannot_solve_is_told(options, solver, words):
    net = AdaptiveDeconvNet([DeconvLayer(1, 2, 3, **options)])
    with pytest.raises(ArgumentError, match=words):
        net.infer(torch.zeros(1, 1, 8, 8), solver=solver)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"layer": 3}, "layers are numbered from 1 to 2; got 3"),
        ({"layer": 0}, "layers are numbered from 1 to 2; got 0"),
        ({"keep": 0}, r"keep is a number of activations, or a bool mask of shape \(1, 3, 8, 8\); got 0"),
        ({"keep": True}, "keep is a number of activations, .*; got True"),
        ({"keep": 1.5}, "keep is a number of activations, .*; got 1.5"),
        ({"keep": torch.ones(1, 3, 8, 8)}, r"got Tensor of type float32 and shape"),
        ({"keep": torch.ones(1, 3, 2, 2).bool()}, r"got Tensor of type bool and shape \(1, 3, 2, 2\)"),
    ],
)
def test_what_cannot_be_reconstructed_is_told(changed, words):
    net = small()
    codes = net.infer(numbers(1, 1, 9, 9), max_iter=2)
    with pytest.raises(ArgumentError, match=words):
        net.reconstruct(codes, **changed)


@pytest.mark.parametrize("options", [{"kernel": 10**6}, {"pool": (2**16, 2**16, 2)}])
def test_layers_larger_than_memory_are_refused(options):
    with pytest.raises(ArgumentError, match=r"maps is 15, but not even one fits: each map takes .* of memory are free"):
        AdaptiveDeconvNet.of([15], **options)
    with pytest.raises(ArgumentError, match=r"maps is at most \d+ here, as each map takes .*; got 1000000000000"):
        AdaptiveDeconvNet.of([10**12])
