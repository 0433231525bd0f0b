"""Cells in a grid, or in a row or a column for each feature map. No torch here."""

from collections.abc import Hashable, Sequence
from typing import Literal, TypeAlias, TypeVar

from deconvnet._checks import is_one_of, short
from deconvnet._errors import ArgumentError
from deconvnet.pictures.layout import Layout

Arrange: TypeAlias = Literal["grid", "rows", "columns"]

_T = TypeVar("_T")


def arranged(
    cells: Sequence[_T], groups: Sequence[Hashable], arrange: Arrange, layout: Layout
) -> tuple[list[_T | None], int | None]:
    """The cells in reading order, None where a place stays free, and the number of columns; None for any.

    Args:
        cells: to arrange.
        groups: of each cell, such as its feature map: cells of a group stand in one row or one column.
        arrange: "grid" leaves them as they are.
        layout: what the user chose.

    Raises:
        ArgumentError: an unknown arrangement, or a number of columns for one that has its own.

    Example:
        >>> arranged("abcde", [3, 8, 3, 8, 3], "rows", Layout())
        (['a', 'c', 'e', 'b', 'd', None], 3)
        >>> arranged("abcde", [3, 8, 3, 8, 3], "columns", Layout())
        (['a', 'b', 'c', 'd', 'e', None], 2)
    """
    if not is_one_of(arrange, ("grid", "rows", "columns")):
        raise ArgumentError(f"arrange is 'grid', 'rows' or 'columns'; got {short(arrange)}.")
    if arrange == "grid":
        return [*cells], None
    if layout.columns is not None:
        raise ArgumentError(
            f"arrange={arrange!r} has its own number of columns, and columns={layout.columns!r} belongs to a grid: "
            "drop one of the two."
        )
    lines: dict[Hashable, list[_T | None]] = {}
    for cell, group in zip(cells, groups, strict=True):
        lines.setdefault(group, []).append(cell)
    longest = max(map(len, lines.values()), default=0)
    table = [[*line, *[None] * (longest - len(line))] for line in lines.values()]
    if arrange == "rows":
        return [cell for line in table for cell in line], longest
    return [line[i] for i in range(longest) for line in table], len(table)
