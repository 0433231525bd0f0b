"""Arithmetic of receptive fields: a unit's position → the box of input pixels that it sees.

Along each axis a unit at y sees the pixels of the map below from `scale * y + low` to `scale * y + high`, both
included and rounded inward. Steps compose; where branches meet, their fields unite. Where a step's
geometry is not that of a window, its units see the whole input.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import ceil, floor, lcm

from deconvnet._types import Box
from deconvnet.core.geometry import Sees
from deconvnet.core.graph import Step, Value
from deconvnet.core.operations import Operation, row_of


@dataclass(frozen=True)
class Field:
    """The field of the units of one map along one axis, in input pixels.

    Above a step that enlarges maps, neighbouring units see differently placed pixels; after some units that repeats.

    Attributes:
        step: by how many pixels the field has moved where it repeats.
        spans: of the first units, until it repeats, the first pixel seen and the last; a unit whose last lies before
            its first sees none.
    """

    step: int
    spans: tuple[tuple[int, int], ...]

    @property
    def scale(self) -> Fraction:
        """Pixels from one unit to the next, on average."""
        return Fraction(self.step, len(self.spans))

    @property
    def size(self) -> int:
        """Pixels seen by one unit; the most that any unit sees, if that depends on its position."""
        return max(last - first + 1 for first, last in self.spans)

    def span(self, position: int) -> tuple[int, int]:
        """First and last pixel seen by the unit at a position."""
        times, index = divmod(position, len(self.spans))
        first, last = self.spans[index]
        return first + times * self.step, last + times * self.step

    def through(self, scale: Fraction | int, low: Fraction | int, high: Fraction | int) -> "Field":
        """The field of a unit y that sees those from `scale * y + low` to `scale * y + high`."""
        repeats = Fraction(scale, len(self.spans)).denominator
        spans = [self._of_units(ceil(scale * y + low), floor(scale * y + high)) for y in range(repeats)]
        return Field(int(self.scale * scale * repeats), tuple(spans))

    def union(self, other: "Field") -> "Field | None":
        """The field of a unit that sees both; None if they do not move together."""
        if self.scale != other.scale:
            return None
        repeats = lcm(len(self.spans), len(other.spans))
        spans = [_hull([self.span(y), other.span(y)]) for y in range(repeats)]
        return Field(int(self.scale * repeats), tuple(spans))

    def _of_units(self, first: int, last: int) -> tuple[int, int]:
        """What the units from the first to the last see together."""
        if last < first:
            pixel, _ = self.span(first)
            return pixel, pixel - 1
        repeats = len(self.spans)  # what comes before the last of these reaches no farther, nor after the first
        ends = {*range(first, min(first + repeats, last + 1)), *range(max(first, last + 1 - repeats), last + 1)}
        return _hull([self.span(y) for y in sorted(ends)])


def _hull(spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """First and last pixel of all spans that hold any."""
    spans = [span for span in spans if span[0] <= span[1]] or spans[:1]
    return min(first for first, _ in spans), max(last for _, last in spans)


Fields = tuple[Field, ...] | None  # per spatial axis; None: the whole input


def fields(
    steps: Iterable[Step], source: Value, blocked: Mapping[str, frozenset[int]], rows: Mapping[str, Operation]
) -> dict[str, Fields]:
    """The field of every value above `source`, in positions of `source`; None if its positions have other axes.

    Args:
        steps: in order.
        source: the value that pictures are made of; its spatial axes are all but the first two.
        blocked: for a step's output, the indices of the signal inputs that no signal travels to.
        rows: the table of operations.
    """
    axes = len(source.shape) - 2
    whole = (Field(1, ((0, 0),)),) * max(axes, 0)
    of: dict[str, Fields] = {source.name: whole if axes > 0 else None}
    others = set()  # of which the last axes are those of the maps, as where feature maps stand in groups
    for step in steps:
        shut = blocked.get(step.output.name, frozenset())
        below = [value for i, value in enumerate(step.signals) if i not in shut and value.name in of]
        if below:
            sees = row_of(step, rows).sees
            of[step.output.name] = None if sees is None else _through(step, below, of, sees, axes)
            if len(step.output.map_size) != axes:
                others.add(step.output.name)
    return {**of, **dict.fromkeys(others)}


def box(field: Fields, position: Sequence[int], size: Sequence[int]) -> Box:
    """The box that the unit at a position sees, in an input of `size`; it may reach past the border."""
    if field is None or len(position) != len(field):
        return Box((0,) * len(size), tuple(size))
    spans = [axis.span(y) for axis, y in zip(field, position, strict=True)]
    return Box(tuple(first for first, _ in spans), tuple(last + 1 for _, last in spans))


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
