"""Capture: every trap that was seen, and the promise that the model is left as it was found."""

import collections
import copy
import dataclasses
import io
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from deconvnet import (
    ArgumentError,
    CaptureError,
    DeconvNet,
    DeconvNetError,
    LayerNotFoundError,
    UnsupportedOperationError,
)


class Wired(nn.Module):
    """Named parts and a function that wires them."""

    def __init__(self, wiring: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.wiring = wiring

    def forward(self, x: Tensor) -> Any:
        return self.wiring(self, x)


def images(n: int = 2, size: int = 10, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(seed)).double()


def small(seed: int = 0) -> nn.Sequential:
    """Convolution, batch norm, ReLU, pool, dropout, linear: a bit of everything."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5),
            nn.Conv2d(4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 3),
        )  # fmt: skip
        _settle(model[1])
    return model.double().eval()


def tiny() -> nn.Sequential:
    """Less of everything, where a test needs no more: its third layer is a ReLU too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        parts = nn.Conv2d(3, 4, 3), nn.Identity(), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        return nn.Sequential(*parts, nn.Linear(16, 3)).double().eval()


@pytest.fixture(scope="module")
def small_net() -> DeconvNet:
    """Attached to `small()` once, for tests that compare with it."""
    return DeconvNet(small(), images())


@pytest.fixture(scope="module")
def tiny_net() -> DeconvNet:
    """Attached to `tiny()` once."""
    return DeconvNet(tiny(), images())


def _settle(norm: nn.Module) -> None:
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 1.5)
    nn.init.normal_(norm.weight)


def wired(wiring: Callable[[Any, Tensor], Any], **parts: Any) -> nn.Module:
    return Wired(wiring, **{"conv": nn.Conv2d(3, 4, 3), **parts}).double().eval()


def hooked(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What the user's own hooks see, each tensor as it was when it was returned."""
    seen: dict[str, Tensor] = {}
    calls: collections.Counter[str] = collections.Counter()

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            call = f"#{calls[name]}" if calls[name] > 1 else ""
            if isinstance(output, Tensor):
                seen[name + call] = output.detach().clone()

        return record

    handles = [m.register_forward_hook(recorder(n)) for n, m in model.named_modules() if n]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return seen


def assert_layers_are_what_hooks_see(model: nn.Module, x: Tensor, *names: str) -> DeconvNet:
    net, seen = DeconvNet(model, x), hooked(model, x)
    values = net.activations(x, names)
    for name in names:
        torch.testing.assert_close(values[name], seen[name], rtol=1e-12, atol=1e-12)
    return net


def assert_follows(net: DeconvNet, model: nn.Module, x: Tensor) -> None:
    """Scores are those of the model as it is now, and the rule set `gradient` gives its autograd."""
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        scores = model(leaf)
        (signal,) = torch.autograd.grad(scores[:, 1].sum(), leaf)
    assert signal.any()
    torch.testing.assert_close(net.scores(x), scores.detach(), rtol=1e-10, atol=1e-12)
    picture = net.with_rules("gradient").explain(x, 1).full()
    torch.testing.assert_close(picture, signal, rtol=1e-9, atol=1e-12)


# names ----------------------------------------------------------------------------------------------


def test_identity_and_dropout_are_layers_although_they_leave_no_operation():
    x = images()
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Identity(), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 2, 3), nn.Dropout2d()
    )
    net = assert_layers_are_what_hooks_see(model.double().eval(), x, "0", "1", "2", "3", "4", "5")
    for name, same in (("1", "0"), ("3", "2"), ("5", "4")):
        assert torch.equal(net.project(x, name, channel=1).full(), net.project(x, same, channel=1).full())


def test_an_identity_in_front_gives_the_input():
    x = images()
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 3)).double()
    net = DeconvNet(model, x)
    assert torch.equal(net.activations(x, "0")["0"], x)
    picture = net.project(x, "0", channel=1, position=(2, 3), start="one").full()
    assert picture.count_nonzero() == 2 and picture[0, 1, 2, 3] == 1


