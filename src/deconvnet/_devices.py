"""Between the CPU and other devices."""

import numpy as np
import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

_WITHOUT_FLOAT64 = ("mps",)


def sent(values: Shaped[Tensor, "*shape"] | np.ndarray, device: torch.device) -> Shaped[Tensor, "*shape"]:
    """Values of the CPU on a device; a GPU is not waited for, which a plain copy does until all before it is done."""
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    pinned = tensor.device.type == "cpu" and device.type == "cuda"
    return tensor.pin_memory().to(device, non_blocking=True) if pinned else tensor.to(device)


def knows_float64(device: torch.device) -> bool:
    """Whether a device computes in float64."""
    return device.type not in _WITHOUT_FLOAT64


def in_float64(tensor: Shaped[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """A tensor in float64: where it is, or on the CPU if its device does not have float64."""
    return (tensor if knows_float64(tensor.device) else tensor.cpu()).double()
