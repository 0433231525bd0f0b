"""The photos of a data set by index, wherever they are.

folder, list, tar shards, Parquet, URLs ─┐
Hugging Face Dataset, torch Dataset ─────┼─► PhotoSet: name(i), read(i), fingerprint
sequence of photos or paths ─────────────┘
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import IterableDataset

from deconvnet._checks import escaped
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos import files, shards
from deconvnet.photos.files import File
from deconvnet.photos.photo import Photo, PhotoLike, decode_photo, load_photo

SUFFIXES = tuple(".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm .pbm .jp2 .avif .tga".split())
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Photos by index. It can be pickled, keeps no file open, and grows with the names alone.

    Attributes:
        names: of each photo: unique, the same on every machine, and no absolute path.
        fingerprint: hex digits that identify the set, by names and sizes.
        fetch: what photo i is before it is decoded.
    """

    names: pa.LargeStringArray  # compact, and copied as one piece
    fingerprint: str
    fetch: Callable[[int], object]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """The name of photo i."""
        return str(self.names[i].as_py())

    def read(self, i: int) -> Photo:
        """Photo i, decoded; it carries its name.

        Raises:
            PhotoError: whatever is wrong with this photo.
        """
        return _photo(partial(self.fetch, i), self.name(i))


def open_photos(source: Any) -> PhotoSet:
    """The photos of a data set, to be read by index.

    The first, the middle and the last photo of a data set in memory are read: they are its fingerprint. Only the names
    and sizes of files are read, and the tables of contents of shards.

    Args:
        source: one of
            a folder of photos, with the folders in it, or of `.tar` or `.parquet` shards;
            a pattern: `shards-{0000..0012}.tar`, `train/*/*.jpg`;
            a `.txt` with a path or URL on each line, relative to that file; `#` starts a comment;
            a `.tar` (as WebDataset writes it) or a `.parquet` with a column of encoded photos;
            a URL of any of these, if fsspec and its driver are installed (`s3://bucket/photos`);
            a Hugging Face `Dataset` with an image column;
            a map-style `torch.utils.data.Dataset` or a sequence, whose items are photos as
            `load_photo` takes them, or tuples with the photo first, or dictionaries with an "image".

    Raises:
        PhotoError: not found, or no photos in it; a shard that cannot be read.
        ArgumentError: not a source of photos, or one that cannot be read by index.

    Example:
        >>> photos = open_photos(["sample:chelsea", "sample:rocket"])
        >>> len(photos), photos.read(1).size
        (2, (427, 640))
    """
    if isinstance(source, str | os.PathLike):
        return _from_location(os.fspath(source))
    _check_items(source)
    if isinstance(source, list | tuple) and all(map(_is_location, source)):
        return _from_files([files.absolute(os.fspath(location)) for location in source], "the list")
    return _from_items(source)


def _is_location(item: object) -> bool:
    return isinstance(item, str | os.PathLike) and not str(item).startswith("sample:")


# ---- files


def _from_location(source: str) -> PhotoSet:
    location = files.absolute(source)
    if files.is_folder(location):
        return _photos_or_shards(files.inside(location), source)
    if not files.is_file(location) and "{" in location:
        return _from_files(files.in_braces(location), source)
    if not files.is_file(location) and any(sign in location for sign in "*?["):
        return _photos_or_shards(files.matching(location), source)
    if not files.is_file(location):
        raise PhotoError(f"no file or folder {source!r}. Check the path.")
    if location.lower().endswith(".txt"):
        return _from_files(_lines(location, source), source)
    if not location.lower().endswith((*SUFFIXES, *_COMPRESSED, ".tar", ".parquet")):
        raise ArgumentError(
            f"{source!r} is not a source of photos. Give a folder, a .txt with a path on each line, "
            "a .tar, a .parquet or a photo."
        )
    return _from_files([location], source)


def _lines(location: str, source: str) -> list[str]:
    try:
        lines = [line.strip() for line in files.read(location).decode("utf-8-sig").splitlines()]
    except (PhotoError, UnicodeDecodeError) as fault:
        raise PhotoError(f"cannot read the list {source!r}: {fault}") from fault
    return [files.absolute(line, beside=location) for line in lines if line and not line.startswith("#")]


