"""Levels: a photo's pixels as its file holds them, 8 bits, 16 bits or floats, over white and upright."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Levels: TypeAlias = NDArray[Any]
"""(h, w, c): uint8 from 0 to 255, uint16 from 0 to 65535, or float32 from 0 to 1."""

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601: the weights of red, green and blue in grey, as in Pillow's mode L

_BAND_PIXELS = 2**18  # mixed at once, so that a large photo takes little more memory than its levels


def white(levels: Levels) -> int:
    """The level of white."""
    return {"uint8": 255, "uint16": 65535}.get(levels.dtype.name, 1)


def unit(levels: Levels) -> NDArray[np.float32]:
    """The levels as floats from 0 to 1."""
    floats = levels.astype(np.float32)
    if white(levels) != 1:
        floats /= np.float32(white(levels))
    return floats


def as_levels(values: NDArray[np.float32], like: Levels) -> Levels:
    """Floats from 0 to 1 as levels of the type of others."""
    return values if white(like) == 1 else np.rint(values * white(like)).astype(like.dtype)


def over_white(colour: Levels, opacity: Levels, *, multiplied: bool = False) -> Levels:
    """What is seen of (h, w, c) in front of white, by its (h, w, 1) opacity.

    Args:
        colour: of each pixel.
        opacity: levels, of the same type or another; the largest one hides what is behind it.
        multiplied: the colours are multiplied by the opacity already.
    """

    def mixed(rows: slice) -> Levels:
        part, cover = unit(colour[rows]), unit(opacity[rows])
        seen = (part if multiplied else part * cover) + (1 - cover)
        return as_levels(seen.clip(0, 1) if multiplied else seen, colour)

    return in_bands(colour.shape[:2], mixed)


def in_bands(size: tuple[int, ...], make: Callable[[slice], Levels]) -> Levels:
    """The levels of a photo of this height and width, from a function that makes those of some rows."""
    parts = bands(*size)
    first = make(next(parts))
    levels = np.empty((size[0], *first.shape[1:]), first.dtype)
    levels[: len(first)] = first
    for rows in parts:
        levels[rows] = make(rows)
    return levels


def bands(height: int, width: int) -> Iterator[slice]:
    """The rows of a photo, some at a time."""
    step = max(1, _BAND_PIXELS // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def upright(levels: Levels, orientation: object) -> Levels:
    """The levels turned and mirrored as EXIF's orientation, 1 to 8, says; any other value changes nothing."""
    turned = {
        2: levels[:, ::-1], 3: levels[::-1, ::-1], 4: levels[::-1], 5: levels.swapaxes(0, 1),
        6: np.rot90(levels, -1), 7: levels[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(levels),
    }  # fmt: skip
    return (
        np.ascontiguousarray(turned[orientation]) if isinstance(orientation, int) and orientation in turned else levels
    )


def frozen(levels: Levels) -> Levels:
    """The same, read-only."""
    levels.setflags(write=False)
    return levels


def luma(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 1) grey of (h, w, 3). A plain sum, because a matrix product rounds as the machine's library likes."""
    red, green, blue = (pixels[..., i] * np.float32(weight) for i, weight in enumerate(LUMA))
    return np.asarray(red + green + blue)[..., None]
