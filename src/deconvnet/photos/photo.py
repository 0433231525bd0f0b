"""A photo in memory, read from a file, a sample, a PIL image, an array or a tensor."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deconvnet._checks import as_index, as_list, escaped, index_of, short
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._types import Box
from deconvnet.photos import files
from deconvnet.photos.arrays import check_not_one_picture, levels_of
from deconvnet.photos.decode import decode, decode_picture, not_a_volume
from deconvnet.photos.levels import Levels, in_bands, luma, unit
from deconvnet.photos.values import AS_IT_IS, Extent, Extents, Range, Reading, Scale

SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")

_MID_GREY = (128, 128, 128)


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo in memory, upright and without transparency; or a volume, for networks that take such.

    Attributes:
        levels: (h, w, c), of a volume (d, h, w, c), with c 1 (grey), 3 (red, green, blue) or what a network takes,
            read-only: uint8 from 0 to 255, uint16 from 0 to 65535, or float32 from 0 to 1. Photos of 8 bits are resized
            as 8-bit images, bit for bit as a pipeline on PIL images does, and others as floats.
        name: the file's stem, the sample's name, or "photo".
        digest: tells what the photo was decoded from, in 64 bits; 0 of a photo that does not come from a set.
        value_range: the values that are black and white, as the user gave them; None for what file or type say.
        extent: the largest value, and the one taken for white, if nothing says which is; otherwise None.
    """

    levels: Levels
    name: str = "photo"
    digest: int = field(default=0, kw_only=True)
    value_range: Range | None = field(default=None, kw_only=True)
    extent: Extent | None = field(default=None, kw_only=True)

    @property
    def pixels(self) -> NDArray[np.float32]:
        """The levels from 0 to 1, (h, w, c) or (d, h, w, c), read-only."""
        pixels = unit(self.levels)
        pixels.setflags(write=False)
        return pixels

    @property
    def deep(self) -> bool:
        """Whether the levels are of more than 8 bits."""
        return self.levels.dtype != np.uint8

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width in pixels; of a volume depth, height and width in voxels."""
        return self.levels.shape[:-1]

    @property
    def is_volume(self) -> bool:
        """Whether it has three axes."""
        return self.levels.ndim == 4

    def channel(self, index: int) -> "Photo":
        """One of its channels, as a photo in grey.

        Raises:
            ArgumentError: no such channel.
        """
        first = index_of(index, self.levels.shape[-1], "channels")
        return replace(self, levels=self.levels[..., first : first + 1])

    def image(self) -> Image.Image:
        """The photo for showing: 8-bit RGB at full resolution; of other than 1 and 3 channels their mean, grey.

        Raises:
            ArgumentError: it is a volume.
        """
        self._check_picture()
        return eight_bit(self.levels).convert("RGB")

    def cut(self, box: Box) -> Image.Image:
        """The pixels in `box`, 8-bit RGB at full resolution; mid-grey outside the photo.

        Args:
            box: low and high (row, column) in this photo's pixels; may reach past the border.

        Raises:
            ArgumentError: the box is not two-dimensional, or is empty; or the photo is a volume.

        Example:
            >>> load_photo("sample:chelsea").cut(Box((-10, 0), (90, 50))).size
            (50, 100)
        """
        self._check_picture()
        check_box(box)
        (top, left), (height, width) = box.low, box.size
        canvas = Image.new("RGB", (width, height), _MID_GREY)
        inside = self.levels[max(top, 0) : max(box.high[0], 0), max(left, 0) : max(box.high[1], 0)]
        if inside.size:
            canvas.paste(eight_bit(inside).convert("RGB"), (max(-left, 0), max(-top, 0)))
        return canvas

    def _check_picture(self) -> None:
        if self.is_volume:
            size = " x ".join(map(str, self.size))
            raise ArgumentError(f"{self.name!r} is a volume of {size} voxels, not one picture: take its .pixels.")


PhotoLike: TypeAlias = str | Path | Image.Image | NDArray[np.generic] | Tensor | Photo


def load_photo(
    photo: PhotoLike, *, value_range: Range | None = None, channels: int | None = None, volume: bool = False
) -> Photo:
    """The photo from any source, grey or RGB, with levels of 8 bits, of 16 bits, or floats from 0 to 1.

    Rotation noted by the camera (EXIF) is applied; transparent pixels show white behind them;
    palettes, CMYK and other modes become grey or RGB. TIFF and PNG keep their depth, and in a TIFF that says so zero
    is white. An animated file gives its first frame; a PIL image gives the frame it stands at.

    Which values are black and white: `value_range`; without it what the file says (the bits of a TIFF's samples, a
    depth in MaxSampleValue or OME's SignificantBits, PNG's sBIT); without that 0 and the largest value of an unsigned
    type, 0 and 1 of floats. Signed integers, and floats outside 0 to 1, need a range.

    A PIL image of a TIFF or PNG that is not loaded yet is read from its file. Of a loaded one the pixels are
    taken as they are, and Pillow keeps only 8 bits of 16-bit colour, and of 16-bit grey with opacity.

    Args:
        photo: a path; "sample:chelsea", "sample:astronaut", "sample:coffee" or "sample:rocket"
            (photos that come with scikit-image); a PIL image; an array (h, w) or (h, w, 1|3|4);
            a tensor (h, w) or (1|3|4, h, w). A `Photo` comes back as it is. Of a file that holds several pictures
            (TIFF, `.npy`, NIfTI) one is named by its index: "stack.tif#3". A `.npy` holds an array (h, w), (h, w, c)
            or, if that is clear, (c, h, w); a NIfTI volume gives axial slices, the lowest first, seen from below.
        value_range: (low, high), the values that are black and white, as numbers in the file or array; what lies
            beyond is cut off.
        channels: how many an array, a `.npy` or a TIFF may hold besides 1 and 3, none of them opacity; without it
            the fourth channel is opacity.
        volume: read a volume as a whole, for a network of three spatial axes: an array (d, h, w) or (d, h, w, c), a
            tensor (d, h, w) or (c, d, h, w), a `.npy` of either, or NIfTI, whose slices are stacked from below.
            What has three axes, the first or the last of them 1 or 3 long, may be a picture, and is refused.

    Warns:
        ValueRangeWarning: the values of a photo of more than 8 bits fill a quarter of their type at most, such as 12
            bits in 16, and nothing says which of them is white.

    Raises:
        PhotoError: not found, not a regular file, not an image, empty, cut off, of more than 1 GB (or
            what the environment variable DECONVNET_LARGEST_PHOTO allows), larger than Pillow's limit
            against decompression bombs, of a wrong shape, several pictures of which none is named, a range that its
            values cannot have, or with NaN or infinity in it.
        ValueRangeError: a `PhotoError`: nothing says which of its values are black and white.
        ArgumentError: not a kind of thing that can be a photo, pixels that are not real numbers, or a wrong option.

    Example:
        >>> load_photo("sample:chelsea").size
        (300, 451)
        >>> ct = np.array([[-1000, -650], [-300, 400]], np.int16)
        >>> load_photo(ct, value_range=(-1000, 400)).pixels[..., 0].tolist()
        [[0.0, 0.25], [0.5, 1.0]]
    """
    result = read_photo(photo, Reading(value_range, channels, volume=volume))
    warn_of_dark([result])
    return result


def warn_of_dark(photos: Iterable[Photo]) -> None:
    """Warn if the values of all these photos are small for their types, and nothing says which of them is white."""
    extents = Extents()
    extents.add(photo.extent for photo in photos)
    extents.warn(stacklevel=4)


def read_photo(photo: PhotoLike, reading: Reading) -> Photo:
    """The photo, as `load_photo` reads it, without a warning.

    Raises:
        PhotoError, ArgumentError: as `load_photo`; also a `Photo` that was read with another value range.
    """
    if isinstance(photo, Photo):
        return as_read(photo, reading)
    if isinstance(photo, Image.Image):
        scale = Scale("the PIL image", reading)
        if reading.volume:
            raise not_a_volume(scale.what)
        return _photo(decode_picture(photo, scale), scale)
    if isinstance(photo, Tensor):
        return _from_tensor(photo, reading)
    if isinstance(photo, np.ndarray):
        scale = Scale(f"the array of shape {photo.shape}", reading)
        check_not_one_picture(photo, scale)
        return _photo(levels_of(photo, scale), scale)
    if isinstance(photo, str) and photo.startswith("sample:"):
        return _sample(photo.removeprefix("sample:"), reading)
    if isinstance(photo, str | Path):
        return _from_file(Path(photo), reading)
    raise ArgumentError(
        f"a photo cannot be made from {type(photo).__name__}. Pass a path, 'sample:chelsea', "
        "a PIL image, an array (h, w, c) or a tensor (c, h, w)."
    )


def _photo(levels: Levels, scale: Scale, name: str = "photo") -> Photo:
    return Photo(levels, name, value_range=scale.reading.value_range, extent=scale.extent)


def as_read(photo: Photo, reading: Reading) -> Photo:
    """A photo that was read before, if it suits.

    Raises:
        ArgumentError: it was read with another value range, or as a picture and not a volume.
    """
    if reading.value_range not in (None, photo.value_range):
        raise ArgumentError(
            f"the photo {photo.name!r} was read with value_range={photo.value_range}, and the network takes "
            f"value_range={reading.value_range}. Read it again: load_photo(..., value_range={reading.value_range}) "
            "(--range)."
        )
    if photo.is_volume != reading.volume:
        kinds = ("picture", "volume")
        raise ArgumentError(
            f"the photo {photo.name!r} was read as a {kinds[photo.is_volume]}, and the network takes "
            f"{kinds[reading.volume]}s. Read it again: load_photo(..., volume={reading.volume})."
        )
    return photo


def _sample(name: str, reading: Reading) -> Photo:
    if name not in SAMPLES:
        raise PhotoError(f"{name!r} is not a sample photo. The samples are {', '.join(SAMPLES)}.")
    scale = Scale(f"the sample {name!r}", reading)
    if reading.volume:
        raise not_a_volume(scale.what)
    return _photo(levels_of(getattr(skimage.data, name)(), scale), scale, name)


def decode_photo(data: bytes, name: str, reading: Reading = AS_IT_IS) -> Photo:
    """The photo of that name whose file holds `data`, as `load_photo` reads files.

    Raises:
        PhotoError: as `load_photo`.
    """
    scale = Scale(repr(name), reading)
    return _photo(decode(data, scale), scale, name)


def _from_file(path: Path, reading: Reading) -> Photo:
    what = repr(str(path))
    location, page = files.split_page(str(path.absolute()))
    try:
        data = files.read(location)
    except PhotoError as fault:
        hint = " Check the path." if isinstance(fault.__cause__, FileNotFoundError) else ""
        raise PhotoError(f"cannot read {what}: {fault}{hint}") from fault
    scale = Scale(what, replace(reading, page=page))
    name = Path(location).stem + ("" if page is None else f"#{page}")
    return _photo(decode(data, scale), scale, escaped(name))


def _from_tensor(tensor: Tensor, reading: Reading) -> Photo:
    scale = Scale(_words(tensor), reading)
    array = array_of(tensor)
    check_not_one_picture(array, scale, channels_first=True)
    return _photo(levels_of(np.moveaxis(array, 0, -1) if array.ndim > reading.axes else array, scale), scale)


def array_of(tensor: Tensor) -> NDArray[Any]:
    """The numbers of a tensor.

    Raises:
        ArgumentError: they are not stored as a plain array.
    """
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        raise ArgumentError(
            f"{_words(tensor)} is not a photo: its values are stored as {tensor.layout} on {tensor.device}."
        )
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()
    return array  # NumPy has no bfloat16


def _words(tensor: Tensor) -> str:
    return f"the tensor of shape {tuple(tensor.shape)}"


def eight_bit(levels: Levels) -> Image.Image:
    """An 8-bit image, mode L or RGB, from (h, w, 1|3); of other channels their mean, grey."""
    if levels.shape[2] not in (1, 3):
        levels = in_bands(levels.shape[:2], lambda rows: unit(levels[rows]).mean(2, keepdims=True))
    values = levels if levels.dtype == np.uint8 else np.rint(unit(levels) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(values[..., 0] if values.shape[2] == 1 else values))


def check_box(box: Box, axes: int = 2) -> None:
    """Raise unless a box has (row, column) corners, or (depth, row, column), and is not empty.

    Args:
        box: to be checked.
        axes: 2 or 3.

    Raises:
        ArgumentError: it has other corners, or is empty.
    """
    corners = [as_list(corner) or () for corner in (box.low, box.high)] if isinstance(box, Box) else [()]
    if any(len(corner) != axes or None in map(as_index, corner) for corner in corners) or min(box.size) < 1:
        photo, corners_are = ("photo", "(row, column)") if axes == 2 else ("volume", "(depth, row, column)")
        raise ArgumentError(f"a box in a {photo} has {corners_are} corners with low below high; got {short(box)}.")


def planes(levels: Levels, channels: int) -> Iterator[NDArray[np.float32]]:
    """Each channel of a photo as (h, w) floats from 0 to 1; one at a time, so that a large photo takes little memory.

    A colour photo becomes grey by `luma`, a grey one three equal channels.

    Raises:
        PhotoError: any other numbers of channels that differ.
    """
    count = levels.shape[2]
    if (count, channels) == (3, 1):
        yield in_bands(levels.shape[:2], lambda rows: luma(unit(levels[rows])))[..., 0]
        return
    if count != channels and (count, channels) != (1, 3):
        raise PhotoError(f"it has {count} channel{'s' * (count != 1)}, and the network takes {channels}.")
    for channel in range(channels):
        yield unit(levels[..., channel % count])
