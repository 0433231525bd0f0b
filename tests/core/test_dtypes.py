"""Networks that change the type of their numbers on the way: a signal has the type of the value that it has come to."""

from itertools import permutations
from typing import Any
from unittest import mock

import pytest
import torch
from reference.autograd_oracle import DECONVNET, Rectifying
from support.comparing import assert_equal
from torch import Tensor, nn

from deconvnet import ArgumentError, DeconvNet, Unit

TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PAIRS = list(permutations(TYPES, 2))
WIDTH = {torch.float16: 2e-2, torch.bfloat16: 1e-1, torch.float32: 1e-5, torch.float64: 1e-10}


class Cast(nn.Module):
    """The first layers in the image's type, the next in another one, the last in the image's again."""

    def __init__(self, outer: torch.dtype, inner: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.outer, self.inner = outer, inner
        self.first = nn.Conv2d(3, 4, 3).to(outer)
        self.second = nn.Conv2d(4, 4, 3, padding=1).to(inner)
        self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(4, 3, 2).to(outer)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x)).to(self.inner)
        x = self.pool(torch.relu(self.second(x)))
        return self.last(x.to(self.outer))


def images(dtype: torch.dtype, size: int = 12) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3)).to(dtype)


def picture(model: nn.Module, x: Tensor, channel: int, position: tuple[int, ...], *, paper: bool) -> Tensor:
    """What autograd brings down from one unit of the output, with the paper's way down or its own."""
    leaf = x.clone().requires_grad_()
    if paper:
        with Rectifying(DECONVNET):
            output = model(leaf + 0)
    else:
        output = model(leaf + 0)
    (signal,) = torch.autograd.grad(output[(slice(None), channel, *position)].sum(), leaf)
    return signal


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("rules", ["deconvnet", "gradient"])
@pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=str)
def test_a_signal_passes_a_change_of_type_and_comes_down_in_the_type_of_the_image(
    outer: torch.dtype, inner: torch.dtype, rules: str
):
    model, x = Cast(outer, inner).eval(), images(outer)
    net = DeconvNet(model, x, rules=rules)
    truth = picture(model, x, 1, (2, 1), paper=rules == "deconvnet")
    tolerance = max(WIDTH[outer], WIDTH[inner])
    for route in ("dense", "windowed"):
        result = net.project(x, "last", channel=1, position=(2, 1), start="one", route=route)
        assert result.windows.dtype == outer
        assert_equal(result.full(), truth, tolerance)
    units = [Unit("last", 1, (2, 1), image) for image in range(2)]
    with mock.patch("deconvnet.engine.costs.Costs.sees_little", lambda self, units, images: True):
        assert_equal(net.project(x, "last", units=units, start="one").full(), truth, tolerance)


@pytest.mark.parametrize("layer", ["second", "pool"])
def test_a_unit_between_two_changes_of_type_goes_down_and_stops_in_the_type_of_each_layer(layer: str):
    model, x = Cast(torch.float32, torch.float64).eval(), images(torch.float32)
    net = DeconvNet(model, x)
    result = net.project(x, layer, channel=1)
    assert result.windows.dtype == torch.float32 and result.full().any()
    middle = net.project(x, "last", channel=1, to=layer)
    assert middle.windows.dtype == torch.float64
    again = net.project(x, layer, start=middle.full()).full()
    assert_equal(again, net.project(x, "last", channel=1).full())


def test_the_steps_of_a_unit_show_each_layer_in_its_own_type():
    x = images(torch.float32)
    net = DeconvNet(Cast(torch.float32, torch.float64).eval(), x)
    types = {step.layer: step.signal.dtype for step in net.steps(x[:1], "last", channel=1)}
    assert types["pool"] == torch.float64 and types["first"] == torch.float32


class Wide(nn.Module):
    """What many models do: a softmax in float32 over maps of half precision."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3).to(dtype), nn.Conv2d(4, 3, 2).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.last(torch.softmax(x, 1, dtype=torch.float32).to(x.dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_softmax_in_float_over_half_maps_is_differentiated_in_float(dtype: torch.dtype):
    model, x = Wide(dtype).eval(), images(dtype)
    net = DeconvNet(model, x, rules="gradient", smooth="gradient")
    ours = net.project(x, "last", channel=0, position=(1, 1), start="one").full()
    assert_equal(ours, picture(model, x, 0, (1, 1), paper=False), WIDTH[dtype])


class Spelled(nn.Module):
    def __init__(self, rectify: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.rectify = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 2).double(), rectify

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.rectify(self.first(x)))


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    "rectify",
    [
        lambda x: torch.relu(x).double(),
        lambda x: torch.relu(x.double()),
        lambda x: x.double() * (x > 0),
        lambda x: x * (x > 0).double(),
        lambda x: torch.where(x > 0, x.double(), 0.0),
    ],
    ids=["after", "before", "beside", "in the mask", "in where"],
)
def test_a_rectifier_that_changes_the_type_is_one(rectify: Any):
    model, x = Spelled(rectify).eval(), images(torch.float32)
    net = DeconvNet(model, x)
    plain = DeconvNet(Spelled(lambda x: torch.relu(x).double()).eval(), x)
    ours = net.project(x, "last", channel=0, position=(1, 1)).full()
    assert ours.dtype == torch.float32
    assert_equal(ours, plain.project(x, "last", channel=0, position=(1, 1)).full())


class Autocast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dtype = dtype
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.pool, self.head = nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        with torch.autocast("cpu", self.dtype):
            x = self.pool(torch.relu(self.norm(self.second(x))))
            with torch.autocast("cpu", enabled=False):
                x = x.float() * 2
            x = self.head(x.mean((2, 3)))
        return x.float()


@pytest.mark.parametrize("size", [12, 64])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_inside_the_network_is_part_of_what_it_computes(dtype: torch.dtype, size: int):
    model, x = Autocast(dtype).eval(), images(torch.float32, size)
    for rules in ("deconvnet", "gradient"):
        net = DeconvNet(model, x, rules=rules)
        assert torch.equal(net.scores(x), model(x))
        leaf = x.clone().requires_grad_()
        if rules == "deconvnet":
            with Rectifying(DECONVNET):
                scores = model(leaf + 0)
        else:
            scores = model(leaf + 0)
        (truth,) = torch.autograd.grad(scores[:, 1].sum(), leaf)
        result = net.explain(x, 1, start="one").full()
        assert result.dtype == torch.float32
        assert_equal(result, truth, WIDTH[dtype])


class Counted(nn.Module):
    def __init__(self, count: Any) -> None:
        super().__init__()
        self.first, self.last, self.count = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 2), count

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.count(self.first(x)))


@pytest.mark.parametrize(
    ("count", "cut"),
    [(lambda x: (x * 10).long().float(), r"torch\.int64"), (lambda x: (x > 0).float(), r"aten\.gt.*torch\.bool")],
    ids=["whole numbers", "comparison"],
)
def test_where_whole_numbers_or_truth_values_cut_the_way_the_message_says_so(count: Any, cut: str):
    x = images(torch.float32)
    net = DeconvNet(Counted(count).eval(), x)
    with pytest.raises(ArgumentError, match=f"no signal travels from this layer down to the pixels: .*{cut}"):
        net.project(x, "last", channel=0)
    with pytest.raises(ArgumentError, match=f"from this layer down to the pixels: .*{cut}"):
        net.explain(x, (1, 0, 0))
    assert torch.equal(net.activations(x, "last")["last"], net.scores(x))
    assert net.project(x, "first", channel=0).full().any()
