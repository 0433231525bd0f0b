"""Seeds: what signals start from, all other activations zero."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deconvnet._checks import as_index, as_list, index_of, is_one_of, short
from deconvnet._devices import sent
from deconvnet._errors import ArgumentError
from deconvnet._types import Unit
from deconvnet.core.finite import all_finite, too_large

Channel = int | Sequence[int] | str
Start = Literal["activation", "one"]


@dataclass(frozen=True, eq=False)
class Seeds:
    """What signals start from.

    Attributes:
        units: a unit each, a whole map or part of one each (position None), or a whole signal each (channel None).
        activations: (m,) of each; of a whole signal its value of largest magnitude; of a mask the sum.
        start: each unit starts from its "activation" or from "one".
        values: (n, c, *spatial) of the layer as the forward pass gave it; a whole signal is taken from it.
        rows: (m,) which of these each unit belongs to.
        masks: by the index of a seed that starts at many positions at once, where.
        profiles: where units start from all maps at their position, not from their own alone: the value on each map.
    """

    units: tuple[Unit, ...]
    activations: Float[Tensor, " m"]
    start: str
    values: Float[Tensor, "n *shape"]
    rows: Int[np.ndarray, " m"]
    masks: Mapping[int, Bool[Tensor, "*shape"]] = field(default_factory=dict)
    profiles: Float[Tensor, "m c"] | None = None

    def signal(self, index: int) -> Float[Tensor, "*shape"]:
        """The signal that one unit starts."""
        unit = self.units[index]
        values = self.values[self.rows[index]]
        if index in self.masks:
            mask = self.masks[index].to(values)
            return mask * values if self.start == "activation" else mask
        if unit.channel is None and self.profiles is None:
            return values
        alone = torch.zeros_like(values)
        if self.profiles is not None:
            by_position = alone.movedim(0, -1) if alone.ndim else alone
            by_position[unit.position or ()] = self.profiles[index].reshape(alone.shape[:1])
        elif unit.position is None:
            alone[unit.channel] = values[unit.channel] if self.start == "activation" else 1
        else:
            activation = self.activations[index].abs() if self.start == "activation" else 1
            alone[(unit.channel, *unit.position) if alone.ndim else ()] = activation
        return alone

    def points(self, indices: Sequence[int]) -> Float[Tensor, "m c *ones"]:
        """The signals of single units, each on its own position alone."""
        axes = self.values.ndim - 2
        if self.profiles is not None:
            index = sent(torch.tensor(indices, device="cpu"), self.profiles.device)
            return self.profiles[index].reshape(len(indices), -1, *[1] * axes)
        alone = self.values.new_zeros(len(indices), self.values.shape[1], *[1] * axes)
        return self._set(alone, indices, [(0,) * axes] * len(indices))

    def signals(self, indices: Sequence[int]) -> Float[Tensor, "m *shape"]:
        """The signals that some of the units start."""
        positions = [self.units[index].position for index in indices]
        if self.masks or self.profiles is not None or self.values.ndim < 2 or not all(map(self._is_single, indices)):
            return torch.stack([self.signal(index) for index in indices])
        alone = self.values.new_zeros(len(indices), *self.values.shape[1:])
        return self._set(alone, indices, [position or () for position in positions])

    def _set(self, signals: Tensor, indices: Sequence[int], positions: Sequence[tuple[int, ...]]) -> Tensor:
        """Signals that were zero, each with what its unit starts from at its position."""
        at = [(i, self.units[index].channel, *positions[i]) for i, index in enumerate(indices)]
        start = self.activations.new_ones(1)
        if self.start == "activation":
            start = self.activations[sent(torch.tensor(indices, device="cpu"), signals.device)].abs()
        signals[_columns(at, signals)] = start.to(signals.dtype)
        return signals

    @property
    def silent(self) -> list[Unit]:
        """The units that start from an activation of zero, and so start nothing."""
        if self.start != "activation":
            return []
        zero = [i for i, activation in enumerate(self.activations.tolist()) if activation == 0]
        return [self.units[i] for i in zero if self._is_single(i) or not bool(self.signal(i).any())]

    @property
    def nowhere(self) -> list[Unit]:
        """The classes of a map that win at no position, and so start nothing: each where its score is the largest."""
        units: list[Unit] = []
        for index, mask in self.masks.items():
            unit = self.units[index]
            if unit.channel is not None and not bool(mask.any()):
                scores = self.values[self.rows[index]][unit.channel]
                at = np.unravel_index(int(scores.argmax()), tuple(scores.shape))
                units.append(replace(unit, position=tuple(map(int, at))))
        return units

    @property
    def from_magnitude(self) -> bool:
        """Whether a unit with a negative activation starts from its magnitude."""
        if self.start != "activation":
            return False
        return any(activation < 0 and self._is_single(i) for i, activation in enumerate(self.activations.tolist()))

    def _is_single(self, index: int) -> bool:
        return self.units[index].channel is not None and self.units[index].position is not None


@dataclass(frozen=True)
class Choice:
    """What a call of `DeconvNet.project` carries down, as it was given."""

    channel: Channel | None
    position: tuple[int, ...] | int | Literal["all"] | None
    units: Sequence[Unit] | None
    start: Start | Tensor

    def start_of_units(self) -> Start:
        """What the listed units start from.

        Raises:
            ArgumentError: the choice says the same twice.
        """
        if self.channel is not None or self.position is not None or isinstance(self.start, Tensor):
            raise ArgumentError(
                "units= already names channel and position; drop channel=, position= and a signal as start=."
            )
        return self.start

    def __post_init__(self) -> None:
        check_start(self.start, "'activation', 'one' or a tensor", tensors=True)

    def seeds(self, layer: str, values: Float[Tensor, "n *shape"], first: int, images: int) -> Seeds:
        """What starts from the values of a layer, of which the first belongs to image `first` of all `images`."""
        if isinstance(self.start, Tensor):
            return own_signal(layer, self.start, values, self.channel, self.position, first, images)
        return unit_seeds(layer, values, self.channel, self.position, self.start, first)


def _rows(units: Sequence[Unit], first: int) -> Int[np.ndarray, " m"]:
    """Each unit's image, counted from the first of the pass."""
    return np.array([unit.image - first for unit in units])


