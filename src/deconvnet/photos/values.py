"""What the numbers in a photo stand for: which one is black, and which one white.

numbers of a file or an array ─► Scale ─► levels
                                   ▲
       value_range, or the file's own word, or the type
"""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deconvnet._checks import as_list, as_number, flag, short, whole_number
from deconvnet._errors import ArgumentError, PhotoError, ValueRangeError, ValueRangeWarning
from deconvnet.photos.levels import Levels

Range: TypeAlias = tuple[float, float]

ENOUGH = 32  # photos of a set tell whether all of them hold less than their type

_SLACK = 1e-6  # float pixels may pass 0..1 by this much: what earlier arithmetic rounds away
_MOST_CHANNELS = 4096
_UNUSED = 4  # white is this many times the largest number: two bits, and more than a dark photo leaves unused
_DEPTHS = (8, 10, 12, 14)  # bits of a camera's or a scanner's numbers


@dataclass(frozen=True)
class Reading:
    """How the photos of a user are read, where their files do not say all.

    Attributes:
        value_range: the numbers that are black and white; None for what the file or else the type says.
        channels: of an array or a `.npy` file that holds neither 1 nor 3, and no opacity; None for 1 and 3.
        page: which picture of a file that holds several, counted from 0; None if it holds one.
        volume: it is a volume, of three axes, not a picture.
    """

    value_range: Range | None = None
    channels: int | None = None
    page: int | None = None
    volume: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "value_range", checked_range(self.value_range))
        if self.channels is not None:
            object.__setattr__(self, "channels", whole_number("channels", self.channels, most=_MOST_CHANNELS))
        object.__setattr__(self, "volume", flag("volume", self.volume))

    @property
    def axes(self) -> int:
        """How many spatial axes there are."""
        return 3 if self.volume else 2


def checked_range(value_range: object) -> Range | None:
    """The numbers that are black and white, as floats; None for None.

    Raises:
        ArgumentError: not two finite numbers, the lower first.
    """
    if value_range is None:
        return None
    low, high = (as_number(value) for value in ((as_list(value_range) or []) + [None] * 2)[:2])
    if len(as_list(value_range) or ()) != 2 or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ArgumentError(
            "value_range is (low, high), the values that are black and white, such as (0, 4095); got "
            f"{short(value_range)}."
        )
    return low, high


AS_IT_IS = Reading()


@dataclass(frozen=True)
class Extent:
    """What was found in a photo of which nothing says which value is white.

    Attributes:
        largest: of its values.
        white: the largest value of their type, which was taken for white.
    """

    largest: int
    white: int

    @property
    def share(self) -> float:
        """How much of the type is used."""
        return self.largest / self.white


