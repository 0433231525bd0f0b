"""Winners, and what their ways down need, kept beside the scan so that their photos need not be run again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from deconvnet._types import LayerInfo, Unit
from deconvnet.atlas.ranking import NONE, Ranking
from deconvnet.core.up import Trace
from deconvnet.engine.unit_memory import Kept
from deconvnet.network import DeconvNet
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
        rooms: by layer, with k rows for each feature map.
        infos: of the layers.
        k: winners of each feature map.
    """

    def __init__(self, rooms: Mapping[str, Kept], infos: Mapping[str, LayerInfo], k: int) -> None:
        self.rooms = tuple(rooms.values())
        self._room, self._infos = dict(rooms), dict(infos)
        self._photos = {name: np.full((info.channels, k), NONE) for name, info in infos.items()}  # in each row

    @staticmethod
    def of(net: DeconvNet, infos: Mapping[str, LayerInfo], k: int, budget: int) -> Optional["KeptWinners"]:
        """None if what they need is too much, or whole maps."""
        rooms = {name: net.kept(name, k * info.channels) for name, info in infos.items()}
        able = {name: room for name, room in rooms.items() if room is not None}
        fits = len(able) == len(infos) and sum(room.nbytes for room in able.values()) <= budget
        return KeptWinners(able, infos, k) if fits else None

    def pays(self, photos: int) -> bool:
        """Whether it takes less time to keep them beside a scan of so many photos than to run their photos again."""
        cost, spared = 0.0, 0.0
        for name, room in self._room.items():
            k = self._photos[name].shape[1]
            taken, of_layer = room.work(photos, room.rows * (1 + math.log(max(photos / k, 1))))
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
                self._room[name].put(channel * k + place, trace, unit)

    def lacks(self, winners: Sequence[Winner]) -> bool:
        """Whether one of them is not kept."""
        return any(one.photo not in self._photos[one.layer][one.channel] for one in winners)

    def project(self, winners: Sequence[Winner]) -> dict[str, Reconstruction]:
        """Winners that are kept, by layer, each carried down alone, in their order."""
        of_layer: dict[str, list[Winner]] = {}
        for one in winners:
            of_layer.setdefault(one.layer, []).append(one)
        results = {}
        for name, some in of_layer.items():
            held = self._photos[name]
            places = [int(np.flatnonzero(held[one.channel] == one.photo)[0]) for one in some]
            rows = np.array([one.channel * held.shape[1] + place for one, place in zip(some, places, strict=True)])
            units = [Unit(name, one.channel, one.position, i) for i, one in enumerate(some)]
            results[name] = self._room[name].project(rows, units, [one.activation for one in some])
        return results


def _in_row(these: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Of each number whether it is in the same row of `those`."""
    found: np.ndarray = (these[:, :, None] == those[:, None, :]).any(2)
    return found
