"""A network of the same architecture with random weights."""

import pytest
import torch
from support.untouched import unchanged
from torch import Tensor, nn

from deconvnet import ArgumentError, DeconvNet
from deconvnet.probes.random_twin import random_twin, randomised, stages


def x(n: int = 1) -> Tensor:
    return torch.randn(n, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def model() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, groups=2), nn.ReLU()
    net = nn.Sequential(*body, nn.ConvTranspose2d(8, 4, 2), nn.PReLU(), nn.Flatten(), nn.Linear(144, 5))
    net[1].running_var.fill_(3)
    return net.double()


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return DeconvNet(model(), x(), smooth="rectify")


def test_a_twin_has_the_architecture_and_weights_of_its_own(net: DeconvNet):
    with unchanged(net.model):
        twin = random_twin(net, 3)
    assert repr(twin.model) == repr(net.model) and twin.rules == net.rules
    first, norm = twin.model.get_submodule("0"), twin.model.get_submodule("1")
    assert not first.bias.any() and first.weight.requires_grad and first.weight.dtype == torch.float64
    assert (norm.weight == 1).all() and not norm.bias.any()
    assert (norm.running_var == 1).all() and not norm.running_mean.any()
    assert not torch.equal(first.weight, net.model[0].weight)
    assert torch.equal(twin.model.get_parameter("7.weight"), net.model[7].weight)  # a slope is not a filter


def test_filters_are_drawn_with_variance_2_over_fan_in():
    wide = nn.Sequential(nn.Conv2d(16, 64, 5, groups=2), nn.ReLU(), nn.ConvTranspose2d(64, 40, 5, groups=4), nn.ReLU())
    layers = nn.Sequential(wide, nn.Flatten(), nn.Linear(40 * 36, 50))
    twin = random_twin(DeconvNet(layers, torch.zeros(1, 16, 6, 6))).model
    for name, fan_in in (("0.0", 8 * 25), ("0.2", 16 * 25), ("2", 1440)):
        weight = twin.get_parameter(f"{name}.weight")
        assert weight.var().item() == pytest.approx(2 / fan_in, rel=0.05)
        assert abs(weight.mean().item()) < 0.1 * fan_in**-0.5


def test_a_twin_gives_what_a_network_with_its_weights_gives(net: DeconvNet):
    twin = random_twin(net, 1)
    fresh = DeconvNet(twin.model, x(), smooth="rectify")
    for layer, channel in (("0", 2), ("7", 1), ("9", 4)):
        ours, theirs = (each.project(x(2), layer, channel=channel) for each in (twin, fresh))
        torch.testing.assert_close(ours.full(), theirs.full(), rtol=1e-12, atol=0)
    assert torch.equal(twin.scores(x()), twin.model(x()).detach())


def test_a_twin_is_not_captured_anew(net: DeconvNet, monkeypatch: pytest.MonkeyPatch):
    net.scores(x(2))
    monkeypatch.setattr("deconvnet.capture.trace.capture", lambda *_, **__: pytest.fail("captured"))
    assert random_twin(net).scores(x(2)).shape == (2, 5)


def test_a_twin_of_another_precision_computes_in_it_with_its_own_weights():
    net = DeconvNet(model(), x(), smooth="rectify", precision="float32")
    before = net.scores(x())
    twin = random_twin(net, 1)
    assert twin.scores(x()).dtype == torch.float32
    torch.testing.assert_close(twin.scores(x()).double(), twin.model(x()).detach(), rtol=1e-4, atol=1e-4)
    assert torch.equal(net.scores(x()), before)


def test_weights_depend_on_the_seed_and_the_name_alone(net: DeconvNet):
    whole, up_to, other = random_twin(net, 1), random_twin(net, 1, layer="3"), random_twin(net, 2)
    name = "0.weight"
    assert torch.equal(whole.model.get_parameter(name), up_to.model.get_parameter(name))
    assert not torch.equal(whole.model.get_parameter(name), other.model.get_parameter(name))
    assert torch.equal(up_to.model.get_parameter("4.weight"), net.model[4].weight)


def test_layers_come_in_order_with_the_norms_that_belong_to_them(net: DeconvNet):
    found = stages(net)
    assert [stage.name for stage in found] == ["0", "4", "6", "9"]
    assert {name for name, _ in found[0].constants} == {
        "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
    }  # fmt: skip
    assert [stage.name for stage in stages(net, "4")] == ["0", "4"]


def test_one_layer_alone_can_be_drawn(net: DeconvNet):
    changed = randomised(net, stages(net)[1:2], 1).model.state_dict()
    same = {name for name, weight in net.model.state_dict().items() if torch.equal(weight, changed[name])}
    assert net.model.state_dict().keys() - same == {"4.weight", "4.bias"}


def test_a_twin_of_a_model_that_was_changed_since_is_of_the_model_as_it_is():
    net = DeconvNet(model(), x(), smooth="rectify")
    net.model[5] = nn.Identity()
    twin = random_twin(net, 1)
    assert torch.equal(twin.scores(x()), twin.model(x()).detach())


def test_filters_that_are_computed_of_others_become_random():
    torch.manual_seed(0)
    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 6, 3))
    bound = nn.utils.parametrizations.spectral_norm(nn.Conv2d(6, 8, 3))
    net = DeconvNet(nn.Sequential(normed, nn.ReLU(), bound, nn.ReLU()), torch.zeros(1, 3, 16, 16))
    twin = random_twin(net)
    assert [stage.name for stage in stages(net)] == ["0", "2"]
    weight = twin.model.get_submodule("0").weight
    assert weight.flatten(1).norm(dim=1).tolist() == pytest.approx([1] * 6, abs=1e-5)
    assert not torch.equal(twin.model.get_submodule("2").weight, bound.weight)
    assert twin.project(x().float(), "3", channel=1).full().abs().max() > 0


class Functional(nn.Module):
    """Filters as parameters of the model itself: one twice, and one that is not learned."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared = nn.Parameter(torch.randn(4, 3, 3, 3)), nn.Parameter(torch.randn(4, 4, 3, 3))
        self.register_buffer("blur", torch.ones(4, 1, 3, 3))
        self.classes = nn.Parameter(torch.randn(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.conv2d(x, self.first).relu()
        for _ in range(2):
            x = nn.functional.conv2d(x, self.shared).relu()
        return nn.functional.conv2d(x, self.blur, groups=4).mean((2, 3)) @ self.classes


def test_filters_of_no_module_have_stages_too_and_those_that_are_not_learned_stay():
    net = DeconvNet(Functional(), torch.zeros(1, 3, 16, 16))
    assert [stage.name for stage in stages(net)] == ["first", "shared", "classes"]
    twin = random_twin(net)
    assert torch.equal(twin.model.get_buffer("blur"), net.model.get_buffer("blur"))
    assert not torch.equal(twin.model.get_parameter("classes"), net.model.get_parameter("classes"))


def test_a_network_without_filters_says_so():
    net = DeconvNet(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3)), torch.zeros(1, 3, 16, 16))
    with pytest.raises(ArgumentError, match="the way up to '1' does not have filters"):
        random_twin(net, layer="1")
    with pytest.raises(ArgumentError, match="the network does not have filters"):
        random_twin(DeconvNet(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), torch.zeros(1, 3, 16, 16)))
