"""A capture is a claim: it is held against the model, for every number of images, and captures do not pile up."""

from typing import Any

import pytest
import torch
from support.comparing import assert_equal
from torch import Tensor, nn

from deconvnet import DeconvNet
from deconvnet.capture import trace
from deconvnet.network import attached


class Branching(nn.Module):
    """Doubles its maps for some numbers of images."""

    def __init__(self, doubles: Any) -> None:
        super().__init__()
        self.c, self.doubles = nn.Conv2d(3, 4, 3), doubles

    def forward(self, x: Tensor) -> Tensor:
        return self.c(x) * (2.0 if self.doubles(x.shape[0]) else 1.0)


BRANCHES = {
    "from 32 on": lambda n: n >= 32,
    "from 20 to 30": lambda n: 20 <= n < 31,
    "even": lambda n: n % 2 == 0,
    "23 alone": lambda n: n == 23,
    "single images": lambda n: n == 1,
    "up to 17": lambda n: n < 18,
}


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize(
    "doubles",
    [
        pytest.param(doubles, id=name, marks=[pytest.mark.slow] if name in ("from 20 to 30", "up to 17") else [])
        for name, doubles in BRANCHES.items()
    ],
)
def test_a_model_that_branches_on_the_number_of_images_is_never_shown_wrongly(doubles):
    torch.manual_seed(0)
    model, x = Branching(doubles).eval(), torch.randn(40, 3, 8, 8)
    net = DeconvNet(model, x[:2])
    for n in (2, 40, 17, 18, 23, 24, 1, 32, 31):
        assert_equal(net.activations(x[:n], "")[""] if "" in net.layers else net.scores(x[:n]), model(x[:n]))


class Counting(nn.Module):
    """Counts its calls in a plain attribute; from `turns` on it takes another way."""

    def __init__(self, turns: int = 10**9) -> None:
        super().__init__()
        self.c, self.calls, self.turns = nn.Conv2d(3, 4, 3), 0, turns

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.c(x).relu() if self.calls < self.turns else -self.c(x)


def test_a_counter_on_a_module_is_not_captured_anew(monkeypatch):
    torch.manual_seed(0)
    model, x = Counting().eval(), torch.randn(2, 3, 10, 10)
    net = DeconvNet(model, x)
    net.activations(x, "c")
    monkeypatch.setattr(trace, "capture", lambda *a, **k: pytest.fail("captured again"))
    for _ in range(5):
        model(x)
        net.activations(x, "c")
        net.project(x, "c", channel=1)
    captures = attached(net).captures
    assert sum(map(len, captures._captures.values())) == 1


def test_a_counter_by_which_a_model_turns_is_noticed():
    torch.manual_seed(0)
    model, x = Counting(turns=5).eval(), torch.randn(2, 3, 10, 10)
    net = DeconvNet(model, x)
    for calls in (0, 3, 4, 8, 2):
        model.calls = calls
        truth = model(x)
        model.calls = calls
        assert_equal(net.scores(x), truth)


def test_captures_of_what_a_model_was_are_forgotten():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval(), torch.randn(2, 3, 10, 10)
    net = DeconvNet(model, x)
    captures = attached(net).captures
    for channels in (5, 6, 7):
        model[0], model[2] = nn.Conv2d(3, channels, 3), nn.Conv2d(channels, 2, 1)
        assert_equal(net.scores(x), model(x))
        net.project(x, "2", channel=0)
        assert sum(map(len, captures._captures.values())) == 1


class Switched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.sign = nn.Conv2d(3, 4, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        return self.c(x) * self.sign


def test_a_model_that_is_switched_over_and_over_keeps_a_few_captures():
    torch.manual_seed(0)
    model, x = Switched().eval(), torch.randn(2, 3, 10, 10)
    net = DeconvNet(model, x)
    for sign in range(12):
        model.sign = sign
        assert_equal(net.scores(x), model(x))
    assert sum(map(len, attached(net).captures._captures.values())) <= 4


class Set(nn.Module):
    """Takes its way by plain attributes, read in its own code, in a list, or in a function beside the class."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.inner, self.cap, self.scales, self.aux = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), 9.0, [1.0], False
        self.bend = torch.relu

    def forward(self, x: Tensor) -> Any:
        y = self.inner(scaled(self, self.bend(self.c(x)))).clamp(-1e-3, self.cap)
        return (y, y * 2) if self.aux else y


def scaled(model: Set, x: Tensor) -> Tensor:
    return x * model.scales[0]


CHANGES = {
    "cap": lambda model: setattr(model, "cap", 1e-4),
    "a number in a list": lambda model: model.scales.__setitem__(0, 3.0),
    "a function": lambda model: setattr(model, "bend", torch.tanh),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_an_attribute_that_is_read_is_never_out_of_date_also_where_the_outputs_agree(change):
    torch.manual_seed(0)
    model, x = Set().double().eval(), torch.randn(2, 3, 10, 10).double()
    net = DeconvNet(model, x)
    zeros = torch.zeros_like(x)  # on which most settings give the same
    for images in (x, zeros, x):
        assert_equal(net.activations(images, "inner")["inner"], inner_of(model, images))
    change(model)
    for images in (zeros, x):
        assert_equal(net.scores(images), model(images).detach())
        assert_equal(net.activations(images, "inner")["inner"], inner_of(model, images))


def inner_of(model: Set, x: Tensor) -> Tensor:
    return model.inner(scaled(model, model.bend(model.c(x)))).detach()


def test_a_model_that_returns_more_than_before_is_captured_anew():
    torch.manual_seed(0)
    model, x = Set().eval(), torch.randn(2, 3, 10, 10)
    net = DeconvNet(model, x, output="1")
    model.aux = True
    assert_equal(net.scores(x), model(x)[1].detach())
