"""A small classifier, a small network whose classes are maps, and images for both."""

from collections import OrderedDict
from functools import cache

import torch
from torch import Tensor, nn

from deconvnet import DeconvNet


def images(n: int = 2, size: int = 14, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed)).double()


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = OrderedDict(
            conv1=nn.Conv2d(3, 6, 3), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 8, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(3, 2),
            flatten=nn.Flatten(), fc=nn.Linear(32, 5),
        )  # fmt: skip
        return nn.Sequential(layers).double().eval()


def maps() -> nn.Sequential:
    """Any size in, five maps out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        body = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 1)
        return nn.Sequential(*body).double().eval()


@cache
def classifier() -> DeconvNet:
    """Attached to `network()` once; a test that changes a model attaches its own."""
    return DeconvNet(network(), images())


@cache
def class_maps() -> DeconvNet:
    """Attached to `maps()` once."""
    return DeconvNet(maps(), images())


def close(ours: Tensor, truth: Tensor, tolerance: float = 1e-10) -> bool:
    assert ours.shape == truth.shape
    return bool((ours - truth).abs().max() <= tolerance * truth.abs().max())
