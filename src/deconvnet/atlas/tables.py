"""The tables of an atlas, as Parquet: which feature map was strongest on which photos, and how often each was on.

docs/atlas-format.md describes their columns. Rows are checked when they are written and when they are read.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from deconvnet._errors import ArgumentError
from deconvnet._files import is_file, write_whole
from deconvnet.atlas.manifest import AtlasLayer, Manifest, damaged_atlas, missing

_NULLABLE = ("y", "x", "other_channel", "other_unit", "other_photo", "other_index", "other_image")
_MOST_COSINE = 1 + 1e-6  # rounded


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in _NULLABLE) for name, kind in columns.items()])


_SCHEMAS = {
    "top": _schema(
        layer=pa.string(), channel=pa.int32(), rank=pa.int32(), activation=pa.float32(),
        image=pa.string(), index=pa.int64(), y=pa.int32(), x=pa.int32(),
        top=pa.int32(), left=pa.int32(), bottom=pa.int32(), right=pa.int32(),
    ),
    "stats": _schema(
        layer=pa.string(), channel=pa.int32(), photos=pa.int64(), mean=pa.float64(), max=pa.float32(),
        active=pa.float64(), q10=pa.float32(), q50=pa.float32(), q90=pa.float32(), q99=pa.float32(), dead=pa.bool_(),
    ),
    "skipped": _schema(index=pa.int64(), image=pa.string(), reason=pa.string()),
    "trust": _schema(
        layer=pa.string(), channel=pa.int32(), rank=pa.int32(), other_channel=pa.int32(), other_unit=pa.float32(),
        other_photo=pa.string(), other_index=pa.int64(), other_image=pa.float32(),
    ),
}  # fmt: skip

# All that the bytes depend on besides the rows and pyarrow's version. Checksums tell bits that flipped.
_WRITING = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 9,
    "data_page_version": "1.0",
    "row_group_size": 2**16,
    "store_schema": False,
    "write_page_checksum": True,
}


@dataclass(frozen=True)
class MapStats:
    """What a feature map did over all photos: a row of `stats.parquet`.

    Attributes:
        layer, channel: which map.
        photos: how many were used.
        mean: activation over photos and positions.
        max: the strongest activation.
        active: share of the positions in which it was above zero.
        q10, q50, q90, q99: quantiles of each photo's strongest activation.
        dead: it was above zero nowhere.
    """

    layer: str
    channel: int
    photos: int
    mean: float
    max: float
    active: float
    q10: float
    q50: float
    q90: float
    q99: float
    dead: bool


@dataclass(frozen=True)
class SkippedPhoto:
    """A photo that could not be read: a row of `skipped.parquet`."""

    index: int
    image: str
    reason: str


def write_top(folder: Path, layers: Sequence[AtlasLayer], k: int, columns: Mapping[str, ArrayLike]) -> None:
    """Write `top.parquet`.

    Args:
        folder: of the atlas.
        layers: of the atlas, in the network's order.
        k: the most rows that a feature map may have.
        columns: layer, channel, rank, activation, image, index, y, x, top, left, bottom, right, all of one
            length, sorted by layer, channel and rank; y and x are negative for a layer without spatial axes.

    Raises:
        ArgumentError: other columns, rows out of order, or values that are not finite.
        DeconvNetError: the disk refused.
    """
    _write(folder, "top", columns, lambda table: _check_top(table, layers, k))


def write_stats(folder: Path, layers: Sequence[AtlasLayer], columns: Mapping[str, ArrayLike]) -> None:
    """Write `stats.parquet`: one row for each feature map, sorted by layer and channel; columns as in `MapStats`.

    Raises:
        ArgumentError: other columns, rows out of order, or values that are not finite.
        DeconvNetError: the disk refused.
    """
    _write(folder, "stats", columns, lambda table: _check_stats(table, layers))


def write_skipped(folder: Path, rows: Sequence[SkippedPhoto]) -> None:
    """Write `skipped.parquet`, sorted by the photos' indices.

    Raises:
        DeconvNetError: the disk refused.
    """
    ordered = sorted(rows, key=lambda row: row.index)
    columns = {name: [getattr(row, name) for row in ordered] for name in _SCHEMAS["skipped"].names}
    _write(folder, "skipped", columns, lambda table: None)


def write_trust(folder: Path, layers: Sequence[AtlasLayer], k: int, columns: Mapping[str, ArrayLike]) -> None:
    """Write `trust.parquet`: what the pictures of some top activations rest on.

    Args:
        folder, layers, k: as in `write_top`.
        columns: layer, channel, rank, other_channel, other_unit, other_photo, other_index, other_image, all of one
            length, sorted by layer, channel and rank. Where it was not measured cosines are NaN, the photo is None, and
            other whole numbers are negative.

    Raises:
        ArgumentError: other columns, rows out of order, or values that are not cosines.
        DeconvNetError: the disk refused.
    """
    _write(folder, "trust", columns, lambda table: _check_trust(table, layers, k))


def read_top(folder: Path, layers: Sequence[AtlasLayer], k: int) -> tuple[pa.Table, NDArray[np.int64]]:
    """The table, and for each of its rows the index of its feature map, counted through all layers.

    Raises:
        AtlasError: the file is missing or damaged.
    """
    most = k * sum(layer.channels for layer in layers)
    table = _read(folder, "top", range(most + 1), lambda table: _check_top(table, layers, k))
    return table, _map_indices(table, layers)


def read_stats(folder: Path, layers: Sequence[AtlasLayer]) -> pa.Table:
    """The table: one row for each feature map, in order.

    Raises:
        AtlasError: the file is missing or damaged.
    """
    maps = sum(layer.channels for layer in layers)
    return _read(folder, "stats", range(maps, maps + 1), lambda table: _check_stats(table, layers))


def read_skipped(folder: Path, count: int) -> tuple[SkippedPhoto, ...]:
    """The photos that could not be read.

    Args:
        folder: of the atlas.
        count: how many there should be.

    Raises:
        AtlasError: the file is missing or damaged.
    """
    table = _read(folder, "skipped", range(count, count + 1), lambda table: None)
    return tuple(SkippedPhoto(**row) for row in table.to_pylist())


def read_trust(folder: Path, manifest: Manifest, map_indices: NDArray[np.int64]) -> tuple[pa.Table, NDArray[np.int64]]:
    """The table, and for each of its rows the index of its feature map, counted through all layers.

    Args:
        folder: of the atlas.
        manifest: of the atlas.
        map_indices: from `read_top`.

    Raises:
        AtlasError: the file is missing or damaged.
    """
    layers, samples = manifest.layers, manifest.trust_samples
    maps, ranks = np.unique(map_indices, return_counts=True)
    counts = np.minimum(ranks, samples)
    expected = np.repeat(maps, counts)

    def check(table: pa.Table) -> None:
        _check_trust(table, layers, manifest.k)
        in_order = np.array_equal(_map_indices(table, layers), expected)
        _require(in_order, f"its rows are not {samples} of each map, or all that it has")
        _require(_all(table["rank"].to_numpy() < np.repeat(ranks, counts)), "a rank is not one of its map's")
        index = table["other_index"].drop_null().to_numpy()
        _require(_all((index >= 0) & (index < manifest.photos.count)), "a photo is not one of the set's")

    table = _read(folder, "trust", range(len(expected), len(expected) + 1), check)
    return table, expected


def check_together(
    folder: Path, manifest: Manifest, top: pa.Table, map_indices: NDArray[np.int64], stats: pa.Table
) -> None:
    """Raise unless the tables are of one atlas, that of the manifest.

    Args:
        folder: of the atlas.
        manifest: of the atlas.
        top, map_indices: from `read_top`.
        stats: from `read_stats`.

    Raises:
        AtlasError: they contradict one another.
    """
    first = top["rank"].to_numpy() == 0
    led = map_indices[first]  # maps that have rows
    responds = ~stats["dead"].to_numpy(zero_copy_only=False)
    try:
        _require(_all(stats["photos"].to_numpy() == manifest.counts.photos), "it counts other photos")
    except ValueError as fault:
        raise damaged_atlas(folder / "stats.parquet", fault) from fault
    try:
        index = top["index"].to_numpy()
        _require(_all((index >= 0) & (index < manifest.photos.count)), "a photo is not one of the set's")
        for low, high in (("top", "bottom"), ("left", "right")):
            _require(_all(top[low].to_numpy() < top[high].to_numpy()), "a box is empty")
        _require(np.array_equal(led, np.flatnonzero(responds)), "its maps are not those that respond")
        strongest, largest = top["activation"].to_numpy()[first], stats["max"].to_numpy()[led]
        _require(_all(strongest == largest), "its strongest activations are not those of stats.parquet")
    except ValueError as fault:
        raise damaged_atlas(folder / "top.parquet", fault) from fault


def _write(folder: Path, name: str, columns: Mapping[str, ArrayLike], check: Callable[[pa.Table], None]) -> None:
    """Write a table that passes the check."""
    schema = _SCHEMAS[name]
    if set(columns) != set(schema.names):
        raise ArgumentError(f"{name}.parquet has the columns {', '.join(schema.names)}; got {', '.join(columns)}.")
    buffer = io.BytesIO()
    try:
        arrays = [_array(field, columns[field.name]) for field in schema]
        table = pa.Table.from_arrays(arrays, schema=schema)
        check(table)
        pq.write_table(table, buffer, **_WRITING)
    except (ValueError, pa.ArrowException) as fault:
        raise ArgumentError(f"{name}.parquet cannot hold these rows: {fault}.") from fault
    write_whole(folder / f"{name}.parquet", lambda file: file.write(buffer.getbuffer()))


def _array(field: pa.Field, column: ArrayLike) -> pa.Array:
    values = np.asarray(column)
    if not values.size:
        return pa.array([], field.type)
    return pa.array(values, mask=_missing(values) if field.name in _NULLABLE else None).cast(field.type)


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a column that may lack values lacks one: NaN, a whole number below zero, or None."""
    missing: NDArray[np.bool_]
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype.kind in "iu":
        missing = values < 0
    else:
        missing = np.array([value is None for value in values.tolist()])
    return missing


