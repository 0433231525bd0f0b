"""Small transformed photos for the first column of a figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from deconvnet.probes.transforms import Kind, transformed

_MOST = 5  # of each photo
_GAP = 0.06  # of a thumbnail's longer side


def draw_thumbnails(
    axes: Any,
    pictures: Float[Tensor, "p c h w"],
    kind: Kind,
    values: Sequence[float],
    *,
    axis: int,
    around: Sequence[float],
    colours: Sequence[str],
) -> None:
    """Draw some photos, one in each row with its colour beside it, as a few of the transforms leave them.

    Args:
        axes: of Matplotlib.
        pictures: 0 to 1.
        kind: of transform.
        values: of all transforms, of which a few are drawn, evenly spaced.
        axis: of a translation.
        around: what lies around the pictures, for each channel.
        colours: of the photos.
    """
    drawn = some(sorted(values))
    height, width = (length / max(pictures.shape[2:]) for length in pictures.shape[2:])
    for row, picture in enumerate(pictures):
        bottom = -row * (height + _GAP)
        for column, value in enumerate(drawn):
            image = _rgb(transformed(picture, kind, value, axis=axis, fill=around))
            left = column * (width + _GAP)
            axes.imshow(image, extent=(left, left + width, bottom, bottom + height), interpolation="bilinear")
        axes.plot([-_GAP, -_GAP], [bottom, bottom + height], color=colours[row % len(colours)], linewidth=2.5)
    axes.set_xlim(-2 * _GAP, len(drawn) * (width + _GAP))
    axes.set_ylim(-(len(pictures) - 1) * (height + _GAP) - _GAP, height + _GAP)
    axes.set_aspect("equal")
    axes.set_xticks([i * (width + _GAP) + width / 2 for i in range(len(drawn))], [f"{value:g}" for value in drawn])
    axes.set_yticks([])
    axes.tick_params(length=0, pad=1)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def some(values: Sequence[float]) -> list[float]:
    """A few of the values, evenly spaced, the first and the last among them."""
    last = len(values) - 1
    return [values[i] for i in sorted({round(i * last / (_MOST - 1)) for i in range(_MOST)})]


def _rgb(picture: Float[Tensor, "c h w"]) -> Float[np.ndarray, "h w 3"]:
    """A picture with three channels; of other than 1 and 3 their mean, grey."""
    levels = picture.double().clamp(0, 1)
    if len(levels) != 3:
        levels = levels.mean(0, keepdim=True).expand(3, -1, -1)
    array: Float[np.ndarray, "h w 3"] = levels.movedim(0, -1).cpu().numpy()
    return array
