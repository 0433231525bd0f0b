"""Writing a finished atlas: strips, signals, tables, and last the manifest."""

import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from deconvnet._errors import DeconvNetError
from deconvnet._files import sync_together
from deconvnet._folders import Held
from deconvnet.atlas.manifest import AtlasLayer, write_manifest
from deconvnet.atlas.options import Build
from deconvnet.atlas.scan import Scan, TopUnit
from deconvnet.atlas.store import KINDS, Signals, strip_path, write_signals, write_strip
from deconvnet.atlas.tables import SkippedPhoto, write_skipped, write_stats, write_top, write_trust
from deconvnet.atlas.unfinished import Tile, Tiles

_STRIPS = 64  # feature maps whose pictures are in memory at once
_COLUMNS = ("layer", "channel", "rank", "activation", "image", "index", "y", "x", "top", "left", "bottom", "right")


def write_atlas(
    build: Build,
    held: Held,
    scan: Scan,
    units: Sequence[TopUnit],
    skipped: Sequence[SkippedPhoto],
    tiles: Tiles,
    trust: Mapping[str, Any] | None,
) -> None:
    """Write strips, signals, tables, and last the manifest.

    Args:
        build: what is built.
        held: the folder of the atlas.
        scan: of all photos.
        units: its top units.
        skipped: photos that could not be read.
        tiles: the pictures of all top units.
        trust: the columns of `trust.parquet`, if it was measured what pictures rest on.

    Raises:
        AtlasError: `tiles` is damaged.
        DeconvNetError: the disk refused, or files were removed meanwhile.
    """
    held.claim()
    folder, ranks = held.folder, Counter((unit.layer, unit.channel) for unit in units)
    manifest, rows = build.manifest(len(skipped)), list[tuple[Any, ...]]()
    unit_of = {(unit.layer, unit.channel, unit.rank): unit for unit in units}
    threads = max(torch.get_num_threads(), build.drawing_workers)
    for index, layer in enumerate(manifest.layers):
        build.report_progress("write", index, len(manifest.layers), 0)
        windows = []
        for channel, pictures in _with_strips(folder, layer, index, tiles, ranks, threads):
            for tile in pictures:
                unit = unit_of[layer.name, channel, tile.rank]
                rows.append(_row(unit, build.photos.name(unit.photo), tile))
            windows += [tile.window for tile in pictures if tile.window is not None]
        if windows:
            write_signals(folder, layer.name, _unpacked(windows))
    write_top(folder, manifest.layers, build.k, {name: [row[i] for row in rows] for i, name in enumerate(_COLUMNS)})
    write_stats(folder, manifest.layers, _statistics(scan))
    write_skipped(folder, skipped)
    if trust is not None:
        write_trust(folder, manifest.layers, build.k, trust)
    build.report_progress("write", len(manifest.layers), len(manifest.layers), 0)
    sync_together(folder, _strips(folder, manifest.layers, ranks))
    held.check()
    write_manifest(folder, manifest)


def _strips(folder: Path, layers: Sequence[AtlasLayer], ranks: Mapping[tuple[str, int], int]) -> list[Path]:
    """The strips of all feature maps that have pictures.

    Raises:
        DeconvNetError: one is not there.
    """
    paths = []
    for layer in layers:
        channels = [channel for channel in range(layer.channels) if ranks[layer.name, channel]]
        expected = [strip_path(folder, layer.name, channel, kind) for channel in channels for kind in KINDS]
        try:
            there = set(os.listdir(expected[0].parent)) if expected else set()
        except FileNotFoundError:
            there = set()
        lost = [path for path in expected if path.name not in there]
        if lost:
            raise DeconvNetError(
                f"{str(lost[0])!r} was removed while the atlas was being written, so the atlas is not finished. "
                "Continue (--resume, resume=True)."
            )
        paths += expected
    return paths


def _row(unit: TopUnit, image: str, tile: Tile) -> tuple[Any, ...]:
    """A row of `top.parquet`, as `_COLUMNS` names it."""
    y, x = unit.position or (-1, -1)
    of_unit = (unit.layer, unit.channel, unit.rank, unit.activation, image, unit.photo, y, x)
    return *of_unit, *tile.box.low, *tile.box.high


def _with_strips(
    folder: Path, layer: AtlasLayer, index: int, tiles: Tiles, ranks: Mapping[tuple[str, int], int], threads: int
) -> Iterator[tuple[int, list[Tile]]]:
    """Each feature map of a layer and its pictures, whose strips are written; several at once, as WebP takes long."""

    def write(channel: int, pictures: list[Tile]) -> None:
        if pictures:
            write_strip(folder, layer, channel, "signal", _strip([tile.signal for tile in pictures], layer.tile))
            write_strip(folder, layer, channel, "patch", _strip([tile.patch for tile in pictures], layer.tile))

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, layer.channels, _STRIPS):
            channels = range(first, min(first + _STRIPS, layer.channels))
            pictures_of_maps = [tiles.of_map(index, channel, ranks[layer.name, channel]) for channel in channels]
            list(pool.map(write, channels, pictures_of_maps))
            yield from zip(channels, pictures_of_maps, strict=True)


def _strip(pictures: Sequence[bytes], side: int) -> Image.Image:
    strip = Image.new("RGB", (side * len(pictures), side))
    for i, picture in enumerate(pictures):
        with Image.open(io.BytesIO(picture)) as opened:
            strip.paste(opened, (i * side, 0))
    return strip


def _unpacked(windows: Sequence[bytes]) -> Signals:
    """The signals of a layer, all of one shape."""
    heads = np.stack([np.frombuffer(window, np.int32, 5) for window in windows])
    values = np.stack([np.frombuffer(window, np.float32, offset=20) for window in windows])
    return Signals.of(values.reshape(len(windows), *heads[0, 2:]), heads[:, :2])


def _statistics(scan: Scan) -> dict[str, Any]:
    """The columns of `stats.parquet`."""
    columns: dict[str, list[Any]] = {}
    of_scan = scan.statistics
    for layer in scan.layers:
        statistics = of_scan[layer.name]
        q10, q50, q90, q99 = statistics.quantiles.T
        of_layer = {
            "layer": [layer.name] * layer.channels, "channel": range(layer.channels),
            "photos": [statistics.photos] * layer.channels, "mean": statistics.mean, "max": statistics.largest,
            "active": statistics.active, "q10": q10, "q50": q50, "q90": q90, "q99": q99,
            "dead": statistics.largest <= 0,
        }  # fmt: skip
        for name, values in of_layer.items():
            columns.setdefault(name, []).extend(values)
    return columns
