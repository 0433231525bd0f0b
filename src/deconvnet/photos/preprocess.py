"""Photo → batch, and boxes of the network's input back to the photo.

anything like a photo ─► Photo ─► resize, crop ─► scale, mean, std ─► batch
                           ▲            │
                         patch ◄─── box in photo
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import skimage.data
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._types import Box

SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "nearest"]

_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601, as in Pillow's mode L
_MID_GREY = (128, 128, 128)
_SLACK = 1e-6  # float pixels may pass 0..1 by this much: what earlier arithmetic rounds away
_MOST_RESIZED_PIXELS = 2**25


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo in memory, upright and without transparency.

    Attributes:
        pixels: (h, w, c) with c 1 (grey) or 3 (red, green, blue), from 0 to 1; read-only.
        name: the file's stem, the sample's name, or "photo".
        deep: the pixels hold more than 8 bits, so they are resized as floats. Other photos are
            resized as 8-bit images, bit for bit as a pipeline on PIL images does.
    """

    pixels: NDArray[np.float32]
    name: str = "photo"
    deep: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def image(self) -> Image.Image:
        """The photo for showing: 8-bit RGB at full resolution."""
        return _eight_bit(self.pixels).convert("RGB")

    def cut(self, box: Box) -> Image.Image:
        """The pixels in `box`, 8-bit RGB at full resolution; mid-grey outside the photo.

        Args:
            box: low and high (row, column) in this photo's pixels; may reach past the border.

        Raises:
            ArgumentError: the box is not two-dimensional, or is empty.

        Example:
            >>> load_photo("sample:chelsea").cut(Box((-10, 0), (90, 50))).size
            (50, 100)
        """
        _check_box(box)
        (top, left), (height, width) = box.low, box.size
        canvas = Image.new("RGB", (width, height), _MID_GREY)
        inside = self.pixels[max(top, 0) : max(box.high[0], 0), max(left, 0) : max(box.high[1], 0)]
        if inside.size:
            canvas.paste(_eight_bit(inside).convert("RGB"), (max(-left, 0), max(-top, 0)))
        return canvas


PhotoLike: TypeAlias = str | Path | Image.Image | NDArray[np.generic] | Tensor | Photo


def load_photo(photo: PhotoLike) -> Photo:
    """The photo, whatever it comes from, as float pixels from 0 to 1.

    Rotation noted by the camera (EXIF) is applied; transparent pixels show white behind them;
    palettes, CMYK and other modes become grey or RGB; 16-bit values are divided by 65535. An
    animated file gives its first frame; a PIL image gives the frame it stands at. Pillow reads
    16-bit *colour* files at 8 bits: pass an array to keep their depth.

    Args:
        photo: a path; "sample:chelsea", "sample:astronaut", "sample:coffee" or "sample:rocket"
            (photos that come with scikit-image); a PIL image; an array (h, w) or (h, w, 1|3|4);
            a tensor (h, w) or (1|3|4, h, w). Arrays and tensors hold uint8, uint16, or floats
            from 0 to 1. A `Photo` comes back as it is.

    Raises:
        PhotoError: not found, a folder, not an image, empty, cut off, larger than Pillow's limit
            against decompression bombs, of a wrong shape, or with NaN or infinity in it.
        ArgumentError: not a kind of thing that can be a photo, pixels of another type, or floats
            outside 0 to 1.

    Example:
        >>> load_photo("sample:chelsea").size
        (300, 451)
    """
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, Image.Image):
        return _decode(photo, "photo", "the PIL image")
    if isinstance(photo, Tensor):
        return _from_tensor(photo)
    if isinstance(photo, np.ndarray):
        return _from_array(photo, "photo", f"the array of shape {photo.shape}")
    if isinstance(photo, str) and photo.startswith("sample:"):
        return _sample(photo.removeprefix("sample:"))
    if isinstance(photo, str | Path):
        return _from_file(path := Path(photo), path.stem, repr(str(path)))
    raise ArgumentError(
        f"a photo cannot be made from {type(photo).__name__}. Pass a path, 'sample:chelsea', "
        "a PIL image, an array (h, w, c) or a tensor (c, h, w)."
    )


def _sample(name: str) -> Photo:
    if name not in SAMPLES:
        raise PhotoError(f"there is no sample photo {name!r}. The samples are {', '.join(SAMPLES)}.")
    return _from_array(getattr(skimage.data, name)(), name, f"the sample {name!r}")


