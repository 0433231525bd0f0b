"""The photos of a data set by index, wherever they are.

folder, list, tar shards, Parquet, URLs ─┐
Hugging Face Dataset, torch Dataset ─────┼─► PhotoSet: name(i), read(i), fingerprint
sequence of photos or paths ─────────────┘
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import IterableDataset

from deconvnet._checks import escaped, flag, index_of, instance, short
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._memory import check_fits
from deconvnet.photos import files, shards
from deconvnet.photos.content import Encoded, content_of, digest_of, encoded, is_location, photo_of, samples
from deconvnet.photos.files import File
from deconvnet.photos.names import unique_names
from deconvnet.photos.photo import Photo
from deconvnet.photos.values import AS_IT_IS, Reading

SUFFIXES = tuple(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm .pbm .jp2 .avif .tga .npy .nii .nii.gz".split()
)
_BYTES_OF_A_NAME = 100  # and of what else a set notes of each photo
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Photos by index. It can be pickled, keeps no file open, and grows with the names alone.

    Attributes:
        names: of each photo: unique, the same on every machine, and no absolute path.
        fingerprint: hex digits that identify the set, by names and sizes, and by the content of its first, middle and
            last photo; the same for a copy elsewhere.
        fetch: what photo i is before it is decoded.
        stamp: hex digits that change when a file is written anew, and may differ for a copy; "" if nothing is known.
        first: digest of the first photo when the set was opened; 0 if it could not be read.
    """

    names: pa.LargeStringArray  # compact, and copied as one piece
    fingerprint: str
    fetch: Callable[[int], object]
    stamp: str = ""
    first: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """The name of photo i."""
        return str(self.names[index_of(i, len(self), "photos")].as_py())

    def read(self, i: int, digest: int = 0, *, reading: Reading = AS_IT_IS) -> Photo:
        """Photo i, decoded; it carries its name and a digest of what it was decoded from.

        Args:
            i: index of the photo.
            digest: that the photo has to have, as an earlier reading found it; 0 for any.
            reading: how, as `Preprocess.reading` says it.

        Raises:
            PhotoError: whatever is wrong with this photo, or it has changed since that reading.
        """
        photo = photo_of(partial(self.fetch, i), self.name(i), instance("reading", reading, Reading))
        self.check_same(i, digest, photo.digest)
        return photo

    def check_unchanged(self, i: int, digest: int) -> None:
        """Raise unless photo i has this digest; files are read for that, but not decoded.

        Raises:
            PhotoError: it has another one, or cannot be read any more.
        """
        self.check_same(i, digest, self._digest(i))

    def check_repeatable(self) -> None:
        """Raise if the first photo is another one than when the set was opened.

        Raises:
            ArgumentError: it is.
        """
        if not self.first:  # a photo that cannot be read is for those who ask for it
            return
        try:
            now = self._digest(0)
        except PhotoError:
            return
        if now != self.first:
            raise ArgumentError(
                f"photo {self.name(0)!r} is another one than when the set was opened. Leave out what changes photos at "
                "random; if its file was written anew, open the photos again."
            )

    def _digest(self, i: int) -> int:
        return digest_of(content_of(partial(self.fetch, i), self.name(i)), self.name(i))

    def check_same(self, i: int, digest: int, now: int) -> None:
        """Raise unless what was read of photo i has the digest that it had before, 0 for any.

        Raises:
            PhotoError: it has another one.
        """
        if digest and digest != now:
            raise PhotoError(
                f"{self.name(i)!r} has changed since it was read first. Restore it, or start again in a new folder; a "
                "data set has to give the same photo every time."
            )


@dataclass(frozen=True)
class _Opening:
    """How a source is opened: what the user gave, for messages, and the options of `open_photos`."""

    source: str
    allow_outside: bool
    suffix: str | None


