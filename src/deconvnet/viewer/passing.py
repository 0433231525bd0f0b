"""What is noted of signals on their way down: a small picture on every layer that is passed, and the switches used."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from deconvnet._types import Box
from deconvnet.results.steps import StepDown
from deconvnet.viewer.images import TILE, signal_map, strength, tiles
from deconvnet.viewer.pages import SwitchesView

_SWITCHED = 8  # positions of a map that a drawing of switches shows, along each axis


class Passing:
    """A watcher of signals on their way down, as `DeconvNet.project(watch=)` takes it.

    Args:
        passed: (c, *size) what each layer gave on the way up, by name; signals on other layers are not noted.
        unpooled: the steps that undo a max-pool, by the name of the layer that they come to.
    """

    def __init__(self, passed: Mapping[str, Float[Tensor, "c *size"]], unpooled: Mapping[str, StepDown]) -> None:
        self._sizes = {layer: tuple(values.shape[1:]) for layer, values in passed.items()}
        self._unpooled = unpooled
        self._tiles: dict[str, dict[int, Tensor]] = {}
        self._switches: dict[str, dict[int, SwitchesView | None]] = {}

    def watch(self, layer: str, indices: Tensor, signal: Tensor, low: Tensor) -> None:
        """Called by `DeconvNet.project`."""
        if layer not in self._sizes:
            return
        size, rows = self._sizes[layer], indices.tolist()
        values = whole_maps(strength(signal, 1)[:, None], low, size)[:, 0] if size else signal
        self._tiles.setdefault(layer, {}).update(zip(rows, tiles(values), strict=True))
        step = self._unpooled.get(layer)
        if step is not None and len(size) == 2:
            drawn = [switches_of(step, part, corner) for part, corner in zip(signal, low.tolist(), strict=True)]
            self._switches.setdefault(layer, {}).update(zip(rows, drawn, strict=True))

    def strip(self, index: int, down: Sequence[str]) -> Image.Image:
        """A unit's tiles on some layers, side by side; a grey one where there is none."""
        zero = torch.full((TILE, TILE), 128, dtype=torch.uint8, device="cpu")
        drawn = [self._tiles.get(layer, {}).get(index, zero) for layer in down] or [zero[:, :1]]
        return Image.fromarray(torch.cat(drawn, 1).numpy())

    def switches(self, index: int, down: Sequence[str]) -> tuple[SwitchesView | None, ...]:
        """A unit's switches on the same layers; None where no max-pool is undone. Trailing ones are left out."""
        drawn = [self._switches.get(layer, {}).get(index) for layer in down]
        count = max((i + 1 for i, view in enumerate(drawn) if view is not None), default=0)
        return tuple(drawn[:count])


def whole_maps(signal: Float[Tensor, "m c *window"], low: Tensor, size: tuple[int, ...]) -> Float[Tensor, "m c *size"]:
    """Signals in windows as whole maps, zero outside; `low` is the low corner of each window."""
    if signal.shape[2:] == size:
        return signal
    whole = signal.new_zeros(*signal.shape[:2], *size)
    for row, window, corner in zip(whole, signal, low.tolist(), strict=True):
        box = Box(tuple(corner), tuple(a + b for a, b in zip(corner, window.shape[1:], strict=True)))
        inside, part = box.overlap(size)
        row[inside] = window[part]
    return whole


def switches_of(step: StepDown, signal: Float[Tensor, "c h w"], low: Sequence[int]) -> SwitchesView | None:
    """The switches that brought a signal to a layer, drawn where it is strongest; None where it is zero.

    Args:
        step: with the switches, which are those of the forward pass and the same for every signal.
        signal: what has come to the layer, in a window.
        low: the window's low corner.
    """
    if step.switches is None or step.windows is None or not bool((signal > 0).any()):
        return None
    channel, *peak = np.unravel_index(int(signal.argmax()), tuple(signal.shape))
    size = tuple(axis.size for axis in step.windows)
    corners = torch.tensor([list(low)], device="cpu")
    values = whole_maps(signal[None, channel : channel + 1], corners, size)[0, 0].float().cpu().numpy()
    sides = [min(length, _SWITCHED) for length in size]
    corner = [
        min(max(int(at) + start - side // 2, 0), length - side)
        for at, start, side, length in zip(peak, low, sides, size, strict=True)
    ]
    positions = np.stack(np.unravel_index(step.switches[int(channel)].cpu().numpy(), size), -1)
    used = values[positions[..., 0], positions[..., 1]] != 0
    inside = ((positions >= corner) & (positions < np.add(corner, sides))).all(-1)
    at = np.argwhere(used & inside)
    doubled = [np.asarray(2 * axis.starts + (axis.counts - 1) * axis.dilation) for axis in step.windows]
    middles = np.stack([axis[index] for axis, index in zip(doubled, at.T, strict=True)], -1) - np.multiply(corner, 2)
    lines = np.concatenate([middles, positions[tuple(at.T)] - corner], -1).ravel().tolist()
    part = values[corner[0] : corner[0] + sides[0], corner[1] : corner[1] + sides[1]]
    return SwitchesView(int(channel), (corner[0], corner[1]), (sides[0], sides[1]), signal_map(part), tuple(lines))
