"""A net follows its model: weights are read live, each size is captured once, wrappers are taken off."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.captured import assert_follows, images, small, tiny, wired
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from deconvnet import (
    ArgumentError,
    DeconvNet,
    DeconvNetError,
)

# weights are read live ------------------------------------------------------------------------------


def _step(model: nn.Module) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    with torch.enable_grad():
        model(images(4, seed=3)).square().sum().backward()
    optimiser.step()


def _train(model: nn.Module) -> None:
    model.train()
    model(images(8, seed=4))
    model.eval()


def _replace_parameter(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.randn_like(model[0].weight))


def _replace_module(model: nn.Module) -> None:
    model[5] = nn.Conv2d(4, 5, 2).double()


def _replace_buffer(model: nn.Module) -> None:
    model[1].running_mean = torch.randn_like(model[1].running_mean)


def _down_and_up(model: nn.Module) -> None:
    model.float().double()
    model[1].running_var.mul_(3)


def _through_data(model: nn.Module) -> None:
    model[0].weight.data = torch.randn_like(model[0].weight)


def _tie(model: nn.Module) -> None:
    model[1].bias.uniform_(0.5, 1.5)
    model[1].weight = model[1].bias


def _another_activation(model: nn.Module) -> None:
    model[6] = nn.Identity()


def _another_pool(model: nn.Module) -> None:
    model[3] = nn.AvgPool2d(2)


def _another_constant(model: nn.Module) -> None:
    model[1].eps = 0.5


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "optimizer.step": _step,
    "statistics in training": _train,
    "load_state_dict": lambda m: m.load_state_dict(small(1).state_dict()),
    "load_state_dict(assign=True)": lambda m: m.load_state_dict(small(1).state_dict(), assign=True),
    "a new Parameter": _replace_parameter,
    "a new module": _replace_module,
    "a new buffer": _replace_buffer,
    "float and double again": _down_and_up,
    "weight.data": _through_data,
    "to the same device": lambda m: m.to("cpu"),
    "tied afterwards": _tie,
    "bias taken away": lambda m: m[0].register_parameter("bias", None),
    "another activation": _another_activation,
    "another pool": _another_pool,
    "another constant": _another_constant,
}


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("change", CHANGES)
def test_weights_are_read_as_they_are_now(change: str):
    x, model = images(), small()
    net = DeconvNet(model, x)
    net.explain(x, 1)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(5)
        CHANGES[change](model)
    assert_follows(net, model, x)


def test_a_model_turned_to_float32_is_captured_anew():
    x, model = images(), tiny()
    net = DeconvNet(model, x)
    before = net.explain(x, 1).full()
    model.float()
    with pytest.raises(ArgumentError, match=r"weights are torch\.float32 .* the images torch\.float64"):
        net.explain(x, 1)
    after = net.explain(x.float(), 1).full()
    assert after.dtype == torch.float32
    torch.testing.assert_close(after.double(), before, rtol=1e-4, atol=1e-5)
    model.double()
    torch.testing.assert_close(net.explain(x, 1).full(), before, rtol=1e-4, atol=1e-6)


def test_weights_that_were_tied_may_be_untied():
    x = images()
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(108, 2))
    model.double()
    model[2].weight = model[0].weight
    net = DeconvNet(model, x)
    net.explain(x, 1)
    model[2].weight = nn.Parameter(torch.randn_like(model[0].weight))
    assert_follows(net, model, x)


def test_tied_weights_change_together():
    x = images()
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(108, 2))
    model.double()
    model[2].weight = model[0].weight
    net = DeconvNet(model, x)
    with torch.no_grad():
        model[0].weight.mul_(-2)
    assert_follows(net, model, x)


def test_a_tensor_that_is_no_buffer_is_read_as_it_is_now():
    x = images()
    model = wired(lambda m, x: (m.conv(x) * m.scale).mean((2, 3)))
    model.scale = torch.full((1,), 2.0, dtype=torch.float64)
    net = DeconvNet(model, x)
    model.scale = torch.full((1,), 3.0, dtype=torch.float64)
    assert_follows(net, model, x)


# sizes and batches ----------------------------------------------------------------------------------


def test_images_of_any_size_and_number_go_through_one_net():
    model = small()
    net = DeconvNet(model, images(1))
    for n, size in ((1, 10), (2, 10), (3, 10), (1, 13), (3, 13)):
        assert_follows(net, model, images(n, size, seed=size + n))
    x = images(3)
    many = net.explain(x, 2).full()
    for i in range(3):
        alone = net.explain(x[i : i + 1], 2).full()
        torch.testing.assert_close(many[i : i + 1], alone, rtol=1e-10, atol=1e-12)


def test_each_size_is_captured_once(monkeypatch: pytest.MonkeyPatch):
    from deconvnet.capture import trace as capture

    seen, real = [], capture.capture

    def counted(model: nn.Module, example: Tensor, **options: Any) -> Any:
        seen.append(tuple(example.shape[2:]))
        return real(model, example, **options)

    monkeypatch.setattr(capture, "capture", counted)
    net = DeconvNet(tiny(), images(1))
    for n, size in ((1, 10), (3, 10), (2, 12), (1, 12), (4, 10)):
        net.explain(images(n, size), 0)
        net.with_rules("guided").explain(images(n, size), 0)
    assert seen == [(10, 10), (12, 12)]


def _rows(x: Tensor) -> Tensor:
    return torch.stack([x[i].relu() for i in range(x.shape[0])])


BATCH_MIXERS: dict[str, Callable[[Tensor], Tensor]] = {
    "a view on two": lambda x: x.relu().view(2, -1, 8, 8).mean((2, 3)),
    "a view on int(n)": lambda x: x.relu().view(int(x.shape[0]), 4, -1).mean(2),
    "a loop over images": lambda x: _rows(x).mean((2, 3)),
    "two halves": lambda x: torch.cat([half.relu() for half in x.chunk(2)]).mean((2, 3)),
    "sequence first": lambda x: x.flatten(2).permute(2, 0, 1).relu().mean(0),
    "images last": lambda x: x.permute(1, 2, 3, 0).relu().permute(3, 0, 1, 2).mean((2, 3)),
    "images into channels": lambda x: x.reshape(1, -1, 8, 8).relu().view(-1, 4, 8, 8).mean((2, 3)),
    "channels into images": lambda x: x.view(x.shape[0] * 2, 2, 8, 8).relu().view(-1, 4, 8, 8).mean((2, 3)),
    "max-pool of channels as images": lambda x: F.max_pool2d(x.reshape(-1, 2, 8, 8), 2).reshape(-1, 4, 4, 4)
    .mean((2, 3)),
    "less the mean image": lambda x: (x - x.mean(0, keepdim=True)).relu().mean((2, 3)),
    "images turned round": lambda x: x.flip(0).relu().mean((2, 3)),
    "one for one, another for more": lambda x: (x.relu() if x.shape[0] > 1 else -x).mean((2, 3)),
    "another for three": lambda x: (x.relu() if x.shape[0] != 3 else -x).mean((2, 3)),
    "another for odd": lambda x: (x.relu() if x.shape[0] % 2 == 0 else -x).mean((2, 3)),
    "divided by n": lambda x: (x / x.shape[0]).relu().mean((2, 3)),
    "normed by the batch": lambda x: F.batch_norm(x, None, None, training=True).relu().mean((2, 3)),
    "softmax over images": lambda x: x.relu().mean((2, 3)).softmax(0) + 0.0,
    "running sum of images": lambda x: x.relu().cumsum(0).mean((2, 3)),
    "squeezed": lambda x: F.adaptive_max_pool2d(x, 1).squeeze(),
}  # fmt: skip


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("mixer", BATCH_MIXERS)
@pytest.mark.filterwarnings("ignore::deconvnet.DeconvNetWarning")
def test_a_model_that_handles_its_batch_oddly_is_right_or_refused(mixer: str):
    torch.manual_seed(0)
    model = wired(lambda m, x: BATCH_MIXERS[mixer](m.conv(x)))
    net, right = None, 0
    for n in (2, 1, 3):
        x = images(n, seed=n)
        leaf = x.clone().requires_grad_()
        try:
            truth = model(leaf)
        except (RuntimeError, IndexError):
            continue
        try:
            net = net or DeconvNet(model, x, rules="gradient", smooth="gradient")
            scores, picture = net.scores(x), net.explain(x, 1).full()
            conv = net.activations(x, "conv")["conv"]
        except DeconvNetError:
            continue
        right += 1
        torch.testing.assert_close(conv, model.conv(x).detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(scores.view_as(truth), truth.detach(), rtol=1e-12, atol=1e-12)
        score = truth if truth.ndim == 2 else truth[None]
        for i in range(n):  # one class of one image alone, as far as it reaches that image
            (signal,) = torch.autograd.grad(score[i, 1], leaf, retain_graph=True)
            torch.testing.assert_close(picture[i], signal[i], rtol=1e-9, atol=1e-12)
    assert right, "refused for every batch"


# weights that are computed from others ---------------------------------------------------------------


def _old_weight_norm(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module)


def _pruned(module: nn.Module) -> nn.Module:
    return prune.random_unstructured(module, "weight", amount=0.5)


REPARAMETRISED: dict[str, tuple[Callable[[nn.Module], nn.Module], Callable[[nn.Module], Tensor]]] = {
    "weight norm, old": (_old_weight_norm, lambda m: m.weight_g),
    "weight norm": (parametrizations.weight_norm, lambda m: m.parametrizations.weight.original0),
    "spectral norm, old": (nn.utils.spectral_norm, lambda m: m.weight_orig),
    "spectral norm": (parametrizations.spectral_norm, lambda m: m.parametrizations.weight.original),
    "orthogonal": (parametrizations.orthogonal, lambda m: m.parametrizations.weight.original),
    "pruning": (_pruned, lambda m: m.weight_orig),
}


@pytest.mark.parametrize("kind", REPARAMETRISED)
def test_reparametrised_weights_are_computed_anew(kind: str):
    wrap, weight = REPARAMETRISED[kind]
    x = images()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    model.double()
    model[2] = wrap(model[2])
    model.eval()
    with torch.no_grad():
        model(x)
    net = DeconvNet(model, x)
    net.explain(x, 1)
    with torch.no_grad():
        weight(model[2]).add_(torch.randn_like(weight(model[2])))
        model(x)
    assert_follows(net, model, x)
