"""Units of a small network with their pictures, for the measures that look at one."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet import DeconvNet
from deconvnet.probes.pictured import Others, Pictured


def pooled_model(maps: int = 30, channels: int = 3) -> nn.Sequential:
    """Two convolutions with a max-pool between, and five classes; for images of 24x20."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, maps, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(maps * 10 * 8, 5),
        ).eval()  # fmt: skip


@cache
def pooled_net(channels: int = 3) -> DeconvNet:
    """Attached to `pooled_model` once."""
    return DeconvNet(pooled_model(channels=channels), images(2, channels))


def images(count: int, channels: int = 3, seed: int = 1) -> Tensor:
    """Smooth noise of 24x20."""
    noise = torch.randn(count, channels, 24, 20, generator=torch.Generator().manual_seed(seed))
    return nn.functional.avg_pool2d(noise, 3, 1, 1) * 3


def of_unit(
    layer: str = "4", channel: int = 0, position: Any = None, *, net: DeconvNet | None = None, others: int = 25,
    x: Tensor | None = None, memory: str | None = None, seed: int = 0,
) -> Pictured:  # fmt: skip
    """A unit of `pooled_net`, by default its map's strongest, with other images."""
    net, x = net or pooled_net(), images(1) if x is None else x
    result = net.project(x, layer, channel=channel, position=position)
    given = Others(images(others, x.shape[1], seed=2) if others else x[:0], "other noise")
    return Pictured.of(net, x, result, given, seed=seed, memory=memory)


def of_class(target: int = 0, *, net: DeconvNet | None = None, others: int = 25) -> Pictured:
    """A class of `pooled_net`."""
    net, x = net or pooled_net(), images(1)
    return Pictured.of(net, x, net.explain(x, target), Others(images(others, seed=2), "other noise"))
