"""Fields of a preprocessing as they are given: numbers, sizes of images and of volumes."""

import math
from typing import Any

from deconvnet._checks import as_index, as_list, as_number, short
from deconvnet._errors import ArgumentError

_LONGEST = 2**31 - 1  # pixels of a side, in Pillow
_FEW = 4  # values that a message shows


def whole(field: str, value: Any) -> Any:
    """A whole number as an int; anything else as it is, for the checks to name."""
    index = as_index(value)
    return value if index is None else index


def real(field: str, value: Any) -> Any:
    """A number as a Python number; anything else as it is."""
    return value if isinstance(value, int | float) or math.isnan(as_number(value)) else as_number(value)


def whole_numbers(field: str, values: Any) -> Any:
    """A tuple of numbers, those that are whole as int.

    Raises:
        ArgumentError: not a list or tuple.
    """
    return tuple(whole(field, value) for value in _listed(field, values))


def real_numbers(field: str, values: Any) -> Any:
    """A tuple of Python numbers.

    Raises:
        ArgumentError: not a list or tuple.
    """
    return tuple(real(field, value) for value in _listed(field, values))


def _listed(field: str, values: Any) -> list[Any]:
    listed = as_list(values)
    if listed is None:
        raise ArgumentError(f"{field} is a tuple of numbers, not {short(values)}.")
    return listed


def is_size(values: tuple[object, ...]) -> bool:
    """Whether these are height and width of an image."""
    return len(values) == 2 and _are_lengths(values)


def is_volume(values: tuple[object, ...]) -> bool:
    """Whether these are depth, height and width of a volume."""
    return len(values) == 3 and _are_lengths(values)


def _are_lengths(values: tuple[object, ...]) -> bool:
    return all(type(value) is int and 0 < value <= _LONGEST for value in values)


def by(size: tuple[int, ...]) -> str:
    """A size in words: "32x96x96"."""
    return "x".join(map(str, size))


def are_finite(values: tuple[object, ...]) -> bool:
    """Whether all of these are finite numbers."""
    return all(math.isfinite(as_number(value)) for value in values)


def require(holds: bool, otherwise: str) -> None:
    """Raise unless something holds.

    Raises:
        ArgumentError: `otherwise`.
    """
    if not holds:
        raise ArgumentError(otherwise)


def require_one_for_each(field: str, values: tuple[float, ...], channels: int) -> None:
    """Raise unless a mean or std has a value for each channel of the input.

    Raises:
        ArgumentError: it has fewer or more.
    """
    if len(values) == channels:
        return
    few = min(channels, _FEW)
    first = [f"{as_number(value):g}" for value in ((values or (0.5,)) * few)[:few]]
    example = ",".join([*first, *["..."] * (few < channels)])
    given, taken = (f"{n} {what}{'s' * (n != 1)}" for n, what in ((len(values), "value"), (channels, "channel")))
    raise ArgumentError(
        f"{field} has {given}, but the input has {taken}. Give one for each, such as {field}=({example}"
        f"{',' * (few == 1)}) (--{field} {example}), or another number of channels (channels=, --input-channels)."
    )
