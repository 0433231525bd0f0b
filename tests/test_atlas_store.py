"""An atlas on disk: what is written is read back, whole, the same each time, and nothing else passes for it."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from atlases import DEAD, PHOTOS, SKIPPED, little_atlas, network
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import deconvnet
from deconvnet import ArgumentError, AtlasError, DeconvNetError, LayerNotFoundError
from deconvnet._types import Box, TopActivation
from deconvnet.atlas.manifest import MANIFEST, AtlasLayer, Manifest, read_manifest, write_manifest
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.store import Signals, read_signals, safe_name, start_atlas, strip_path, write_signals, write_strip
from deconvnet.atlas.tables import SkippedPhoto, read_skipped, read_top, write_skipped, write_stats, write_top

TABLES = ("top.parquet", "stats.parquet", "skipped.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("made") / "atlas"
    return folder, little_atlas(folder, keep_signal=True)


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(made[0], tmp_path / "atlas"))


@pytest.fixture(scope="module")
def atlas(made) -> Atlas:
    return Atlas.open(made[0])


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


# ---- round trips


def test_a_manifest_comes_back_as_it_was(made):
    assert read_manifest(made[0]) == made[1]
    loaded = network()[0]
    assert deconvnet.Preprocess(**made[1].preprocess) == loaded.preprocess
    assert deconvnet.RuleSet(**made[1].rules).name == "deconvnet"


def test_a_manifest_says_its_version_first_and_no_place(made):
    text = (made[0] / MANIFEST).read_text(encoding="ascii")
    assert text.startswith('{\n  "format_version": 1,\n')
    assert str(made[0]) not in text and str(Path.home()) not in text


def test_top_rows_come_back_as_they_were(tmp_path):
    write_top(tmp_path, [LAYER, FLAT], 2, top_columns())
    table, numbers = read_top(tmp_path, [LAYER, FLAT], 2)
    assert numbers.tolist() == [0, 0, 1, 2]
    columns = {name: np.asarray(column).tolist() for name, column in top_columns().items()}
    assert table.to_pydict() == {**columns, "y": [3, 0, 1, None], "x": [0, 3, 1, None]}
    assert [str(field.type) for field in table.schema] == [
        "string", "int32", "int32", "float", "string", "int64", *["int32"] * 6
    ]  # fmt: skip


def test_tables_without_rows_are_tables(tmp_path):
    write_top(tmp_path, [LAYER], 2, {name: [] for name in top_columns()})
    write_skipped(tmp_path, [])
    assert read_top(tmp_path, [LAYER], 2)[0].num_rows == 0
    assert read_skipped(tmp_path) == ()


def test_skipped_photos_are_sorted_by_their_numbers(tmp_path):
    rows = [SkippedPhoto(7, "b", "cut off"), SkippedPhoto(2, "a", "not an image")]
    write_skipped(tmp_path, rows)
    assert read_skipped(tmp_path) == (rows[1], rows[0])


@settings(deadline=None)
@given(scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e9, 1e30]), seed=st.integers(0, 9))
def test_signals_of_any_strength_come_back_to_half_precision(tmp_path_factory, scale, seed):
    folder = tmp_path_factory.mktemp("signals")
    windows = np.random.default_rng(seed).normal(size=(3, 2, 5, 4)).astype(np.float32) * np.float32(scale)
    windows[1] = 0
    low = np.array([[-1, 2], [0, 0], [5, -7]])
    write_signals(folder, "a", Signals.of(windows, low))
    read = read_signals(folder, "a")
    for i, window in enumerate(windows):
        assert np.abs(read.window(i) - window).max() <= 1e-3 * np.abs(window).max()
    assert np.array_equal(read.low, low)


def test_the_same_rows_and_pictures_give_the_same_bytes(made, tmp_path):
    little_atlas(tmp_path / "again", keep_signal=True)
    assert files(tmp_path / "again") == files(made[0])


def test_other_programs_read_the_tables(made):
    pandas = pytest.importorskip("pandas")
    top = pandas.read_parquet(made[0] / "top.parquet")
    assert set(top["image"]) <= set(PHOTOS) and top["y"].isna().any()
    alive = pandas.read_parquet(made[0] / "stats.parquet").query("not dead")
    strongest = top[top["rank"] == 0].set_index(["layer", "channel"])["activation"]
    assert (alive.set_index(["layer", "channel"])["max"] == strongest).all()
    assert pandas.read_parquet(made[0] / "skipped.parquet")["image"].tolist() == [SKIPPED.image]


# ---- names


def original(name: str) -> str:
    """A safe name's layer, letter by letter; the slow way back."""
    read = bytearray()
    while name:
        if name[0] == "=":
            read += bytes.fromhex(name[1:3])
            name = name[3:]
        elif name[0] == "!":
            read += name[1].upper().encode()
            name = name[2:]
        else:
            read += name[0].encode()
            name = name[1:]
    return read.decode()


