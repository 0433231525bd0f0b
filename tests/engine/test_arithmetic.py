"""The type that is computed in, TF32 and determinism, as `DeconvNet` takes them."""

import pickle
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from support.comparing import assert_equal
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn import functional as F

from deconvnet import ArgumentError, CaptureError, DeconvNet, NotFiniteError, Unit, watch_activations
from deconvnet.core.paper import response_norm, response_norm_divisor

# largest difference to float64 over the largest value
WIDTH = {"float16": 5e-3, "bfloat16": 5e-2, "float32": 1e-5, "tf32": 1e-5, "float64": 1e-12}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)).eval()


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 14, 14, generator=torch.Generator().manual_seed(1))


def as_it_is(model: nn.Module) -> list[Any]:
    return [(name, t.dtype, t.data_ptr(), t._version, t.clone()) for name, t in model.state_dict().items()]


@cache
def exact() -> DeconvNet:
    return DeconvNet(network().double(), images().double())


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("precision", [*WIDTH])
def test_a_network_is_computed_in_the_type_that_was_asked_for_and_its_weights_stay(precision: Any):
    model, x = network(), images()
    before = as_it_is(model)
    net = DeconvNet(model, x, precision=precision)
    dtype = getattr(torch, precision.replace("tf32", "float32"))
    for route in ("dense", "windowed"):
        result = net.project(x, "5", channel=[1, 3], position=(2, 1), start="one", route=route)
        truth = exact().project(x.double(), "5", channel=[1, 3], position=(2, 1), start="one").full()
        assert result.windows.dtype == dtype
        assert_equal(result.full().double(), truth, WIDTH[precision])
    units = [Unit("5", 1, (2, 1), 1), Unit("5", 3, (0, 0), 0)]
    listed = net.project(x, "5", units=units).full().double()
    assert_equal(listed, exact().project(x.double(), "5", units=units).full(), WIDTH[precision])
    assert_equal(net.explain(x, 2).full().double(), exact().explain(x.double(), 2).full(), WIDTH[precision])
    assert net.activations(x, "2")["2"].dtype == dtype
    assert net.responsible(x, k=2).units.windows.dtype == dtype
    assert {step.signal.dtype for step in net.steps(x[:1])} == {dtype}
    for (name, *old), (_, *now) in zip(before, as_it_is(model), strict=True):
        assert old[:-1] == now[:-1] and torch.equal(old[-1], now[-1]), name


@pytest.mark.parametrize("precision", ["float16", "tf32"])
def test_the_notes_say_how_it_was_computed(precision: Any):
    net, x = DeconvNet(network(), images(), precision=precision), images()
    word = {"float16": "Computed in float16", "tf32": "TF32 was allowed"}[precision]
    for result in (net.project(x, "5", channel=1), net.explain(x), net.responsible(x, k=1), net.steps(x[:1])):
        assert any(word in note and f'precision="{precision}"' in note for note in result.notes)


def test_images_may_come_in_any_type_where_one_is_chosen():
    net, x = DeconvNet(network(), images(), precision="float16"), images()
    assert torch.equal(net.scores(x), net.scores(x.half()))
    assert torch.equal(net.scores(x.double()), net.scores(x))


def change_in_place(model: nn.Module) -> None:
    with torch.no_grad():
        model[0].weight.mul_(-1.5)


