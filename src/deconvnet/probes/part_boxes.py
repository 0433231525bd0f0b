"""`Part`: where parts of things lie in photos, such as eyes and noses, given as a list or in a CSV or JSON file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import msgspec

from deconvnet._checks import as_list, as_number, file_path, short, text
from deconvnet._errors import ArgumentError
from deconvnet._files import decode_json
from deconvnet._text import cells, decoded
from deconvnet._types import Box

COLUMNS = ("photo", "part", "left", "top", "right", "bottom")
_LARGEST = 2**24  # bytes of a file
_REMEDY = (
    f"Give a CSV file with the columns {', '.join(COLUMNS)} in its first row, or a JSON file with a list of objects "
    "that have these keys; lengths are in pixels of the photo."
)


class _Row(msgspec.Struct):
    """An object in a JSON file."""

    photo: str
    part: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Part:
    """A part of what a photo shows.

    Attributes:
        photo: the photo's name, whole or as much of its end as tells it from the others: a file name, with or without
            its suffix.
        part: what it is, such as "left eye"; the same word in every photo.
        left, top, right, bottom: in pixels of the photo, from its upper left corner; right and bottom are the first
            pixels beyond the part.

    Raises:
        ArgumentError: a name is empty, or the box is.
    """

    photo: str
    part: str
    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        for name in ("photo", "part"):
            if not text(name, getattr(self, name)).strip():
                raise ArgumentError(f"{name} is an empty text: name it.")
        sides = {name: as_number(getattr(self, name)) for name in COLUMNS[2:]}
        for name, length in sides.items():
            if not math.isfinite(length):
                raise ArgumentError(f"{name} is a number of pixels; got {short(getattr(self, name))}.")
            object.__setattr__(self, name, length)
        if not (self.left < self.right and self.top < self.bottom):
            raise ArgumentError(
                f"{self.part!r} of {self.photo!r} is empty: left {self.left:g} has to be below right {self.right:g}, "
                f"and top {self.top:g} below bottom {self.bottom:g}."
            )


def box_of(part: Part, size: Sequence[int]) -> Box:
    """The box of a part in a photo of that height and width, rounded outward to whole pixels.

    Raises:
        ArgumentError: it reaches beyond the photo.
    """
    height, width = size
    if part.left < 0 or part.top < 0 or part.right > width or part.bottom > height:
        raise ArgumentError(
            f"{part.part!r} of {part.photo!r} lies outside the photo, which is {width} pixels wide and {height} "
            f"high: left {part.left:g}, top {part.top:g}, right {part.right:g}, bottom {part.bottom:g}. Give "
            "pixels of the photo itself, not of a resized one."
        )
    return Box(
        (math.floor(part.top), math.floor(part.left)), (math.ceil(part.bottom), math.ceil(part.right))
    )  # fmt: skip


def read_parts(parts: str | Path | Sequence[Part]) -> tuple[Part, ...]:
    """Parts, read from a file or checked.

    Args:
        parts: a CSV file with the columns photo, part, left, top, right and bottom (others are not looked at), a JSON
            file with a list of objects with these keys, or a list of `Part`.

    Raises:
        ArgumentError: the file cannot be read or holds something else, or is empty.
    """
    if isinstance(parts, str | Path):
        path = file_path("parts", parts)
        try:
            listed = [_part(row, where) for where, row in _rows(path)]
        except (OSError, ValueError) as fault:
            raise ArgumentError(f"cannot read parts={str(path)!r}: {str(fault).rstrip('.')}. {_REMEDY}") from fault
    else:
        listed = as_list(parts) or []
        if not all(isinstance(part, Part) for part in listed):
            raise ArgumentError(f"parts is a file, or a list of Part; got {short(parts)}.")
    if not listed:
        raise ArgumentError(f"parts is empty. {_REMEDY}")
    return tuple(listed)


def _part(row: Mapping[str, Any], where: str) -> Part:
    try:
        return Part(**row)
    except ArgumentError as fault:
        raise ValueError(f"{where}: {fault}") from fault


def _rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Each row of a file with where it is.

    Raises:
        OSError, ValueError: the file cannot be read, or holds something else.
    """
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST >> 20} MiB")
    content = decoded(data)
    if path.suffix.lower() == ".json":
        objects = decode_json(content, list[_Row])
        return [(f"object {i}", msgspec.structs.asdict(each)) for i, each in enumerate(objects)]
    if not content.strip():
        raise ValueError("it is empty")
    header, *rows = cells(content)
    columns = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS if columns.count(name) != 1]
    if missing:
        raise ValueError(f"its first row does not name one column {missing[0]!r}; it is {', '.join(header)}")
    chosen = {name: columns.index(name) for name in COLUMNS}
    return [
        (f"row {i}", {name: _cell(name, row[column].strip(), f"row {i}") for name, column in chosen.items()})
        for i, row in enumerate(rows, 2)
    ]


def _cell(name: str, cell: str, where: str) -> str | float:
    if name in COLUMNS[:2]:
        return cell
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{where}: {name} is {cell!r} and not a number") from None


def matched(parts: Sequence[Part], names: Sequence[str]) -> dict[str, dict[int, Part]]:
    """By part, and by index of the photo, where it lies; in the order in which parts are first named.

    Args:
        parts: of some of the photos.
        names: of all photos.

    Raises:
        ArgumentError: a part of a photo that is not there or could be one of several, or a part that stands twice.
    """
    matches: dict[str, dict[int, Part]] = {}
    index_of = {photo: _index(photo, names) for photo in dict.fromkeys(part.photo for part in parts)}
    for part in parts:
        of_part = matches.setdefault(part.part, {})
        if index_of[part.photo] in of_part:
            raise ArgumentError(f"{part.part!r} of {part.photo!r} stands twice: keep one of them.")
        of_part[index_of[part.photo]] = part
    return matches


def _index(photo: str, names: Sequence[str]) -> int:
    for named in (_whole, _end, _end_without_suffix):
        indices = [i for i, name in enumerate(names) if named(name, photo)]
        if len(indices) == 1:
            return indices[0]
        if indices:
            raise ArgumentError(
                f"parts name the photo {photo!r}, which could be {names[indices[0]]!r} or {names[indices[1]]!r}: name "
                "its folder, too."
            )
    listed = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    raise ArgumentError(f"parts name the photo {photo!r}, which is not among the photos: {listed}.")


def _whole(name: str, photo: str) -> bool:
    return name == photo


def _end(name: str, photo: str) -> bool:
    """Whether a photo is named by its last folders and its file name; a sample by its name alone."""
    wanted = PurePath(photo).parts
    return PurePath(name).parts[-len(wanted) :] == wanted or name == f"sample:{photo}"


def _end_without_suffix(name: str, photo: str) -> bool:
    return _end(str(PurePath(name).with_suffix("")), photo) if PurePath(name).name else False
