"""Encoded photos → levels: depth, polarity, transparency and orientation as the file says."""

import io
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos.arrays import is_nifti, is_npy, nifti_levels, npy_levels
from deconvnet.photos.files import check_size, in_words, largest
from deconvnet.photos.levels import Levels, bands, frozen, in_bands, over_white, upright
from deconvnet.photos.pillow import both_bytes, orientation, pairs_of_bytes, picture_levels, raw_mode, rows_of, without
from deconvnet.photos.tiff import is_tiff, tiff_levels
from deconvnet.photos.values import Scale

_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_PROGRAMS = ("EPS",)  # which Pillow would have another program run
_DEEP = ("I;16B", "LA;16B", "RGB;16B", "RGBA;16B")  # PNG of 16 bits, by Pillow's raw modes
_OTHER_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, Scale], Levels]], ...] = (
    (is_tiff, tiff_levels), (is_npy, npy_levels), (is_nifti, nifti_levels),
)  # fmt: skip


def decode(data: bytes, scale: Scale) -> Levels:
    """The levels of the photo whose file holds `data`.

    Raises:
        PhotoError: not an image, empty, damaged, too large, or of a kind that cannot be read; says which. Or as
            `Scale.levels`.
    """
    try:
        for is_kind, kind_levels in _OTHER_KINDS:
            if is_kind(data) and not (scale.reading.volume and is_kind is is_tiff):
                return kind_levels(data, scale)
        if scale.reading.volume:
            raise not_a_volume(scale.what)
        if scale.reading.page is not None:
            raise PhotoError(f"{scale.what} does not hold several pictures: it is neither TIFF, nor .npy, nor NIfTI.")
        with Image.open(io.BytesIO(data)) as picture:
            _check_kind(picture)
            deep = picture.format == "PNG" and raw_mode(picture) in _DEEP
            return _deep_png(picture, data, scale) if deep else picture_levels(picture, scale)
    except PhotoError:
        raise
    except ArgumentError as fault:  # about the pixels, which here came from the file
        raise PhotoError(str(fault)) from fault
    except Exception as fault:  # on broken data decoders raise whatever they meet
        raise _unreadable(data, fault, scale.what) from fault


def decode_picture(picture: Image.Image, scale: Scale) -> Levels:
    """The levels of a PIL image: of a TIFF or PNG that is not loaded yet, as its file has them.

    Raises:
        PhotoError: as `decode`.
    """
    try:
        if isinstance(picture, TiffImagePlugin.TiffImageFile) and _is_unread(picture):
            scale.reading = replace(scale.reading, page=picture.tell())
            return tiff_levels(_file_of(picture, scale.what), scale)
        if isinstance(picture, PngImagePlugin.PngImageFile) and _is_unread(picture) and picture.tell() == 0:
            return decode(_file_of(picture, scale.what), scale)
        return picture_levels(picture, scale)
    except (PhotoError, ArgumentError):
        raise
    except Exception as fault:
        raise _damaged(fault, scale.what) from fault


def not_a_volume(what: str) -> PhotoError:
    """The error for a picture where a network takes volumes."""
    return PhotoError(
        f"{what} is not a volume, and the network takes volumes. Give a .npy or NIfTI file, an array or a tensor."
    )


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
        reason = "it is not an image that Pillow knows. Give JPEG, PNG, WebP, TIFF, GIF, .npy or NIfTI."
    else:
        return _damaged(fault, what)
    return PhotoError(f"cannot read {what}: {reason}")


def _damaged(fault: Exception, what: str) -> PhotoError:
    return PhotoError(f"{what} is damaged or cut off: {in_words(fault)}. Fetch the file again, or leave it out.")


def _deep_png(picture: Image.Image, data: bytes, scale: Scale) -> Levels:
    """The levels of a PNG of 16 bits; of more than one channel Pillow takes the high bytes alone."""
    clear, size = picture.info.get("transparency"), (picture.height, picture.width)
    deep_rows = _deep_rows(picture, data)
    white = _white(data, size, deep_rows)

    def seen(rows: slice) -> Levels:
        values = deep_rows(rows)
        colours = {2: 1, 4: 3}.get(values.shape[2])
        if colours is not None:
            return over_white(scale.levels(values[..., :colours], white), values[..., colours:])
        levels = scale.levels(values, white)
        return levels if clear is None else without(levels, values, clear)

    return frozen(upright(in_bands(size, seen), orientation(picture)))


def _deep_rows(picture: Image.Image, data: bytes) -> Callable[[slice], NDArray[np.uint16]]:
    """A function that gives some rows of a 16-bit PNG, (h, w, channels)."""
    mode = raw_mode(picture)
    if mode == "I;16B":
        picture.load()
        return lambda rows: np.atleast_3d(rows_of(picture, rows)).astype(np.uint16)
    with Image.open(io.BytesIO(_as_four_channels(data) if mode == "LA;16B" else data)) as other:
        return pairs_of_bytes(other) if mode == "LA;16B" else both_bytes(picture, other, native=False)


def _white(data: bytes, size: tuple[int, int], deep_rows: Callable[[slice], NDArray[np.uint16]]) -> int | None:
    """The value of white by the chunk sBIT; None if there is none.

    sBIT says how many bits the samples had before they were spread over 16, as PNG has it. Some writers have not spread
    them: no sample then needs more bits, and some have ones where spreading 12 bits gives zeros.
    """
    bits = _significant_bits(data)
    if bits is None:
        return None
    largest, low_ones = 0, 0
    for rows in bands(*size):
        values = deep_rows(rows)
        values = values[..., : {2: 1, 4: 3}.get(values.shape[2], 3)]
        largest, low_ones = max(largest, int(values.max())), max(low_ones, int((values % 2 ** (16 - bits)).max()))
    spread = largest >= 2**bits or low_ones < 2  # rounding may leave a one
    return 65535 if spread else int(2**bits - 1)


def _significant_bits(data: bytes) -> int | None:
    """What a PNG's chunk sBIT says of its colours, if it says less than all 16."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"sBIT" and 0 < length <= 4:
            colours = data[at + 8 : at + 8 + (length if length in (1, 3) else length - 1)]
            return max(colours) if 1 < max(colours) < 16 else None
        if kind == b"IDAT":
            break
        at += 12 + length
    return None


def _as_four_channels(data: bytes) -> bytes:
    """A PNG of grey and opacity, 16 bits each, as one of four channels of 8 bits: their rows have the same bytes."""
    header = data[12:24] + b"\x08\x06" + data[26:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
