"""Files that hold photos: on this machine, or behind a URL that fsspec knows (s3://, gs://, https://, ...)."""

import glob
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

from deconvnet._errors import ArgumentError, PhotoError

UNKNOWN = -1


@dataclass(frozen=True)
class File:
    """A file that is there, or that somebody says is there.

    Attributes:
        place: its absolute path or URL.
        name: its path below the folder that holds all files of the set, with forward slashes.
        size: in bytes, or `UNKNOWN`.
    """

    place: str
    name: str
    size: int

    @property
    def mark(self) -> str:
        """What tells it from another one of its name: the size, or the URL where the size is not known."""
        return self.place.partition("?")[0] if self.size == UNKNOWN and is_url(self.place) else str(self.size)


def is_url(place: str) -> bool:
    """Whether fsspec has to open it."""
    return "://" in place


def absolute(place: str, beside: str | None = None) -> str:
    """The place, taken as relative to the folder of the file `beside` or to the working folder."""
    if is_url(place):
        return place
    if beside is None or not is_url(beside):
        return os.path.abspath(os.path.join(os.path.dirname(beside or ""), os.path.expanduser(place)))
    return f"{beside.rpartition('/')[0]}/{place}"


def is_folder(place: str) -> bool:
    """Whether it is there and holds files."""
    if not is_url(place):
        return os.path.isdir(place)
    with _telling(place) as (filesystem, path):
        return bool(filesystem.isdir(path))


def is_file(place: str) -> bool:
    """Whether it is there and is no folder."""
    if not is_url(place):
        return os.path.isfile(place)
    with _telling(place) as (filesystem, path):
        return bool(filesystem.isfile(path))


def read(place: str, start: int = 0, size: int | None = None) -> bytes:
    """The whole file, or `size` bytes of it from `start` on.

    Nothing stays open in between, so there is nothing to be inherited, sent or leaked.

    Raises:
        PhotoError: not there, not allowed, or no connection; says why without saying where.
    """
    with _telling(place) as (filesystem, path):
        if filesystem is not None:
            return bytes(filesystem.cat_file(path, start or None, None if size is None else start + size))
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(-1 if size is None else size)


def opened(place: str) -> BinaryIO:
    """The file, open for reading; the caller closes it.

    Raises:
        PhotoError: as `read`.
    """
    with _telling(place) as (filesystem, path):
        file: BinaryIO = (filesystem or io).open(path, "rb")
        return file


def named(places: Iterable[str]) -> list[File]:
    """The files in the order given, whether they are there or not.

    Raises:
        PhotoError: fsspec, or its driver for one of the URLs, is not installed.
    """
    listed = list(places)
    for url in {place.partition("://")[0]: place for place in listed if is_url(place)}.values():
        _filesystem(url)
    short = _short(listed)
    return [File(place, name, _size(place)) for place, name in zip(listed, short, strict=True)]


def inside(folder: str) -> list[File]:
    """All files in the folder and the folders in it, by name; hidden ones are left out.

    Raises:
        PhotoError: a folder in it cannot be read.
    """
    if is_url(folder):
        with _telling(folder) as (filesystem, path):
            return _remote(filesystem, filesystem.find(path, detail=True), folder=path)
    depth = len(_parts(folder))
    found = ((place, "/".join(_parts(place)[depth:])) for place in _walk(folder))
    return [File(place, name, _size(place)) for place, name in sorted(found, key=lambda pair: pair[1])]


def matching(pattern: str) -> list[File]:
    """The files that a pattern with *, ** or ? stands for, by name; hidden ones are left out."""
    if is_url(pattern):
        with _telling(pattern) as (filesystem, path):
            return _remote(filesystem, filesystem.glob(path, detail=True))
    places = sorted(place for place in glob.glob(pattern, recursive=True) if os.path.isfile(place))
    return named(places)


def in_braces(pattern: str) -> list[str]:
    """What `shards-{0000..0012}.tar` or `{train,val}.tar` stands for, in its order.

    Example:
        >>> in_braces("{a,b}-{08..10}.tar")[2:4]
        ['a-10.tar', 'b-08.tar']
    """
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        return [pattern]
    low, high, words = match.groups()
    if words is None:
        values = [str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)]
        if not values:
            raise ArgumentError(f"{match.group()} in {pattern!r} counts downwards. Give the lower number first.")
    else:
        values = words.split(",")
    return [place for value in values for place in in_braces(pattern[: match.start()] + value + pattern[match.end() :])]


def _walk(folder: str) -> Iterator[str]:
    seen = set()  # links may lead in circles
    for here, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(here, name) for name in names if not name.startswith("."))


def _refuse(fault: OSError) -> None:
    raise PhotoError(f"cannot read the folder {fault.filename!r}: {fault.strerror}.") from fault


def _size(place: str) -> int:
    """UNKNOWN for a URL too: asking for each of a million would take hours."""
    try:
        return UNKNOWN if is_url(place) else os.path.getsize(place)
    except (OSError, ValueError):  # what is wrong with it is told when it is read
        return UNKNOWN


def _filesystem(url: str) -> tuple[Any, str]:
    """Asked for anew at each use: fsspec keeps one per process, and knows of forks."""
    kind = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs
    except ImportError as fault:
        raise PhotoError(f"{kind}:// needs the package fsspec. Install 'deconvnet[remote]'.") from fault
    try:
        filesystem, path = url_to_fs(url)
    except (ImportError, ValueError) as fault:
        raise PhotoError(f"cannot open {kind}://: {fault}. fsspec needs a package for each kind of URL.") from fault
    return filesystem, str(path)


@contextmanager
def _telling(place: str) -> Iterator[tuple[Any, str]]:
    """Its file system, None for this machine's, and its path there; whatever goes wrong becomes a PhotoError."""
    try:
        yield _filesystem(place) if is_url(place) else (None, place)
    except (PhotoError, MemoryError):
        raise
    except FileNotFoundError as fault:
        raise PhotoError("there is no such file.") from fault
    except Exception as fault:  # the packages behind fsspec have families of exceptions of their own
        said = getattr(fault, "strerror", None) or str(fault).replace(place, "the file")
        raise PhotoError(f"{said or type(fault).__name__}.") from fault


def _remote(filesystem: Any, found: dict[str, dict[str, Any]], folder: str | None = None) -> list[File]:
    paths = sorted(path for path, told in found.items() if told.get("type") != "directory")
    depth = None if folder is None else len(_parts(folder.rstrip("/")))
    files = [
        File(filesystem.unstrip_protocol(path), name, UNKNOWN if (size := found[path].get("size")) is None else size)
        for path, name in zip(paths, _short(paths, depth), strict=True)
    ]
    return [file for file in files if not any(part.startswith(".") for part in file.name.split("/"))]


def _parts(place: str) -> list[str]:
    return Path(place).as_posix().rstrip("/").split("/") if not is_url(place) else place.partition("?")[0].split("/")


def _short(places: Sequence[str], depth: int | None = None) -> list[str]:
    """Their paths below the folder that holds all of them, or below the first `depth` folders."""
    parts = [_parts(place) for place in places]
    if depth is None and parts:
        folders = [part[:-1] for part in parts]
        first, last = min(folders), max(folders)
        depth = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
        depth = depth if depth > 1 else -1  # nothing in common: an absolute path would be left
    return ["/".join(part[depth:]) for part in parts]
