"""Strength as a coloured map on a grey photo, with its scale. No torch here."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image

from deconvnet.photos.levels import LUMA
from deconvnet.pictures.files import on_white
from deconvnet.pictures.sheets import Bar

# Points of the map "inferno" of matplotlib (CC0), evenly spaced: from dark to light, each step looks as large as the
# next, also to the colour-blind and in a grey print.
_INFERNO = np.array([(0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 44, 96), (207, 68, 70),
                     (237, 105, 37), (251, 155, 6), (247, 209, 61), (252, 255, 164)], dtype=np.float64)  # fmt: skip
_FIRST = 0.3  # of the map: what is darker would vanish in dark photos
_OPAQUE = 0.4  # strength from which on colours cover the photo
_DARKEST, _SPAN = 60.0, 120.0  # grey levels of the photo below: neither as dark nor as light as the colours' ends


def heat(photo: Image.Image | None, strength: Float[NDArray[np.float64], "h w"]) -> Image.Image:
    """Strength in colours, from purple over red to yellow, on the photo in grey; where it is 0, the photo alone.

    Args:
        photo: of the same size; None for plain grey.
        strength: 0 to 1.
    """
    grey = np.full_like(strength, 0.5) if photo is None else np.asarray(on_white(photo)) @ np.array(LUMA) / 255
    below = (_DARKEST + _SPAN * grey)[..., None]
    weight = np.minimum(strength / _OPAQUE, 1)[..., None]
    mixed = weight * _colours(strength) + (1 - weight) * below
    return Image.fromarray(np.floor(mixed + 0.5).astype(np.uint8))


def heat_bar() -> Bar:
    """The scale of `heat`, as it looks on plain grey."""
    ticks = tuple((part / 4, f"{25 * part} %") for part in range(5))
    return Bar(heat(None, np.linspace(0, 1, 256)[None].repeat(8, 0)), ticks)


def _colours(strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours of values from 0 to 1: (..., 3), 0 to 255."""
    at = np.linspace(0, 1, len(_INFERNO))
    values = _FIRST + (1 - _FIRST) * strength
    return np.stack([np.interp(values, at, channel) for channel in _INFERNO.T], -1)
