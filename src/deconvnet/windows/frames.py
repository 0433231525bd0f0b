"""Windows of maps: where they lie, moved, and added.

Units of any images and positions run as one batch, whose windows have one size and each its own corner, inside the
map: what lies beyond a border is not carried.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Frames:
    """Where the windows of a batch of units lie in one value.

    Attributes:
        low: first pixel of each window, per spatial axis.
        size: length of every window, per spatial axis.
    """

    low: Int[np.ndarray, "m axes"]
    size: tuple[int, ...]

    @property
    def high(self) -> Int[np.ndarray, "m axes"]:
        """The pixel after the last of each window."""
        return self.low + np.array(self.size, dtype=np.int64)

    def of(self, units: slice) -> "Frames":
        """Those of some of the units."""
        return Frames(self.low[units], self.size)


def whole_maps(count: int, size: Sequence[int]) -> Frames:
    """Windows that are the whole map."""
    return Frames(np.zeros((count, len(size)), dtype=np.int64), tuple(size))


def united(parts: Sequence[Frames], size: Sequence[int]) -> Frames:
    """Windows that hold those of all parts as far as they lie inside a map of `size`."""
    length = np.array(size)
    low, high = parts[0].low, parts[0].high
    for part in parts[1:]:
        low, high = np.minimum(low, part.low), np.maximum(high, part.high)
    low = np.maximum(low, 0)
    longest = np.maximum((np.minimum(high, length) - low).max(0), 1)
    return Frames(np.minimum(low, length - longest), tuple(longest.tolist()))


def moved(
    source: Shaped[Tensor, "n c *before"],
    at: Frames,
    to: Frames,
    rows: Int[np.ndarray, " m"] | None = None,
    *,
    fill: float = 0,
) -> Shaped[Tensor, "m c *after"]:
    """The windows `to` of what lies in the windows `at`.

    Args:
        source: one window for each of `at`.
        at: where they lie.
        to: what is wanted.
        rows: for each window wanted, the index of the one that it is taken from; its own by default.
        fill: stands where there is none.
    """
    shifts = to.low - (at.low if rows is None else at.low[rows])
    alike = rows is None and not (shifts != shifts[0]).any()
    if alike and to.size == at.size and not shifts[0].any():
        return source
    result = source.new_full((len(shifts), source.shape[1], *to.size), fill)
    for i, (here, there) in _shared(shifts, at.size, to.size, alike=alike):
        row = i if rows is None else int(rows[i])
        result[(i, slice(None), *there)] = source[(row, slice(None), *here)]
    return result


def added(parts: Sequence[tuple[Tensor, Frames]], to: Frames) -> Float[Tensor, "m c *after"]:
    """The sum of several parts, each in windows of its own, in the windows `to`, which hold them all."""
    covering = next((i for i, (_, at) in enumerate(parts) if at.size == to.size and not (at.low != to.low).any()), 0)
    total = moved(*parts[covering], to)
    if len(parts) == 1:
        return total
    if total is parts[covering][0]:
        total = total.clone()
    for part, at in (*parts[:covering], *parts[covering + 1 :]):
        shifts = to.low - at.low
        for i, (here, there) in _shared(shifts, at.size, to.size, alike=not (shifts != shifts[0]).any()):
            total[(i, slice(None), *there)] += part[(i, slice(None), *here)]
    return total


Slices = tuple[slice, ...]


def _shared(
    shifts: np.ndarray, before: Sequence[int], after: Sequence[int], *, alike: bool
) -> Iterator[tuple[int | slice, tuple[Slices, Slices]]]:
    """Yields the overlapping slices of each source/target window pair, or one pair for all where they are alike."""
    for i, shift in enumerate(shifts[:1].tolist() if alike else shifts.tolist()):
        here, there = zip(*map(_common, shift, before, after), strict=True)
        yield slice(None) if alike else i, (here, there)


def _common(shift: int, before: int, after: int) -> tuple[slice, slice]:
    """What a window of one length shares with another that begins `shift` later: as seen from each."""
    first, last = max(shift, 0), min(shift + after, before)
    last = max(first, last)
    return slice(first, last), slice(first - shift, last - shift)
