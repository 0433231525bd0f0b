"""The winners of a scan, each photo read once more: their pictures, and their patches cut from the photos."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from deconvnet._types import Box
from deconvnet.atlas.ranking import NONE
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.winner_memory import Winner
from deconvnet.photos.photo import Photo
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import render as pictures
from deconvnet.pictures.fit import fit
from deconvnet.results.reconstruction import Reconstruction

_GREY = (128, 128, 128)
_SMALLEST, _LARGEST = 32, 128  # pixels of a tile


@dataclass(frozen=True, eq=False)
class WinnerPictures:
    """A winner's pictures.

    Attributes:
        winner: whose.
        box: of the original photo's pixels that both show; may reach past its border.
        signal: a tile of the reconstruction.
        patch: a tile of the photo.
        window: (c, h, w) the signed signal in the receptive field.
        low: row and column of its low corner in the network's input; may lie outside.
    """

    winner: Winner
    box: Box
    signal: Image.Image
    patch: Image.Image
    window: Tensor
    low: tuple[int, int]


def winners(scan: Scan) -> list[Winner]:
    """All winners of a scan, in order of photos, then layers, feature maps and ranks."""
    found = []
    for number, layer in enumerate(scan.layers):
        ranking = scan.tallies[layer.name].ranking
        for channel, rank in zip(*np.nonzero(ranking.images != NONE), strict=True):
            place = np.unravel_index(ranking.places[channel, rank], layer.size) if layer.size else ()
            winner = Winner(
                layer.name, int(channel), int(rank), int(ranking.images[channel, rank]), tuple(map(int, place)),
                float(ranking.activations[channel, rank]),
            )  # fmt: skip
            found.append((winner.photo, number, winner.channel, winner.rank, winner))
    return [winner for *_, winner in sorted(found, key=lambda row: row[:4])]


def batches_of(found: Sequence[Winner], size: int) -> list[tuple[list[int], list[Winner]]]:
    """The photos that have winners, so many at a time, and the winners in each batch."""
    photos = sorted({winner.photo for winner in found})
    batches = [photos[first : first + size] for first in range(0, len(photos), size)]
    number = {photo: i for i, batch in enumerate(batches) for photo in batch}
    parts: list[list[Winner]] = [[] for _ in batches]
    for winner in found:
        parts[number[winner.photo]].append(winner)
    return list(zip(batches, parts, strict=True))


def pictures_of(
    result: Reconstruction,
    group: Sequence[Winner],
    preprocess: Preprocess,
    photos: Mapping[int, Photo],
    tiles: Mapping[str, int],
) -> Iterator[WinnerPictures]:
    """The pictures of winners that were carried down together.

    Args:
        result: what came of each.
        group: the winners.
        preprocess: what made the network's input.
        photos: by index.
        tiles: length of a tile's sides, by layer.
    """
    for i, winner in enumerate(group):
        seen, side, photo = result.box(i), tiles[winner.layer], photos[winner.photo]
        box = preprocess.box_in_photo(seen, photo.size)
        signal = pictures.crop(result.whole(i), seen)
        image = pictures.render(signal if signal.shape[0] in (1, 3) else pictures.magnitude(signal)[None])
        top, left = result.boxes[i, 0].tolist()
        yield WinnerPictures(winner, box, tile(image, side), tile(photo.cut(box), side), result.windows[i], (top, left))


def tile(image: Image.Image, side: int) -> Image.Image:
    """The image in a square, on grey; small ones enlarged with sharp pixels."""
    fitted = fit(image, side)
    square = Image.new("RGB", (side, side), _GREY)
    square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return square


def tile_side(field: Sequence[int]) -> int:
    """Length of a tile's sides for a layer: twice the receptive field, within limits."""
    return min(max(2 * max(field, default=_LARGEST), _SMALLEST), _LARGEST)


def as_png(image: Image.Image) -> bytes:
    """The image, quickly and without loss."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
