"""What the pictures of an atlas rest on: the numbers of the quick set, and the same bytes after any interruption."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support.atlases import files
from support.crashes import Crash, crashing
from torch import nn

from deconvnet import ArgumentError, AtlasError, DeconvNet, DeconvNetError, LoadedModel, PhotoError, Preprocess, probes
from deconvnet._folders import UNFINISHED
from deconvnet.atlas import top_trust, unfinished, write
from deconvnet.atlas.build import build_atlas
from deconvnet.atlas.jobs import merge_shards, scan_shard
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.trust_summary import AtlasTrust, Cosines
from deconvnet.photos.photo import load_photo

TRUST = {"trust": probes.twins, "trust_samples": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Eleven photos, of which three are the same."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(5)
    samples = [load_photo(f"sample:{name}").image() for name in ("chelsea", "astronaut", "coffee")]
    for i in range(9):
        left, top = (int(random.integers(0, length - 60)) for length in samples[i % 3].size)
        samples[i % 3].crop((left, top, left + 60, top + 50)).save(folder / f"{i}.png")
    for name in ("3b.png", "3c.png"):
        shutil.copy(folder / "3.png", folder / name)
    return folder


@pytest.fixture(scope="module")
def build(net, loaded, photos) -> Callable[..., Atlas]:
    def built(out: Path, **options: Any) -> Atlas:
        return build_atlas(net, photos, out=out, **{"loaded": loaded, "batch": 3, "k": 4, **TRUST, **options})

    return built


@pytest.fixture(scope="module")
def atlas(build, tmp_path_factory) -> Atlas:
    return build(tmp_path_factory.mktemp("whole") / "atlas")


def rows_of(atlas: Atlas) -> list[dict[str, Any]]:
    return pq.read_table(atlas.folder / "trust.parquet").to_pylist()


def test_each_row_is_what_the_quick_set_says_of_the_unit_in_its_photo(atlas, net, loaded, photos):
    for row in rows_of(atlas):
        top = atlas.top(row["layer"], row["channel"])[row["rank"]]
        x, other = (loaded.preprocess.images(photos / name) for name in (top.image, row["other_photo"]))
        alone = net.project(x, top.layer, channel=top.channel, position=top.position)
        quick = probes.quick_trust(net, x, alone, others=other)
        assert row["other_unit"] == pytest.approx(float(quick.other_units[0, 0]), abs=1e-6)
        assert row["other_image"] == pytest.approx(float(quick.other_image[0]), abs=1e-6)
        assert row["other_channel"] != row["channel"] and not torch.equal(x, other)


def test_some_of_each_living_map_are_measured_evenly_spaced_over_its_ranks(atlas):
    measured = [(row["layer"], row["channel"], row["rank"]) for row in rows_of(atlas)]
    expected = []
    for each in atlas:
        count = len(each.top)
        ranks = range(count) if count <= 2 else (0, count // 2)
        expected += [(each.layer, each.channel, rank) for rank in ranks]
    assert measured == expected
    assert atlas.stats("4")[2].dead and atlas.trust("4", 2) is None


def test_a_map_and_a_layer_have_medians_and_ranges(atlas):
    of_map = [row for row in rows_of(atlas) if (row["layer"], row["channel"]) == ("4", 0)]
    cosines = sorted(row["other_unit"] for row in of_map)
    trust = atlas["4", 0].trust
    assert trust == atlas.trust("4", 0) and trust.samples == 2
    assert trust.other_unit == Cosines(2, pytest.approx(np.mean(cosines)), cosines[0], cosines[1])
    layer = atlas.trust("4")
    assert layer.samples == len([row for row in rows_of(atlas) if row["layer"] == "4"])
    assert layer.other_image.low <= layer.other_image.median <= layer.other_image.high
    table = atlas.to_frame("trust", layer="4")
    assert list(table["other_channel"]) == [row["other_channel"] for row in rows_of(atlas) if row["layer"] == "4"]


def test_where_nothing_depends_on_the_photo_its_switches_change_nothing(atlas):
    assert atlas.layers["1"].image_free and atlas.trust("1").other_image.low == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bytes(atlas, build, tmp_path, workers):
    assert files(build(tmp_path / "a", workers=workers).folder) == files(atlas.folder)


def test_parts_merge_to_the_same_bytes(atlas, net, loaded, photos, tmp_path):
    parts = [tmp_path / "0", tmp_path / "1"]
    for i, out in enumerate(parts):
        scan_shard(net, photos, shard=(i, 2), out=out, loaded=loaded, batch=3, k=4, **TRUST)
    arguments = {"net": net, "photos": photos, "shards": parts, "out": tmp_path / "a", "loaded": loaded}
    with pytest.raises(ArgumentError, match=r"scanned with trust=: give trust=probes\.twins"):
        merge_shards(**arguments)
    merged = merge_shards(**arguments, trust=probes.twins)
    assert files(merged.folder) == files(atlas.folder)


@pytest.mark.parametrize(
    ("where", "name", "call"),
    [
        (top_trust, "_measure", 2), (unfinished.Unfinished, "save_trust", 1), (unfinished.Unfinished, "save_trust", 2),
        (write, "write_trust", 1), (write, "write_manifest", 1),
    ],
)  # fmt: skip
def test_after_a_crash_anywhere_it_goes_on_to_the_same_bytes(atlas, build, tmp_path, monkeypatch, where, name, call):
    monkeypatch.setattr(top_trust, "_SAVE_SECONDS", -1)
    with monkeypatch.context() as patch:
        crashing(patch, where, name, call)
        with pytest.raises(Crash):
            build(tmp_path / "a")
    assert files(build(tmp_path / "a", resume=True).folder) == files(atlas.folder)


def test_what_was_measured_is_not_measured_again(build, tmp_path, monkeypatch):
    asked: list[int] = []

    def counting(net, x, units, others):
        asked.append(len(units))
        return probes.twins(net, x, units, others)

    monkeypatch.setattr(top_trust, "_SAVE_SECONDS", -1)
    with monkeypatch.context() as patch:
        crashing(patch, unfinished.Unfinished, "save_trust", 2)
        with pytest.raises(Crash):
            build(tmp_path / "a", trust=counting)
    atlas = build(tmp_path / "a", trust=counting, resume=True)
    assert sum(asked) == len(rows_of(atlas)) and len(asked) == 3


def test_a_damaged_file_of_measurements_is_told(build, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        crashing(patch, unfinished.Unfinished, "save_trust")
        with pytest.raises(Crash):
            build(tmp_path)
    (tmp_path / UNFINISHED / "trust.safetensors").write_bytes(b"x" * 500)
    with pytest.raises(AtlasError, match=r"trust\.safetensors' is damaged.*Remove it and continue"):
        build(tmp_path, resume=True)


def test_a_photo_that_changes_before_it_is_looked_at_again_is_told(build, net, loaded, photos, tmp_path):
    copied = shutil.copytree(photos, tmp_path / "photos")

    def change(stage: str, done: int, total: int, *_: object) -> None:
        if stage == "project" and done == total:
            for path in copied.iterdir():
                load_photo(path).image().rotate(90).save(path)

    with pytest.raises(PhotoError, match="has changed since it was read first"):
        build_atlas(net, copied, k=2, out=tmp_path / "a", loaded=loaded, progress=change, **TRUST)


def test_a_single_photo_has_no_other_and_a_single_map_no_other_unit(tmp_path):
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(1, 2, 3), nn.ReLU())
    loaded = LoadedModel(model.eval(), Preprocess((16, 16), 16, (0.5,) * 3, (0.25,) * 3), None, "net.py:make")
    net = DeconvNet(loaded.model, loaded.example_input)
    atlas = build_atlas(net, ["sample:chelsea"], out=tmp_path / "a", loaded=loaded, **TRUST)
    assert atlas.trust("1") in (AtlasTrust(1, None, None), None)
    for row in rows_of(atlas):
        assert row["other_image"] is row["other_photo"] is row["other_index"] is None
    two = build_atlas(net, ["sample:chelsea"] * 2, out=tmp_path / "b", loaded=loaded, batch=1, **TRUST)
    assert all(row["other_image"] is None for row in rows_of(two))  # the same photo is not another
    assert "NaN" not in json.dumps(atlas.trust("1").facts() if atlas.trust("1") else {})


def test_an_atlas_of_dead_maps_has_an_empty_table(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    nn.init.constant_(model[0].bias, -1e3)
    loaded = LoadedModel(model.eval(), Preprocess((16, 16), 16, (0.5,) * 3, (0.25,) * 3), None, "net.py:make")
    net = DeconvNet(loaded.model, loaded.example_input)
    atlas = build_atlas(net, ["sample:chelsea"], out=tmp_path / "a", loaded=loaded, **TRUST)
    assert rows_of(atlas) == [] and atlas.trust("1") is atlas.trust("1", 0) is None
    assert len(atlas.to_frame("trust")["layer"]) == 0


def test_an_atlas_without_it_opens_and_says_so(build, tmp_path):
    atlas = build(tmp_path / "a", trust=None, trust_samples=None)
    assert not (atlas.folder / "trust.parquet").exists()
    manifest = json.loads((atlas.folder / "manifest.json").read_text())
    del manifest["trust_samples"]  # as it was before there was such a table
    (atlas.folder / "manifest.json").write_text(json.dumps(manifest))
    old = Atlas.open(atlas.folder)
    assert old.trust("4", 0) is old["4", 0].trust is None
    with pytest.raises(ArgumentError, match=r"does not say what its pictures rest on\. Build it with .*--trust"):
        old.to_frame("trust")
    with pytest.raises(DeconvNetError, match="trust_samples=0, now trust_samples=2"):
        build(tmp_path / "a", resume=True)
    assert build(tmp_path / "a", trust=None, trust_samples=None, resume=True).folder == atlas.folder


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trust": 3}, "trust is a function"), ({"trust_samples": 0}, "trust_samples is a whole number, 1"),
        ({"trust_samples": 2.5}, "trust_samples is a whole number"), ({"trust": None}, "give trust=probes.twins"),
    ],
)  # fmt: skip
def test_wrong_options_are_told_before_anything_is_written(build, tmp_path, options, words):
    with pytest.raises(ArgumentError, match=words):
        build(tmp_path / "a", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("returned", [None, [], [0.5] * 3, probes.Twins(1, 0.5, 0.5)])
def test_a_function_that_returns_something_else_is_told(build, tmp_path, returned):
    with pytest.raises(ArgumentError, match=r"trust= returns \d+ Twins here, as probes\.twins does"):
        build(tmp_path / "a", trust=lambda *_: returned)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("other_unit", 1.5, "other_unit is not a cosine"), ("other_image", float("nan"), "NaN or infinity"),
        ("other_channel", None, "other_unit is of nothing: other_channel is missing"),
        ("other_channel", 99, "other_channel is not another one"), ("rank", 3, "rank"), ("channel", 1, "sorted|rows"),
        ("other_photo", None, "lacks its name"), ("other_index", 99, "not one of the set's"),
    ],
)  # fmt: skip
def test_a_damaged_table_is_told(atlas, tmp_path, column, value, words):
    folder = Path(shutil.copytree(atlas.folder, tmp_path / "a"))
    table = pq.read_table(folder / "trust.parquet")
    values = table[column].to_pylist()
    values[0] = value
    index = table.schema.get_field_index(column)
    spoilt = table.set_column(index, table.schema.field(index), pa.array(values, table.schema.field(index).type))
    pq.write_table(spoilt, folder / "trust.parquet", store_schema=False)
    with pytest.raises(AtlasError, match=rf"trust\.parquet' is damaged.*({words})"):
        Atlas.open(folder)


def test_a_missing_or_shortened_table_is_told(atlas, tmp_path):
    folder = Path(shutil.copytree(atlas.folder, tmp_path / "a"))
    table = pq.read_table(folder / "trust.parquet")
    pq.write_table(table.slice(0, len(table) - 1), folder / "trust.parquet", store_schema=False)
    with pytest.raises(AtlasError, match=r"trust\.parquet' is damaged: it has \d+ rows"):
        Atlas.open(folder)
    (folder / "trust.parquet").unlink()
    with pytest.raises(AtlasError, match=r"trust\.parquet' is missing"):
        Atlas.open(folder)


def test_numbers_are_said_in_a_line_with_what_is_missing_left_out():
    three, single = Cosines(1200, 0.912, 0.851, 0.949), Cosines(1, -0.001, -0.001, -0.001)
    assert AtlasTrust(3, three, single).line() == (
        "cosine with the picture of another unit at the same position 0.91 (median over 1,200 pictures; 0.85 "
        "to 0.95); with that of the same unit in another photo 0.00"
    )
    assert AtlasTrust(3, None, single).line() == "cosine with that of the same unit in another photo 0.00"
    assert "nothing to compare them with" in AtlasTrust(1, None, None).line()
    assert AtlasTrust(3, three, None).facts()["other_image"] is None
    assert AtlasTrust(3, three, single).medians() == "other unit 0.91, other photo 0.00"
