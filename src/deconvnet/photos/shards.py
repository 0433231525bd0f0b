"""Many photos in one file: where each lies in tar shards, and how a row of Parquet is read."""

import os
import tarfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos import files
from deconvnet.photos.files import File

_ROWS = 16  # read at once, so that a row group of any size fits in memory


@contextmanager
def _refusing(shard: File, kind: str) -> Iterator[None]:
    try:
        yield
    except (OSError, PhotoError, tarfile.TarError, pa.ArrowException) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise PhotoError(f"cannot read the shard {shard.name!r}: {reason}. It has to be {kind}.") from fault


# ---- tar


def members(shard: File, suffixes: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of every file with such a suffix in the tar, in its order; hidden ones are left out.

    Raises:
        PhotoError: not there, compressed, cut off, or not a tar.
    """
    with _refusing(shard, "a whole tar, not compressed"), files.open_file(shard.location) as file:
        tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  # closing it does nothing: the file is not its own
        while member := tar.next():
            tar.members = []  # type: ignore[attr-defined]  # not in typeshed; it would keep them all
            hidden = PurePosixPath(member.name).name.startswith(".")
            if member.isfile() and not hidden and member.name.lower().endswith(suffixes):
                yield member.name, member.offset_data, member.size


# ---- Parquet


@dataclass(frozen=True, eq=False)
class RowGroups:
    """Where the rows of Parquet files lie.

    Attributes:
        locations: of the files.
        column: the one that holds the photos.
        file: of each row group, the index of its file in `locations`.
        group: of each row group, its index in its file.
        start: of each row group, its first row in the set; then the number of all rows.
    """

    locations: tuple[str, ...]
    column: str
    file: Int64[np.ndarray, " groups"]
    group: Int64[np.ndarray, " groups"]
    start: Int64[np.ndarray, " groups+1"]


def row_groups(shards: Sequence[File]) -> tuple[RowGroups, list[str], list[int]]:
    """Where the rows lie; the name of each: its path in the table, or else its index; bytes in each row group.

    Raises:
        PhotoError: a file is not there, or is not a Parquet file.
        ArgumentError: no column holds the photos, or another one than in the first file.
    """
    columns, names, groups = [], [], []
    for shard in shards:
        with _refusing(shard, "a whole Parquet file"), _table(shard.location) as table:
            columns.append(_photo_column(table.schema_arrow, shard.name))
            groups.append([table.metadata.row_group(group) for group in range(table.num_row_groups)])
            prefix = "" if len(shards) == 1 else shard.name.rpartition(".")[0] + "/"
            names += [prefix + name for name in _row_names(table, columns[-1])]
        if columns[-1] != columns[0]:
            raise ArgumentError(f"{shard.name!r} has its photos in {columns[-1]!r}, but the others in {columns[0]!r}.")
    all_groups = [group for of_file in groups for group in of_file]
    file = np.repeat(np.arange(len(shards)), [len(of_file) for of_file in groups])
    index = np.concatenate([np.arange(len(of_file)) for of_file in groups])
    start = np.cumsum([0, *(group.num_rows for group in all_groups)])
    row_groups = RowGroups(tuple(shard.location for shard in shards), columns[0], file, index, start)
    return row_groups, names, [group.total_byte_size for group in all_groups]


def row(groups: RowGroups, i: int) -> bytes | None:
    """The file of photo i, or None where the table has none; fast where rows are read in their order."""
    group = int(np.searchsorted(groups.start, i, "right")) - 1
    location = groups.locations[groups.file[group]]
    reader = _reader(location, groups.column, int(groups.group[group]), os.getpid(), threading.get_ident())
    value = reader.at(i - int(groups.start[group]))
    data: bytes | None = value["bytes"] if isinstance(value, dict) else value
    if data is None and isinstance(value, dict) and value.get("path"):
        return files.read(files.absolute(value["path"], beside=location))
    return data


def image_column(fitting: Collection[str], columns: Mapping[str, object], where: str) -> str:
    """The column that holds the photos: the only one of `fitting`, or "image" or "img".

    Raises:
        ArgumentError: none or several; the message names all columns with their types.
    """
    for name in (*fitting,) if len(fitting) == 1 else ("image", "img"):
        if name in fitting:
            return name
    listed = ", ".join(f"{name} ({kind})" for name, kind in columns.items())
    raise ArgumentError(
        f"{where} has {'several columns' if fitting else 'no column'} that can hold photos: {listed}. "
        "Name the one that holds them 'image'."
    )


def _photo_column(schema: Any, where: str) -> str:
    columns = {field.name: field.type for field in schema}
    structs = [
        name for name, kind in columns.items() if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    ]
    plain = [name for name, kind in columns.items() if pa.types.is_binary(kind) or pa.types.is_large_binary(kind)]
    return image_column(structs or plain, columns, repr(where))


def _row_names(table: Any, column: str) -> list[str]:
    """The names of the rows; of the table only the paths are read."""
    kind = table.schema_arrow.field(column).type
    paths: list[str | None] = [None] * table.metadata.num_rows
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
        values = table.read(columns=[f"{column}.path"], use_threads=False).column(0).to_pylist()
        paths = [value and value["path"] for value in values]
    return [PurePosixPath(path or "").name or str(i) for i, path in enumerate(paths)]


class _Reader:
    """Reads one row group forward, a few rows at a time; going back starts again."""

    def __init__(self, location: str, column: str, group: int) -> None:
        self._table, self._column, self._group = _table(location), column, group
        self._start = 0
        self._rows: Any = ()
        self._batches: Iterator[Any] = iter(())
        self._rewind()

    def at(self, i: int) -> Any:
        if i < self._start:
            self._rewind()
        while i >= self._start + len(self._rows):
            self._start += len(self._rows)
            self._rows = next(self._batches).column(0)
        return self._rows[i - self._start].as_py()

    def _rewind(self) -> None:
        self._start, self._rows = 0, ()
        self._batches = self._table.iter_batches(_ROWS, [self._group], [self._column], use_threads=False)


@lru_cache(maxsize=4)
def _reader(location: str, column: str, group: int, process: int, thread: int) -> _Reader:
    """The reader of this process and thread, which are the only ones to advance it."""
    return _Reader(location, column, group)


def _table(location: str) -> Any:
    source = files.open_file(location) if files.is_url(location) else location
    return pq.ParquetFile(source, pre_buffer=False, buffer_size=2**16)
