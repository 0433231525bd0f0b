"""What an atlas says when it is looked at."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.atlases import DEAD, FLAT, LAYER, PHOTOS, SKIPPED, network, stats_columns, top_columns

import deconvnet
from deconvnet import ArgumentError, AtlasError, LayerNotFoundError
from deconvnet._types import Box, TopActivation
from deconvnet.atlas.manifest import MANIFEST, AtlasLayer, Counts, PhotoSource, write_manifest
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.store import strip_path
from deconvnet.atlas.tables import write_skipped, write_stats, write_top


def test_an_atlas_says_what_it_is(atlas):
    assert repr(atlas) == "<Atlas: 9 feature maps in 3 layers of zfnet-mini, top 9 of 14 photos (samples)>"
    assert len(atlas) == 9
    assert list(atlas.layers) == ["relu1", "relu2", "relu6"]
    assert atlas.layers["relu1"] == AtlasLayer("relu1", 3, (64, 64), (2.0, 2.0), (7, 7), 24)
    assert atlas.skipped() == (SKIPPED,)


def test_top_gives_the_strongest_activations_of_a_map(atlas):
    _, net, _, x = network()
    for layer in ("relu1", "relu6"):
        maps = net.activations(x, layer)[layer][:, 2]
        best = sorted((float(of_photo.max()) for of_photo in maps), reverse=True)
        rows = atlas.top(layer, 2)
        assert [row.activation for row in rows] == [value for value in best[:9] if value > 0]
        assert [row.rank for row in rows] == list(range(len(rows)))
        for row in rows:
            assert PHOTOS[row.index] == row.image
            assert float(maps[(row.index, *row.position)]) == row.activation


def test_a_row_without_spatial_axes_has_no_position(tmp_path, made):
    write_top(tmp_path, [LAYER, FLAT], 2, top_columns())
    write_stats(tmp_path, [LAYER, FLAT], stats_columns(max=[3.0, 1.0, 5.0], dead=[False] * 3))
    write_skipped(tmp_path, [])
    write_manifest(tmp_path, replace(made[1], layers=(LAYER, FLAT), k=2, counts=Counts(3, 0)))
    atlas = Atlas.open(str(tmp_path))
    assert atlas.top("b", 0) == (TopActivation("b", 0, 0, 5.0, "é 猫.jpg", 2, (), Box((0, 0), (8, 8))),)
    assert atlas.top("a", 0)[0] == TopActivation("a", 0, 0, 3.0, "x.jpg", 0, (3, 0), Box((-1, -2), (5, 5)))
    assert [(row.channel, row.rank) for row in atlas.find(image="x.jpg")] == [(0, 0), (1, 0)]


def test_stats_give_a_row_for_each_map(atlas):
    rows = atlas.stats("relu2")
    assert [row.channel for row in rows] == [0, 1, 2]
    assert [row.dead for row in rows] == [False, True, False]
    for row in rows:
        assert row.photos == 14 and row.q10 <= row.q50 <= row.q90 <= row.q99 <= row.max


def test_find_gives_all_rows_of_a_photo(atlas):
    rows = atlas.find(image="coffee")
    everywhere = [
        row for layer, info in atlas.layers.items() for c in range(info.channels) for row in atlas.top(layer, c)
    ]
    assert rows == tuple(row for row in everywhere if row.image == "coffee") != ()


def test_a_picture_shows_signals_beside_patches(atlas, made):
    picture = atlas.picture("relu1", 0)
    assert picture.size == (2 * (3 * 24 + 2) + 4, 3 * 24 + 2)
    first = Image.open(strip_path(made[0], "relu1", 0, "patch")).crop((24, 0, 48, 24))
    shown = picture.crop((picture.width - 74 + 25, 0, picture.width - 74 + 49, 24))
    assert np.array_equal(np.asarray(first.convert("RGB")), np.asarray(shown))


def test_a_dead_map_is_crossed_out(atlas):
    assert atlas.top(*DEAD) == ()
    colours = atlas.picture(*DEAD).getcolors()
    assert colours is not None and len(colours) == 3


def test_kept_signals_belong_to_their_rows(atlas):
    _, net, _, x = network()
    rows = [row for channel in range(3) for row in atlas.top("relu2", channel)]
    signals = atlas.signals("relu2")
    assert len(signals.windows) == len(rows)
    row = rows[-1]
    truth = net.project(x[[row.index]], "relu2", channel=row.channel, position=row.position)
    assert np.allclose(signals.window(-1), truth.windows[0].numpy(), atol=2e-3 * float(truth.windows.abs().max()))
    assert signals.low[-1].tolist() == truth.boxes[0, 0].tolist()


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (
            lambda a: a.top("relu3", 0),
            "layer 'relu3' is not in the atlas; the nearest names are 'relu6', 'relu2', 'relu1'",
        ),
        (lambda a: a.stats("zzz"), "layer 'zzz' is not in the atlas. It has 'relu1', 'relu2'"),
        (lambda a: a.picture("relu1", 3), "'relu1' has 3 feature maps, counted from 0; got 3"),
        (lambda a: a.top("relu1", -1), "got -1"),
        (
            lambda a: a.find(image="chelsee"),
            r"'chelsee' is not among the 9 strongest .* names are 'chelsea', .*\. atlas\.to_frame\(\)\['image'\] lists",
        ),
        (lambda a: a.find(image="broken.jpg"), r"'broken.jpg' was skipped when the atlas was built: it is empty"),
    ],
)
def test_what_is_not_in_the_atlas_is_told_with_near_names(atlas, look, words):
    with pytest.raises(ArgumentError, match=words):
        look(atlas)


def test_an_unknown_layer_is_the_error_of_networks_too(atlas):
    with pytest.raises(LayerNotFoundError):
        atlas.signals("relu3")


def test_an_atlas_is_gone_through_map_by_map(atlas):
    maps = list(atlas)
    assert [(each.layer, each.channel) for each in maps] == [
        (layer, channel) for layer in atlas.layers for channel in range(3)
    ]
    assert atlas["relu2", 2] == atlas[5] == atlas[-4] == maps[5]
    assert atlas["relu2"] == tuple(maps[3:6]) == atlas[3:6]
    assert maps[5].top == atlas.top("relu2", 2) and maps[5].stats == atlas.stats("relu2")[2]
    assert maps[5].picture().tobytes() == atlas.picture("relu2", 2).tobytes()
    for index in (9, "relu9", ("relu2", 3), ("relu2", 1, 1), None, (1, 2)):
        with pytest.raises(ArgumentError):
            atlas[index]


def test_tables_of_an_atlas_are_columns_without_nested_values(atlas):
    table = atlas.to_frame()
    rows = [row for each in atlas for row in each.top]
    names = ["layer", "channel", "rank", "activation", "image", "index", "y", "x", "y0", "x0", "y1", "x1"]
    assert list(table) == names and len(table) == len(rows)
    for row, values in zip(rows, table.to_dict("records"), strict=True):
        of_row = [getattr(row, name) for name in names[:6]]
        assert [values[name] for name in (*names[:6], *names[8:])] == [*of_row, *row.box.low, *row.box.high]
        if row.position:
            assert (values["y"], values["x"]) == row.position
    assert atlas.to_frame(layer="relu2")["layer"].unique().tolist() == ["relu2"]
    assert atlas.to_frame("stats", layer="relu2")["dead"].tolist() == [False, True, False]
    assert len(atlas.to_frame("stats")) == 9 and atlas.to_frame("skipped")["image"].tolist() == ["broken.jpg"]
    for table, layer in (("tops", None), ("skipped", "relu1"), ("top", "relu9")):
        with pytest.raises(ArgumentError):
            atlas.to_frame(table, layer=layer)


def test_looking_imports_no_torch(made, tmp_path):
    code = f"""
