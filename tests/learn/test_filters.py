"""Learning filters: gradients beside autograd, steps beside dense least squares, dead filters and their new starts."""

from itertools import product

import pytest
import torch
from torch import Tensor

from deconvnet.learn import AdaptiveDeconvNet, DeconvLayer, LocalContrastNorm, partial_fit, singles_and_doubles
from deconvnet.learn.filters import Fit, reseed, update
from deconvnet.learn.filters import _conjugate as conjugate
from deconvnet.learn.filters import _step as step
from deconvnet.photos.photo import load_photo

BOUNDARIES = ("valid", "circular", "zero")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def crops(side: int = 32, count: int = 4, dtype: torch.dtype = torch.float64) -> Tensor:
    """Parts of photos, in grey, with their local contrast normalised."""
    parts = []
    for name, top in zip(("chelsea", "astronaut", "coffee", "rocket"), (60, 100, 150, 200), strict=True):
        grey = torch.from_numpy(load_photo(f"sample:{name}").pixels.copy()).mean(2)
        parts.append(grey[top : top + side, top : top + side])
    return LocalContrastNorm()(torch.stack(parts[:count])[:, None].to(dtype))


def network(boundary: str = "valid", target: str = "input", channels: int = 1) -> AdaptiveDeconvNet:
    """Two layers, the upper one of maps that are connected with one or two of those below."""
    random_numbers = torch.Generator().manual_seed(3)
    lower = DeconvLayer(channels, 4, 3, pool=(2, 3, 2), lam=0.05, generator=random_numbers)
    connected = singles_and_doubles(2)
    upper = DeconvLayer(2, 3, 2, pool=(2, 2, 1), lam=0.02, connectivity=connected, generator=random_numbers)
    return AdaptiveDeconvNet([lower, upper], boundary=boundary, target=target).double()


@pytest.fixture(autouse=True)
def without_gradients():
    """Filters are parameters; only where a test asks for their gradient is it wanted."""
    with torch.no_grad():
        yield


def fitted(net: AdaptiveDeconvNet, images: Tensor, layer: int, max_iter: int = 30) -> Fit:
    codes = net.infer(images, layer, max_iter=max_iter, tol=0)
    assert (codes[layer].z != 0).any()
    return Fit(net, layer, images, codes, net.geometries(codes.size, layer))


# The second version: what a layer paints, pixel by pixel of its filters and activation by activation of its blocks.


def slowly_convolved(z: Tensor, filters: Tensor, size: tuple[int, int], boundary: str) -> Tensor:
    k, kk = filters.shape[2:]
    image = z.new_zeros(len(z), filters.shape[1], *size)
    for y, x in product(range(k), range(kk)):
        for i, j in product(range(z.shape[2]), range(z.shape[3])):
            if boundary == "circular":
                row, column = (i + y) % size[0], (j + x) % size[1]
            else:
                before = (k - 1, kk - 1) if boundary == "valid" else ((k - 1) // 2, (kk - 1) // 2)
                row, column = i + y - before[0], j + x - before[1]
            if 0 <= row < size[0] and 0 <= column < size[1]:
                image[:, :, row, column] = image[:, :, row, column] + z[:, :, i, j] @ filters[:, :, y, x]
    return image


def slowly_unpooled(pooled: Tensor, z: Tensor, block: tuple[int, int, int]) -> Tensor:
    """Each pooled activation where z was the strongest of its block."""
    p, q, s = block
    whole = torch.zeros_like(z)
    for n, m, i, j in product(*map(range, pooled.shape)):
        places = [
            (map_, y, x)
            for map_ in range(m * s, min((m + 1) * s, z.shape[1]))
            for y in range(i * p, min((i + 1) * p, z.shape[2]))
            for x in range(j * q, min((j + 1) * q, z.shape[3]))
        ]
        map_, y, x = max(places, key=lambda place: abs(float(z[(n, *place)])))
        whole[n, map_, y, x] = pooled[n, m, i, j]
    return whole


def slowly_painted(fit: Fit, filters: Tensor) -> Tensor:
    net, below = fit.net, fit.codes
    image = slowly_convolved(below[fit.layer].z, filters, fit.geometries[fit.layer - 1].size, net.boundary)
    if fit.layer == 1 or net.target == "below":
        return image
    lower = net.layers[0]
    z = slowly_unpooled(image, below[1].z, lower.pool)
    return slowly_convolved(z, lower.filters, below.size, net.boundary)


KINDS = [
    (layer, boundary, target)
    for layer, boundary, target in product((1, 2), BOUNDARIES, ("input", "below"))
    if layer == 2 or target == "input"
]


@pytest.mark.parametrize(("layer", "boundary", "target"), KINDS)
def test_what_filters_see_of_the_residual_is_the_gradient_of_the_error(layer, boundary, target):
    net = network(boundary, target)
    fit = fitted(net, random(1, 1, 9, 8, seed=1), layer)
    own = net.layers[layer - 1]
    with torch.enable_grad():
        filters = own.filters.detach().clone().requires_grad_()
        missed = slowly_painted(fit, filters) - fit.target
        (expected,) = torch.autograd.grad(0.5 * missed.square().sum(), filters)
    torch.testing.assert_close(fit.painted(own.filters) - fit.target, missed.detach(), rtol=0, atol=1e-12)
    expected = expected * own.connectivity[:, :, None, None]
    found = -fit.seen(fit.target - fit.painted(own.filters))
    assert expected.any()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("layer", "boundary", "target"), KINDS)
