"""The top units of a scan carried down, their patches cut from the photos, and both kept until they are written."""

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from PIL import Image

from deconvnet.atlas.options import Build, tile_side
from deconvnet.atlas.scan import Scan, TopUnit
from deconvnet.atlas.top_memory import TopMemory
from deconvnet.atlas.unfinished import Tile, Tiles
from deconvnet.engine.activations import watch_activations
from deconvnet.engine.project import project_units
from deconvnet.photos.photo import Photo
from deconvnet.pictures.fit import fit
from deconvnet.pictures.render import crop, render
from deconvnet.results.reconstruction import Reconstruction

_TOGETHER = 32  # photos whose units go down together, where there is a memory
_MOST_BYTES = 2 * 10**9  # of reconstructions at a time; not what is free, so that all machines group alike
_GREY = (128, 128, 128)


def draw_top_units(build: Build, scan: Scan, units: Sequence[TopUnit], memory: TopMemory | None, tiles: Tiles) -> None:
    """Make the pictures of the top units of a scan, batch by batch, and keep them in `tiles`.

    Each photo is read once, and run where not all of its units are in memory.

    Raises:
        PhotoError: a photo has changed since it was scanned, or cannot be read any more.
    """
    size = build.batch if memory is None else build.batch * max(1, _TOGETHER // build.batch)
    batches = photo_batches(units, size)
    done, layer_index = tiles.done(), {info.name: index for index, info in enumerate(build.layers)}
    for index, (indices, batch) in enumerate(batches):
        build.report_progress("project", index, len(batches), 0)
        if index in done:
            continue
        reading = build.loaded.preprocess.reading
        photos = {i: build.photos.read(i, scan.digests.of(i), reading=reading) for i in indices}
        rows = []
        for indices_of_group, result in _carried(build, scan, photos, batch, memory):
            for i, unit in enumerate(batch[j] for j in indices_of_group):
                tile = _tile(build, result, i, unit, photos[unit.photo])
                rows.append((layer_index[unit.layer], unit.channel, tile))
        tiles.add(index, rows)
    build.report_progress("project", len(batches), len(batches), 0)


def photo_batches(units: Sequence[TopUnit], size: int) -> list[tuple[list[int], list[TopUnit]]]:
    """The indices of the photos that hold top units, in batches of `size`, and the units of each batch."""
    photos = sorted({unit.photo for unit in units})
    batches = [photos[first : first + size] for first in range(0, len(photos), size)]
    batch_of = {photo: index for index, batch in enumerate(batches) for photo in batch}
    units_of: list[list[TopUnit]] = [[] for _ in batches]
    for unit in units:
        units_of[batch_of[unit.photo]].append(unit)
    return list(zip(batches, units_of, strict=True))


def _carried(
    build: Build, scan: Scan, photos: Mapping[int, Photo], units: Sequence[TopUnit], memory: TopMemory | None
) -> Iterator[tuple[list[int], Reconstruction]]:
    """The units of some photos, carried down in groups: of each its indices among `units`, and its reconstructions."""
    if memory is None:
        slots = {photo: slot for slot, photo in enumerate(photos)}
        x = _batch(build, list(photos.values()))
        listed = [unit.unit(slots[unit.photo]) for unit in units]
        yield from project_units(build.attached, x, listed, most=_MOST_BYTES)
        return
    indices = list(photos)
    for batch in (indices[first : first + build.batch] for first in range(0, len(indices), build.batch)):
        if memory.lacks([unit for unit in units if unit.photo in batch]):
            x = _batch(build, [photos[photo] for photo in batch])
            trace = watch_activations(build.attached, x, list(scan.tallies), lambda *_: None, memory.remember)
            memory.fill(trace, scan.rankings, range(len(batch)), batch)
    yield from memory.project(units)


def _batch(build: Build, photos: Sequence[Photo]) -> torch.Tensor:
    """Photos as the network takes them, of the canonical size."""
    like = build.loaded.example_input
    x = like.new_zeros(build.batch, *like.shape[1:])
    x[: len(photos)] = build.loaded.preprocess.images(list(photos)).to(like)
    return x


def _tile(build: Build, result: Reconstruction, i: int, unit: TopUnit, photo: Photo) -> Tile:
    """The pictures of row i of a result, which is that of a unit in a photo."""
    info = next(info for info in build.layers if info.name == unit.layer)
    box_in_input, side = result.box(i), tile_side(info.receptive_field)
    box = build.loaded.preprocess.box_in_photo(box_in_input, photo.size)
    signal = crop(result.whole(i), box_in_input)
    image = render(signal)
    window = _packed(result.windows[i], result.boxes[i, 0].tolist()) if build.keep_signal else None
    return Tile(unit.rank, box, _png(_square(image, side)), _png(_square(photo.cut(box), side)), window)


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


def _packed(window: torch.Tensor, low: Sequence[int]) -> bytes:
    """A signal as bytes: low corner, shape, values."""
    return np.array([*low, *window.shape], np.int32).tobytes() + window.float().cpu().numpy().tobytes()
