"""What runs write and read again, with a file that is damaged, is of another run, or is valid but says something else.

Opening and resuming either ends in an error of ours or gives the result of an undamaged run. Only a flipped bit in a
number or in a picture may pass: it is another number or picture, and nothing but a checksum would tell.
"""

import io
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

import deconvnet
from deconvnet import Atlas, DeconvNetError
from deconvnet.learn import Learned, draw_filters, load_net
from fuzz import mutate, runs
from fuzz.table import Fault


def prepare() -> None:
    runs.base()


def attempt(random: Random, folder: Path) -> str:
    name = random.choice(tuple(_RUNS))
    run = folder / name
    shutil.copytree(runs.base() / "this" / name, run)
    path = random.choice(sorted(path for path in run.rglob("*") if path.is_file()))
    before = path.read_bytes()
    way, changed = _changed(random, path, runs.base() / "other" / path.relative_to(folder))
    if changed is None:
        path.unlink()
    elif changed == before:
        return "unchanged"
    else:
        path.write_bytes(changed)
    what = f"{path.relative_to(folder)}, {way}"
    try:
        told_or_same = _RUNS[name](run)
    except DeconvNetError:
        return "refused"
    except Exception as error:
        error.add_note(what)
        raise
    if told_or_same is None:
        return "read"
    if told_or_same:
        return "same result"
    if way == "bytes":
        return "another result"
    raise Fault(f"{what}: another result without a word")


# ---- damage


def _changed(random: Random, path: Path, other: Path) -> tuple[str, bytes | None]:
    """In which way the file is changed, and its bytes; None if it is removed."""
    data = path.read_bytes()
    valid = _VALID.get(path.suffix)
    way = random.choice(("valid", "valid", "valid", "bytes", "bytes", "cut", "other run", "removed"))
    if way == "valid" and valid is not None:
        return way, valid(random, data)
    if way == "cut" and data:
        return way, mutate.cut(random, data)
    if way == "other run" and other.is_file():
        return way, other.read_bytes()
    if way == "removed":
        return way, None
    return "bytes", mutate.mutated(random, data)


def _other_table(random: Random, data: bytes) -> bytes:
    """A Parquet file with another value, column, type or number of rows."""
    table = pq.read_table(io.BytesIO(data))
    index = random.randrange(table.num_columns)
    name = table.column_names[index]
    way = random.choice(("value", "value", "value", "type", "rows", "column", "twice"))
    if way == "rows":
        table = table.slice(random.randrange(table.num_rows + 1))
    elif way == "column":
        table = table.drop_columns([name])
    elif way == "twice":
        table = table.append_column(name, table.column(index))
    elif way == "type":
        kind = random.choice((pa.string(), pa.float64(), pa.int64(), pa.binary()))
        table = table.set_column(index, name, pa.array([None] * table.num_rows, kind))
    elif table.num_rows:
        values = table.column(index).to_pylist()
        values[random.randrange(len(values))] = random.choice(
            (None, -1, 2**31 - 1, 2**40, float("nan"), "x", "../x", 0)
        )
        try:
            table = table.set_column(index, name, pa.array(values))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return data
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _other_database(random: Random, data: bytes) -> bytes:
    """An SQLite file with another value, row or table."""
    database = sqlite3.connect(":memory:")
    database.deserialize(data)
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = random.choice(sorted(tables))
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    rows = [row for (row,) in database.execute(f"SELECT rowid FROM {table}")]
    value = random.choice((None, -1, 0, 1, 2**40, 0.5, "x", b"", b"x", random.randbytes(100)))
    statement = random.choice(("value", "value", "value", "row", "table"))
    try:
        if statement == "value":
            row = random.choice(rows)
            database.execute(f"UPDATE {table} SET {random.choice(columns)} = ? WHERE rowid = ?", (value, row))
        elif statement == "row":
            database.execute(f"DELETE FROM {table} WHERE rowid = ?", (random.choice(rows),))
        else:
            database.execute(f"DROP TABLE {table}")
    except (sqlite3.Error, IndexError, OverflowError):
        return data
    database.commit()
    return database.serialize()


_VALID: dict[str, Callable[[Random, bytes], bytes]] = {
    ".json": mutate.other_json_file,
    ".safetensors": mutate.other_header,
    ".parquet": _other_table,
    ".sqlite": _other_database,
}


# ---- reading; True if the result is the same, False if it is another, None where there is nothing to compare


def _finished_atlas(run: Path) -> None:
    atlas = Atlas.open(run)
    repr(atlas), len(atlas), atlas.skipped()
    for name, layer in list(atlas.layers.items())[:4]:
        atlas.stats(name)
        for channel in range(min(layer.channels, 4)):
            for activation in atlas.top(name, channel):
                atlas.find(image=activation.image)
            atlas.picture(name, channel)
        atlas.signals(name)
    runs.build_atlas(runs.base() / "photos", run, resume=True)


def _finished_learned(run: Path) -> None:
    learned = Learned.open(run)
    learned.skipped(), learned.images("sample:chelsea")
    for layer in range(1, min(len(learned.net.layers), 4) + 1):
        draw_filters(learned, layer)
    load_net(run / "learned.safetensors")
    runs.learn(runs.base() / "photos", run, resume=True)


def _saved(run: Path) -> bool:
    result = deconvnet.open(run)
    repr(result), result.to_frame(), result.save(run.parent / "result.png")
    return _as(result.save(run.parent / "again"), "saved")


def _unfinished_atlas(run: Path) -> bool:
    runs.build_atlas(runs.base() / "photos", run, resume=True)
    return _as(run, "atlas")


def _unfinished_learned(run: Path) -> bool:
    runs.learn(runs.base() / "photos", run, resume=True)
    return _as(run, "learned")


def _part(run: Path) -> bool:
    parts = [runs.base() / "this" / f"part{i}" for i in (0, 1) if run.name != f"part{i}"]
    merged = run.parent / "merged"
    runs.merge(runs.base() / "photos", [run, *parts], merged)
    return _as(merged, "atlas")


def _as(run: Path, name: str) -> bool:
    """Whether a finished run is that of undamaged files."""
    return runs.contents(run) == runs.contents(runs.base() / "this" / name)


_RUNS: dict[str, Callable[[Path], bool | None]] = {
    "atlas": _finished_atlas,
    "learned": _finished_learned,
    "saved": _saved,
    "unfinished-atlas": _unfinished_atlas,
    "unfinished-learned": _unfinished_learned,
    "part0": _part,
}
