"""The photos of a data set by number, wherever they are.

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

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos import files, shards
from deconvnet.photos.files import File
from deconvnet.photos.photo import Photo, PhotoLike, decode_photo, load_photo

SUFFIXES = tuple(".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm .pbm .jp2 .avif .tga".split())
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Photos by number. It can be pickled, keeps no file open, and grows with the names alone.

    Attributes:
        names: of each photo: unique, the same on every machine, and no absolute path.
        fingerprint: hex digits that tell this set from others, by names and sizes.
        fetch: what photo i is before it is decoded.
    """

    names: pa.LargeStringArray  # compact, and copied as one piece
    fingerprint: str
    fetch: Callable[[int], object]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """How photo i is called."""
        return str(self.names[i].as_py())

    def read(self, i: int) -> Photo:
        """Photo i, decoded; it carries its name.

        Raises:
            PhotoError: whatever is wrong with this one photo.
        """
        return _photo(partial(self.fetch, i), self.name(i))


def open_photos(source: Any) -> PhotoSet:
    """The photos of a data set, to be read by number.

    Of a data set in memory the first, the middle and the last photo are read: they are its fingerprint.
    Of files only names and sizes are asked for, and of shards their tables of contents.

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
        ArgumentError: not a source of photos, or not one that is read by number.

    Example:
        >>> photos = open_photos(["sample:chelsea", "sample:rocket"])
        >>> len(photos), photos.read(1).size
        (2, (427, 640))
    """
    if isinstance(source, str | os.PathLike):
        return _from_place(os.fspath(source))
    _check_items(source)
    if isinstance(source, list | tuple) and all(map(_is_place, source)):
        return _from_files([files.absolute(os.fspath(place)) for place in source], "the list")
    return _from_items(source)


def _is_place(item: object) -> bool:
    return isinstance(item, str | os.PathLike) and not str(item).startswith("sample:")


# ---- files


def _from_place(source: str) -> PhotoSet:
    place = files.absolute(source)
    if files.is_folder(place):
        return _sorted_out(files.inside(place), source)
    if not files.is_file(place) and "{" in place:
        return _from_files(files.in_braces(place), source)
    if not files.is_file(place) and any(sign in place for sign in "*?["):
        return _sorted_out(files.matching(place), source)
    if not files.is_file(place):
        raise PhotoError(f"there is no file or folder {source!r}. Check the path.")
    if place.lower().endswith(".txt"):
        return _from_files(_lines(place, source), source)
    if not place.lower().endswith((*SUFFIXES, *_COMPRESSED, ".tar", ".parquet")):
        raise ArgumentError(
            f"{source!r} is not a source of photos. Give a folder, a .txt with a path on each line, "
            "a .tar, a .parquet or a photo."
        )
    return _from_files([place], source)


def _lines(place: str, source: str) -> list[str]:
    try:
        lines = [line.strip() for line in files.read(place).decode("utf-8-sig").splitlines()]
    except (PhotoError, UnicodeDecodeError) as fault:
        raise PhotoError(f"cannot read the list {source!r}: {fault}") from fault
    return [files.absolute(line, beside=place) for line in lines if line and not line.startswith("#")]


def _sorted_out(found: list[File], source: str) -> PhotoSet:
    """The photos among the files; where there are none, the shards."""
    for suffixes, opened in (
        (SUFFIXES, _from_photos),
        ((*_COMPRESSED, ".tar"), _from_tars),
        (".parquet", _from_tables),
    ):
        chosen = [file for file in found if file.place.lower().endswith(suffixes)]
        if chosen:
            return opened(chosen, source)
    raise PhotoError(f"there are no photos in {source!r}: no {', '.join(SUFFIXES)}, and no .tar or .parquet.")


def _from_files(places: list[str], source: str) -> PhotoSet:
    """Exactly these, be they there or not."""
    if not places:
        raise PhotoError(f"there are no photos in {source!r}: it is empty.")
    named = files.named(places)
    for suffixes, opened in (((*_COMPRESSED, ".tar"), _from_tars), (".parquet", _from_tables)):
        if all(place.lower().endswith(suffixes) for place in places):
            return opened(named, source)
    return _from_photos(named, source)


