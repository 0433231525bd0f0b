"""Photo → batch, and boxes of the network's input back to the photo.

anything like a photo ─► Photo ─► resize, crop ─► scale, mean, std ─► batch
                           ▲            │
                         patch ◄─── box in photo
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deconvnet._checks import instance, is_one_of, short
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._types import Box
from deconvnet.photos.fields import (
    are_finite,
    by,
    is_size,
    is_volume,
    real,
    real_numbers,
    require,
    require_one_for_each,
    whole,
    whole_numbers,
)
from deconvnet.photos.levels import Levels, unit
from deconvnet.photos.photo import Photo, PhotoLike, as_read, check_box, eight_bit, planes, read_photo, warn_of_dark
from deconvnet.photos.values import Extents, Range, Reading
from deconvnet.photos.volumes import resampled

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "nearest"]

_MOST_RESIZED_PIXELS = 2**25
_MOST_CHANNELS = 4096
_NAMES = {2: "height, width", 3: "depth, height, width"}


@dataclass(frozen=True)
class Preprocess:
    """How photos become a network's input, and how boxes of that input lie in the photos.

    Photos of 8 bits give the same bits as torchvision's Resize, CenterCrop, ToTensor and Normalize
    on PIL images (up to the last bit of a float); deeper photos keep their depth and differ from
    that by 1/255 of the range at most.

    Attributes:
        size: height and width of the network's input; three numbers, depth first, of a network that takes volumes.
        short_side: the photo's shorter side is resized to this, then `size` is cut from the
            centre; None stretches the photo to `size`. Volumes are always stretched, along each axis.
        mean: subtracted, per channel, in units of `scale`.
        std: divided by, per channel, in units of `scale`.
        channels: of the network's input. If it is 1, a colour photo becomes grey by ITU-R 601; if 3, a grey one three
            equal channels. Any other number takes arrays, `.npy` and TIFF files of as many.
        scale: white before `mean` and `std`: 1.0, or 255.0 for networks trained on raw pixels.
        interpolation: of the resizing, with antialiasing save for "nearest"; of volumes "bilinear" is trilinear.
        value_range: the values that are black and white in the photos, as in `load_photo`, such as (0, 4095) for 12
            bits in 16 or (-1000, 400) for CT numbers; None for what each file, or else the type of its values, says.

    Raises:
        ArgumentError: a field is out of range or disagrees with another one.

    Example:
        >>> preprocess = Preprocess((224, 224), 256, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        >>> tuple(preprocess.images(["sample:chelsea", "sample:rocket"]).shape)
        (2, 3, 224, 224)
        >>> preprocess.box_in_photo(Box((0, 0), (224, 224)), photo_size=(300, 451))
        Box(low=(18, 93), high=(282, 358))
    """

    size: tuple[int, ...]
    short_side: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int = 3
    scale: float = 1.0
    interpolation: Interpolation = "bilinear"
    value_range: Range | None = None

    def __post_init__(self) -> None:
        for field, convert in _FIELDS.items():  # lists too: this is also read from JSON
            object.__setattr__(self, field, convert(field, getattr(self, field)))
        require(
            is_size(self.size) or is_volume(self.size),
            f"size is (height, width) in pixels or (depth, height, width) in voxels, not {short(self.size)}.",
        )
        require(
            self.short_side is None or not is_volume(self.size),
            f"short_side={short(self.short_side)}, but volumes are stretched to size: give None.",
        )
        require(
            self.short_side is None or (is_size((self.short_side,) * 2) and self.short_side >= max(self.size)),
            f"short_side={short(self.short_side)} cannot hold a crop of {self.size}. Give a whole number"
            f" of at least {max(self.size)}, or None to stretch photos to the input's size.",
        )
        require(
            type(self.channels) is int and 1 <= self.channels <= _MOST_CHANNELS,
            f"channels={short(self.channels)}, but it has to be a whole number, 1 to {_MOST_CHANNELS}.",
        )
        for field, values in (("mean", self.mean), ("std", self.std)):
            require_one_for_each(field, values, self.channels)
        require(are_finite(self.mean), f"mean={short(self.mean)}, but it has to be finite numbers.")
        for field, values in (("std", self.std), ("scale", (self.scale,))):
            positive = are_finite(values) and min(values) > 0
            require(positive, f"{field}={short(values)}, but it has to be finite and above 0.")
        choices = get_args(Interpolation)
        listed = is_one_of(self.interpolation, choices)
        require(listed, f"interpolation={short(self.interpolation)} not in {choices}.")
        object.__setattr__(self, "value_range", self.reading.value_range)

    @property
    def reading(self) -> Reading:
        """How photos are read for the network."""
        channels = None if self.channels in (1, 3) else self.channels
        return Reading(self.value_range, channels, volume=is_volume(self.size))

    def read(self, photo: PhotoLike) -> Photo:
        """The photo, as `load_photo` gives it with this `value_range` and number of channels.

        Raises:
            PhotoError, ArgumentError: as `load_photo`; also for a `Photo` that was read with another range.
        """
        result = read_photo(photo, self.reading)
        warn_of_dark([result])
        return result

    def images(self, photos: PhotoLike | Iterable[PhotoLike]) -> Float[Tensor, "n c *size"]:
        """The batch for one photo or several, in their order, float32: (n, c, h, w), of volumes (n, c, d, h, w).

        Args:
            photos: anything `load_photo` takes, or a list of such.

        Raises:
            PhotoError, ArgumentError: as `load_photo`; also for an empty list and for a photo too
                elongated to be resized.
        """
        if isinstance(photos, str | Path | Image.Image | np.ndarray | Tensor | Photo):
            photos = [photos]
        if not isinstance(photos, Iterable) or isinstance(photos, bytes):
            photos = [photos]  # for load_photo to refuse
        batch, extents = [], Extents()
        for photo in photos:
            loaded = read_photo(photo, self.reading)
            batch.append(self.image(loaded)[0])
            extents.add([loaded.extent] if loaded is not photo else [])  # of a `Photo` it was said before
        if not batch:
            raise ArgumentError("no photos in the list. Give at least one.")
        extents.warn()
        return torch.stack(batch)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of the network's input; for volumes channels, depth, height and width."""
        return self.channels, *self.size

    def image(self, photo: Photo) -> Float[Tensor, "1 c *size"]:
        """The input that a photo becomes.

        Raises:
            ArgumentError: not a `Photo`; `images` takes anything like one.
            PhotoError: it is too elongated to be resized.
        """
        return self.inputs(torch.from_numpy(self.levels(photo))[None])

    def levels(self, photo: Photo) -> Shaped[np.ndarray, "c *size"]:
        """A photo resized and cropped, before `inputs`: uint8 of an image of 8 bits, otherwise float32 from 0 to 1.

        Raises:
            ArgumentError, PhotoError: as `image`.
        """
        if instance("photo", photo, Photo).is_volume != self.reading.volume:
            as_read(photo, self.reading)  # says so
        return np.array(np.moveaxis(self._fitted(photo), -1, 0), order="C")

    def inputs(self, levels: Shaped[Tensor, "n c *size"]) -> Float[Tensor, "n c *size"]:
        """The inputs that levels become, on their device, and to the same bits on all devices.

        Args:
            levels: of photos as `levels` gives them; uint8, or floats from 0 to 1.

        Raises:
            ArgumentError: not a tensor of this kind.
        """
        check_levels(levels, (self.channels, *self.size))
        white, mean, std = _constants(self.mean, self.std, len(self.size), levels.device)
        pixels = levels.float() / white if levels.dtype == torch.uint8 else levels
        return (pixels * self.scale - mean) / std

    def seen(self, photo: PhotoLike) -> NDArray[np.float32]:
        """What the network sees of the photo before mean and std: (h, w, c) or (d, h, w, c), from 0 to 1.

        Raises:
            PhotoError, ArgumentError: as `images`.
        """
        return unit(self._fitted(read_photo(photo, self.reading)))

    def as_seen(self, photo: PhotoLike) -> Image.Image:
        """What the network sees of the photo before mean and std: 8-bit RGB of the input's size.

        Raises:
            PhotoError, ArgumentError: as `images`; also where the network takes volumes: take `seen`.
        """
        self.check_images("as_seen")
        return eight_bit(self.seen(photo)).convert("RGB")

    def check_images(self, what: str) -> None:
        """Raise unless the network takes images.

        Args:
            what: needs such a network; how the message begins.

        Raises:
            ArgumentError: it takes volumes.
        """
        if is_volume(self.size):
            raise ArgumentError(
                f"{what} is for networks of images, and this one takes volumes of {by(self.size)} voxels. project, "
                "explain, steps, responsible and compare take these."
            )

    def notes(self, photo: Photo) -> tuple[str, ...]:
        """What a reader should know of how the photo became the network's input: that a volume was resampled.

        Raises:
            ArgumentError: not a `Photo`.
        """
        if not instance("photo", photo, Photo).is_volume or photo.size == self.size:
            return ()
        return (
            f"The volume has {by(photo.size)} voxels and was resampled to the network's {by(self.size)}, along each "
            "axis by itself. If the network takes other sizes, --size D,H,W (size=) leaves the volume as it is.",
        )

    def box_in_photo(self, box: Box, photo_size: tuple[int, ...]) -> Box:
        """The box of photo pixels that a box of input pixels covers, rounded outward.

        Args:
            box: low and high (row, column) in the network's input; may reach past the border. Of a volume
                (depth, row, column).
            photo_size: height and width of the photo; of a volume depth, height and width.

        Raises:
            ArgumentError: a box that is empty or of another number of axes, or a size below 1.
        """
        axes = self._axes(box, photo_size)
        # whole-number arithmetic: floor and ceiling must not depend on a float's last bit
        low = tuple((x + o) * n // r for x, (o, n, r) in zip(box.low, axes, strict=True))
        high = tuple(-(-(x + o) * n // r) for x, (o, n, r) in zip(box.high, axes, strict=True))
        return Box(low, high)

    def box_in_input(self, box: Box, photo_size: tuple[int, ...]) -> Box:
        """The box of input pixels that a box of photo pixels covers, rounded outward; the inverse of `box_in_photo`.

        Args:
            box: low and high (row, column) in the photo; may reach past the border. Of a volume (depth, row, column).
            photo_size: height and width of the photo; of a volume depth, height and width.

        Returns:
            A box that may reach past the border of the input, of which it lies outside where the photo is cropped.

        Raises:
            ArgumentError: as `box_in_photo`.
        """
        axes = self._axes(box, photo_size)
        low = tuple(x * r // n - o for x, (o, n, r) in zip(box.low, axes, strict=True))
        high = tuple(-(-x * r // n) - o for x, (o, n, r) in zip(box.high, axes, strict=True))
        return Box(low, high)

    def patch(self, photo: PhotoLike, box: Box) -> Image.Image:
        """What the photo shows where `box` lies, at the photo's full resolution, 8-bit RGB.

        Args:
            photo: anything `load_photo` takes.
            box: low and high (row, column) in the network's input. Outside the photo the patch
                is mid-grey.

        Raises:
            PhotoError, ArgumentError: as `load_photo` and `box_in_photo`; also where the network takes volumes.

        Example:
            >>> preprocess = Preprocess((64, 64), 64, (0.0,) * 3, (1.0,) * 3)
            >>> preprocess.patch("sample:astronaut", Box((0, 8), (16, 16))).size  # width, height
            (64, 128)
        """
        self.check_images("patch")
        loaded = read_photo(photo, self.reading)
        return loaded.cut(self.box_in_photo(box, loaded.size))

    def _axes(self, box: Box, photo_size: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Of each axis the offset of the crop, and the photo's length before and after resizing.

        Raises:
            ArgumentError: as `box_in_photo`.
        """
        check_box(box, len(self.size))
        lengths = whole_numbers("photo_size", photo_size)
        suits = is_volume if is_volume(self.size) else is_size
        require(suits(lengths), f"photo_size is ({_NAMES[len(self.size)]}), not {short(lengths)}.")
        resized = self._resized_size(lengths)
        return list(zip(self._offset(resized), lengths, resized, strict=True))

    def _fitted(self, photo: Photo) -> Levels:
        """(h, w, c) or (d, h, w, c), resized and cropped."""
        if photo.is_volume:
            try:
                return resampled(photo.levels, self.channels, self.size, self.interpolation)
            except PhotoError as fault:
                raise PhotoError(f"{photo.name!r} cannot be used: {fault}") from fault
        self._check_elongation(photo)
        if photo.deep or not {photo.levels.shape[2], self.channels} <= {1, 3}:
            images = map(Image.fromarray, self._planes(photo))
            stacked = np.stack([np.asarray(self._fit(image)) for image in images], axis=2)
            return np.asarray(stacked.clip(0, 1), np.float32)  # bicubic overshoots, as 8 bits cannot
        image, mode = eight_bit(photo.levels), "L" if self.channels == 1 else "RGB"
        fitted = self._fit(image if image.mode == mode else image.convert(mode))
        return np.asarray(fitted).reshape(*self.size, self.channels)

    def _planes(self, photo: Photo) -> Iterator[NDArray[np.float32]]:
        try:
            yield from planes(photo.levels, self.channels)
        except PhotoError as fault:
            raise PhotoError(f"{photo.name!r} cannot be used: {fault}") from fault

    def _fit(self, image: Image.Image) -> Image.Image:
        height, width = self._resized_size((image.height, image.width))
        top, left = self._offset((height, width))
        resized = image.resize((width, height), Image.Resampling[self.interpolation.upper()])
        return resized.crop((left, top, left + self.size[1], top + self.size[0]))

    def _resized_size(self, photo_size: tuple[int, ...]) -> tuple[int, ...]:
        """Height and width before the crop, the longer side rounded down as torchvision does."""
        if self.short_side is None:
            return self.size
        height, width = photo_size
        long = int(self.short_side * max(photo_size) / min(photo_size))
        return (self.short_side, long) if height <= width else (long, self.short_side)

    def _offset(self, resized: tuple[int, ...]) -> tuple[int, ...]:
        """Top and left of the crop; Python's rounding to even is torchvision's too."""
        return tuple(round((n - m) / 2) for n, m in zip(resized, self.size, strict=True))

    def _check_elongation(self, photo: Photo) -> None:
        height, width = self._resized_size(photo.size)
        if height * width > max(_MOST_RESIZED_PIXELS, math.prod(self.size)):
            raise PhotoError(
                f"{photo.name!r} is too elongated: {photo.size[0]} x {photo.size[1]} pixels would "
                f"become {height} x {width} for short_side={self.short_side}. Crop it first, or "
                "use short_side=None."
            )


@lru_cache(maxsize=64)
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], axes: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """White of 8 bits, mean and std on a device, where a number from elsewhere would be divided by in another way."""
    white, mean_there, std_there = (
        torch.tensor(values, dtype=torch.float32, device=device).reshape(-1, *[1] * axes)
        for values in ((255.0,), mean, std)
    )
    return white, mean_there, std_there


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "size": whole_numbers, "short_side": whole, "channels": whole, "mean": real_numbers, "std": real_numbers,
    "scale": real,
}  # fmt: skip


def check_levels(levels: object, shape: tuple[int, ...]) -> None:
    """Raise unless these are levels of photos as a tensor, (n, *shape).

    Raises:
        ArgumentError: they are not.
    """
    if not isinstance(levels, Tensor) or levels.layout != torch.strided or levels.shape[1:] != shape:
        named = ", ".join(map(str, shape))
        raise ArgumentError(f"levels is a tensor of shape (n, {named}); got {short(levels)}.")
    if levels.dtype != torch.uint8 and not levels.dtype.is_floating_point:
        raise ArgumentError(f"levels are uint8 or floats; got {levels.dtype}.")
