"""Cells in a grid, in rows, in columns."""

import pytest

from deconvnet._errors import ArgumentError
from deconvnet.pictures.arrange import arranged
from deconvnet.pictures.layout import Layout


def test_each_group_has_a_row_or_a_column_of_its_own_with_free_places_at_the_end() -> None:
    groups = ["x", "y", "x", "z"]
    assert arranged("abcd", groups, "rows", Layout()) == (["a", "c", "b", None, "d", None], 2)
    assert arranged("abcd", groups, "columns", Layout()) == (["a", "b", "d", "c", None, None], 3)
    assert arranged("abcd", groups, "grid", Layout()) == ([*"abcd"], None)


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"columns=2 belongs to a grid: drop one of the two"):
        arranged("ab", "xy", "rows", Layout(columns=2))
    with pytest.raises(ArgumentError, match=r"arrange is 'grid', 'rows' or 'columns'; got 'diagonal'"):
        arranged("ab", "xy", "diagonal", Layout())  # type: ignore[arg-type]
