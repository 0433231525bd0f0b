"""Files that hold photos: on this machine, or behind a URL that fsspec knows (s3://, gs://, https://, ...)."""

import glob
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, BinaryIO

from deconvnet._errors import ArgumentError, PhotoError

UNKNOWN = -1

_MOST_PATHS = 10**6  # that a pattern with braces may stand for


@dataclass(frozen=True)
class File:
    """A file that exists, or that a list says exists.

    Attributes:
        location: its absolute path or URL.
        name: its path below the folder that holds all files of the set, with forward slashes.
        size: in bytes, or `UNKNOWN`.
    """

    location: str
    name: str
    size: int

    @property
    def mark(self) -> str:
        """Distinguishes it from another file of the same name: the size, or the URL if the size is unknown."""
        return self.location.partition("?")[0] if self.size == UNKNOWN and is_url(self.location) else str(self.size)


def is_url(location: str) -> bool:
    """Whether fsspec has to open it."""
    return "://" in location


def absolute(location: str, beside: str | None = None) -> str:
    """The absolute path or URL; a path is taken from the folder of the file `beside`, or from the working folder."""
    if is_url(location):
        return location
    if beside is None or not is_url(beside):
        return os.path.abspath(os.path.join(os.path.dirname(beside or ""), os.path.expanduser(location)))
    return f"{beside.rpartition('/')[0]}/{location}"


def is_folder(location: str) -> bool:
    """Whether it exists and is a folder."""
    if not is_url(location):
        return os.path.isdir(location)
    with _as_photo_errors(location) as (filesystem, path):
        return bool(filesystem.isdir(path))


def is_file(location: str) -> bool:
    """Whether it exists and is a file."""
    if not is_url(location):
        return os.path.isfile(location)
    with _as_photo_errors(location) as (filesystem, path):
        return bool(filesystem.isfile(path))


def read(location: str, start: int = 0, size: int | None = None) -> bytes:
    """The whole file, or `size` bytes of it from `start` on.

    Nothing stays open between calls, so nothing can be inherited, sent or leaked.

    Raises:
        PhotoError: not there, not allowed, or no connection; says why, without the path or URL.
    """
    with _as_photo_errors(location) as (filesystem, path):
        if filesystem is not None:
            return bytes(filesystem.cat_file(path, start or None, None if size is None else start + size))
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(-1 if size is None else size)


def open_file(location: str) -> BinaryIO:
    """The file, open for reading; the caller closes it.

    Raises:
        PhotoError: as `read`.
    """
    with _as_photo_errors(location) as (filesystem, path):
        file: BinaryIO = (filesystem or io).open(path, "rb")
        return file


def listed(locations: Iterable[str]) -> list[File]:
    """The files in the order given, whether they exist or not.

    Raises:
        PhotoError: fsspec, or its driver for one of the URLs, is not installed.
    """
    locations = list(locations)
    for url in {location.partition("://")[0]: location for location in locations if is_url(location)}.values():
        _filesystem(url)
    return [File(location, name, _size(location)) for location, name in zip(locations, _short(locations), strict=True)]


def inside(folder: str) -> list[File]:
    """All files in the folder and the folders in it, by name; hidden ones are left out.

    Raises:
        PhotoError: a folder in it cannot be read.
    """
    if is_url(folder):
        with _as_photo_errors(folder) as (filesystem, path):
            return _remote(filesystem, filesystem.find(path, detail=True), folder=path)
    depth = len(_parts(folder))
    named = sorted(("/".join(_parts(path)[depth:]), path) for path in _walk(folder))
    return [File(path, name, _size(path)) for name, path in named]


def matching(pattern: str) -> list[File]:
    """The files that match a pattern with *, ** or ?, by name; hidden ones are left out."""
    if is_url(pattern):
        with _as_photo_errors(pattern) as (filesystem, path):
            return _remote(filesystem, filesystem.glob(path, detail=True))
    locations = sorted(location for location in glob.glob(pattern, recursive=True) if os.path.isfile(location))
    return listed(locations)