def _photos_or_shards(listed: list[File], source: str) -> PhotoSet:
    """The photos among the files; where there are none, the shards."""
    for suffixes, open_them in (
        (SUFFIXES, _from_photos),
        ((*_COMPRESSED, ".tar"), _from_tars),
        (".parquet", _from_tables),
    ):
        matches = [file for file in listed if file.location.lower().endswith(suffixes)]
        if matches:
            return open_them(matches, source)
    raise PhotoError(f"no photos in {source!r}: no {', '.join(SUFFIXES)}, and no .tar or .parquet.")


def _from_files(locations: list[str], source: str) -> PhotoSet:
    """Exactly these files, whether they exist or not."""
    if not locations:
        raise PhotoError(f"no photos in {source!r}: it is empty.")
    listed = files.listed(locations)
    for suffixes, open_them in (((*_COMPRESSED, ".tar"), _from_tars), (".parquet", _from_tables)):
        if all(location.lower().endswith(suffixes) for location in locations):
            return open_them(listed, source)
    return _from_photos(listed, source)


def _from_photos(listed: list[File], source: str) -> PhotoSet:
    locations = pa.array([os.fsencode(file.location) for file in listed], pa.large_binary())
    names, marks = [file.name for file in listed], [file.mark for file in listed]
    return _photo_set("files", names, marks, partial(_file, locations))


def _file(locations: pa.LargeBinaryArray, i: int) -> bytes:
    return files.read(os.fsdecode(locations[i].as_py()))


def _from_tars(listed: list[File], source: str) -> PhotoSet:
    compressed = [file.name for file in listed if file.location.lower().endswith(_COMPRESSED)]
    if compressed:
        raise ArgumentError(
            f"{compressed[0]!r} is compressed, and photos cannot be read from the middle of it. Unpack it "
            "to a .tar: photos are compressed already."
        )
    names, table = [], []
    for index, shard in enumerate(listed):
        prefix = "" if len(listed) == 1 else shard.name.removesuffix(".tar") + "/"
        for name, offset, size in shards.members(shard, SUFFIXES):
            names.append(prefix + name)
            table.append((index, offset, size))
    members = np.array(table, np.int64).reshape(-1, 3)
    locations = tuple(file.location for file in listed)
    return _photo_set("tar", names, members[:, 2].tolist(), partial(_member, locations, members), source)


def _member(locations: tuple[str, ...], members: Int64[np.ndarray, "n 3"], i: int) -> bytes:
    shard, offset, size = members[i].tolist()
    return files.read(locations[shard], offset, size)


def _from_tables(listed: list[File], source: str) -> PhotoSet:
    groups, names, sizes = shards.row_groups(listed)
    kind = f"parquet {groups.column} {sizes}"
    return _photo_set(kind, names, [0] * len(names), partial(shards.row, groups), source)


# ---- objects


def _check_items(source: Any) -> None:
    what = f"{type(source).__name__} is not a source of photos"
    if isinstance(source, Mapping):
        raise ArgumentError(f"{what}: it is a dictionary. Give one of its values: {', '.join(map(repr, source))}.")
    if isinstance(source, np.ndarray | Tensor) and source.ndim != 4:
        raise ArgumentError(f"{what} with {source.ndim} axes. Give a list of photos.")
    readable = hasattr(source, "__len__") and hasattr(source, "__getitem__")
    if isinstance(source, IterableDataset) or (hasattr(source, "__iter__") and not readable):
        raise ArgumentError(
            f"{what}: it can only be iterated, one after another, but photos are read by index. "
            "Give a map-style dataset, list(...) of it if it fits in memory, or its files."
        )
    if not readable:
        raise ArgumentError(f"{what}. Give a path, a URL, a Dataset with a length, or a list of photos.")