@settings(deadline=None)
@given(layer=st.text(max_size=9) | st.text("aA=!./#_-", max_size=30))
@example("aux.conv")
@example("..")
@example("CON")
@example("")
def test_safe_names_can_be_read_back_and_are_allowed_everywhere(layer):
    name = safe_name(layer)
    assert original(name) == layer
    assert re.fullmatch(r"[a-z0-9._=!-]+", name)
    assert name[0] != "." and name[-1] != "."
    assert not re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", name.split(".")[0])


@settings(deadline=None)
@given(one=st.text("aAbB/", min_size=100, max_size=400), other=st.text("aAbB/", min_size=100, max_size=400))
@example("a" * 300, "a" * 301)
@example("a" * 119 + "A", "A" * 200)
def test_long_names_stay_apart_and_short(one, other):
    assert len(safe_name(one)) <= 120
    assert (safe_name(one) == safe_name(other)) == (one == other)
    assert original(safe_name(one)) == one if "==" not in safe_name(one) else len(safe_name(one)) == 120


def test_layers_whose_names_differ_in_case_alone_have_folders_of_their_own(tmp_path):
    layers = [replace(LAYER, name=name) for name in ("Conv", "conv", "!conv", "conv/", "conv=2f")]
    for i, layer in enumerate(layers):
        write_strip(tmp_path, layer, 0, "signal", Image.new("RGB", (8, 8), (i, i, i)))
    folders = [path.name.casefold() for path in (tmp_path / "pictures").iterdir()]
    assert len(set(folders)) == len(layers)


def test_two_layers_of_one_name_are_refused(made):
    with pytest.raises(ArgumentError, match="no two of one name"):
        replace(made[1], layers=made[1].layers[:1] * 2)


# ---- reading


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
    write_stats(tmp_path, [LAYER, FLAT], stats_columns())
    write_skipped(tmp_path, [])
    write_manifest(tmp_path, replace(made[1], layers=(LAYER, FLAT), k=2))
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
        (lambda a: a.top("relu3", 0), "no layer 'relu3'; the nearest names are 'relu6', 'relu2', 'relu1'"),
        (lambda a: a.stats("zzz"), "no layer 'zzz'; the nearest names are none"),
        (lambda a: a.picture("relu1", 3), "there are 3 feature maps in 'relu1', numbered from 0; got 3"),
        (lambda a: a.top("relu1", -1), "got -1"),
        (lambda a: a.find(image="chelsee"), "no photo 'chelsee' is among the 9 strongest .* names are 'chelsea'"),
        (lambda a: a.find(image="broken.jpg"), r"'broken.jpg' was skipped when the atlas was built: it is empty"),
    ],
)
def test_what_is_not_in_the_atlas_is_told_with_near_names(atlas, look, words):
    with pytest.raises(ArgumentError, match=words):
        look(atlas)


def test_an_unknown_layer_is_the_error_of_networks_too(atlas):
    with pytest.raises(LayerNotFoundError):
        atlas.signals("relu3")