def _read(folder: Path, name: str, rows: range, check: Callable[[pa.Table], None]) -> pa.Table:
    """Read a table that has so many rows and passes the check."""
    path = folder / f"{name}.parquet"
    if not is_file(path):
        raise missing(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
            if not schema.equals(_SCHEMAS[name]):
                raise ValueError(f"its columns are {', '.join(schema.names)}, of other names or types than they should")
            if count not in rows:
                raise ValueError(f"it has {count} rows, where {rows[-1]} {'belong' if rows[0] else 'at most can be'}")
            table = file.read()
        if len(table) != count:
            raise ValueError(f"it has {len(table)} rows and says {count}")
        table.validate(full=True)
        check(table)
    except (OSError, ValueError, pa.ArrowException) as fault:
        raise damaged_atlas(path, fault) from fault
    return table


def _map_indices(table: pa.Table, layers: Sequence[AtlasLayer]) -> NDArray[np.int64]:
    """For each row the index of its feature map, counted through all layers.

    Raises:
        ValueError: an unknown map.
    """
    index_of = {layer.name: i for i, layer in enumerate(layers)}
    named = table["layer"].combine_chunks().dictionary_encode()
    names = named.dictionary.to_pylist()
    unknown = [name for name in names if name not in index_of]
    if unknown:
        raise ValueError(f"layer {unknown[0]!r} is not in the manifest")
    channels = np.array([layer.channels for layer in layers])
    row_layer = np.array([index_of[name] for name in names], dtype=np.int64)[named.indices.to_numpy()]
    channel = table["channel"].to_numpy()
    _require(_all((channel >= 0) & (channel < channels[row_layer])), "a channel is not one of its layer's")
    indices: NDArray[np.int64] = (np.cumsum(channels) - channels)[row_layer] + channel
    return indices


def _check_top(table: pa.Table, layers: Sequence[AtlasLayer], k: int) -> None:
    """Raise unless rows are in order, and each map's ranks run from 0 with falling activations."""
    indices = _map_indices(table, layers)
    _check_finite(table)
    same = np.diff(indices) == 0
    _require(_all(np.diff(indices) >= 0), "rows are not sorted by layer and channel")
    rank, activation = table["rank"].to_numpy(), table["activation"].to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], ~same])) if len(rank) else np.array([], dtype=np.int64)
    lengths = np.diff(np.append(starts, len(rank)))
    expected = np.arange(len(rank)) - np.repeat(starts, lengths)
    _require(_all((rank == expected) & (rank < k)), f"ranks of a map do not run from 0 to {k - 1} at most")
    _require(_all(np.diff(activation)[same] <= 0), "activations of a map rise with their rank")