def test_the_gradient_is_what_finite_differences_say(layer, boundary, target):
    net = network(boundary, target, channels=2)
    fit = fitted(net, random(2, 2, 9, 8, seed=2), layer)
    own = net.layers[layer - 1]
    start = own.filters.clone()
    gradient = -fit.seen(fit.target - fit.painted(start))

    def error(filters: Tensor) -> float:
        return 0.5 * float((fit.painted(filters) - fit.target).square().sum())

    for seed in range(4):
        direction = random(*start.shape, seed=seed) * own.connectivity[:, :, None, None]
        slope = (error(start + 1e-4 * direction) - error(start - 1e-4 * direction)) / 2e-4
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


@pytest.mark.parametrize(("layer", "boundary", "target"), KINDS)
def test_painting_and_seeing_are_adjoint(layer, boundary, target):
    net = network(boundary, target)
    fit = fitted(net, random(2, 1, 9, 8, seed=4), layer)
    own = net.layers[layer - 1]
    filters = random(*own.filters.shape, seed=5) * own.connectivity[:, :, None, None]
    images = random(*fit.target.shape, seed=6)
    painted, seen = fit.painted(filters), fit.seen(images)
    assert float((painted * images).sum()) == pytest.approx(float((filters * seen).sum()), rel=1e-10)
    assert not seen[~own.connectivity].any()


def test_the_target_is_the_input_or_the_pooled_maps_below():
    images = random(1, 1, 9, 8)
    through = fitted(network(target="input"), images, 2)
    assert through.target is images
    below = fitted(network(target="below"), images, 2)
    assert below.target is below.codes[1].pooled
    assert fitted(network(target="below"), images, 1).target is images


# Updates.


@pytest.mark.parametrize("how", ["online", "conjugate"])
@pytest.mark.parametrize("target", ["input", "below"])
def test_after_an_update_filters_are_of_unit_norm_and_not_connected_ones_are_zero(how, target):
    net = network(target=target)
    own, before = net.layers[1], net.layers[1].filters.clone()
    update(fitted(net, random(2, 1, 9, 8), 2), how)
    assert not torch.equal(own.filters, before)
    torch.testing.assert_close(own.filters.flatten(1).norm(dim=1), torch.ones(3).double(), rtol=0, atol=1e-15)
    assert own.connectivity.tolist() == [[True, False], [False, True], [True, True]]
    assert not own.filters[0, 1].any() and not own.filters[1, 0].any()
    assert own.filters[2].any(-1).any(-1).all()