def in_braces(pattern: str) -> list[str]:
    """The paths that `shards-{0000..0012}.tar` or `{train,val}.tar` stands for, in order.

    Example:
        >>> in_braces("{a,b}-{08..10}.tar")[2:4]
        ['a-10.tar', 'b-08.tar']

    Raises:
        ArgumentError: it counts downwards, or stands for too many.
    """
    paths = list(islice(_in_braces(pattern), _MOST_PATHS + 1))
    if len(paths) > _MOST_PATHS:
        raise ArgumentError(f"{pattern!r} stands for more than {_MOST_PATHS} paths, which is the most that can be had.")
    return paths


def _in_braces(pattern: str) -> Iterator[str]:
    match = re.search(r"\{(?:(\d{1,4000})\.\.(\d{1,4000})|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        yield pattern
        return
    low, high, words = match.groups()
    count = 0 if words is not None else int(high) - int(low) + 1
    if count > _MOST_PATHS:
        raise ArgumentError(f"{match.group()} in {pattern!r} stands for {count} paths, of {_MOST_PATHS} at most.")
    if words is None and count < 1:
        raise ArgumentError(f"{match.group()} in {pattern!r} counts downwards. Give the lower number first.")
    values = (str(int(low) + i).zfill(len(low)) for i in range(count))
    before, after = pattern[: match.start()], pattern[match.end() :]
    for value in values if words is None else words.split(","):
        yield from _in_braces(before + value + after)


def _walk(folder: str) -> Iterator[str]:
    visited = set()  # links may lead in circles
    for here, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(here)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(here, name) for name in names if not name.startswith("."))


def _refuse(fault: OSError) -> None:
    raise PhotoError(f"cannot read the folder {fault.filename!r}: {fault.strerror}.") from fault


def _size(location: str) -> int:
    """UNKNOWN for a URL too: asking for each of a million would take hours."""
    try:
        return UNKNOWN if is_url(location) else os.path.getsize(location)
    except (OSError, ValueError):  # reading it will say what is wrong with it
        return UNKNOWN


def _filesystem(url: str) -> tuple[Any, str]:
    """Its file system and its path there. Looked up at each use: fsspec keeps one per process, and knows of forks."""
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
def _as_photo_errors(location: str) -> Iterator[tuple[Any, str]]:
    """Its file system, None for this machine, and its path there; whatever goes wrong becomes a PhotoError."""
    try:
        yield _filesystem(location) if is_url(location) else (None, location)
    except (PhotoError, MemoryError):
        raise
    except FileNotFoundError as fault:
        raise PhotoError("no such file.") from fault
    except Exception as fault:  # the packages behind fsspec have families of exceptions of their own
        reason = getattr(fault, "strerror", None) or str(fault).replace(location, "the file")
        raise PhotoError(f"{reason or type(fault).__name__}.") from fault


def _remote(filesystem: Any, details: dict[str, dict[str, Any]], folder: str | None = None) -> list[File]:
    paths = sorted(path for path, detail in details.items() if detail.get("type") != "directory")
    depth = None if folder is None else len(_parts(folder.rstrip("/")))
    files = [
        File(filesystem.unstrip_protocol(path), name, UNKNOWN if (size := details[path].get("size")) is None else size)
        for path, name in zip(paths, _short(paths, depth), strict=True)
    ]
    return [file for file in files if not any(part.startswith(".") for part in file.name.split("/"))]


def _parts(location: str) -> list[str]:
    if is_url(location):
        return location.partition("?")[0].split("/")
    return Path(location).as_posix().rstrip("/").split("/")


def _short(locations: Sequence[str], depth: int | None = None) -> list[str]:
    """Their paths below the folder that holds all of them, or below the first `depth` folders."""
    parts = [_parts(location) for location in locations]
    if depth is None and parts:
        folders = [part[:-1] for part in parts]
        first, last = min(folders), max(folders)
        depth = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
        depth = depth if depth > 1 else -1  # nothing in common: the name would be an absolute path
    return ["/".join(part[depth:]) for part in parts]