def open_photos(source: Any, *, allow_outside: bool = False, suffix: str | None = None) -> PhotoSet:
    """The photos of a data set, to be read by index.

    The first, the middle and the last photo are read for the fingerprint; of the others only names and sizes, and the
    tables of contents of shards.

    Args:
        source: a `PhotoSet`, which comes back as it is, or one of
            a folder of photos, with the folders in it, or of `.tar` or `.parquet` shards;
            a pattern: `shards-{0000..0012}.tar`, `train/*/*.jpg`, `stack.tif#{0..39}` for pictures in one file;
            a `.txt` with a path or URL on each line, relative to that file; `#` starts a comment;
            a `.tar` (as WebDataset writes it) or a `.parquet` with a column of encoded photos;
            a URL of any of these, if fsspec and its driver are installed (`s3://bucket/photos`);
            a Hugging Face `Dataset` with an image column;
            a map-style `torch.utils.data.Dataset` or a sequence, whose items are photos as
            `load_photo` takes them, or tuples with the photo first, or dictionaries with an "image".
        allow_outside: a `.parquet`, and a `.txt` behind a URL, may name files anywhere, as a local `.txt` always may.
            Otherwise what lies outside their folder is refused: such files often come from somebody else.
        suffix: which photo of each sample in tar shards, such as ".jpg" or ".mask.png": what follows the first dot of
            its name, or if there is none of that, how the name ends. With a star it is how names end in any case:
            "*.jpg" takes both 0001.jpg and 0001.mask.jpg, and "*" takes every photo. Needed where a sample holds
            several photos, that is, where their names are the same up to the first dot. Names that differ in digits
            and dots alone, such as img.1.jpg and img.2.jpg, are photos of their own.

    Raises:
        PhotoError: not found, or no photos in it; a list or shard that is damaged, or names what it must not.
        ArgumentError: not a source of photos, or one that cannot be read by index; several photos in a sample without
            `suffix`; options of another type, or for a `PhotoSet`, which is open already.

    Example:
        >>> photos = open_photos(["sample:chelsea", "sample:rocket"])
        >>> len(photos), photos.read(1).size
        (2, (427, 640))
    """
    allow_outside, suffix = flag("allow_outside", allow_outside), _checked_suffix(suffix)
    if isinstance(source, PhotoSet):
        if allow_outside or suffix is not None:
            raise ArgumentError("the photos are open already, so allow_outside and suffix belong to their open_photos.")
        return source
    located = isinstance(source, str | os.PathLike)
    opening = _Opening(str(os.fspath(source)) if located else "the list", allow_outside, suffix)
    if located:
        return _from_location(opening)
    _check_items(source)
    if isinstance(source, list | tuple) and all(map(is_location, source)):
        return _from_files([files.absolute(os.fspath(location)) for location in source], opening)
    _check_no_suffix(opening)
    return _from_items(source)


def _checked_suffix(suffix: object) -> str | None:
    if suffix is None or (isinstance(suffix, str) and re.fullmatch(r"\*|\*?\.?[^*/.\s][^*/]*", suffix)):
        return suffix
    raise ArgumentError(f"suffix is a text such as '.jpg', '*.jpg' or '*'; got {short(suffix)}.")


# ---- files


def _from_location(opening: _Opening) -> PhotoSet:
    source = opening.source
    location = files.absolute(source)
    if files.is_folder(location):
        return _photos_or_shards(files.inside(location), opening)
    is_file = files.is_file(files.split_page(location)[0])
    if not is_file and files.is_there(location):
        raise PhotoError(f"cannot read {source!r}: it is not a regular file.")
    if not is_file and "{" in location:
        return _from_files(files.in_braces(location), opening)
    if not is_file and any(sign in location for sign in "*?["):
        return _photos_or_shards(files.matching(location), opening)
    if not is_file:
        raise PhotoError(f"no file or folder {source!r}. Check the path.")
    if location.lower().endswith(".txt"):
        return _from_files(_lines(location, opening), opening)
    if not files.split_page(location)[0].lower().endswith((*SUFFIXES, *_COMPRESSED, ".tar", ".parquet")):
        raise ArgumentError(
            f"{source!r} is not a source of photos. Give a folder, a .txt with a path on each line, "
            "a .tar, a .parquet or a photo."
        )
    return _from_files([location], opening)


def _lines(location: str, opening: _Opening) -> list[str]:
    absolute = files.absolute if opening.allow_outside or not files.is_url(location) else files.below
    try:
        lines = [line.strip() for line in files.read(location).decode("utf-8-sig").splitlines()]
        return [absolute(line, beside=location) for line in lines if line and not line.startswith("#")]
    except (PhotoError, UnicodeDecodeError) as fault:
        raise PhotoError(f"cannot read the list {opening.source!r}: {fault}") from fault


def _photos_or_shards(listed: list[File], opening: _Opening) -> PhotoSet:
    """The photos among the files; where there are none, the shards."""
    for suffixes, open_them in (
        (SUFFIXES, _from_photos),
        ((*_COMPRESSED, ".tar"), _from_tars),
        (".parquet", _from_tables),
    ):
        matches = [file for file in listed if file.location.lower().endswith(suffixes)]
        if matches:
            return open_them(matches, opening)
    raise PhotoError(f"no photos in {opening.source!r}: no {', '.join(SUFFIXES)}, and no .tar or .parquet.")


def _from_files(locations: list[str], opening: _Opening) -> PhotoSet:
    """Exactly these files, whether they exist or not."""
    if not locations:
        raise PhotoError(f"no photos in {opening.source!r}: it is empty.")
    listed = files.listed(locations)
    for suffixes, open_them in (((*_COMPRESSED, ".tar"), _from_tars), (".parquet", _from_tables)):
        if all(location.lower().endswith(suffixes) for location in locations):
            return open_them(listed, opening)
    return _from_photos(listed, opening)