def test_looking_imports_no_torch(made, tmp_path):
    code = f"""
import sys
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.sheet import save_sheet
atlas = Atlas.open({str(made[0])!r})
atlas.picture("relu1", 0), atlas.find(image="coffee"), atlas.top("relu6", 0)
atlas.stats("relu2"), atlas.signals("relu1")
save_sheet(atlas, "relu2", {str(tmp_path / "a.pdf")!r})
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
        "index": index, **dict.fromkeys(("y", "x", "top", "left", "bottom", "right"), zeros),
    })  # fmt: skip
    numbers = dict.fromkeys(("mean", "max", "active", "q10", "q50", "q90", "q99"), np.ones(maps))
    write_stats(tmp_path, [layer], {
        "layer": np.full(maps, "big"), "channel": np.arange(maps), "photos": np.full(maps, 50_000), **numbers,
        "dead": np.zeros(maps, bool),
    })  # fmt: skip
    write_skipped(tmp_path, [])
    write_manifest(tmp_path, replace(made[1], layers=(layer,)))
    atlas = Atlas.open(tmp_path)
    for channel in range(0, maps, 10):
        assert len(atlas.top("big", channel)) == k
    assert len(atlas.find(image="photo7")) == 6


# ---- what is no atlas


def test_folders_that_are_no_atlas_are_told_apart(tmp_path, folder):
    with pytest.raises(AtlasError, match=r"there is no folder .*nowhere"):
        Atlas.open(tmp_path / "nowhere")
    (folder / MANIFEST).unlink()
    with pytest.raises(AtlasError, match=r"is no atlas: it has no manifest\.json.* finish that first"):
        Atlas.open(folder)


def test_a_newer_format_is_refused_with_what_to_do(folder):
    data = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({"format_version": 2, "layers": "in a new way"}))
    with pytest.raises(AtlasError, match=r"manifest\.json' has format_version 2, .* pip install --upgrade deconvnet"):
        Atlas.open(folder)
    (folder / MANIFEST).write_text(json.dumps({**data, "added": "later"}))
    assert len(Atlas.open(folder)) == 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("k"), "the manifest lacks k"),
        (lambda m: m.pop("format_version"), "format_version"),
        (lambda m: m.update(format_version="1"), "format_version is '1'"),
        (lambda m: m.update(layers=[]), "at least one layer"),
        (lambda m: m["layers"][0].update(channels="3"), "channels is '3'"),
        (lambda m: m["layers"][0].update(tile=0), "0 pixels for each"),
        (lambda m: m["layers"][1].update(name="relu1"), "no two of one name"),
        (lambda m: m.update(k=True), "k is True"),
        (lambda m: m.update(model=None), "model is None"),
    ],
)
def test_a_manifest_that_says_something_else_is_damaged(folder, change, words):
    data = json.loads((folder / MANIFEST).read_text())
    change(data)
    (folder / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(AtlasError, match=rf"manifest\.json' is damaged .*{words}.* build it anew"):
        Atlas.open(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b'{"format_version": 1', b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_damaged(folder, content):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(AtlasError, match=r"manifest\.json' is damaged"):
        Atlas.open(folder)


@pytest.mark.parametrize("table", TABLES)
def test_missing_and_truncated_tables_are_named(folder, table):
    whole = (folder / table).read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        (folder / table).write_bytes(whole[:length])
        with pytest.raises(AtlasError, match=rf"{table}' is damaged .* Fetch the atlas again, or build it anew"):
            Atlas.open(folder)
    (folder / table).unlink()
    with pytest.raises(AtlasError, match=rf"{table}' is missing\. Fetch the atlas again"):
        Atlas.open(folder)


@pytest.mark.parametrize("table", TABLES)
def test_flipped_bits_in_the_rows_are_found(folder, table):
    whole = (folder / table).read_bytes()
    truth = pq.read_table(folder / table)
    for place in np.random.default_rng(0).integers(
        4, pq.ParquetFile(folder / table).metadata.row_group(0).total_byte_size, 40
    ):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1
        (folder / table).write_bytes(spoilt)
        try:
            Atlas.open(folder)
        except AtlasError as fault:
            assert table in str(fault)
        else:
            assert pq.read_table(folder / table).equals(truth)


def test_a_table_of_other_columns_is_damaged(folder):
    pq.write_table(pa.table({"layer": ["relu1"]}), folder / "stats.parquet")
    with pytest.raises(AtlasError, match=r"stats\.parquet' is damaged \(its columns are layer"):
        Atlas.open(folder)


def test_tables_of_another_atlas_are_refused(folder, tmp_path):
    little_atlas(tmp_path / "other", ("relu1",), 2)
    shutil.copy(tmp_path / "other" / "stats.parquet", folder)
    with pytest.raises(AtlasError, match=r"stats\.parquet' is damaged .*not one row for each of the 9 feature maps"):
        Atlas.open(folder)


@pytest.mark.parametrize("kind", ["signal", "patch"])
def test_pictures_that_are_missing_or_damaged_are_named(folder, kind):
    path = strip_path(folder, "relu1", 0, kind)
    whole = path.read_bytes()
    for content in (b"", b"no picture", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(AtlasError, match=rf"0\.{kind}\.webp' is damaged"):
            Atlas.open(folder).picture("relu1", 0)
    Image.new("RGB", (24, 24)).save(path)
    with pytest.raises(AtlasError, match=r"it has 24 x 24 pixels, and 24 x 216 belong there"):
        Atlas.open(folder).picture("relu1", 0)
    path.unlink()
    with pytest.raises(AtlasError, match=rf"0\.{kind}\.webp' is missing"):
        Atlas.open(folder).picture("relu1", 0)


def test_signals_that_are_missing_or_damaged_are_named(folder):
    path = folder / "signals" / "relu1.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(AtlasError, match=r"relu1\.safetensors' is damaged"):
        Atlas.open(folder).signals("relu1")
    path.unlink()
    with pytest.raises(AtlasError, match="keeps no signals of 'relu1'"):
        Atlas.open(folder).signals("relu1")


# ---- writing


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"channel": [0, 1, 0, 0]}, "not sorted by layer and channel"),
        ({"layer": ["b", "a", "a", "a"]}, "not sorted by layer and channel|not one of its layer's"),
        ({"layer": ["a", "a", "a", "c"]}, "no layer 'c' in the manifest"),
        ({"channel": [0, 0, 2, 0]}, "a channel is not one of its layer's"),
        ({"channel": [-1, 0, 1, 0]}, "a channel is not one of its layer's"),
        ({"rank": [0, 0, 0, 0]}, "ranks of a map do not run from 0 to 1"),
        ({"rank": [1, 2, 0, 0]}, "ranks of a map do not run from 0"),
        ({"activation": [2.0, 3.0, 1.0, 5.0]}, "activations of a map rise"),
        ({"activation": [np.nan, 3.0, 1.0, 5.0]}, "activation holds NaN or infinity"),
        ({"image": ["x.jpg", None, "x.jpg", "z"]}, "image"),
        ({"top": [2**40, 0, 0, 0]}, "top.parquet cannot hold these rows"),
        ({"top": [0, 0]}, "top.parquet cannot hold these rows"),
        ({"height": [0, 0, 0, 0]}, "has the columns layer, channel, rank"),
    ],
)
def test_rows_that_cannot_be_right_are_not_written(tmp_path, changed, words):
    with pytest.raises(ArgumentError, match=words):
        write_top(tmp_path, [LAYER, FLAT], 2, top_columns(**changed))
    assert list(tmp_path.iterdir()) == []


def test_stats_of_each_map_are_needed(tmp_path):
    with pytest.raises(ArgumentError, match=r"stats.parquet cannot hold .* one row for each of the 3 feature maps"):
        write_stats(tmp_path, [LAYER, FLAT], {name: column[:2] for name, column in stats_columns().items()})
    with pytest.raises(ArgumentError, match="q50 holds NaN"):
        write_stats(tmp_path, [LAYER, FLAT], stats_columns(q50=[0, np.nan, 0]))


def test_strips_of_other_sizes_are_refused(tmp_path):
    for image in (
        Image.new("RGB", (8, 9)),
        Image.new("RGB", (12, 8)),
        Image.new("L", (8, 8)),
        Image.new("RGB", (0, 8)),
    ):
        with pytest.raises(ArgumentError, match="a row of RGB squares of 8 pixels"):
            write_strip(tmp_path, LAYER, 0, "patch", image)
    with pytest.raises(ArgumentError, match="'a' has 2 feature maps; got channel 2"):
        write_strip(tmp_path, LAYER, 2, "patch", Image.new("RGB", (8, 8)))


def test_strips_that_webp_cannot_hold_are_refused_before_any_work(made):
    wide = replace(made[1].layers[0], tile=2000)
    with pytest.raises(ArgumentError, match="9 tiles of 2000 pixels"):
        replace(made[1], layers=(wide,))


def test_signals_of_other_shapes_are_refused():
    good = Signals.of(np.ones((2, 3, 4, 4)), np.zeros((2, 2), int))
    with pytest.raises(ArgumentError, match="float16 windows"):
        replace(good, windows=good.windows.astype(np.float64))
    with pytest.raises(ArgumentError, match="one scale and one corner for each window"):
        replace(good, scale=good.scale[:1])


def test_an_atlas_that_is_there_is_kept(folder):
    before = files(folder)
    with pytest.raises(ArgumentError, match=r"holds an atlas already\. Give another folder"):
        start_atlas(folder)
    assert files(folder) == before


def test_a_manifest_that_json_cannot_hold_is_refused(made, tmp_path):
    for wrong in (float("nan"), Path("a")):
        with pytest.raises(ArgumentError, match="what JSON cannot"):
            write_manifest(tmp_path, replace(made[1], rules={"a": wrong}))
    assert list(tmp_path.iterdir()) == []


WRITERS = {
    "manifest": lambda folder, made: write_manifest(folder, made),
    "top": lambda folder, made: write_top(folder, [LAYER, FLAT], 2, top_columns()),
    "stats": lambda folder, made: write_stats(folder, [LAYER, FLAT], stats_columns()),
    "skipped": lambda folder, made: write_skipped(folder, [SKIPPED]),
    "strip": lambda folder, made: write_strip(folder, LAYER, 0, "signal", Image.new("RGB", (8, 8))),
    "signals": lambda folder, made: write_signals(
        folder, "a", Signals.of(np.ones((1, 3, 2, 2)), np.zeros((1, 2), int))
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_disk_or_a_folder_that_cannot_be_written_leaves_no_half_file(tmp_path, monkeypatch, made, writer, code):
    WRITERS[writer](tmp_path, made[1])
    before = files(tmp_path)

    class Full:
        def __init__(self, path: Path) -> None:
            self.file = path_open(path, "xb")

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> int:
            self.file.write(bytes(data)[:5])
            raise OSError(code, os.strerror(code))

    path_open = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if mode != "xb":
            return path_open(path, mode, *rest, **options)
        if code == errno.ENOSPC:
            return Full(path)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(DeconvNetError, match=rf"cannot write .*: .*{os.strerror(code)}"):
        WRITERS[writer](tmp_path, made[1])
    monkeypatch.undo()
    assert files(tmp_path) == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DeconvNetError, match="cannot make the folder"):
        start_atlas(tmp_path / "file" / "atlas")
    (tmp_path / "pictures").touch()
    with pytest.raises(DeconvNetError, match="cannot make the folder"):
        write_strip(tmp_path, LAYER, 0, "signal", Image.new("RGB", (8, 8)))
