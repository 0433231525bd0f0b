"""A photo as it stands beside signals: the same part of it, the same channel, the same plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from deconvnet._checks import as_list, instance, short
from deconvnet._errors import ArgumentError
from deconvnet._types import Box, Unit
from deconvnet.photos.photo import Photo, PhotoLike, eight_bit, read_photo
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures.planes import View, views
from deconvnet.pictures.render import Scale, crop, limit_of, render


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo or volume as a network sees it.

    Attributes:
        photo: anything `load_photo` takes.
        preprocess: what made the network's input of it.
    """

    photo: PhotoLike
    preprocess: Preprocess

    def __post_init__(self) -> None:
        instance("preprocess", self.preprocess, Preprocess)

    @cached_property
    def _photo(self) -> Photo:
        return read_photo(self.photo, self.preprocess.reading)

    @cached_property
    def _input(self) -> Float[Tensor, "c *size"]:
        """The network's input before mean and std, from 0 to 1."""
        return torch.from_numpy(self.preprocess.seen(self._photo)).movedim(-1, 0)

    @property
    def size(self) -> tuple[int, ...]:
        """Of the network's input."""
        return self.preprocess.size

    def whole(self, view: View) -> Image.Image:
        """What the network sees of it, 8-bit RGB of the input's size."""
        self._check(view)
        return _image(view.of(self._input))

    def patch(self, box: Box, view: View) -> Image.Image:
        """What lies in a box of the network's input, 8-bit RGB, mid-grey outside.

        A photo is cut at its own resolution, and a volume as the network sees it.

        Raises:
            ArgumentError: the box has another number of axes, or the photo lacks the channel.
        """
        self._check(view)
        if len(box.low) == len(self.size) == 3:
            return _image(view.of(crop(self._input - 0.5, box) + 0.5))
        photo = self._photo if view.channel is None else self._photo.channel(view.channel)
        return self.preprocess.patch(photo, box)

    def _check(self, view: View) -> None:
        if view.channel is not None and view.channel >= self.preprocess.channels:
            raise ArgumentError(
                f"the signal has more channels than the network's input, {self.preprocess.channels}: draw it without "
                "the photo."
            )


def _image(part: Float[Tensor, "c h w"]) -> Image.Image:
    return eight_bit(part.movedim(0, -1).numpy()).convert("RGB")


def photos_of(photos: Sequence[PhotoLike], units: Sequence[Unit]) -> list[Any]:
    """The photos that the images of these units were made of, checked to be a list that is long enough.

    Raises:
        ArgumentError: it is not.
    """
    listed, images = as_list(photos), 1 + max((unit.image for unit in units), default=-1)
    if listed is None or len(listed) < images:
        raise ArgumentError(f"photos is a list of the photos of all {images} images; got {short(photos)}.")
    return listed


def seen_photos(photos: Any, preprocess: Any, units: Sequence[Unit]) -> dict[int, Seen]:
    """By image, the photo that it was made of.

    Raises:
        ArgumentError: as `photos_of`, or `preprocess` is not one.
    """
    listed = photos_of(photos, units)
    return {image: Seen(listed[image], preprocess) for image in dict.fromkeys(unit.image for unit in units)}


def pairs(
    signal: Float[Tensor, "c *size"], box: Box, seen: Seen | None, *, scale: Scale = "logistic"
) -> list[tuple[tuple[Image.Image, ...], View]]:
    """The views of a signal in a box, on one scale, each beside the same view of the photo, if one is given.

    Raises:
        ArgumentError: as `views` and `Seen.patch`.
    """
    part = crop(signal, box)
    limit = limit_of(part, scale=scale)

    def images(view: View) -> tuple[Image.Image, ...]:
        drawing = render(view.of(part), scale=scale, limit=limit)
        return (drawing,) if seen is None else (drawing, seen.patch(box, view))

    return [(images(view), view) for view in views(part, box.low)]
