"""What a scan measures of each layer: the strongest activations, and statistics. All of it merges exactly.

Sums are kept in whole numbers, so that they come out the same to the last bit whatever the order and
grouping in which photos were added.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from deconvnet.atlas.ranking import NONE, Ranking

QUANTILES = (0.1, 0.5, 0.9, 0.99)

_FRACTION = 2.0**36  # parts of one in which sums of means are counted
_OCTAVES = 20  # activations from 2^-20 to 2^20 are told apart in quantiles
_BINS = 8  # in each octave
_COUNT = 2 * _OCTAVES * _BINS
_AT_ONCE = 32  # photos that are counted at once


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of each feature map of a layer.

    Attributes:
        photos: how many were seen.
        mean: (c,) over photos and positions.
        largest: (c,) over photos and positions.
        active: (c,) share of the positions, of all photos, that are above zero.
        quantiles: (c, q) of each photo's strongest activation, at `QUANTILES`, within 5 %; those of zero and
            below count as zero.
    """

    photos: int
    mean: Float64[np.ndarray, " c"]
    largest: Float32[np.ndarray, " c"]
    active: Float64[np.ndarray, " c"]
    quantiles: Float32[np.ndarray, "c q"]


class Tally:
    """What was measured so far in one layer; photos are added in place.

    Args:
        channels: feature maps.
        map_positions: how many positions each map has.
        k: how many activations of each map are ranked.
    """

    def __init__(self, channels: int, map_positions: int, k: int) -> None:
        self.map_positions = map_positions
        self._ranking = Ranking.empty(channels, k)
        self._waiting: list[dict[str, np.ndarray]] = []  # photos that are not counted yet: many at once are cheaper
        self._state: dict[str, np.ndarray] = {
            "photos": np.zeros(1, dtype=np.int64),
            "whole": np.zeros(channels, dtype=np.int64),
            "parts": np.zeros(channels, dtype=np.int64),
            "positive": np.zeros(channels, dtype=np.int64),
            "largest": np.full(channels, -np.inf, dtype=np.float32),
            "bins": np.zeros((channels, _COUNT + 2), dtype=np.int64),
        }

    def add(
        self,
        photos: Int64[np.ndarray, " n"],
        peaks: Float32[np.ndarray, "n c"],
        positions: Int64[np.ndarray, "n c"],
        means: Float32[np.ndarray, "n c"],
        positive: Int64[np.ndarray, "n c"],
    ) -> None:
        """Add photos.

        Args:
            photos: their indices.
            peaks: the strongest activation of each photo and map.
            positions: where it is, as a flat position; looked at only where it enters the ranking.
            means: over the positions.
            positive: how many positions are above zero.
        """
        arrays = {"photos": photos, "peaks": peaks, "positions": positions, "means": means, "positive": positive}
        self._waiting.append(arrays)
        if sum(len(batch["photos"]) for batch in self._waiting) >= _AT_ONCE:
            self._count()

    @property
    def ranking(self) -> Ranking:
        """The strongest activations of each map."""
        self._count()
        return self._ranking

    @property
    def least(self) -> Float32[np.ndarray, " c"]:
        """An activation of each map that k photos so far reach; minus infinity while there are fewer."""
        return self._ranking.activations[:, -1]

    def _count(self) -> None:
        """Count the photos that wait."""
        if not self._waiting:
            return
        names = self._waiting[0]
        together = {name: np.concatenate([batch[name] for batch in self._waiting]) for name in names}
        self._waiting = []
        photos, peaks, means = together["photos"], together["peaks"], together["means"]
        self._ranking = self._ranking.added(photos, peaks, together["positions"])
        state = self._state
        whole = np.floor(means.astype(np.float64))
        state["photos"] += len(photos)
        state["whole"] += whole.astype(np.int64).sum(0)
        state["parts"] += np.rint((means - whole) * _FRACTION).astype(np.int64).sum(0)
        state["positive"] += together["positive"].sum(0)
        np.maximum(state["largest"], peaks.max(0), out=state["largest"])
        for row in _bins(peaks):
            state["bins"][np.arange(len(row)), row] += 1

    def merge(self, other: "Tally") -> None:
        """Add the photos of another tally, of other photos."""
        self._ranking = self.ranking.merged(other.ranking)
        for name, value in other._state.items():
            if name == "largest":
                np.maximum(self._state[name], value, out=self._state[name])
            else:
                self._state[name] += value

    def statistics(self) -> Statistics:
        """What the photos so far amount to; of no photos, not a number."""
        self._count()
        state, photos = self._state, int(self._state["photos"][0])
        count = photos or np.nan
        mean = (state["whole"] + state["parts"] / _FRACTION) / count
        active = state["positive"] / (count * self.map_positions)
        largest = state["largest"] if photos else np.full_like(state["largest"], np.nan)
        quantiles = np.minimum(_quantiles(state["bins"], photos), np.maximum(largest, 0)[:, None])
        return Statistics(photos, mean, largest, active, quantiles)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, for saving."""
        ranking = self.ranking
        of_ranking = {"activations": ranking.activations, "images": ranking.images, "places": ranking.positions}
        return {**of_ranking, **self._state}

    def restore(self, arrays: Mapping[str, np.ndarray], seen: Int64[np.ndarray, " n"], count: int) -> None:
        """Take what `arrays` of an equal tally gave in place of what is here.

        Args:
            arrays: all of them.
            seen: indices of the photos that it has seen, also those that could not be read.
            count: how many could be.

        Raises:
            ValueError: another tally's, or one that cannot be.
        """
        expected = self.arrays()
        if arrays.keys() != expected.keys():
            raise ValueError(f"it holds {', '.join(sorted(arrays))} of a layer instead of {', '.join(expected)}")
        for name, array in arrays.items():
            if (array.dtype, array.shape) != (expected[name].dtype, expected[name].shape):
                raise ValueError(
                    f"{name} is {array.dtype} of shape {array.shape} instead of {expected[name].dtype} of shape "
                    f"{expected[name].shape}"
                )
        ranking = Ranking(arrays["activations"], arrays["images"], arrays["places"])
        state = {name: np.array(arrays[name]) for name in self._state}
        _check_state(state, count, self.map_positions)
        _check_ranking(ranking, state, seen, self.map_positions)
        self._ranking, self._state, self._waiting = ranking, state, []


def _check_state(state: Mapping[str, np.ndarray], count: int, map_positions: int) -> None:
    """Raise ValueError unless the statistics can be those of so many photos."""
    bins, positive = state["bins"], state["positive"]
    if state["photos"][0] != count or (bins < 0).any() or (bins.sum(1) != count).any():
        raise ValueError(f"it does not count the {count} photos that it has seen")
    if (positive < 0).any() or (positive > count * map_positions).any():
        raise ValueError("it counts more active positions than there are")
    if count and not np.isfinite(state["largest"]).all():
        raise ValueError("the largest activations are not finite")


def _check_ranking(
    ranking: Ranking, state: Mapping[str, np.ndarray], seen: Int64[np.ndarray, " n"], map_positions: int
) -> None:
    """Raise ValueError unless the ranking agrees with the statistics, and is of photos that were seen."""
    full, activations = ranking.images != NONE, ranking.activations
    active_photos = state["bins"][:, 1:].sum(1)  # a photo is ranked if the map is active on it
    if (full != (np.arange(ranking.k) < active_photos[:, None])).any():
        raise ValueError("it does not rank as many photos as feature maps are active on")
    images, positions = ranking.images[full], ranking.positions[full]
    if not np.isin(images, seen).all():
        raise ValueError("it ranks photos that it has not seen")
    if positions.size and not (positions.min() >= 0 and positions.max() < map_positions):
        raise ValueError("it ranks positions outside of the feature maps")
    if not (activations[full] > 0).all() or not np.isneginf(activations[~full]).all():
        raise ValueError("the activations that it ranks are not above zero")
    if (activations[:, 1:] > activations[:, :-1]).any() or (activations[:, 0] > state["largest"]).any():
        raise ValueError("the activations that it ranks are not in order")


def _bins(values: Float32[np.ndarray, "n c"]) -> Int64[np.ndarray, "n c"]:
    """The bin of each value: 0 for zero and below, then by size."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.floor((np.log2(values) + _OCTAVES) * _BINS)
    return np.where(values > 0, np.clip(size, 0, _COUNT) + 1, 0).astype(np.int64)


def _quantiles(bins: Int64[np.ndarray, "c bins"], photos: int) -> Float32[np.ndarray, "c q"]:
    """The middle, on a scale of ratios, of the bin that each quantile falls into."""
    if not photos:
        return np.full((len(bins), len(QUANTILES)), np.nan, dtype=np.float32)
    middles = 2.0 ** ((np.arange(_COUNT + 1) + 0.5) / _BINS - _OCTAVES)
    levels = np.concatenate([[0.0], middles])
    below = bins.cumsum(1)
    ranks = [int(np.ceil(q * photos)) for q in QUANTILES]
    return np.stack([levels[(below >= rank).argmax(1)] for rank in ranks], 1).astype(np.float32)
