"""Photos as deconvolutional networks learn from them: small, local contrast normalised, in batches."""

import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from deconvnet._checks import as_index, instance, short, whole_number
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.learn.contrast import Form, LocalContrastNorm
from deconvnet.photos.batches import batches
from deconvnet.photos.digests import Digests
from deconvnet.photos.photo import Photo, planes
from deconvnet.photos.pick import Pick
from deconvnet.photos.preprocess import check_levels
from deconvnet.photos.sets import PhotoSet
from deconvnet.photos.values import Extents, Range, Reading

_MOST_PIXELS = 8192  # of a side of an input


@dataclass(frozen=True)
class Prepare:
    """How a photo becomes an input (Zeiler et al. 2011, section 3).

    Attributes:
        size: pixels of the longer side; the photo is resized to it, normalised, and surrounded with zeros to a square.
        channels: 1 for grey, 3 for colour.
        form: of contrast normalisation.
        value_range: the values that are black and white in the photos, as in `load_photo`; None for what each file, or
            else the type of its values, says.
    """

    size: int = 150
    channels: int = 1
    form: Form = "2011"
    value_range: Range | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole_number("size", self.size, least=16, most=_MOST_PIXELS))
        object.__setattr__(self, "channels", as_index(self.channels))
        if self.channels not in (1, 3):
            raise ArgumentError(f"channels is 1 or 3; got {short(self.channels)}.")
        LocalContrastNorm(self.form)
        object.__setattr__(self, "value_range", self.reading.value_range)

    @property
    def reading(self) -> Reading:
        """How photos are read for learning."""
        return Reading(self.value_range)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an input."""
        return self.channels, self.size, self.size

    def image(self, photo: Photo) -> Float[Tensor, "1 c side side"]:
        """The input that a photo becomes.

        Raises:
            ArgumentError: not a `Photo`, as `load_photo` gives.
            PhotoError: it is so long and thin that nothing of it is left to normalise.
        """
        instance("photo", photo, Photo)
        height, width = photo.size
        factor = self.size / max(height, width)
        h, w = max(1, round(height * factor)), max(1, round(width * factor))
        try:
            pixels = torch.cat([_resized(plane, (h, w)) for plane in planes(photo.levels, self.channels)], 1)
            normalised = LocalContrastNorm(self.form)(pixels.clamp(0, 1))
        except ArgumentError as fault:
            raise PhotoError(f"{photo.name} is {height} x {width} pixels, {h} x {w} when resized: {fault}") from fault
        top, left = (self.size - h) // 2, (self.size - w) // 2
        return F.pad(normalised, (left, self.size - w - left, top, self.size - h - top))

    def levels(self, photo: Photo) -> Float32[np.ndarray, "c side side"]:
        """What a photo becomes in a worker: all of the input; see `image`."""
        return np.asarray(self.image(photo)[0])

    def inputs(self, levels: Shaped[Tensor, "n c side side"]) -> Float[Tensor, "n c side side"]:
        """The inputs: `levels` has left nothing to do, but slots of which no photo could be read come as bytes.

        Raises:
            ArgumentError: not a tensor of this kind.
        """
        check_levels(levels, (self.channels, self.size, self.size))
        return levels.float()


def _resized(plane: NDArray[np.float32], size: tuple[int, int]) -> Float[Tensor, "1 1 h w"]:
    pixels = torch.from_numpy(plane)[None, None]
    if plane.shape == size:
        return pixels
    return F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of photos, shuffled anew for every epoch: a loader for `fit`.

    Attributes:
        photos: the set.
        prepare: how they become inputs.
        batch: photos in each.
        pick: which photos to learn from.
        seed: of the orders.
        workers: processes that decode and prepare photos; 0 does it here. The batches are the same.
        skipped: filled with the index of each photo that could not be read, and why.
        digests: filled with the digest of each photo that was read, which it has in all later epochs as well.
        extents: filled, so that what there is to say of the range of values is said once.
    """

    photos: PhotoSet
    prepare: Prepare
    batch: int
    pick: Pick
    seed: int
    workers: int = 0
    skipped: dict[int, str] = field(default_factory=dict)
    digests: Digests = field(default_factory=Digests)
    extents: Extents = field(default_factory=Extents)

    @property
    def count(self) -> int:
        """How many photos to learn from."""
        return self.pick.size(len(self.photos))

    def __len__(self) -> int:
        return math.ceil(self.count / self.batch)

    def __call__(self, epoch: int) -> Iterator[Float[Tensor, "n c side side"]]:
        """The batches of an epoch, without photos that cannot be read; empty batches are left out.

        Raises:
            PhotoError: none of the photos can be read, or one has changed since it was read first.
            DeconvNetError: a worker was killed.
        """
        photos = _without(self.photos, self.skipped)
        options: dict[str, Any] = {"workers": self.workers, "extents": self.extents}
        with closing(batches(photos, self._order(epoch), self.prepare, self.batch, **options)) as stream:
            for batch in stream:
                for index, reason in batch.skipped:
                    self.skipped.setdefault(index, reason)
                self.digests.add_same(self.photos, batch.indices.tolist(), batch.digests)
                if len(batch.slots):
                    yield batch.images[batch.slots]
        if len(self.skipped) == self.count:
            raise PhotoError(f"none of {self.count} photos can be read; the first: {next(iter(self.skipped.values()))}")

    def _order(self, epoch: int) -> NDArray[np.int64]:
        random = torch.Generator().manual_seed(self.seed + epoch)
        order = torch.randperm(self.count, generator=random, device="cpu").numpy()
        return np.asarray(self.pick.indices(len(self.photos))[order])


def _without(photos: PhotoSet, skipped: Mapping[int, str]) -> PhotoSet:
    """The set, which does not try again to read photos that failed before."""
    return replace(photos, fetch=partial(_fetch_unless_skipped, photos, dict(skipped)))


def _fetch_unless_skipped(photos: PhotoSet, skipped: Mapping[int, str], i: int) -> object:
    if i in skipped:
        raise PhotoError(skipped[i])
    return photos.fetch(i)
