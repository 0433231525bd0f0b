"""`Transforms`: how images are moved, scaled and turned to see what stays the same."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from deconvnet._checks import as_list, is_one_of, real_number, short
from deconvnet._errors import ArgumentError

Kind: TypeAlias = Literal["translation", "scale", "rotation"]
Direction: TypeAlias = Literal["vertical", "horizontal", "depth"]

IDENTITY: dict[Kind, float] = {"translation": 0.0, "scale": 1.0, "rotation": 0.0}
"""The value of each kind that leaves an image as it is."""

_PAPERS_SIZE = 224  # pixels of a side, in the paper
_STEP, _STEPS = 4, 15  # pixels of a translation at that size, and how many of them to either side
_MOST_VALUES = 10_000
_LARGEST_SCALE = 1000.0
_AXES: dict[str, int] = {"vertical": 2, "horizontal": 1, "depth": 3}  # counted from the last one


@dataclass(frozen=True)
class Transforms:
    """How images are transformed, as in figure 5 of the paper, which leaves the steps and the border open.

    Attributes:
        translations: in pixels, downwards or to the right; by default every 4 pixels up to 60 to either side for
            images 224 pixels long, and in proportion, in whole pixels, for others. An empty list leaves them out.
        scales: sizes relative to the image, about its middle; by default 1 to 1.8 in steps of 0.05.
        angles: in degrees, counter-clockwise about the middle; by default 0 to 350 in steps of 10. A volume is turned
            in its planes of rows and columns; an image with one axis cannot be turned.
        direction: of translations: "vertical", "horizontal", or "depth" in volumes. An image with one axis is moved
            along that.
        fill: what lies around the image, in units of the network's input, for all channels or for each of them. 0 is
            the mean pixel of a network whose preprocessing subtracts it.

    Raises:
        ArgumentError: values that are not finite numbers, a scale that is not above 0, or nothing to do.

    Example:
        >>> Transforms(angles=range(0, 360, 90), scales=[]).angles
        (0.0, 90.0, 180.0, 270.0)
    """

    translations: Sequence[float] | None = None
    scales: Sequence[float] | None = None
    angles: Sequence[float] | None = None
    direction: Direction = "vertical"
    fill: float | Sequence[float] = 0.0

    def __post_init__(self) -> None:
        for name in ("translations", "scales", "angles"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _values(name, values))
        if any(not 0 < scale <= _LARGEST_SCALE for scale in self.scales or ()):
            raise ArgumentError(f"scales are above 0 and at most {_LARGEST_SCALE:g}; got {short(self.scales)}.")
        if self.translations == self.scales == self.angles == ():
            raise ArgumentError("translations, scales and angles are all empty: leave one of them at its default.")
        if not is_one_of(self.direction, get_args(Direction)):
            raise ArgumentError(f"direction is one of {', '.join(get_args(Direction))}; got {short(self.direction)}.")
        listed = as_list(self.fill)
        fill = real_number("fill", self.fill) if listed is None else _values("fill", listed)
        object.__setattr__(self, "fill", fill)


def values_of(transforms: Transforms, size: Sequence[int]) -> dict[Kind, tuple[float, ...]]:
    """The values of each kind of transform for images of that size, with one to three axes.

    Raises:
        ArgumentError: no such direction, or a rotation of an image with one axis.
    """
    axis = axis_of(transforms, size)
    if transforms.angles and len(size) == 1:
        raise ArgumentError("the images have one axis and cannot be turned: leave angles out.")
    angles = tuple(map(float, range(0, 360, 10))) if len(size) > 1 else ()
    scales = tuple(round(1 + 0.05 * i, 2) for i in range(17))
    moves = {round(i * _STEP * size[axis] / _PAPERS_SIZE) for i in range(-_STEPS, _STEPS + 1)}
    defaults = tuple(map(float, sorted(moves))), scales, angles
    chosen = transforms.translations, transforms.scales, transforms.angles
    both = zip(IDENTITY, chosen, defaults, strict=True)
    listed = {kind: tuple(default if given is None else given) for kind, given, default in both}
    return {kind: values for kind, values in listed.items() if values}


def axis_of(transforms: Transforms, size: Sequence[int]) -> int:
    """Along which of the image's axes translations go.

    Raises:
        ArgumentError: it has none in that direction.
    """
    if len(size) == 1:
        return 0
    if _AXES[transforms.direction] > len(size):
        raise ArgumentError(f"images do not have a direction {transforms.direction!r}, only volumes: give another one.")
    return len(size) - _AXES[transforms.direction]


def fills_of(transforms: Transforms, channels: int) -> tuple[float, ...]:
    """What lies around the image, for each of its channels.

    Raises:
        ArgumentError: another number of them was given.
    """
    if isinstance(transforms.fill, float | int):
        return (float(transforms.fill),) * channels
    if len(transforms.fill) != channels:
        raise ArgumentError(f"fill has {len(transforms.fill)} values for images of {channels} channels. Give one each.")
    return tuple(transforms.fill)


def words_of(transforms: Transforms, size: Sequence[int], kind: Kind) -> str:
    """A kind of transform with its unit, for the axis of a plot."""
    if kind == "translation":
        return f"{transforms.direction} translation (pixels)" if len(size) > 1 else "translation (pixels)"
    return {"scale": "scale (ratio)", "rotation": "rotation (degrees)"}[kind]


def amount(kind: Kind, values: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """How far each transform is from leaving the image as it is: pixels, ratio, or degrees of the shorter way round."""
    away = np.abs(values - IDENTITY[kind])
    if kind == "rotation":
        turned: Float[np.ndarray, " t"] = np.minimum(away % 360, 360 - away % 360)
        return turned
    return away


def transformed(
    x: Float[Tensor, "c *size"], kind: Kind, value: float, *, axis: int = 0, fill: Sequence[float]
) -> Float[Tensor, "c *size"]:
    """An image moved, scaled or turned, interpolated linearly between pixels.

    A translation by whole pixels and a turn by right angles of a square copy pixels exactly.

    Args:
        x: the image.
        kind: of the transform.
        value: how far.
        axis: of a translation.
        fill: of each channel, what lies around the image.
    """
    size = x.shape[1:]
    matrix, offset = _inverse(kind, value, size, axis)
    channels = x.detach().cpu().double().numpy()
    moved = np.stack([
        ndimage.affine_transform(channel, matrix, offset, order=1, mode="grid-constant", cval=around)
        for channel, around in zip(channels, fill, strict=True)
    ])  # fmt: skip
    return torch.from_numpy(moved).to(x)


def filled(kind: Kind, value: float, size: Sequence[int], axis: int) -> float:
    """The share of a transformed image that shows what lies around the image, and not the image."""
    ones = transformed(torch.ones(1, *size, device="cpu"), kind, value, axis=axis, fill=(0.0,))
    return float(1 - ones.double().mean())


def _inverse(kind: Kind, value: float, size: Sequence[int], axis: int) -> tuple[Any, Any]:
    """The matrix and the offset that lead from a pixel of the transformed image to where it comes from."""
    middle, matrix = (np.array(size, float) - 1) / 2, np.eye(len(size))
    if kind == "translation":
        offset = np.zeros(len(size))
        offset[axis] = -value
        return matrix, offset
    if kind == "scale":
        matrix /= value
    else:
        cosine, sine = (round(f(math.radians(value)), 15) for f in _CIRCLE)  # exactly 0 and 1 at right angles
        matrix[-2:, -2:] = [[cosine, sine], [-sine, cosine]]
    return matrix, middle - matrix @ middle


_CIRCLE: tuple[Callable[[float], float], ...] = (math.cos, math.sin)


def _values(name: str, values: object) -> tuple[float, ...]:
    listed = as_list(values)
    if listed is None or len(listed) > _MOST_VALUES:
        raise ArgumentError(f"{name} is a list of at most {_MOST_VALUES:,} numbers; got {short(values)}.")
    return tuple(real_number(name, value) for value in listed)
