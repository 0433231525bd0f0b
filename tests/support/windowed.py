"""What single units in windows are tried on: rule sets, steps that enlarge a map, units anywhere in it."""

from contextlib import AbstractContextManager
from unittest import mock

import torch
from support.choosing import NORMED, POOLED
from support.networks import Network
from torch import Tensor, nn

from deconvnet import DeconvNet, RuleSet, Unit


def windows_are(method: str) -> AbstractContextManager[object]:
    """Windows "copied", "gathered" or "fused", whatever the device."""
    return mock.patch("deconvnet.windows.kernels.method_on", lambda device: method)


RULES = [
    RuleSet(),
    RuleSet(forward_mask=True),
    RuleSet(forward_mask=True, backward_rectify=False, lrn="gradient", gates="product", smooth="gradient"),
    RuleSet(overlap="max"),
    RuleSet(unpool="centre"),
    RuleSet(unpool="average"),
    RuleSet(lrn="divisor"),
]


def corners(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The first place of a map, its last, and one in between."""
    return list(dict.fromkeys([tuple(0 for _ in size), tuple(n - 1 for n in size), tuple(n // 2 for n in size)]))


def differs(rules: RuleSet, network: Network) -> bool:
    """Whether a network holds what the rule set treats in its own way; elsewhere it is DeconvNet's again."""
    if rules.unpool != "switches" or rules.overlap != "sum":
        return network in POOLED
    return rules.lrn != "divisor" or network in NORMED


SPREADING = {
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "nearest, one axis": lambda: nn.Upsample(scale_factor=(1, 3)),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
    "transposed with gaps": lambda: nn.ConvTranspose2d(4, 4, 1, 2),
    "transposed, stride 1": lambda: nn.ConvTranspose2d(4, 4, 3, 1, 1, dilation=2),
    "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)),
}


def some_units(net: DeconvNet, layer: str, images: int, count: int = 12) -> list[Unit]:
    """Units of any map, position and image, corners among them, in no order."""
    random = torch.Generator().manual_seed(0)
    info = net.layers[layer]
    drawn = [
        Unit(layer, draw(random, info.channels), tuple(draw(random, n) for n in info.size), draw(random, images))
        for _ in range(count)
    ]
    return [*drawn, *(Unit(layer, 0, position, images - 1) for position in corners(info.size))]


def draw(random: torch.Generator, below: int) -> int:
    return int(torch.randint(0, below, (), generator=random))


def deep() -> tuple[DeconvNet, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    x = torch.randn(4, 3, 96, 96)
    return DeconvNet(model, x), x
