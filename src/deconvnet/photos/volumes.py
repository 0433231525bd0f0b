"""Volumes → a network's input: every voxel of theirs, resampled where the sizes differ."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from deconvnet._errors import PhotoError
from deconvnet.photos.levels import Levels, luma, unit


def resampled(levels: Levels, channels: int, size: tuple[int, ...], interpolation: str) -> NDArray[np.float32]:
    """A volume stretched to a size along each of its axes, from 0 to 1; as it is where it has that size.

    Args:
        levels: (d, h, w, c).
        channels: wanted: a grey volume gives three equal ones, a colour one grey by `luma`.
        size: depth, height and width of the result.
        interpolation: "bilinear" (trilinear here), "bicubic" or "nearest"; antialiased, save for "nearest".

    Raises:
        PhotoError: other numbers of channels that differ.
    """
    count, pixels = levels.shape[-1], unit(levels)
    if (count, channels) == (3, 1):
        pixels = luma(pixels)
    elif (count, channels) == (1, 3):
        pixels = pixels.repeat(3, -1)
    elif count != channels:
        raise PhotoError(f"it has {count} channel{'s' * (count != 1)}, and the network takes {channels}.")
    if pixels.shape[:-1] == size:
        return pixels
    values = torch.from_numpy(pixels).movedim(-1, 0)  # (c, d, h, w)
    planes = _stretched(values, size[1:], interpolation)
    along = _stretched(planes.flatten(2)[:, None], (size[0], math.prod(size[1:])), interpolation)
    return np.asarray(along.view(channels, *size).movedim(0, -1).clamp(0, 1).contiguous().numpy())


def _stretched(values: Tensor, size: tuple[int, ...], interpolation: str) -> Tensor:
    """The last two axes in another size, with the filters that photos are resized by."""
    if interpolation == "nearest":
        return interpolate(values, size, mode="nearest-exact")
    return interpolate(values, size, mode=interpolation, antialias=True)
