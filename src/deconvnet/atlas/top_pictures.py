"""The top units of a scan carried down here, while other processes draw those before and read the photos behind."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from deconvnet._workers import Worker, crew
from deconvnet.atlas.options import Build, tile_side
from deconvnet.atlas.scan import Scan, TopUnit
from deconvnet.atlas.tiles import Carried, Delivery, Draughtsman, Order
from deconvnet.atlas.top_memory import TopMemory
from deconvnet.atlas.unfinished import Tiles
from deconvnet.engine.activations import watch_activations
from deconvnet.engine.project import project_units
from deconvnet.photos.batches import Levels, in_slots, inputs_in_slots

_TOGETHER = 32  # photos whose units go down together, where there is a memory
_MOST_BYTES = 10**9  # of a batch's reconstructions, and of photos; not what is free, so that all machines group alike

_Batch: TypeAlias = tuple[list[int], list[TopUnit]]
_NONE: _Batch = ([], [])


def draw_top_units(build: Build, scan: Scan, units: Sequence[TopUnit], memory: TopMemory | None, tiles: Tiles) -> None:
    """Make the pictures of the top units of a scan, batch by batch, and keep them in `tiles`.

    Each photo is read once, and run where not all of its units are in memory.

    Raises:
        PhotoError: a photo has changed since it was scanned, or cannot be read any more.
    """
    size = build.batch if memory is None else build.batch * max(1, _TOGETHER // build.batch)
    batches, done = photo_batches(units, size, _bytes_of_pictures(build)), tiles.done()
    left = [index for index in range(len(batches)) if index not in done]
    sequence = [_NONE, *(batches[index] for index in left), _NONE, _NONE]
    count = max(1, build.drawing_workers)
    draughtsman = Draughtsman(build.photos, build.loaded.preprocess, build.keep_signal, _MOST_BYTES // count)
    carried: list[Carried] = []
    levels: dict[int, Levels] = {}
    with crew([draughtsman] * count, "draws pictures", here=not build.drawing_workers) as workers:
        for i, (before, batch, behind) in enumerate(zip([_NONE, *sequence], sequence, sequence[1:], strict=False)):
            if left and (i == 0 or 1 < i <= len(left)):  # the first before it is read
                build.report_progress("project", left[max(i - 1, 0)], len(batches), 0)
            worker_of = _shares(before[1], count) | _shares(behind[1], count)
            _send(workers, worker_of, _lacking(build, behind, memory), carried, scan)
            if batch is not _NONE:
                carried = _carried(build, scan, levels, batch, memory)
            deliveries = [worker.receive() for worker in workers]
            levels = {photo: of_photo for each in deliveries for photo, of_photo in each.levels.items()}
            if before is not _NONE:
                _keep(tiles, left[i - 2], build, before[1], deliveries)
    build.report_progress("project", len(batches), len(batches), 0)


def photo_batches(units: Sequence[TopUnit], size: int, bytes_of: Mapping[str, int]) -> list[_Batch]:
    """The indices of the photos that hold top units in batches, and the units of each batch.

    Args:
        units: the units.
        size: photos in a batch, or fewer where their units' reconstructions would take too much memory.
        bytes_of: by layer, what a reconstruction takes.
    """
    units_of: dict[int, list[TopUnit]] = {photo: [] for photo in sorted({unit.photo for unit in units})}
    for unit in units:
        units_of[unit.photo].append(unit)
    batches: list[_Batch] = []
    room = 0
    for photo, of_photo in units_of.items():
        need = sum(bytes_of[unit.layer] for unit in of_photo)
        if not batches or len(batches[-1][0]) == size or need > room:
            batches.append(([], []))
            room = _MOST_BYTES
        batches[-1][0].append(photo)
        batches[-1][1].extend(of_photo)
        room -= need
    return batches


def _bytes_of_pictures(build: Build) -> dict[str, int]:
    graph, size = build.attached.own_graph(), build.loaded.example_input.element_size()
    return {info.name: build.attached.costs(graph, info.name).bytes_of_picture(size) for info in build.layers}


def _shares(units: Sequence[TopUnit], count: int) -> dict[int, int]:
    """Which worker reads each photo and draws its units: always whoever has least to do, most units first."""
    load, worker_of = [0] * count, {}
    for photo, count_of_photo in Counter(unit.photo for unit in units).most_common():
        worker_of[photo] = least = load.index(min(load))
        load[least] += count_of_photo
    return worker_of


def _send(
    workers: Sequence[Worker], worker_of: Mapping[int, int], read: Sequence[int], draw: Sequence[Carried], scan: Scan
) -> None:
    for index, worker in enumerate(workers):
        of_worker = [photo for photo in read if worker_of[photo] == index]
        units = [unit for unit in draw if worker_of[unit.photo] == index]
        photos = {*of_worker, *(unit.photo for unit in units)}
        worker.send(Order(of_worker, units, {photo: scan.digests.of(photo) for photo in photos}))


def _keep(tiles: Tiles, index: int, build: Build, units: Sequence[TopUnit], deliveries: Sequence[Delivery]) -> None:
    layer_index = {info.name: i for i, info in enumerate(build.layers)}
    drawn = [(units[i], tile) for delivery in deliveries for i, tile in delivery.tiles]
    tiles.add(index, [(layer_index[unit.layer], unit.channel, tile) for unit, tile in drawn])


def _groups(build: Build, batch: _Batch) -> list[list[int]]:
    """The photos of a batch, in groups that the network runs at once."""
    return [batch[0][first : first + build.batch] for first in range(0, len(batch[0]), build.batch)]


def _lacking(build: Build, batch: _Batch, memory: TopMemory | None) -> list[int]:
    """The photos of a batch that the network has to run."""
    photos, units = batch
    if memory is None:
        return photos
    of_photos = {photo: [unit for unit in units if unit.photo == photo] for photo in photos}
    return [
        photo
        for group in _groups(build, batch)
        if memory.lacks([unit for photo in group for unit in of_photos[photo]])
        for photo in group
    ]


def _carried(
    build: Build, scan: Scan, levels: Mapping[int, Levels], batch: _Batch, memory: TopMemory | None
) -> list[Carried]:
    """The units of a batch, carried down; of those photos that the network has to run, from their levels."""
    photos, units = batch
    if memory is None:
        slots = {photo: slot for slot, photo in enumerate(photos)}
        listed = [unit.unit(slots[unit.photo]) for unit in units]
        groups = project_units(build.attached, _inputs(build, levels, photos), listed, most=_MOST_BYTES)
    else:
        for group in _groups(build, batch):
            if group[0] in levels:
                x = _inputs(build, levels, group)
                trace = watch_activations(build.attached, x, build.layer_names, lambda *_: None, memory.remember)
                memory.fill(trace, scan.rankings, range(len(group)), group)
        groups = memory.project(units)
    sides = {info.name: tile_side(info.receptive_field) for info in build.layers}
    carried = []
    for indices, result in groups:
        windows, lows = _on_cpu(result.windows).numpy(), result.boxes[:, 0].tolist()
        for window, low, index in zip(windows, lows, indices, strict=True):
            unit = units[index]
            carried.append(Carried(index, unit.photo, unit.rank, sides[unit.layer], window, tuple(low)))
    return carried


def _inputs(build: Build, levels: Mapping[int, Levels], photos: Sequence[int]) -> Tensor:
    """Photos as the network takes them, of the canonical size."""
    preprocess, like = build.loaded.preprocess, build.loaded.example_input
    stacked = in_slots({slot: levels[photo] for slot, photo in enumerate(photos)}, build.batch, preprocess)
    return inputs_in_slots(preprocess, torch.from_numpy(stacked).to(like.device), range(len(photos))).to(like)


def _on_cpu(windows: Tensor) -> Tensor:
    """Windows of a type that NumPy has."""
    return windows.cpu() if windows.dtype == torch.float64 else windows.float().cpu()