import sys
from deconvnet.atlas.reader import Atlas
atlas = Atlas.open({str(made[0])!r})
atlas.picture("relu1", 0), atlas.find(image="coffee"), atlas.top("relu6", 0)
atlas.stats("relu2"), atlas.signals("relu1")
atlas.sheet("relu2").save({str(tmp_path / "a.pdf")!r})
print("torch" in sys.modules)
"""
    source = str(Path(deconvnet.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_large_atlas_is_looked_at_quickly(tmp_path, made):
    """Looking up a map must not walk through all rows: as many look-ups as this took minutes then."""
    maps, k = 30_000, 9
    layer = AtlasLayer("big", maps, (4, 4), None, (3, 3), 8)
    rows = maps * k
    zeros = np.zeros(rows, np.int64)
    index = np.arange(rows) % 50_000
    write_top(tmp_path, [layer], k, {
        "layer": np.full(rows, "big"), "channel": np.repeat(np.arange(maps), k), "rank": np.tile(np.arange(k), maps),
        "activation": np.tile(np.arange(k, 0, -1.0), maps), "image": np.char.add("photo", index.astype(str)),
        "index": index, **dict.fromkeys(("y", "x", "top", "left"), zeros),
        **dict.fromkeys(("bottom", "right"), zeros + 1),
    })  # fmt: skip
    numbers = dict.fromkeys(("mean", "max", "active", "q10", "q50", "q90", "q99"), np.full(maps, float(k)))
    write_stats(tmp_path, [layer], {
        "layer": np.full(maps, "big"), "channel": np.arange(maps), "photos": np.full(maps, 50_000), **numbers,
        "dead": np.zeros(maps, bool),
    })  # fmt: skip
    write_skipped(tmp_path, [])
    photos = PhotoSource("many", 50_000, "")
    write_manifest(tmp_path, replace(made[1], layers=(layer,), photos=photos, counts=Counts(50_000, 0)))
    atlas = Atlas.open(tmp_path)
    for channel in range(0, maps, 10):
        assert len(atlas.top("big", channel)) == k
    assert len(atlas.find(image="photo7")) == 6


def test_folders_that_are_not_an_atlas_are_told_apart(tmp_path, folder):
    with pytest.raises(AtlasError, match=r"the folder .*nowhere' does not exist"):
        Atlas.open(tmp_path / "nowhere")
    (folder / MANIFEST).unlink()
    with pytest.raises(AtlasError, match=r"is not an atlas: manifest\.json, .* is missing.* finish it first"):
        Atlas.open(folder)
