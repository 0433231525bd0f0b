"""What the page for users of Captum says of numbers, against Captum itself."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.classifier import images, maps, network
from support.comparing import assert_equal
from torch import Tensor, nn

from deconvnet import DeconvNet

attr = pytest.importorskip("captum.attr")
pytestmark = pytest.mark.filterwarnings("ignore")  # Captum says that it sets hooks and gradients


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return DeconvNet(network(), images())


def theirs(method: Any, *arguments: Any, **options: Any) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result: Tensor = method.attribute(images().requires_grad_(), *arguments, **options)
    return result.detach()


@pytest.mark.parametrize("target", [2, [2, 4], torch.tensor([2, 4])], ids=repr)
def test_a_target_means_what_it_means_in_captum(net: DeconvNet, target: Any):
    x = images()
    assert_equal(net.explain(x, target).full(), theirs(attr.Deconvolution(net.model), target=target))
    guided, exact = net.with_rules("guided"), net.with_rules("gradient").explain(x, target).full()
    assert_equal(guided.explain(x, target).full(), theirs(attr.GuidedBackprop(net.model), target=target))
    assert_equal(exact.abs(), theirs(attr.Saliency(net.model), target=target))
    assert_equal(exact * x, theirs(attr.InputXGradient(net.model), target=target))


@pytest.mark.parametrize("target", [(2, 3, 1), [(2, 3, 1), (0, 0, 5)]], ids=repr)
def test_a_target_of_maps_means_what_it_means_in_captum(target: Any):
    model = maps()
    ours = DeconvNet(model, images()).explain(images(), target).full()
    assert_equal(ours, theirs(attr.Deconvolution(model), target=target))


@pytest.mark.parametrize(
    ("rules", "method"),
    [("deconvnet", "NeuronDeconvolution"), ("guided", "NeuronGuidedBackprop"), ("gradient", "NeuronGradient")],
)
def test_a_unit_started_from_one_is_captums_neuron(net: DeconvNet, rules: str, method: str):
    ours = net.with_rules(rules).project(images(), "relu2", channel=3, position=(1, 2), start="one").full()
    assert_equal(ours, theirs(getattr(attr, method)(net.model, net.model.relu2), (3, 1, 2)))


def test_layers_are_captums(net: DeconvNet):
    x, layer = images(), net.model.relu2
    assert_equal(net.activations(x, "relu2")["relu2"], theirs(attr.LayerActivation(net.model, layer)))
    products = theirs(attr.LayerGradientXActivation(net.model, layer), target=2)
    result = net.with_rules("gradient").responsible(x, 2, layer="relu2", k=5)
    at = [(unit.image, unit.channel, *unit.position) for unit in result.units.units]
    assert_equal(result.contributions, torch.stack([products[place] for place in at]))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        fc: Callable[[Tensor], Tensor] = self.fc
        return fc(self.relu(torch.relu(self.conv(x)) - 0.1).mean((2, 3)))


def test_captum_misses_a_rectifier_that_is_a_function():
    torch.manual_seed(0)
    model = Functional().double().eval()
    ours = DeconvNet(model, images()).explain(images(), 1).full()
    assert (ours - theirs(attr.Deconvolution(model), target=1)).abs().max() > 0.1 * ours.abs().max()
