"""The strongest ten lines of PyTorch carry down what a deconvnet carries down."""

import sys

import peers
import pytest
import torch
import torch.nn.functional as F
from support.comparing import assert_equal
from torch import Tensor, nn

from deconvnet import DeconvNet, Unit


class Network(nn.Module):
    """Rectifiers as modules, in place and not, and as functions; a skip; overlapping poolings; batch norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
        self.left, self.right = nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
        self.top = nn.Conv2d(6, 5, 3)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.right(self.left(F.relu(x - 0.1)) + x)
        return self.head(F.relu(self.top(x)).mean((2, 3)))


@pytest.fixture
def network() -> nn.Module:
    return Network().double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def net(photos: Tensor) -> DeconvNet:
    return DeconvNet(Network().double().eval().requires_grad_(False), photos)


@pytest.mark.parametrize("way", peers.WAYS)
@pytest.mark.parametrize("layer", ["stem.2", "right", "top"])
def test_units_in_ten_lines_are_a_deconvnets(net: DeconvNet, photos: Tensor, layer: str, way: peers.Way):
    x = photos[:1]
    ours = net.project(x, layer, channel="all")
    units = torch.tensor([(unit.channel, *unit.position) for unit in ours.units])
    pictures = peers.TenLines(peers.up_to(net.model, layer), x, units, way, 4)()
    positive = ours.activations > 0  # we start from the magnitude of a negative one
    assert positive.sum() > 1 and len(pictures) == len(ours.units)
    assert_equal(ours.full()[positive], pictures[positive])


def test_a_unit_of_each_photo_in_ten_lines_is_a_deconvnets(net: DeconvNet, photos: Tensor):
    ours = net.project(photos, "right", channel=3)
    units = torch.tensor([(unit.channel, *unit.position) for unit in ours.units])
    assert_equal(ours.full(), peers.carried(peers.up_to(net.model, "right"), photos, units))


def test_a_class_in_ten_lines_is_a_deconvnets(net: DeconvNet, photos: Tensor):
    ours = net.explain(photos[:1], 2)
    assert_equal(ours.full(), peers.class_lines(net.model, photos[:1], 2)())


def test_nothing_above_the_layer_is_computed(network: nn.Module, photos: Tensor):
    network.head = None  # would fail
    assert peers.up_to(network, "top")(photos).shape == (2, 5, 4, 4)


def test_the_network_and_pytorch_are_as_before_after_an_error_as_well(network: nn.Module, photos: Tensor):
    relu, whole = F.relu, network(photos)
    peers.up_to(network, "right")(photos)
    with pytest.raises(RuntimeError):
        peers.up_to(network, "right")(photos[:, :2])
    assert F.relu is relu and torch.equal(network(photos), whole)


def test_without_captum_there_is_one_peer(net: DeconvNet, photos: Tensor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert peers.captum_class(net.model, photos[:1], 2) is None
    assert peers.captum_units(net.model, "right", photos[:1], [Unit("right", 0, (1, 1), 0)]) is None


def test_numbers_at_a_time_that_do_not_fit_into_memory_are_left_out(net: DeconvNet, photos: Tensor, monkeypatch):
    units = net.project(photos[:1], "right", channel="all").units
    call = peers.TenLines.__call__

    def full(lines: peers.TenLines) -> Tensor:
        if lines.way == "batched" or lines.chunk > 4:
            raise torch.OutOfMemoryError("full")
        return call(lines)

    monkeypatch.setattr(peers.TenLines, "__call__", full)
    lines = peers.ten_lines(net.model, "right", photos[:1], units)
    assert lines.way == "repeated" and lines.chunk <= 4 and len(lines()) == len(units)


def test_a_peer_without_memory_for_one_unit_says_so(net: DeconvNet, photos: Tensor, monkeypatch):
    units = net.project(photos[:1], "right", channel=0).units

    def full(lines: peers.TenLines) -> Tensor:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(peers.TenLines, "__call__", full)
    with pytest.raises(MemoryError, match="do not fit into memory for one unit of right"):
        peers.ten_lines(net.model, "right", photos[:1], units)
