"""Winners, and what their ways down need, kept beside the scan so that their photos need not be run again."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from deconvnet._types import LayerInfo, Unit
from deconvnet.atlas.ranking import NONE, Ranking
from deconvnet.core.up import Trace
from deconvnet.engine.unit_memory import UnitMemory
from deconvnet.network import DeconvNet, attached
from deconvnet.results.reconstruction import Reconstruction


@dataclass(frozen=True)
class Winner:
    """One of the strongest activations of a feature map.

    Attributes:
        layer: its name.
        channel: the feature map.
        rank: 0 for the strongest.
        photo: its number.
        position: index per spatial axis.
        activation: as the scan found it.
    """

    layer: str
    channel: int
    rank: int
    photo: int
    position: tuple[int, ...]
    activation: float


class KeptWinners:
    """Of each winner so far what its way down needs, until another takes its place.

    Args:
        memories: by layer, with k slots for each feature map.
        infos: of the layers.
        k: winners of each feature map.
    """

    def __init__(self, memories: Mapping[str, UnitMemory], infos: Mapping[str, LayerInfo], k: int) -> None:
        self.memories = tuple(memories.values())
        self._memory, self._infos = dict(memories), dict(infos)
        self._photos = {name: np.full((info.channels, k), NONE) for name, info in infos.items()}  # in each row

    @staticmethod
    def of(net: DeconvNet, infos: Mapping[str, LayerInfo], k: int, budget: int) -> Optional["KeptWinners"]:
        """None if what they need is too much, or whole maps."""
        memories = {name: UnitMemory(attached(net), name, k * info.channels) for name, info in infos.items()}
        suffice = all(memory.suffices for memory in memories.values())
        fits = suffice and sum(memory.nbytes for memory in memories.values()) <= budget
        return KeptWinners(memories, infos, k) if fits else None

    def pays(self, photos: int) -> bool:
        """Whether it takes less time to keep them beside a scan of so many photos than to run their photos again."""
        cost, spared = 0.0, 0.0
        for name, memory in self._memory.items():
            k = self._photos[name].shape[1]
            taken, of_layer = memory.work(photos, memory.slots * (1 + math.log(max(photos / k, 1))))
            cost, spared = cost + taken, max(spared, of_layer)
        return cost < spared

    def take(self, trace: Trace, rankings: Mapping[str, Ranking], slots: Sequence[int], photos: Sequence[int]) -> None:
        """Keep those that a batch has and that are not kept yet, in the places of those that win no more.

        Args:
            trace: the forward pass over the batch.
            rankings: by layer, the photos of the batch among them.
            slots: those that hold photos.
            photos: their numbers.
        """
        slot_of = dict(zip(photos, slots, strict=True))
        for name, held in self._photos.items():
            images, size, k = rankings[name].images, self._infos[name].size, held.shape[1]
            held[~_in_row(held, images)] = NONE
            for channel, rank in np.argwhere(np.isin(images, photos) & ~_in_row(images, held)).tolist():
                place = int(np.flatnonzero(held[channel] == NONE)[0])
                held[channel, place] = photo = int(images[channel, rank])
                position = np.unravel_index(rankings[name].places[channel, rank], size)
                unit = Unit(name, channel, tuple(map(int, position)), slot_of[photo])
                self._memory[name].put(channel * k + place, trace, unit)

    def lacks(self, winners: Sequence[Winner]) -> bool:
        """Whether one of them is not kept."""
        return any(one.photo not in self._photos[one.layer][one.channel] for one in winners)

    def project(self, winners: Sequence[Winner]) -> Iterator[tuple[list[int], Reconstruction]]:
        """Winners that are kept, each carried down alone, in groups of one layer.

        Yields:
            Of a group, its indices among the winners and what came of it.
        """
        of_layer: dict[str, list[int]] = {}
        for index, winner in enumerate(winners):
            of_layer.setdefault(winner.layer, []).append(index)
        for name, indices in of_layer.items():
            held, memory = self._photos[name], self._memory[name]
            for group in (indices[i : i + memory.at_once] for i in range(0, len(indices), memory.at_once)):
                some = [winners[index] for index in group]
                columns = [int(np.flatnonzero(held[winner.channel] == winner.photo)[0]) for winner in some]
                slots = [winner.channel * held.shape[1] + column for winner, column in zip(some, columns, strict=True)]
                units = [Unit(name, winner.channel, winner.position, i) for i, winner in enumerate(some)]
                yield group, memory.project(np.array(slots), units, [winner.activation for winner in some])


def _in_row(these: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Of each number whether it is in the same row of `those`."""
    found: np.ndarray = (these[:, :, None] == those[:, None, :]).any(2)
    return found
