"""What a photo is before it is decoded, and the digest that tells whether it is still the same."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from deconvnet._errors import ArgumentError, PhotoError, ValueRangeError
from deconvnet.photos import files
from deconvnet.photos.photo import Photo, PhotoLike, array_of, decode_photo, read_photo
from deconvnet.photos.values import AS_IT_IS, Reading


@dataclass(frozen=True)
class Encoded:
    """A photo as a file holds it.

    Attributes:
        data: of the file.
        page: index of the picture in it; None if it holds one.
    """

    data: bytes
    page: int | None = None


def is_location(item: object) -> bool:
    """Whether an item names a file."""
    return isinstance(item, str | os.PathLike) and not str(item).startswith("sample:")


def spread(count: int) -> list[int]:
    """The first, the middle and the last index."""
    return sorted({0, count // 2, count - 1})


def samples(
    fetch: Callable[[int], object], names: Sequence[str], *, decoded: bool = False
) -> tuple[list[int], list[PhotoError]]:
    """Digests of the first, middle and last photo, 0 of one that cannot be fetched; what is wrong with those that fail.

    The digests tell sets of the same names and sizes from each other.

    Args:
        fetch: what photo i is before it is decoded.
        names: of all photos.
        decoded: whether they are decoded, to see whether they are photos.
    """
    digests, faults = [], []
    for i in spread(len(names)):
        digest = 0
        try:
            item = content_of(partial(fetch, i), names[i])
            digest = digest_of(item, names[i])
            if decoded:
                _check_photo(item, names[i])
        except ValueRangeError:  # a photo, for those who know its range
            pass
        except PhotoError as fault:
            faults.append(fault)
        digests.append(digest)
    return digests, faults


def _check_photo(item: object, name: str) -> None:
    """Raise unless it is a photo, or a volume, whatever the network takes.

    Raises:
        PhotoError: it is neither.
    """
    try:
        _decoded(item, name, AS_IT_IS)
    except ValueRangeError:
        raise
    except PhotoError:
        try:
            _decoded(item, name, replace(AS_IT_IS, volume=True))
            return
        except ValueRangeError:
            return
        except PhotoError:
            pass
        raise


def photo_of(fetch: Callable[[], object], name: str, reading: Reading) -> Photo:
    """The photo of that name, decoded, with its digest.

    Raises:
        PhotoError: whatever is wrong with it.
    """
    item = content_of(fetch, name)
    return replace(_decoded(item, name, reading), digest=digest_of(item, name, reading))


def _decoded(item: object, name: str, reading: Reading) -> Photo:
    if isinstance(item, Encoded):
        return decode_photo(item.data, name, replace(reading, page=item.page))
    return _loaded(item, name, reading)


def digest_of(item: object, name: str, reading: Reading = AS_IT_IS) -> int:
    """64 bits that tell the content of a photo: the bytes that are decoded, or else its numbers; never 0."""
    if isinstance(item, Encoded):
        data = item.data + (b"" if item.page is None else f"#{item.page}".encode())
    else:
        array = _array(item, name, reading)
        data = array.tobytes() + str((array.shape, array.dtype)).encode()
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") or 1


def _array(item: object, name: str, reading: Reading) -> Any:
    """An array or a tensor as it is, whatever its range; of anything else the levels."""
    if isinstance(item, np.ndarray):
        return item
    if isinstance(item, Photo):
        return item.levels
    if not isinstance(item, Tensor):
        return _loaded(item, name, reading).levels
    try:
        return array_of(item)
    except ArgumentError as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault


def content_of(fetch: Callable[[], object], name: str) -> object:
    """What a photo is before it is decoded: `Encoded`, or a thing that `load_photo` takes.

    Raises:
        PhotoError: it cannot be fetched.
    """
    try:
        item: Any = fetch()
        if isinstance(item, Mapping) and "bytes" in item:  # as Hugging Face keeps a file
            item = _bytes(item["bytes"]) if item["bytes"] is not None else item.get("path")
        if is_location(item):
            item = encoded(files.absolute(os.fspath(item)))
        if item is None:
            raise PhotoError("there is none.")
        return Encoded(item) if isinstance(item, bytes) else item
    except PhotoError as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault
    except Exception as fault:  # a user's data set raises whatever it likes
        raise PhotoError(f"cannot read {name!r}: {type(fault).__name__}: {files.in_words(fault)}") from fault


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise PhotoError(f"its 'bytes' are of type {type(value).__name__}.")
    return bytes(value)


def encoded(location: str) -> Encoded:
    """The file of that path or URL, behind which the index of a picture in it may stand.

    Raises:
        PhotoError: it cannot be read.
    """
    location, page = files.split_page(location)
    return Encoded(files.read(location), page)


def _loaded(item: Any, name: str, reading: Reading) -> Photo:
    try:
        photo: PhotoLike = item
        return replace(read_photo(photo, reading), name=name)
    except ValueRangeError as fault:
        raise ValueRangeError(f"cannot read {name!r}: {fault}") from fault
    except (ArgumentError, PhotoError) as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault
