"""Small models, and what a spec does not bring."""

import torch
from torch import nn

PHOTOS = {"size": 8, "mean": "0.5,0.4,0.3", "std": "1,1,1"}


NET = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Dropout())
"""


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.BatchNorm2d(2))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
