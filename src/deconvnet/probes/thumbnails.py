"""Images as figures show them, and small transformed ones for a figure's first column."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import instance
from deconvnet._devices import in_float64
from deconvnet._errors import ArgumentError
from deconvnet.photos.preprocess import Preprocess
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
    drawn = evenly(sorted(values))
    height, width = (length / max(pictures.shape[2:]) for length in pictures.shape[2:])
    for row, picture in enumerate(pictures):
        bottom = -row * (height + _GAP)
        for column, value in enumerate(drawn):
            image = rgb(transformed(picture, kind, value, axis=axis, fill=around))
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


def evenly(values: Sequence[float]) -> list[float]:
    """A few of the values, evenly spaced, the first and the last among them."""
    last = len(values) - 1
    return [values[i] for i in sorted({round(i * last / (_MOST - 1)) for i in range(_MOST)})]


def rgb(picture: Float[Tensor, "c h w"]) -> Float[np.ndarray, "h w 3"]:
    """A picture with three channels; of other than 1 and 3 their mean, grey."""
    levels = in_float64(picture).clamp(0, 1)
    if len(levels) != 3:
        levels = levels.mean(0, keepdim=True).expand(3, -1, -1)
    array: Float[np.ndarray, "h w 3"] = levels.movedim(0, -1).cpu().numpy()
    return array


def pictures_of(
    x: Float[Tensor, "p c *size"], fills: Sequence[float], preprocess: Preprocess | None
) -> tuple[Float[Tensor, "p c *size"], tuple[float, ...]]:
    """Images as they are drawn, from 0 to 1, and what lies around them: in their own colours where those are known.

    Raises:
        ArgumentError: `preprocess` is not one, or is of inputs with another number of channels.
    """
    values = x.detach().cpu().double()
    across = (1, -1, *[1] * (x.ndim - 2))
    around = torch.tensor(fills, dtype=torch.float64, device="cpu")
    if preprocess is None:
        flat = torch.cat([values.movedim(1, 0).flatten(1), around[:, None]], 1)
        low, scale = flat.amin(1), (flat.amax(1) - flat.amin(1)).clamp(min=torch.finfo(torch.float64).tiny)
    else:
        mean, std, white = (
            getattr(instance("preprocess", preprocess, Preprocess), k) for k in ("mean", "std", "scale")
        )
        if len(mean) != len(around):
            raise ArgumentError(f"preprocess is of {len(mean)} channels, and the images have {len(around)}.")
        std = torch.tensor(std, dtype=torch.float64, device="cpu")
        low, scale = -torch.tensor(mean, dtype=torch.float64, device="cpu") / std, white / std
    drawn = ((values - low.view(across)) / scale.view(across)).clamp(0, 1).float()
    return drawn, tuple(((around - low) / scale).clamp(0, 1).tolist())
