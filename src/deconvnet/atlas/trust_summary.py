"""What the pictures of a feature map, or of a layer, rest on, in numbers and in words. No torch here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

MEANING = (
    "1 is the same picture, about 0 an unrelated one. The higher the first value, the less a picture says about its "
    "unit; the higher the second, the less it says about its photo."
)

MEDIANS_MEAN = (
    "Other unit, other photo: cosine of these pictures with that of another unit at the same position, and with their "
    "own in another photo; medians."
)


@dataclass(frozen=True)
class Cosines:
    """How alike pictures are: 1 if the same, about 0 if unrelated.

    Attributes:
        count: of the pictures.
        median, low, high: of their cosines.
    """

    count: int
    median: float
    low: float
    high: float

    def words(self) -> str:
        """The median, and the range where there are several."""
        median, low, high = map(_rounded, (self.median, self.low, self.high))
        return median if self.count == 1 else f"{median} (median over {self.count:,} pictures; {low} to {high})"


@dataclass(frozen=True)
class AtlasTrust:
    """What the pictures of a feature map, or of all maps of a layer, rest on.

    Attributes:
        samples: how many of its top activations were looked at.
        other_unit: cosines with the picture of another unit at the same position; None where the layer has a single
            map, or pictures are zero everywhere.
        other_image: cosines with the picture of the same unit in another photo; None where the atlas
            has a single photo, or pictures are zero everywhere.
    """

    samples: int
    other_unit: Cosines | None
    other_image: Cosines | None

    def line(self) -> str:
        """Both in a line."""
        said = "; ".join(self._clauses())
        return f"cosine {said}" if said else "not measured, because there is nothing to compare them with"

    def medians(self) -> str:
        """Both in a few words, which `MEDIANS_MEAN` explains."""
        named = {"other unit": self.other_unit, "other photo": self.other_image}
        return ", ".join(f"{name} {_rounded(each.median)}" for name, each in named.items() if each is not None)

    def facts(self) -> dict[str, Any]:
        """Both by name, as JSON holds them; None where there is nothing to compare with."""
        named = {"other_unit": self.other_unit, "other_image": self.other_image}
        return {"samples": self.samples, **{name: each and vars(each) for name, each in named.items()}}

    def _clauses(self) -> Iterator[str]:
        if self.other_unit is not None:
            yield f"with the picture of another unit at the same position {self.other_unit.words()}"
        if self.other_image is not None:
            yield f"with that of the same unit in another photo {self.other_image.words()}"


def trust_of(rows: pa.Table) -> AtlasTrust | None:
    """What rows of `trust.parquet` say together; None if there are none."""
    if not len(rows):
        return None
    return AtlasTrust(len(rows), *(_cosines(rows[name]) for name in ("other_unit", "other_image")))


def _rounded(value: float) -> str:
    return f"{round(value, 2) + 0:.2f}"  # 0.00, not -0.00


def _cosines(column: pa.ChunkedArray) -> Cosines | None:
    values = column.drop_null().to_numpy().astype(np.float64)
    if not len(values):
        return None
    return Cosines(len(values), *(float(each) for each in np.quantile(values, [0.5, 0, 1])))
