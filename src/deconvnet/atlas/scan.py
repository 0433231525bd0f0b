"""One pass over the photos, forward only: of every feature map the strongest activations, and statistics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from deconvnet._errors import ArgumentError, NotFiniteError
from deconvnet.atlas.ranking import NONE, Ranking
from deconvnet.atlas.tally import Tally
from deconvnet.atlas.winner_memory import KeptWinners
from deconvnet.core.up import Trace
from deconvnet.engine.activations import watch_activations
from deconvnet.engine.layers import rectifiers
from deconvnet.engine.unit_memory import UnitMemory
from deconvnet.network import DeconvNet, attached

MOST_AT_ONCE = 8  # more are slower: their maps are too large for the caches, and for memory that is used again
_NEAR = 2**19  # numbers that stay near the processor


Seen: TypeAlias = dict[str, dict[str, np.ndarray]]  # by layer, what `Tally.add` takes of a batch


@dataclass(frozen=True)
class ScanLayer:
    """A layer that is scanned.

    Attributes:
        name: as PyTorch's.
        channels: feature maps.
        size: of each, per spatial axis.
        rectified: no activation is below zero.
    """

    name: str
    channels: int
    size: tuple[int, ...]
    rectified: bool

    @property
    def positions(self) -> int:
        """Of a feature map."""
        return int(np.prod(self.size))


def scan_layers(net: DeconvNet, layers: Sequence[str] | str) -> tuple[ScanLayer, ...]:
    """What is scanned, in the network's order.

    Args:
        net: the network.
        layers: names; or "all" for the output of every rectifier.

    Raises:
        ArgumentError: none, one twice, or a layer that has no feature maps.
        LayerNotFoundError: no layer of that name.
    """
    if isinstance(layers, str):
        layers = rectifiers(attached(net).own_graph()) if layers == "all" else [layers]
        if not layers:
            raise ArgumentError("the network does not have a rectifier: name the layers.")
    known = net.layers
    infos = {name: known[name] if name in known else net.layer(name) for name in layers}
    if not infos or len(infos) < len(layers):
        raise ArgumentError(f"layers are names, each once, or 'all'; got {layers!r}.")
    ordered = [infos[name] for name in known if name in infos]
    return tuple(ScanLayer(info.name, info.channels, info.size, info.kind == "relu") for info in ordered)


class Scan:
    """A scan as far as it has come; photos are added in place, and scans of other photos merged.

    Args:
        layers: what is scanned.
        k: how many activations of each feature map are ranked.
    """

    def __init__(self, layers: Sequence[ScanLayer], k: int) -> None:
        self.layers = tuple(layers)
        self.tallies = {layer.name: Tally(layer.channels, layer.positions, k) for layer in layers}

    def add(
        self,
        net: DeconvNet,
        x: Float[Tensor, "b c h w"],
        slots: Sequence[int],
        photos: Sequence[int],
        keep: KeptWinners | None = None,
    ) -> None:
        """Run one batch, of the canonical size, and add the photos in it.

        Args:
            net: the network.
            x: the batch; slots that hold no photo are zero.
            slots: those that hold photos.
            photos: their numbers.
            keep: what the ways down of the winners so far need is kept here.

        Raises:
            NotFiniteError: a layer gives NaN or infinity.
        """
        if not len(photos):
            return
        seen, trace = self._looked(net, x, slots, photos, [] if keep is None else keep.memories)
        self.take(seen, photos)
        if keep is not None:
            keep.take(trace, self.rankings, slots, photos)

    @property
    def rankings(self) -> dict[str, Ranking]:
        """Of the feature maps of each layer, by name."""
        return {name: tally.ranking for name, tally in self.tallies.items()}

    def look(self, net: DeconvNet, x: Float[Tensor, "b c h w"], slots: Sequence[int], photos: Sequence[int]) -> Seen:
        """Run one batch, as `add`, but only say what is in it.

        A place is looked up where the activation enters the ranking so far. It is the place of every one that a
        ranking of more photos, these among them, keeps in the end.
        """
        return self._looked(net, x, slots, photos)[0] if len(photos) else {}

    def _looked(
        self,
        net: DeconvNet,
        x: Tensor,
        slots: Sequence[int],
        photos: Sequence[int],
        memories: Sequence[UnitMemory] = (),
    ) -> tuple[Seen, Trace]:
        seen: Seen = {}
        watch = self._watch(np.asarray(photos, dtype=np.int64), torch.as_tensor(slots), seen)
        chosen = {name: rule for memory in memories for name, rule in memory.chosen.items()}
        return seen, watch_activations(attached(net), x, list(self.tallies), watch, chosen)

    def take(self, seen: Seen, photos: Sequence[int]) -> None:
        """Add what `look` saw in a batch.

        Args:
            seen: from this scan, or from another of the same layers whose photos are added too.
            photos: their numbers.
        """
        numbers = np.asarray(photos, dtype=np.int64)
        for layer, arrays in seen.items():
            self.tallies[layer].add(numbers, **arrays)

    def _watch(self, numbers: Int64[np.ndarray, " n"], rows: Tensor, seen: Seen) -> Callable[[str, Tensor], None]:
        rectified = {layer.name: layer.rectified for layer in self.layers}

        def look(layer: str, values: Tensor) -> None:
            maps = values.flatten(2) if values.ndim > 2 else values[:, :, None]
            strongest, means, positive = _measured(maps, rows.tolist(), rectified[layer])
            if not np.isfinite(strongest).all() or not np.isfinite(means).all():
                bad = numbers[~np.isfinite(strongest + means).all(1)]
                raise NotFiniteError(f"layer {layer!r} gives NaN or infinity for photo number {bad[0]}.")
            places = np.full(strongest.shape, NONE)
            enters = (strongest > 0) & (strongest >= self.tallies[layer].least)
            which = np.nonzero(enters)
            if which[0].size:  # late in a data set few: the place is looked up for these alone
                found = maps[rows[which[0]], torch.as_tensor(which[1])].argmax(1)
                places[which] = found.cpu().numpy()
            seen[layer] = {"peaks": strongest, "places": places, "means": means, "positive": positive}

        return look

    def merge(self, other: "Scan") -> None:
        """Add a scan of other photos."""
        for name, tally in self.tallies.items():
            tally.merge(other.tallies[name])


def _measured(
    maps: Float[Tensor, "b c positions"], rows: Sequence[int], rectified: bool
) -> tuple[Float32[np.ndarray, "n c"], Float32[np.ndarray, "n c"], Int64[np.ndarray, "n c"]]:
    """Of some images: each map's largest activation, its mean, and how many are above zero.

    A few images at a time, so that what is read three times stays near the processor.
    """
    at_once = max(1, _NEAR // maps[0].numel())
    peaks, means, alive = [], [], []
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        together = some[-1] - some[0] == len(some) - 1
        images = maps[some[0] : some[-1] + 1] if together else maps[some]
        peaks.append(images.amax(2))
        means.append(images.mean(2))
        alive.append((images if rectified else images.clamp(min=0)).sign().sum(2, dtype=torch.float32))
    largest, mean, positive = (torch.cat(part).float().cpu().numpy() for part in (peaks, means, alive))
    return largest, mean, positive.astype(np.int64)
