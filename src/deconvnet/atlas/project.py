"""The winners of a scan carried down, their patches cut from the photos, and both kept until they are written."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from deconvnet._types import Unit
from deconvnet.atlas.plan import Plan
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.unfinished import Tile, Tiles
from deconvnet.atlas.winner_memory import Winner
from deconvnet.atlas.winners import as_png, batches_of, pictures_of, tile_side
from deconvnet.engine.activations import watch_activations
from deconvnet.engine.project import project_units
from deconvnet.network import attached
from deconvnet.photos.photo import Photo
from deconvnet.results.reconstruction import Reconstruction

_TOGETHER = 32  # photos whose winners go down together, where they can be kept
_MOST_BYTES = 2 * 10**9  # of reconstructions at a time; not what is free, so that all machines group alike


def project_winners(plan: Plan, tiles: Tiles, found: Sequence[Winner], scan: Scan) -> None:
    """Make the pictures of the winners, each photo read once, and run where not all of its winners were kept."""
    together = plan.batch * max(1, _TOGETHER // plan.batch) if plan.kept else plan.batch
    parts = batches_of(found, together)
    done, index_of = tiles.done(), {layer.name: index for index, layer in enumerate(plan.layers)}
    sides = {layer.name: tile_side(plan.infos[layer.name].receptive_field) for layer in plan.layers}
    for index, (photos, batch) in enumerate(parts):
        plan.tell("project", index, len(parts))
        if index in done:
            continue
        read = {photo: plan.photos.read(photo) for photo in photos}
        rows = []
        for group, result in _carried(plan, read, batch, scan):
            winners = [batch[i] for i in group]
            for made in pictures_of(result, winners, plan.loaded.preprocess, read, sides):
                window = _packed(made.window, made.low) if plan.options.keep_signal else None
                tile = Tile(made.winner.rank, made.box, as_png(made.signal), as_png(made.patch), window)
                rows.append((index_of[made.winner.layer], made.winner.channel, tile))
        tiles.add(index, rows)
    plan.tell("project", len(parts), len(parts))


def _carried(
    plan: Plan, photos: Mapping[int, Photo], batch: Sequence[Winner], scan: Scan
) -> Iterator[tuple[list[int], Reconstruction]]:
    """The winners of some photos, carried down in groups: of each its indices in the batch, and what came of it."""
    keep = plan.kept
    if keep is None:
        slots = {photo: slot for slot, photo in enumerate(photos)}
        units = [Unit(winner.layer, winner.channel, winner.position, slots[winner.photo]) for winner in batch]
        x = _batch(plan, list(photos.values()))
        yield from project_units(attached(plan.net), x, units, most=_MOST_BYTES)
        return
    indices = list(photos)
    chosen = {name: rule for memory in keep.memories for name, rule in memory.chosen.items()}
    for some in (indices[first : first + plan.batch] for first in range(0, len(indices), plan.batch)):
        if keep.lacks([winner for winner in batch if winner.photo in some]):
            x = _batch(plan, [photos[photo] for photo in some])
            trace = watch_activations(attached(plan.net), x, list(scan.tallies), lambda *_: None, chosen)
            keep.take(trace, scan.rankings, range(len(some)), some)
    yield from keep.project(batch)


def _batch(plan: Plan, photos: Sequence[Photo]) -> torch.Tensor:
    """Photos as the network takes them, of the canonical size."""
    like = plan.loaded.example_input
    x = like.new_zeros(plan.batch, *like.shape[1:])
    x[: len(photos)] = plan.loaded.preprocess.images(list(photos)).to(like)
    return x


def _packed(window: torch.Tensor, low: Sequence[int]) -> bytes:
    """A signal as bytes: low corner, shape, values."""
    return np.array([*low, *window.shape], np.int32).tobytes() + window.float().cpu().numpy().tobytes()
