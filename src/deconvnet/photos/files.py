"""Files that hold photos: on this machine, or behind a URL that fsspec knows (s3://, gs://, https://, ...)."""

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._memory import in_bytes
from deconvnet.photos.names import short_names

UNKNOWN = -1
LARGEST = "DECONVNET_LARGEST_PHOTO"  # environment variable that raises or lowers the limit

_LARGEST = "1GB"
_LOCAL = ("file://", "local://")
_VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")  # as file systems call it

_MOST_PATHS = 10**6  # that a pattern with braces may stand for
_PAGE = re.compile(r"(.+\.(?:tiff?|npy|nii|nii\.gz))#(\d{1,9})", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class File:
    """A file that exists, or that a list says exists.

    Attributes:
        location: its absolute path or URL.
        name: its path below the folder that holds all files of the set, with forward slashes.
        size: in bytes, or `UNKNOWN`.
        version: changes when the file is written anew: the time of that, or what the file system has for it.
    """

    location: str
    name: str
    size: int
    version: str = ""

    @property
    def mark(self) -> str:
        """Distinguishes it from another file of the same name: the size, or the URL if the size is unknown."""
        return self.location.partition("?")[0] if self.size == UNKNOWN and is_url(self.location) else str(self.size)


def is_url(location: str) -> bool:
    """Whether fsspec has to open it."""
    return "://" in location


def absolute(location: str, beside: str | None = None) -> str:
    """The absolute path or URL; a path is taken from the folder of the file `beside`, or from the working folder."""
    local = next((scheme for scheme in _LOCAL if location.startswith(scheme)), "")
    if is_url(location) and not local:
        return location
    location = location.removeprefix(local)
    if beside is None or not is_url(beside):
        return os.path.abspath(os.path.join(os.path.dirname(beside or ""), os.path.expanduser(location)))
    return os.path.abspath(location) if local else _prefix(beside) + location


def below(name: str, beside: str) -> str:
    """The absolute path or URL that the file `beside` names, which must lie in its folder or below it.

    Raises:
        PhotoError: it lies elsewhere, also where a link leads there.
    """
    if is_url(beside):
        location = absolute(name, beside)
        inside = location.startswith(_prefix(beside)) and not name.startswith(("/", "~"))
        rest = location[len(_prefix(beside)) :]
        inside = inside and "::" not in rest and ".." not in re.split(r"[/\\]", unquote(unquote(rest)))
    else:
        folder = os.path.realpath(os.path.dirname(beside))
        location = absolute(f"./{name}" if name.startswith("~") else name, beside)
        try:
            inside = not is_url(location) and os.path.commonpath([folder, os.path.realpath(location)]) == folder
        except ValueError:  # another drive, or a null byte
            inside = False
    if not inside:
        raise PhotoError(
            f"{name!r} is outside the folder of the file that names it. If you trust that file, pass "
            "allow_outside=True (--allow-outside)."
        )
    return location


def _prefix(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[0] + "/"


def split_page(location: str) -> tuple[str, int | None]:
    """A path or URL, and the index of a picture in that file which stands behind it: `stack.tif#3`.

    A file whose own name ends like that is a file.

    Example:
        >>> split_page("stack.tif#3")
        ('stack.tif', 3)
    """
    match = _PAGE.fullmatch(location)
    return (location, None) if match is None or is_there(location) else (match[1], int(match[2]))


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


def is_there(location: str) -> bool:
    """Whether anything of that name is on this machine, be it a device or a broken link."""
    return not is_url(location) and os.path.lexists(location)


def largest() -> int:
    """Bytes of the largest file, and of the largest decoded photo, that are taken into memory.

    Raises:
        ArgumentError: the environment variable that says so is not a number of bytes.
    """
    return in_bytes(os.environ.get(LARGEST) or _LARGEST, LARGEST)


def check_size(size: float, what: str) -> None:
    """Raise if so many bytes are more than the limit.

    Raises:
        PhotoError: they are; says what has them, and how to raise the limit.
    """
    if size > largest():
        raise PhotoError(
            f"{what} {size / 1e9:.3g} GB, and the limit is {largest() / 1e9:.3g} GB. Set the environment variable "
            f"{LARGEST}, such as {LARGEST}=4GB, if the file is genuine."
        )


def read(location: str, start: int = 0, size: int | None = None) -> bytes:
    """The whole file, or `size` bytes of it from `start` on.

    Nothing stays open between calls, so nothing can be inherited, sent or leaked.

    Raises:
        PhotoError: not there, not a regular file, too large, not allowed, or no connection; says why, without the
            path or URL.
    """
    check_size(size or 0, "it has")
    with _as_photo_errors(location) as (filesystem, path):
        if filesystem is None:
            with _open(path) as file:
                check_size(os.fstat(file.fileno()).st_size if size is None else size, "it has")
                file.seek(start)
                return file.read(-1 if size is None else size)
        data = bytes(filesystem.cat_file(path, start or None, start + (largest() + 1 if size is None else size)))
        check_size(len(data), "it has at least")
        return data


def open_file(location: str) -> BinaryIO:
    """The file, open for reading; the caller closes it.

    Raises:
        PhotoError: as `read`, but of any size.
    """
    with _as_photo_errors(location) as (filesystem, path):
        file: BinaryIO = _open(path) if filesystem is None else filesystem.open(path, "rb")
        return file


def version(location: str) -> str:
    """Changes when a file on this machine is written anew or replaced; "" for a URL.

    Raises:
        PhotoError: not there, or not a regular file.
    """
    if is_url(location):
        return ""
    with _as_photo_errors(location):
        status = os.stat(location)
        _check_regular(status)
        return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _open(path: str) -> BinaryIO:
    """A regular file, open; a pipe would wait for its other end, and a device has no end."""
    _check_regular(os.stat(path))
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb", opener=_open_without_waiting))
        _check_regular(os.fstat(file.fileno()))  # it may have been replaced since
        stack.pop_all()
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError("it is a folder. Give the files in it.")
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError("it is not a regular file.")


def listed(locations: Iterable[str]) -> list[File]:
    """The files in the order given, whether they exist or not.

    Raises:
        PhotoError: fsspec, or its driver for one of the URLs, is not installed.
    """
    locations = list(locations)
    for url in {location.partition("://")[0]: location for location in locations if is_url(location)}.values():
        _filesystem(url)
    return [File(location, name, *_seen(location)) for location, name in zip(locations, _short(locations), strict=True)]


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
    return [File(path, name, *_seen(path)) for name, path in named]


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
        raise ArgumentError(f"{pattern!r} stands for more than {_MOST_PATHS} paths; at most {_MOST_PATHS} are allowed.")
    return paths


def _in_braces(pattern: str) -> Iterator[str]:
    match = re.search(r"\{(?:(\d{1,4000})\.\.(\d{1,4000})|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        yield pattern
        return
    low, high, words = match.groups()
    count = 0 if words is not None else int(high) - int(low) + 1
    if count > _MOST_PATHS:
        raise ArgumentError(
            f"{match.group()} in {pattern!r} stands for {count} paths; at most {_MOST_PATHS} are allowed."
        )
    if words is None and count < 1:
        raise ArgumentError(f"{match.group()} in {pattern!r} counts downwards. Give the lower number first.")
    values = (str(int(low) + i).zfill(len(low)) for i in range(count))
    before, after = pattern[: match.start()], pattern[match.end() :]
    for value in values if words is None else words.split(","):
        yield from _in_braces(before + value + after)


def in_words(fault: BaseException) -> str:
    """What a fault says, the same at each run: without the addresses of objects, and files in memory unnamed."""
    if isinstance(fault, MemoryError):
        return "it does not fit in memory"
    named = re.sub(r"<_io\.\w+ object at 0x[0-9a-f]+>", "the file", str(fault))
    return re.sub(r" at 0x[0-9a-f]+", "", named).rstrip(".") or type(fault).__name__


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


def _seen(location: str) -> tuple[int, str]:
    """Its size and version; UNKNOWN for a URL too: asking for each of a million would take hours."""
    try:
        status = None if is_url(location) else os.stat(split_page(location)[0])
    except (OSError, ValueError):  # reading it will say what is wrong with it
        status = None
    return (UNKNOWN, "") if status is None else (status.st_size, str(status.st_mtime_ns))


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
    except PhotoError:
        raise
    except FileNotFoundError as fault:
        raise PhotoError("no such file.") from fault
    except Exception as fault:  # the packages behind fsspec have families of exceptions of their own
        reason = getattr(fault, "strerror", None) or in_words(fault).replace(location, "the file")
        raise PhotoError(f"{reason}.") from fault


def _remote(filesystem: Any, details: dict[str, dict[str, Any]], folder: str | None = None) -> list[File]:
    paths = sorted(path for path, detail in details.items() if detail.get("type") != "directory")
    depth = None if folder is None else len(_parts(folder.rstrip("/")))
    listed = []
    for path, name in zip(paths, _short(paths, depth), strict=True):
        detail = details[path]
        size = UNKNOWN if detail.get("size") is None else detail["size"]
        version = next((str(detail[key]) for key in _VERSIONS if detail.get(key)), "")
        listed.append(File(filesystem.unstrip_protocol(path), name, size, version))
    return [file for file in listed if not is_hidden(file.name)]


def is_hidden(name: str) -> bool:
    """Whether the file or a folder above it begins with a dot; "." and ".." are not names."""
    return any(part.startswith(".") for part in name.split("/") if part not in (".", ".."))


def _parts(location: str) -> list[str]:
    if is_url(location):
        return location.partition("?")[0].split("/")
    return Path(location).as_posix().rstrip("/").split("/")


def _short(locations: Sequence[str], depth: int | None = None) -> list[str]:
    """Their names: the paths below the folder that holds all of them, or below the first `depth` folders."""
    return short_names([_parts(location) for location in locations], depth)