def test_each_call_of_a_module_has_its_own_name():
    x = images()
    shared = nn.Conv2d(3, 3, 3, padding=1)
    model = wired(lambda m, x: m.act(m.conv(m.act(m.conv(x)))), conv=shared, act=nn.ReLU(inplace=True))
    net = assert_layers_are_what_hooks_see(model, x, "conv", "act", "conv#2", "act#2")
    unrolled = nn.Sequential(copy.deepcopy(shared), nn.ReLU(), copy.deepcopy(shared), nn.ReLU()).double()
    other = DeconvNet(unrolled, x)
    for name, same in (("conv", "0"), ("act", "1"), ("conv#2", "2"), ("act#2", "3")):
        assert torch.equal(net.project(x, name, channel=2).full(), other.project(x, same, channel=2).full())


def test_a_module_under_two_names_is_one_layer_per_call():
    x = images()
    act = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), act, nn.Conv2d(4, 4, 3), act).double()
    net = DeconvNet(model, x)
    assert "1" in net.layers and "1#2" in net.layers
    assert net.layers["1"].size == (8, 8) and net.layers["1#2"].size == (6, 6)


class Branches(nn.Module):
    def __init__(self, wrap: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.left, self.right, self.wrap = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 4, 3), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.left(x), self.right(x))


@pytest.mark.parametrize(
    ("wrap", "pick", "name"),
    [
        (lambda a, b: (a, b), lambda o: o[1], "both[1]"),
        (lambda a, b: [a, b], lambda o: o[1], "both[1]"),
        (lambda a, b: {"l": a, "r": b}, lambda o: o["r"], "both[r]"),
    ],
    ids=["tuple", "list", "dict"],
)
def test_one_of_several_results_of_a_layer_has_a_name(wrap: Any, pick: Any, name: str):
    x = images()
    model = Wired(lambda m, x: F.relu(pick(m.both(x))), both=Branches(wrap)).double()
    net = DeconvNet(model, x)
    with torch.no_grad():
        assert torch.equal(net.activations(x, name)[name], pick(model.both(x)))
    assert torch.equal(net.project(x, name, channel=3).full(), net.project(x, "both.right", channel=3).full())
    with pytest.raises(LayerNotFoundError, match=r"no layer 'both'.*'both\["):
        net.project(x, "both", channel=0)


def test_what_no_module_returned_is_called_by_its_parent_and_operation():
    x = images()
    inner = Wired(lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 2), conv=nn.Conv2d(4, 4, 3))
    model = wired(lambda m, x: F.relu(m.block(F.relu(m.conv(x))) * 2 - 1), block=inner)
    net = DeconvNet(model, x)
    assert list(net.layers) == [
        "conv", "/relu", "block.conv", "block/relu", "block", "/mul", "/sub", "/relu#2",
    ]  # fmt: skip
    with torch.no_grad():
        first = F.relu(model.conv(x))
        assert torch.equal(net.activations(x, "/relu")["/relu"], first)
        assert torch.equal(net.activations(x, "block/relu")["block/relu"], F.relu(inner.conv(first)))
        assert torch.equal(net.activations(x, "/relu#2")["/relu#2"], model(x))


@pytest.mark.parametrize(
    "rectify",
    [nn.ReLU(inplace=True), F.relu_, torch.relu_, lambda x: x.clamp_(min=0), lambda x: x.mul_(x > 0)],
    ids=["module", "F.relu_", "torch.relu_", "clamp_", "mul_"],
)
def test_an_in_place_rectifier_does_not_change_what_the_convolution_gave(rectify: Any):
    x = images()
    parts = {"act": rectify} if isinstance(rectify, nn.Module) else {}
    model = wired(lambda m, x: m.head(rectify(m.conv(x))), head=nn.Conv2d(4, 2, 3), **parts)
    net = assert_layers_are_what_hooks_see(model, x, "conv", "head")
    assert net.activations(x, "conv")["conv"].min() < 0
    plain = wired(lambda m, x: m.head(F.relu(m.conv(x))), head=model.head, conv=model.conv)
    truth = DeconvNet(plain, x).project(x, "head", channel=0).full()
    assert torch.equal(net.project(x, "head", channel=0).full(), truth)


