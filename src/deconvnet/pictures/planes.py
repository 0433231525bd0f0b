"""Signals that are not one picture: volumes as planes, and channels of their own, side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from PIL import Image
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet._types import Box
from deconvnet.pictures.render import Scale, limit_of, magnitude, render

PLANES = "A volume is shown as three planes through the voxel where it is strongest, each named by its index in it."

_COLOURS = (1, 3)  # numbers of channels that are one picture
_AXES = ("depth", "row", "column")
_GAP = 2  # pixels between pictures
_READABLE = 160  # pixels: the longest side of a volume's planes is enlarged to this at least


@dataclass(frozen=True)
class View:
    """One of the pictures that show a signal together: one of an image's channels, or a plane of a volume.

    Attributes:
        words: which it is: "channel 3, depth 12"; "" where all of an image is one picture.
        channel: its index; None for all, in grey or in colour.
        axis: of a volume, which the plane is across; None for an image.
        index: of the plane on that axis.
    """

    words: str = ""
    channel: int | None = None
    axis: int | None = None
    index: int = 0

    def of(self, signal: Shaped[Tensor, "c *size"]) -> Shaped[Tensor, "part h w"]:
        """What the picture shows of a signal, or of anything else of its size and channels."""
        return self.plane(signal if self.channel is None else signal[self.channel : self.channel + 1])

    def cuts(self, box: Box) -> bool:
        """Whether some of what lies in a box is on the plane."""
        return self.axis is None or box.low[self.axis] <= self.index < box.high[self.axis]

    def plane(self, signal: Shaped[Tensor, "any *size"]) -> Shaped[Tensor, "any h w"]:
        """The plane, of all channels."""
        return signal if self.axis is None else signal.select(self.axis + 1, self.index)


def views(signal: Shaped[Tensor, "c *size"], low: Sequence[int] = (0, 0, 0)) -> list[View]:
    """The pictures that show a signal of two or three spatial axes.

    One or three channels are one picture, in grey or in colour; of any other number each has its own. A volume is shown
    as three planes through the voxel where it is strongest: across the first axis, the second and the third.

    Args:
        signal: (c, height, width) or (c, depth, height, width).
        low: where the signal begins in the input, per axis, for the words.

    Raises:
        ArgumentError: another number of axes, or an empty signal.
        NotFiniteError: the signal holds NaN or infinity.

    Example:
        >>> [view.words for view in views(torch.eye(4)[None, None].expand(1, 3, 4, 4))]
        ['depth 0', 'row 0', 'column 0']
    """
    if signal.ndim not in (3, 4) or signal.numel() == 0:
        raise ArgumentError(
            f"a signal of shape {tuple(signal.shape)} cannot be shown: only images, (c, h, w), and volumes, "
            "(c, d, h, w), are. Take its tensor, .full()."
        )
    channels = [None] if len(signal) in _COLOURS else range(len(signal))
    return [view for channel in channels for view in _planes(signal, channel, low)]


def _planes(signal: Tensor, channel: int | None, low: Sequence[int]) -> Iterator[View]:
    words = [] if channel is None else [f"channel {channel}"]
    if signal.ndim == 3:
        yield View(", ".join(words), channel)
        return
    strength = magnitude(signal, axes=3)
    at = torch.unravel_index(strength.argmax(), strength.shape)
    for axis, (name, index) in enumerate(zip(_AXES, map(int, at), strict=True)):
        yield View(", ".join([*words, f"{name} {index + low[axis]}"]), channel, axis, index)


def drawn(signal: Shaped[Tensor, "c *size"], *, scale: Scale = "logistic", limit: float | None = None) -> Image.Image:
    """A signal of two or three spatial axes as one picture; zero is mid-grey, and all its `views` have one scale.

    Channels stand side by side, those of a volume one below the other. The planes of a small volume are enlarged by a
    whole factor.

    Args:
        signal: (c, height, width) or (c, depth, height, width).
        scale, limit: as in `render`.

    Raises:
        ArgumentError: another number of axes, or an empty signal.
        NotFiniteError: the signal holds NaN or infinity.

    Example:
        >>> drawn(torch.randn(4, 8, 8)).size, drawn(torch.randn(1, 50, 80, 60)).size
        ((38, 8), (404, 160))
    """
    listed = views(signal)
    limit = limit_of(signal, scale=scale) if limit is None else limit
    images = [render(view.of(signal), scale=scale, limit=limit) for view in listed]
    if signal.ndim == 3:
        return _stacked([images])
    factor = -(-_READABLE // max(signal.shape[1:]))
    larger = [image.resize([side * factor for side in image.size], Image.Resampling.NEAREST) for image in images]
    return _stacked([larger[i : i + 3] for i in range(0, len(larger), 3)])


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
