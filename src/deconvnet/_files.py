"""Files of ours: written completely or not at all, and checked when they are read again."""

import ctypes
import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from deconvnet._checks import file_path
from deconvnet._errors import ArgumentError, DeconvNetError

PART = re.compile(r"\.deconvnet-[0-9a-f]{16}\.part")  # names of files that are not completely written yet

_LARGEST_JSON = 2**26  # bytes
_T = TypeVar("_T")


def check_writable(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Raise unless a file may be written at `path`.

    Raises:
        ArgumentError: an unknown suffix, a missing folder, or a file that is there already without `force`.
    """
    check_suffix(path, suffixes)
    if not is_folder(path.parent):
        raise ArgumentError(f"the folder {str(path.parent)!r} does not exist. Make it first.")
    if is_folder(path):
        raise ArgumentError(f"{str(path)!r} is a folder. Give the name of a file.")
    check_new([] if force else [path])


def check_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """Raise unless a name ends in one of the suffixes.

    Raises:
        ArgumentError: it does not.
    """
    if path.suffix.lower() not in suffixes:
        raise ArgumentError(f"{str(path)!r} does not end in one of {', '.join(suffixes)}.")


def check_new(paths: Sequence[Path]) -> None:
    """Raise unless none of the paths exists.

    Raises:
        ArgumentError: one does.
    """
    existing = [path for path in paths if os.path.lexists(path)]
    if existing:
        more = f" and {len(existing) - 1} more files already exist" if len(existing) > 1 else " already exists"
        raise ArgumentError(f"{str(existing[0])!r}{more}. Replace it (--force, force=True), or give another name.")


def is_file(path: Path) -> bool:
    """Whether there is a file of that name, or a link to one.

    Raises:
        DeconvNetError: the disk does not let us look.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name, or a link to one.

    Raises:
        DeconvNetError: the disk does not let us look.
    """
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    """What there is; 0 for nothing. `Path.is_file` raises on some versions of Python where others say no."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except (OSError, ValueError) as fault:  # ValueError: a character that paths cannot have
        raise DeconvNetError(f"cannot read {str(path)!r}: {fault}.") from fault


def write_whole(path: Path, write: Callable[[BinaryIO], object], *, sync: bool = True) -> None:
    """Write a file under another name, then rename it, so that a partly written file is never seen.

    Args:
        path: of the file; what is there is replaced.
        write: writes the content.
        sync: wait until the disk has the file and its name, so that not even a power cut leaves part of it. Where many
            files are written, `sync_together` waits for all of them at once.

    Raises:
        DeconvNetError: the disk refused, or the content cannot be written.
    """
    part = path.parent / f".deconvnet-{secrets.token_hex(8)}.part"
    try:
        with part.open("xb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
        if sync:
            _sync_folder(path.parent)
    except (OSError, ValueError) as fault:
        raise DeconvNetError(f"cannot write {str(path)!r}: {fault}.") from fault
    finally:
        with suppress(OSError, ValueError):  # the fault of the file itself is the one to be told
            part.unlink()


def sync_together(folder: Path, paths: Iterable[Path]) -> None:
    """Wait until the disk has files that were written with `sync=False`.

    Args:
        folder: that holds all of them.
        paths: the files.

    Raises:
        DeconvNetError: the disk refused.
    """
    try:
        if not _sync_disk(folder):
            paths = list(paths)
            for path in paths:
                _sync_file(path)
            for parent in {path.parent for path in paths} | {folder}:
                _sync_folder(parent)
    except OSError as fault:
        raise DeconvNetError(f"cannot write in {str(folder)!r}: {fault}.") from fault


def digest(parts: Iterable[str | bytes | memoryview]) -> str:
    """A hash that tells content from content that was damaged."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
    return whole.hexdigest()


def read_json(path: Path, kind: type[_T], remedy: str, error: type[DeconvNetError] = DeconvNetError) -> _T:
    """The content of a JSON file as the type that it should have.

    Args:
        path: of the file.
        kind: a type that msgspec knows, such as a dataclass.
        remedy: what to do if the file is damaged, a sentence.
        error: raised then.

    Raises:
        DeconvNetError: `error`, if the file cannot be read or holds anything else.
    """
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError(f"it is larger than {_LARGEST_JSON >> 20} MiB")
        return decode_json(path.read_bytes(), kind)
    except (OSError, ValueError) as fault:
        raise damaged(path, fault, remedy, error) from fault


def decode_json(data: str | bytes, kind: type[_T]) -> _T:
    """JSON as the type that it should have.

    Raises:
        ValueError: it is not JSON, or holds anything else.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except msgspec.MsgspecError as fault:
        raise ValueError(str(fault)) from fault


def damaged(path: Path, what: object, remedy: str, error: type[DeconvNetError] = DeconvNetError) -> DeconvNetError:
    """The error for a file that is not what it should be.

    Args:
        path: of the file.
        what: is wrong with it.
        remedy: what to do, a sentence.
        error: its type.
    """
    return error(f"{str(path)!r} is damaged: {str(what).rstrip('.')}. {remedy}")


def _sync_disk(folder: Path) -> bool:
    """Wait for all that is written on a folder's file system; False where only single files can be waited for."""
    if not sys.platform.startswith("linux"):
        return False
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:  # Windows takes no descriptor that cannot be written
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Wait for the names in a folder, where the system can: Windows cannot, nor can some network disks."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_and_key(name: str, value: object) -> tuple[Path, str]:
    """A file, and which part of it: "names.csv:label" is the part `label` of names.csv.

    The part is "" where none is named, and where there is a file of that whole name, colon included.

    Args:
        name: of the argument.
        value: what was given.

    Raises:
        ArgumentError: not a path, or one that the disk cannot have.
    """
    path = file_path(name, value)
    file, _, key = str(path).rpartition(":")
    return (Path(file), key) if file and not is_file(path) and is_file(Path(file)) else (path, "")
