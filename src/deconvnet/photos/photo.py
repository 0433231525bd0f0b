"""A photo in memory, read from a file, a sample, a PIL image, an array or a tensor."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deconvnet._checks import as_index, as_list, escaped, short
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._types import Box
from deconvnet.photos import files
from deconvnet.photos.decode import decode, decode_picture
from deconvnet.photos.levels import Levels, in_bands, levels_of, luma, unit

SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")

_MID_GREY = (128, 128, 128)


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo in memory, upright and without transparency.

    Attributes:
        levels: (h, w, c) with c 1 (grey) or 3 (red, green, blue), read-only: uint8 from 0 to 255, uint16 from 0 to
            65535, or float32 from 0 to 1. Photos of 8 bits are resized as 8-bit images, bit for bit as a pipeline on
            PIL images does, and others as floats.
        name: the file's stem, the sample's name, or "photo".
        digest: tells what the photo was decoded from, in 64 bits; 0 of a photo that does not come from a set.
    """

    levels: Levels
    name: str = "photo"
    digest: int = field(default=0, kw_only=True)

    @property
    def pixels(self) -> NDArray[np.float32]:
        """The levels from 0 to 1, (h, w, c), read-only."""
        pixels = unit(self.levels)
        pixels.setflags(write=False)
        return pixels

    @property
    def deep(self) -> bool:
        """Whether the levels are of more than 8 bits."""
        return self.levels.dtype != np.uint8

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.levels.shape[0], self.levels.shape[1]

    def image(self) -> Image.Image:
        """The photo for showing: 8-bit RGB at full resolution."""
        return eight_bit(self.levels).convert("RGB")

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
        inside = self.levels[max(top, 0) : max(box.high[0], 0), max(left, 0) : max(box.high[1], 0)]
        if inside.size:
            canvas.paste(eight_bit(inside).convert("RGB"), (max(-left, 0), max(-top, 0)))
        return canvas


PhotoLike: TypeAlias = str | Path | Image.Image | NDArray[np.generic] | Tensor | Photo


def load_photo(photo: PhotoLike) -> Photo:
    """The photo from any source, grey or RGB, with levels of 8 bits, of 16 bits, or floats from 0 to 1.

    Rotation noted by the camera (EXIF) is applied; transparent pixels show white behind them;
    palettes, CMYK and other modes become grey or RGB. TIFF and PNG keep their depth: integers of other
    than 8 and 16 bits are divided by the largest of their bits, and in a TIFF that says so zero is white.
    An animated file gives its first frame; a PIL image gives the frame it stands at.

    A PIL image of a TIFF or PNG that is not loaded yet is read from its file. Of a loaded one the pixels are
    taken as they are, and Pillow keeps only 8 bits of 16-bit colour, and of 16-bit grey with opacity.

    Args:
        photo: a path; "sample:chelsea", "sample:astronaut", "sample:coffee" or "sample:rocket"
            (photos that come with scikit-image); a PIL image; an array (h, w) or (h, w, 1|3|4);
            a tensor (h, w) or (1|3|4, h, w). Arrays and tensors hold uint8, uint16, or floats
            from 0 to 1. A `Photo` comes back as it is.

    Raises:
        PhotoError: not found, not a regular file, not an image, empty, cut off, of more than 1 GB (or
            what the environment variable DECONVNET_LARGEST_PHOTO allows), larger than Pillow's limit
            against decompression bombs, of a wrong shape, of pixels whose range the file does not
            say, or with NaN or infinity in it.
        ArgumentError: not a kind of thing that can be a photo, pixels of another type, or floats
            outside 0 to 1.

    Example:
        >>> load_photo("sample:chelsea").size
        (300, 451)
    """
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, Image.Image):
        return Photo(decode_picture(photo, "the PIL image"))
    if isinstance(photo, Tensor):
        return _from_tensor(photo)
    if isinstance(photo, np.ndarray):
        return Photo(levels_of(photo, f"the array of shape {photo.shape}"))
    if isinstance(photo, str) and photo.startswith("sample:"):
        return _sample(photo.removeprefix("sample:"))
    if isinstance(photo, str | Path):
        return _from_file(Path(photo))
    raise ArgumentError(
        f"a photo cannot be made from {type(photo).__name__}. Pass a path, 'sample:chelsea', "
        "a PIL image, an array (h, w, c) or a tensor (c, h, w)."
    )


def _sample(name: str) -> Photo:
    if name not in SAMPLES:
        raise PhotoError(f"{name!r} is not a sample photo. The samples are {', '.join(SAMPLES)}.")
    return Photo(levels_of(getattr(skimage.data, name)(), f"the sample {name!r}"), name)


def decode_photo(data: bytes, name: str) -> Photo:
    """The photo of that name whose file holds `data`, as `load_photo` reads files.

    Raises:
        PhotoError: as `load_photo`.
    """
    return Photo(decode(data, repr(name)), name)


def _from_file(path: Path) -> Photo:
    what = repr(str(path))
    try:
        data = files.read(str(path.absolute()))
    except PhotoError as fault:
        hint = " Check the path." if isinstance(fault.__cause__, FileNotFoundError) else ""
        raise PhotoError(f"cannot read {what}: {fault}{hint}") from fault
    return Photo(decode(data, what), escaped(path.stem))


def _from_tensor(tensor: Tensor) -> Photo:
    what = f"the tensor of shape {tuple(tensor.shape)}"
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        raise ArgumentError(f"{what} is not a photo: its values are stored as {tensor.layout} on {tensor.device}.")
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type
        tensor = tensor.float()
    array = tensor.detach().cpu().numpy()
    return Photo(levels_of(np.moveaxis(array, 0, 2) if array.ndim == 3 else array, what))


def eight_bit(levels: Levels) -> Image.Image:
    """An 8-bit image, mode L or RGB, from (h, w, 1|3)."""
    values = levels if levels.dtype == np.uint8 else np.rint(unit(levels) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(values[..., 0] if values.shape[2] == 1 else values))


def check_box(box: Box) -> None:
    """Raise unless a box has (row, column) corners and is not empty.

    Raises:
        ArgumentError: it has other corners, or is empty.
    """
    corners = [as_list(corner) or () for corner in (box.low, box.high)] if isinstance(box, Box) else [()]
    if any(len(corner) != 2 or None in map(as_index, corner) for corner in corners) or min(box.size) < 1:
        raise ArgumentError(f"a box in a photo has (row, column) corners with low below high; got {short(box)}.")


def planes(levels: Levels, channels: int) -> Iterator[NDArray[np.float32]]:
    """Each channel of a photo as (h, w) floats from 0 to 1; one at a time, so that a large photo takes little memory.

    A colour photo becomes grey by `luma`, a grey one three equal channels.
    """
    if channels < levels.shape[2]:
        yield in_bands(levels.shape[:2], lambda rows: luma(unit(levels[rows])))[..., 0]
        return
    for channel in range(channels):
        yield unit(levels[..., channel % levels.shape[2]])