@pytest.mark.parametrize("order", ["relu first", "skip first"])
def test_a_tensor_may_feed_a_rectifier_and_a_skip(order: str):
    x = images()

    def wiring(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        return F.relu(y) + y if order == "relu first" else y + F.relu(y)

    net = DeconvNet(wired(wiring), x)
    weight = net.model.conv.weight.detach()
    for value in (1.0, -1.0):
        signal = torch.zeros(2, 4, 8, 8, dtype=torch.float64)
        signal[:, 2, 3, 4] = value
        below = 2.0 if value > 0 else -1.0  # a negative signal passes the skip only
        picture = net.project(x, "/add", start=signal).full()
        torch.testing.assert_close(picture[0, :, 3:6, 4:7], below * weight[2])


def test_a_skip_that_an_in_place_rectifier_overwrote_carries_the_rectified_value():
    x = images()

    def wiring(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        return F.relu_(y) + y

    model = wired(wiring)
    net = assert_layers_are_what_hooks_see(model, x, "conv")
    with torch.no_grad():
        assert torch.equal(net.activations(x, "/add")["/add"], model(x))
    signal = -torch.ones(2, 4, 8, 8, dtype=torch.float64)
    assert not net.project(x, "/add", start=signal).full().any()


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


class MaximumWith(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("floor", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.floor)


def test_a_buffer_by_which_a_rectifier_was_known_may_change():
    x = images()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), MaximumWith(), nn.Conv2d(4, 2, 3)).double()
    net = DeconvNet(model, x)
    assert net.layers["1"].kind == "relu"
    net.project(x, "2", channel=1)
    model[1].floor.fill_(0.25)
    with torch.no_grad():
        assert torch.equal(net.activations(x, "1")["1"], model[:2](x))
    with pytest.raises(UnsupportedOperationError, match=r"cannot project through '1' \(aten\.maximum\)"):
        net.project(x, "2", channel=1)
    model[1].floor.zero_()
    assert net.project(x, "2", channel=1).full().any()


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


# wrapped and reparametrised models ------------------------------------------------------------------


def test_data_parallel_is_taken_off(tiny_net: DeconvNet):
    model = tiny()
    net = DeconvNet(nn.DataParallel(model), images())
    assert net.model is model
    assert list(net.layers) == list(tiny_net.layers)


def test_a_compiled_model_is_taken_out(tiny_net: DeconvNet):
    x, model = images(), tiny()
    net = DeconvNet(torch.compile(model, backend="eager"), x)
    assert net.model is model
    assert torch.equal(net.explain(x, 1).full(), tiny_net.explain(x, 1).full())


def test_a_model_compiled_in_place_or_in_part_is_captured_or_refused(tiny_net: DeconvNet):
    x, truth = images(), tiny_net.explain(images(), 1).full()
    whole = tiny()
    whole.compile(backend="eager")
    part = tiny()
    part[0] = torch.compile(part[0], backend="eager")
    for model in (whole, part):
        try:
            net = DeconvNet(model, x)
        except CaptureError:
            continue
        assert torch.equal(net.explain(x, 1).full(), truth)


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


# the user's hooks -----------------------------------------------------------------------------------


def test_hooks_that_only_record_are_never_given_fake_tensors_and_stay_in_place():
    x, model, seen = images(), tiny(), []

    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append(type(output))

    def watch(module: nn.Module, inputs: Any) -> None:
        seen.append(type(inputs[0]))

    handles = [model[0].register_forward_hook(record), model[2].register_forward_pre_hook(watch)]
    handles.append(model.register_full_backward_hook(lambda *_: None))
    before = snapshot(model)
    net = DeconvNet(model, x)
    net.explain(x, 1)
    net.activations(x, "2")
    assert set(seen) <= {Tensor}
    assert snapshot(model) == before
    seen.clear()
    model(x)
    assert seen == [Tensor, Tensor]
    for handle in handles:
        handle.remove()
    assert not model[0]._forward_hooks


def test_hooks_see_nothing_at_all_if_they_only_record():
    model, seen = tiny(), []

    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append(output)

    model[0].register_forward_hook(record)
    DeconvNet(model, images()).explain(images(), 1)
    assert seen == []


@pytest.mark.parametrize("kind", ["forward", "forward with kwargs", "pre", "pre with kwargs", "in place"])
def test_a_hook_that_changes_what_the_model_computes_is_refused(kind: str):
    model = tiny()
    if kind == "forward":
        model[2].register_forward_hook(lambda m, i, o: o * 2)
    elif kind == "forward with kwargs":
        model[2].register_forward_hook(lambda m, a, k, o: o + 1, with_kwargs=True)
    elif kind == "pre":
        model[2].register_forward_pre_hook(lambda m, i: (i[0] - 1,))
    elif kind == "pre with kwargs":
        model[2].register_forward_pre_hook(lambda m, a, k: ((a[0] - 1,), k), with_kwargs=True)
    else:

        def double(module: nn.Module, inputs: Any, output: Tensor) -> None:
            output.mul_(2)

        model[2].register_forward_hook(double)
    before = snapshot(model)
    with pytest.raises(CaptureError, match=r"the hooks on '2' change what the model computes.*remove them"):
        DeconvNet(model, images())
    assert snapshot(model) == before


def test_a_hook_that_is_added_later_is_refused_too():
    x, model = images(), tiny()
    net = DeconvNet(model, x)
    net.explain(x, 1)
    handle = model[2].register_forward_hook(lambda m, i, o: o * 2)
    with pytest.raises(CaptureError, match="change what the model computes"):
        net.explain(x, 1)
    handle.remove()
    net.explain(x, 1)


def test_a_hook_that_returns_what_it_was_given_is_left_alone(tiny_net: DeconvNet):
    x, model = images(), tiny()
    model[2].register_forward_hook(lambda m, i, o: o)
    assert torch.equal(DeconvNet(model, x).explain(x, 1).full(), tiny_net.explain(x, 1).full())


# the model is left as it was found ------------------------------------------------------------------


def snapshot(model: nn.Module) -> Any:
    """All that may be changed in a model without meaning to, in a form that can be compared."""
    modules = []
    for name, module in model.named_modules():
        attributes = {
            key: [(k, id(v)) for k, v in value.items()] if isinstance(value, dict) else id(value)
            for key, value in vars(module).items()
            if key != "training"
        }
        modules.append((name, id(module), module.training, list(vars(module)), attributes))
    tensors = [
        (name, id(t), t.data_ptr(), t._version, t.requires_grad, t.dtype, t.device, t.grad is None,
         t.detach().flatten().tolist())
        for name, t in [*model.named_parameters(), *model.named_buffers()]
    ]  # fmt: skip
    return modules, tensors


def surroundings() -> Any:
    """All that may be changed outside the model."""
    kind, keys, *rest = np.random.get_state()
    loggers = {
        name: (one.level, one.disabled, one.propagate, list(one.handlers))
        for name, one in logging.root.manager.loggerDict.items()
        if isinstance(one, logging.Logger)
    }
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (kind, keys.tolist(), rest),
        "python": random.getstate(),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "logging": (logging.root.level, logging.root.manager.disable, list(logging.root.handlers), loggers),
    }


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    before, outside = snapshot(model), surroundings()
    yield
    assert snapshot(model) == before
    now = surroundings()
    known = outside["logging"][-1]
    new = now["logging"][-1]
    assert {name: new[name] for name in known} == known
    for key in outside:
        if key != "logging":
            assert now[key] == outside[key], key
    assert now["logging"][:-1] == outside["logging"][:-1]


