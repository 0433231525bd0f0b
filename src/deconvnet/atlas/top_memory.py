"""What the top units' ways down need, kept beside the scan so that their photos need not be run again."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Optional

import numpy as np

from deconvnet._types import LayerInfo
from deconvnet.atlas.ranking import NONE, Ranking
from deconvnet.atlas.scan import TopUnit
from deconvnet.core.rules import Rule
from deconvnet.core.up import Trace
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.unit_memory import UnitMemory
from deconvnet.results.reconstruction import Reconstruction

_BUDGET = 2 * 10**9  # bytes; not what is free, so that all machines choose the same


class TopMemory:
    """Of each top unit so far what its way down needs, until another unit takes its slot.

    Args:
        memories: by layer, with k slots for each feature map.
        layers: the layers.
        k: units of each feature map.
    """

    def __init__(self, memories: Mapping[str, UnitMemory], layers: Sequence[LayerInfo], k: int) -> None:
        self._memories = dict(memories)
        self._sizes = {info.name: info.size for info in layers}
        # by layer, of each slot the index of the photo whose unit is in it
        self._photos = {info.name: np.full((info.channels, k), NONE) for info in layers}

    @staticmethod
    def of(attached: Attachment, layers: Sequence[LayerInfo], k: int, budget: int = _BUDGET) -> Optional["TopMemory"]:
        """Memory for the top units of these layers; None if it exceeds the budget, or whole maps are needed.

        None on an accelerator too, which runs photos again in less time than their windows are cut. It depends on the
        arguments alone: units with a memory go down in other batches than those without.
        """
        if attached.captures.like_model().device.type != "cpu":
            return None
        memories = {info.name: UnitMemory(attached, info.name, k * info.channels) for info in layers}
        suffice = all(memory.suffices for memory in memories.values())
        fits = suffice and sum(memory.nbytes for memory in memories.values()) <= budget
        return TopMemory(memories, layers, k) if fits else None

    @property
    def remember(self) -> Mapping[str, Rule]:
        """What a forward pass must remember, as `Scan.add` takes it."""
        return {name: rule for memory in self._memories.values() for name, rule in memory.chosen.items()}

    def pays(self, photos: int) -> bool:
        """Whether filling it beside a scan of so many photos takes less time than running their photos again."""
        cost, spared = 0.0, 0.0
        for name, memory in self._memories.items():
            k = self._photos[name].shape[1]
            work, spared_of_layer = memory.work(photos, memory.slots * (1 + math.log(max(photos / k, 1))))
            cost, spared = cost + work, max(spared, spared_of_layer)
        return cost < spared

    def fill(self, trace: Trace, rankings: Mapping[str, Ranking], slots: Sequence[int], photos: Sequence[int]) -> None:
        """Fill slots for the units of a batch that are new in the rankings, in place of those that dropped out.

        Args:
            trace: the forward pass over the batch.
            rankings: by layer, the photos of the batch among them.
            slots: of the batch, those that hold photos.
            photos: their indices.
        """
        slot_of = dict(zip(photos, slots, strict=True))
        for name, filled in self._photos.items():
            k = filled.shape[1]
            activations, images, positions = (part.numpy() for part in vars(rankings[name]).values())
            filled[~_in_row(filled, images)] = NONE
            for channel, rank in np.argwhere(np.isin(images, photos) & ~_in_row(images, filled)).tolist():
                column = int(np.flatnonzero(filled[channel] == NONE)[0])
                filled[channel, column] = photo = int(images[channel, rank])
                position = np.unravel_index(positions[channel, rank], self._sizes[name])
                activation = float(activations[channel, rank])
                unit = TopUnit(name, channel, rank, photo, tuple(map(int, position)), activation)
                self._memories[name].put(channel * k + column, trace, unit.unit(slot_of[photo]))

    def lacks(self, units: Sequence[TopUnit]) -> bool:
        """Whether one of the units is not in memory."""
        return any(unit.photo not in self._photos[unit.layer][unit.channel] for unit in units)

    def project(self, units: Sequence[TopUnit]) -> Iterator[tuple[list[int], Reconstruction]]:
        """Units that are in memory, each carried down alone, in groups of one layer.

        Yields:
            Of a group, its indices among the units and its reconstructions.
        """
        of_layer: dict[str, list[int]] = {}
        for index, unit in enumerate(units):
            of_layer.setdefault(unit.layer, []).append(index)
        for name, indices in of_layer.items():
            memory = self._memories[name]
            for indices_of_group in (indices[i : i + memory.at_once] for i in range(0, len(indices), memory.at_once)):
                group = [units[index] for index in indices_of_group]
                slots = np.array([self._slot(unit) for unit in group])
                activations = [unit.activation for unit in group]
                yield indices_of_group, memory.project(slots, [u.unit(i) for i, u in enumerate(group)], activations)

    def _slot(self, unit: TopUnit) -> int:
        row = self._photos[unit.layer][unit.channel]
        return unit.channel * len(row) + int(np.flatnonzero(row == unit.photo)[0])


def _in_row(these: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Of each number whether it is in the same row of `those`."""
    matches: np.ndarray = (these[:, :, None] == those[:, None, :]).any(2)
    return matches
