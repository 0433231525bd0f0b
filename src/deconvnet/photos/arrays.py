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


def levels_of(array: NDArray[Any], scale: Scale) -> Levels:
    """The levels of an array (h, w) or (h, w, c); a copy.

    The channels are 1, 3, 4 with opacity as the fourth, or as many as the user says, without opacity.

    Raises:
        PhotoError: a wrong shape, without pixels, or as `Scale.levels`.
        ArgumentError: not real numbers.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _channels(scale)):
        counts = "|".join(map(str, sorted(_channels(scale))))
        raise PhotoError(
            f"{scale.what} is not a photo: an array is (h, w) or (h, w, {counts}), a tensor (h, w) or ({counts}, h, "
            "w). For a batch pass list(batch)."
        )
    if array.size == 0:
        raise PhotoError(f"{scale.what} is without pixels: {array.shape[0]} x {array.shape[1]}.")
    pixels = array.reshape(*array.shape[:2], -1)
    if scale.reading.value_range is None:  # checked as a whole, for a message that names all of its range
        pixels = scale.levels(pixels)
        return frozen(_seen(pixels, scale))
    return frozen(in_bands(pixels.shape[:2], lambda rows: _seen(pixels[rows], scale, scaled=False)))


def _seen(values: NDArray[Any], scale: Scale, *, scaled: bool = True) -> Levels:
    """Some rows, over white where a fourth channel is opacity."""
    covered = values.shape[2] == 4 and scale.reading.channels != 4
    if covered and not scaled and values.dtype.kind not in "u":
        raise PhotoError(
            f"{scale.what} has four channels of type {values.dtype}, and the fourth is not opacity in a value range. "
            "Leave it out, or say that the network takes four channels."
        )
    colour = values[..., :3] if covered else values
    levels = colour if scaled else scale.levels(colour)
    return over_white(levels, values[..., 3:]) if covered else levels


def _channels(scale: Scale) -> set[int]:
    return {1, 3, 4} | ({scale.reading.channels} if scale.reading.channels else set())


# ---- .npy


def is_npy(data: bytes) -> bool:
    """Whether a file begins as a `.npy` does."""
    return data.startswith(_NPY)


def npy_levels(data: bytes, scale: Scale) -> Levels:
    """The levels of the array in a `.npy` file, (h, w), (h, w, c) or (c, h, w), or of one of a stack of such.

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
    array = np.load(file, allow_pickle=False)
    return levels_of(_channels_last(_page_of(array, scale), scale), scale)


def _page_of(array: NDArray[Any], scale: Scale) -> NDArray[Any]:
    page = scale.reading.page
    if page is None:
        return array
    if array.ndim < 3 or page >= len(array):
        raise PhotoError(f"{scale.what}: it does not hold a picture {page}: the array is of the shape {array.shape}.")
    return np.asarray(array[page])


def _channels_last(array: NDArray[Any], scale: Scale) -> NDArray[Any]:
    """The array with its channels last, of which it has to be clear where they are."""
    if array.ndim == 2:
        return array
    counts = _channels(scale)
    axes = [axis for axis in (0, 2) if array.ndim == 3 and array.shape[axis] in counts]
    if len(axes) == 1:
        return np.moveaxis(array, axes[0], 2)
    if axes and (asked := scale.reading.channels) is not None:  # as many as the network takes, and not at both ends
        exact = [axis for axis in axes if array.shape[axis] == asked]
        if len(exact) == 1:
            return np.moveaxis(array, exact[0], 2)
    if axes:
        raise PhotoError(
            f"{scale.what} is of the shape {array.shape}, and its channels may be the first axis or the last. Save it "
            "as (h, w, c) with more rows, or pass the array itself, whose channels are the last."
        )
    raise PhotoError(f"{scale.what} is of the shape {array.shape}, which is not one picture.{_pages(array, scale)}")


def _pages(array: NDArray[Any], scale: Scale) -> str:
    """How a picture of a stack is named."""
    if scale.reading.page is not None or array.ndim not in (3, 4):
        counts = ", ".join(map(str, sorted(_channels(scale))))
        return f" A picture is (h, w), (h, w, c) or (c, h, w) with c of {counts}."
    return which_page(len(array), scale)


def which_page(count: int, scale: Scale) -> str:
    """What to do about a file that holds several pictures."""
    file = scale.what.strip("'") if scale.what.startswith("'") else "FILE"
    return (
        f" Name one of its {count} pictures, counted from 0: '{file}#0' to '{file}#{count - 1}'; as a set of photos, "
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
    """The levels of an axial slice of a NIfTI volume: seen from below, as radiologists see it, anterior at the top.

    Raises:
        PhotoError: nibabel is not installed, more bytes than the limit, several slices of which none is named, or not
            a volume of real numbers; or as `Scale.levels`.
        Exception: whatever nibabel meets in a damaged file.
    """
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
    if len(shape) != 3 or image.get_data_dtype().kind not in "iuf":
        raise PhotoError(
            f"{scale.what} holds {image.get_data_dtype()} of the shape {shape}, not a volume of real numbers. Take one "
            "out with nibabel and save it as .npy."
        )
    as_canonical: Any = nibabel.as_closest_canonical
    volume = as_canonical(image)
    values = np.asanyarray(volume.dataobj).reshape(volume.shape[:3])  # x to the right, y to the front, z up
    page = scale.reading.page
    if page is None and values.shape[2] > 1:
        raise PhotoError(f"{scale.what} is a volume of {values.shape[2]} slices.{which_page(values.shape[2], scale)}")
    if (page or 0) >= values.shape[2]:
        raise PhotoError(f"{scale.what} has the slices 0 to {values.shape[2] - 1}, from below, and no slice {page}.")
    return levels_of(np.ascontiguousarray(values[::-1, ::-1, page or 0].T), scale)
