"""Which photos of a set are used: all, some spread evenly, or some at random."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Int64
from msgspec import Meta

from deconvnet._checks import whole_number
from deconvnet._errors import ArgumentError

MOST_SEED = 2**62


@dataclass(frozen=True)
class Pick:
    """Which photos of a set are used.

    Attributes:
        limit: at most this many, spread evenly over the set, which often lies class by class; None for all.
        sample: at most this many, drawn at random, each at most once; None for none of that.
        seed: of the draw.

    Raises:
        ArgumentError: both a limit and a sample, or a number that is wrong.
    """

    limit: Annotated[int, Meta(ge=1, lt=2**53)] | None = None
    sample: Annotated[int, Meta(ge=1, lt=2**53)] | None = None
    seed: Annotated[int, Meta(ge=-MOST_SEED, le=MOST_SEED)] = 0

    def __post_init__(self) -> None:
        for name in ("limit", "sample"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else whole_number(name, value, most=2**53 - 1))
        seed = whole_number("seed", self.seed, least=-MOST_SEED, most=MOST_SEED)
        object.__setattr__(self, "seed", 0 if self.sample is None else seed)
        if self.limit is not None and self.sample is not None:
            raise ArgumentError(
                "limit takes photos evenly spaced, and sample at random: give one of them (--limit, --sample)."
            )

    @staticmethod
    def of(limit: int | None = None, sample: int | None = None, seed: int | None = None) -> "Pick":
        """What a user asks for, whose seed can only be that of a sample.

        Raises:
            ArgumentError: as above; also a seed without a sample.
        """
        if seed is not None and sample is None:
            raise ArgumentError("seed is that of a random sample: give sample as well (--sample).")
        return Pick(limit, sample, 0 if seed is None else seed)

    def of_set(self, count: int) -> "Pick":
        """The same for a set of that many photos: all, if no more are there than are wanted."""
        return self if self.size(count) < count else Pick()

    def size(self, count: int) -> int:
        """How many of a set of that many photos are used."""
        return min(self.limit or self.sample or count, count)

    def indices(self, count: int) -> Int64[np.ndarray, " n"]:
        """The indices of those that are used, of a set of that many photos, in its order.

        Example:
            >>> Pick(limit=3).indices(10).tolist(), Pick(sample=3, seed=1).indices(10).tolist()
            ([0, 3, 6], [2, 8, 9])
        """
        size = self.size(count)
        if self.sample is None:
            return np.arange(size, dtype=np.int64) * count // size
        low, high = self.seed % 2**32, self.seed // 2**32 % 2**32
        random = np.random.RandomState(np.array([low, high], np.uint32))  # whose draws no version of NumPy changes
        return np.sort(random.permutation(count)[:size]).astype(np.int64)
