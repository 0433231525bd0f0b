"""Arguments, checked where they enter: numbers of Python, NumPy and PyTorch alike, texts, paths, choices.

No torch here. A check takes the argument's name and what was given, and returns it in the form that is worked with.
"""

import math
import operator
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar

from deconvnet._errors import ArgumentError

T = TypeVar("T")

_MOST_WHOLE = 2**63 - 1  # what sizes and indices are counted in, by NumPy and PyTorch as well
_MOST_ITEMS = 2**26  # of a range that is made a list
_FOREIGN = (TypeError, ValueError, RuntimeError)  # raised by tensors that are no single number, or hold no values

_NOT_UTF_8 = re.compile("[\ud800-\udfff]")  # Python's way to hold a byte of a name that is not UTF-8

_shortened = Repr()
_shortened.maxstring = _shortened.maxother = 100
_shortened.maxlong = 40


def short(value: object) -> str:
    """What was given, as a message shows it: never long, and an array by its type and shape."""
    if getattr(value, "ndim", None) and hasattr(value, "dtype"):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{type(value).__name__} of type {dtype} and shape {tuple(getattr(value, 'shape', ()))}"
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a whole number of {value.bit_length()} bits"
    try:
        return escaped(_shortened.repr(value))
    except Exception:  # a repr raises whatever it likes
        return f"an object of type {type(value).__name__}"


def escaped(text: str) -> str:
    r"""The text with the bytes of a name that is not UTF-8 written as \xff, so that it can be printed and saved.

    Example:
        >>> print(escaped("\udcff.jpg"))
        \xff.jpg
    """
    return _NOT_UTF_8.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", text)


def printable(value: Any) -> Any:
    """Lists, tuples and dictionaries with every text in them `escaped`, for JSON; anything else as it is."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list | tuple) else value


def _has_axes(value: object) -> bool:
    return getattr(value, "ndim", None) not in (None, 0)


def as_index(value: object) -> int | None:
    """A whole number of Python, NumPy or PyTorch as an int; None for anything else, such as a bool or 2.0."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or _has_axes(value) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # which raises for what is not one
    except _FOREIGN:
        return None


def as_number(value: object) -> float:
    """A number of Python, NumPy or PyTorch as a float; nan for anything else, such as a bool or a text."""
    kind = str(getattr(value, "dtype", ""))
    if isinstance(value, bool) or _has_axes(value) or "bool" in kind or "complex" in kind:
        return math.nan
    if not (hasattr(type(value), "__float__") or hasattr(type(value), "__index__")):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]  # it has one of the two
    except OverflowError:
        return math.inf
    except _FOREIGN:
        return math.nan


def as_list(value: object) -> list[Any] | None:
    """The items of a list, tuple, range, or of an array or tensor of one axis; None for anything else."""
    if isinstance(value, range) and value[_MOST_ITEMS:]:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return list(value)
    to_list = getattr(value, "tolist", None)
    if getattr(value, "ndim", 0) != 1 or not callable(to_list):
        return None
    try:
        return list(to_list())
    except _FOREIGN:
        return None


def whole_number(name: str, value: object, least: int = 1, most: int = _MOST_WHOLE) -> int:
    """The value as an int, checked to be a whole number of at least `least`; not a bool, and not 2.0.

    Args:
        name: of the argument.
        value: what was given: an int, or a number of NumPy or PyTorch.
        least: the smallest number allowed.
        most: the largest number allowed.

    Raises:
        ArgumentError: it is not.

    Example:
        >>> whole_number("k", 9)
        9
    """
    result = as_index(value)
    if result is None or not least <= result <= most:
        bounds = f"{least} or more" if result is None or result < least else f"{least} to {most}"
        raise ArgumentError(f"{name} is a whole number, {bounds}; got {short(value)}.")
    return result


def real_number(name: str, value: object, *, least: float = -math.inf, above: bool = False) -> float:
    """The value as a float, checked to be finite and at least `least`.

    Args:
        name: of the argument.
        value: what was given: a number of Python, NumPy or PyTorch; not a bool.
        least: the smallest number allowed.
        above: `least` itself is not allowed.

    Raises:
        ArgumentError: it is not.
    """
    result = as_number(value)
    if not math.isfinite(result) or result < least or (above and result == least):
        bounds = "" if least == -math.inf else f" {'above' if above else 'of at least'} {least:g}"
        raise ArgumentError(f"{name} is a {'finite ' if not bounds else ''}number{bounds}; got {short(value)}.")
    return result


