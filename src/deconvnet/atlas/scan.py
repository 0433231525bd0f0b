"""One pass over the photos, forward only: of every feature map the strongest activations, and statistics."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from deconvnet._errors import NotFiniteError
from deconvnet._types import LayerInfo, Unit
from deconvnet.atlas.ranking import NONE, Ranking
from deconvnet.atlas.tally import Tally
from deconvnet.core.operations import RELU
from deconvnet.core.rules import Rule
from deconvnet.core.up import Trace
from deconvnet.engine.activations import watch_activations
from deconvnet.engine.attachment import Attachment
from deconvnet.photos.digests import Digests

_CACHE_NUMBERS = 2**19  # that stay near the processor

Measures: TypeAlias = dict[str, dict[str, np.ndarray]]
"""By layer, what `Tally.add` takes of a batch."""


@dataclass(frozen=True)
class TopUnit:
    """The unit of one of the strongest activations of a feature map; in the atlas it becomes a `TopActivation`.

    Attributes:
        layer: the layer's name.
        channel: index of the feature map.
        rank: 0 for the strongest of its map.
        photo: index of the photo in its set.
        position: index per spatial axis.
        activation: as the scan measured it.
    """

    layer: str
    channel: int
    rank: int
    photo: int
    position: tuple[int, ...]
    activation: float

    def unit(self, image: int) -> Unit:
        """The unit, in a batch whose image of this index is its photo."""
        return Unit(self.layer, self.channel, self.position, image)


class Scan:
    """A scan as far as it has come; photos are added in place, and scans of other photos merged.

    Args:
        layers: what is scanned.
        k: how many activations of each feature map are ranked.
    """

    def __init__(self, layers: Sequence[LayerInfo], k: int) -> None:
        self.layers = tuple(layers)
        self.tallies = {info.name: Tally(info.channels, math.prod(info.size), k) for info in layers}
        self.digests = Digests()

    def add(
        self,
        attached: Attachment,
        x: Float[Tensor, "b c h w"],
        slots: Sequence[int],
        photos: Sequence[int],
        remember: Mapping[str, Rule] | None = None,
    ) -> Trace | None:
        """Run one batch, of the canonical size, and add the photos in it.

        Args:
            attached: the network.
            x: the batch; slots without a photo are zero.
            slots: those that hold photos.
            photos: their indices.
            remember: the rule of each step whose switches and the like are kept, by the name of its output.

        Returns:
            The forward pass, with what it remembered; None of a batch without photos.

        Raises:
            NotFiniteError: a layer gives NaN or infinity.
        """
        if not len(photos):
            return None
        measures, trace = self._measured(attached, x, slots, photos, remember)
        self.take(measures, photos)
        return trace

    def look(
        self, attached: Attachment, x: Float[Tensor, "b c h w"], slots: Sequence[int], photos: Sequence[int]
    ) -> Measures:
        """Run one batch, as `add`, but only return what is in it.

        A position is looked up where the activation enters the ranking so far. It is the position of every activation
        that a ranking of more photos, these among them, keeps in the end.
        """
        return self._measured(attached, x, slots, photos)[0] if len(photos) else {}

    def take(self, measures: Measures, photos: Sequence[int]) -> None:
        """Add what `look` measured in a batch.

        Args:
            measures: from this scan, or from another of the same layers whose photos are added too.
            photos: their indices.
        """
        indices = np.asarray(photos, dtype=np.int64)
        for layer, arrays in measures.items():
            self.tallies[layer].add(indices, **arrays)

    def merge(self, other: "Scan") -> None:
        """Add a scan of other photos."""
        for name, tally in self.tallies.items():
            tally.merge(other.tallies[name])
        self.digests.merge(other.digests)

    @property
    def rankings(self) -> dict[str, Ranking]:
        """Of the feature maps of each layer, by name."""
        return {name: tally.ranking for name, tally in self.tallies.items()}

    def top_units(self) -> list[TopUnit]:
        """The units of all top activations, in order of photos, then layers, feature maps and ranks."""
        rows = []
        for index, info in enumerate(self.layers):
            ranking = self.tallies[info.name].ranking
            for channel, rank in np.argwhere(ranking.images != NONE).tolist():
                position = np.unravel_index(ranking.positions[channel, rank], info.size) if info.size else ()
                unit = TopUnit(
                    info.name, channel, rank, int(ranking.images[channel, rank]), tuple(map(int, position)),
                    float(ranking.activations[channel, rank]),
                )  # fmt: skip
                rows.append((unit.photo, index, channel, rank, unit))
        return [unit for *_, unit in sorted(rows, key=lambda row: row[:4])]

    def _measured(
        self,
        attached: Attachment,
        x: Tensor,
        slots: Sequence[int],
        photos: Sequence[int],
        remember: Mapping[str, Rule] | None = None,
    ) -> tuple[Measures, Trace]:
        measures: Measures = {}
        watch = self._watch(np.asarray(photos, dtype=np.int64), torch.as_tensor(slots, device="cpu"), measures)
        return measures, watch_activations(attached, x, list(self.tallies), watch, remember)

    def _watch(
        self, photos: Int64[np.ndarray, " n"], rows: Tensor, measures: Measures
    ) -> Callable[[str, Tensor], None]:
        """A function that measures a layer's activations as they are shown, and puts them into `measures`."""
        rectified = {info.name: info.kind == RELU for info in self.layers}

        def measure(layer: str, values: Tensor) -> None:
            maps = values.flatten(2) if values.ndim > 2 else values[:, :, None]
            peaks, means, positive = _measure(maps, rows.tolist(), rectified[layer])
            if not np.isfinite(peaks).all() or not np.isfinite(means).all():
                bad = photos[~np.isfinite(peaks + means).all(1)]
                raise NotFiniteError(f"layer {layer!r} gives NaN or infinity for photo number {bad[0]}.")
            positions = np.full(peaks.shape, NONE)
            entering = np.nonzero((peaks > 0) & (peaks >= self.tallies[layer].least))
            if entering[0].size:  # late in a data set few: the position is looked up for these alone
                strongest = maps[rows[entering[0]], torch.as_tensor(entering[1], device="cpu")].argmax(1)
                positions[entering] = strongest.cpu().numpy()
            measures[layer] = {"peaks": peaks, "positions": positions, "means": means, "positive": positive}

        return measure


def _measure(
    maps: Float[Tensor, "b c positions"], rows: Sequence[int], rectified: bool
) -> tuple[Float32[np.ndarray, "n c"], Float32[np.ndarray, "n c"], Int64[np.ndarray, "n c"]]:
    """Of some images: each map's largest activation, its mean, and how many are above zero.

    A few images at a time, so that what is read three times stays near the processor.
    """
    at_once = max(1, _CACHE_NUMBERS // maps[0].numel())
    peaks, means, alive = [], [], []
    for first in range(0, len(rows), at_once):
        chunk = rows[first : first + at_once]
        adjacent = chunk[-1] - chunk[0] == len(chunk) - 1
        images = maps[chunk[0] : chunk[-1] + 1] if adjacent else maps[chunk]
        peaks.append(images.amax(2))
        means.append(images.mean(2))
        alive.append((images if rectified else images.clamp(min=0)).sign().sum(2, dtype=torch.float32))
    peak, mean, positive = (torch.cat(chunks).float().cpu().numpy() for chunks in (peaks, means, alive))
    return peak, mean, positive.astype(np.int64)
