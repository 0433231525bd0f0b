"""Compressed parts of a TIFF → their bytes, and never many more than the picture can use.

What tifffile decompresses by itself has no limit: a part of 400 kB may become 400 MB.
"""

import lzma
import zlib
from collections.abc import Callable

_DICTIONARY = 2**28  # bytes that LZMA may look back; its strongest setting takes a quarter of that
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def decompress(data: bytes, compression: int, most: int, *, reversed_bits: bool) -> bytes:
    """The bytes of a part; what lies behind the first `most` of them may be left out.

    Args:
        data: as the file holds it.
        compression: one of `KINDS`, by TIFF's number.
        most: bytes that the part can have at most.
        reversed_bits: whether the lowest bit of each byte comes first.

    Raises:
        Exception: the data is damaged, or ends too early.
    """
    return _DECODERS[compression](data.translate(_REVERSED) if reversed_bits else data, most)


def _stored(data: bytes, most: int) -> bytes:
    return data[:most]


def _deflate(data: bytes, most: int) -> bytes:
    return _to_the_end(zlib.decompressobj(), data, most)


def _lzma(data: bytes, most: int) -> bytes:
    return _to_the_end(lzma.LZMADecompressor(memlimit=_DICTIONARY), data, most)


def _to_the_end(decoder: "zlib._Decompress | lzma.LZMADecompressor", data: bytes, most: int) -> bytes:
    result = decoder.decompress(data, most + 1)  # one more, so that the checksum behind the last byte is compared
    if not decoder.eof and len(result) <= most:
        raise EOFError("a compressed part of it ends too early")
    return result


def _pack_bits(data: bytes, most: int) -> bytes:
    result, at = bytearray(), 0
    while at < len(data) and len(result) < most:
        head = data[at]
        if head < 128:
            result += data[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            result += data[at + 1 : at + 2] * (257 - head) if head > 128 else b""
            at += 2 if head > 128 else 1
    return bytes(result)


_DECODERS: dict[int, Callable[[bytes, int], bytes]] = {
    1: _stored, 8: _deflate, 32946: _deflate, 32773: _pack_bits, 34925: _lzma,
}  # fmt: skip
KINDS = frozenset(_DECODERS)
"""Compressions that are undone here, by TIFF's numbers."""
