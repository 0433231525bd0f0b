"""Photos as deconvolutional networks learn from them: small, local contrast normalised, in batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.learn.contrast import Form, LocalContrastNorm
from deconvnet.photos.photo import Photo, with_channels


class Photos(Protocol):
    """A set of photos, as `open_photos` opens it."""

    @property
    def fingerprint(self) -> str:
        """Tells this set from others."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """Of a photo."""

    def read(self, i: int) -> Photo:
        """A photo; raises PhotoError if it cannot be read."""


@dataclass(frozen=True)
class Prepare:
    """How a photo becomes an input (Zeiler et al. 2011, section 3).

    Attributes:
        size: pixels of the longer side; the photo is resized to it, normalised, and surrounded with zeros to a square.
        channels: 1 for grey, 3 for colour.
        form: of contrast normalisation.
    """

    size: int = 150
    channels: int = 1
    form: Form = "2011"

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 16:
            raise ArgumentError(f"size is a number of pixels, at least 16; got {self.size!r}.")
        if self.channels not in (1, 3):
            raise ArgumentError(f"channels is 1 or 3; got {self.channels!r}.")
        LocalContrastNorm(self.form)

    def image(self, photo: Photo) -> Float[Tensor, "1 c side side"]:
        """The input that a photo becomes.

        Raises:
            PhotoError: it is so long and thin that nothing of it is left to normalise.
        """
        pixels = torch.tensor(with_channels(photo.pixels, self.channels)).permute(2, 0, 1)[None]
        height, width = photo.size
        factor = self.size / max(height, width)
        h, w = max(1, round(height * factor)), max(1, round(width * factor))
        if (h, w) != (height, width):
            pixels = F.interpolate(pixels, (h, w), mode="bilinear", antialias=True, align_corners=False)
        try:
            found = LocalContrastNorm(self.form)(pixels.clamp(0, 1))
        except ArgumentError as fault:
            raise PhotoError(f"{photo.name} is {height} x {width} pixels, {h} x {w} when resized: {fault}") from fault
        top, left = (self.size - h) // 2, (self.size - w) // 2
        return F.pad(found, (left, self.size - w - left, top, self.size - h - top))


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of photos in an order of its own for every epoch: a loader for `fit`.

    Attributes:
        photos: the set.
        prepare: how they become inputs.
        batch: photos in each.
        count: of the photos that are learned from, evenly taken from the set: sets often lie class by class.
        seed: of the orders.
        skipped: filled with the number of each photo that could not be read, and why.
    """

    photos: Photos
    prepare: Prepare
    batch: int
    count: int
    seed: int
    skipped: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return math.ceil(self.count / self.batch)

    def __call__(self, epoch: int) -> Iterator[Float[Tensor, "n c side side"]]:
        """The batches of an epoch. One of which no photo can be read is empty of them, and is left out.

        Raises:
            PhotoError: none of the photos can be read.
        """
        random = torch.Generator().manual_seed(self.seed + epoch)
        order = [i * len(self.photos) // self.count for i in torch.randperm(self.count, generator=random).tolist()]
        for first in range(0, self.count, self.batch):
            images = [image for i in order[first : first + self.batch] if (image := self._read(i)) is not None]
            if images:
                yield torch.cat(images)
        if len(self.skipped) == self.count:
            raise PhotoError(f"none of {self.count} photos can be read; the first: {next(iter(self.skipped.values()))}")

    def _read(self, i: int) -> Tensor | None:
        if i in self.skipped:
            return None
        try:
            return self.prepare.image(self.photos.read(i))
        except PhotoError as fault:
            self.skipped[i] = str(fault)
            return None
