"""Rows come back as they were; those that cannot be right are not written, and damaged ones not read."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.atlases import FLAT, LAYER, PHOTOS, SKIPPED, TABLES, little_atlas, stats_columns, top_columns

from deconvnet import ArgumentError, AtlasError
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.tables import SkippedPhoto, read_skipped, read_top, write_skipped, write_stats, write_top


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
    assert read_skipped(tmp_path, 0) == ()


def test_skipped_photos_are_sorted_by_their_numbers(tmp_path):
    rows = [SkippedPhoto(7, "b", "cut off"), SkippedPhoto(2, "a", "not an image")]
    write_skipped(tmp_path, rows)
    assert read_skipped(tmp_path, 2) == (rows[1], rows[0])


def test_other_programs_read_the_tables(made):
    pandas = pytest.importorskip("pandas")
    top = pandas.read_parquet(made[0] / "top.parquet")
    assert set(top["image"]) <= set(PHOTOS) and top["y"].isna().any()
    alive = pandas.read_parquet(made[0] / "stats.parquet").query("not dead")
    strongest = top[top["rank"] == 0].set_index(["layer", "channel"])["activation"]
    assert (alive.set_index(["layer", "channel"])["max"] == strongest).all()
    assert pandas.read_parquet(made[0] / "skipped.parquet")["image"].tolist() == [SKIPPED.image]


@pytest.mark.parametrize("table", TABLES)
def test_missing_and_truncated_tables_are_named(folder, table):
    whole = (folder / table).read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        (folder / table).write_bytes(whole[:length])
        with pytest.raises(AtlasError, match=rf"{table}' is damaged: .* Fetch the atlas again, or build it anew"):
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
    with pytest.raises(AtlasError, match=r"stats\.parquet' is damaged: its columns are layer"):
        Atlas.open(folder)


def test_tables_of_another_atlas_are_refused(folder, tmp_path):
    little_atlas(tmp_path / "other", ("relu1",), 2)
    shutil.copy(tmp_path / "other" / "stats.parquet", folder)
    with pytest.raises(AtlasError, match=r"stats\.parquet' is damaged: it has 2 rows, where 9 belong"):
        Atlas.open(folder)


@pytest.mark.parametrize(
    ("table", "column", "value", "words"),
    [
        ("stats", "photos", 13, "stats.parquet' is damaged: it counts other photos"),
        ("stats", "dead", True, "top.parquet' is damaged: its maps are not those that respond"),
        ("stats", "max", 99.0, "top.parquet' is damaged: its strongest activations are not those of stats.parquet"),
        ("top", "index", 15, "top.parquet' is damaged: a photo is not one of the set's"),
        ("top", "index", -1, "top.parquet' is damaged: a photo is not one of the set's"),
        ("top", "bottom", -999, "top.parquet' is damaged: a box is empty"),
    ],
)
def test_tables_that_contradict_one_another_are_refused(folder, table, column, value, words):
    path = folder / f"{table}.parquet"
    rows = pq.read_table(path)
    changed = [value, *rows[column].to_pylist()[1:]]
    index = rows.schema.get_field_index(column)
    pq.write_table(rows.set_column(index, rows.schema.field(column), pa.array(changed, rows[column].type)), path)
    with pytest.raises(AtlasError, match=words):
        Atlas.open(folder)


def test_photos_that_were_skipped_are_counted(folder):
    write_skipped(folder, [])
    with pytest.raises(AtlasError, match=r"skipped\.parquet' is damaged: it has 0 rows, where 1 belong"):
        Atlas.open(folder)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"channel": [0, 1, 0, 0]}, "not sorted by layer and channel"),
        ({"layer": ["b", "a", "a", "a"]}, "not sorted by layer and channel|not one of its layer's"),
        ({"layer": ["a", "a", "a", "c"]}, "layer 'c' is not in the manifest"),
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
