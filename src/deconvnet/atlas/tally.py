"""What a scan measures of feature maps: the strongest activations, and statistics. All of it merges exactly.

Sums are kept in whole numbers, so that they come out the same to the last bit whatever the order and
grouping in which photos were added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from deconvnet.atlas.ranking import NONE, Ranking

QUANTILES = (0.1, 0.5, 0.9, 0.99)

_FRACTION = 2.0**36  # parts of one in which sums of means are counted
_OCTAVES = 20  # activations from 2^-20 to 2^20 are told apart in quantiles
_BINS = 8  # in each octave
_COUNT = 2 * _OCTAVES * _BINS
_EDGES = (2.0 ** (np.arange(1, _COUNT + 1) / _BINS - _OCTAVES)).astype(np.float32)  # between those above zero
_AT_ONCE = 32  # photos that are counted at once


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of each feature map.

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

    def of(self, maps: slice) -> "Statistics":
        """Those of some of the feature maps."""
        return Statistics(self.photos, self.mean[maps], self.largest[maps], self.active[maps], self.quantiles[maps])


class Tally:
    """What was measured so far in the feature maps of all layers; photos are added in place.

    Adding does not wait for the device: everything stays there until it is asked for.

    Args:
        map_positions: of each feature map, how many positions it has.
        k: how many activations of each map are ranked.
        device: where all of it is.
    """

    def __init__(self, map_positions: Sequence[int], k: int, device: torch.device | str = "cpu") -> None:
        channels = len(map_positions)
        self.map_positions = np.array(map_positions, np.int64)
        self.device = torch.device(device)
        self._ranking = Ranking.empty(channels, k, device)
        self._waiting: list[dict[str, Tensor]] = []  # photos that are not counted yet: many at once are cheaper
        self._faults = torch.full((channels,), NONE, device=device)  # the first photo that gave NaN or infinity
        self._edges = torch.tensor(_EDGES, device=device)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=device)

        self._state = {
            "photos": zeros(1), "whole": zeros(channels), "parts": zeros(channels), "positive": zeros(channels),
            "largest": torch.full((channels,), -torch.inf, device=device), "bins": zeros(channels, _COUNT + 2),
        }  # fmt: skip

    def add(
        self,
        photos: Int64[Tensor, " n"],
        peaks: Float32[Tensor, "n c"],
        positions: Int64[Tensor, "n c"],
        means: Float32[Tensor, "n c"],
        positive: Int64[Tensor, "n c"],
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
        """The strongest activations of each map, on the CPU."""
        self._count()
        return Ranking(*(part.cpu() for part in vars(self._ranking).values()))

    @property
    def least(self) -> Float32[Tensor, " c"]:
        """An activation of each map that k photos so far reach; minus infinity while there are fewer."""
        return self._ranking.least

    @property
    def faults(self) -> Int64[np.ndarray, " c"]:
        """Of each map the first photo in which it gave NaN or infinity; `NONE` where it did not."""
        self._count()
        return self._faults.numpy(force=True)

    def _count(self) -> None:
        """Count the photos that wait."""
        if not self._waiting:
            return
        names = self._waiting[0]
        together = {name: torch.cat([batch[name] for batch in self._waiting]) for name in names}
        self._waiting = []
        photos, peaks, means = together["photos"], together["peaks"], together["means"]
        self._ranking = self._ranking.added(photos, peaks, together["positions"])
        state = self._state
        whole = means.double().floor()
        state["photos"] += len(photos)
        state["whole"] += whole.long().sum(0)
        state["parts"] += ((means - whole) * _FRACTION).round().long().sum(0)
        state["positive"] += together["positive"].sum(0)
        torch.maximum(state["largest"], peaks.amax(0), out=state["largest"])
        bins = ((torch.bucketize(peaks, self._edges, right=True) + 1) * (peaks > 0)).T
        state["bins"].scatter_add_(1, bins, torch.ones_like(bins))
        finite = peaks.isfinite() & means.isfinite()
        self._faults = torch.minimum(self._faults, photos[:, None].expand_as(finite).masked_fill(finite, NONE).amin(0))

    def merge(self, other: "Tally") -> None:
        """Add the photos of another tally, of other photos."""
        other._count()
        self._count()
        self._ranking = self._ranking.merged(other._ranking)
        self._faults = torch.minimum(self._faults, other._faults.to(self.device))
        for name, value in other._state.items():
            if name == "largest":
                torch.maximum(self._state[name], value.to(self.device), out=self._state[name])
            else:
                self._state[name] += value.to(self.device)

    def statistics(self) -> Statistics:
        """What the photos so far amount to; of no photos, not a number."""
        state = self.arrays()
        photos = int(state["photos"][0])
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
        return {name: tensor.numpy(force=True) for name, tensor in {**of_ranking, **self._state}.items()}

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
            raise ValueError(f"it holds {', '.join(sorted(arrays))} instead of {', '.join(expected)}")
        for name, array in arrays.items():
            if (array.dtype, array.shape) != (expected[name].dtype, expected[name].shape):
                raise ValueError(
                    f"{name} is {array.dtype} of shape {array.shape} instead of {expected[name].dtype} of shape "
                    f"{expected[name].shape}"
                )
        _check_state(arrays, count, self.map_positions)
        _check_ranking(arrays, seen, self.map_positions)
        tensors = {name: torch.tensor(array, device=self.device) for name, array in arrays.items()}
        self._ranking = Ranking(tensors["activations"], tensors["images"], tensors["places"])
        self._state = {name: tensors[name] for name in self._state}
        self._faults, self._waiting = torch.full_like(self._faults, NONE), []


def _check_state(state: Mapping[str, np.ndarray], count: int, map_positions: Int64[np.ndarray, " c"]) -> None:
    """Raise ValueError unless the statistics can be those of so many photos."""
    bins, positive = state["bins"], state["positive"]
    if state["photos"][0] != count or (bins < 0).any() or (bins.sum(1) != count).any():
        raise ValueError(f"it does not count the {count} photos that it has seen")
    if (positive < 0).any() or (positive > count * map_positions).any():
        raise ValueError("it counts more active positions than there are")
    if count and not np.isfinite(state["largest"]).all():
        raise ValueError("the largest activations are not finite")


def _check_ranking(
    state: Mapping[str, np.ndarray], seen: Int64[np.ndarray, " n"], map_positions: Int64[np.ndarray, " c"]
) -> None:
    """Raise ValueError unless the ranking agrees with the statistics, and is of photos that were seen."""
    activations, images, positions = state["activations"], state["images"], state["places"]
    full = images != NONE
    active_photos = state["bins"][:, 1:].sum(1)  # a photo is ranked if the map is active on it
    if (full != (np.arange(images.shape[1]) < active_photos[:, None])).any():
        raise ValueError("it does not rank as many photos as feature maps are active on")
    if not np.isin(images[full], seen).all():
        raise ValueError("it ranks photos that it has not seen")
    if not ((positions >= 0) & (positions < map_positions[:, None]))[full].all():
        raise ValueError("it ranks positions outside of the feature maps")
    if not (activations[full] > 0).all() or not np.isneginf(activations[~full]).all():
        raise ValueError("the activations that it ranks are not above zero")
    if (activations[:, 1:] > activations[:, :-1]).any() or (activations[:, 0] > state["largest"]).any():
        raise ValueError("the activations that it ranks are not in order")


def _quantiles(bins: Int64[np.ndarray, "c bins"], photos: int) -> Float32[np.ndarray, "c q"]:
    """The middle, on a scale of ratios, of the bin that each quantile falls into."""
    if not photos:
        return np.full((len(bins), len(QUANTILES)), np.nan, dtype=np.float32)
    middles = 2.0 ** ((np.arange(_COUNT + 1) + 0.5) / _BINS - _OCTAVES)
    levels = np.concatenate([[0.0], middles])
    below = bins.cumsum(1)
    ranks = [int(np.ceil(q * photos)) for q in QUANTILES]
    return np.stack([levels[(below >= rank).argmax(1)] for rank in ranks], 1).astype(np.float32)
