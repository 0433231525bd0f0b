"""Writing what was found: strips, signals, tables, and last the manifest."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from deconvnet.atlas.manifest import AtlasLayer, write_manifest
from deconvnet.atlas.plan import Plan
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.store import Signals, write_signals, write_strip
from deconvnet.atlas.tables import SkippedPhoto, write_skipped, write_stats, write_top
from deconvnet.atlas.unfinished import Tile, Tiles
from deconvnet.atlas.winner_memory import Winner

_STRIPS = 64  # feature maps whose pictures are in memory at once


def write_atlas(
    plan: Plan,
    tiles: Tiles,
    folder: Path,
    scan: Scan,
    found: Sequence[Winner],
    skipped: Sequence[SkippedPhoto],
) -> None:
    """Write strips, tables, signals, and last the manifest."""
    of_map = {(one.layer, one.channel, one.rank): one for one in found}
    rows: list[tuple[Any, ...]] = []
    layers = tuple(plan.atlas_layer(layer.name) for layer in plan.layers)
    for number, layer in enumerate(layers):
        plan.tell("write", number, len(layers))
        windows = []
        for channel, pictures in _with_strips(folder, layer, number, tiles):
            for picture in pictures:
                one = of_map[layer.name, channel, picture.rank]
                y, x = one.position or (-1, -1)
                place = (layer.name, channel, picture.rank, one.activation, plan.photos.name(one.photo), one.photo)
                rows.append((*place, y, x, *picture.box.low, *picture.box.high))
            windows += [picture.window for picture in pictures if picture.window is not None]
        if plan.options.keep_signal and windows:
            write_signals(folder, layer.name, _unpacked(windows))
    names = ("layer", "channel", "rank", "activation", "image", "index", "y", "x", "top", "left", "bottom", "right")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    write_top(folder, layers, plan.k, columns)
    write_stats(folder, layers, _statistics(scan))
    write_skipped(folder, skipped)
    plan.tell("write", len(layers), len(layers))
    write_manifest(folder, plan.manifest(len(skipped)))


def _with_strips(folder: Path, layer: AtlasLayer, number: int, tiles: Tiles) -> Iterator[tuple[int, list[Tile]]]:
    """Each feature map of a layer and its pictures, whose strips are written; several at once, as WebP takes long."""

    def write(channel: int, pictures: list[Tile]) -> None:
        if pictures:
            write_strip(folder, layer, channel, "signal", _strip([one.signal for one in pictures], layer.tile))
            write_strip(folder, layer, channel, "patch", _strip([one.patch for one in pictures], layer.tile))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first in range(0, layer.channels, _STRIPS):
            channels = range(first, min(first + _STRIPS, layer.channels))
            found = [tiles.of_map(number, channel) for channel in channels]
            list(pool.map(write, channels, found))
            yield from zip(channels, found, strict=True)


def _strip(pictures: Sequence[bytes], side: int) -> Image.Image:
    strip = Image.new("RGB", (side * len(pictures), side))
    for i, picture in enumerate(pictures):
        with Image.open(io.BytesIO(picture)) as opened:
            strip.paste(opened, (i * side, 0))
    return strip


def _unpacked(windows: Sequence[bytes]) -> Signals:
    """The signals of a layer, all of one shape."""
    heads = np.stack([np.frombuffer(one, np.int32, 5) for one in windows])
    values = np.stack([np.frombuffer(one, np.float32, offset=20) for one in windows])
    return Signals.of(values.reshape(len(windows), *heads[0, 2:]), heads[:, :2])


def _statistics(scan: Scan) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {}
    for layer in scan.layers:
        of = scan.tallies[layer.name].statistics()
        q10, q50, q90, q99 = of.quantiles.T
        part = {
            "layer": [layer.name] * layer.channels, "channel": range(layer.channels),
            "photos": [of.photos] * layer.channels, "mean": of.mean, "max": of.largest, "active": of.active,
            "q10": q10, "q50": q50, "q90": q90, "q99": q99, "dead": of.largest <= 0,
        }  # fmt: skip
        for name, values in part.items():
            columns.setdefault(name, []).extend(values)
    return columns
