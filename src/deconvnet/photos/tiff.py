"""TIFF → levels: by tifffile, and by Pillow where a compression needs it and Pillow is right.

Pillow alone reads TIFF wrongly: white-is-zero of 16 bits and floats as the negative, 12 bits too dark, signed
integers wrapped around, colour of 16 bits at 8, and some orders of bytes and planes mixed.
"""

import io
import logging
import math
import re
from contextlib import ExitStack, suppress
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from deconvnet._errors import PhotoError
from deconvnet.photos.arrays import which_page
from deconvnet.photos.compression import KINDS, decompress
from deconvnet.photos.files import check_size
from deconvnet.photos.levels import Levels, as_levels, frozen, in_bands, over_white, unit, upright, white
from deconvnet.photos.pillow import both_bytes, picture_levels, raw_mode
from deconvnet.photos.values import Scale, needs_range

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NONE, _LZW = 1, 5
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_MULTIPLIED, _OPACITY = 1, 2  # what an extra sample is
_WHOLE_PIXELS, _PLANES = 1, 2
_REDUCED, _MASK = 1, 4  # bits of what a page is


logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it finds becomes an error, or does not matter


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as a TIFF does."""
    return data[:4] in _MAGIC


def tiff_levels(data: bytes, scale: Scale) -> Levels:
    """The levels of a picture of a TIFF.

    Raises:
        PhotoError: several pictures of which none is named, of a kind that cannot be read, too large, or lacking a
            part; says which. Or as `Scale.levels`.
        Exception: whatever a decoder meets in a damaged file.
    """
    import tifffile  # here, for the few who need it

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        index, page = _picture(file, scale)
        _check(page, len(data), scale)
        if _is_plain(page):
            array = _samples(page, data)
        elif (levels := _by_pillow(data, page, scale, index)) is not None:
            return frozen(levels)
        else:
            array = _with_other_codecs(page, data, scale.what)
        pixels = np.moveaxis(array[:, 0], 0, -1).reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
        white = _white(page, pixels)
        levels = in_bands(pixels.shape[:2], lambda rows: _levels(pixels[rows], page, scale, white))
        return frozen(upright(levels, _orientation(page)))


def _picture(file: Any, scale: Scale) -> tuple[int, Any]:
    """The page that holds the picture, and its index; small copies and masks beside it do not count."""
    asked, count = scale.reading.page, len(file.pages)
    if not count:
        raise ValueError("it holds no picture")
    if asked is None and count > 1:
        pictures = (i for i in range(count) if not _page(file, i).subfiletype & (_REDUCED | _MASK))
        whole = list(islice(pictures, 2))
        if len(whole) > 1:
            raise PhotoError(f"{scale.what} holds several pictures.{which_page(count, scale)}")
        asked = (whole or [0])[0]
    if (asked or 0) >= count:
        raise PhotoError(f"{scale.what} holds {count} picture{'s' * (count != 1)}, counted from 0, and no {asked}.")
    images = (file.imagej_metadata or {}).get("images", 1) if count == 1 and file.is_imagej else 1
    if isinstance(images, int) and images > 1:
        raise PhotoError(
            f"{scale.what} holds {images} pictures as ImageJ writes large stacks. Save it as an image sequence, or as "
            ".npy."
        )
    return asked or 0, _page(file, asked or 0)


def _page(file: Any, index: int) -> Any:
    page = file.pages[index]
    return page.aspage() if hasattr(page, "aspage") else page


def _white(page: Any, pixels: NDArray[Any]) -> int | None:
    """The value of white, where the file says so; None where nothing but the type does.

    Numbers of other than 8, 16, 32 and 64 bits fill their bits. Of others MaxSampleValue may be the depth of the
    camera, such as 4095, or only the largest value of this picture, which TIFF 6.0 means it to be: that says nothing.
    """
    bits = page.bitspersample
    if page.sampleformat != _UNSIGNED or bits <= 8:
        return None
    if bits not in (16, 32, 64):
        return int(2**bits - 1)
    largest = _whole(page, "MaxSampleValue") or 0
    depths = re.findall(r'SignificantBits="(\d{1,2})"', page.description) or [largest.bit_length()]
    white = int(2 ** int(depths[0]) - 1)
    said = largest == white > 255 or page.description.count("SignificantBits")
    return white if said and not _whole(page, "MinSampleValue") and white < 2**bits and pixels.max() <= white else None


def _whole(page: Any, name: str) -> int | None:
    tag = page.tags.get(name)
    values = tag.value if tag and isinstance(tag.value, tuple) else (tag and tag.value,)
    return values[0] if isinstance(values[0], int) and len(set(values)) == 1 else None


def _orientation(page: Any) -> object:
    """What the tag says, whatever that is; of several values the first, as Pillow takes it."""
    tag = page.tags.get(ExifTags.Base.Orientation)
    return tag.value[0] if tag and isinstance(tag.value, tuple) else tag and tag.value


def _check(page: Any, size: int, scale: Scale) -> None:
    """Raise if the picture cannot be read, whoever reads it."""
    what = scale.what
    tags = page.compression, page.photometric, page.predictor, page.planarconfig, page.bitspersample, page.sampleformat
    if not all(isinstance(value, int) for value in (*tags, page.samplesperpixel, page.imagelength, page.imagewidth)):
        raise ValueError("a tag does not have the one number that it should")
    if page.imagelength * page.imagewidth > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Image.DecompressionBombError(f"{page.imagelength} x {page.imagewidth} pixels")
    check_size(math.prod(page.shaped) * page.bitspersample / 8, f"{what}, decoded, has")
    check_size(_part_size(page), f"a tile of {what}, decoded, has")
    if page.sampleformat not in (_UNSIGNED, _SIGNED, _FLOAT):
        raise PhotoError(
            f"{what} has pixels that are numbers that are not real. Pass an array of their magnitude, for example."
        )
    if page.sampleformat == _SIGNED and scale.reading.value_range is None:
        said = [_whole(page, name) for name in ("SMinSampleValue", "SMaxSampleValue")]
        words = f" (of this picture it says {said[0]} to {said[1]})" if None not in said else ""
        raise needs_range(f"{what} has pixels that are signed integers of {page.bitspersample} bits{words}")
    if page.imagedepth != 1 or page.samplesperpixel < _COLOURS.get(page.photometric, 1):
        raise PhotoError(f"{what} is a TIFF of the shape {page.shaped}, which is not a photo. Give a plane of it.")
    if page.photometric in _COLOURS:
        _meaning(page, scale)
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    lacking = len(parts) < math.prod(page.chunked) and (page.compression != _NONE or page.is_tiled)  # tifffile fills up
    if not parts or lacking or any(count == 0 or offset + count > size for offset, count in parts):
        raise PhotoError(
            f"{what} is damaged or cut off: parts of it are missing. Fetch the file again, or leave it out."
        )


def _is_plain(page: Any) -> bool:
    """Whether tifffile reads it by itself; what Pillow converts to RGB is left to Pillow."""
    grey_or_colour = page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
    if page.compression not in KINDS or not (grey_or_colour or _is_deep_cmyk(page)):
        return False
    if page.sampleformat == _FLOAT:
        return page.predictor == 1 and page.bitspersample in (16, 32, 64)
    bits = (1, 8, 16, 32, 64) if page.samplesperpixel == 1 or page.planarconfig == _PLANES else (8, 16, 32, 64)
    return page.predictor in (1, 2) and page.bitspersample in bits


def _is_deep_cmyk(page: Any) -> bool:
    return bool(page.photometric == _CMYK and page.bitspersample > 8)


def _by_pillow(data: bytes, page: Any, scale: Scale, index: int) -> Levels | None:
    """The levels, turned as the file says, which Pillow does itself; None where it would be wrong, or cannot."""
    bits, single, unsigned = page.bitspersample, page.samplesperpixel == 1, page.sampleformat == _UNSIGNED
    ours = page.parent.byteorder == "<"  # Pillow mixes the bytes of some others
    with ExitStack() as stack:
        stack.enter_context(suppress(UnidentifiedImageError))
        pictures = [stack.enter_context(Image.open(io.BytesIO(data))) for _ in range(2)]
        for picture in pictures:
            picture.seek(index)
        if unsigned and bits <= 8:
            mixed = page.planarconfig == _PLANES and page.samplesperpixel == 2
            return None if mixed else picture_levels(pictures[0], scale)
        if page.photometric not in _COLOURS:
            return None
        if single and (
            (unsigned and (bits == 16 or (bits == 12 and page.compression == _NONE)))
            or (not unsigned and bits == 32 and ours)
            or (page.sampleformat == _SIGNED and bits == 16 and ours)
        ):
            pictures[0].load()
            grey = np.asarray(pictures[0])[..., None]
            white = _white(page, grey)
            return in_bands(grey.shape[:2], lambda rows: _levels(grey[rows], page, scale, white))
        whole = page.planarconfig == _WHOLE_PIXELS and raw_mode(pictures[0]).partition(";")[2] == "16N"
        if unsigned and whole and raw_mode(pictures[0]).partition(";")[0] in ("RGB", "RGBX", "RGBA", "CMYK"):
            deep_rows = both_bytes(*pictures, native=True)
            size = (pictures[0].height, pictures[0].width)
            white = _white(page, np.array([int(in_bands(size, deep_rows).max())]))
            return in_bands(size, lambda rows: _levels(deep_rows(rows), page, scale, white))
    return None


def _samples(page: Any, data: bytes) -> NDArray[np.generic]:
    """The samples as the file holds them, (planes, depth, h, w, samples); compressed parts are bounded."""
    compression, most = page.compression, _part_size(page)
    if compression not in KINDS - {_NONE}:
        array: NDArray[np.generic] = page.asarray(squeeze=False, maxworkers=1)
        return array
    reversed_bits, page.compression, page.fillorder = page.fillorder == 2, _NONE, 1  # for tifffile, which reads on
    array = np.empty(page.shaped, page.dtype)
    parts = zip(page.dataoffsets, page.databytecounts, strict=True)
    for i, (offset, count) in zip(range(math.prod(page.chunked)), parts, strict=False):
        part = decompress(data[offset : offset + count], compression, most, reversed_bits=reversed_bits)
        pixels, (plane, _, top, left, _), (_, height, width, _) = page.decode(part, i)
        room = array[plane, :, top : top + height, left : left + width]
        room[:] = pixels[:, : room.shape[1], : room.shape[2]]
    return array


def _part_size(page: Any) -> int:
    """Bytes that a strip or a tile can have; packed bits are counted as bytes."""
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    width = page.tilewidth if page.is_tiled else page.imagewidth
    samples = page.samplesperpixel if page.planarconfig == _WHOLE_PIXELS else 1
    return int(rows * width * samples * math.ceil(page.bitspersample / 8))


def _with_other_codecs(page: Any, data: bytes, what: str) -> NDArray[np.generic]:
    kind = "float" if page.sampleformat == _FLOAT else "integer"
    reason = ""
    try:
        if page.photometric in _COLOURS and page.compression in {*KINDS, _LZW}:  # others may become of any size
            return _samples(page, data)
    except ValueError as fault:
        reason = f" ({fault})"
    raise PhotoError(
        f"{what} is a TIFF of {page.samplesperpixel} x {page.bitspersample}-bit {kind} samples, "
        f"{_name(page.photometric)}, with compression {_name(page.compression)}, which cannot be read{reason}. "
        "Save it as grey or RGB of 8 or 16 bits without compression."
    )


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _meaning(page: Any, scale: Scale) -> tuple[int, int | None, bool]:
    """How many samples are colours, which one is opacity, and whether the colours are multiplied by it."""
    colours, extra = _COLOURS[page.photometric], [int(kind) for kind in page.extrasamples]
    if not extra and (colours, page.samplesperpixel) == (3, 4):
        extra = [_OPACITY]  # as every reader takes it
    if page.samplesperpixel == scale.reading.channels:
        return page.samplesperpixel, None, False
    covers = [i for i, kind in enumerate(extra) if kind in (_MULTIPLIED, _OPACITY)]
    if page.samplesperpixel != colours + len(extra) or (colours == 1 and len(extra) > len(covers)):
        raise PhotoError(
            f"{scale.what} has {page.samplesperpixel} samples in each pixel, and the file does not say that they are "
            "grey, RGB or CMYK with opacity. Pass an array of those to look at."
        )
    return colours, colours + covers[0] if covers else None, bool(covers) and extra[covers[0]] == _MULTIPLIED


def _levels(values: NDArray[Any], page: Any, scale: Scale, white_value: int | None) -> Levels:
    """The levels of some rows: samples as the file holds them, (h, w, samples)."""
    colours, at, multiplied = _meaning(page, scale)
    if multiplied and scale.reading.value_range and scale.reading.value_range[0]:
        raise PhotoError(
            f"{scale.what} has colours that are multiplied by their opacity, so no value but 0 can be black. Save it "
            "without opacity."
        )
    colour = _scaled(values[..., :colours], scale, white_value)
    if page.photometric == _WHITE_IS_ZERO:
        colour = (white(colour) - colour).astype(colour.dtype)
    if page.photometric == _CMYK:
        ink = unit(colour)
        colour = as_levels((1 - ink[..., :3]) * (1 - ink[..., 3:]), colour)
    if at is None:
        return colour
    opacity = _scaled(values[..., at : at + 1], Scale(scale.what), white_value)
    return over_white(colour, opacity, multiplied=multiplied)


def _scaled(values: NDArray[Any], scale: Scale, white_value: int | None) -> Levels:
    """Samples as levels; a bit is black or white."""
    return values.astype(np.uint8) * np.uint8(255) if values.dtype.kind == "b" else scale.levels(values, white_value)