def _from_items(source: Any) -> PhotoSet:
    kind = type(source).__name__
    key = None
    if hasattr(source, "column_names") and hasattr(source, "cast_column"):
        source, key = _hugging_face(source)
    count = len(source)
    if not count:
        raise PhotoError(f"no photos in the {kind}: its length is 0.")
    fetch = partial(_item, source, key)
    names = [str(i) for i in range(count)]
    sizes = [0] * count
    return _photo_set(f"{kind} {_samples(fetch, count)}", names, sizes, fetch)


def _hugging_face(dataset: Any) -> tuple[Any, str]:
    """The photos as the files that they came from, unless the user transforms them."""
    kinds = {name: type(feature).__name__ for name, feature in dataset.features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    fitting = images or [name for name in ("image", "img") if name in kinds]
    column = shards.image_column(fitting, kinds, "the Dataset")
    if dataset.format["type"] == "custom":
        return dataset, column
    dataset = dataset.with_format(None).select_columns([column])
    if images:
        dataset = dataset.cast_column(column, replace(dataset.features[column], decode=False))
    return dataset, column


def _item(source: Any, key: str | None, i: int) -> object:
    item = source[i]
    if isinstance(item, tuple | list) and item:
        return item[0]
    if isinstance(item, Mapping):
        keys = [name for name in (key, "image", "img") if name in item]
        if not keys:
            raise PhotoError(f"it has no 'image', but {', '.join(map(repr, item))}.")
        return item[keys[0]]
    return item


def _samples(fetch: Callable[[int], object], count: int) -> str:
    """Hashes of the first, middle and last photo, which distinguish data sets of the same class and length."""
    digests, faults = [], []
    for i in sorted({0, count // 2, count - 1}):
        try:
            digests.append(hashlib.sha256(_photo(partial(fetch, i), str(i)).pixels.tobytes()).hexdigest())
        except PhotoError as fault:
            digests.append("unreadable")
            faults.append(fault)
    if len(faults) == len(digests):
        raise ArgumentError(f"neither the first, nor the middle, nor the last item gives a photo: {faults[0]}")
    return " ".join(digests)


# ---- both


def _photo(fetch: Callable[[], object], name: str) -> Photo:
    try:
        item: Any = fetch()
        if isinstance(item, Mapping) and "bytes" in item:  # as Hugging Face keeps a file
            item = item["bytes"] if item["bytes"] is not None else item.get("path")
        if _is_location(item):
            item = files.read(files.absolute(os.fspath(item)))
        if item is None:
            raise PhotoError("there is none.")
    except MemoryError:
        raise
    except PhotoError as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault
    except Exception as fault:  # a user's data set raises whatever it likes
        reason = re.sub(r" at 0x[0-9a-f]+", "", str(fault))  # the same at each run
        raise PhotoError(f"cannot read {name!r}: {type(fault).__name__}: {reason}") from fault
    return decode_photo(item, name) if isinstance(item, bytes) else _loaded(item, name)


def _loaded(item: Any, name: str) -> Photo:
    try:
        photo: PhotoLike = item
        return replace(load_photo(photo), name=name)
    except (ArgumentError, PhotoError) as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault


def _photo_set(
    kind: str, names: list[str], marks: Sequence[object], fetch: Callable[[int], object], source: str = ""
) -> PhotoSet:
    if not names:
        raise PhotoError(f"no photos in {source!r}.")
    unique = _unique(map(escaped, names))
    digest = hashlib.sha256(f"{kind}\n".encode())
    for name, mark in zip(unique, marks, strict=True):
        digest.update(f"{mark} {name}\n".encode())
    return PhotoSet(pa.array(unique, pa.large_string()), digest.hexdigest(), fetch)


def _unique(names: Iterable[str]) -> list[str]:
    """The second photo of a name has #2 behind it, and so on."""
    names = list(names)
    taken, times, unique = set(names), dict.fromkeys(names, 0), []
    for name in names:
        times[name] += 1
        new = name
        while times[name] > 1 and (new := f"{name}#{times[name]}") in taken:
            times[name] += 1
        taken.add(new)
        unique.append(new)
    return unique
