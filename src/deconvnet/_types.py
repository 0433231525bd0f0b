"""Frozen values that cross module borders. No torch here: pages and tables are made without it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Literal

from deconvnet._checks import as_index, as_list, short
from deconvnet._errors import ArgumentError

Index = tuple[EllipsisType | slice, ...]
Precision = Literal["float16", "bfloat16", "tf32", "float32", "float64"]

PIXELS = "the pixels"  # where a way down ends, as the name of a layer


@dataclass(frozen=True)
class Unit:
    """One activation: a feature map at one position, for one image of the batch.

    Attributes:
        layer: the layer's name.
        channel: index of the feature map; None when a whole signal was started on the layer.
        position: index per spatial axis; `()` for a layer without spatial axes, None for a whole map.
        image: index of the image in the batch.
        name: what an answer of the network is called, such as "dog, level 2, anchor 4, at (12, 20)"; "" for other
            units. Units that differ in nothing else are equal.
    """

    layer: str
    channel: int | None
    position: tuple[int, ...] | None
    image: int
    name: str = field(default="", compare=False)

    def __repr__(self) -> str:
        named = f", name={self.name!r}" if self.name else ""
        at = f"channel={self.channel}, position={self.position}, image={self.image}"
        return f"Unit(layer={self.layer!r}, {at}{named})"


@dataclass(frozen=True)
class Box:
    """A box of pixels: along each axis from `low` up to, not including, `high`. May reach past the border."""

    low: tuple[int, ...]
    high: tuple[int, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """Length along each axis, in pixels."""
        return tuple(high - low for low, high in zip(self.low, self.high, strict=True))

    def overlap(self, size: Sequence[int]) -> tuple[Index, Index]:
        """The part of the box inside a map of `size`: as an index of the map, and as one of the box.

        Raises:
            ArgumentError: not one length for each axis of the box.
        """
        lengths = as_list(size)
        if lengths is None or len(lengths) != len(self.low) or None in map(as_index, lengths):
            raise ArgumentError(f"size is {len(self.low)} lengths, as the box has axes; got {short(size)}.")
        spans = [
            (max(low, 0), max(min(high, length), low, 0), low)
            for low, high, length in zip(self.low, self.high, lengths, strict=True)
        ]
        of_map: Index = (..., *(slice(first, last) for first, last, _ in spans))
        return of_map, (..., *(slice(first - low, last - low) for first, last, low in spans))


@dataclass(frozen=True)
class LayerInfo:
    """What is known about a layer before it has seen an image.

    Attributes:
        name: as `project` takes it.
        kind: the operation that made its output, such as "conv2d", "relu", "max_pool2d".
        way_down: what the rule set does with a signal that arrives at its output.
        channels: number of feature maps.
        size: length of a feature map along each spatial axis; `()` if it has none.
        stride: input pixels between neighbouring units, per spatial axis; None if that differs or is unknown.
        receptive_field: input pixels that a unit's reconstruction can reach, per spatial axis; the most that any
            unit reaches where that depends on its position, as above a step that enlarges maps
            (the whole input where the geometry is not that of a window).
        switches_below: max-pools between the input and this layer.
    """

    name: str
    kind: str
    way_down: str
    channels: int
    size: tuple[int, ...]
    stride: tuple[float, ...] | None
    receptive_field: tuple[int, ...]
    switches_below: int


@dataclass(frozen=True)
class TopActivation:
    """One of the strongest activations of a feature map over a set of photos.

    Attributes:
        layer: the layer's name.
        channel: index of the feature map.
        rank: 0 for the strongest of its map.
        activation: on the way up.
        image: the photo's name.
        index: of the photo in its set.
        position: index per spatial axis; `()` for a layer without spatial axes.
        box: rows and columns of the original photo that the unit's pictures show.
    """

    layer: str
    channel: int
    rank: int
    activation: float
    image: str
    index: int
    position: tuple[int, ...]
    box: Box


@dataclass(frozen=True)
class Twins:
    """How alike a unit's picture is to two that it should differ from: 1 if the same, about 0 if unrelated.

    Attributes:
        other_channel: the feature map whose unit was carried down from the same position; None in a layer of one map.
        other_unit: cosine of the two pictures; None without another map, or if one of them is zero everywhere.
        other_image: cosine with the picture of the unit itself in another image; None without
            another image, or if one of them is zero everywhere.
    """

    other_channel: int | None
    other_unit: float | None
    other_image: float | None