def decode_photo(data: bytes, name: str) -> Photo:
    """The photo of that name whose file holds `data`, as `load_photo` reads files.

    Raises:
        PhotoError: as `load_photo`.
    """
    return _from_file(io.BytesIO(data), name, repr(name))


def _from_file(file: Path | io.BytesIO, name: str, what: str) -> Photo:
    try:
        with Image.open(file) as picture:
            # Pillow only warns up to twice its limit, and warnings can be silenced
            if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise Image.DecompressionBombError(f"{picture.height} x {picture.width} pixels")
            return _decode(picture, name, what)
    except ArgumentError as fault:  # about the pixels, which here came from the file
        raise PhotoError(str(fault)) from fault
    except (OSError, ValueError, SyntaxError, *_BOMBS) as fault:
        raise PhotoError(f"cannot read {what}: {_reason(file, fault)}") from fault


def _reason(file: Path | io.BytesIO, fault: Exception) -> str:
    if isinstance(fault, FileNotFoundError):
        return "there is no such file. Check the path."
    if isinstance(fault, IsADirectoryError):
        return "it is a folder. Give the files in it."
    if isinstance(fault, _BOMBS):
        return f"it may be a decompression bomb: {fault}. Raise PIL.Image.MAX_IMAGE_PIXELS if not."
    if not isinstance(fault, UnidentifiedImageError):
        return f"{fault}. Check the path and the file."
    if (file.stat().st_size if isinstance(file, Path) else len(file.getbuffer())) == 0:
        return "it is empty (0 bytes). Fetch the file again."
    return "it is not an image that Pillow knows. Give JPEG, PNG, WebP, TIFF or GIF."


def _decode(picture: Image.Image, name: str, what: str) -> Photo:
    """Upright pixels of a PIL image, which may still have to be read from its file."""
    try:
        picture.load()
        pixels = _pixels(ImageOps.exif_transpose(picture), what)
    except (PhotoError, MemoryError):
        raise
    except Exception as fault:  # on broken data Pillow's decoders raise whatever they meet
        raise PhotoError(f"{what} is damaged or cut off: {fault}. Fetch the file again, or leave it out.") from fault
    return _from_array(pixels, name, what)


def _pixels(picture: Image.Image, what: str) -> NDArray[np.generic]:
    """(h, w) or (h, w, 3|4), the fourth channel being opacity."""
    if picture.mode == "I":  # 32-bit integers hold 16-bit values by Pillow's custom
        return _sixteen_bit(np.asarray(picture), what)
    if picture.mode == "F" or picture.mode.startswith("I;16"):
        return np.asarray(picture)
    if picture.mode == "La":  # Pillow knows no shorter way
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))


def _sixteen_bit(grey: NDArray[np.int32], what: str) -> NDArray[np.uint16]:
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65535:
        raise PhotoError(
            f"{what} has 32-bit grey pixels from {low} to {high}, but 0 to 65535 is the range. "
            "Scale them and pass an array of floats from 0 to 1."
        )
    return grey.astype(np.uint16)


def _from_tensor(tensor: Tensor) -> Photo:
    what = f"the tensor of shape {tuple(tensor.shape)}"
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type
        tensor = tensor.float()
    array = tensor.detach().cpu().numpy()
    return _from_array(np.moveaxis(array, 0, 2) if array.ndim == 3 else array, "photo", what)


def _from_array(array: NDArray[np.generic], name: str, what: str) -> Photo:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise PhotoError(
            f"{what} is not a photo: an array is (h, w) or (h, w, 1|3|4), a tensor (h, w) or "
            "(1|3|4, h, w). For a batch pass list(batch)."
        )
    if array.size == 0:
        raise PhotoError(f"{what} has no pixels: {array.shape[0]} x {array.shape[1]}.")
    deep = array.dtype != np.uint8
    pixels = _unit_range(array, what).reshape(*array.shape[:2], -1)
    if pixels.shape[2] == 4:
        pixels = _over_white(pixels, deep)
    pixels.setflags(write=False)
    return Photo(pixels, name, deep)


def _unit_range(array: NDArray[np.generic], what: str) -> NDArray[np.float32]:
    """A fresh array of the same shape, from 0 to 1."""
    if array.dtype.kind == "u" and array.dtype.itemsize in (1, 2):
        top = np.float32(255 if array.dtype.itemsize == 1 else 65535)
        return np.asarray(array.astype(np.float32) / top)
    if array.dtype.kind != "f":
        raise ArgumentError(f"{what} has pixels of type {array.dtype}. Give uint8, uint16 or floats from 0 to 1.")
    if not np.isfinite(array).all():
        raise PhotoError(f"{what} holds NaN or infinity. Replace these pixels first.")
    low, high = float(np.min(array)), float(np.max(array))
    if low < -_SLACK or high > 1 + _SLACK:
        raise ArgumentError(
            f"{what} has float pixels from {low:g} to {high:g}, but 0 to 1 is the range for "
            "floats. Divide by the largest possible value first."
        )
    return np.clip(array.astype(np.float32), 0, 1)


