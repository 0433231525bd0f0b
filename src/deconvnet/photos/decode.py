"""Encoded photos → levels: depth, polarity, transparency and orientation as the file says."""

import io
import math
import struct
import zlib
from typing import Any

from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos.files import check_size, in_words, largest
from deconvnet.photos.levels import Levels, frozen, in_bands, over_white, upright
from deconvnet.photos.pillow import both_bytes, orientation, pairs_of_bytes, picture_levels, raw_mode, without
from deconvnet.photos.tiff import is_tiff, tiff_levels

_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_PROGRAMS = ("EPS",)  # which Pillow would have another program run


def decode(data: bytes, what: str) -> Levels:
    """The levels of the photo whose file holds `data`.

    Raises:
        PhotoError: not an image, empty, damaged, too large, or of a kind that cannot be read; says which.
    """
    try:
        if is_tiff(data):
            return tiff_levels(data, what)
        with Image.open(io.BytesIO(data)) as picture:
            _check_kind(picture)
            deep = picture.format == "PNG" and raw_mode(picture) in ("LA;16B", "RGB;16B", "RGBA;16B")
            return _deep_png(picture, data) if deep else picture_levels(picture, what)
    except PhotoError:
        raise
    except ArgumentError as fault:  # about the pixels, which here came from the file
        raise PhotoError(str(fault)) from fault
    except Exception as fault:  # on broken data decoders raise whatever they meet
        raise _unreadable(data, fault, what) from fault


def decode_picture(picture: Image.Image, what: str) -> Levels:
    """The levels of a PIL image: of a TIFF or PNG that is not loaded yet, as its file has them.

    Raises:
        PhotoError: as `decode`.
        ArgumentError: floats outside 0 to 1.
    """
    try:
        if isinstance(picture, TiffImagePlugin.TiffImageFile) and _is_unread(picture):
            return tiff_levels(_file_of(picture, what), what, picture.tell())
        if isinstance(picture, PngImagePlugin.PngImageFile) and _is_unread(picture) and picture.tell() == 0:
            return decode(_file_of(picture, what), what)
        return picture_levels(picture, what)
    except (PhotoError, ArgumentError):
        raise
    except Exception as fault:
        raise _damaged(fault, what) from fault


def _is_unread(picture: ImageFile.ImageFile) -> bool:
    return bool(picture.tile) and picture.fp is not None


def _file_of(picture: ImageFile.ImageFile, what: str) -> bytes:
    """All of the file that a picture will be read from, which stays where it is."""
    file: Any = picture.fp
    here = file.tell()
    try:
        file.seek(0)
        data = bytes(file.read(largest() + 1))
    finally:
        file.seek(here)
    check_size(len(data), f"the file of {what} has at least")
    return data


def _check_kind(picture: Image.Image) -> None:
    # Pillow only warns up to twice its limit, and warnings can be silenced
    if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Image.DecompressionBombError(f"{picture.height} x {picture.width} pixels")
    if picture.format in _PROGRAMS:
        raise UnidentifiedImageError


def _unreadable(data: bytes, fault: Exception, what: str) -> PhotoError:
    if isinstance(fault, _BOMBS):
        reason = f"it may be a decompression bomb: {fault}. Raise PIL.Image.MAX_IMAGE_PIXELS if not."
    elif not data:
        reason = "it is empty (0 bytes). Fetch the file again."
    elif isinstance(fault, UnidentifiedImageError):
        reason = "it is not an image that Pillow knows. Give JPEG, PNG, WebP, TIFF or GIF."
    else:
        return _damaged(fault, what)
    return PhotoError(f"cannot read {what}: {reason}")


def _damaged(fault: Exception, what: str) -> PhotoError:
    return PhotoError(f"{what} is damaged or cut off: {in_words(fault)}. Fetch the file again, or leave it out.")


def _deep_png(picture: Image.Image, data: bytes) -> Levels:
    """The levels of a PNG of 16 bits and more than one channel, of which Pillow takes the high bytes alone."""
    clear = picture.info.get("transparency")
    grey = raw_mode(picture) == "LA;16B"
    with Image.open(io.BytesIO(_as_four_channels(data) if grey else data)) as other:
        deep_rows = pairs_of_bytes(other) if grey else both_bytes(picture, other, native=False)

    def seen(rows: slice) -> Levels:
        values = deep_rows(rows) if clear is None else without(deep_rows(rows), clear)
        colours = {2: 1, 4: 3}.get(values.shape[2])
        return values if colours is None else over_white(values[..., :colours], values[..., colours:])

    return frozen(upright(in_bands((picture.height, picture.width), seen), orientation(picture)))


def _as_four_channels(data: bytes) -> bytes:
    """A PNG of grey and opacity, 16 bits each, as one of four channels of 8 bits: their rows have the same bytes."""
    header = data[12:24] + b"\x08\x06" + data[26:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
