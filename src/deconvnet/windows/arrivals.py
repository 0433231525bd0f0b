"""Signals of single units that have come to a value, and what is left to be done before they are its signal."""

from dataclasses import dataclass

from jaxtyping import Int, Shaped
from torch import Tensor

from deconvnet.core.geometry import Window
from deconvnet.windows.frames import Frames


@dataclass(frozen=True, eq=False)
class Remembered:
    """What the forward pass remembered of a step, where it lies.

    Attributes:
        values: (n, c, *size), one window for each row.
        frames: where the window that each unit reads from lies.
        rows: (m,) the row that each unit reads from.
    """

    values: Shaped[Tensor, "n c *size"]
    frames: Frames
    rows: Int[Tensor, " m"]

    def of(self, units: slice) -> "Remembered":
        """For some of the units."""
        return Remembered(self.values, self.frames.of(units), self.rows[units])


@dataclass(frozen=True, eq=False)
class Pooled:
    """A signal that is still on the pooled map: where it lies there, and how it is unpooled.

    Attributes:
        frames: its windows on the pooled map.
        windows: of the pooling, per spatial axis, as `LocalStep.windows`.
        switches: that the pooling remembered.
        keeps_largest: whether the value of largest magnitude stands where several share a position; else their sum.
    """

    frames: Frames
    windows: tuple[Window, ...]
    switches: Remembered
    keeps_largest: bool

    def of(self, units: slice) -> "Pooled":
        """For some of the units."""
        return Pooled(self.frames.of(units), self.windows, self.switches.of(units), self.keeps_largest)


@dataclass(frozen=True, eq=False)
class Part:
    """A signal that has come to a value.

    Attributes:
        signal: (m, c, *size) of `frames`, or of the pooled map.
        frames: where it lies in the value, past the border too.
        pooled: what is left to be done where it comes from a max-pooling.
        own: whether nothing else holds the signal, so that it may be written over.
    """

    signal: Tensor
    frames: Frames
    pooled: Pooled | None = None
    own: bool = False

    def of(self, units: slice) -> "Part":
        """The signals of some of the units."""
        pooled = None if self.pooled is None else self.pooled.of(units)
        return Part(self.signal[units], self.frames.of(units), pooled, self.own)