def _check_stats(table: pa.Table, layers: Sequence[AtlasLayer]) -> None:
    """Raise unless there is one row for each map, in order."""
    _check_finite(table)
    maps = sum(layer.channels for layer in layers)
    complete = np.array_equal(_map_indices(table, layers), np.arange(maps))
    _require(complete, f"it does not have one row for each of the {maps} feature maps, in order")


def _check_trust(table: pa.Table, layers: Sequence[AtlasLayer], k: int) -> None:
    """Raise unless rows are in order, and each holds cosines with what there is beside it."""
    indices, rank = _map_indices(table, layers), table["rank"].to_numpy()
    _check_finite(table)
    same = np.diff(indices) == 0
    in_order = (np.diff(indices) > 0) | (same & (np.diff(rank) > 0))
    _require(_all(in_order), "rows are not sorted by layer, channel and rank")
    _require(_all((rank >= 0) & (rank < k)), f"ranks are not from 0 to {k - 1}")
    for name, beside in (("other_unit", "other_channel"), ("other_image", "other_index")):
        cosines = table[name].drop_null().to_numpy()
        _require(_all(np.abs(cosines) <= _MOST_COSINE), f"{name} is not a cosine")
        of_nothing = table[name].is_valid().to_numpy() & table[beside].is_null().to_numpy()
        _require(not of_nothing.any(), f"{name} is of nothing: {beside} is missing")
    channels = np.array([layer.channels for layer in layers for _ in range(layer.channels)])[indices]
    other = table["other_channel"].fill_null(-1).to_numpy()
    own = other == table["channel"].to_numpy()
    _require(_all((other < channels) & ~own), "other_channel is not another one of the layer")
    _require(table["other_photo"].is_null().equals(table["other_index"].is_null()), "a photo lacks its name or index")


def _check_finite(table: pa.Table) -> None:
    for field in table.schema:
        if pa.types.is_floating(field.type):
            finite = np.isfinite(table[field.name].drop_null().to_numpy()).all()
            _require(bool(finite), f"{field.name} holds NaN or infinity")


def _all(condition: NDArray[np.bool_]) -> bool:
    return bool(condition.all())


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
