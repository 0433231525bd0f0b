"""Arrays, `.npy` files and NIfTI → levels."""

import io
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet._errors import PhotoError
from deconvnet.photos.files import check_size, largest
from deconvnet.photos.levels import Levels, frozen, in_bands, over_white
from deconvnet.photos.values import Scale

_NPY, _GZIP = b"\x93NUMPY", b"\x1f\x8b"
_NIFTI_1, _NIFTI_2 = slice(344, 348), slice(4, 8)  # where the files say what they are
_HEADER = 540  # bytes of the longer one
_AXES = {2: "h, w", 3: "d, h, w"}
_KIND, _PART = {2: "photo", 3: "volume"}, {2: "picture", 3: "volume"}  # what the user gives, and what a file holds


def levels_of(array: NDArray[Any], scale: Scale) -> Levels:
    """The levels of an array (h, w) or (h, w, c), of a volume (d, h, w) or (d, h, w, c); a copy.

    The channels are 1, 3, 4 with opacity as the fourth, or as many as the user says, without opacity, as in volumes.

    Raises:
        PhotoError: a wrong shape, without pixels, or as `Scale.levels`.
        ArgumentError: not real numbers.
    """
    axes = scale.reading.axes
    if array.ndim not in (axes, axes + 1) or (array.ndim > axes and array.shape[axes] not in _channels(scale)):
        counts, size = "|".join(map(str, sorted(_channels(scale)))), _AXES[axes]
        raise PhotoError(
            f"{scale.what} is not a {_KIND[axes]}: an array is ({size}) or ({size}, {counts}), a tensor ({size}) or "
            f"({counts}, {size}). For a batch pass list(batch)."
        )
    if array.size == 0:
        raise PhotoError(f"{scale.what} is without pixels: {' x '.join(map(str, array.shape[:axes]))}.")
    pixels = array.reshape(*array.shape[:axes], -1)
    if scale.reading.value_range is None:  # checked as a whole, for a message that names all of its range
        pixels = scale.levels(pixels)
        return frozen(_seen(pixels, scale))
    lines = len(pixels), math.prod(pixels.shape[1:axes])
    return frozen(in_bands(lines, lambda rows: _seen(pixels[rows], scale, scaled=False)))


def check_not_one_picture(array: NDArray[Any], scale: Scale, *, channels_first: bool = False) -> None:
    """Raise if an array that is to be a volume without channels can as well be a picture with its channels.

    Args:
        array: as it was given.
        scale: of it.
        channels_first: where such a thing has its channels.

    Raises:
        PhotoError: it can.
    """
    ends = {array.shape[0], array.shape[-1]} & {1, 3} if array.ndim == 3 and scale.reading.volume else set()
    if not ends:
        return
    kind, whole = "in colour" if 3 in ends else "in grey", ", ".join(map(str, array.shape))
    clip, grey = ("(3, frames, h, w)", f"(1, {whole})") if channels_first else ("(frames, h, w, 3)", f"({whole}, 1)")
    raise PhotoError(
        f"{scale.what} may be one picture {kind} or a volume in grey, and the network takes volumes. Give a clip in "
        f"colour as {clip}, a volume in grey as {grey}."
    )


def _seen(values: NDArray[Any], scale: Scale, *, scaled: bool = True) -> Levels:
    """Some rows, over white where a fourth channel is opacity."""
    covered = values.shape[-1] == 4 and scale.reading.channels != 4
    if covered and not scaled and values.dtype.kind not in "u":
        raise PhotoError(
            f"{scale.what} has four channels of type {values.dtype}, and the fourth is not opacity in a value range. "
            "Leave it out, or say that the network takes four channels."
        )
    colour = values[..., :3] if covered else values
    levels = colour if scaled else scale.levels(colour)
    return over_white(levels, values[..., 3:]) if covered else levels


def _channels(scale: Scale) -> set[int]:
    usual = {1, 3} if scale.reading.volume else {1, 3, 4}
    return usual | ({scale.reading.channels} if scale.reading.channels else set())


# ---- .npy


def is_npy(data: bytes) -> bool:
    """Whether a file begins as a `.npy` does."""
    return data.startswith(_NPY)


def npy_levels(data: bytes, scale: Scale) -> Levels:
    """The levels of the array in a `.npy` file, (h, w), (h, w, c) or (c, h, w), or of one of a stack of such.

    Of a volume it is (d, h, w), (d, h, w, c) or (c, d, h, w).

    Raises:
        PhotoError: more bytes than the limit, a shape that can be read in two ways or in none, or as `levels_of`.
        ArgumentError: not real numbers.
        Exception: whatever NumPy meets in a damaged file.
    """
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    header: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.hasobject:
        raise PhotoError(f"{scale.what} holds Python objects, not numbers, and is not read.")
    check_size(math.prod(shape) * dtype.itemsize, f"{scale.what} has")
    if math.prod(shape) * dtype.itemsize > len(data):
        raise EOFError(f"it ends before the {math.prod(shape)} numbers that it says it holds")
    file.seek(0)
    array = _page_of(np.load(file, allow_pickle=False), scale)
    check_not_one_picture(array, scale)
    return levels_of(_channels_last(array, scale), scale)


def _page_of(array: NDArray[Any], scale: Scale) -> NDArray[Any]:
    page = scale.reading.page
    if page is None:
        return array
    if array.ndim <= scale.reading.axes or page >= len(array):
        raise PhotoError(
            f"{scale.what}: it does not hold a {_PART[scale.reading.axes]} {page}: the array is of the shape "
            f"{array.shape}."
        )
    return np.asarray(array[page])