@pytest.fixture(scope="module")
def warm(tiny_net: DeconvNet) -> None:
    """What torch itself changes when torch.export is first imported is not ours to answer for."""


def lively() -> nn.Module:
    """Mixed modes, frozen parts, hooks, gradients and odd attributes."""
    model = small()
    model.train()
    model[1].eval()
    model[4].eval()
    model[0].weight.requires_grad_(False)
    model[9].weight.grad = torch.ones_like(model[9].weight)
    model[2].register_forward_hook(_record)
    model[3].register_forward_pre_hook(_watch)
    model[0].remark = {"of": "the user"}
    model.register_buffer("spare", torch.arange(3))
    return model


def _record(module: nn.Module, inputs: Any, output: Any) -> None:
    module.seen = None


def _watch(module: nn.Module, inputs: Any) -> None:
    pass


GOOD_CALLS: dict[str, Callable[[DeconvNet, Tensor], Any]] = {
    "layers": lambda net, x: net.layers,
    "print": lambda net, x: (str(net), repr(net)),
    "activations": lambda net, x: net.activations(x, ["0", "6"]),
    "activations, new size": lambda net, x: net.activations(images(3, 12), ["0", "6"]),
    "scores": lambda net, x: net.scores(x),
    "project": lambda net, x: net.project(x, "6", channel="all").full(),
    "project in chunks": lambda net, x: net.project(x, "6", channel="all", memory="100KB"),
    "project to a layer": lambda net, x: net.project(x, "6", channel=0, to="2"),
    "explain": lambda net, x: net.explain(x, "all").magnitude(),
    "with_rules": lambda net, x: net.with_rules("gradient").explain(x),
}
BAD_CALLS: dict[str, Callable[[DeconvNet, Tensor], Any]] = {
    "no such layer": lambda net, x: net.project(x, "7.7", channel=0),
    "no such channel": lambda net, x: net.project(x, "6", channel=99),
    "a size that does not fit": lambda net, x: net.project(images(2, 3), "6", channel=0),
    "NaN": lambda net, x: net.project(x / 0 * 0, "6", channel=0),
    "no memory": lambda net, x: net.project(x, "6", channel="all", memory=10),
    "integers": lambda net, x: net.project(x.long(), "6", channel=0),
    "no such class": lambda net, x: net.explain(x, 77),
}


