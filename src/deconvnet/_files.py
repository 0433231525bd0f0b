"""Files, written wholly or not at all."""

import os
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from deconvnet._errors import ArgumentError, DeconvNetError


def check_place(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Whether a file may be written there.

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
    """Write a file beside its place and then move it there, so that there is never half of it.

    Raises:
        DeconvNetError: the disk refused, or what is written cannot be.
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
    """Remove what a killed run was in the middle of writing, in a folder and those in it."""
    for part in folder.rglob(".*.part"):
        if re.fullmatch(r"\.[0-9a-f]{16}\.part", part.name):
            part.unlink(missing_ok=True)