def _channels_last(array: NDArray[Any], scale: Scale) -> NDArray[Any]:
    """The array with its channels last, of which it has to be clear where they are."""
    last = scale.reading.axes
    if array.ndim == last:
        return array
    counts = _channels(scale)
    axes = [axis for axis in (0, last) if array.ndim == last + 1 and array.shape[axis] in counts]
    if len(axes) > 1 and scale.reading.volume and array.shape[last] == 1:  # nothing is one voxel wide
        return array
    if len(axes) == 1:
        return np.moveaxis(array, axes[0], last)
    if axes and (asked := scale.reading.channels) is not None:  # as many as the network takes, and not at both ends
        exact = [axis for axis in axes if array.shape[axis] == asked]
        if len(exact) == 1:
            return np.moveaxis(array, exact[0], last)
    if axes:
        raise PhotoError(
            f"{scale.what} is of the shape {array.shape}, and its channels may be the first axis or the last. Save it "
            f"as ({_AXES[last]}, c) with more rows, or pass the array itself, whose channels are the last."
        )
    raise PhotoError(
        f"{scale.what} is of the shape {array.shape}, which is not one {_PART[last]}.{_pages(array, scale)}"
    )


def _pages(array: NDArray[Any], scale: Scale) -> str:
    """How a picture of a stack is named."""
    axes = scale.reading.axes
    if scale.reading.volume and array.ndim == axes + 1 and array.shape[1] in _channels(scale):
        size = ", ".join(map(str, (array.shape[0], *array.shape[2:], array.shape[1])))
        return f" If its second axis is the channels, move them to the end: ({size})."
    if scale.reading.page is not None or array.ndim not in (axes + 1, axes + 2):
        counts, size = ", ".join(map(str, sorted(_channels(scale)))), _AXES[axes]
        return f" A {_PART[axes]} is ({size}), ({size}, c) or (c, {size}) with c of {counts}."
    return which_page(len(array), scale)


def which_page(count: int, scale: Scale) -> str:
    """What to do about a file that holds several pictures."""
    file = scale.what.strip("'") if scale.what.startswith("'") else "FILE"
    kinds = f"{_PART[scale.reading.axes]}s"
    return (
        f" Name one of its {count} {kinds}, counted from 0: '{file}#0' to '{file}#{count - 1}'; as a set of photos, "
        f"'{file}#{{0..{count - 1}}}' is all of them."
    )


# ---- NIfTI


def is_nifti(data: bytes) -> bool:
    """Whether a file is NIfTI, as it is or compressed by gzip."""
    head = data[:_HEADER]
    if data.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(data, _HEADER)
        except zlib.error:
            return False
    return head[_NIFTI_1] == b"n+1\0" or head[_NIFTI_2] == b"n+2\0"


def nifti_levels(data: bytes, scale: Scale) -> Levels:
    """The levels of a NIfTI volume, or of one of its axial slices.

    Slices come from below, and each is seen from below, as radiologists see it: the patient's right is at the left, the
    front at the top.

    Raises:
        PhotoError: nibabel is not installed, more bytes than the limit, several slices of which none is named where one
            is needed, a slice where a volume is needed, or not real numbers of such a shape; or as `Scale.levels`.
        Exception: whatever nibabel meets in a damaged file.
    """
    values = _nifti_values(data, scale)[::-1, ::-1].swapaxes(0, 2)  # (z, y, x, ...)
    slices, page = len(values), scale.reading.page
    if scale.reading.volume:
        if page is not None or slices == 1:
            which = "holds one slice" if page is None else f"names the slice {page}"
            raise PhotoError(f"{scale.what} {which}, and the network takes volumes. Give a volume as a whole.")
        return levels_of(np.ascontiguousarray(values), scale)
    if page is None and slices > 1:
        raise PhotoError(f"{scale.what} is a volume of {slices} slices.{which_page(slices, scale)}")
    if (page or 0) >= slices:
        raise PhotoError(f"{scale.what} has the slices 0 to {slices - 1}, from below, and no slice {page}.")
    return levels_of(np.ascontiguousarray(values[page or 0]), scale)


def _nifti_values(data: bytes, scale: Scale) -> NDArray[Any]:
    """The numbers, (x, y, z) or (x, y, z, c): x to the patient's right, y to the front, z up."""
    try:
        import nibabel
    except ImportError as fault:
        raise PhotoError(f"{scale.what} is NIfTI, which needs nibabel. Install 'deconvnet[nifti]'.") from fault
    if data.startswith(_GZIP):
        data = zlib.decompressobj(wbits=31).decompress(data, largest() + 1)
        check_size(len(data), f"{scale.what}, decompressed, has at least")
    kind: Any = nibabel.Nifti1Image if data[_NIFTI_1] == b"n+1\0" else nibabel.Nifti2Image
    image = kind.from_bytes(data)
    shape = tuple(image.shape)
    check_size(math.prod(shape) * 8, f"{scale.what}, in floats, has")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 2:  # one slice
        shape = (*shape, 1)
    has_channels = len(shape) == 4 and shape[3] == scale.reading.channels
    if not (len(shape) == 3 or has_channels) or image.get_data_dtype().kind not in "iuf":
        raise PhotoError(
            f"{scale.what} holds {image.get_data_dtype()} of the shape {shape}, not a volume of real numbers. Take one "
            "out with nibabel and save it as .npy."
        )
    turns: Any = nibabel.orientations
    values = np.asanyarray(image.dataobj).reshape(shape)
    return np.asarray(turns.apply_orientation(values, turns.io_orientation(image.affine)))
