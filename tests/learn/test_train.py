"""Training: what was planted is found; layer by layer, the same each time, and in memory that does not grow."""

import gc
import warnings
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from deconvnet import ArgumentError, DeconvNetWarning, NotFiniteError
from deconvnet.learn import AdaptiveDeconvNet, LocalContrastNorm, Progress, fit, load_net, partial_fit, train
from deconvnet.learn.convolve import Geometry, synthesis
from deconvnet.photos.photo import load_photo


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small() -> AdaptiveDeconvNet:
    return AdaptiveDeconvNet.of([3, 4], kernel=3, pool=(2, 2, 2), lam=0.2, seed=1)


def batches(count: int = 3) -> list[Tensor]:
    return [random(2, 1, 12, 12, seed=seed) for seed in range(count)]


def state(net: AdaptiveDeconvNet) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}


def crops() -> Tensor:
    """Parts of photos, in grey, with their local contrast normalised."""
    parts = []
    for name in ("chelsea", "astronaut", "coffee", "rocket"):
        grey = torch.from_numpy(load_photo(f"sample:{name}").pixels.copy()).mean(2)
        parts += [grey[top : top + 32, 100:132] for top in (60, 150)]
    return LocalContrastNorm()(torch.stack(parts)[:, None])


# What is learned.


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("seed", [1, 2])
def test_filters_that_were_planted_are_found(seed):
    """Up to sign, order and place within a larger filter; from images that 1 % of activations painted."""
    random_numbers = torch.Generator().manual_seed(0)
    planted = torch.randn(4, 1, 5, 5, generator=random_numbers, dtype=torch.float64)
    planted /= planted.flatten(1).norm(dim=1)[:, None, None, None]
    z = torch.randn(40, 4, 24, 24, generator=random_numbers, dtype=torch.float64)
    chosen = torch.rand(z.shape, generator=random_numbers, dtype=torch.float64) < 0.01
    images = synthesis(z.sign() * (1 + z.abs()) * chosen, planted, Geometry((24, 24), (5, 5), "circular"))
    net = AdaptiveDeconvNet.of([6], kernel=7, pool=None, lam=0.2, boundary="circular", seed=seed).double()
    told: list[Progress] = []
    fit(net, images.split(4), epochs=8, progress=told.append)
    everywhere = F.conv2d(F.pad(net.layers[0].filters.detach(), (4,) * 4), planted).abs()
    corr = everywhere.flatten(2).amax(2)  # found, planted: both of unit norm
    assert corr.amax(0).min() > 0.97
    assert len(set(corr.argmax(0).tolist())) == 4
    assert told[-1].error < 0.2 * told[0].error


def test_in_two_layers_errors_and_objectives_fall():
    net = AdaptiveDeconvNet.of([6, 10], kernel=5, pool=(2, 2, 2), lam=[0.3, 0.3], seed=0)
    told: list[Progress] = []
    fit(net, list(crops().split(4)), epochs=[4, 6], max_iter=40, progress=told.append)
    for layer, epochs in ((1, 4), (2, 6)):
        objectives, errors = (
            [
                sum(getattr(one, name) for one in told if (one.layer, one.epoch) == (layer, epoch))
                for epoch in range(epochs)
            ]
            for name in ("objective", "error")
        )
        assert objectives[-1] < 0.97 * objectives[0]
        assert errors[-1] < errors[0]


def test_a_batch_s_progress_is_what_its_maps_say():
    net, images = small(), batches()[0]
    codes = net.infer(images, 1, tol=1e-2, max_iter=30)
    missed = images - net.reconstruct(codes, 1)
    one = partial_fit(net, images, 1)
    assert (one.layer, one.images, one.reseeded) == (1, 2, 0)
    assert one.objective == pytest.approx(float(codes[1].solution.objective.mean()), rel=1e-5)
    assert one.error == pytest.approx(float(missed.square().sum() / images.square().sum()), rel=1e-4)
    assert one.active == pytest.approx(float((codes[1].z != 0).float().mean()), rel=1e-5)


def test_images_of_nothing_are_painted_wholly():
    net = small()
    before = net.layers[0].filters.detach().clone()
    one = partial_fit(net, torch.zeros(2, 1, 12, 12), 1)
    assert (one.objective, one.error, one.active) == (0, 0, 0)
    assert torch.allclose(net.layers[0].filters, before)


# Layer by layer.


