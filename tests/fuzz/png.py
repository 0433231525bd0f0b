"""A plain writer of PNG (ISO 15948): every colour type, depth and interlacing, which Pillow does not write."""

import struct
import zlib
from collections.abc import Iterable

import numpy as np

GREY, COLOUR, PALETTE, GREY_OPAQUE, COLOUR_OPAQUE = 0, 2, 3, 4, 6
BANDS = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_OPAQUE: 2, COLOUR_OPAQUE: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), COLOUR: (8, 16), PALETTE: (1, 2, 4, 8), GREY_OPAQUE: (8, 16), COLOUR_OPAQUE: (8, 16)}

# Adam7: first row, first column, step of rows, step of columns
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def encoded(
    pixels: np.ndarray, colour: int, depth: int, interlaced: bool, extra: Iterable[tuple[bytes, bytes]] = ()
) -> bytes:
    """The file of pixels (h, w, bands), whole numbers of `depth` bits, with more chunks before the pixels."""
    height, width = pixels.shape[:2]
    parts = [pixels[y::down, x::right] for y, x, down, right in _PASSES] if interlaced else [pixels]
    rows = b"".join(b"\0" + _row(row, depth) for part in parts if part.size for row in part)
    return _file(height, width, depth, colour, interlaced, zlib.compress(rows), extra)


def blank(side: int, colour: int, depth: int) -> bytes:
    """The small file of a large square, all zero."""
    row = bytes(1 + side * BANDS[colour] * depth // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return _file(side, side, depth, colour, False, data, ())


def _file(
    height: int,
    width: int,
    depth: int,
    colour: int,
    interlaced: bool,
    data: bytes,
    extra: Iterable[tuple[bytes, bytes]],
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _row(row: np.ndarray, depth: int) -> bytes:
    values = row.reshape(-1)
    if depth == 16:
        return values.astype(">u2").tobytes()
    bits = np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :]
    return np.packbits(bits).tobytes()