@pytest.fixture(scope="module")
def attached() -> tuple[DeconvNet, nn.Module]:
    model = lively()
    return DeconvNet(model, images()), model


@pytest.mark.parametrize("call", [*GOOD_CALLS, *BAD_CALLS])
@pytest.mark.filterwarnings("ignore::deconvnet.DeconvNetWarning")
def test_every_call_leaves_model_and_surroundings_as_they_were(call: str, attached: Any):
    x, (net, model) = images(), attached
    with unchanged(model):
        if call in GOOD_CALLS:
            GOOD_CALLS[call](net, x)
        else:
            with pytest.raises(DeconvNetError):
                BAD_CALLS[call](net, x)


def test_attaching_leaves_model_and_surroundings_as_they_were(warm: None):
    model = lively()
    with unchanged(model):
        DeconvNet(model, images())


def _keeps_a_note(m: Any, x: Tensor) -> Tensor:
    m.note = m.conv(x)
    m.calls = m.calls + 1
    m.inner.append(1) if isinstance(m.inner, list) else None
    return m.note.relu()


def test_what_a_model_notes_in_itself_as_it_runs_is_put_back(warm: None):
    model = wired(_keeps_a_note)
    model.calls, model.inner = 0, None
    with unchanged(model):
        net = DeconvNet(model, images())
        net.project(images(), "conv", channel=0)
    assert model.calls == 0 and not hasattr(model, "note")


class Breaks(nn.Module):
    def __init__(self, error: Callable[[], BaseException]) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error()


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyError("key"), ZeroDivisionError()], ids=repr)
def test_a_model_that_fails_is_left_as_it_was(error: Exception, warm: None):
    model = nn.Sequential(lively(), Breaks(lambda: error)).train()
    model[0][1].eval()
    with unchanged(model), pytest.raises(CaptureError, match=r"cannot trace the model on an input of shape"):
        DeconvNet(model, images())


def test_an_interrupted_capture_leaves_the_model_as_it_was(warm: None):
    model = nn.Sequential(lively(), Breaks(KeyboardInterrupt)).train()
    with unchanged(model), pytest.raises(KeyboardInterrupt):
        DeconvNet(model, images())


def test_capture_prints_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    DeconvNet(tiny(), images())
    with pytest.raises(CaptureError):
        DeconvNet(wired(lambda m, x: m.conv(x) if x.sum() > 0 else x), images())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_the_picture_of_a_model_in_training_is_that_of_eval(small_net: DeconvNet):
    x, model = images(), small().train()
    picture = DeconvNet(model, x).explain(x, 1).full()
    assert all(module.training for module in model.modules())
    assert torch.equal(picture, small_net.explain(x, 1).full())


# the caller's own modes -----------------------------------------------------------------------------


MODES = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
}


@pytest.mark.parametrize("made", ["net made outside", "all made inside"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_results_are_ordinary_tensors_whatever_mode_the_caller_is_in(
    mode: str, requires_grad: bool, made: str, small_net: DeconvNet
):
    truth = small_net.explain(images(), 1).full()
    with MODES[mode]():
        given = images().requires_grad_(requires_grad)
        net = DeconvNet(small(), given) if made == "all made inside" else small_net
        results = [net.project(given, "6", channel=1), net.explain(given, 1)]
        found = [net.scores(given), *net.activations(given, ["0", "9"]).values()]
    for tensor in [*found, *(t for r in results for t in (r.windows, r.activations, r.full()))]:
        assert not tensor.requires_grad and tensor.grad_fn is None
        assert not tensor.is_inference()
    assert torch.equal(results[1].full(), truth)
    assert given.grad is None and given.requires_grad == requires_grad


def test_results_may_be_changed_without_changing_the_input_or_the_model():
    x, model = images(), tiny()
    given, before = x.clone(), snapshot(model)
    net = DeconvNet(model, x)
    net.activations(x, "1")["1"].zero_()
    net.explain(x, 1).windows.zero_()
    own = torch.ones(2, 4, 8, 8, dtype=torch.float64)
    net.project(x, "2", start=own, to="2").windows.zero_()
    given_back = DeconvNet(nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 3)).double(), x)
    given_back.activations(x, "0")["0"].zero_()
    assert torch.equal(x, given)
    assert torch.equal(own, torch.ones_like(own))
    assert snapshot(model) == before