def _from_photos(found: list[File], source: str) -> PhotoSet:
    places = pa.array([os.fsencode(file.place) for file in found], pa.large_binary())
    return _photo_set("files", [file.name for file in found], [file.mark for file in found], partial(_file, places))


def _file(places: pa.LargeBinaryArray, i: int) -> bytes:
    return files.read(os.fsdecode(places[i].as_py()))


def _from_tars(found: list[File], source: str) -> PhotoSet:
    compressed = [file.name for file in found if file.place.lower().endswith(_COMPRESSED)]
    if compressed:
        raise ArgumentError(
            f"{compressed[0]!r} is compressed, and photos cannot be read from the middle of it. Unpack it "
            "to a .tar: photos are compressed already."
        )
    names, table = [], []
    for number, shard in enumerate(found):
        prefix = "" if len(found) == 1 else shard.name.removesuffix(".tar") + "/"
        for name, offset, size in shards.members(shard, SUFFIXES):
            names.append(prefix + name)
            table.append((number, offset, size))
    where = np.array(table, np.int64).reshape(-1, 3)
    places = tuple(file.place for file in found)
    return _photo_set("tar", names, where[:, 2].tolist(), partial(_member, places, where), source)


def _member(places: tuple[str, ...], where: Int64[np.ndarray, "n 3"], i: int) -> bytes:
    number, offset, size = where[i].tolist()
    return files.read(places[number], offset, size)


def _from_tables(found: list[File], source: str) -> PhotoSet:
    groups, names, sizes = shards.row_groups(found)
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
            f"{what}: it gives them one after another, but an atlas comes back to single photos by number. "
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
        raise PhotoError(f"there are no photos in the {kind}: its length is 0.")
    fetch = partial(_item, source, key)
    names = [str(i) for i in range(count)]
    sizes = [0] * count
    return _photo_set(f"{kind} {_looks(fetch, count)}", names, sizes, fetch)


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


def _looks(fetch: Callable[[int], object], count: int) -> str:
    """What tells data sets of one class and length apart: their first, middle and last photo."""
    told, faults = [], []
    for i in sorted({0, count // 2, count - 1}):
        try:
            told.append(hashlib.sha256(_photo(partial(fetch, i), str(i)).pixels.tobytes()).hexdigest())
        except PhotoError as fault:
            told.append("unreadable")
            faults.append(fault)
    if len(faults) == len(told):
        raise ArgumentError(f"neither the first, nor the middle, nor the last item gives a photo: {faults[0]}")
    return " ".join(told)


# ---- both


def _photo(fetch: Callable[[], object], name: str) -> Photo:
    try:
        found: Any = fetch()
        if isinstance(found, Mapping) and "bytes" in found:  # as Hugging Face keeps a file
            found = found["bytes"] if found["bytes"] is not None else found.get("path")
        if _is_place(found):
            found = files.read(files.absolute(os.fspath(found)))
        if found is None:
            raise PhotoError("there is none.")
    except MemoryError:
        raise
    except PhotoError as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault
    except Exception as fault:  # a user's data set raises whatever it likes
        said = re.sub(r" at 0x[0-9a-f]+", "", str(fault))  # the same at each run
        raise PhotoError(f"cannot read {name!r}: {type(fault).__name__}: {said}") from fault
    return decode_photo(found, name) if isinstance(found, bytes) else _loaded(found, name)


def _loaded(found: Any, name: str) -> Photo:
    try:
        photo: PhotoLike = found
        return replace(load_photo(photo), name=name)
    except (ArgumentError, PhotoError) as fault:
        raise PhotoError(f"cannot read {name!r}: {fault}") from fault


def _photo_set(
    kind: str, names: list[str], marks: Sequence[object], fetch: Callable[[int], object], source: str = ""
) -> PhotoSet:
    if not names:
        raise PhotoError(f"there are no photos in {source!r}.")
    unique = _unique([os.fsencode(name).decode("utf-8", "replace") for name in names])
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
