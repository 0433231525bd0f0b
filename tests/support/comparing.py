"""What counts as equal."""

import numpy as np
import torch
from torch import Tensor

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def assert_equal(ours: Tensor | np.ndarray, truth: Tensor | np.ndarray, tolerance: float | None = None) -> None:
    """`max|a - b| <= tolerance * max|b|`, the project's meaning of equal."""
    ours, truth = torch.as_tensor(ours), torch.as_tensor(truth)
    assert ours.shape == truth.shape
    tolerance = tolerance or TOLERANCE[ours.dtype]
    difference = (ours.to(truth.dtype) - truth).abs().max().item() if truth.numel() else 0.0
    assert difference <= tolerance * truth.abs().max().item()
