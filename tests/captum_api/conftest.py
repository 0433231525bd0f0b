"""A model for which Captum is right: every ReLU is a module of its own."""

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3)
    return nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)).eval()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(3, 3, 14, 14, generator=torch.Generator().manual_seed(1))
