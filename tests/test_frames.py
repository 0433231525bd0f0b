"""Tables are pandas's where it is installed, and lists where it is not."""

import pandas
import pytest

from deconvnet import _frames
from deconvnet._frames import frame

COLUMNS = {"layer": ("a", "b"), "y": (3, None), "share": (0.5, 0.25), "gone": (None, None)}


def test_whole_numbers_stay_whole_where_some_are_missing():
    table = frame(COLUMNS)
    assert isinstance(table, pandas.DataFrame) and list(table) == list(COLUMNS)
    assert table["y"].tolist() == [3, pandas.NA] and str(table["y"].dtype) == "Int64"
    assert table["gone"].isna().all() and table["share"].sum() == 0.75


def test_without_pandas_the_columns_are_lists(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_frames, "find_spec", lambda name: None)
    assert frame(COLUMNS) == {name: list(values) for name, values in COLUMNS.items()}
