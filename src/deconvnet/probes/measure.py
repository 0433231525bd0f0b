"""What one question about a picture came to, and what it is compared with."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

QUANTILE = 0.95  # of a null's draws, on either side of which a value is outside of it
LEAST_DRAWS = 20


@dataclass(frozen=True)
class Null:
    """What a value would be if the picture did not rest on what the question asks about.

    Attributes:
        name: what was drawn, such as "a random network".
        draws: a value of each.
    """

    name: str
    draws: tuple[float, ...]

    @property
    def limits(self) -> tuple[float, float] | None:
        """The quantiles 0.05 and 0.95 of the draws; None of fewer than 20."""
        if len(self.draws) < LEAST_DRAWS:
            return None
        low, high = np.quantile(self.draws, (1 - QUANTILE, QUANTILE)).tolist()
        return low, high

    def side(self, value: float) -> int | None:
        """-1, 0 or 1 for a value below, between or above the limits; None where there are too few draws."""
        limits = self.limits
        return None if limits is None else int(value > limits[1]) - int(value < limits[0])


@dataclass(frozen=True)
class Measure:
    """One question about a picture.

    Attributes:
        name: short, such as "other units"; how the measure is chosen.
        question: in words.
        value: the number that answers it; None if it was not measured.
        details: other numbers that belong to it, by name.
        nulls: what the value is compared with.
        words: what the value says, in plain language, with the numbers; "" if it lies within its null, or has none.
        why_not: why it was not measured; "" if it was.
    """

    name: str
    question: str
    value: float | None = None
    details: tuple[tuple[str, float], ...] = ()
    nulls: tuple[Null, ...] = ()
    words: str = ""
    why_not: str = ""


def outside(value: float, nulls: Iterable[Null]) -> Iterator[tuple[Null, str, str]]:
    """The nulls that a value lies outside of, in two decimals: each with "more" or "less", and its limits in words."""
    for null in nulls:
        side, limits = null.side(value), null.limits
        if side and limits is not None and f"{value:.2f}" != f"{limits[side > 0]:.2f}":
            yield null, "more" if side > 0 else "less", f"{limits[0]:.2f} to {limits[1]:.2f}"