def _over_white(pixels: NDArray[np.float32], deep: bool) -> NDArray[np.float32]:
    colour, opacity = pixels[..., :-1], pixels[..., -1:]
    mixed = colour * opacity + (1 - opacity)
    return mixed if deep else np.rint(mixed * 255) / np.float32(255)


def _eight_bit(pixels: NDArray[np.float32]) -> Image.Image:
    """Mode L or RGB from (h, w, 1|3)."""
    values = np.rint(pixels * 255).astype(np.uint8)
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _check_box(box: Box) -> None:
    if len(box.low) != 2 or len(box.high) != 2 or min(box.size) < 1:
        raise ArgumentError(f"a box in a photo has (row, column) corners with low below high, but {box} came.")


def _with_channels(pixels: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    if pixels.shape[2] == channels:
        return pixels
    if channels == 1:
        return (pixels @ _LUMA)[..., None]
    return np.repeat(pixels, 3, axis=2)


@dataclass(frozen=True)
class Preprocess:
    """How photos become a network's input, and how boxes of that input lie in the photos.

    Photos of 8 bits give the same bits as torchvision's Resize, CenterCrop, ToTensor and Normalize
    on PIL images (up to the last bit of a float); deeper photos keep their depth and differ from
    that by 1/255 of the range at most.

    Attributes:
        size: height and width of the network's input.
        short_side: the photo's shorter side is resized to this, then `size` is cut from the
            centre; None stretches the photo to `size`.
        mean: subtracted, per channel, in units of `scale`.
        std: divided by, per channel, in units of `scale`.
        channels: 1 or 3. A colour photo becomes grey by ITU-R 601; a grey one, three equal ones.
        scale: white before `mean` and `std`: 1.0, or 255.0 for networks trained on raw pixels.
        interpolation: of the resizing, with antialiasing save for "nearest".

    Raises:
        ArgumentError: a field is out of range or disagrees with another one.

    Example:
        >>> preprocess = Preprocess((224, 224), 256, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        >>> tuple(preprocess.images(["sample:chelsea", "sample:rocket"]).shape)
        (2, 3, 224, 224)
        >>> preprocess.box_in_photo(Box((0, 0), (224, 224)), photo_size=(300, 451))
        Box(low=(18, 93), high=(282, 358))
    """

    size: tuple[int, int]
    short_side: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int = 3
    scale: float = 1.0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        for field in ("size", "mean", "std"):  # lists too: this is also read from JSON
            object.__setattr__(self, field, _as_tuple(field, getattr(self, field)))
        _require(_is_size(self.size), f"size is (height, width) in pixels, not {self.size!r}.")
        _require(
            self.short_side is None or (_is_size((self.short_side,) * 2) and self.short_side >= max(self.size)),
            f"short_side={self.short_side!r} cannot hold a crop of {self.size}. Give a whole number"
            f" of at least {max(self.size)}, or None to stretch photos to the input's size.",
        )
        _require(self.channels in (1, 3), f"channels={self.channels!r}, but it has to be 1 or 3.")
        for field, values in (("mean", self.mean), ("std", self.std)):
            _require(
                len(values) == self.channels,
                f"{field} has {len(values)} values for channels={self.channels}. Give one each.",
            )
        _require(_are_finite(self.mean), f"mean={self.mean}, but it has to be finite numbers.")
        for field, values in (("std", self.std), ("scale", (self.scale,))):
            positive = _are_finite(values) and min(values) > 0
            _require(positive, f"{field}={values}, but it has to be finite and above 0.")
        known = get_args(Interpolation)
        _require(self.interpolation in known, f"interpolation={self.interpolation!r} not in {known}.")

    def images(self, photos: PhotoLike | Iterable[PhotoLike]) -> Float[Tensor, "n c h w"]:
        """The batch for one photo or several, in their order, float32.

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
        batch = [self._image(load_photo(photo)) for photo in photos]
        if not batch:
            raise ArgumentError("there are no photos in the list. Give at least one.")
        return torch.stack(batch)

    def shown(self, photo: PhotoLike) -> Image.Image:
        """What the network sees of the photo before mean and std: 8-bit RGB of the input's size."""
        return _eight_bit(self._fitted(load_photo(photo))).convert("RGB")

    def box_in_photo(self, box: Box, photo_size: tuple[int, int]) -> Box:
        """The box of photo pixels that a box of input pixels covers, rounded outward.

        Args:
            box: low and high (row, column) in the network's input; may reach past the border.
            photo_size: height and width of the photo.

        Raises:
            ArgumentError: a box that is empty or not two-dimensional, or a size below 1 x 1.
        """
        _check_box(box)
        _require(_is_size(photo_size), f"photo_size is (height, width), not {photo_size!r}.")
        resized = self._resized_size(photo_size)
        axes = list(zip(self._offset(resized), photo_size, resized, strict=True))
        # whole-number arithmetic: floor and ceiling must not depend on a float's last bit
        low = tuple((x + o) * n // r for x, (o, n, r) in zip(box.low, axes, strict=True))
        high = tuple(-(-(x + o) * n // r) for x, (o, n, r) in zip(box.high, axes, strict=True))
        return Box(low, high)

    def patch(self, photo: PhotoLike, box: Box) -> Image.Image:
        """What the photo shows where `box` lies, at the photo's full resolution, 8-bit RGB.

        Args:
            photo: anything `load_photo` takes.
            box: low and high (row, column) in the network's input. Outside the photo the patch
                is mid-grey.

        Raises:
            PhotoError, ArgumentError: as `load_photo` and `box_in_photo`.

        Example:
            >>> preprocess = Preprocess((64, 64), 64, (0.0,) * 3, (1.0,) * 3)
            >>> preprocess.patch("sample:astronaut", Box((0, 8), (16, 16))).size  # width, height
            (64, 128)
        """
        loaded = load_photo(photo)
        return loaded.cut(self.box_in_photo(box, loaded.size))

    def _image(self, photo: Photo) -> Float[Tensor, "c h w"]:
        pixels = torch.from_numpy(self._fitted(photo)).permute(2, 0, 1)
        mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return (pixels * self.scale - mean) / std

    def _fitted(self, photo: Photo) -> NDArray[np.float32]:
        """(h, w, c) from 0 to 1, resized and cropped."""
        self._check_elongation(photo)
        if photo.deep:
            planes = np.moveaxis(_with_channels(photo.pixels, self.channels), 2, 0)
            fitted = [np.asarray(self._fit(Image.fromarray(plane))) for plane in planes]
            stacked: NDArray[np.float32] = np.stack(fitted, axis=2)
            return stacked.clip(0, 1)  # bicubic overshoots, as 8 bits cannot
        image = _eight_bit(photo.pixels).convert("L" if self.channels == 1 else "RGB")
        values = np.asarray(self._fit(image)).astype(np.float32) / np.float32(255)
        return values.reshape(*self.size, self.channels)

    def _fit(self, image: Image.Image) -> Image.Image:
        height, width = self._resized_size((image.height, image.width))
        top, left = self._offset((height, width))
        resized = image.resize((width, height), Image.Resampling[self.interpolation.upper()])
        return resized.crop((left, top, left + self.size[1], top + self.size[0]))

    def _resized_size(self, photo_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width before the crop, the longer side rounded down as torchvision does."""
        if self.short_side is None:
            return self.size
        height, width = photo_size
        long = int(self.short_side * max(photo_size) / min(photo_size))
        return (self.short_side, long) if height <= width else (long, self.short_side)

    def _offset(self, resized: tuple[int, int]) -> tuple[int, int]:
        """Top and left of the crop; Python's rounding to even is torchvision's too."""
        top, left = (round((n - m) / 2) for n, m in zip(resized, self.size, strict=True))
        return top, left

    def _check_elongation(self, photo: Photo) -> None:
        height, width = self._resized_size(photo.size)
        if height * width > max(_MOST_RESIZED_PIXELS, math.prod(self.size)):
            raise PhotoError(
                f"{photo.name!r} is too elongated: {photo.size[0]} x {photo.size[1]} pixels would "
                f"become {height} x {width} for short_side={self.short_side}. Crop it first, or "
                "use short_side=None."
            )


def _as_tuple(field: str, values: object) -> tuple[object, ...]:
    _require(isinstance(values, tuple | list), f"{field} is a tuple of numbers, not {values!r}.")
    return tuple(values) if isinstance(values, tuple | list) else ()


def _is_size(values: tuple[object, ...]) -> bool:
    return len(values) == 2 and all(type(value) is int and value > 0 for value in values)


def _are_finite(values: tuple[object, ...]) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ArgumentError(otherwise)
