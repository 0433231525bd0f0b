"""Networks drawn by hypothesis: stacks of convolutions, pools and others."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from support.networks import Spelled
from torch import Tensor, nn

INPUT = (19, 22)


random_networks = settings(
    max_examples=12,
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
        "rolled": lambda: Spelled(lambda x: x.roll(extra + 1, 2 + add)),
        "flipped": lambda: Spelled(lambda x: x.flip(2 + add)),
        "turned": lambda: Spelled(lambda x: x.transpose(2, 3)),
        "relu": nn.ReLU,
        "lp": lambda: Spelled(lambda x: x.cumsum(2 + add) if padding else x - x.mean((2, 3), keepdim=True)),
    }  # fmt: skip
    return builds[kind]


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
