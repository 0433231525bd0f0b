"""Tiles: the pictures of single units, drawn in the processes that read their photos."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from deconvnet._types import Box
from deconvnet.atlas.unfinished import Tile
from deconvnet.photos.batches import Levels
from deconvnet.photos.photo import Photo
from deconvnet.photos.preprocess import Preprocess
from deconvnet.photos.sets import PhotoSet
from deconvnet.pictures.fit import fit
from deconvnet.pictures.render import crop, energy_box, render

_GREY = (128, 128, 128)


@dataclass(frozen=True, eq=False)
class Carried:
    """A unit that was carried down, to be drawn.

    Attributes:
        index: tells it from others of its batch.
        photo: index of its photo.
        rank: 0 for the strongest of its feature map.
        side: of its tile.
        window: (c, h, w) its signal.
        low: row and column of the window's low corner in the network's input; may lie outside.
    """

    index: int
    photo: int
    rank: int
    side: int
    window: NDArray[np.floating]
    low: tuple[int, int]


@dataclass(frozen=True)
class Order:
    """What a `Draughtsman` is to do next.

    Attributes:
        read: photos that the network runs next.
        draw: units whose tiles are drawn.
        digests: that all of their photos must have.
    """

    read: Sequence[int]
    draw: Sequence[Carried]
    digests: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class Delivery:
    """What came of an order: levels by photo, and tiles with the index of their unit."""

    levels: dict[int, Levels]
    tiles: list[tuple[int, Tile]]


class Draughtsman:
    """Reads photos, and draws the tiles of their units beside their patches.

    Args:
        photos: the set.
        preprocess: how photos become inputs.
        keep_signal: put the signals into the tiles.
        room: bytes for photos that were read and whose units will be drawn; others are read again.
    """

    def __init__(self, photos: PhotoSet, preprocess: Preprocess, keep_signal: bool, room: int) -> None:
        self._photos, self._preprocess, self._keep_signal, self._room = photos, preprocess, keep_signal, room
        self._read: dict[int, Photo] = {}

    def __call__(self, order: Order) -> Delivery:
        """Do what is ordered.

        Raises:
            PhotoError: a photo has changed since it was scanned, or cannot be read any more.
        """
        of_photo: dict[int, list[Carried]] = {}
        for unit in order.draw:
            of_photo.setdefault(unit.photo, []).append(unit)
        tiles = []
        for index, units in of_photo.items():
            photo = self._read.pop(index, None) or self._photo(index, order.digests[index])
            tiles += [(unit.index, self._tile(unit, photo)) for unit in units]
        return Delivery({index: self._levels(index, order.digests[index]) for index in order.read}, tiles)

    def _levels(self, index: int, digest: int) -> Levels:
        photo = self._photo(index, digest)
        if sum(each.levels.nbytes for each in (*self._read.values(), photo)) <= self._room:
            self._read[index] = photo
        return self._preprocess.levels(photo)

    def _photo(self, index: int, digest: int) -> Photo:
        return self._photos.read(index, digest, reading=self._preprocess.reading)

    def _tile(self, unit: Carried, photo: Photo) -> Tile:
        signal = torch.from_numpy(unit.window)
        inside = energy_box(signal)
        low, high = (tuple(a + b for a, b in zip(unit.low, end, strict=True)) for end in (inside.low, inside.high))
        box = self._preprocess.box_in_photo(Box(low, high), photo.size)
        picture, patch = (_png(_square(image, unit.side)) for image in (render(crop(signal, inside)), photo.cut(box)))
        return Tile(unit.rank, box, picture, patch, _packed(unit) if self._keep_signal else None)


def _square(image: Image.Image, side: int) -> Image.Image:
    """The image in a square, on grey; small ones enlarged with sharp pixels."""
    fitted = fit(image, side)
    square = Image.new("RGB", (side, side), _GREY)
    square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return square


def _png(image: Image.Image) -> bytes:
    """The image, quickly and without loss."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _packed(unit: Carried) -> bytes:
    """A signal as bytes: low corner, shape, values."""
    return np.array([*unit.low, *unit.window.shape], np.int32).tobytes() + unit.window.astype(np.float32).tobytes()