def strongest(values: Float[Tensor, "n c *spatial"]) -> Int[Tensor, "n c axes"]:
    """The position of the strongest activation of each feature map, first in order where several are."""
    axes = values.shape[2:]
    flat = values.flatten(2).argmax(2) if axes else values.new_zeros(values.shape, dtype=torch.int64)
    positions = []
    for length in reversed(axes):
        positions.append(flat % length)
        flat = flat // length
    return torch.stack(positions[::-1], -1) if axes else flat.new_zeros(*values.shape, 0)


def unit_seeds(layer: str, values: Tensor, channel: Channel | None, position: Any, start: Start, first: int) -> Seeds:
    """One seed for each chosen unit or map of each image."""
    whole = isinstance(position, str) and position == "all" and values.ndim > 2
    position = None if isinstance(position, str) and position == "all" else position
    peaks = strongest(values)
    if not whole and position is not None:
        fixed = checked_position(position, tuple(values.shape[2:]), layer)
        peaks = torch.tensor(fixed, device=values.device).expand_as(peaks)
    chosen, listed = _channels(channel, values, layer), peaks.tolist()
    at = [(image, c, *listed[image][c]) for image, channels in enumerate(chosen) for c in channels]
    units = tuple(Unit(layer, c, None if whole else tuple(peak), first + image) for image, c, *peak in at)
    return Seeds(units, values[_columns(at, values)], start, values, _rows(units, first))


def checked_units(units: Any, layer: str, shape: Sequence[int], images: int) -> list[Unit]:
    """Units of a layer, each in its own image, with all indices counted from zero.

    Args:
        units: as a caller gave them.
        layer: the layer's name.
        shape: (c, *spatial) of the layer.
        images: how many there are.

    Raises:
        ArgumentError: none at all, or one of them is of another layer or lies outside.
    """
    listed = as_list(units)
    if not listed or not all(isinstance(unit, Unit) for unit in listed):
        raise ArgumentError(f"units is a list of Unit(layer, channel, position, image), not empty; got {short(units)}.")
    checked = []
    for unit in listed:
        if not isinstance(unit.layer, str) or unit.layer != layer:
            raise ArgumentError(f"the units are of layer {layer!r}; got {unit}.")
        (channel,) = checked_indices(unit.channel, shape[0], f"feature maps in {layer!r}", ArgumentError)
        (image,) = checked_indices(unit.image, images, "images", ArgumentError)
        checked.append(Unit(layer, channel, checked_position(unit.position, tuple(shape[1:]), layer), image))
    return checked


def listed_seeds(units: Sequence[Unit], values: Tensor, rows: np.ndarray, start: Start) -> Seeds:
    """One seed for each of the units; where `values` holds one position for each, it is the unit's own."""
    alone = all(length == 1 for length in values.shape[2:])
    at = [
        (row, unit.channel, *((0,) * (values.ndim - 2) if alone else unit.position or ()))[: values.ndim]
        for unit, row in zip(units, rows.tolist(), strict=True)
    ]
    return Seeds(tuple(units), values[_columns(at, values)], start, values, rows)


