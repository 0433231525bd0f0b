"""An atlas that no network made: each picture has a colour of its own, so that a page can be asked what it shows."""

from pathlib import Path

import numpy as np
from PIL import Image

from deconvnet.atlas.manifest import AtlasLayer, Counts, Manifest, ModelSource, PhotoSource, write_manifest
from deconvnet.atlas.store import KINDS, Kind, write_strip
from deconvnet.atlas.tables import SkippedPhoto, write_skipped, write_stats, write_top, write_trust

SIDE = 64  # of the network's input


def colour(layer: int, channel: int, rank: int, kind: Kind) -> tuple[int, int, int]:
    """Of the picture of a top activation; reconstructions are redder, patches bluer."""
    levels = 40 + 40 * (channel % 4), 40 + 40 * (rank % 5)
    return (200, *levels) if kind == "signal" else (*levels, 200 - 20 * (layer % 3))


def coloured_atlas(
    folder: Path,
    layers: dict[str, tuple[int, tuple[int, ...]]],
    photos: list[str],
    *,
    k: int = 4,
    dead: tuple[tuple[int, int], ...] = (),
    seed: int = 0,
    trust_samples: int = 0,
    manifest: dict[str, object] | None = None,
) -> Path:
    """Write an atlas.

    Args:
        folder: of it.
        layers: by name, how many maps it has and their size.
        photos: names of the set.
        k: top activations of each map.
        dead: indices of layers and channels of dead maps.
        seed: of the activations.
        trust_samples: of how many of them it says what their pictures rest on.
        manifest: what it says otherwise.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    of_atlas = tuple(
        AtlasLayer(name, count, size, (4.0,) * len(size), (16,) * 2, 8) for name, (count, size) in layers.items()
    )
    maps = [(i, channel) for i, layer in enumerate(of_atlas) for channel in range(layer.channels)]
    alive = [each for each in maps if each not in dead]
    count = min(k, len(photos))
    images = np.argsort(random.random((len(alive), len(photos))), axis=1)[:, :count].ravel()
    strongest = np.sort(random.uniform(0.5, 9, (len(alive), count)).astype(np.float32), axis=1)[:, ::-1]
    layer_of, channel_of = (np.repeat([each[axis] for each in alive], count) for axis in (0, 1))
    sizes = [layer.size or (0, 0) for layer in of_atlas]
    y, x = (np.array([random.integers(sizes[i][axis]) if sizes[i][axis] else -1 for i in layer_of]) for axis in (0, 1))
    names = np.array(list(layers))
    top = {
        "layer": names[layer_of], "channel": channel_of, "rank": np.tile(np.arange(count), len(alive)),
        "activation": strongest.ravel(), "image": np.array(photos)[images], "index": images, "y": y, "x": x,
        "top": 4 * y, "left": 4 * x, "bottom": 4 * y + 16, "right": 4 * x + 16,
    }  # fmt: skip
    write_top(folder, of_atlas, k, top)
    largest = dict(zip(alive, strongest[:, 0], strict=True))
    values = np.array([largest.get(each, 0.0) for each in maps], np.float32)
    write_stats(folder, of_atlas, {
        "layer": [names[i] for i, _ in maps], "channel": [channel for _, channel in maps],
        "photos": np.full(len(maps), len(photos)), "mean": values / 9, "max": values,
        "active": np.array([random.random() if each not in dead else 0 for each in maps]),
        **{name: share * values for name, share in (("q10", 0.1), ("q50", 0.4), ("q90", 0.8), ("q99", 0.9))},
        "dead": [each in dead for each in maps],
    })  # fmt: skip
    for i, channel in alive:
        for kind in KINDS:
            tiles = np.array([[colour(i, channel, rank, kind)] for rank in range(count)], np.uint8).transpose(1, 0, 2)
            strip = Image.fromarray(tiles.repeat(8, axis=0).repeat(8, axis=1))
            write_strip(folder, of_atlas[i], channel, kind, strip)
    write_skipped(folder, [SkippedPhoto(len(photos), "<b>broken</b>.jpg", "it is empty (0 bytes).")])
    if trust_samples:
        ranks = np.arange(min(trust_samples, count))
        rows = [(i, channel, rank) for i, channel in alive for rank in ranks]
        several = [of_atlas[i].channels > 1 for i, _, _ in rows]
        write_trust(folder, of_atlas, k, {
            "layer": [names[i] for i, _, _ in rows], "channel": [channel for _, channel, _ in rows],
            "rank": [rank for _, _, rank in rows],
            "other_channel": np.where(several, [int(channel == 0) for _, channel, _ in rows], -1),
            "other_unit": np.where(several, random.uniform(0.5, 1, len(rows)), np.nan),
            "other_photo": [photos[0]] * len(rows), "other_index": [0] * len(rows),
            "other_image": random.uniform(-0.1, 0.4, len(rows)),
        })  # fmt: skip
    rest = {
        "deconvnet": "0", "model": ModelSource("net <b>", {}, "sha256:0"), "rules": {}, "precision": "float32",
        "preprocess": {"size": (SIDE, SIDE)}, "batch": 1, "libraries": {},
        "photos": PhotoSource("set & more", len(photos) + 1, "sha256:1"), "counts": Counts(len(photos), 1),
        "trust_samples": trust_samples, **(manifest or {}),
    }  # fmt: skip
    write_manifest(folder, Manifest(k=k, layers=of_atlas, **rest))
    return folder