def _from_photos(listed: list[File], opening: _Opening) -> PhotoSet:
    _check_no_suffix(opening)
    locations = pa.array([os.fsencode(file.location) for file in listed], pa.large_binary())
    names, marks = [file.name for file in listed], [file.mark for file in listed]
    return _photo_set("files", names, marks, partial(_file, locations), opening.source, _stamp(listed))


def _file(locations: pa.LargeBinaryArray, i: int) -> Encoded:
    return encoded(os.fsdecode(locations[i].as_py()))


def _from_tars(listed: list[File], opening: _Opening) -> PhotoSet:
    compressed = [file.name for file in listed if file.location.lower().endswith(_COMPRESSED)]
    if compressed:
        raise ArgumentError(
            f"{compressed[0]!r} is compressed, and photos cannot be read from the middle of it. Unpack it "
            "to a .tar: photos are compressed already."
        )
    suffix = opening.suffix
    suffixes = SUFFIXES if suffix in (None, "*") else ("." + str(suffix).lower().lstrip("*."),)
    rows = [(shard, *row) for shard, file in enumerate(listed) for row in shards.members(file, suffixes)]
    if suffix is None:
        shards.check_samples(listed, rows)
    elif not suffix.startswith("*") and (
        exact := [row for row in rows if shards.key_and_suffix(row[1])[1] == suffixes[0]]
    ):
        rows = exact
    prefixes = ["" if len(listed) == 1 else file.name.removesuffix(".tar") + "/" for file in listed]
    names = [prefixes[shard] + name for shard, name, _, _ in rows]
    members = np.array([(shard, offset, size) for shard, _, offset, size in rows], np.int64).reshape(-1, 3)
    locations = tuple(file.location for file in listed)
    fetch = partial(_member, locations, members)
    return _photo_set("tar", names, members[:, 2].tolist(), fetch, opening.source, _stamp(listed))


def _check_no_suffix(opening: _Opening) -> None:
    if opening.suffix is not None:
        raise ArgumentError(
            f"suffix={opening.suffix!r} chooses among the files in tar shards, and {opening.source} has none."
        )


def _stamp(listed: list[File]) -> str:
    digest = hashlib.sha256("\n".join(file.version for file in listed).encode()).hexdigest()
    return digest if any(file.version for file in listed) else ""


def _member(locations: tuple[str, ...], members: Int64[np.ndarray, "n 3"], i: int) -> bytes:
    shard, offset, size = members[i].tolist()
    return files.read(locations[shard], offset, size)


def _from_tables(listed: list[File], opening: _Opening) -> PhotoSet:
    _check_no_suffix(opening)
    groups, names, sizes = shards.row_groups(listed, allow_outside=opening.allow_outside)
    kind = f"parquet {groups.column} {sizes}"
    return _photo_set(kind, names, [0] * len(names), partial(shards.row, groups), opening.source, _stamp(listed))


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
    count = _length(source)
    if not count:
        raise PhotoError(f"no photos in the {kind}: its length is 0.")
    check_fits("the length", count, "photo", _BYTES_OF_A_NAME, torch.device("cpu"))
    names = [str(i) for i in range(count)]
    return _photo_set(kind, names, [0] * count, partial(_item, source, key), decoded=True)


def _length(source: Any) -> int:
    try:
        return len(source)
    except Exception as fault:  # a user's data set raises whatever it likes
        raise ArgumentError(
            f"the length of the {type(source).__name__} is not known: {type(fault).__name__}: {files.in_words(fault)}."
        ) from fault


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


# ---- both


def _photo_set(
    kind: str,
    names: list[str],
    marks: Sequence[object],
    fetch: Callable[[int], object],
    source: str = "",
    stamp: str = "",
    *,
    decoded: bool = False,
) -> PhotoSet:
    if not names:
        raise PhotoError(f"no photos in {source!r}.")
    unique = unique_names(map(escaped, names))
    digests, faults = samples(fetch, unique, decoded=decoded)
    if decoded and len(faults) == len(digests):
        raise ArgumentError(f"neither the first, nor the middle, nor the last item gives a photo: {faults[0]}")
    content = " ".join(f"{digest:x}" if digest else "unreadable" for digest in digests)
    digest = hashlib.sha256(f"{kind} {content}\n".encode())
    for name, mark in zip(unique, marks, strict=True):
        digest.update(f"{mark} {name}\n".encode())
    return PhotoSet(pa.array(unique, pa.large_string()), digest.hexdigest(), fetch, stamp, digests[0])
