"""Files that are written completely or not at all, and result folders in which only our own files are ever removed."""

import os
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from deconvnet._errors import ArgumentError, DeconvNetError

UNFINISHED = ".deconvnet-unfinished"  # in the folder of a result: the folder of what is needed until it is finished

_PART = re.compile(r"\.deconvnet-[0-9a-f]{16}\.part")


def check_writable(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Raise unless a file may be written at `path`.

    Raises:
        ArgumentError: an unknown suffix, a missing folder, or a file that is there already without `force`.
    """
    if path.suffix.lower() not in suffixes:
        raise ArgumentError(f"{str(path)!r} does not end in one of {', '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise ArgumentError(f"the folder {str(path.parent)!r} does not exist. Make it first.")
    if path.is_dir():
        raise ArgumentError(f"{str(path)!r} is a folder. Give the name of a file.")
    if not force and os.path.lexists(path):
        raise ArgumentError(f"{str(path)!r} is there already. Pass force=True to replace it.")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name, then rename it, so that a partly written file is never seen.

    Raises:
        DeconvNetError: the disk refused, or the content cannot be written.
    """
    part = path.with_name(f".deconvnet-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            write(file)
        os.replace(part, path)
    except (OSError, ValueError) as fault:
        raise DeconvNetError(f"cannot write {str(path)!r}: {fault}.") from fault
    finally:
        part.unlink(missing_ok=True)


def named_folder(out: str | Path) -> Path:
    """`out` as a path.

    Raises:
        ArgumentError: it is an empty text, which as a path would be the current folder.
    """
    if not str(out):
        raise ArgumentError('the name of the output folder is empty. Give a new folder, or "." for the current one.')
    return Path(out)


def result_folder(out: str | Path, *, key: str, is_result: Callable[[Path], bool]) -> Path:
    """The folder of a result, if it is new, empty or ours: finished, or unfinished with our key file.

    Args:
        out: as the user gave it.
        key: name of the file in the unfinished folder that says what is being made.
        is_result: whether a folder holds a finished result.

    Raises:
        ArgumentError: the folder holds anything else, or is not named.
        DeconvNetError: it cannot be read.
    """
    folder = named_folder(out)
    unfinished = folder / UNFINISHED
    if is_result(folder) or (not unfinished.is_symlink() and (unfinished / key).is_file()):
        return folder
    names = _names(folder)
    if UNFINISHED in names and unfinished.is_dir() and not unfinished.is_symlink() and not _names(unfinished):
        names.remove(UNFINISHED)
    if names:
        listed = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise ArgumentError(f"{str(folder)!r} is not empty: it holds {listed}. Give a new folder.")
    return folder


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if need be.

    Raises:
        DeconvNetError: the disk refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DeconvNetError(f"cannot make the folder {str(folder)!r}: {fault}.") from fault


def remove_written(folder: Path, names: Sequence[str] = (), *, folder_too: bool = False) -> None:
    """Remove files that we wrote, and nothing else. A link is removed, never followed.

    Args:
        folder: in which they lie; nothing is done if it is missing or is a link.
        names: of the files, removed in this order, after what killed runs were in the middle of writing there.
        folder_too: remove the folder as well, unless something else lies in it.

    Raises:
        DeconvNetError: the disk refused.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    try:
        parts = [path.name for path in folder.iterdir() if _PART.fullmatch(path.name)]
        for path in (folder / name for name in (*parts, *names)):
            if path.is_symlink() or path.is_file():
                path.unlink(missing_ok=True)
    except OSError as fault:
        raise DeconvNetError(f"cannot remove unfinished files in {str(folder)!r}: {fault}.") from fault
    if folder_too:
        with suppress(OSError):
            folder.rmdir()


def _names(folder: Path) -> list[str]:
    """Names in a folder, if it exists, without the unfinished files of killed runs."""
    try:
        return sorted(path.name for path in folder.iterdir() if not _PART.fullmatch(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as fault:
        raise DeconvNetError(f"cannot read the folder {str(folder)!r}: {fault}.") from fault
