"""Many photos in one file: where each lies in tar shards, and how a row of Parquet is read."""

import os
import re
import secrets
import sys
import tarfile
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos import files
from deconvnet.photos.files import File

_ROWS = 16  # read at once, so that a row group of any size fits in memory
_PATHS = 1000  # read at once
_NUMERIC_FIELDS = re.compile(r"[\d.]+")
_LONGEST_PATH = 2**15  # characters; no system takes longer ones
_BLOCK = 512  # bytes of a tar's header; two blocks of zeros close the tar


@contextmanager
def _refusing(shard: File, kind: str) -> Iterator[None]:
    try:
        yield
    except ArgumentError:
        raise
    except Exception as fault:  # on broken data both packages raise whatever they meet
        reason = getattr(fault, "strerror", None) or files.in_words(fault)
        raise PhotoError(f"cannot read the shard {shard.name!r}: {reason}. It has to be {kind}.") from fault


# ---- tar


def members(shard: File, suffixes: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of every file with such a suffix in the tar, in its order; hidden ones are left out.

    Raises:
        PhotoError: not there, compressed, cut off, damaged, or not a tar; says where.
    """
    with _refusing(shard, "a whole tar, not compressed"), files.open_file(shard.location) as file:
        tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  # closing it does nothing: the file is not its own
        last = ""
        while member := tar.next():
            tar.members = []  # type: ignore[attr-defined]  # not in typeshed; it would keep them all
            last = member.name
            if member.isfile() and not files.is_hidden(last) and last.lower().endswith(suffixes):
                if member.issparse():
                    raise PhotoError(f"{last!r} is stored with holes, as photos are not")
                yield last, member.offset_data, member.size
        _check_end(file, tar.offset, last)


def _check_end(file: BinaryIO, at: int, last: str) -> None:
    """Raise unless two blocks of zeros close the tar, at that byte, and nothing follows: tarfile stops anywhere."""
    file.seek(at)
    where = f"at byte {at}" + (f", behind {last!r}," if last else "")
    header, second = file.read(_BLOCK), file.read(_BLOCK)
    if header.strip(b"\0"):
        raise PhotoError(f"the header {where} is {'damaged' if len(header) == _BLOCK else 'cut off'}")
    if len(second) < _BLOCK or second.strip(b"\0"):
        raise PhotoError(f"it ends {where} without the two blocks of zeros that close a tar, so it may be cut off")
    while data := file.read(2**20):
        if data.strip(b"\0"):
            raise PhotoError(
                f"there is more behind the end {where.rstrip(',')}: a header there is zeroed, or two tars were joined"
            )


def key_and_suffix(name: str) -> tuple[str, str]:
    """The key of the sample that a member belongs to, and what follows it, as WebDataset takes names apart.

    Example:
        >>> key_and_suffix("train/0001.mask.png")
        ('train/0001', '.mask.png')
    """
    folder, slash, base = name.rpartition("/")
    key, dot, suffix = base.partition(".")
    return folder + slash + key, (dot + suffix).lower()


def check_samples(listed: Sequence[File], rows: Iterable[tuple[int, str, int, int]]) -> None:
    """Raise if a sample holds several photos: one may be what is looked at, and another a mask.

    Names that differ in digits and dots alone do not say that: img.1.jpg and img.2.jpg are two photos.

    Args:
        listed: the tars.
        rows: of each photo, the index of its tar, then what `members` says.

    Raises:
        ArgumentError: a sample holds several; says how to choose.
    """
    suffix_of: dict[tuple[int, str], str] = {}
    for shard, name, _, _ in rows:
        key, suffix = key_and_suffix(name)
        first = suffix_of.setdefault((shard, key), sys.intern(suffix))
        if first != suffix and _NUMERIC_FIELDS.sub(".", first) != _NUMERIC_FIELDS.sub(".", suffix):
            ends = [ending.rpartition(".")[2] for ending in (first, suffix)]
            both = f"*.{ends[0]}" if ends[0] == ends[1] else "*"
            raise ArgumentError(
                f"{listed[shard].name!r} holds several photos of the name {key!r}, {key + first!r} and "
                f"{key + suffix!r}. Choose which: suffix={both!r} (--suffix {both!r}) takes both, and {first!r} or "
                f"{suffix!r} one of them."
            )


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
        allow_outside: whether a row may name a file outside the folder of its table.
        opened: differs from one opening of the same files to the next.
    """

    locations: tuple[str, ...]
    column: str
    file: Int64[np.ndarray, " groups"]
    group: Int64[np.ndarray, " groups"]
    start: Int64[np.ndarray, " groups+1"]
    allow_outside: bool
    opened: str


def row_groups(shards: Sequence[File], *, allow_outside: bool) -> tuple[RowGroups, list[str], list[int]]:
    """Where the rows lie; the name of each: its path in the table, or else its index; bytes in each row group.

    Raises:
        PhotoError: a file is not there, or is not a Parquet file.
        ArgumentError: no column holds the photos, or another one than in the first file, or of another type.
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
    locations, opened = tuple(shard.location for shard in shards), secrets.token_hex(8)
    row_groups = RowGroups(locations, columns[0], file, index, start, allow_outside, opened)
    return row_groups, names, [group.total_byte_size for group in all_groups]


def row(groups: RowGroups, i: int) -> bytes | None:
    """The file of photo i, or None where the table has none; fast where rows are read in their order."""
    group = int(np.searchsorted(groups.start, i, "right")) - 1
    first, last = groups.start[group : group + 2].tolist()
    location = groups.locations[groups.file[group]]
    reader = _readers.reader(
        location, groups.column, int(groups.group[group]), last - first, groups.opened, files.version(location)
    )
    value = reader.at(i - first)
    data: bytes | None = value["bytes"] if isinstance(value, dict) else value
    files.check_size(len(data or b""), "it has")
    if data is None and isinstance(value, dict) and value.get("path"):
        absolute = files.absolute if groups.allow_outside else files.below
        return files.read(absolute(value["path"], beside=location))
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
    structs = [field for field in schema if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0]
    plain = [field for field in schema if _is_bytes(field.type)]
    fitting = {field.name: field.type for field in structs or plain}
    name = image_column(fitting, {field.name: field.type for field in schema}, repr(where))
    if schema.names.count(name) > 1:
        raise ArgumentError(f"{where!r} has {schema.names.count(name)} columns named {name!r}. Name each column once.")
    if pa.types.is_struct(fitting[name]):
        parts = {part.name: part.type for part in fitting[name]}
        if not (_is_bytes(parts["bytes"]) or pa.types.is_null(parts["bytes"])):
            raise ArgumentError(f"{where!r} has {name}.bytes of type {parts['bytes']}. Bytes have to be binary.")
        if not (_is_text(parts.get("path", pa.null())) or pa.types.is_null(parts.get("path", pa.null()))):
            raise ArgumentError(f"{where!r} has {name}.path of type {parts['path']}. A path has to be a string.")
    return name


def _is_bytes(kind: Any) -> bool:
    tests = ("is_binary", "is_large_binary", "is_fixed_size_binary", "is_binary_view")
    return any(getattr(pa.types, test)(kind) for test in tests if hasattr(pa.types, test))


def _is_text(kind: Any) -> bool:
    tests = ("is_string", "is_large_string", "is_string_view")
    return any(getattr(pa.types, test)(kind) for test in tests if hasattr(pa.types, test))


def _row_names(table: Any, column: str) -> list[str]:
    """The names of the rows; of the table only the paths are read."""
    kind = table.schema_arrow.field(column).type
    if not (pa.types.is_struct(kind) and kind.get_field_index("path") >= 0):
        return [str(i) for i in range(table.metadata.num_rows)]
    names: list[str] = []
    for group in range(table.num_row_groups):
        at_once = _at_once(_PATHS, _size(table.metadata.row_group(group), f"{column}.path"))
        for batch in table.iter_batches(at_once, [group], [f"{column}.path"], use_threads=False):
            for value in batch.column(0).to_pylist():
                path = (value and value["path"]) or ""
                if len(path) > _LONGEST_PATH:
                    raise PhotoError(f"row {len(names)} has a path of {len(path)} characters")
                names.append(PurePosixPath(path).name or str(len(names)))
    return names


class _Reader:
    """Reads one row group forward; going back starts again. What it opened is closed when it is let go."""

    def __init__(self, location: str, column: str, group: int, rows: int) -> None:
        opened = ExitStack()
        weakref.finalize(self, opened.close)
        self._table = opened.enter_context(_table(location))
        self._column, self._group = column, group
        if group >= self._table.num_row_groups or self._table.metadata.row_group(group).num_rows != rows:
            raise PhotoError("its table has changed since it was opened. Open the photos again.")
        size = _size(self._table.metadata.row_group(group), column)
        files.check_size(size / max(rows, 1), "a photo in its row group has at least")
        self._at_once = _at_once(_ROWS, size)
        self._start = 0
        self._rows: Any = ()
        self._batches: Iterator[Any] = iter(())
        self._rewind()

    def at(self, i: int) -> Any:
        if i < self._start:
            self._rewind()
        while i >= self._start + len(self._rows):
            self._start += len(self._rows)
            batch = next(self._batches, None)
            if batch is None:
                raise PhotoError("its table ends before it.")
            self._rows = batch.column(0)
        return self._rows[i - self._start].as_py()

    def _rewind(self) -> None:
        self._start, self._rows = 0, ()
        self._batches = self._table.iter_batches(self._at_once, [self._group], [self._column], use_threads=False)


def _new_reader(location: str, column: str, group: int, rows: int, opened: str, version: str) -> _Reader:
    """A reader of the file as it is now, which `opened` and `version` tell from what it was."""
    return _Reader(location, column, group, rows)


class _Readers(threading.local):
    """The readers of a thread, which alone advances them; a forked process has readers of its own."""

    process = 0

    def reader(self, *key: Any) -> _Reader:
        if self.process != os.getpid():
            self.process, self.cached = os.getpid(), lru_cache(maxsize=4)(_new_reader)
        return self.cached(*key)


_readers = _Readers()


def _size(group: Any, column: str) -> int:
    """Bytes of a column of a row group, as they are after decompressing."""
    columns = (group.column(i) for i in range(group.num_columns))
    return sum(part.total_uncompressed_size for part in columns if f"{part.path_in_schema}.".startswith(f"{column}."))


def _at_once(most: int, size: int) -> int:
    """How many rows are read at once, of a column of that size: a dictionary may make each of them as large as all."""
    return min(most, max(1, files.largest() // max(1, size)))


@contextmanager
def _table(location: str) -> Iterator[Any]:
    files.version(location)  # refuses what is not a regular file
    with ExitStack() as stack:
        source: Any = location
        if files.is_url(location):
            source = stack.enter_context(files.open_file(location))
        yield stack.enter_context(pq.ParquetFile(source, pre_buffer=False, buffer_size=2**16))
