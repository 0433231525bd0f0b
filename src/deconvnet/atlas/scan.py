"""One pass over the photos, forward only: of every feature map the strongest activations, and statistics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from deconvnet._devices import knows_float64, sent
from deconvnet._errors import NotFiniteError
from deconvnet._types import LayerInfo, Unit
from deconvnet.atlas.ranking import NONE, Ranking
from deconvnet.atlas.tally import Statistics, Tally
from deconvnet.core.operations import RELU
from deconvnet.core.rules import Rule
from deconvnet.core.up import Trace
from deconvnet.engine.activations import watch_activations
from deconvnet.engine.attachment import Attachment
from deconvnet.photos.digests import Digests

_CACHE_NUMBERS = 2**19  # that stay near the processor

Measures: TypeAlias = dict[str, Tensor]
"""What `Tally.add` takes of the photos of a batch."""


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
        device: where the network runs; what is measured stays there, if it knows float64.
    """

    def __init__(self, layers: Sequence[LayerInfo], k: int, device: torch.device | str = "cpu") -> None:
        self.layers = tuple(layers)
        ends = np.cumsum([info.channels for info in layers]).tolist()
        self._maps = {info.name: slice(end - info.channels, end) for info, end in zip(layers, ends, strict=True)}
        positions = [math.prod(info.size) for info in layers for _ in range(info.channels)]
        self.tally = Tally(positions, k, device if knows_float64(torch.device(device)) else "cpu")
        self.digests = Digests()

    def add(
        self,
        attached: Attachment,
        x: Float[Tensor, "b c h w"],
        slots: Sequence[int],
        photos: Sequence[int],
        remember: Mapping[str, Rule] | None = None,
    ) -> Trace | None:
        """Run one batch, of the canonical size, and add the photos in it; an accelerator is not waited for.

        Args:
            attached: the network.
            x: the batch; slots without a photo are zero.
            slots: those that hold photos.
            photos: their indices.
            remember: the rule of each step whose switches and the like are kept, by the name of its output.

        Returns:
            The forward pass, with what it remembered; None of a batch without photos.
        """
        if not len(photos):
            return None
        measures, trace = self._measured(attached, x, slots, remember)
        self.take(measures, photos)
        return trace

    def look(
        self, attached: Attachment, x: Float[Tensor, "b c h w"], slots: Sequence[int], photos: Sequence[int]
    ) -> Measures:
        """Run one batch, as `add`, but only return what is in it.

        A position is looked up where the activation enters the ranking so far. It is the position of every activation
        that a ranking of more photos, these among them, keeps in the end.
        """
        return self._measured(attached, x, slots)[0] if len(photos) else {}

    def take(self, measures: Measures, photos: Sequence[int]) -> None:
        """Add what `look` measured in a batch.

        Args:
            measures: from this scan, or from another of the same layers whose photos are added too.
            photos: their indices.
        """
        if measures:
            here = {name: sent(tensor, self.tally.device) for name, tensor in measures.items()}
            self.tally.add(sent(torch.tensor(photos, device="cpu"), self.tally.device), **here)

    def check(self) -> None:
        """Raise unless all that was measured is finite; waits for the device.

        Raises:
            NotFiniteError: a layer gives NaN or infinity.
        """
        faults = self.tally.faults
        for layer, maps in self._maps.items():
            first = int(faults[maps].min())
            if first != NONE:
                raise NotFiniteError(f"layer {layer!r} gives NaN or infinity for photo number {first}.")

    def merge(self, other: "Scan") -> None:
        """Add a scan of other photos."""
        self.tally.merge(other.tally)
        self.digests.merge(other.digests)

    @property
    def rankings(self) -> dict[str, Ranking]:
        """Of the feature maps of each layer, by name; on the CPU."""
        ranking = self.tally.ranking
        return {name: ranking.of(maps) for name, maps in self._maps.items()}

    @property
    def statistics(self) -> dict[str, Statistics]:
        """Of the feature maps of each layer, by name."""
        statistics = self.tally.statistics()
        return {name: statistics.of(maps) for name, maps in self._maps.items()}

    def top_units(self) -> list[TopUnit]:
        """The units of all top activations, in order of photos, then layers, feature maps and ranks."""
        rows, rankings = [], self.rankings
        for index, info in enumerate(self.layers):
            activations, images, positions = (part.numpy() for part in vars(rankings[info.name]).values())
            for channel, rank in np.argwhere(images != NONE).tolist():
                position = np.unravel_index(positions[channel, rank], info.size) if info.size else ()
                unit = TopUnit(
                    info.name, channel, rank, int(images[channel, rank]), tuple(map(int, position)),
                    float(activations[channel, rank]),
                )  # fmt: skip
                rows.append((unit.photo, index, channel, rank, unit))
        return [unit for *_, unit in sorted(rows, key=lambda row: row[:4])]

    def _measured(
        self, attached: Attachment, x: Tensor, slots: Sequence[int], remember: Mapping[str, Rule] | None = None
    ) -> tuple[Measures, Trace]:
        measured: dict[str, Measures] = {}
        rectified = {info.name: info.kind == RELU for info in self.layers}

        def measure(layer: str, values: Tensor) -> None:
            maps = values.flatten(2) if values.ndim > 2 else values[:, :, None]
            if maps.device.type == "cpu":
                measured[layer] = _measure_in_cache(maps, rectified[layer], self.tally.least[self._maps[layer]])
            else:
                measured[layer] = _measure(maps)

        trace = watch_activations(attached, x, list(self._maps), measure, remember, look_for_nan=False)
        names = measured[self.layers[0].name]
        together = {name: torch.cat([measured[layer][name] for layer in self._maps], 1) for name in names}
        if len(slots) < len(x):
            rows = sent(torch.tensor(slots, device="cpu"), x.device)
            together = {name: tensor[rows] for name, tensor in together.items()}
        return together, trace


def _measure(maps: Float[Tensor, "b c positions"]) -> Measures:
    """Of each map its largest activation and where that is, its mean, and how many are above zero: on the device."""
    peaks, positions = maps.max(2)
    return {
        "peaks": peaks.float(), "positions": positions, "means": maps.mean(2).float(), "positive": (maps > 0).sum(2),
    }  # fmt: skip


def _measure_in_cache(maps: Float[Tensor, "b c positions"], rectified: bool, least: Float32[Tensor, " c"]) -> Measures:
    """The same on a CPU, where much time goes into reading.

    A few images at a time, so that what is read three times stays near the processor; and a position is looked up only
    where the activation enters the ranking, which happens ever more rarely.
    """
    at_once = max(1, _CACHE_NUMBERS // maps[0].numel())
    peaks, means, alive = [], [], []
    for images in torch.split(maps, at_once):
        peaks.append(images.amax(2))
        means.append(images.mean(2))
        alive.append((images if rectified else images.clamp(min=0)).sign().sum(2, dtype=torch.float32))
    peak, mean, positive = (torch.cat(chunks).float() for chunks in (peaks, means, alive))
    positions = torch.full_like(peak, NONE, dtype=torch.int64)
    entering = (peak > 0) & (peak >= least)
    positions[entering] = maps[entering].argmax(1)
    return {"peaks": peak, "positions": positions, "means": mean, "positive": positive.long()}
