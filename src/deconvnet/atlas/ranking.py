"""A bounded ranking of activations that merges: the same for one machine, many, and after an interruption.

Of each image and feature map there is one candidate, its strongest position; the k strongest over images stay.
Of equal activations the earlier image is the stronger, then the earlier position. An activation of zero or
below is not a candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

NONE = np.iinfo(np.int64).max  # stands for the image of an empty rank


@dataclass(frozen=True, eq=False)
class Ranking:
    """The strongest activations of some feature maps, the strongest first.

    Two rankings of any parts of the images merge to that of their union, in any order and grouping, and an
    image that is in both counts once.

    Attributes:
        activations: (c, k); minus infinity where there are fewer than k.
        images: (c, k) indices of the images; `NONE` where there are fewer.
        positions: (c, k) flat positions in the map; `NONE` where there are fewer.
    """

    activations: Float32[np.ndarray, "c k"]
    images: Int64[np.ndarray, "c k"]
    positions: Int64[np.ndarray, "c k"]

    @staticmethod
    def empty(channels: int, k: int) -> "Ranking":
        """The ranking of no images."""
        none = np.full((channels, k), NONE)
        return Ranking(np.full((channels, k), -np.inf, dtype=np.float32), none, none.copy())

    @property
    def k(self) -> int:
        """How many of each feature map are kept."""
        return int(self.activations.shape[1])

    def added(
        self,
        images: Int64[np.ndarray, " n"],
        activations: Float32[np.ndarray, "n c"],
        positions: Int64[np.ndarray, "n c"],
    ) -> "Ranking":
        """The ranking with more images, of each the strongest activation of every feature map.

        Args:
            images: their indices.
            activations: of each image and map, the strongest.
            positions: where it is, as a flat position.
        """
        enters = (activations > 0) & (activations >= self.activations[:, -1])
        rows = np.flatnonzero(enters.any(1))  # late in a data set few images enter
        if not rows.size:
            return self
        values = np.where(enters, activations, -np.inf)[rows].T
        indices = np.where(enters[rows].T, images[rows], NONE)
        return _strongest([self, Ranking(values, indices, np.where(enters[rows].T, positions[rows].T, NONE))], self.k)

    def merged(self, other: "Ranking") -> "Ranking":
        """The ranking of the images of both.

        Raises:
            ValueError: other feature maps, or another k.
        """
        if self.activations.shape != other.activations.shape:
            raise ValueError(f"rankings of {self.activations.shape} and {other.activations.shape} do not merge.")
        return _strongest([self, other], self.k)


def _strongest(rankings: Sequence[Ranking], k: int) -> Ranking:
    activations = np.concatenate([ranking.activations for ranking in rankings], 1)
    images = np.concatenate([ranking.images for ranking in rankings], 1)
    positions = np.concatenate([ranking.positions for ranking in rankings], 1)
    order = np.lexsort((positions, images, -activations), axis=1)
    activations, images, positions = (np.take_along_axis(part, order, 1) for part in (activations, images, positions))
    equal = (images[:, :, None] == images[:, None, :]) & (images != NONE)[:, :, None]
    repeated = np.tril(equal, -1).any(2)
    if repeated.any():  # an image that was in both: its second mention moves behind all others
        order = np.argsort(repeated, axis=1, kind="stable")
        activations = np.take_along_axis(np.where(repeated, -np.inf, activations), order, 1)
        images, positions = (
            np.take_along_axis(np.where(repeated, NONE, part), order, 1) for part in (images, positions)
        )
    return Ranking(activations[:, :k].astype(np.float32), images[:, :k], positions[:, :k])
