"""What is kept of forward passes is all that the way down of single units needs: the pictures of whole passes."""

import numpy as np
import pytest
import torch
from support.attaching import attached, silent_units_are_fine
from support.choosing import NOT_REPEATED
from support.comparing import assert_equal
from support.networks import Network
from support.windowed import RULES, SPREADING, some_units
from torch import Tensor, nn

from deconvnet import DeconvNet, Unit
from deconvnet.engine.activations import watch_activations
from deconvnet.engine.unit_memory import UnitMemory
from deconvnet.network import attached as attached_to


def filled(net: DeconvNet, x: Tensor, units: list[Unit], rows: list[int], memory: UnitMemory) -> None:
    """Each unit in its row, from a pass over all images."""
    trace = watch_activations(attached_to(net), x, [units[0].layer], lambda *_: None, memory.chosen)
    for row, unit in zip(rows, units, strict=True):
        memory.put(row, trace, unit)


def kept_gives_the_same(net: DeconvNet, x: Tensor, layer: str) -> bool:
    """Whether the layer's units can be kept; if so, their pictures are those of whole passes."""
    units = [unit for unit in some_units(net, layer, len(x)) if unit.position is not None]
    room = UnitMemory(attached_to(net), layer, 2 * len(units))
    if not room.suffices:
        return False
    whole = net.project(x, layer, units=units, route="dense")
    strengths = whole.activations.abs().tolist()
    order = [2 * i for i in range(len(units))]
    filled(net, x, units, order, room)
    first = room.project(np.array(order), units, strengths)
    assert torch.equal(first.boxes, whole.boxes)
    assert_equal(first.windows, whole.windows)
    order = [len(units) - i for i in range(len(units))]  # other rows, a batch in another order, over what was there
    images = torch.arange(len(x)).flip(0)
    turned = [Unit(layer, unit.channel, unit.position, len(x) - 1 - unit.image) for unit in units]
    filled(net, x[images], turned, order, room)
    assert torch.equal(room.project(np.array(order), units, strengths).windows, first.windows)
    return True


@pytest.mark.sampled(every=2)
@silent_units_are_fine
@pytest.mark.parametrize("network", NOT_REPEATED, ids=lambda network: network.name)
def test_units_of_any_network_are_the_same_when_kept(network: Network):
    net, x = attached(network.name), network.images()
    for layer in network.layers:
        if net.layers[layer].size:
            kept_gives_the_same(net, x, layer)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.name)
def test_units_are_the_same_when_kept_whatever_the_rules_remember(rules):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(3),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.BatchNorm2d(8).eval(), nn.ReLU6(), nn.MaxPool2d(2, 2, 1),
        nn.Conv2d(8, 6, 2, padding=1), nn.ReLU(),
    ).double()  # fmt: skip
    x = torch.randn(3, 3, 61, 53, dtype=torch.float64)
    net = DeconvNet(model, x, rules=rules)
    kept = [kept_gives_the_same(net, x, layer) for layer in ("1", "6", "9")]
    assert all(kept) or rules.unpool != "switches"


@pytest.mark.parametrize("kind", SPREADING)
def test_units_above_steps_that_enlarge_are_the_same_when_kept(kind: str):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2), SPREADING[kind](), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()
    ).double()  # fmt: skip
    x = torch.randn(2, 2, 33, 37, dtype=torch.float64)
    kept_gives_the_same(DeconvNet(model, x), x, "5")


def test_units_that_need_whole_maps_are_not_kept():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    net = DeconvNet(model, torch.zeros(1, 3, 12, 12))
    assert not UnitMemory(attached_to(net), "4", 1).suffices
    assert UnitMemory(attached_to(net), "1", 1).suffices


def test_a_row_takes_as_many_bytes_as_was_said():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.ReLU())
    x = torch.randn(1, 3, 20, 20)
    room = UnitMemory(attached_to(DeconvNet(model, x)), "4", 7)
    assert room.nbytes == 7 * 4 * 3 * 3
    filled(DeconvNet(model, x), x, [Unit("4", 0, (3, 3), 0)], [0], room)
    assert sum(t.nbytes for memory in room._memory.values() for t in memory.values()) == room.nbytes
