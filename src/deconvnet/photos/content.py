"""What a photo is before it is decoded, and the digest that tells whether it is still the same."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos import files
from deconvnet.photos.photo import Photo, PhotoLike, decode_photo, load_photo


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
            if decoded and isinstance(item, bytes):
                decode_photo(item, names[i])
        except PhotoError as fault:
            faults.append(fault)
        digests.append(digest)
    return digests, faults


def photo_of(fetch: Callable[[], object], name: str) -> Photo:
    """The photo of that name, decoded, with its digest.

    Raises:
        PhotoError: whatever is wrong with it.
    """
    item = content_of(fetch, name)
    photo = decode_photo(item, name) if isinstance(item, bytes) else _loaded(item, name)
    return replace(photo, digest=digest_of(item if isinstance(item, bytes) else photo, name))


def digest_of(item: object, name: str) -> int:
    """64 bits that tell the content of a photo: the bytes that are decoded, or else its levels; never 0."""
    photo = None if isinstance(item, bytes) else _loaded(item, name)
    data: Any = item if photo is None else photo.levels.tobytes() + str((photo.size, photo.levels.dtype)).encode()
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") or 1


def content_of(fetch: Callable[[], object], name: str) -> object:
    """What a photo is before it is decoded: bytes, or a thing that `load_photo` takes.

    Raises:
        PhotoError: it cannot be fetched.
    """
    try:
        item: Any = fetch()
        if isinstance(item, Mapping) and "bytes" in item:  # as Hugging Face keeps a file
            item = _bytes(item["bytes"]) if item["bytes"] is not None else item.get("path")
        if is_location(item):
            item = files.read(files.absolute(os.fspath(item)))
        if item is None:
            raise PhotoError("there is none.")
        return item
    except PhotoError as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault
    except Exception as fault:  # a user's data set raises whatever it likes
        raise PhotoError(f"cannot read {name!r}: {type(fault).__name__}: {files.in_words(fault)}") from fault


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise PhotoError(f"its 'bytes' are of type {type(value).__name__}.")
    return bytes(value)


def _loaded(item: Any, name: str) -> Photo:
    try:
        photo: PhotoLike = item
        return replace(load_photo(photo), name=name)
    except (ArgumentError, PhotoError) as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault
