"""Passes over images: numbers that are not finite, units of several layers."""

from pathlib import Path

import pytest
import torch
from support.attaching import attached, silent_units_are_fine
from support.choosing import NOT_REPEATED
from support.classifier import classifier, images, maps, network
from support.comparing import assert_equal
from support.networks import Network
from support.windowed import RULES, SPREADING, deep, some_units
from torch import Tensor, nn

from deconvnet import (
    DeconvNet,
    NotFiniteError,
    RuleSet,
    Unit,
    costs,
    load_model,
)
from deconvnet.engine.project import project_units
from deconvnet.network import attached as attached_to


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return classifier()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_input_that_is_not_finite_is_refused(net: DeconvNet, value: float):
    x = images()
    x[1, 2, 3, 4] = value
    for call in (
        lambda: net.project(x, "relu2", channel=0),
        lambda: net.explain(x, 0),
        lambda: net.activations(x, "conv1"),
        lambda: net.scores(x),
    ):
        with pytest.raises(NotFiniteError, match=rf"the input holds {value} at index \(1, 2, 3, 4\)"):
            call()


def test_an_infinity_that_a_rectifier_hides_is_refused_too():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1)).double()
    nn.init.ones_(model[0].weight)
    x = torch.ones(1, 1, 4, 4).double()
    x[0, 0, 1, 1] = float("-inf")
    net = DeconvNet(model, x)
    with pytest.raises(NotFiniteError, match=r"the input holds -inf at index \(0, 0, 1, 1\)"):
        net.project(x, "2", channel=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("conv2.weight", float("nan")), ("conv1.bias", float("inf")), ("fc.weight", float("inf"))],
)
def test_a_weight_that_is_not_finite_is_named(name: str, value: float):
    model = network()
    net = DeconvNet(model, images())
    with torch.no_grad():
        model.get_parameter(name).view(-1)[1] = value
    with pytest.raises(NotFiniteError, match=rf"the weight '{name}' holds NaN or infinity; load"):
        net.explain(images(), targets="all")


def test_a_weight_that_is_not_finite_and_hidden_by_a_rectifier_is_named():
    model = network()
    net = DeconvNet(model, images())
    with torch.no_grad():
        model.conv1.bias[1] = float("-inf")
    with pytest.raises(NotFiniteError, match=r"the weight 'conv1\.bias' holds NaN or infinity"):
        net.explain(images(), 1)


class Bounded(nn.Module):
    """Bounds that are infinite until they are set, and a mask of attention: buffers that hold infinity by design."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.query, self.key, self.last = nn.Conv2d(3, 8, 7, 7), *(nn.Linear(8, 8) for _ in range(3))
        self.norm = nn.BatchNorm2d(8)
        self.register_buffer("high", torch.tensor(torch.inf))
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))

    def forward(self, x):
        tokens = torch.clamp(self.norm(self.patches(x)), -self.high, self.high).flatten(2).transpose(1, 2)
        shares = (self.query(tokens) @ self.key(tokens).transpose(1, 2) + self.mask).softmax(-1)
        return self.last(shares @ tokens).mean(1)


def test_buffers_that_bound_and_mask_may_hold_infinity():
    torch.manual_seed(0)
    model, x = Bounded().double().eval(), images()
    net = DeconvNet(model, x, rules="gradient", smooth="gradient")
    leaf = x.clone().requires_grad_()
    (signal,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    assert_equal(net.explain(x, 1).full(), signal)


@pytest.mark.parametrize(("name", "value"), [("mask", float("nan")), ("norm.running_var", float("inf"))])
def test_a_buffer_that_is_not_finite_and_should_be_is_named(name: str, value: float):
    model = Bounded().double().eval()
    net = DeconvNet(model, images(), rules="gradient")
    model.get_buffer(name).view(-1)[1] = value
    with pytest.raises(NotFiniteError, match=rf"the weight '{name}' holds NaN or infinity"):
        net.explain(images(), 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_an_overflow_on_the_way_up_names_its_layer(dtype: torch.dtype):
    model = maps().to(dtype)
    with torch.no_grad():
        model[0].weight.mul_(50)
        model[3].weight.fill_(torch.finfo(dtype).max)
    x = images().to(dtype)
    net = DeconvNet(model, x)
    with pytest.raises(NotFiniteError, match=rf"first appears at layer '3' \(aten\.conv2d\).* in {dtype}"):
        net.project(x, "3", channel=0)
    assert torch.isfinite(net.activations(x, "2")["2"]).all()


def test_an_overflow_on_the_way_down_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 1, 1)).half()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 100.0)
    nn.init.zeros_(model[0].bias)
    x = torch.full((1, 1, 6, 6), 1e-4).half()
    net = DeconvNet(model, x)
    with pytest.raises(NotFiniteError, match="on the way down"):
        net.project(x, "3", start=torch.full((1, 1, 2, 2), 60.0).half())


@pytest.mark.filterwarnings("ignore:.*activation 0:deconvnet.DeconvNetWarning")
@pytest.mark.parametrize(("several", "start"), [(1, "activation"), (12, "activation"), (1, "one"), (12, "one")])
def test_units_of_several_layers_are_what_project_gives_for_each_layer(several, start):
    loaded = load_model("zfnet-mini")
    net = DeconvNet(loaded.model, loaded.example_input)
    x = loaded.preprocess.images(["sample:chelsea", "sample:rocket"])
    listed = [
        Unit(layer, channel, position, channel % 2)
        for channel in range(several)
        for layer, position in (("relu3", (channel % 8, 5)), ("relu1", (60, channel)), ("relu6", ()))
    ]
    groups = list(project_units(attached_to(net), x, listed, most=10**9, start=start))
    assert [listed[indices[0]].layer for indices, _ in groups] == ["relu3", "relu1", "relu6"]
    for indices, result in groups:
        layer, of_layer = listed[indices[0]].layer, [listed[i] for i in indices]
        assert list(result.units) == of_layer == [unit for unit in listed if unit.layer == layer]
        alone = net.project(x, layer, units=of_layer, route="dense", start=start)
        torch.testing.assert_close(result.activations, alone.activations)
        size = float(alone.full().abs().max())
        torch.testing.assert_close(result.full(), alone.full(), rtol=0, atol=1e-5 * size)


@pytest.mark.filterwarnings("ignore:.*activation 0:deconvnet.DeconvNetWarning")
def test_units_of_layers_that_see_little_need_no_pass_over_their_images(monkeypatch):
    loaded = load_model("zfnet-mini")
    net = DeconvNet(loaded.model, loaded.example_input)
    x = loaded.preprocess.images("sample:chelsea")
    monkeypatch.setattr(
        "deconvnet.engine.project.finite_forward", lambda *a: pytest.fail("a pass over the whole image")
    )
    units = [Unit("relu1", 3, (4, 4), 0), Unit("relu2", 3, (4, 4), 0)]
    assert len(list(project_units(attached_to(net), x, units, most=10**9))) == 2


EXAMPLES = Path(__file__).parents[2] / "examples"


def alone(net: DeconvNet, x: Tensor, layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed units from a pass over what each sees equal those from whole images, whatever is thought to pay."""
    units = some_units(net, layer, len(x))
    whole = net.project(x, layer, units=units, route="dense")
    with monkeypatch.context() as patch:
        patch.setattr("deconvnet.engine.costs.Costs.sees_little", lambda self, units, images: True)
        patch.setattr("deconvnet.engine.passes.finite_forward", None)  # no pass over a whole image
        seen = net.project(x, layer, units=units)
    assert seen.units == whole.units == tuple(units)
    assert_equal(seen.activations, whole.activations)
    assert_equal(seen.windows, whole.windows)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.name)
