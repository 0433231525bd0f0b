"""Layers whose feature maps stand in groups: a position then has an index of the group before those of the pixels."""

import pytest
import torch
from torch import Tensor, nn

from deconvnet import DeconvNet

AXES = (1, 2, 3)
CONVOLUTIONS, POOLS = (nn.Conv1d, nn.Conv2d, nn.Conv3d), (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


class Grouped(nn.Module):
    """The maps of a convolution in two groups of three, these the other way round, and what a convolution sees of all.

    Args:
        axes: of the images.
        goes_on: or the network ends with the groups.
    """

    def __init__(self, axes: int, *, goes_on: bool = True) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[axes - 1]
        self.body = nn.Sequential(convolution(2, 5, 3, 1, 1), nn.ReLU(), POOLS[axes - 1](2), convolution(5, 6, 3, 1, 1))
        self.head, self.goes_on = convolution(6, 4, 1), goes_on

    def forward(self, x: Tensor) -> Tensor:
        maps = self.body(x)
        groups = maps.view(maps.shape[0], 2, 3, *maps.shape[2:])
        return self.head(groups.transpose(1, 2).flatten(1, 2)) if self.goes_on else groups


def grouped(axes: int, **options: bool) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(axes)
        return Grouped(axes, **options).double().eval(), torch.randn(2, 2, *[12] * axes, dtype=torch.float64)


@pytest.mark.parametrize("rules", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("axes", AXES)
def test_a_unit_in_a_group_has_the_picture_that_it_has_on_its_own_map(axes: int, rules: str):
    model, x = grouped(axes)
    net = DeconvNet(model, x, rules=rules)
    at = (5, 1, 3)[:axes]
    for group, within in ((0, 2), (1, 0)):
        expected = net.project(x, "body.3", channel=3 * group + within, position=at).full()
        assert expected.abs().amax() > 0
        for layer, channel, index in (("/view", group, within), ("/transpose", within, group)):
            found = net.project(x, layer, channel=channel, position=(index, *at))
            torch.testing.assert_close(found.full(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("axes", AXES)
def test_an_answer_in_a_group_has_the_picture_that_it_has_on_its_own_map(axes: int):
    model, x = grouped(axes, goes_on=False)
    net = DeconvNet(model, x)
    at = (4, 2, 0)[:axes]
    expected = net.project(x, "body.3", channel=4, position=at, start="one").full()
    torch.testing.assert_close(net.explain(x, (1, 1, *at)).full(), expected, rtol=0, atol=1e-12)
    leaf = x.clone().requires_grad_()
    (own,) = torch.autograd.grad(model(leaf)[(slice(None), 1, 1, *at)].sum(), leaf)
    gradient = net.with_rules("gradient").explain(x, (1, 1, *at)).full()
    torch.testing.assert_close(gradient, own, rtol=0, atol=1e-12)


def test_a_unit_in_a_group_is_said_to_see_all_and_the_layers_above_what_they_see():
    net = DeconvNet(*grouped(2))
    for layer in ("/view", "/transpose"):
        assert net.layers[layer].receptive_field == (12, 12) and net.layers[layer].stride is None
    assert net.layers["head"].receptive_field == net.layers["body.3"].receptive_field == (8, 8)
