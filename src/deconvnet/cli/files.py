"""Where results go."""

import itertools
import os
import re
from pathlib import Path

from deconvnet._errors import ArgumentError


def places(
    photos: list[str], output: Path | None, suffix: str, force: bool, kinds: tuple[str, ...] | None = None
) -> list[Path]:
    """Where each photo's picture goes, checked before any work; photos of one name get numbers.

    Args:
        photos: as the user named them.
        output: a file, or a folder; None for this one.
        suffix: behind a photo's name.
        force: files may be replaced.
        kinds: endings that a file may have; those of pictures by default.

    Raises:
        ArgumentError: a folder is missing, a format is unknown, or a file is there already.
    """
    several = len(photos) > 1 or (output is not None and output.is_dir())
    folder = Path() if output is None else output if several else output.parent
    if not folder.is_dir():
        raise ArgumentError(f"-o {str(output)!r}: there is no folder {str(folder)!r}. Make it first.")
    names = _names(photos, suffix) if several or output is None else [output.name]
    _check_suffix(names[0], kinds)
    there = [folder / name for name in names if os.path.lexists(folder / name)]
    if there and not force:
        more = f" and {len(there) - 1} more are" if len(there) > 1 else " is"
        raise ArgumentError(f"{str(there[0])!r}{more} there already. Pass --force to overwrite, or -o another place.")
    return [folder / name for name in names]


def _names(photos: list[str], suffix: str) -> list[str]:
    """A file name for each photo's picture, no two alike on any disk."""
    names: dict[str, str] = {}
    for photo in photos:
        stem = Path(photo.removeprefix("sample:")).stem
        numbered = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        name = next(name for name in numbered if name.casefold() not in names)
        names[name.casefold()] = name + suffix
    return list(names.values())


def in_a_name(layer: str) -> str:
    """A layer's name with nothing in it that a file's name must not hold."""
    return re.sub(r"[^\w.#-]", "_", layer)


def _check_suffix(name: str, kinds: tuple[str, ...] | None) -> None:
    from deconvnet.pictures.sheets import SUFFIXES

    if Path(name).suffix.lower() not in (kinds or SUFFIXES):
        raise ArgumentError(f"{name!r} does not end in one of {', '.join(kinds or SUFFIXES)}.")
