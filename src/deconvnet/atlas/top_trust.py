"""What the pictures of some top units rest on, measured by a function that is handed in, and saved as it goes on.

The photos of these units are in a random order, in batches, so that each has other photos beside it: the next one that
differs is its other image. One forward pass serves both.
"""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet._checks import as_list, short
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._folders import Held, Saves
from deconvnet._types import Twins
from deconvnet.atlas.options import Build
from deconvnet.atlas.scan import Scan, TopUnit
from deconvnet.atlas.unfinished import TrustColumns, Unfinished
from deconvnet.photos.batches import Batch, batches
from deconvnet.photos.pick import Pick
from deconvnet.photos.values import Extents

_SAVE_SECONDS = 5


def measure_top_units(
    build: Build, held_folder: Held, scan: Scan, units: Sequence[TopUnit]
) -> dict[str, Sequence[Any] | NDArray[Any]]:
    """What the pictures of some top units rest on: the columns of `trust.parquet`, in the order of its rows.

    Args:
        build: what is built.
        held_folder: of the atlas.
        scan: of all photos.
        units: all top units.

    Raises:
        PhotoError: a photo has changed since it was scanned, or cannot be read any more.
        ArgumentError: the function that is handed in does not return what it should.
    """
    sampled = _sampled(build, units)
    columns = _measured(build, held_folder, scan, sampled)
    return {
        **{name: [getattr(unit, name) for unit in sampled] for name in ("layer", "channel", "rank")},
        "other_photo": [None if i < 0 else build.photos.name(i) for i in columns["other_index"].tolist()],
        **columns,
    }


def _sampled(build: Build, units: Sequence[TopUnit]) -> list[TopUnit]:
    """The top units that are looked at, in the order of layers, maps and ranks: some of each map, evenly spaced."""
    order = {name: i for i, name in enumerate(build.layer_names)}
    of_maps: dict[tuple[str, int], list[TopUnit]] = {}
    for unit in sorted(units, key=lambda unit: (order[unit.layer], unit.channel, unit.rank)):
        of_maps.setdefault((unit.layer, unit.channel), []).append(unit)
    pick = Pick(limit=build.trust_samples)
    return [of_map[rank] for of_map in of_maps.values() for rank in pick.indices(len(of_map)).tolist()]


def _measured(build: Build, held_folder: Held, scan: Scan, sampled: Sequence[TopUnit]) -> TrustColumns:
    """What was measured of units, batch by batch: resumed, and saved now and then."""
    unfinished, size, order = Unfinished(held_folder.folder), max(2, build.batch), _photos_in_random_order(sampled)
    count = -(-len(order) // size)
    in_slots = np.resize(order, count * size if count > 1 else len(order))  # the last batch is filled up with the first
    columns, done = unfinished.load_trust(len(sampled), count)
    saves, warned = Saves(_SAVE_SECONDS), Extents()
    warned.warn()  # the scan has looked at the values of all photos
    read = batches(
        build.photos, in_slots[done * size :], build.loaded.preprocess, size, workers=build.drawing_workers,
        extents=warned, device=build.loaded.device,
    )  # fmt: skip
    build.report_progress("trust", done, count, 0)
    with closing(read):
        for batch in read:
            _check_same(build, scan, batch)
            _measure(build, sampled, order[done * size : (done + 1) * size].tolist(), batch, columns)
            done += 1
            build.report_progress("trust", done, count, 0)
            if saves.due:
                saves.save(partial(unfinished.save_trust, held_folder, columns, done))
    unfinished.save_trust(held_folder, columns, done)
    return columns


def _photos_in_random_order(units: Sequence[TopUnit]) -> NDArray[np.int64]:
    """The indices of the units' photos: sets often lie class by class, and one of another class says more."""
    photos = np.array(sorted({unit.photo for unit in units}), np.int64)
    return photos[np.random.RandomState(0).permutation(len(photos))]  # whose draws no version of NumPy changes


def _check_same(build: Build, scan: Scan, batch: Batch) -> None:
    """Raise unless the photos of a batch are those that were scanned.

    Raises:
        PhotoError: one has changed, or cannot be read any more.
    """
    for _, reason in batch.skipped:
        raise PhotoError(reason)
    for photo, digest in zip(batch.indices.tolist(), batch.digests.tolist(), strict=True):
        build.photos.check_same(photo, scan.digests.of(photo), digest)


def _measure(
    build: Build, sampled: Sequence[TopUnit], photos: Sequence[int], batch: Batch, columns: TrustColumns
) -> None:
    """Fill in the rows of the units of some photos, which are the first of a batch."""
    slot_of = {photo: slot for slot, photo in enumerate(photos)}
    rows = [row for row, unit in enumerate(sampled) if unit.photo in slot_of]
    units = [sampled[row].unit(slot_of[sampled[row].photo]) for row in rows]
    other_of = _others(batch.images[: len(batch.indices)])
    others = [other_of[unit.image] for unit in units]
    assert build.trust is not None
    x = batch.images.to(build.loaded.example_input)
    measured = _checked(build.trust(build.net, x, units, others), len(units))
    for row, other, twins in zip(rows, others, measured, strict=True):
        columns["other_index"][row] = -1 if other is None else batch.indices[other]
        columns["other_channel"][row] = -1 if twins.other_channel is None else twins.other_channel
        columns["other_unit"][row] = np.nan if twins.other_unit is None else twins.other_unit
        columns["other_image"][row] = np.nan if twins.other_image is None else twins.other_image


def _others(images: Tensor) -> list[int | None]:
    """Of each image the index of the next one that differs, the first following the last; None if none does."""
    count = len(images)
    following = ([(i + step) % count for step in range(1, count)] for i in range(count))
    return [
        next((j for j in indices if not torch.equal(images[i], images[j])), None) for i, indices in enumerate(following)
    ]


def _checked(measured: Any, count: int) -> list[Twins]:
    """What the function that is handed in returned.

    Raises:
        ArgumentError: it is something else than it should be.
    """
    listed = as_list(measured)
    if listed is None or len(listed) != count or not all(isinstance(each, Twins) for each in listed):
        raise ArgumentError(f"trust= returns {count} Twins here, as probes.twins does; got {short(measured)}.")
    return listed
