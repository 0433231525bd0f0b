"""Signals to start from."""

import torch
from torch import Tensor


def start_on(values: Tensor, seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(values.shape, generator=random, dtype=values.dtype)


def live_channels(values: Tensor) -> list[int]:
    """The first and last map that are not silent in any image."""
    maxima = values.detach().flatten(2).amax(-1) if values.dim() > 2 else values.detach()
    live = [c for c in range(values.shape[1]) if maxima[:, c].all()]
    return sorted({live[0], live[-1]}) if live else []


def one_hot(values: Tensor, place: tuple[int, ...], value: float | Tensor = 1.0) -> Tensor:
    """A signal that is `value` at one place of every image and zero elsewhere."""
    signal = torch.zeros_like(values)
    signal[(slice(None), *place)] = value
    return signal
