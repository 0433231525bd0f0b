"""Photos of every format, whole and damaged.

A whole one is read as what was written, or refused where only some of its format is supported; a damaged one is read or
refused with an error of ours; and a photo from a path is the one from its bytes.
"""

from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from deconvnet import DeconvNetError, Preprocess, load_photo, open_photos
from deconvnet.photos.photo import Photo
from fuzz.mutate import mutated
from fuzz.photo_files import PhotoFile, written
from fuzz.table import Fault

_PREPROCESS = Preprocess((24, 24), None, (0.0,) * 3, (1.0,) * 3)


def attempt(random: Random, folder: Path) -> str:
    file = written(random)
    whole = random.random() < 0.3
    data = file.data if whole else mutated(random, file.data)
    path = folder / f"photo{file.suffix}"
    path.write_bytes(data)
    photo = _read(path)
    if whole:
        check(file, None if photo is None else photo.pixels)
    same(_levels(photo), _levels(_from_set(path)), f"{file.what}: a path and bytes")
    if random.random() < 0.2:
        _other_doors(random, path)
    if photo is None:
        return "refused"
    return "whole" if whole else "damaged, read"


def check(file: PhotoFile, pixels: np.ndarray | None) -> None:
    """Raise unless a whole file gave its pixels, or was refused with good reason."""
    if pixels is None:
        if file.common:
            raise Fault(f"{file.what} is refused")
        return
    if file.expected is None:
        return
    height, width = file.expected.shape[:2]
    if pixels.shape[:2] != (height, width):
        raise Fault(f"{file.what} has {pixels.shape[:2]} pixels, not {(height, width)}")
    off = float(np.abs(pixels - file.expected).max())  # one grey channel counts for three
    if off > file.tolerance:
        raise Fault(f"{file.what} is off by {off:.3f} of the range, {file.tolerance:.3f} may be")


def same(levels: np.ndarray | None, others: np.ndarray | None, what: str) -> None:
    """Raise if two ways of reading a file gave two results."""
    if (levels is None) != (others is None):
        raise Fault(f"{what}: one is refused, the other read")
    if levels is not None and not (levels.dtype == others.dtype and np.array_equal(levels, others)):
        raise Fault(f"{what} give different pixels")


def _levels(photo: Photo | None) -> np.ndarray | None:
    return None if photo is None else photo.levels


def _read(path: Path) -> Photo | None:
    try:
        return _checked(load_photo(path))
    except DeconvNetError:
        return None


def _from_set(path: Path) -> Photo | None:
    """The file among the photos of a set, which reads its bytes."""
    photos = open_photos([path])
    try:
        return _checked(photos.read(0))
    except DeconvNetError:
        return None


def _other_doors(random: Random, path: Path) -> None:
    """Two more ways into the package; only errors of ours leave them."""
    try:
        if random.random() < 0.5:
            _PREPROCESS.images([path])
        else:
            load_photo(_opened(path))
    except DeconvNetError:
        pass


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except Exception:  # Pillow's own business
        return Image.new("L", (1, 1))


def _checked(photo: Photo) -> Photo:
    pixels = photo.pixels
    fine = pixels.dtype == np.float32 and pixels.ndim == 3 and pixels.shape[2] in (1, 3)
    if not fine or not pixels.size or not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise Fault(f"not a photo: {pixels.dtype} {pixels.shape}")
    return photo