class Scale:
    """Makes levels of the numbers of one photo, some rows after others.

    Args:
        what: the photo, for messages.
        reading: what the user says of it.
    """

    def __init__(self, what: str, reading: Reading = AS_IT_IS) -> None:
        self.what, self.reading = what, reading
        self._largest, self._white = 0, 0

    @property
    def extent(self) -> Extent | None:
        """What was found, where neither the user nor the file has said which value is white."""
        return Extent(self._largest, self._white) if self._white else None

    def levels(self, values: NDArray[Any], white: int | None = None) -> Levels:
        """The levels of some values, of the same shape; a copy.

        Args:
            values: as the file or the array holds them.
            white: the white value, where the file says so.

        Raises:
            PhotoError: NaN or infinity, or a range that the values' type cannot hold.
            ValueRangeError: nothing says which values are black and white.
            ArgumentError: not real numbers.
        """
        if values.dtype.kind not in "biuf":
            raise ArgumentError(
                f"{self.what} has pixels of type {values.dtype}. Give integers or floats, and value_range= unless they "
                "are uint8, uint16 or floats from 0 to 1."
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise PhotoError(f"{self.what} holds NaN or infinity. Replace these pixels first.")
        if self.reading.value_range is not None:
            return self._within(values, self.reading.value_range)
        if values.dtype.kind == "f":
            return self._floats(values)
        if values.dtype.kind != "u":
            raise self._needs_range(values, f"{values.dtype} pixels")
        return self._integers(values, white)

    def _within(self, values: NDArray[Any], value_range: Range) -> NDArray[np.float32]:
        low, high = value_range
        if values.dtype.kind != "f":
            least, most = (0, 1) if values.dtype.kind == "b" else (int(f(values.dtype)) for f in (_least, _most))
            if low < least or high > most:
                raise PhotoError(
                    f"{self.what} has {values.dtype} pixels, which are {least} to {most}, so the value range "
                    f"{low:g},{high:g} cannot be theirs. Give the range of the numbers as they are in the file."
                )
        return np.asarray(((values.astype(np.float64) - low) / (high - low)).clip(0, 1), np.float32)

    def _floats(self, values: NDArray[Any]) -> NDArray[np.float32]:
        if values.size and (np.min(values) < -_SLACK or np.max(values) > 1 + _SLACK):
            raise self._needs_range(values, "float pixels", ", but 0 to 1 is the range for floats")
        return np.clip(values.astype(np.float32), 0, 1)

    def _integers(self, values: NDArray[Any], white: int | None) -> Levels:
        most = int(_most(values.dtype))
        if white is None and most > 255:
            self._white, self._largest = most, max(self._largest, int(values.max(initial=0)))
        if most <= 65535 and white in (None, most):
            return values.astype(np.uint8 if most == 255 else np.uint16)
        return np.asarray(values / (white or most), np.float32)

    def _needs_range(self, values: NDArray[Any], kind: str, but: str = "") -> ValueRangeError:
        low, high = (float(end(values)) for end in (np.min, np.max))
        return needs_range(f"{self.what} has {kind} from {low:g} to {high:g}{but}", low, high)


def needs_range(what: str, low: float | None = None, high: float | None = None) -> ValueRangeError:
    """The error for a photo of which nothing says which values are black and white.

    Args:
        what: what is known of it.
        low, high: values of it, for an example.
    """
    example = "-1000,400 for CT numbers" if low is None or high is None or low < 0 else f"0,{_white_above(high)}"
    return ValueRangeError(
        f"{what}. Say which values are black and white: value_range=(LOW, HIGH) (--range LOW,HIGH), such as {example}."
    )


def _white_above(largest: float) -> int:
    """What white probably is, of numbers up to that."""
    return next((2**bits - 1 for bits in (*_DEPTHS, 16, 24, 32) if largest < 2**bits), math.ceil(largest))


def _least(dtype: Any) -> int:
    return int(np.iinfo(dtype).min)


def _most(dtype: Any) -> int:
    return int(np.iinfo(dtype).max)


class Extents:
    """What was found in photos that are read together, and the warning that they may hold less than their type."""

    def __init__(self) -> None:
        self._brightest: Extent | None = None
        self._count = 0
        self._done = False

    def add(self, extents: Iterable[Extent | None]) -> None:
        """Add those of more photos; warn once there are enough."""
        bright = [extent for extent in extents if extent is not None and extent.largest]
        self._count += len(bright)
        self._brightest = max((*bright, *([self._brightest] if self._brightest else [])), key=_share, default=None)
        if self._count >= ENOUGH:
            self.warn()

    def warn(self, stacklevel: int = 4) -> None:
        """Warn, for the first time only, if the brightest of the photos leaves two bits of its type unused.

        One dark photo among others says nothing: in the brightest of them the largest value comes near to white.

        Warns:
            ValueRangeWarning: they do; says the largest value, and what to do.
        """
        brightest, self._done, done = self._brightest, True, self._done
        if done or brightest is None or brightest.largest * _UNUSED > brightest.white:
            return
        guess, largest = _white_above(brightest.largest), f"{brightest.largest:,}"
        alone = self._count == 1
        whose, outcome = ("the photo", "it comes") if alone else (f"all {self._count} photos looked at", "they come")
        as_dark = "it is" if alone else "they are"
        warnings.warn(
            f"the largest value of {whose} is {largest}, and {brightest.white:,}, the largest of the type, was taken "
            f"for white, so {outcome} out nearly black. If another value is white, say so: value_range=(LOW, HIGH) "
            f"(--range LOW,HIGH), perhaps 0,{guess}. 0,{brightest.white} if {as_dark} as dark as that.",
            ValueRangeWarning,
            stacklevel=stacklevel,
        )


def _share(extent: Extent) -> float:
    return extent.share
