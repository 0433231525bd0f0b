"""A small real atlas: the bundled network on scikit-image's photos, written by the package's own writers.

A plain second version of what builds atlases: everything in memory, one layer after the other.
"""

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from PIL import Image
from torch import nn

import deconvnet
from deconvnet import DeconvNet, LoadedModel, Preprocess, load_model
from deconvnet._types import Unit
from deconvnet.atlas.manifest import AtlasLayer, Counts, Manifest, ModelSource, PhotoSource, write_manifest
from deconvnet.atlas.store import Signals, write_signals, write_strip
from deconvnet.atlas.tables import SkippedPhoto, write_skipped, write_stats, write_top
from deconvnet.photos.photo import Photo, load_photo

PHOTOS = (
    "camera", "astronaut", "chelsea", "coffee", "rocket", "brick", "grass", "gravel", "coins", "moon", "page", "text",
    "clock", "hubble_deep_field",
)  # fmt: skip
SKIPPED = SkippedPhoto(len(PHOTOS), "broken.jpg", "it is empty (0 bytes).")
DEAD = ("relu2", 1)  # what the atlas says of it; the network's own map lives

Columns = dict[str, list[Any]]


@cache
def network() -> tuple[LoadedModel, DeconvNet, list[Photo], torch.Tensor]:
    loaded = load_model("zfnet-mini")
    photos = [load_photo(getattr(skimage.data, name)()) for name in PHOTOS]
    return loaded, DeconvNet(loaded.model, loaded.example_input), photos, loaded.preprocess.images(photos)


def little_atlas(
    folder: Path, layers: tuple[str, ...] = ("relu1", "relu2", "relu6"), maps: int = 3, *, k: int = 9, tile: int = 24,
    keep_signal: bool = False,
) -> Manifest:  # fmt: skip
    """Write an atlas of the first maps of some layers."""
    loaded, net, _, _ = network()
    infos = [net.layers[name] for name in layers]
    of_atlas = tuple(
        AtlasLayer(info.name, min(maps, info.channels), info.size, info.stride, info.receptive_field, tile)
        for info in infos
    )
    folder.mkdir(parents=True, exist_ok=True)
    top: Columns = {}
    stats: Columns = {}
    for layer in of_atlas:
        write_layer(folder, layer, k, top, stats, keep_signal)
    write_top(folder, of_atlas, k, top)
    write_stats(folder, of_atlas, stats)
    write_skipped(folder, [SKIPPED])
    manifest = Manifest(
        deconvnet=deconvnet.__version__,
        model=ModelSource(loaded.spec, dict(loaded.options), "sha256:0"),
        rules=asdict(net.rules),
        precision="float32",
        layers=of_atlas,
        photos=PhotoSource("samples", len(PHOTOS) + 1, "sha256:1"),
        preprocess=asdict(loaded.preprocess),
        k=k,
        batch=len(PHOTOS),
        counts=Counts(len(PHOTOS), 1),
        libraries={"torch": torch.__version__.split("+")[0]},
    )
    write_manifest(folder, manifest)
    return manifest