def replace_a_weight(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(model[0].weight.detach() * -1.5)


def point_to_another(model: nn.Module) -> None:
    model[0].weight.data = model[0].weight.detach() * -1.5


def assign(model: nn.Module) -> None:
    state = {**model.state_dict(), "0.weight": model[0].weight.detach() * -1.5}
    model.load_state_dict(state, assign=True)


def step_an_optimizer(model: nn.Module) -> None:
    model.zero_grad()
    model(images()).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def test_weights_that_change_are_converted_again():
    model, x = network(), images()
    net = DeconvNet(model, x, precision="bfloat16")
    before = net.scores(x)
    for change in (change_in_place, replace_a_weight, point_to_another, assign, step_an_optimizer, change_in_place):
        change(model)
        after = net.scores(x)
        assert not torch.equal(after, before)
        with torch.no_grad():
            assert_equal(after, deepcopy(model).bfloat16()(x.bfloat16()), 1e-2)
        before = after


class Tied(nn.Module):
    """One weight under two names, a tensor that is no parameter, and an index."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.second.weight = self.first.weight
        self.mean = torch.rand(1, 3, 1, 1)
        self.register_buffer("order", torch.tensor([2, 0, 1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.second_maps(x)[:, self.order]

    def second_maps(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x - self.mean)))


def test_tied_weights_and_tensors_that_are_not_parameters_are_converted_too():
    model, x = Tied().eval(), images()
    net = DeconvNet(model, x, precision="float64")
    assert_equal(net.activations(x, "second")["second"], deepcopy(model).double().second_maps(x.double()))
    assert net.project(x, "second", channel=1, start="one").full().dtype == torch.float64
    assert model.mean.dtype == torch.float32 and model.second.weight is model.first.weight


def test_a_network_that_is_sent_elsewhere_is_computed_there_as_here():
    net, x = DeconvNet(network(), images(), precision="float16", deterministic=True), images()
    again = pickle.loads(pickle.dumps(net))
    assert torch.equal(again.explain(x, 2).full(), net.explain(x, 2).full())
    assert net.with_rules("guided").explain(x, 2).windows.dtype == torch.float16


def test_numbers_too_large_for_float16_are_refused_where_they_come_in():
    model, x = network(), images()
    net = DeconvNet(model, x, precision="float16")
    with pytest.raises(
        NotFiniteError, match=r"the input holds 1e\+05, too large for torch.float16: compute in float32"
    ):
        net.explain(x.index_put((torch.tensor(0),) * 4, torch.tensor(1e5)))
    signal = torch.zeros_like(net.activations(x, "5")["5"], dtype=torch.float32)
    with pytest.raises(NotFiniteError, match=r"the signal to start from holds 1e\+06, too large for torch.float16"):
        net.project(x, "5", start=signal + 1e6)
    with torch.no_grad():
        model[1].running_var[2] = 7e4
    with pytest.raises(NotFiniteError, match=r"the weight '1.running_var' holds 7e\+04, too large for torch.float16"):
        net.explain(x)
    assert DeconvNet(model, x, precision="bfloat16").explain(x).full().isfinite().all()


class Divided(nn.Module):
    """Its maps are divided by what overflows in float16, so that they are finite again, and zero."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x)) + 1
        x = x / (x * x).mean(1, keepdim=True)
        return self.last(x)


def test_an_overflow_that_is_finite_again_further_up_is_told_by_layer():
    x = images()
    model = Divided().eval()
    net = DeconvNet(model, x, precision="float16", smooth="gradient")
    net.activations(x, "last")
    with torch.no_grad():
        model.first.weight.mul_(1000)
    for look in (lambda: net.project(x, "last", channel=1), lambda: net.activations(x, "last")):
        with pytest.raises(NotFiniteError, match=r"first appears at layer '.*mul.*float16: compute in float32"):
            look()
    wide = DeconvNet(model, x, precision="bfloat16", smooth="gradient").activations(x, "last")["last"]
    assert_equal(wide.double(), DeconvNet(model, x).activations(x, "last")["last"].double(), 5e-2)


def test_contrast_normalisation_of_half_floats_does_not_overflow():
    maps = images().abs() * 1000
    exact = F.local_response_norm(maps, 3, 1.0, 0.75, 2.0)
    assert_equal(response_norm(maps.half(), 3, 1.0, 0.75, 2.0).float(), exact, 2e-3)
    assert_equal(maps / response_norm_divisor(maps.half(), 3, 1.0, 0.75, 2.0), exact, 2e-3)


def test_an_overflow_on_the_way_down_is_told_by_layer():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 1, 1))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 100.0)
    nn.init.zeros_(model[0].bias)
    x = torch.full((1, 1, 6, 6), 1e-4)
    net = DeconvNet(model, x, precision="float16")
    for options in ({"start": torch.full((1, 1, 2, 2), 60.0)}, {"channel": 0, "position": (0, 0)}):
        factor = 1.0 if "start" in options else 1.5
        with torch.no_grad():
            model[3].bias.fill_(60.0 * factor)
        with pytest.raises(NotFiniteError, match=r"on the way down in torch.float16, first at .*: compute in float32"):
            net.project(x, "3", **options)


@pytest.mark.parametrize(("name", "value"), [("precision", "half"), ("precision", 16), ("deterministic", "yes")])
def test_odd_options_are_refused(name: str, value: Any):
    with pytest.raises(ArgumentError, match=name):
        DeconvNet(network(), images(), **{name: value})


class Casting(nn.Module):
    """Its code fixes a type that then meets another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.float())


def test_a_network_whose_code_fixes_a_type_is_refused_with_the_reason():
    with pytest.raises(CaptureError, match="cannot trace"):
        DeconvNet(Casting().eval(), images(), precision="float16")


@pytest.mark.parametrize(("precision", "deterministic"), [(None, False), ("tf32", True)])
def test_the_settings_hold_during_every_pass_and_are_put_back(precision: Any, deterministic: bool):
    cudnn.benchmark = True
    seen, shortened = [], (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision)

    def look(*_: Any) -> None:
        seen.append((cudnn.conv.fp32_precision == "tf32", cudnn.deterministic, cudnn.benchmark))

    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if not torch.compiler.is_exporting():
                look()
            return x

    try:
        model, x = nn.Sequential(*network(), Looking()), images()
        net = DeconvNet(model, x, precision=precision, deterministic=deterministic)
        watch_activations(net, x, ["2"], look)
        net.explain(x, 2, watch=look)
        net.project(x, "5", channel=1, watch=look)
    finally:
        after = (cudnn.deterministic, cudnn.benchmark)
        cudnn.benchmark = False
    assert len(seen) > 8 and set(seen) == {(precision == "tf32", deterministic, not deterministic)}
    assert after == (False, True) and shortened == (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision)