@pytest.mark.parametrize("layer", [1, 2, None])
@pytest.mark.parametrize("update_by", ["online", "conjugate"])
def test_partial_fit_changes_only_its_layer(layer, update_by):
    net = small()
    before = state(net)
    assert partial_fit(net, batches()[0], layer, update_by=update_by).layer == (layer or 2)
    changed = {name for name, data in state(net).items() if data != before[name]}
    own = f"layers.{(layer or 2) - 1}"
    assert changed == {f"{own}.{name}" for name in ("filters", "energy", "updates", "usual")}


def test_layers_are_learned_one_after_the_other_each_for_its_epochs():
    told: list[Progress] = []
    net = small()
    assert fit(net, batches(2), epochs=[2, 1], progress=told.append) is net
    assert [(one.layer, one.epoch, one.batch) for one in told] == [
        (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1), (2, 0, 0), (2, 0, 1),
    ]  # fmt: skip
    assert [int(layer.updates) for layer in net.layers] == [4, 2]


def test_fit_is_partial_fit_of_every_batch():
    net, other = small(), small()
    fit(net, batches(), epochs=[2, 1])
    for layer in (1, 1, 2):
        for images in batches():
            partial_fit(other, images, layer)
    assert state(net) == state(other)


def test_a_layer_of_no_epochs_stays_as_it_is():
    net = small()
    before = net.layers[0].filters.detach().clone()
    fit(net, batches(1), epochs=[0, 1])
    assert torch.equal(net.layers[0].filters, before) and int(net.layers[1].updates) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert state(fit(small(), batches())) == state(fit(small(), batches()))
    other = AdaptiveDeconvNet.of([3, 4], kernel=3, pool=(2, 2, 2), lam=0.2, seed=2)
    assert state(fit(other, batches())) != state(fit(small(), batches()))


def test_torch_s_random_state_default_type_and_gradients_are_left_as_they_were():
    before = torch.random.get_rng_state()
    net = fit(small(), batches())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    assert all(layer.filters.requires_grad and layer.filters.grad is None for layer in net.layers)


def test_images_are_left_as_they_were():
    images = batches(1)[0]
    fit(small(), [images])
    assert torch.equal(images, batches(1)[0])


# Loaders.


def test_a_data_loader_s_tuples_begin_with_the_images():
    images = torch.cat(batches())
    loader = DataLoader(TensorDataset(images, torch.arange(len(images))), batch_size=2)
    assert state(fit(small(), loader)) == state(fit(small(), batches()))


def test_a_loader_may_be_a_function_of_the_epoch_over_all_layers():
    asked: list[int] = []

    def loader(epoch: int) -> Iterator[Tensor]:
        asked.append(epoch)
        yield from batches()[:: 1 - 2 * (epoch % 2)]

    fit(small(), loader, epochs=[2, 1])
    assert asked == [0, 1, 2]


def test_a_generator_is_exhausted_after_one_epoch_and_that_is_told():
    net = small()
    with pytest.raises(ArgumentError, match=r"gives no batch in epoch 1\. .* a list or a DataLoader, not a generator"):
        fit(net, (images for images in batches()))
    assert int(net.layers[0].updates) == 3  # the first epoch was good
    one_layer = AdaptiveDeconvNet.of([3], kernel=3)
    fit(one_layer, (images for images in batches()))
    assert int(one_layer.layers[0].updates) == 3


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        ([], "no batch in epoch 0"),
        ([{"image": 1}], "the loader gives dict, not tensors"),
        ([[]], "the loader gives list, not tensors"),
        ([torch.zeros(1, 12, 12)], r"images are \(n, c, h, w\), none of them 0; got \(1, 12, 12\)"),
        ([torch.zeros(1, 1, 12, 12, dtype=torch.uint8)], "images are float32 or float64; got uint8"),
        ([torch.zeros(1, 3, 12, 12)], "images have 3 channels, and the filters 1"),
        ([torch.zeros(1, 1, 12, 12).double()], "float64"),
    ],
)
def test_what_cannot_be_learned_from_is_told(loader, words):
    net = small()
    before = state(net)
    with pytest.raises(ArgumentError, match=words):
        fit(net, loader)
    assert state(net) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": [1]}, "epochs is a whole number, or one for each of 2 layers; got \\[1\\]"),
        ({"epochs": -1}, "epochs is a whole number"),
        ({"epochs": 1.5}, "epochs is a whole number.*got 1.5"),
        ({"epochs": None}, "epochs is a whole number.*got None"),
        ({"epochs": True}, "epochs is a whole number.*got True"),
        ({"epochs": "12"}, "epochs is a whole number.*got '12'"),
        ({"update_by": "magic"}, "update_by is one of .*'online', 'conjugate'.*got 'magic'"),
        ({"solver": "magic"}, "solver is one of .*got 'magic'"),
        ({"tol": -1}, "tol is a number of at least 0; got -1"),
        ({"max_iter": 0}, "max_iter is a whole number, 1 or more; got 0"),
        ({"steps": 0}, "steps is a whole number, 1 or more; got 0"),
    ],
)
def test_options_that_cannot_be_are_told_before_anything_is_learned(options, words):
    net = small()
    before = state(net)
    with pytest.raises(ArgumentError, match=words):
        fit(net, batches(), **options)
    assert state(net) == before


