"""Levels: a photo's pixels as its file holds them, 8 bits, 16 bits or floats, over white and upright."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deconvnet._errors import ArgumentError, PhotoError

Levels: TypeAlias = NDArray[Any]
"""(h, w, 1|3): uint8 from 0 to 255, uint16 from 0 to 65535, or float32 from 0 to 1."""

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601: the weights of red, green and blue in grey, as in Pillow's mode L

_SLACK = 1e-6  # float pixels may pass 0..1 by this much: what earlier arithmetic rounds away
_BAND_PIXELS = 2**18  # mixed at once, so that a large photo takes little more memory than its levels


def levels_of(array: NDArray[np.generic], what: str) -> Levels:
    """The levels of an array (h, w) or (h, w, 1|3|4), the fourth channel being opacity; a copy.

    Raises:
        PhotoError: a wrong shape, without pixels, or NaN or infinity in it.
        ArgumentError: pixels of another type, or floats outside 0 to 1.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise PhotoError(
            f"{what} is not a photo: an array is (h, w) or (h, w, 1|3|4), a tensor (h, w) or "
            "(1|3|4, h, w). For a batch pass list(batch)."
        )
    if array.size == 0:
        raise PhotoError(f"{what} is without pixels: {array.shape[0]} x {array.shape[1]}.")
    values = checked(array, what).reshape(*array.shape[:2], -1)
    return frozen(over_white(values[..., :3], values[..., 3:]) if values.shape[2] == 4 else values)


def checked(array: NDArray[np.generic], what: str) -> Levels:
    """A copy of the same shape.

    Raises:
        PhotoError, ArgumentError: as `levels_of`.
    """
    if array.dtype.kind == "u" and array.dtype.itemsize in (1, 2):
        return array.astype(np.uint8 if array.dtype.itemsize == 1 else np.uint16)
    if array.dtype.kind != "f":
        raise ArgumentError(f"{what} has pixels of type {array.dtype}. Give uint8, uint16 or floats from 0 to 1.")
    if not np.isfinite(array).all():
        raise PhotoError(f"{what} holds NaN or infinity. Replace these pixels first.")
    low, high = float(np.min(array)), float(np.max(array))
    if low < -_SLACK or high > 1 + _SLACK:
        raise ArgumentError(
            f"{what} has float pixels from {low:g} to {high:g}, but 0 to 1 is the range for "
            "floats. Divide by the largest possible value first."
        )
    return np.clip(array.astype(np.float32), 0, 1)


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
        opacity: levels of the same type; the largest one hides what is behind it.
        multiplied: the colours are multiplied by the opacity already.
    """

    def mixed(rows: slice) -> Levels:
        part, cover = unit(colour[rows]), unit(opacity[rows])
        seen = (part if multiplied else part * cover) + (1 - cover)
        return as_levels(seen.clip(0, 1) if multiplied else seen, colour)

    return in_bands(colour.shape[:2], mixed)


def in_bands(size: tuple[int, ...], make: Callable[[slice], Levels]) -> Levels:
    """The levels of a photo of this height and width, from a function that makes those of some rows."""
    bands = _bands(*size)
    first = make(next(bands))
    levels = np.empty((size[0], *first.shape[1:]), first.dtype)
    levels[: len(first)] = first
    for rows in bands:
        levels[rows] = make(rows)
    return levels


def _bands(height: int, width: int) -> Iterator[slice]:
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
