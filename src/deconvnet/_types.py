"""Frozen values that cross module borders. No torch here: pages and tables are made without it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

Index = tuple[EllipsisType | slice, ...]


@dataclass(frozen=True)
class Unit:
    """One activation: a feature map at one position, for one image of the batch.

    Attributes:
        layer: the layer's name.
        channel: index of the feature map; None when a whole signal was started on the layer.
        position: index per spatial axis; `()` for a layer without spatial axes, None for a whole map.
        image: index of the image in the batch.
    """

    layer: str
    channel: int | None
    position: tuple[int, ...] | None
    image: int


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
        """The part of the box inside a map of `size`: as an index of the map, and as one of the box."""
        spans = [
            (max(low, 0), max(min(high, length), low, 0), low)
            for low, high, length in zip(self.low, self.high, size, strict=True)
        ]
        of_map: Index = (..., *(slice(first, last) for first, last, _ in spans))
        return of_map, (..., *(slice(first - low, last - low) for first, last, low in spans))


@dataclass(frozen=True)
class LayerInfo:
    """What is known of a layer before any image is seen.

    Attributes:
        name: as `project` takes it.
        kind: the operation that made its output, such as "conv2d", "relu", "max_pool2d".
        way_down: what the rule set does with a signal that arrives at its output.
        channels: number of feature maps.
        size: length of a feature map along each spatial axis; `()` if it has none.
        stride: input pixels between neighbouring units, per spatial axis; None if there is no such number.
        receptive_field: input pixels that a unit's reconstruction can reach, per spatial axis
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
        index: number of the photo in its set.
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
class Size:
    """A length that may grow with the batch: `fixed + per_image * images`."""

    fixed: int
    per_image: int = 0

    def of(self, images: int) -> int:
        """The length for a batch of that many images."""
        return self.fixed + self.per_image * images


@dataclass(frozen=True)
class Value:
    """A place in a step's arguments that another step, a weight or the input fills.

    Attributes:
        name: unique in its graph.
        shape: one `Size` per axis; empty for numbers.
        signal: whether it is a real-valued tensor computed from the input, so that a signal can
            travel down to it.
        varies: whether it is computed from the input at all.
    """

    name: str
    shape: tuple[Size, ...]
    signal: bool
    varies: bool

    def sizes(self, images: int) -> tuple[int, ...]:
        """The shape for a batch of that many images."""
        return tuple(size.of(images) for size in self.shape)

    @property
    def image_first(self) -> bool:
        """Whether the first axis, and no other, runs over the images (or whole multiples of them)."""
        if not self.shape or self.shape[0].fixed or not self.shape[0].per_image:
            return False
        return all(not size.per_image for size in self.shape[1:])


@dataclass(frozen=True, eq=False)
class Step:
    """One operation of a captured network.

    Attributes:
        operation: what it computes, such as "aten.conv2d", "relu", "batch_norm": the rules' key.
        output: what it makes.
        function: computes the output from `arguments`.
        arguments: by name; `Value` and `Size` stand for what is only known when it runs, also
            inside lists.
        inputs: the values among the arguments, in order.
        module: dotted name of the module in which it was called; "" for the model itself.
        cap: for "relu", the highest value that it lets through (6 for ReLU6); None for no such bound.
    """

    operation: str
    output: Value
    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    inputs: tuple[Value, ...]
    module: str
    cap: float | None = None

    @property
    def signals(self) -> tuple[Value, ...]:
        """The inputs to which a signal can travel down."""
        return tuple(value for value in self.inputs if value.signal)

    @property
    def place(self) -> str:
        """Where and what it is, for messages."""
        return f"'{self.module or 'the model itself'}' ({self.operation})"