# outputs --------------------------------------------------------------------------------------------


class Pair(collections.namedtuple("Pair", ["scores", "aux"])):
    __slots__ = ()


@dataclasses.dataclass
class Both:
    scores: Tensor
    aux: Tensor | None = None


torch.export.register_dataclass(Both, serialized_type_name="test_capture.Both")

OUTPUTS: dict[str, tuple[Callable[[Tensor, Tensor], Any], Any]] = {
    "tensor": (lambda a, b: a, None),
    "tuple": (lambda a, b: (b, a), 1),
    "tuple of one": (lambda a, b: (a,), None),
    "list": (lambda a, b: [a, b], 0),
    "dict": (lambda a, b: {"aux": b, "scores": a}, "scores"),
    "OrderedDict": (lambda a, b: collections.OrderedDict(out=a, aux=b), "out"),
    "namedtuple": (lambda a, b: Pair(a, b), "scores"),
    "dataclass": (lambda a, b: Both(a, b), "scores"),
    "dataclass with None": (lambda a, b: Both(a), None),
    "nested": (lambda a, b: {"head": (b, [a]), "n": 3}, "head.1.0"),
    "beside None": (lambda a, b: (None, a), None),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_of_any_kind(kind: str):
    wrap, output = OUTPUTS[kind]
    x = images()

    def wiring(m: Any, x: Tensor) -> Any:
        y = m.conv(x).relu()
        return wrap(m.head(y.mean((2, 3))), m.aux(y.amax((2, 3))))

    torch.manual_seed(0)
    model = wired(wiring, head=nn.Linear(4, 3), aux=nn.Linear(4, 2))
    net = DeconvNet(model, x, output=output)
    with torch.no_grad():
        truth = model.head(model.conv(x).relu().mean((2, 3)))
    torch.testing.assert_close(net.scores(x), truth, rtol=1e-12, atol=1e-12)
    assert torch.equal(net.explain(x, 2).full(), net.project(x, "head", channel=2, start="one").full())


# other sources --------------------------------------------------------------------------------------


def test_a_program_loaded_from_pt2_is_a_model_like_any_other(small_net: DeconvNet):
    x, model = images(), small()
    shapes = {"input": {0: torch.export.Dim("n", min=1)}}
    program = torch.export.export(model, (images(2),), dynamic_shapes=shapes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    net = DeconvNet(loaded, x)
    torch.testing.assert_close(net.scores(x), model(x).detach(), rtol=1e-12, atol=1e-12)
    truth = small_net.explain(x, 1).full()
    torch.testing.assert_close(net.explain(x, 1).full(), truth, rtol=1e-10, atol=1e-12)


def test_a_traced_fx_module_is_a_model_like_any_other(tiny_net: DeconvNet):
    x, model = images(), tiny()
    net = DeconvNet(torch.fx.symbolic_trace(model), x)
    assert torch.equal(net.explain(x, 1).full(), tiny_net.explain(x, 1).full())


def test_a_net_may_be_attached_to_a_part_of_a_model(small_net: DeconvNet):
    x = images()
    part = DeconvNet(small()[:7], x)
    assert torch.equal(part.project(x, "6", channel=1).full(), small_net.project(x, "6", channel=1).full())


# refused, with a sentence ---------------------------------------------------------------------------


def _script(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


def test_a_script_module_is_refused():
    with pytest.raises(CaptureError, match="a ScriptModule cannot be captured: give the Python model"):
        DeconvNet(_script(nn.Conv2d(3, 4, 3)), images())


def test_a_script_module_inside_a_model_is_refused():
    with pytest.raises(CaptureError, match="ScriptModule"):
        DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), _script(nn.ReLU())).double(), images())


def test_a_lazy_module_is_refused():
    with pytest.raises(CaptureError, match="layer '1' is lazy and has no weights yet: run the model once"):
        DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyConv2d(4, 3)).double(), images())