def test_a_pass_over_what_a_unit_sees_gives_what_the_whole_image_gives(rules: RuleSet, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(3),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.BatchNorm2d(8).eval(), nn.ReLU6(), nn.MaxPool2d(2, 2, 1),
        nn.Conv2d(8, 8, (1, 3), padding=(0, 1)), nn.ReLU(), nn.AvgPool2d(2, 1),
        nn.Conv2d(8, 6, 2, padding=1), nn.ReLU(),
    ).double()  # fmt: skip
    x = torch.randn(3, 3, 61, 53, dtype=torch.float64)
    net = DeconvNet(model, x, rules=rules)
    for layer in ("3", "6", "12"):
        if rules.unpool == "switches":
            alone(net, x, layer, monkeypatch)
        else:  # the middle of a pooling window at the border is another one
            units = some_units(net, layer, len(x))
            assert_equal(*(net.project(x, layer, units=units, route=path).windows for path in ("auto", "dense")))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("network", NOT_REPEATED, ids=lambda network: network.name)
@silent_units_are_fine
def test_listed_units_are_the_same_from_any_network(network: Network, monkeypatch):
    net, x = attached(network.name), network.images()
    for layer in network.layers:
        if not net.layers[layer].size:
            continue
        if costs(net, layer).up:
            alone(net, x, layer, monkeypatch)
        else:
            units = some_units(net, layer, len(x))
            whole, windowed = (net.project(x, layer, units=units, route=path) for path in ("dense", "auto"))
            assert_equal(windowed.windows, whole.windows)


@pytest.mark.parametrize("kind", [kind for kind in SPREADING if kind != "transposed with gaps"])
def test_a_pass_over_what_a_unit_sees_goes_through_steps_that_enlarge(kind: str, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2), SPREADING[kind](), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()
    ).double()  # fmt: skip
    x = torch.randn(2, 2, 33, 37, dtype=torch.float64)
    alone(DeconvNet(model, x), x, "5", monkeypatch)


@pytest.mark.sampled(every=3)
@silent_units_are_fine
@pytest.mark.parametrize("size", [127, *(pytest.param(size, marks=pytest.mark.slow) for size in (128, 150))])
@pytest.mark.parametrize(
    ("spec", "layer"),
    [
        ("torchvision:squeezenet1_1@random", "features.7"),
        pytest.param(f"{EXAMPLES / 'googlenet.py'}:googlenet", "i4a", marks=pytest.mark.slow),
    ],
)
def test_networks_with_pools_in_ceil_mode_see_the_same_at_any_size(spec: str, layer: str, size: int, monkeypatch):
    torch.manual_seed(0)
    model = load_model(spec, size=size, mean=(0, 0, 0), std=(1, 1, 1)).model.double()
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    alone(DeconvNet(model, x), x, layer, monkeypatch)


def test_few_units_of_many_images_run_on_what_they_see_and_many_of_one_on_the_image(monkeypatch):
    net, x = deep()
    few = [Unit("4", c, (20, 20), image) for image in range(4) for c in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr("deconvnet.engine.passes.finite_forward", None)
        net.project(x, "4", units=few)
    many = [Unit("4", c, (y, y), 0) for c in range(16) for y in range(48)]
    monkeypatch.setattr("deconvnet.engine.passes.forward_in_windows", None)
    net.project(x, "4", units=many)
    with pytest.raises(TypeError):
        net.project(x, "4", units=few)
