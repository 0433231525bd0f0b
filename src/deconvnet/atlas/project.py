"""The winners of a scan carried down, their patches cut from the photos, and both kept until they are written."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from deconvnet._types import Unit
from deconvnet.atlas.plan import Plan
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.unfinished import Tile, Tiles
from deconvnet.atlas.winner_memory import Winner
from deconvnet.atlas.winners import as_png, batches_of, shown, tile_side
from deconvnet.photos.photo import Photo
from deconvnet.results.reconstruction import Reconstruction

_TOGETHER = 32  # photos whose winners go down together, where they can be kept


def project_winners(plan: Plan, tiles: Tiles, found: Sequence[Winner], scan: Scan) -> None:
    """Make the pictures of the winners, each photo read once, and run where not all of its winners were kept."""
    together = plan.batch * max(1, _TOGETHER // plan.batch) if plan.kept else plan.batch
    parts = batches_of(found, together)
    done, number_of = tiles.done(), {layer.name: number for number, layer in enumerate(plan.layers)}
    sides = {layer.name: tile_side(plan.infos[layer.name].receptive_field) for layer in plan.layers}
    for number, (photos, batch) in enumerate(parts):
        plan.tell("project", number, len(parts))
        if number in done:
            continue
        read = {photo: plan.photos.read(photo) for photo in photos}
        results = _carried(plan, read, batch, scan)
        rows = []
        for one in shown(results, plan.loaded.preprocess, read, batch, sides):
            window = _packed(one.window, one.low) if plan.options.keep_signal else None
            picture = Tile(one.winner.rank, one.box, as_png(one.signal), as_png(one.patch), window)
            rows.append((number_of[one.winner.layer], one.winner.channel, picture))
        tiles.add(number, rows)
    plan.tell("project", len(parts), len(parts))


def _carried(plan: Plan, photos: Mapping[int, Photo], batch: Sequence[Winner], scan: Scan) -> dict[str, Reconstruction]:
    """The winners of some photos, carried down."""
    keep = plan.kept
    if keep is None:
        slots = {photo: slot for slot, photo in enumerate(photos)}
        units = [Unit(one.layer, one.channel, one.position, slots[one.photo]) for one in batch]
        return plan.net.project_units(_batch(plan, list(photos.values())), units)
    numbers = list(photos)
    for some in (numbers[first : first + plan.batch] for first in range(0, len(numbers), plan.batch)):
        if keep.lacks([one for one in batch if one.photo in some]):
            x = _batch(plan, [photos[photo] for photo in some])
            trace = plan.net.watched(x, list(scan.tallies), lambda *_: None, keep.rooms)
            keep.take(trace, scan.rankings, range(len(some)), some)
    return keep.project(batch)


def _batch(plan: Plan, photos: Sequence[Photo]) -> torch.Tensor:
    """Photos as the network takes them, of the canonical size."""
    like = plan.loaded.example_input
    x = like.new_zeros(plan.batch, *like.shape[1:])
    x[: len(photos)] = plan.loaded.preprocess.images(list(photos)).to(like)
    return x


def _packed(window: torch.Tensor, low: Sequence[int]) -> bytes:
    """A signal as bytes: low corner, shape, values."""
    return np.array([*low, *window.shape], np.int32).tobytes() + window.float().cpu().numpy().tobytes()
