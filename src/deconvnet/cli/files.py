"""Where results go."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from deconvnet._checks import file_path
from deconvnet._errors import ArgumentError
from deconvnet._files import check_new, check_suffix, is_folder


def output_paths(
    stems: Sequence[str],
    output: str | None,
    suffix: str,
    *,
    force: bool,
    formats: Sequence[str] | None = None,
) -> list[Path]:
    """The path of each result, checked before any work; a count distinguishes equal stems.

    Args:
        stems: one for each result, without a suffix.
        output: name of a file or of a folder; None for the current folder.
        suffix: what follows a stem.
        force: files may be replaced.
        formats: suffixes that a file may have; those of pictures by default.

    Raises:
        ArgumentError: the name is empty, a folder is missing, a format is unknown, or a file exists already.
    """
    path = None if output is None else file_path("-o", output)
    in_folder = len(stems) > 1 or (path is not None and is_folder(path))
    folder = Path() if path is None else path if in_folder else path.parent
    if not is_folder(folder):
        raise ArgumentError(f"-o {output!r}: the folder {str(folder)!r} does not exist. Make it first.")
    names = _names(stems, suffix) if in_folder or path is None else [path.name]
    _check_format(names[0], formats)
    paths = [folder / name for name in names]
    check_new([] if force else paths)
    return paths


def stem(photo: str) -> str:
    """What the files made of a photo are named after: its own name without folder and suffix."""
    return Path(photo.removeprefix("sample:")).stem


def in_file_name(layer: str) -> str:
    """A layer's name without characters that are not allowed in file names."""
    return re.sub(r"[^\w.#-]", "_", layer)


def _names(stems: Sequence[str], suffix: str) -> list[str]:
    """A file name for each stem, no two alike on any disk."""
    names: dict[str, str] = {}
    for stem in stems:
        candidates = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        name = next(name for name in candidates if name.casefold() not in names)
        names[name.casefold()] = name + suffix
    return list(names.values())


def _check_format(name: str, formats: Sequence[str] | None) -> None:
    from deconvnet.pictures.figure import SUFFIXES

    check_suffix(Path(name), formats or SUFFIXES)
