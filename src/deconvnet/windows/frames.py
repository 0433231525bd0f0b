"""Where windows of maps lie.

Units of any images and positions run as one batch, whose windows have one size and each its own corner, inside the
map: what lies beyond a border is not carried. Corners are planned on the CPU, so that no step waits for a device to
say how large its windows are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from deconvnet._devices import sent


@dataclass(frozen=True, eq=False)
class Frames:
    """Where the windows of a batch of units lie in one value.

    Attributes:
        low: first pixel of each window, per spatial axis.
        size: length of every window, per spatial axis.
    """

    low: Int[np.ndarray, "m axes"]
    size: tuple[int, ...]
    _copies: dict[torch.device, Tensor] = field(default_factory=dict)

    @property
    def high(self) -> Int[np.ndarray, "m axes"]:
        """The pixel after the last of each window."""
        return self.low + np.array(self.size, dtype=np.int64)

    def of(self, units: slice | Int[np.ndarray, " some"]) -> "Frames":
        """Those of some of the units."""
        return Frames(self.low[units], self.size)

    def same_as(self, other: "Frames") -> bool:
        """Whether the windows are the same."""
        return self is other or (self.size == other.size and not (self.low != other.low).any())

    def low_on(self, device: torch.device) -> Int[Tensor, "m axes"]:
        """The first pixel of each window as a tensor on a device (int32), copied there once."""
        if device not in self._copies:
            copy_to(device, [self])
        return self._copies[device]


def copy_to(device: torch.device, frames: Iterable[Frames]) -> None:
    """Have the corners of all these windows on a device, copied there together."""
    new = list({id(each): each for each in frames if device not in each._copies}.values())
    if new:
        lows = sent(np.concatenate([each.low for each in new]).astype(np.int32), device)
        for each, low in zip(new, torch.split(lows, [len(each.low) for each in new]), strict=True):
            each._copies[device] = low


def whole_maps(count: int, size: Sequence[int]) -> Frames:
    """Windows that are the whole map."""
    return Frames(np.zeros((count, len(size)), dtype=np.int64), tuple(size))


def united(parts: Sequence[Frames], size: Sequence[int]) -> Frames:
    """Windows that hold those of all parts as far as they lie inside a map of `size`."""
    length = np.array(size)
    low, high = parts[0].low, parts[0].high
    for part in parts[1:]:
        low, high = np.minimum(low, part.low), np.maximum(high, part.high)
    low = np.maximum(low, 0)
    longest = np.maximum((np.minimum(high, length) - low).max(0), 1)
    return Frames(np.minimum(low, length - longest), tuple(longest.tolist()))
