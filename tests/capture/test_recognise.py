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
