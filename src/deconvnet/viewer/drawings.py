"""What is drawn on the pages of an atlas, to scale, as lengths of an SVG. No torch here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deconvnet._errors import AtlasError
from deconvnet.atlas.manifest import AtlasLayer
from deconvnet.atlas.tables import MapStats

WIDE, HIGH = 1000, 160  # of the drawing of the network
SIDE = 40  # of the longer side of a network's input, where it stands beside a layer or a unit
LONG = 400  # of the axis of a spread
_GAP, _THIN = 6, 3


@dataclass(frozen=True)
class Frame:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Spread:
    """Quantiles of each photo's strongest activation, and the top activations, as lengths along an axis.

    Attributes:
        low, high: what the ends of the axis stand for.
        q10, q50, q90, q99: of the photos' strongest activations.
        tops: the top activations.
    """

    low: float
    high: float
    q10: float
    q50: float
    q90: float
    q99: float
    tops: tuple[float, ...]


def across(count: int) -> int:
    """How many of so many pictures stand in a row of a square block."""
    return math.isqrt(max(count, 1) - 1) + 1


def bars(layers: Sequence[AtlasLayer], input_size: tuple[int, int]) -> tuple[Frame, ...]:
    """A network's input and its layers in a row: as high as their maps beside the input, as wide as they have maps."""
    share = WIDE / (len(layers) + 1)
    gap, thin = min(_GAP, share / 4), min(_THIN, share / 4)
    unit = (WIDE - (gap + thin) * (len(layers) + 1)) / sum(layer.channels for layer in layers)
    frames, x = [_rounded(0, 0, thin, HIGH)], thin + gap
    for layer in layers:
        high = max(HIGH * min(layer.size[0] / input_size[0], 1), _THIN) if layer.size else _THIN
        wide = thin + unit * layer.channels
        frames.append(_rounded(x, (HIGH - high) / 2, wide, high))
        x += wide + gap
    return tuple(frames)


def input_frame(input_size: tuple[int, int]) -> Frame:
    """A network's input."""
    height, width = (length * SIDE / max(input_size) for length in input_size)
    return _rounded(0, 0, width, height)


def field_frame(layer: AtlasLayer, input_size: tuple[int, int], position: tuple[int, ...] | None = None) -> Frame:
    """The input pixels that a unit's reconstruction can reach, in the frame of the input; in its middle by default."""
    scale = SIDE / max(input_size)
    spans = []
    for axis, length in enumerate(input_size):
        field = min(layer.receptive_field[axis], length) if axis < len(layer.receptive_field) else length
        share = (position[axis] + 0.5) / layer.size[axis] if position else 0.5
        low, high = max(share * length - field / 2, 0), min(share * length + field / 2, length)
        spans.append((scale * low, scale * (high - low)))
    (y, height), (x, width) = spans
    return _rounded(x, y, width, height)


def spread(stats: MapStats, tops: Sequence[float]) -> Spread:
    """How strongly the photos activate a feature map, on an axis from zero to the strongest activation."""
    values = (stats.q10, stats.q50, stats.q90, stats.q99, *tops)
    low, high = min(0.0, *values), max(0.0, stats.max, *values)
    scale = LONG / ((high - low) or 1)
    at = [round(scale * (value - low), 1) for value in values]
    return Spread(low, high, at[0], at[1], at[2], at[3], tuple(at[4:]))


def input_size_of(preprocess: Mapping[str, object]) -> tuple[int, int]:
    """Height and width of a network's input, by the options of `Preprocess` in a manifest.

    Raises:
        AtlasError: they do not say.
    """
    size = preprocess.get("size")
    if isinstance(size, list | tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size):
        return size[0], size[1]
    raise AtlasError("the manifest of the atlas does not say how large the network's input is. Build the atlas anew.")


def _rounded(*lengths: float) -> Frame:
    return Frame(*(round(length, 2) for length in lengths))
