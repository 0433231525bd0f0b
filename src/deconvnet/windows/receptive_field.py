"""Arithmetic of receptive fields: a unit's position → the box of input pixels that it sees.

Along each axis a unit at y sees the pixels from `scale * y + low` to `scale * y + high`, both
included and rounded inward. Steps compose; where branches meet, their fields unite. Where a step's
geometry is not that of a window, its units see the whole input.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import ceil, floor

from deconvnet._types import Box
from deconvnet.core.geometry import Sees
from deconvnet.core.graph import Step, Value
from deconvnet.core.operations import Operation, row_of


@dataclass(frozen=True)
class Field:
    """The field of the units of one map along one axis; fractions of input pixels."""

    scale: Fraction
    low: Fraction
    high: Fraction

    def through(self, scale: Fraction | int, low: Fraction | int, high: Fraction | int) -> "Field":
        """The field of a unit y that sees those from `scale * y + low` to `scale * y + high`."""
        return Field(self.scale * scale, self.scale * low + self.low, self.scale * high + self.high)

    def union(self, other: "Field") -> "Field | None":
        """The field of a unit that sees both; None if they do not move together."""
        if self.scale != other.scale:
            return None
        return Field(self.scale, min(self.low, other.low), max(self.high, other.high))

    @property
    def size(self) -> int:
        """Pixels seen by one unit; the most that any unit sees, if that depends on its position."""
        return floor(self.high - self.low) + 1

    def span(self, position: int) -> tuple[int, int]:
        """First pixel seen by the unit at a position, and the one after the last."""
        return ceil(self.scale * position + self.low), floor(self.scale * position + self.high) + 1


Fields = tuple[Field, ...] | None  # per spatial axis; None: the whole input


def fields(
    steps: Iterable[Step], source: Value, blocked: Mapping[str, frozenset[int]], rows: Mapping[str, Operation]
) -> dict[str, Fields]:
    """The field of every value above `source`, in positions of `source`.

    Args:
        steps: in order.
        source: the value that pictures are made of; its spatial axes are all but the first two.
        blocked: for a step's output, the indices of the signal inputs that no signal travels to.
        rows: the table of operations.
    """
    axes = len(source.shape) - 2
    whole = (Field(Fraction(1), Fraction(0), Fraction(0)),) * max(axes, 0)
    of: dict[str, Fields] = {source.name: whole if axes > 0 else None}
    for step in steps:
        shut = blocked.get(step.output.name, frozenset())
        below = [value for i, value in enumerate(step.signals) if i not in shut and value.name in of]
        if below:
            sees = row_of(step, rows).sees
            of[step.output.name] = None if sees is None else _through(step, below, of, sees, axes)
    return of


def box(field: Fields, position: Sequence[int], size: Sequence[int]) -> Box:
    """The box that the unit at a position sees, in an input of `size`; it may reach past the border."""
    if field is None or len(position) != len(field):
        return Box((0,) * len(size), tuple(size))
    spans = [axis.span(y) for axis, y in zip(field, position, strict=True)]
    return Box(tuple(low for low, _ in spans), tuple(high for _, high in spans))


def _through(step: Step, below: list[Value], of: Mapping[str, Fields], sees: Sees, axes: int) -> Fields:
    branches: list[Fields] = []
    for value in dict.fromkeys(below):
        under = of[value.name]
        windows = None if under is None else sees(step, value, axes)
        if under is None or windows is None:
            return None
        branches.append(tuple(field.through(*window) for field, window in zip(under, windows, strict=True)))
    return reduce(_united, branches[1:], branches[0])


def _united(a: Fields, b: Fields) -> Fields:
    """The field of a unit that sees both."""
    if a is None or b is None:
        return None
    axes = [first.union(second) for first, second in zip(a, b, strict=True)]
    united = tuple(axis for axis in axes if axis is not None)
    return united if len(united) == len(axes) else None