@pytest.mark.parametrize("layer", [1, 2])
def test_conjugate_gradients_come_to_the_least_squares_filters(layer):
    net = network()
    fit = fitted(net, random(3, 1, 9, 8, seed=7), layer)
    own = net.layers[layer - 1]
    free = own.connectivity[:, :, None, None].expand_as(own.filters).flatten().nonzero()[:, 0]
    columns = []
    for place in free.tolist():
        one = torch.zeros_like(own.filters).flatten()
        one[place] = 1
        columns.append(fit.painted(one.view_as(own.filters)).flatten())
    matrix = torch.stack(columns, 1)
    assert torch.linalg.matrix_rank(matrix) == len(free)  # so there is but one solution
    expected = torch.zeros_like(own.filters).flatten()
    expected[free] = torch.linalg.lstsq(matrix, fit.target.flatten()[:, None]).solution[:, 0]
    conjugate(fit, steps=150)
    torch.testing.assert_close(own.filters.flatten(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("layer", [1, 2])
def test_two_conjugate_steps_do_not_raise_the_error_before_norms_are_one_again(layer):
    net = AdaptiveDeconvNet.of([6, 8], kernel=5, pool=(2, 2, 2), lam=0.2, seed=2).double()
    fit = fitted(net, crops(), layer, max_iter=10)
    own = net.layers[layer - 1]
    before = float((fit.target - fit.painted(own.filters)).square().sum())
    conjugate(fit)
    after = float((fit.target - fit.painted(own.filters)).square().sum())
    assert after < before


def test_an_online_step_goes_along_the_gradient_over_energy_at_right_angles_to_the_filters():
    net = AdaptiveDeconvNet.of([3], kernel=3, pool=None, lam=0.1, seed=5).double()
    fit = fitted(net, random(2, 1, 10, 9), 1)
    own = net.layers[0]
    own.normalise()  # to double precision
    own.energy.copy_(torch.tensor([1.0, 4.0, 0.5]))
    own.updates.fill_(29)
    start = own.filters.clone()
    gradient = fit.seen(fit.target - fit.painted(start))
    direction = torch.empty_like(start)
    for m in range(3):
        one = gradient[m] / own.energy[m]
        direction[m] = one - (one * start[m]).sum() * start[m]
    step(fit)
    moved = own.filters - start
    for m in range(3):
        assert float((moved[m] * start[m]).sum()) == pytest.approx(0, abs=1e-12)
    length = float((moved * direction).sum() / (direction * direction).sum())
    torch.testing.assert_close(moved, length * direction, rtol=1e-9, atol=1e-12)

    def error(share: float) -> float:
        return float((fit.target - fit.painted(start + share * length * direction)).square().sum())

    steps = torch.linspace(0, 1, 2001).tolist()
    best = min(steps, key=error)
    assert 1 / best == pytest.approx(3 / (1 + 29 / 100), rel=5e-3)


@pytest.mark.parametrize("how", ["online", "conjugate"])
def test_a_few_updates_lower_the_objective_on_photos(how):
    net = AdaptiveDeconvNet.of([8], kernel=5, pool=None, lam=0.3, seed=1).double()
    told = [partial_fit(net, crops(), update_by=how, tol=1e-3, max_iter=60) for _ in range(6)]
    assert all(one.objective < told[0].objective for one in told[1:])
    assert told[-1].objective < 0.95 * told[0].objective


def test_energies_are_running_means_of_the_maps_squared_lengths():
    net = AdaptiveDeconvNet.of([3], kernel=3, pool=None, lam=0.1).double()
    expected = None
    for i in range(30):
        images = random(2, 1, 8, 8, seed=i)
        fit = fitted(net, images, 1, max_iter=5)
        now = torch.tensor([sum(float((z[m] ** 2).sum()) for z in fit.codes[1].z) / 2 for m in range(3)]).double()
        weight = max(1 / (i + 1), 0.05)
        expected = now if expected is None else (1 - weight) * expected + weight * now
        update(fit, "online")
        assert int(net.layers[0].updates) == i + 1
    torch.testing.assert_close(net.layers[0].energy, expected, rtol=1e-6, atol=0)


def test_usual_counts_how_often_each_place_of_a_block_was_the_strongest():
    net = network()
    own = net.layers[0]
    expected = torch.zeros(2, 12, dtype=torch.long)
    for seed in (1, 2):
        fit = fitted(net, random(2, 1, 9, 8, seed=seed), 1, max_iter=3)
        z = fit.codes[1].z
        for n, m, i, j in product(range(2), range(2), range(-(-z.shape[2] // 2)), range(-(-z.shape[3] // 3))):
            values = {}
            for place in range(12):
                map_, y, x = 2 * m + place // 6, 2 * i + place % 6 // 3, 3 * j + place % 3
                if y < z.shape[2] and x < z.shape[3]:
                    values[place] = abs(float(z[n, map_, y, x]))
            strongest = max(values, key=values.__getitem__)
            expected[m, strongest] += values[strongest] > 0
        update(fit, "online")
    assert expected.sum() > 100 and own.usual.equal(expected)


def test_counts_go_on_beyond_what_a_float_can_count():
    net = network().float()
    net.layers[0].usual.fill_(2**24)
    update(fitted(net, random(1, 1, 9, 8).float(), 1, max_iter=3), "online")
    assert int(net.layers[0].usual.sum()) > 2**24 * net.layers[0].usual.numel()


# Dead filters.


def with_dead(*dead: int, images: Tensor, connectivity: Tensor | None = None, updates: int = 50) -> Fit:
    """A network of three maps, of which some have painted nothing for long."""
    random_numbers = torch.Generator().manual_seed(8)
    channels = images.shape[1]
    layer = DeconvLayer(channels, 3, 3, lam=0.5, connectivity=connectivity, generator=random_numbers)
    net = AdaptiveDeconvNet([layer], boundary="valid").double()
    layer.updates.fill_(updates)
    layer.energy.copy_(torch.tensor([2.0, 1.0, 3.0]))
    layer.energy[list(dead)] = 1e-7
    codes = net.infer(images, max_iter=20)
    return Fit(net, 1, images, codes, net.geometries(codes.size))


def worst_patches(fit: Fit, count: int, channels: tuple[int, ...]) -> list[Tensor]:
    """The patches of largest energy that do not overlap, found one place after the other."""
    missed = fit.target - fit.painted(fit.net.layers[0].filters)
    n, _, h, w = missed.shape
    places = list(product(range(n), range(h - 2), range(w - 2)))
    found: list[tuple[int, int, int]] = []
    for _ in range(count):
        free = [
            place
            for place in places
            if all(place[0] != i or abs(place[1] - y) > 2 or abs(place[2] - x) > 2 for i, y, x in found)
        ]
        found.append(
            max(free, key=lambda at: float(missed[at[0], list(channels), at[1] : at[1] + 3, at[2] : at[2] + 3].norm()))
        )
    kept = torch.zeros(missed.shape[1], 1, 1).double()
    kept[list(channels)] = 1
    patches = [missed[i, :, y : y + 3, x : x + 3] * kept for i, y, x in found]
    return [patch / patch.norm() for patch in patches]


def test_a_dead_filter_becomes_the_patch_that_is_painted_worst_and_living_ones_stay():
    fit = with_dead(1, images=random(2, 1, 10, 11, seed=9))
    (expected,), own = worst_patches(fit, 1, (0,)), fit.net.layers[0]
    before = own.filters.clone()
    assert reseed(fit) == 1
    torch.testing.assert_close(own.filters[1].detach(), expected, rtol=0, atol=1e-12)
    assert not torch.allclose(own.filters[1], before[1])
    assert torch.equal(own.filters[[0, 2]], before[[0, 2]])
    torch.testing.assert_close(own.energy[1].item(), (2 + 3 + 1e-7) / 3)  # given time to live
    assert reseed(fit) == 0


def test_several_dead_filters_get_patches_that_do_not_overlap():
    fit = with_dead(0, 2, images=random(1, 1, 10, 11, seed=10))
    expected = worst_patches(fit, 2, (0,))
    assert reseed(fit) == 2
    torch.testing.assert_close(fit.net.layers[0].filters[[0, 2]].detach(), torch.stack(expected), rtol=0, atol=1e-12)


def test_young_filters_are_not_called_dead():
    fit = with_dead(0, images=random(1, 1, 10, 11), updates=9)
    before = fit.net.layers[0].filters.clone()
    assert reseed(fit) == 0 and torch.equal(fit.net.layers[0].filters, before)


def test_a_dead_filter_gets_the_worst_patch_of_the_channels_that_it_is_connected_with():
    images = random(1, 2, 12, 12, seed=11)
    images[:, 0] *= 50  # the worst by far, and nothing for the third map
    images[:, 1, :, :5] = 0
    connected = torch.tensor([[True, False], [True, True], [False, True]])
    fit = with_dead(2, images=images, connectivity=connected)
    (expected,), own = worst_patches(fit, 1, (1,)), fit.net.layers[0]
    assert reseed(fit) == 1
    torch.testing.assert_close(own.filters[2].detach(), expected, rtol=0, atol=1e-12)
    assert not own.filters[2, 0].any() and float(own.filters[2].norm()) == pytest.approx(1)


def test_a_dead_filter_of_which_no_channel_misses_anything_stays_as_it_is():
    images = random(1, 2, 12, 12, seed=11)
    images[:, 1] = 0
    connected = torch.tensor([[True, False], [True, False], [False, True]])
    fit = with_dead(1, 2, images=images, connectivity=connected)
    before = fit.net.layers[0].filters.clone()
    assert reseed(fit) == 1
    assert torch.equal(fit.net.layers[0].filters[2], before[2])
    assert not torch.allclose(fit.net.layers[0].filters[1], before[1])


def test_where_no_place_is_left_dead_filters_stay_as_they_are_and_are_not_counted():
    fit = with_dead(0, 1, images=random(1, 1, 4, 4, seed=12))  # one patch of 3 x 3 leaves no room for another
    before = fit.net.layers[0].filters.clone()
    assert reseed(fit) == 1
    assert torch.equal(fit.net.layers[0].filters[1], before[1])


def test_images_that_are_painted_wholly_give_no_filter_a_new_start():
    fit = with_dead(0, images=torch.zeros(1, 1, 8, 8).double())
    before = fit.net.layers[0].filters.clone()
    assert reseed(fit) == 0
    assert torch.equal(fit.net.layers[0].filters, before)


def test_maps_that_are_all_empty_are_all_dead():
    images = torch.zeros(1, 1, 16, 16).double()
    images[..., 4:7, 4:7] = 2 * torch.eye(3)
    images[..., 10:13, 9:12] = 1.9 * torch.eye(3).flip(0)
    net = AdaptiveDeconvNet.of([2], kernel=3, pool=None, lam=3.4, seed=0).double()
    told = [partial_fit(net, images) for _ in range(11)]
    assert [one.active for one in told[:10]] == [0] * 10
    assert told[9].reseeded == 2 and told[10].active > 0  # the patches see themselves better than random filters did


def test_a_dead_filter_of_an_upper_layer_paints_what_was_missed_after_a_new_start():
    net = AdaptiveDeconvNet.of([4, 3], kernel=3, pool=(2, 2, 2), lam=0.2, seed=4).double()
    images = crops(count=2)
    fit = fitted(net, images, 2)
    own = net.layers[1]
    own.updates.fill_(50)
    own.energy.copy_(torch.tensor([1.0, 0.0, 1.0]))
    assert reseed(fit) == 1
    assert float(own.filters[1].norm()) == pytest.approx(1)
    assert float(partial_fit(net, images).active) > 0 and float(own.energy[1]) > 0.5