def profile_seeds(units: Sequence[Unit], values: Tensor, rows: np.ndarray, profiles: Float[Tensor, "m c"]) -> Seeds:
    """One seed for each of the units, on all maps at its position; the activations are those of the units."""
    seeds = listed_seeds(units, values, rows, "one")
    return replace(seeds, units=tuple(replace(unit, channel=None) for unit in units), profiles=profiles.to(values))


def _columns(at: Sequence[tuple[Any, ...]], values: Tensor) -> tuple[Tensor, ...]:
    """Indices of many elements of a tensor as one tensor for each axis, where the tensor is."""
    return sent(torch.tensor(at, dtype=torch.int64, device="cpu"), values.device).unbind(1)


def _channels(channel: Channel | None, values: Tensor, layer: str) -> list[list[int]]:
    """The chosen feature maps of each image."""
    count = values.shape[1]
    if channel is None:
        raise ArgumentError(
            f"{layer!r} has {count} feature maps: name them with channel=37, [3, 5, 8], 'all' or 'top:16', "
            "or give a full signal with start=."
        )
    if isinstance(channel, str):
        if channel == "all":
            return [list(range(count))] * len(values)
        top = re.fullmatch(r"top:([1-9]\d{0,17})", channel)
        if not top:
            raise ArgumentError(f"channel is an index, several, 'all' or 'top:16'; got {short(channel)}.")
        order = values.flatten(2).amax(2) if values.ndim > 2 else values
        ranked = torch.sort(order, dim=1, descending=True, stable=True).indices
        rows: list[list[int]] = ranked[:, : int(top.group(1))].tolist()
        return rows
    return [checked_indices(channel, count, f"feature maps in {layer!r}", ArgumentError)] * len(values)


def checked_indices(given: Any, count: int, what: str, error: type[ArgumentError]) -> list[int]:
    """Indices of maps or classes as a list, each checked and counted from zero."""
    indices = as_list(given)
    if indices is None:
        return [index_of(given, count, what, error)]
    if not indices:
        raise error(f"an empty list chooses none of the {count} {what}.")
    return [index_of(index, count, what, error) for index in indices]


def checked_position(position: Any, size: tuple[int, ...], layer: str) -> tuple[int, ...]:
    """A position in maps of a size, counted from zero; ArgumentError for anything else."""
    indices = as_list(position) if as_index(position) is None else [position]
    if indices is None or len(indices) != len(size):
        raise ArgumentError(
            f"a position in {layer!r} has {len(size)} indices (its maps are {size}); got {short(position)}."
        )
    inside = [as_index(index) for index in indices]
    if any(y is None or not -length <= y < length for y, length in zip(inside, size, strict=True)):
        raise ArgumentError(f"position {short(tuple(indices))} lies outside the maps of {layer!r}, which are {size}.")
    return tuple(y % length for y, length in zip(inside, size, strict=True) if y is not None)


def own_signal(
    layer: str, signal: Tensor, values: Tensor, channel: Any, position: Any, first: int, images: int
) -> Seeds:
    """One seed for each image, the user's own signal."""
    if channel is not None or position is not None:
        raise ArgumentError("start= is already a full signal; drop channel= and position=.")
    expected = (images, *values.shape[1:])
    if tuple(signal.shape) != expected:
        raise ArgumentError(f"a signal on {layer!r} has shape {expected}; got {tuple(signal.shape)}.")
    if signal.layout != torch.strided or signal.is_meta or signal.is_complex():
        raise ArgumentError("a signal is a dense tensor of real numbers that holds values; the one given is not.")
    if not bool(torch.isfinite(signal).all()):
        raise ArgumentError("the signal to start from holds NaN or infinity.")
    part = signal[first : first + len(values)].detach().clone().to(values)
    if not all_finite(part):
        raise too_large("the signal to start from", signal, part.dtype)
    units = tuple(Unit(layer, None, None, first + i) for i in range(len(values)))
    flat = part.flatten(1)
    strength = flat.gather(1, flat.abs().argmax(1, keepdim=True)).squeeze(1)
    return Seeds(units, strength, "activation", part, _rows(units, first))


def check_start(start: object, kinds: str, *, tensors: bool = False) -> None:
    """Raise ArgumentError unless `start` is "activation" or "one", or, where they may be, a tensor."""
    if not is_one_of(start, get_args(Start)) and not (tensors and isinstance(start, Tensor)):
        raise ArgumentError(f"start is {kinds}; got {short(start)}.")
