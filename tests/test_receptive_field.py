"""A unit's box holds all that reaches the unit, and no more than a stack of windows can hold."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from deconvnet import DeconvNet

# torch's own word on kernels of even length with padding="same"
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
INPUT = (19, 22)
random_networks = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

Build = Callable[[], nn.Module]

pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw: Any) -> Build:
    kernel, stride = draw(pairs), draw(strides)
    padding, dilation = draw(st.tuples(*[st.integers(0, 2)] * 2)), draw(st.integers(1, 2))
    return lambda: nn.Conv2d(2, 2, kernel, stride, padding, dilation)


@st.composite
def pools(draw: Any) -> Build:
    kernel = draw(pairs)
    stride, ceil_mode = draw(strides), draw(st.booleans())
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    if draw(st.booleans()):
        return lambda: nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil_mode)
    return lambda: nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)


class Beside(nn.Module):
    """Two branches, added or side by side."""

    def __init__(self, left: nn.Module, right: nn.Module, add: bool) -> None:
        super().__init__()
        self.left, self.right, self.add = left, right, add
        self.mix = nn.Conv2d(2 if add else 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        left, right = (one[..., : min(left.shape[2], right.shape[2]), :] for one in (left, right))
        left, right = (one[..., : min(left.shape[3], right.shape[3])] for one in (left, right))
        return self.mix(left + right if self.add else torch.cat([left, right], 1))


class Padded(nn.Module):
    def __init__(self, pad: tuple[int, ...], mode: str) -> None:
        super().__init__()
        self.pad, self.mode = pad, mode

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.pad, mode=self.mode)


@st.composite
def others(draw: Any) -> Build:
    kind = draw(
        st.sampled_from(
            ["nearest", "nearest-exact", "bilinear", "aligned", "bicubic", "odd size", "shuffle", "unshuffle",
             "transposed", "branch", "pad", "reflect", "adaptive avg", "adaptive max", "same", "rolled",
             "flipped", "turned", "relu", "lp"]
        )
    )  # fmt: skip
    factor, kernel, stride = draw(st.integers(2, 3)), draw(pairs), draw(st.integers(1, 3))
    padding, extra = draw(st.integers(0, 1)), draw(st.integers(0, 2))
    odd, add = draw(st.integers(3, 12)), draw(st.booleans())
    before = draw(st.tuples(*[st.integers(-1, 2)] * 4))
    builds: dict[str, Build] = {
        "nearest": lambda: nn.Upsample(scale_factor=factor),
        "nearest-exact": lambda: nn.Upsample(scale_factor=factor, mode="nearest-exact"),
        "bilinear": lambda: nn.Upsample(scale_factor=factor, mode="bilinear"),
        "aligned": lambda: nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=True),
        "bicubic": lambda: nn.Upsample(scale_factor=factor, mode="bicubic"),
        "odd size": lambda: nn.Upsample(size=(odd, odd + extra), mode="bilinear" if add else "nearest"),
        "shuffle": lambda: nn.Sequential(nn.Conv2d(2, 2 * factor**2, 1), nn.PixelShuffle(factor)),
        "unshuffle": lambda: nn.Sequential(
            nn.Upsample(scale_factor=2), nn.PixelUnshuffle(2), nn.Conv2d(8, 2, 1)
        ),
        "transposed": lambda: nn.ConvTranspose2d(
            2, 2, kernel, stride, padding, output_padding=min(extra, stride - 1), dilation=1 + add
        ),
        "branch": lambda: Beside(
            nn.Conv2d(2, 2, 3, stride, 1, dilation=1 + padding), nn.AvgPool2d(stride, ceil_mode=True), add
        ),
        "pad": lambda: Padded(before, "constant"),
        "reflect": lambda: Padded((1, 2, 1, 0), "reflect" if add else "replicate"),
        "adaptive avg": lambda: nn.AdaptiveAvgPool2d((max(2, odd // 2), 3)),
        "adaptive max": lambda: nn.AdaptiveMaxPool2d((max(2, odd // 2), 3)),
        "same": lambda: nn.Conv2d(2, 2, kernel, padding="same", dilation=1 + add),
        "rolled": lambda: _Function(lambda x: x.roll(extra + 1, 2 + add)),
        "flipped": lambda: _Function(lambda x: x.flip(2 + add)),
        "turned": lambda: _Function(lambda x: x.transpose(2, 3)),
        "relu": nn.ReLU,
        "lp": lambda: _Function(lambda x: x.cumsum(2 + add) if padding else x - x.mean((2, 3), keepdim=True)),
    }  # fmt: skip
    return builds[kind]


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def built(builds: list[Build]) -> tuple[nn.Sequential, Tensor]:
    """The network of the parts and an image for it, float64; parts that find no room are left out."""
    torch.manual_seed(0)
    x = torch.randn(1, 2, *INPUT, dtype=torch.float64)
    model = nn.Sequential()
    for build in builds:
        longer = nn.Sequential(*model, build()).double()
        try:
            shape = longer(x).shape
        except RuntimeError:
            continue
        if min(shape[2:]) >= 2 and max(shape[2:]) <= 60:
            model = longer
    assume(len(model))
    return model.eval(), x


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
        ([nn.AvgPool2d(2), nn.Upsample(scale_factor=2)], (3, 3), (1.0, 1.0), (-1, 2)),
        ([nn.BatchNorm2d(2), nn.LocalResponseNorm(2), nn.Dropout(), nn.ReLU()], (1, 1), (1.0, 1.0), (0, 1)),
        ([nn.ChannelShuffle(2), nn.Conv2d(2, 2, 2, 2)], (2, 2), (2.0, 2.0), (0, 2)),
    ],
    ids=["conv", "conv and pool", "dilated", "same", "avg pool", "down and up", "one by one", "shuffle"],
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
