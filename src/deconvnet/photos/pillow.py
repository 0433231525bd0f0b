"""What Pillow reads → levels."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from deconvnet._errors import PhotoError
from deconvnet.photos.levels import Levels, frozen, in_bands, over_white, upright, white
from deconvnet.photos.values import Scale

_FEW_BITS = {"L;2": 85, "L;4": 17}  # by raw mode, what a level in the file is in 8 bits
_HIGH, _LOW = ("L", "B") if sys.byteorder == "little" else ("B", "L")  # bytes of a native 16-bit number


def picture_levels(picture: Image.Image, scale: Scale) -> Levels:
    """The levels of a PIL image, which may still have to be read from its file.

    Raises:
        PhotoError: without pixels, or as `Scale.levels`; without a value range, 32-bit integers are 0 to 65535 and
            floats 0 to 1.
        Exception: whatever a decoder meets in a damaged file.
    """
    if 0 in picture.size:
        raise PhotoError(f"{scale.what} does not have any pixels: its size is {picture.width} x {picture.height}.")
    raw = raw_mode(picture)
    if not raw:
        _check_clear(picture, scale.what)
    step = _FEW_BITS.get(raw, 1)
    picture.load()
    return frozen(upright(_levels(picture, scale, step), orientation(picture)))


def _check_clear(picture: Image.Image, what: str) -> None:
    """Raise if the colour that stands for transparency in a loaded picture is counted in other bits than its pixels.

    Raises:
        PhotoError: it is, or may be.
    """
    clear = picture.info.get("transparency")
    if picture.mode == "RGB" and isinstance(clear, tuple):
        lost = max(clear, default=0) > 255
    elif picture.mode == "L" and isinstance(clear, int):
        levels = {level for level, count in enumerate(picture.histogram()) if count}
        few = any({clear * step} <= levels <= set(range(0, 256, step)) for step in _FEW_BITS.values())
        lost = clear > 255 or (clear not in levels and few)
    else:
        lost = False
    if lost:
        raise PhotoError(
            f"{what} is loaded, and its transparent colour, {clear}, is counted in the bits of its file, which "
            "are not those of its pixels. Pass the path, or the image before it is loaded."
        )


def orientation(picture: Image.Image) -> object:
    """What EXIF says of a loaded picture; nothing where its block is broken, for that is not part of the picture."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return None


def raw_mode(picture: Any) -> str:
    """How the pixels lie in the file, by Pillow's name; "" if the picture is loaded."""
    arguments = picture.tile[0][3] if getattr(picture, "tile", None) else ""
    return str(arguments if isinstance(arguments, str) else arguments[0])


def rows_of(picture: Image.Image, rows: slice) -> NDArray[np.uint8]:
    """Some rows of a loaded picture."""
    return np.asarray(picture.crop((0, rows.start, picture.width, rows.stop)))


def both_bytes(picture: Any, again: Any, *, native: bool) -> Callable[[slice], NDArray[np.uint16]]:
    """A function that gives some rows of a 16-bit picture, of which Pillow takes either the high or the low bytes.

    Args:
        picture, again: the same picture, opened twice and not loaded yet.
        native: its decoder hands out numbers in this machine's order of bytes; otherwise the high byte comes first.
    """
    for opened, order in ((picture, _HIGH if native else "B"), (again, _LOW if native else "L")):
        tile = opened.tile[0]
        arguments = tile[3]
        words = [arguments] if isinstance(arguments, str) else list(arguments)
        words[0] = f"{words[0].partition(';')[0]};16{order}"
        fields = (*tile[:3], words[0] if isinstance(arguments, str) else tuple(words))
        opened.tile = [fields if type(tile) is tuple else type(tile)(*fields)]  # it got names in Pillow 11
        opened.load()
    return lambda rows: np.asarray(rows_of(picture, rows).astype(np.uint16) << 8 | rows_of(again, rows), np.uint16)


def pairs_of_bytes(picture: Image.Image) -> Callable[[slice], NDArray[np.uint16]]:
    """A function that gives some rows of a picture of four channels as two, each of a high and a low byte."""
    picture.load()
    return lambda rows: rows_of(picture, rows).view(">u2").astype(np.uint16)


def without(levels: Levels, values: NDArray[Any], colour: object) -> Levels:
    """The levels of (h, w, c), white where their values in the file are the colour that stands for transparency."""
    clear = (values == np.array(colour)).all(2, keepdims=True)
    return np.where(clear, white(levels), levels).astype(levels.dtype)


def _levels(picture: Image.Image, scale: Scale, step: int) -> Levels:
    clear = picture.info.get("transparency")
    if picture.mode in ("I", "F"):
        grey = np.asarray(picture)[..., None]
        return scale.levels(grey if picture.mode == "F" or scale.reading.value_range else _sixteen_bit(grey, scale))
    if picture.mode == "L" or picture.mode.startswith("I;16"):
        grey = np.atleast_3d(np.asarray(picture)) // (step if scale.reading.value_range else 1)
        grey = grey if picture.mode == "L" else grey.astype(np.uint16)
        step = 1 if scale.reading.value_range else step
        return without(scale.levels(grey), grey, clear * step) if isinstance(clear, int) else scale.levels(grey)
    if picture.mode == "La":  # Pillow knows no shorter way
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        return _over_white(picture if picture.mode in ("LA", "RGBA") else picture.convert("RGBA"), scale)
    mode = "L" if picture.mode == "1" else "RGB"
    return scale.levels(np.atleast_3d(np.asarray(picture if picture.mode == mode else picture.convert(mode))))


def _over_white(picture: Image.Image, scale: Scale) -> Levels:
    def seen(rows: slice) -> Levels:
        values = rows_of(picture, rows)
        return over_white(scale.levels(values[..., :-1]), values[..., -1:])

    return in_bands((picture.height, picture.width), seen)


def _sixteen_bit(grey: NDArray[np.int32], scale: Scale) -> NDArray[Any]:
    """By Pillow's custom 32-bit integers hold 16-bit values; others need a range."""
    return grey.astype(np.uint16) if 0 <= grey.min() <= grey.max() <= 65535 else grey