def write_layer(folder: Path, layer: AtlasLayer, k: int, top: Columns, stats: Columns, keep_signal: bool) -> None:
    """Write a layer's pictures, and add its rows to the tables."""
    loaded, net, photos, x = network()
    maps = net.activations(x, layer.name)[layer.name][:, : layer.channels].clone()
    if layer.name == DEAD[0]:
        maps[:, DEAD[1]] = 0
    strongest, places = maps.flatten(2).max(2) if layer.size else (maps, torch.zeros(maps.shape, dtype=torch.long))
    units, ranks = [], []
    for channel in range(layer.channels):
        order = strongest[:, channel].argsort(descending=True, stable=True)[:k].tolist()
        for rank, image in enumerate(image for image in order if strongest[image, channel] > 0):
            position = np.unravel_index(int(places[image, channel]), layer.size) if layer.size else ()
            units.append(Unit(layer.name, channel, tuple(map(int, position)), image))
            ranks.append(rank)
        add_stats(stats, layer.name, channel, maps[:, channel], strongest[:, channel])
    result = net.project(x, layer.name, units=units)
    if keep_signal:
        write_signals(folder, layer.name, Signals.of(result.windows.numpy(), result.boxes[:, 0].numpy()))
    pictures: dict[tuple[int, Any], list[Image.Image]] = {}
    for i, (unit, rank) in enumerate(zip(units, ranks, strict=True)):
        channel, photo = unit.channel or 0, photos[unit.image]
        box = loaded.preprocess.box_in_photo(result.box(i, "field"), photo.size)
        y, x_ = unit.position or (-1, -1)
        row = (layer.name, channel, rank, float(strongest[unit.image, channel]), PHOTOS[unit.image], unit.image, y, x_)
        names = ("layer", "channel", "rank", "activation", "image", "index", "y", "x", "top", "left", "bottom", "right")
        add(top, dict(zip(names, (*row, *box.low, *box.high), strict=True)))
        pictures.setdefault((channel, "signal"), []).append(result.picture(i, crop="field"))
        pictures.setdefault((channel, "patch"), []).append(photo.cut(box))
    for (channel, kind), images in pictures.items():
        write_strip(folder, layer, channel, kind, strip(images, layer.tile))


def add_stats(stats: Columns, layer: str, channel: int, of_map: torch.Tensor, strongest: torch.Tensor) -> None:
    quantiles = strongest.quantile(torch.tensor([0.1, 0.5, 0.9, 0.99])).tolist()
    on = of_map > 0
    row = {
        "layer": layer, "channel": channel, "photos": len(of_map), "mean": float(of_map.double().mean()),
        "max": float(of_map.max()), "active": float(on.double().mean()), "dead": not bool(on.any()),
        **dict(zip(("q10", "q50", "q90", "q99"), quantiles, strict=True)),
    }  # fmt: skip
    add(stats, row)


def add(columns: Columns, row: dict[str, Any]) -> None:
    for name, value in row.items():
        columns.setdefault(name, []).append(value)


def strip(images: list[Image.Image], tile: int) -> Image.Image:
    row = Image.new("RGB", (tile * len(images), tile))
    for i, image in enumerate(images):
        row.paste(image.resize((tile, tile), Image.Resampling.LANCZOS), (i * tile, 0))
    return row


def small_network() -> LoadedModel:
    """For atlases that are built in a moment; one of its maps is dead."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(6 * 7 * 7, 4), nn.ReLU(), nn.Linear(4, 3),
    )  # fmt: skip
    nn.init.constant_(model[3].bias[2:3], -100.0)
    return LoadedModel(model.eval(), Preprocess((32, 32), 36, (0.5,) * 3, (0.25,) * 3), None, "net.py:make")


TABLES = ("top.parquet", "stats.parquet", "skipped.parquet")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


LAYER = AtlasLayer("a", 2, (4, 4), (1.0, 1.0), (3, 3), 8)


FLAT = AtlasLayer("b", 1, (), None, (9, 9), 8)


def top_columns(**changed: Any) -> dict[str, Any]:
    """Rows of two maps of `a` and one of `b`."""
    columns = {
        "layer": np.array(["a", "a", "a", "b"]), "channel": np.array([0, 0, 1, 0]), "rank": np.array([0, 1, 0, 0]),
        "activation": np.array([3.0, 2.0, 1.0, 5.0]), "image": ["x.jpg", "y.jpg", "x.jpg", "é 猫.jpg"],
        "index": np.array([0, 1, 0, 2]), "y": np.array([3, 0, 1, -1]), "x": np.array([0, 3, 1, -1]),
        "top": np.array([-1, 0, 0, 0]), "left": np.array([-2, 0, 0, 0]),
        "bottom": np.array([5, 6, 7, 8]), "right": np.array([5, 6, 7, 8]),
    }  # fmt: skip
    return {**columns, **changed}


def stats_columns(**changed: Any) -> dict[str, Any]:
    numbers = {name: np.zeros(3) for name in ("mean", "max", "active", "q10", "q50", "q90", "q99")}
    columns = {"layer": ["a", "a", "b"], "channel": [0, 1, 0], "photos": [3, 3, 3], "dead": [False, True, False]}
    return {**columns, **numbers, **changed}
