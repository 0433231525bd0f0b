"""What is covered of an image, position by position, and what it is filled with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from skimage.filters import gaussian
from torch import Tensor

from deconvnet._checks import as_list, as_number, is_one_of, short, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._types import Box, Index
from deconvnet.photos.preprocess import Preprocess

FillName: TypeAlias = Literal["mean", "grey", "blur"]
Fill: TypeAlias = FillName | float | Sequence[float]

_SIDE, _SIZE, _STRIDE = 224, 50, 10  # pixels: a square of 50 moves by 10 over a photo of 224
_BLUR = 0.1  # of each side of the image: the standard deviation of "blur"
_MOST = 10**6


@dataclass(frozen=True, eq=False)
class Occluders:
    """Shapes that cover parts of an image, one at each position.

    Attributes:
        grid: number of positions along each spatial axis of the image where a shape is slid over it; (p,) where
            there is a mask of its own for each.
        boxes: low and high corner of each position in the image; may reach past the border.
        shapes: the one that is slid, as large as its boxes, or one for each position, as large as the image. True is
            what is covered.
        size: of the image, per spatial axis.
    """

    grid: tuple[int, ...]
    boxes: Int[Tensor, "p 2 axes"]
    shapes: Bool[Tensor, "s *shape"]
    size: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.size))
        if not self.slid:
            return f"<Occluders: {len(self)} masks on {size}>"
        shape = "x".join(map(str, self.shapes.shape[1:]))
        return f"<Occluders: {shape} at {'x'.join(map(str, self.grid))} positions on {size}>"

    @property
    def slid(self) -> bool:
        """Whether one shape is slid over the image."""
        return self.shapes.shape[1:] != self.size

    def inside(self, i: int) -> tuple[tuple[slice, ...], Bool[Tensor, "*part"]]:
        """Position i: its box as far as it lies in the image, and what is covered of that."""
        low, high = self.boxes[i].tolist()
        here, part = Box(tuple(low), tuple(high)).overlap(self.size)
        within = tuple(each for each in here if isinstance(each, slice))
        return within, self.shapes[0][part] if self.slid else self.shapes[i][here]

    def sums(self, values: Float[np.ndarray, "*rows_and_size"]) -> Float[np.ndarray, "*rows p"]:
        """The sum of values of the image under each position's shape; of several images, of each."""
        parts = []
        for here, mask in self:
            index: Index = (..., *here)
            parts.append(values[index][..., mask.numpy()].sum(-1))
        return np.stack(parts, -1)

    def within(self, low: Sequence[int], size: tuple[int, ...]) -> "Occluders":
        """The same, where the image is a part of a larger one.

        Args:
            low: the part's first pixel.
            size: of the larger image.
        """
        boxes, shapes = self.boxes + torch.tensor(list(low), device="cpu"), self.shapes
        if not self.slid:
            larger = shapes.new_zeros(len(shapes), *size)
            larger[:, *(slice(first, first + length) for first, length in zip(low, self.size, strict=True))] = shapes
            shapes = larger
        return Occluders(self.grid, boxes, shapes, size)

    def over_pixels(self, values: Float[Tensor, " p"]) -> Float[Tensor, "*size"]:
        """Values of positions on the image: of each pixel the mean over those that cover it; NaN where none does."""
        total, count = (torch.zeros(self.size, dtype=torch.float64, device="cpu") for _ in range(2))
        for i, value in enumerate(values.tolist()):
            here, mask = self.inside(i)
            total[here] += mask * value
            count[here] += mask
        return total / count

    def __iter__(self) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
        return map(self.inside, range(len(self)))


def occluders(size: tuple[int, ...], side: Any, stride: Any, mask: Any, *, partial: bool) -> Occluders:
    """What covers an image of `size`; the arguments are those of `occlude`.

    Raises:
        ArgumentError: one cannot be used for this image.
    """
    if mask is None:
        lengths = _per_axis("size", side, size, _SIZE)
        return _slid(size, torch.ones(lengths, dtype=torch.bool, device="cpu"), stride, partial=partial)
    if side is not None:
        raise ArgumentError("size= is of a square and mask= is a shape of its own: drop one of them.")
    given = _mask(mask, len(size))
    if given.dtype == torch.bool and given.ndim == len(size) and tuple(given.shape) != size:
        return _slid(size, given, stride, partial=partial)
    if stride is not None:
        raise ArgumentError(
            "stride= is of a shape that is slid, and each of the masks has a place of its own: drop it."
        )
    if given.dtype != torch.bool:
        given = _segments(given)
    return _placed(size, given[None] if given.ndim == len(size) else given)


