"""Single units in windows: the same pictures as on whole maps, at borders too, whatever lies between."""

from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.attaching import attached
from support.choosing import NOT_REPEATED
from support.comparing import assert_equal
from support.networks import Network
from support.random_networks import built, convolutions, others, pools, random_networks
from support.windowed import RULES, SPREADING, corners, differs, windows_are
from torch import Tensor, nn

from deconvnet import DeconvNet, RuleSet, Unit, costs


def same_on_both_paths(net: DeconvNet, x: Tensor, layer: str, position: tuple[int, ...] | None) -> None:
    windowed, dense = (
        net.project(x, layer, channel="all", position=position, start="one", route=path)
        for path in ("windowed", "dense")
    )
    assert windowed.units == dense.units
    assert torch.equal(windowed.boxes, dense.boxes)
    assert_equal(windowed.windows, dense.windows)
    with windows_are("gathered"):
        all_at_once = net.project(x, layer, channel="all", position=position, start="one", route="windowed")
    assert torch.equal(all_at_once.windows, windowed.windows)


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize(
    ("network", "rules"),
    [(network, rules) for network in NOT_REPEATED for rules in RULES if differs(rules, network)],
    ids=lambda one: one.name,
)
def test_windows_give_what_whole_maps_give(network: Network, rules: RuleSet):
    net, x = attached(network.name, rules), network.images()
    for layer in network.layers:
        size = net.layers[layer].size
        for position in corners(size) if size else []:
            same_on_both_paths(net, x, layer, position)


@given(st.lists(st.one_of(convolutions(), pools(), others()), min_size=2, max_size=5), st.data())
@random_networks
def test_windows_whole_maps_and_autograd_agree_on_any_stack(builds, data):
    model, x = built(builds)
    x = torch.cat([x, x.flip(2)])
    net = DeconvNet(model, x, rules="gradient", smooth="gradient")
    leaf = x.clone().requires_grad_()
    top = model(leaf)
    position = tuple(data.draw(st.integers(0, n - 1)) for n in top.shape[2:])
    layer = str(len(model) - 1)
    (truth,) = torch.autograd.grad(top[(slice(None), 1, *position)].sum(), leaf)
    for path in ("windowed", "dense"):
        picture = net.project(x, layer, channel=1, position=position, start="one", route=path).full()
        assert_equal(picture, truth)
    units = [Unit(layer, 1, position, image) for image in range(2)]
    with mock.patch("deconvnet.engine.costs.Costs.sees_little", lambda self, units, images: True):
        assert_equal(net.project(x, layer, units=units, start="one").full(), truth)
        with windows_are("gathered"):
            assert_equal(net.project(x, layer, units=units, start="one").full(), truth)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("kind", SPREADING)
def test_a_step_that_enlarges_the_map_runs_in_windows_at_every_phase(kind: str):
    torch.manual_seed(0)
    between = SPREADING[kind]()
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2), between,
        nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 3, 2),
    ).double()  # fmt: skip
    x = torch.randn(2, 2, 33, 37, dtype=torch.float64)
    net = DeconvNet(model, x)
    of = costs(net, "6")
    assert (len(of.routes["windowed"].local) == len(of.way.down)) == (kind != "transposed with gaps")
    _, _, height, width = model(x).shape
    for y in range(height):
        for position in {(y, 0), (y, y % width), (y, width - 1)}:
            same_on_both_paths(net, x, "6", position)


def test_each_image_keeps_its_own_switches_also_where_units_are_mixed_and_split():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    x = torch.randn(3, 3, 48, 56)
    net = DeconvNet(model, x)
    dense = net.project(x, "7", channel="all", route="dense")
    for memory in ("1GB", "6MB"):
        for method in ("copied", "gathered"):
            with windows_are(method):
                windowed = net.project(x, "7", channel="all", route="windowed", memory=memory)
            assert windowed.units == dense.units
            assert_equal(windowed.windows, dense.windows)


@pytest.mark.parametrize(("size", "pool"), [((6, 2), nn.MaxPool2d(3, 2, 1)), ((6, 3), nn.MaxPool2d(5, 1, 2))])
def test_a_pooling_window_wider_than_its_map_keeps_its_switches_in_windows_too(size: tuple[int, int], pool: nn.Module):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(4, 3, 1)).double()
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    net = DeconvNet(model, x)
    for position in corners(net.layers["3"].size):
        same_on_both_paths(net, x, "3", position)


SLICES = {
    "every other": lambda x: x[:, :, ::2, ::2],
    "every third, from the second": lambda x: x[:, :, 1::3, 1::3],
    "without a border": lambda x: x[:, :, 2:-1, 1:-2],
    "from the end": lambda x: x[:, :, -7:, :-20],
    "one axis": lambda x: x[..., ::2],
    "maps too": lambda x: x[:, 1:4, 1::2],
}


class Shortcut(nn.Module):
    """A block of a residual network whose shortcut takes a slice of its maps and adds maps of zeros."""

    def __init__(self, slices: str) -> None:
        super().__init__()
        self.first, self.above, self.slices = nn.Conv2d(3, 4, 3, padding=1), nn.LazyConv2d(6, 3, padding=1), slices

    def forward(self, x: Tensor) -> Tensor:
        short = SLICES[self.slices](torch.relu(self.first(x)))
        short = nn.functional.pad(short, (0, 0, 0, 0, 1, 1))
        return torch.relu(self.above(nn.functional.max_pool2d(short, 2)))


@pytest.mark.parametrize("slices", SLICES)
def test_slices_of_maps_run_in_windows_and_keep_receptive_fields(slices: str):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 28, 26).double()
    model = Shortcut(slices).double()
    model(x)
    net = DeconvNet(model, x)
    (top,) = [layer for layer in net.layers if layer.startswith("/relu")][1:]
    info = net.layers[top]
    assert info.stride is not None and max(info.receptive_field) <= 22
    assert len(costs(net, top).routes["windowed"].local) == len(costs(net, top).way.down)
    for position in corners(info.size):
        same_on_both_paths(net, x, top, position)
        leaf = x.clone().requires_grad_()
        (support,) = torch.autograd.grad(model(leaf)[:, :, position[0], position[1]].sum(), leaf)
        low, high = net.project(x, top, channel=0, position=position, start="one").boxes[0].tolist()
        support[:, :, max(low[0], 0) : high[0], max(low[1], 0) : high[1]] = 0
        assert not support.any()
    units = [Unit(top, 1, position, image) for image in range(2) for position in corners(info.size)]
    truth = net.project(x, top, units=units).full()
    with mock.patch("deconvnet.engine.costs.Costs.sees_little", lambda self, units, images: True):
        assert_equal(net.project(x, top, units=units).full(), truth)
