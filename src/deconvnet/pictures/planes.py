"""Signals that are not one picture: volumes as three slices, and channels of their own, side by side."""

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet.pictures.render import Scale, limit_of, magnitude, render

_COLOURS = (1, 3)  # numbers of channels that are one picture
_GAP = 2  # pixels between pictures


def drawn(signal: Float[Tensor, "c *size"], *, scale: Scale = "logistic", limit: float | None = None) -> Image.Image:
    """A signal of two or three spatial axes as one picture; zero is mid-grey, and all parts have one scale.

    One or three channels are a picture in grey or in colour; of any other number each has a grey picture of its own,
    one below the other for a volume, side by side for an image. A volume is shown as three slices through the voxel
    where it is strongest: from left across the first axis, the second and the third.

    Args:
        signal: (c, height, width) or (c, depth, height, width).
        scale, limit: as in `render`.

    Raises:
        ArgumentError: another number of axes, or an empty signal.
        NotFiniteError: the signal holds NaN or infinity.

    Example:
        >>> drawn(torch.randn(4, 8, 8)).size, drawn(torch.randn(1, 5, 8, 6)).size
        ((38, 8), (24, 8))
    """
    if signal.ndim not in (3, 4) or signal.numel() == 0:
        raise ArgumentError(
            f"a signal of shape {tuple(signal.shape)} cannot be shown: only images, (c, h, w), and volumes, "
            "(c, d, h, w), are. Take its tensor, .full()."
        )
    limit = limit_of(signal, scale=scale) if limit is None else limit
    planes = [signal] if signal.ndim == 3 else _slices(signal)
    parts = [[plane] if len(signal) in _COLOURS else [channel[None] for channel in plane] for plane in planes]
    rows = parts if signal.ndim == 3 else [list(row) for row in zip(*parts, strict=True)]
    return _stacked([[render(part, scale=scale, limit=limit) for part in row] for row in rows])


def _slices(signal: Float[Tensor, "c d h w"]) -> list[Tensor]:
    """Across each axis, the slice through the strongest voxel."""
    strength = magnitude(signal, axes=3)
    at = torch.unravel_index(strength.argmax(), strength.shape)
    return [signal.select(axis + 1, int(index)) for axis, index in enumerate(at)]


def _stacked(rows: list[list[Image.Image]]) -> Image.Image:
    """Rows of pictures on white."""
    width = max(sum(image.width + _GAP for image in row) for row in rows) - _GAP
    heights = [max(image.height for image in row) for row in rows]
    canvas = Image.new("RGB", (width, sum(heights) + _GAP * (len(rows) - 1)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for image in row:
            canvas.paste(image, (left, top))
            left += image.width + _GAP
        top += height + _GAP
    return canvas