def filling(
    fill: Any, x: Float[Tensor, "1 c *size"], preprocess: Preprocess | None
) -> tuple[Float[Tensor, "1 c *size"], str]:
    """An image of nothing but what fills the covered parts, and what that is in words.

    Raises:
        ArgumentError: it is not something to fill with.
    """
    if is_one_of(fill, ("mean", "blur")):
        if fill == "mean":
            return torch.zeros_like(x), "the mean pixel (0 in the network's input)"
        sigma = [_BLUR * length for length in x.shape[2:]]
        blurred = gaussian(x[0].cpu().double().numpy(), sigma, channel_axis=0)  # type: ignore[no-untyped-call]  # scikit-image ships no types
        return torch.from_numpy(blurred)[None].to(x), "the image, blurred"
    channels, words = x.shape[1], f"{fill}"
    if is_one_of(fill, ("grey",)):
        if preprocess is None:
            raise ArgumentError('fill="grey" needs preprocess=, which says what grey is in the network\'s input.')
        fill = [(preprocess.scale / 2 - mean) / std for mean, std in zip(preprocess.mean, preprocess.std, strict=True)]
        words = "mid-grey"
    values = [as_number(item) for item in as_list(fill) or [fill]]
    if not np.isfinite(values).all() or len(values) not in (1, channels):
        raise ArgumentError(
            f"fill is {', '.join(map(repr, get_args(FillName)))}, a finite number, or one for each of the {channels} "
            f"channels; got {short(fill)}."
        )
    column = torch.tensor(values, dtype=torch.float64, device="cpu").view(1, -1, *[1] * (x.ndim - 2))
    return column.to(x).expand(x.shape), words


def _slid(size: tuple[int, ...], shape: Tensor, stride: Any, *, partial: bool) -> Occluders:
    window = tuple(shape.shape)
    if any(a > b for a, b in zip(window, size, strict=True)):
        raise ArgumentError(f"what covers the image is {_by(window)}, larger than the image, which is {_by(size)}.")
    if not shape.any():
        raise ArgumentError("mask covers nothing: True is what is covered.")
    steps = _per_axis("stride", stride, size, _STRIDE)
    starts = [_starts(*lengths, partial=partial) for lengths in zip(size, window, steps, strict=True)]
    if np.prod([len(axis) for axis in starts]) > _MOST:
        raise ArgumentError(f"there are more than {_MOST:,} positions: give a larger stride.")
    low = torch.from_numpy(np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(size)))
    boxes = torch.stack([low, low + torch.tensor(window, device="cpu")], 1)
    return Occluders(tuple(len(axis) for axis in starts), boxes, shape[None], size)


def _starts(length: int, window: int, stride: int, *, partial: bool) -> np.ndarray:
    """Where a window begins along one axis: from the border until all is covered, or as far inside as it fits."""
    rest = length - window
    if partial:
        return np.arange(-(-rest // stride) + 1) * stride
    return np.arange(rest // stride + 1) * stride + rest % stride // 2


def _placed(size: tuple[int, ...], masks: Tensor) -> Occluders:
    if not len(masks) or tuple(masks.shape[1:]) != size:
        raise ArgumentError(f"masks are as large as the image, {_by(size)}; got {short(masks)}.")
    if len(masks) > _MOST:
        raise ArgumentError(f"there are more than {_MOST:,} masks: give fewer.")
    boxes = []
    for i, mask in enumerate(masks):
        at = mask.nonzero()
        if not len(at):
            raise ArgumentError(f"mask {i} covers nothing: True is what is covered.")
        boxes.append(torch.stack([at.amin(0), at.amax(0) + 1]))
    return Occluders((len(masks),), torch.stack(boxes), masks, size)


def _segments(labels: Tensor) -> Tensor:
    """A mask for each segment, in the order of their numbers."""
    values = sorted(set(labels.flatten().tolist()))
    if len(values) * labels.numel() > 2**33:
        raise ArgumentError(f"mask has {len(values)} segments, too many for the memory: give fewer.")
    return torch.stack([labels == value for value in values])


def _mask(mask: Any, axes: int) -> Tensor:
    """A mask as a tensor of bools, or segments as whole numbers."""
    try:
        listed = isinstance(mask, list | tuple) and any(isinstance(each, Tensor) for each in mask)
        stacked = torch.stack(list(mask)) if listed else mask
        given = stacked if isinstance(stacked, Tensor) else torch.from_numpy(np.array(stacked))
        given = given.detach().cpu()
    except (TypeError, ValueError, RuntimeError, NotImplementedError, OverflowError):
        given = torch.empty(0, device="cpu")
    whole = given.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if given.layout != torch.strided or not given.numel() or not (
        (given.dtype == torch.bool and given.ndim in (axes, axes + 1)) or (whole and given.ndim == axes)
    ):  # fmt: skip
        raise ArgumentError(
            f"mask is an array of bools: {axes}-D, of a shape that is slid over the image or of a part of it, or a "
            f"list of such parts; or whole numbers as large as the image, one for each segment. Got {short(mask)}."
        )
    return given.contiguous()


def _per_axis(name: str, value: Any, size: tuple[int, ...], usual: int) -> tuple[int, ...]:
    """A length for each axis; by default one in the proportion that is usual for photos."""
    if value is None:
        return tuple(max(1, round(length * usual / _SIDE)) for length in size)
    listed = as_list(value)
    values = [value] * len(size) if listed is None else listed
    if len(values) != len(size):
        raise ArgumentError(f"{name} is a number of pixels, or {len(size)} of them; got {short(value)}.")
    return tuple(whole_number(name, each) for each in values)


def _by(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
