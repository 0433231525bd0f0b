"""Arguments, checked where they enter."""

import math
from collections.abc import Iterable
from difflib import get_close_matches

from deconvnet._errors import ArgumentError

_MOST_WHOLE = 2**63 - 1  # what sizes and indices are counted in, by NumPy and PyTorch as well


def whole_number(name: str, value: object, least: int = 1, most: int = _MOST_WHOLE) -> int:
    """The value, checked to be a whole number of at least `least` and at most `most`.

    Raises:
        ArgumentError: it is not.

    Example:
        >>> whole_number("k", 9)
        9
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        bounds = f"{least} or more" if most == _MOST_WHOLE else f"{least} to {most}"
        raise ArgumentError(f"{name} is a whole number, {bounds}; got {value!r}.")
    return value


def real_number(name: str, value: object, *, least: float, above: bool = False) -> float:
    """The value as a float, checked to be finite and at least `least`.

    Args:
        name: of the argument.
        value: what was given.
        least: the smallest number allowed.
        above: `least` itself is not allowed.

    Raises:
        ArgumentError: it is not.
    """
    try:
        result = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        result = math.inf
    if not math.isfinite(result) or result < least or (above and result == least):
        raise ArgumentError(f"{name} is a number {'above' if above else 'of at least'} {least:g}; got {value!r}.")
    return result


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence that suggests the most similar names, to follow a message; "" if none is similar.

    Example:
        >>> did_you_mean("tabby cta", ["tabby cat", "Golden retriever"])
        " Did you mean 'tabby cat'?"
    """
    spelt = {each.casefold(): each for each in names}
    near = get_close_matches(name.casefold(), spelt, n=3, cutoff=0.5)
    return f" Did you mean {', '.join(repr(spelt[each]) for each in near)}?" if near else ""