def index_of(
    value: object, count: int, what: str, error: type[ArgumentError] = ArgumentError, *, from_end: bool = True
) -> int:
    """An index counted from 0; one below 0 counts from the end.

    Args:
        value: what was given.
        count: how many there are.
        what: of what there are so many, for messages.
        error: what is raised.
        from_end: False to refuse what is below 0, which in the labels of a data set stands for no class at all.

    Raises:
        ArgumentError: it lies outside, or is not a whole number.
    """
    index = as_index(value)
    if index is None or not (-count if from_end else 0) <= index < count:
        raise error(f"there are {count} {what}, counted from 0; got {short(value)}.")
    return index % count


def rows(value: object, count: int, what: str) -> slice:
    """An index as `index_of` takes it, or a slice, as a slice.

    Raises:
        ArgumentError: it is neither, or lies outside.
    """
    if not isinstance(value, slice):
        index = index_of(value, count, what)
        return slice(index, index + 1)
    try:
        value.indices(count)
    except (TypeError, ValueError) as fault:
        raise ArgumentError(f"{short(value)} is not a slice of {what}: {fault}.") from fault
    return value


def is_one_of(value: object, choices: Collection[str]) -> bool:
    """Whether a value is one of some texts; also for values that cannot be compared or hashed."""
    return isinstance(value, str) and value in choices


def flag(name: str, value: object) -> bool:
    """The value as a bool, checked to be True or False.

    Raises:
        ArgumentError: it is not.
    """
    if isinstance(value, bool):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise ArgumentError(f"{name} is True or False; got {short(value)}.")


def text(name: str, value: object) -> str:
    """The value, checked to be a text.

    Raises:
        ArgumentError: it is not.
    """
    if not isinstance(value, str):
        raise ArgumentError(f"{name} is a text; got {short(value)}.")
    return value


def instance(name: str, value: object, kind: type[T]) -> T:
    """The value, checked to be of a class.

    Raises:
        ArgumentError: it is not.
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ArgumentError(f"{name} is {article} {kind.__name__}; got {short(value)}.")
    return value


def callback(name: str, value: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The value, checked to be a function or None.

    Raises:
        ArgumentError: it is neither.
    """
    if value is not None and not callable(value):
        raise ArgumentError(f"{name} is a function, or None; got {short(value)}.")
    return value


def file_path(name: str, value: object) -> Path:
    """The value as a path, whether there is a file or not.

    Raises:
        ArgumentError: not a path, empty, or one that the disk cannot have or does not let us look at.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(path := os.fspath(value), str):
        raise ArgumentError(f"{name} is a path; got {short(value)}.")
    if not path:
        raise ArgumentError(f'{name} is empty. Give a path, or "." for the current folder.')
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as fault:  # ValueError: a character that paths cannot have
        reason = fault.strerror if isinstance(fault, OSError) else fault
        raise ArgumentError(f"{name}={short(path)} cannot be used: {reason}.") from fault
    return Path(path)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence that suggests the most similar names, to follow a message; "" if none is similar.

    Example:
        >>> did_you_mean("tabby cta", ["tabby cat", "Golden retriever"])
        " Did you mean 'tabby cat'?"
    """
    spelt = {each.casefold(): each for each in names}
    near = get_close_matches(name.casefold(), spelt, n=3, cutoff=0.5)
    return f" Did you mean {', '.join(repr(spelt[each]) for each in near)}?" if near else ""


def keywords(function: str, given: Iterable[str], options: Iterable[str]) -> None:
    """Raise unless a function that passes its options on knows all that it was given.

    Args:
        function: its public name.
        given: names of options.
        options: all that there are.

    Raises:
        TypeError: one is unknown, in the words of Python's own.
    """
    names = list(options)
    for name in given:
        if name not in names:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {short(name)}.{did_you_mean(name, names)} "
                f"Its options are {', '.join(names)}."
            )
