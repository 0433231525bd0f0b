"""Ways down are found once for each layer, end and rule set, and go with the capture that they are of."""

import pytest
import torch
from support.comparing import assert_equal
from torch import nn

from deconvnet import ArgumentError, DeconvNet, Unit
from deconvnet.network import attached


def named_twice() -> tuple[DeconvNet, torch.Tensor]:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    x = torch.randn(2, 3, 12, 12)
    return DeconvNet(nn.Sequential(inner, nn.Conv2d(4, 2, 3)).eval(), x), x


def test_a_layer_with_two_names_goes_by_the_one_that_was_given():
    net, x = named_twice()
    pictures = []
    for name in ("0", "0.1", "0"):
        result = net.project(x, name, channel=1)
        assert {unit.layer for unit in result.units} == {name}
        assert net.project(x, name, units=[Unit(name, 1, (2, 3), 0)]).units[0].layer == name
        pictures.append(result.full())
    assert_equal(pictures[0], pictures[1])


def test_a_way_down_is_found_once():
    net, x = named_twice()
    held = attached(net)
    graph = held.captures.graph(x)
    first = held.costs(graph, "1")
    assert held.costs(graph, "1") is first
    assert held.costs(graph, "1", "0.0") is not first
    assert attached(net.with_rules("guided")).costs(graph, "1") is not first
    assert attached(net.with_rules("guided").with_rules("deconvnet")).costs(graph, "1") is first


def test_units_carried_down_to_their_own_layer_stay_where_they_are():
    net, x = named_twice()
    units = [Unit("0.1", 1, (2, 3), 0), Unit("0.1", 0, (9, 9), 1)]
    result = net.project(x, "0.1", units=units, to="0.1", start="one").full()
    truth = torch.zeros(2, 4, 10, 10)
    truth[0, 1, 2, 3] = truth[1, 0, 9, 9] = 1
    assert torch.equal(result, truth)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.squeeze, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.conv(x)
        return self.head(maps * self.squeeze(maps.mean((2, 3), keepdim=True)).relu())


def test_a_layer_inside_a_gate_that_is_a_constant_is_not_reached():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 12, 12)
    net = DeconvNet(Gated().eval(), x)
    for call in (
        lambda: net.project(x, "head", channel=0, to="squeeze"),
        lambda: net.steps(x, "head", channel=0, to="squeeze"),
    ):
        with pytest.raises(ArgumentError, match="no signal travels from 'head' down to the layer"):
            call()
    assert net.with_rules("gradient").project(x, "head", channel=0, to="squeeze").full().any()