@pytest.mark.parametrize("layer", [0, 3, True, "1"])
def test_a_layer_that_is_not_there_is_told(layer):
    with pytest.raises(ArgumentError, match="numbered from 1 to 2"):
        partial_fit(small(), batches()[0], layer)


def test_a_solver_that_the_second_layer_cannot_use_is_told_before_the_first_is_learned():
    net = AdaptiveDeconvNet.of([3, 4], kernel=3, lam=0.2, boundary="circular")
    before = state(net)
    with pytest.raises(ArgumentError, match="solver 'dr' is for a circular convolution; upper layers have switches"):
        fit(net, batches(), solver="dr")
    assert state(net) == before
    fit(net, batches(), epochs=[1, 0], solver="dr")
    assert int(net.layers[0].updates) == 3


def test_images_that_are_too_small_for_the_second_layer_are_told_before_the_first_is_learned():
    net = AdaptiveDeconvNet.of([3, 4], kernel=[3, 9], pool=(3, 3, 2), lam=0.2)
    before = state(net)
    with pytest.raises(ArgumentError, match="layer 2: images of 5x5 are smaller than filters of 9x9"):
        fit(net, batches())
    assert state(net) == before


def test_fewer_pixels_than_numbers_of_filters_give_a_warning():
    net = AdaptiveDeconvNet.of([60], kernel=5, pool=None)
    with pytest.warns(DeconvNetWarning, match="have 1500 weights, but all images together only 864 pixels: .* overfit"):
        fit(net, batches())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(AdaptiveDeconvNet.of([34], kernel=5, pool=None), batches())  # 850 numbers


# What goes wrong, and what grows.


def test_a_bad_batch_in_the_middle_is_told_and_the_checkpoint_before_it_is_good(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    path = tmp_path / "net.safetensors"
    bad = batches()
    bad[2][1, 0, 3, 4] = float("nan")
    with pytest.raises(NotFiniteError, match="image 1 holds NaN or infinity"):
        fit(small(), bad, epochs=[2, 1], checkpoint=path)
    kept = load_net(path)
    assert int(kept.layers[0].updates) == 2 and kept.layers[0].filters.isfinite().all()
    resumed = fit(small(), batches(), epochs=[2, 1], checkpoint=path, resume=True)
    assert state(resumed) == state(fit(small(), batches(), epochs=[2, 1]))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_batches():
    living: list[weakref.ref[Tensor]] = []
    counts: list[int] = []

    def endless(_: int) -> Iterator[Tensor]:
        seed = 0
        while True:
            images = random(1, 1, 8, 8, seed=(seed := seed + 1))
            living.append(weakref.ref(images))
            yield images

    class Enough(Exception):
        pass

    def tell(one: Progress) -> None:
        assert sum(ref() is not None for ref in living) <= 2
        if one.batch in (20, 100):
            gc.collect()
            counts.append(sum(type(thing) is Tensor for thing in gc.get_objects()))
        if one.batch == 100:
            raise Enough

    with pytest.raises(Enough):
        fit(small(), endless, max_iter=2, progress=tell)
    assert counts[0] == counts[1]


def test_a_lam_under_which_nothing_is_active_is_warned_of():
    net = AdaptiveDeconvNet.of([3], kernel=3, pool=None, lam=1e6)
    with pytest.warns(DeconvNetWarning, match=r"^no map of layer 1 was active: lam=1e\+06 is too large"):
        fit(net, [torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))])
