"""Rectifiers are known by what they compute, however they are spelled."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.captured import assert_layers_are_what_hooks_see, images, wired
from torch import Tensor, nn

from deconvnet import (
    DeconvNet,
    UnsupportedOperationError,
)


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


LIMITS = {
    "clamp": lambda x: x.clamp(0, 1),
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clip": lambda x: torch.clip(x, -0.5, 0.5),
    "in place": lambda x: x.clone().clamp_(0, 1),
    "hardtanh": lambda x: F.hardtanh(x, 0, 1),
    "relu6": F.relu6,
    "relu": torch.relu,
    "minimum and maximum": lambda x: torch.maximum(torch.minimum(x, torch.ones_like(x)), torch.zeros_like(x)),
    "where": lambda x: torch.where(x > 1, 1.0, x),
    "scaled before and after": lambda x: ((255 * x).clamp(0, 255) / 255 - 0.45) / 0.225,
    "padded before": lambda x: F.pad(x, (1, 1, 1, 1))[..., 1:-1, 1:-1].clamp(0, 1),
    "after a batch norm": lambda x: F.batch_norm(x, torch.zeros(3).double(), torch.ones(3).double()).clamp(0, 1),
}


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS.keys())
def test_with_no_convolution_below_it_what_keeps_pixels_in_a_range_is_not_a_rectifier(limit: Any):
    x = images()
    torch.manual_seed(0)
    model = wired(lambda m, x: m.head(torch.relu(m.conv(limit(x)))), head=nn.Conv2d(4, 2, 3))
    net = DeconvNet(model, x)
    ours = net.project(x, "conv", channel=0, position=(3, 3), start="one")
    assert any("limits its pixels" in note for note in ours.notes)
    assert (ours.full() < 0).any() and (ours.full() > 0).any()
    plain = DeconvNet(wired(lambda m, x: m.conv(x), conv=model.conv), x)
    shape = plain.project(x, "conv", channel=0, position=(3, 3), start="one").full()
    factor = (ours.full() / shape)[shape != 0]
    torch.testing.assert_close(factor, factor[:1].expand_as(factor))
    leaf = x.clone().requires_grad_()
    (truth,) = torch.autograd.grad(model(leaf)[:, 1, 2, 2].sum(), leaf)
    derived = net.with_rules("gradient").project(x, "head", channel=1, position=(2, 2), start="one")
    torch.testing.assert_close(derived.full(), truth)


@pytest.mark.parametrize(
    "rows",
    [lambda m, x: m.conv(x), lambda m, x: m.linear(x), lambda m, x: torch.matmul(x, m.linear.weight)],
    ids=["convolution", "linear", "matmul"],
)
def test_above_a_product_with_weights_a_clamp_at_zero_is_a_rectifier(rows: Any):
    x = images()
    model = wired(lambda m, x: m.last(rows(m, x).clamp(0, 6)), linear=nn.Linear(10, 10), last=nn.LazyConv2d(2, 3))
    with torch.no_grad():
        model.double()(x)
    net = DeconvNet(model, x)
    kinds = [info.kind for info in net.layers.values()]
    assert "relu" in kinds and "limit" not in kinds


@pytest.mark.parametrize(
    "spelled",
    [
        lambda a, b: torch.where(a > b, a, b),
        lambda a, b: torch.where(a < b, b, a),
        lambda a, b: torch.where((a - b) > 0, a, b),
        lambda a, b: a.max(b),
        lambda a, b: torch.stack([a, b], -1).amax(-1),
    ],
    ids=["where", "the other way", "of the difference", "max", "stacked last"],
)
def test_the_larger_of_two_maps_is_known_by_what_it_computes(spelled: Any):
    x = images()
    net = DeconvNet(wired(lambda m, x: m.head(spelled(m.conv(x)[:, :2], m.conv(x)[:, 2:])), head=nn.Conv2d(2, 2, 3)), x)
    assert "largest_of_maps" in [info.kind for info in net.layers.values()]


@pytest.mark.parametrize(
    "spelled",
    [
        torch.maximum,
        torch.minimum,
        torch.fmax,
        lambda a, b: torch.where(a > b, a, b),
        lambda a, b: torch.where(a >= b, a, b),
        lambda a, b: torch.where(b < a, b, a),
        lambda a, b: torch.stack([a, b, a], -1).amax(-1),
        lambda a, b: torch.stack([a, b, a], -1).max(-1).values,
        lambda a, b: torch.stack([a, b, a]).amin((0,)),
        lambda a, b: torch.cat([a, b], 2).amax(2, keepdim=True),
    ],
    ids=["maximum", "minimum", "fmax", "where", "where or equal", "smaller", "amax", "max", "amin", "over an axis"],
)
def test_the_derivative_of_two_equal_values_goes_where_autograd_sends_it(spelled: Any):
    x = images().requires_grad_()
    model = wired(lambda m, x: m.head(spelled(m.conv(x).detach(), m.conv(x))), head=nn.Conv2d(4, 2, 1))
    wanted = torch.autograd.grad(model(x)[0, 0, 0, 0], x)[0][:1]
    net = DeconvNet(model, x.detach(), rules="gradient")
    picture = net.project(x.detach()[:1], "head", channel=0, position=(0, 0), start="one").full()
    torch.testing.assert_close(picture, wanted)


@pytest.mark.parametrize(
    "spelled",
    [lambda x: torch.maximum(x, -x), lambda x: torch.where(x > 0.5, x, x * x), lambda x: torch.max(x, 0.1 * x)],
    ids=["absolute value", "a square below", "leaky"],
)
def test_the_larger_of_two_functions_of_one_value_is_an_activation_and_refused(spelled: Any):
    x = images()
    net = DeconvNet(wired(lambda m, x: m.head(spelled(m.conv(x))), head=nn.Conv2d(4, 2, 3)), x)
    with pytest.raises(UnsupportedOperationError, match="cannot project through"):
        net.project(x, "head", channel=0)


def test_a_choice_by_something_else_than_the_two_maps_is_refused():
    x = images()

    def wiring(m: Any, x: Tensor) -> Tensor:
        a, b, c = m.conv(x)[:, :1], m.conv(x)[:, 1:2], m.conv(x)[:, 2:3]
        return m.head(torch.where(c > 0, a, b))

    net = DeconvNet(wired(wiring, head=nn.Conv2d(1, 2, 3)), x)
    with pytest.raises(UnsupportedOperationError, match=r"aten\.where.*product of two signals"):
        net.project(x, "head", channel=0)


def test_an_instance_norm_without_statistics_is_refused_for_what_it_is():
    x = images()
    net = DeconvNet(wired(lambda m, x: m.norm(m.conv(x)), norm=nn.InstanceNorm2d(4)), x)
    with pytest.raises(UnsupportedOperationError, match=r"instance_norm.*normalisation by the activations' own mean"):
        net.project(x, "norm", channel=0)


def test_another_order_in_memory_is_no_reason_for_a_failure():
    x = images()
    model = wired(lambda m, x: m.head(torch.relu(m.conv(x).contiguous(memory_format=torch.channels_last))),
                  head=nn.Conv2d(4, 2, 3))  # fmt: skip
    plain = wired(lambda m, x: m.head(torch.relu(m.conv(x))), head=model.head, conv=model.conv)
    ours, theirs = (DeconvNet(m, x).project(x, "head", channel=0).full() for m in (model, plain))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_the_largest_of_more_maps_than_a_byte_counts_is_found_again():
    conv = nn.Conv2d(3, 300, 1, bias=False)
    nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(0))
    conv.weight.data[:256] /= 100
    model, x = wired(lambda m, x: torch.stack(m.conv(x).unbind(1)).amax(0)[:, None], conv=conv), images(1)
    net = DeconvNet(model, x)
    maps = model.conv(x)[0, :, 2, 3].detach()
    assert int(maps.argmax()) > 255
    picture = net.project(x, next(reversed(net.layers)), channel=0, position=(2, 3)).full()[0, :, 2, 3]
    torch.testing.assert_close(picture, maps.max() * model.conv.weight[int(maps.argmax()), :, 0, 0].detach())
