"""Ways down are found once for each layer, end and rule set, and go with the capture that they are of."""

import torch
from support.comparing import assert_equal
from torch import nn

from deconvnet import DeconvNet, Unit
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