@pytest.mark.parametrize(
    "drop",
    [
        lambda x: F.dropout(x, 0.5),
        lambda x: F.dropout2d(x, 0.5, training=True),
        lambda x: x + torch.randn_like(x),
        lambda x: x * torch.bernoulli(torch.full_like(x, 0.5)),
        lambda x: F.alpha_dropout(x, 0.5, training=True),
        lambda x: F.rrelu(x, training=True),
        lambda x: x + torch.rand(x.shape[1:], dtype=x.dtype),
    ],
    ids=["dropout", "dropout2d", "randn_like", "bernoulli", "alpha_dropout", "rrelu", "rand"],
)
def test_chance_in_eval_is_refused(drop: Any):
    inner = Wired(lambda m, x: drop(m.conv(x)), conv=nn.Conv2d(3, 4, 3))
    with pytest.raises(CaptureError, match=r"'part' draws random numbers.*training=self\.training"):
        DeconvNet(Wired(lambda m, x: m.part(x), part=inner).double().eval(), images())


def test_dropout_with_probability_zero_is_no_chance():
    net = DeconvNet(wired(lambda m, x: F.dropout(m.conv(x), 0.0).relu()), images())
    assert net.project(images(), "/relu", channel=0).full().any()


@pytest.mark.parametrize(
    "wiring",
    [
        lambda m, x: m.conv(x) if x.sum() > 0 else m.conv(-x),
        lambda m, x: m.conv(x)[:, : int(x.amax().item())],
        lambda m, x: m.conv(x)[m.conv(x) > 0],
    ],
    ids=["branch", "item", "mask"],
)
def test_a_way_that_depends_on_the_values_is_refused(wiring: Any):
    with pytest.raises(CaptureError, match=r"depends on the values of its input.*Give the part of the"):
        DeconvNet(wired(wiring), images())


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def test_a_model_of_several_inputs_is_refused():
    with pytest.raises(CaptureError, match="missing 1 required positional argument: 'y'"):
        DeconvNet(Two(), images())


def test_a_model_that_returns_nothing_can_be_projected_but_not_explained():
    def wiring(m: Any, x: Tensor) -> None:
        m.conv(x)

    net = DeconvNet(wired(wiring), images())
    assert net.project(images(), "conv", channel=1).full().any()
    with pytest.raises(ArgumentError, match="the model returns no tensor"):
        net.explain(images(), 0)


def test_an_operation_without_a_rule_is_refused_by_layer_operation_and_remedy():
    inner = Wired(lambda m, x: torch.special.bessel_j0(m.conv(x)), conv=nn.Conv2d(3, 4, 3))
    net = DeconvNet(nn.Sequential(inner, nn.Conv2d(4, 2, 3)).double(), images())
    with pytest.raises(
        UnsupportedOperationError,
        match=r"cannot project through '0' \(aten\.special_bessel_j0\).*Add one with @rule",
    ):
        net.project(images(), "1", channel=0)
    assert net.project(images(), "0.conv", channel=0).full().any()


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(4, track_running_stats=False), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)]
)
def test_a_norm_by_statistics_of_the_images_themselves_is_refused(norm: nn.Module):
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Conv2d(4, 2, 3)).double(), images())
    said = r"through '1' .*Pass smooth=\"gradient\"|mixes the images of a batch"
    with pytest.raises((UnsupportedOperationError, CaptureError), match=said):
        net.project(images(), "2", channel=0)


def test_a_forward_pass_that_changes_a_buffer_is_refused():
    def wiring(m: Any, x: Tensor) -> Tensor:
        m.count.add_(1)
        return m.conv(x)

    model = wired(wiring)
    model.register_buffer("count", torch.zeros(1))
    with pytest.raises(CaptureError, match="the model changes its buffer 'count' as it runs"):
        DeconvNet(model, images())
    assert model.count == 0


@pytest.mark.parametrize(
    "model",
    [None, "resnet18", nn.Conv2d, lambda x: x, torch.zeros(3)],
    ids=["None", "name", "class", "function", "tensor"],
)
def test_what_is_no_module_is_refused(model: Any):
    with pytest.raises(CaptureError, match=r"the model is a torch\.nn\.Module; got"):
        DeconvNet(model, images())


def test_a_size_that_the_network_cannot_take_is_refused():
    with pytest.raises(CaptureError, match=r"on an input of shape \(n, 3, 2, 2\).*[Kk]ernel size"):
        DeconvNet(small(), images(1, 2))
