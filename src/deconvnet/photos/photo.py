"""A photo in memory, read from a file, a sample, a PIL image, an array or a tensor."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from deconvnet._checks import as_index, as_list, escaped, short
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._types import Box

SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601: the weights of red, green and blue in grey, as in Pillow's mode L

_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_MID_GREY = (128, 128, 128)
_SLACK = 1e-6  # float pixels may pass 0..1 by this much: what earlier arithmetic rounds away


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
        return eight_bit(self.pixels).convert("RGB")

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
        check_box(box)
        (top, left), (height, width) = box.low, box.size
        canvas = Image.new("RGB", (width, height), _MID_GREY)
        inside = self.pixels[max(top, 0) : max(box.high[0], 0), max(left, 0) : max(box.high[1], 0)]
        if inside.size:
            canvas.paste(eight_bit(inside).convert("RGB"), (max(-left, 0), max(-top, 0)))
        return canvas


PhotoLike: TypeAlias = str | Path | Image.Image | NDArray[np.generic] | Tensor | Photo


def load_photo(photo: PhotoLike) -> Photo:
    """The photo from any source, as float pixels from 0 to 1.

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
        return _from_file(path := Path(photo), escaped(path.stem), repr(str(path)))
    raise ArgumentError(
        f"a photo cannot be made from {type(photo).__name__}. Pass a path, 'sample:chelsea', "
        "a PIL image, an array (h, w, c) or a tensor (c, h, w)."
    )


def _sample(name: str) -> Photo:
    if name not in SAMPLES:
        raise PhotoError(f"{name!r} is not a sample photo. The samples are {', '.join(SAMPLES)}.")
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
        return "no such file. Check the path."
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
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        raise ArgumentError(f"{what} is not a photo: its values are stored as {tensor.layout} on {tensor.device}.")
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
        raise PhotoError(f"{what} is without pixels: {array.shape[0]} x {array.shape[1]}.")
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


def eight_bit(pixels: NDArray[np.float32]) -> Image.Image:
    """An 8-bit image, mode L or RGB, from (h, w, 1|3)."""
    values = np.rint(pixels * 255).astype(np.uint8)
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def check_box(box: Box) -> None:
    """Raise unless a box has (row, column) corners and is not empty.

    Raises:
        ArgumentError: it has other corners, or is empty.
    """
    corners = [as_list(corner) or () for corner in (box.low, box.high)] if isinstance(box, Box) else [()]
    if any(len(corner) != 2 or None in map(as_index, corner) for corner in corners) or min(box.size) < 1:
        raise ArgumentError(f"a box in a photo has (row, column) corners with low below high; got {short(box)}.")


def with_channels(pixels: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """(h, w, channels) from (h, w, 1|3): a colour photo becomes grey by `luma`, a grey one three equal channels."""
    if pixels.shape[2] == channels:
        return pixels
    return luma(pixels) if channels == 1 else np.repeat(pixels, 3, axis=2)


def luma(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 1) grey of (h, w, 3). A plain sum, because a matrix product rounds as the machine's library likes."""
    red, green, blue = (pixels[..., i] * np.float32(weight) for i, weight in enumerate(LUMA))
    return np.asarray(red + green + blue)[..., None]
