"""Files, written wholly or not at all."""

import os
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from deconvnet._errors import ArgumentError, DeconvNetError


def check_writable(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Raise unless a file may be written at `path`.

    Raises:
        ArgumentError: an unknown suffix, a missing folder, or a file that is there already without `force`.
    """
    if path.suffix.lower() not in suffixes:
        raise ArgumentError(f"{str(path)!r} does not end in one of {', '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise ArgumentError(f"there is no folder {str(path.parent)!r}. Make it first.")
    if path.is_dir():
        raise ArgumentError(f"{str(path)!r} is a folder. Give the name of a file.")
    if not force and os.path.lexists(path):
        raise ArgumentError(f"{str(path)!r} is there already. Pass force=True to replace it.")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name and then rename it, so that there is never half of it.

    Raises:
        DeconvNetError: the disk refused, or the content cannot be written.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            write(file)
        os.replace(part, path)
    except (OSError, ValueError) as fault:
        raise DeconvNetError(f"cannot write {str(path)!r}: {fault}.") from fault
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove files that a killed run left half written in a folder and the folders in it."""
    for part in folder.rglob(".*.part"):
        if re.fullmatch(r"\.[0-9a-f]{16}\.part", part.name):
            part.unlink(missing_ok=True)
