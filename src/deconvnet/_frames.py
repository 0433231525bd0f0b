"""Numbers as a table: pandas where it is installed, plain columns where it is not."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def frame(columns: Mapping[str, Sequence[Any]]) -> Any:
    """The columns as a `pandas.DataFrame` if pandas is installed, else as a dictionary of lists.

    Whole numbers stay whole where some are missing: such a column is of pandas' type Int64.

    Args:
        columns: by name, all of one length; None where a value is missing.
    """
    listed = {name: list(values) for name, values in columns.items()}
    if find_spec("pandas") is None:
        return listed
    pandas = import_module("pandas")
    return pandas.DataFrame(
        {name: pandas.array(values, dtype="Int64") if _has_gaps(values) else values for name, values in listed.items()}
    )


def _has_gaps(values: list[Any]) -> bool:
    """Whether these are whole numbers, some of which are missing."""
    return None in values and all(value is None or type(value) is int for value in values)
