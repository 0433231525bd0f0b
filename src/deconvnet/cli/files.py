"""Where results go."""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deconvnet._checks import file_path
from deconvnet._errors import ArgumentError
from deconvnet._files import check_new, check_suffix, is_folder
from deconvnet._folders import make_folder
from deconvnet.cli.photos import PhotoInput

if TYPE_CHECKING:
    from deconvnet.pictures.figure import Figure
    from deconvnet.pictures.plot import Plot


def picture_paths(
    photos: Sequence[PhotoInput], output: str | None, suffix: str, *, force: bool, formats: Sequence[str] | None = None
) -> list[Path]:
    """The path of each photo's picture, checked before any work.

    It is named after the photo, with as many of its folders as tell photos of one name apart, joined by hyphens; a
    count distinguishes what is left.

    Args:
        photos: of which there are pictures.
        output, suffix, force, formats: as in `output_paths`.

    Raises:
        ArgumentError: as `output_paths`.
    """
    return output_paths(_stems([photo.parts for photo in photos]), output, suffix, force=force, formats=formats)


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
        output: name of a file or of a folder, which need not exist; None for the current folder. A name without a
            suffix is a folder's.
        suffix: what follows a stem.
        force: files may be replaced.
        formats: suffixes that a file may have; those of pictures by default.

    Raises:
        ArgumentError: the name is empty, one of a file for several results, or of an unknown format; its folder cannot
            be made; or a file exists already.
    """
    from deconvnet.pictures.figure import SUFFIXES

    formats = formats or SUFFIXES
    path = None if output is None else file_path("-o", output)
    if path is None or output is None:
        paths = [Path(name) for name in _names(stems, suffix)]
    elif _is_folder_name(output, path) or (len(stems) > 1 and path.suffix.lower() not in formats):
        paths = [path / name for name in _names(stems, suffix)]
    elif len(stems) > 1:
        raise ArgumentError(f"-o {output!r} is the name of one file, and there are {len(stems)} photos. Give a folder.")
    else:
        paths = [path]
    check_suffix(paths[0], formats)
    check_folder(paths[0].parent)
    check_new([] if force else paths)
    return paths


def save_in_folder(figure: "Figure | Plot", path: Path, *, force: bool) -> tuple[Path, ...]:
    """Write a figure, and return the paths of its files; the folder for them is made if need be.

    Raises:
        DeconvNetError: as `Figure.save`, or the folder cannot be made.
    """
    make_folder(path.parent)
    return figure.save(path, force=force)


def in_file_name(layer: str) -> str:
    """A layer's name without characters that are not allowed in file names."""
    return re.sub(r"[^\w.#-]", "_", layer)


def _is_folder_name(output: str, path: Path) -> bool:
    return is_folder(path) or output.endswith(("/", os.sep)) or not path.suffix


def check_folder(folder: Path) -> None:
    """Raise unless there is such a folder, or it can be made.

    Raises:
        ArgumentError: a file has its name, or that of a folder above it.
    """
    nearest = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path())
    if not is_folder(nearest):
        raise ArgumentError(f"cannot make the folder {str(folder)!r}: {str(nearest)!r} is a file. Give another name.")


def _stems(photos: Sequence[tuple[str, ...]]) -> list[str]:
    """A name for each photo: the last of its parts, with those before it where that tells more photos apart."""
    alike: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for parts in photos:
        alike[parts[-1].casefold()].add(parts)
    depths = {stem: _depth(group) for stem, group in alike.items()}
    return ["-".join(parts[-depths[parts[-1].casefold()] :]) for parts in photos]


def _depth(photos: set[tuple[str, ...]]) -> int:
    """How many of the last parts tell as many of some photos apart as can be."""

    def apart(depth: int) -> int:
        return len({tuple(part.casefold() for part in parts[-depth:]) for parts in photos})

    deepest = max(map(len, photos))
    return next(depth for depth in range(1, deepest + 1) if apart(depth) == apart(deepest))


def _names(stems: Sequence[str], suffix: str) -> list[str]:
    """A file name for each stem, no two alike on any disk."""
    names: dict[str, str] = {}
    for stem in stems:
        candidates = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        name = next(name for name in candidates if name.casefold() not in names)
        names[name.casefold()] = name + suffix
    return list(names.values())
