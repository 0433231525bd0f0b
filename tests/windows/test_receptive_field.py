"""A unit's box holds all that reaches the unit, and no more than a stack of windows can hold."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.random_networks import INPUT, Build, built, convolutions, others, pools, random_networks
from torch import Tensor, nn

from deconvnet import DeconvNet

# torch's own word on kernels of even length with padding="same"
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def supports(model: nn.Module, x: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
    """For some positions of the output, in all corners, which pixels its value there depends on."""
    leaf = x.clone().requires_grad_()
    maps = model(leaf).sum((0, 1))
    height, width = maps.shape
    found = []
    for y in sorted({0, 1, height // 2, height - 1}):
        for z in sorted({0, width // 3, width - 2, width - 1}):
            (signal,) = torch.autograd.grad(maps[y, z], leaf, retain_graph=True)
            found.append(((y, z), signal[0].abs().sum(0) > 0))
    return found


def boxes(net: DeconvNet, x: Tensor, positions: list[tuple[int, int]]) -> list[list[list[int]]]:
    """The box of a unit at each position."""
    last = str(len(net.model) - 1)
    return [net.project(x, last, channel=0, position=p, start="one").boxes[0].tolist() for p in positions]


@random_networks
@given(st.lists(st.one_of(convolutions(), pools(), others()), min_size=1, max_size=5))
def test_a_units_box_holds_all_that_reaches_the_unit(builds: list[Build]):
    model, x = built(builds)
    net = DeconvNet(model, x, rules="gradient")
    seen = supports(model, x)
    for (_, support), (low, high) in zip(seen, boxes(net, x, [p for p, _ in seen]), strict=True):
        outside = support.clone()
        outside[max(low[0], 0) : max(high[0], 0), max(low[1], 0) : max(high[1], 0)] = False
        assert not outside.any()


@random_networks
@given(st.lists(st.one_of(convolutions(), pools(), others()), min_size=1, max_size=5))
def test_a_box_cuts_nothing_off_a_picture(builds: list[Build]):
    model, x = built(builds)
    net, last = DeconvNet(model, x, rules="gradient"), str(len(model) - 1)
    leaf = x.clone().requires_grad_()
    values = model(leaf)
    for y, z in ((0, 0), (values.shape[2] // 2, 1), (-1, -1)):
        (signal,) = torch.autograd.grad(values[0, 0, y, z], leaf, retain_graph=True)
        picture = net.project(x, last, channel=0, position=(y, z), start="one").full()
        assert (picture - signal).abs().max() <= 1e-10 * signal.abs().max()


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("enlarge", ["transposed", "nearest", "bilinear"])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_box_above_a_step_that_enlarges_maps_is_tight(enlarge: str, factor: int, stride: int):
    between = {
        "transposed": lambda: nn.ConvTranspose2d(2, 2, factor + 1, factor, 1),
        "nearest": lambda: nn.Upsample(scale_factor=factor),
        "bilinear": lambda: nn.Upsample(scale_factor=factor, mode="bilinear"),
    }[enlarge]
    model = nn.Sequential(nn.Conv2d(2, 2, 3, 2), between(), nn.Conv2d(2, 2, 2, stride)).double()
    for weight in model.parameters():
        nn.init.ones_(weight)
    x = torch.randn(1, 2, *INPUT, dtype=torch.float64)
    net, leaf = DeconvNet(model, x), x.clone().requires_grad_()
    maps, longest = model(leaf).sum((0, 1)), [0, 0]
    for y, z in zip(*(range(factor, length - factor) for length in maps.shape), strict=False):
        (signal,) = torch.autograd.grad(maps[y, z], leaf, retain_graph=True)
        (_, _, rows, columns), ((low, high),) = signal.nonzero().T, boxes(net, x, [(y, z)])
        assert [int(rows.min()), int(columns.min())] == low
        assert [int(rows.max()), int(columns.max())] <= [pixel - 1 for pixel in high]
        longest = [max(n, int(at.max() - at.min()) + 1) for n, at in zip(longest, (rows, columns), strict=True)]
    assert net.layers["2"].receptive_field == tuple(longest)


def all_that_can_reach(model: nn.Sequential) -> nn.Sequential:
    """The same geometry with every filter positive and every pool an average: nothing cancels."""
    layers: list[nn.Module] = []
    for module in model:
        if isinstance(module, nn.MaxPool2d):
            layers.append(nn.AvgPool2d(module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode))
        elif isinstance(module, nn.Conv2d):
            twin = nn.Conv2d(2, 2, module.kernel_size, module.stride, module.padding, module.dilation, bias=False)
            nn.init.ones_(twin.weight)
            layers.append(twin)
        else:
            layers.append(module)
    return nn.Sequential(*layers).double()


@random_networks
@given(st.lists(st.one_of(convolutions(), pools()), min_size=1, max_size=4))
def test_a_box_in_a_stack_of_convolutions_and_pools_is_tight(builds: list[Build]):
    model, x = built(builds)
    net = DeconvNet(model, x, rules="gradient")
    last = str(len(model) - 1)
    field = net.layers[last].receptive_field
    seen = supports(all_that_can_reach(model), x)
    for (_, support), (low, high) in zip(seen, boxes(net, x, [p for p, _ in seen]), strict=True):
        assert tuple(b - a for a, b in zip(low, high, strict=True)) == field
        inside = min(low) >= 0 and high[0] <= INPUT[0] and high[1] <= INPUT[1]
        if inside:
            rows, columns = support.any(1).nonzero().flatten(), support.any(0).nonzero().flatten()
            assert [[int(rows[0]), int(columns[0])], [int(rows[-1]) + 1, int(columns[-1]) + 1]] == [low, high]


@pytest.mark.parametrize(
    ("layers", "field", "stride", "first"),
    [
        ([nn.Conv2d(2, 2, 7, 2, 1)], (7, 7), (2.0, 2.0), (-1, 6)),
        ([nn.Conv2d(2, 2, 7, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2)], (11, 11), (4.0, 4.0), (-1, 10)),
        ([nn.Conv2d(2, 2, 3, dilation=3)], (7, 7), (1.0, 1.0), (0, 7)),
        ([nn.Conv2d(2, 2, 3, padding="same")], (3, 3), (1.0, 1.0), (-1, 2)),
        ([nn.AvgPool2d(2), nn.Conv2d(2, 2, 3, padding=1)], (6, 6), (2.0, 2.0), (-2, 4)),
        ([nn.AvgPool2d(2), nn.Upsample(scale_factor=2)], (2, 2), (1.0, 1.0), (0, 2)),
        ([nn.Conv2d(2, 2, 5, 2), nn.ConvTranspose2d(2, 2, 2, 2)], (5, 5), (1.0, 1.0), (0, 5)),
        ([nn.Conv2d(2, 2, 4, 2, 1), nn.ConvTranspose2d(2, 2, 3, 2, 1)], (6, 6), (1.0, 1.0), (-1, 5)),
        ([nn.ConvTranspose2d(2, 2, 2, 2), nn.Conv2d(2, 2, 2, 2)], (1, 1), (1.0, 1.0), (0, 1)),
        ([nn.Upsample(scale_factor=3, mode="bilinear"), nn.Conv2d(2, 2, 1, 3, 1)], (2, 2), (1.0, 1.0), (-1, 1)),
        ([nn.BatchNorm2d(2), nn.LocalResponseNorm(2), nn.Dropout(), nn.ReLU()], (1, 1), (1.0, 1.0), (0, 1)),
        ([nn.ChannelShuffle(2), nn.Conv2d(2, 2, 2, 2)], (2, 2), (2.0, 2.0), (0, 2)),
    ],
    ids=[
        "conv",
        "conv and pool",
        "dilated",
        "same",
        "avg pool",
        "down and up",
        "down and transposed up",
        "overlapping",
        "up and down",
        "blended",
        "one by one",
        "shuffle",
    ],
)
def test_fields_known_by_heart(layers: Any, field: Any, stride: Any, first: tuple[int, int]):
    x = torch.randn(1, 2, 24, 24, dtype=torch.float64)
    net = DeconvNet(nn.Sequential(*layers).double().eval(), x)
    last = str(len(layers) - 1)
    assert net.layers[last].receptive_field == field
    assert net.layers[last].stride == stride
    (box,) = net.project(x, last, channel=0, position=(0, 0), start="one").boxes.tolist()
    assert box == [[first[0]] * 2, [first[1]] * 2]


def test_where_a_branch_pools_everything_units_see_the_whole_input():
    class Global(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y + y.mean((2, 3), keepdim=True)

    x = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    net = DeconvNet(nn.Sequential(Global()).double(), x)
    assert net.layers["0"].receptive_field == (12, 12)
    assert net.layers["0.conv"].receptive_field == (3, 3)


def test_a_gate_that_is_a_constant_does_not_widen_the_field():
    class Excite(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.squeeze = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y * self.squeeze(y.mean((2, 3), keepdim=True)).sigmoid()

    x = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    net = DeconvNet(nn.Sequential(Excite()).double(), x)
    assert net.layers["0"].receptive_field == (3, 3)
    assert net.with_rules("gradient", smooth="gradient").layers["0"].receptive_field == (12, 12)


def test_fully_connected_units_see_the_whole_input():
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    net = DeconvNet(nn.Sequential(nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(32, 3)).double(), x)
    assert net.layers["2"].receptive_field == (6, 6)
    assert net.project(x, "2", channel=0).boxes.tolist() == [[[0, 0], [6, 6]]]


@pytest.mark.parametrize("axes", [1, 3])
def test_along_a_line_and_in_space(axes: int):
    conv, pool = {1: (nn.Conv1d, nn.MaxPool1d), 3: (nn.Conv3d, nn.AvgPool3d)}[axes]
    model = nn.Sequential(conv(1, 2, 3, stride=2, padding=1), pool(2), conv(2, 1, 2)).double()
    x = torch.randn(1, 1, *[16] * axes, dtype=torch.float64)
    net = DeconvNet(model, x)
    assert net.layers["2"].receptive_field == (9,) * axes
    (box,) = net.project(x, "2", channel=0, position=(1,) * axes, start="one").boxes.tolist()
    assert box == [[3] * axes, [12] * axes]
