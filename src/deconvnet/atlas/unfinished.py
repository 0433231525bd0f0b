"""The unfinished atlas: the scan so far and the pictures so far, so that an interruption costs little.

DIR/.deconvnet-unfinished/key.json           what is being built; --resume with another key is refused
DIR/.deconvnet-unfinished/scan.safetensors   the scan as far as it has come, written anew now and then
DIR/.deconvnet-unfinished/tiles.sqlite       the top units' pictures, a transaction for each batch of photos
DIR/.deconvnet-unfinished/trust.safetensors  what some of these pictures rest on, as far as it was measured

Only these files are ever removed, the key last; the folder goes with them unless something else lies in it. All but the
key carry a hash of it, so that those of another run are known, and of their content.
"""

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray

from deconvnet._arrays import read_arrays, write_arrays
from deconvnet._errors import AtlasError, DeconvNetError
from deconvnet._files import damaged, decode_json, digest, is_file, read_json, write_whole
from deconvnet._folders import UNFINISHED, Held, check_resumed
from deconvnet._types import Box, LayerInfo
from deconvnet.atlas.manifest import Key
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.store import KEY, remove_interrupted
from deconvnet.atlas.tables import SkippedPhoto
from deconvnet.photos.digests import DIGESTS, STAMP, Digests

_SCAN, _TILES, _TRUST = "scan.safetensors", "tiles.sqlite", "trust.safetensors"
_SQLITE = tuple(f"{_TILES}-{ending}" for ending in ("journal", "wal", "shm"))  # what SQLite puts beside it
_REMEDY = "Remove it and continue (--resume, resume=True): what it held is made again."
_NEW = "Give a new folder."
_DISK = (  # faults of the disk; all others are the file's
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY
)  # fmt: skip
_TABLES = (
    "CREATE TABLE IF NOT EXISTS run (key TEXT PRIMARY KEY);"
    "CREATE TABLE IF NOT EXISTS done (batch INTEGER PRIMARY KEY);"
    "CREATE TABLE IF NOT EXISTS tiles (layer INTEGER, channel INTEGER, rank INTEGER, top INTEGER, "
    '"left" INTEGER, bottom INTEGER, "right" INTEGER, signal BLOB, patch BLOB, window BLOB, digest TEXT, '
    "PRIMARY KEY (layer, channel, rank));"
)
TrustColumns = dict[str, NDArray[Any]]
"""Of each unit that is looked at what `trust.parquet` says, by column: below zero or NaN where it was not measured."""
_NOT_MEASURED: TrustColumns = {
    "other_channel": np.array(-1, np.int32), "other_unit": np.array(np.nan, np.float32),
    "other_index": np.array(-1, np.int64), "other_image": np.array(np.nan, np.float32),
}  # fmt: skip
_COLUMNS = 'layer, channel, rank, top, "left", bottom, "right", signal, patch, window, digest'


class _TrustState(msgspec.Struct):
    """What saved measurements say of themselves.

    Attributes:
        run: hash of the key of their run.
        done: batches of photos that are in them.
    """

    run: str
    done: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _State(msgspec.Struct):
    """What a saved scan says of itself.

    Attributes:
        run: hash of the key of its run.
        done: batches that are in it.
        skipped: photos that could not be read.
    """

    run: str
    done: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    skipped: tuple[SkippedPhoto, ...]


@dataclass(frozen=True)
class Tile:
    """The pictures of a top unit, as they wait to be put together.

    Attributes:
        rank: 0 for the strongest of its feature map.
        box: of the original photo's pixels that both pictures show; may reach past its border.
        signal, patch: PNG files.
        window: float32 bytes of the signal, low corner first, if signals are kept.
    """

    rank: int
    box: Box
    signal: bytes
    patch: bytes
    window: bytes | None


class Unfinished:
    """What is kept of an atlas that is being built.

    Args:
        folder: of the atlas.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / UNFINISHED

    def start(self, held: Held, key: Key, *, resume: bool) -> None:
        """Begin, or go on.

        Args:
            held: the folder of the atlas.
            key: what is being built.
            resume: go on.

        Raises:
            ArgumentError: it was begun already and `resume` is not given, or what is built has changed; or files lie
                in the folder that are not of the atlas.
            AtlasError: its key is damaged.
            DeconvNetError: the disk refused.
        """
        before = self.key()
        check_resumed(held.folder, None if before is None else asdict(before), asdict(key), resume=resume)
        held.check()
        if held.claimed:
            remove_interrupted(held.folder)
        if before is None:
            text = json.dumps(asdict(key), indent=2)
            write_whole(self.folder / KEY, lambda file: file.write(text.encode()))

    def key(self) -> Key | None:
        """What is being built here; None if nothing is, or the folder is a link.

        Raises:
            AtlasError: the file is damaged.
        """
        path = self.folder / KEY
        if not is_file(path) or self.folder.is_symlink():
            return None
        return read_json(path, Key, _NEW, AtlasError)

    def save_scan(self, held: Held, scan: Scan, done: int, skipped: Sequence[SkippedPhoto]) -> None:
        """Save a scan.

        Args:
            held: the folder of the atlas.
            scan: as far as it has come.
            done: batches that are in it.
            skipped: photos that could not be read.

        Raises:
            ArgumentError, DeconvNetError: as `Held.check`, or the disk refused.
        """
        held.check()
        state = {"run": self._run(), "done": done, "skipped": [vars(photo) for photo in skipped]}
        write_arrays(self.folder / _SCAN, json.dumps(state), scan.tally.arrays() | scan.digests.arrays())

    def load_scan(
        self,
        layers: Sequence[LayerInfo],
        k: int,
        photos: Int64[np.ndarray, " n"],
        batch: int,
        device: torch.device | str = "cpu",
    ) -> tuple[Scan, int, list[SkippedPhoto]]:
        """The scan as it was saved, how many batches are in it, and the photos that could not be read.

        Args:
            layers, k: of the scan.
            photos: indices of all that it will have seen.
            batch: photos in each batch.
            device: as `Scan` takes it.

        Raises:
            AtlasError: the file is damaged.
        """
        scan, path = Scan(layers, k, device), self.folder / _SCAN
        if not is_file(path):
            return scan, 0, []
        try:
            text, arrays = read_arrays(path)
            state = decode_json(text, _State)
            if state.run != self._run():
                raise ValueError("it belongs to another run")
            if state.done > math.ceil(len(photos) / batch):
                raise ValueError(f"it holds {state.done} batches of {batch} photos, but there are {len(photos)} photos")
            seen = photos[: state.done * batch]
            skipped = [photo.index for photo in state.skipped]
            if skipped != sorted(set(skipped)) or not np.isin(skipped, seen).all():
                raise ValueError("the photos that it skipped are not among those that it has seen")
            scan.digests = Digests.of_arrays({name: arrays.pop(name) for name in (DIGESTS, STAMP)})
            scan.tally.restore(arrays, seen, len(seen) - len(skipped))
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise damaged(path, fault, _REMEDY, AtlasError) from fault
        return scan, state.done, list(state.skipped)

    def save_trust(self, held: Held, columns: TrustColumns, done: int) -> None:
        """Save what was measured of the top units' pictures.

        Args:
            held: the folder of the atlas.
            columns: as far as they are filled.
            done: batches of photos that are in them.

        Raises:
            ArgumentError, DeconvNetError: as `Held.check`, or the disk refused.
        """
        held.check()
        write_arrays(self.folder / _TRUST, json.dumps({"run": self._run(), "done": done}), columns)

    def load_trust(self, units: int, batches: int) -> tuple[TrustColumns, int]:
        """What was measured of the top units' pictures, and how many batches of photos are in it.

        Args:
            units: how many are looked at.
            batches: how many their photos make.

        Raises:
            AtlasError: the file is damaged.
        """
        empty, path = {name: np.full(units, value) for name, value in _NOT_MEASURED.items()}, self.folder / _TRUST
        if not is_file(path):
            return empty, 0
        try:
            text, columns = read_arrays(path)
            state = decode_json(text, _TrustState)
            if state.run != self._run():
                raise ValueError("it belongs to another run")
            shapes, expected = ({name: (a.dtype, a.shape) for name, a in each.items()} for each in (columns, empty))
            if shapes != expected or state.done > batches:
                raise ValueError(f"it does not hold {units} units of {batches} batches")
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise damaged(path, fault, _REMEDY, AtlasError) from fault
        return columns, state.done

    @contextmanager
    def tiles(self, held: Held) -> Iterator["Tiles"]:
        """The pictures so far.

        Args:
            held: the folder of the atlas.

        Raises:
            AtlasError: the file is damaged, or of another run.
            DeconvNetError: the disk refused.
        """
        path = self.folder / _TILES
        try:
            database = sqlite3.connect(path, isolation_level=None)
            try:
                database.executescript(_TABLES)
                tiles = Tiles(database, path, held)
                tiles.start(self._run())
                yield tiles
            finally:
                database.close()
        except UnicodeDecodeError as fault:  # sqlite says what is wrong in the words of the damaged file
            raise damaged(path, "its tables cannot be read", _REMEDY, AtlasError) from fault
        except sqlite3.Error as fault:
            if getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in _DISK:
                raise damaged(path, fault, _REMEDY, AtlasError) from fault
            raise DeconvNetError(f"cannot keep pictures in {str(path)!r}: {fault}.") from fault

    def remove(self, held: Held) -> None:
        """Remove the unfinished files, as the atlas is finished; what else lies beside them stays.

        Raises:
            DeconvNetError: the disk refused.
        """
        held.remove_unfinished((*_SQLITE, _TILES, _TRUST, _SCAN, KEY))

    def _run(self) -> str:
        """Tells this run from others."""
        key = self.key()
        return digest([json.dumps(None if key is None else asdict(key), sort_keys=True)])


class Tiles:
    """Pictures by layer, feature map and rank.

    Args:
        database: open.
        path: of its file.
        held: the folder of the atlas.
    """

    def __init__(self, database: sqlite3.Connection, path: Path, held: Held) -> None:
        self._database, self._path, self._held = database, path, held

    def start(self, run: str) -> None:
        """Write down whose pictures these are.

        Raises:
            AtlasError: they are another run's.
        """
        runs = [key for (key,) in self._database.execute("SELECT key FROM run")]
        if not runs:
            self._database.execute("INSERT INTO run VALUES (?)", (run,))
        elif runs != [run]:
            raise damaged(self._path, "it belongs to another run", _REMEDY, AtlasError)

    def done(self) -> set[int]:
        """Indices of the batches whose pictures are complete."""
        return {index for (index,) in self._database.execute("SELECT batch FROM done")}

    def add(self, batch: int, rows: Sequence[tuple[int, int, Tile]]) -> None:
        """Keep the pictures of a batch, all or none.

        Args:
            batch: its index.
            rows: index of the layer, feature map, and pictures.

        Raises:
            ArgumentError, DeconvNetError: as `Held.check`.
        """
        self._held.check()
        values = [
            (layer, channel, tile.rank, *tile.box.low, *tile.box.high, tile.signal, tile.patch, tile.window)
            for layer, channel, tile in rows
        ]
        marked = [(*row, _digest_of_row(row)) for row in values]
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO tiles VALUES (?,?,?,?,?,?,?,?,?,?,?)", marked)
            self._database.execute("INSERT OR IGNORE INTO done VALUES (?)", (batch,))

    def of_map(self, layer: int, channel: int, ranks: int) -> list[Tile]:
        """The pictures of a feature map, the strongest first.

        Args:
            layer: its index.
            channel: of the map.
            ranks: how many there should be.

        Raises:
            AtlasError: others are there.
        """
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM tiles WHERE layer = ? AND channel = ? ORDER BY rank", (layer, channel)
        ).fetchall()
        of_map = f"map {channel} of layer {layer}"
        if [row[2] for row in rows] != list(range(ranks)):
            what = f"it has {len(rows)} pictures for {of_map}, which should have {ranks}"
            raise damaged(self._path, what, _REMEDY, AtlasError)
        if any(row[-1] != _digest_of_row(row[:-1]) for row in rows):
            raise damaged(self._path, f"a picture for {of_map} is not what was written", _REMEDY, AtlasError)
        return [
            Tile(rank, Box((top, left), (bottom, right)), signal, patch, window)
            for _, _, rank, top, left, bottom, right, signal, patch, window, _ in rows
        ]


def _digest_of_row(row: Sequence[object]) -> str:
    """A hash of a row of the table of tiles, whatever types it holds."""
    return digest(part if isinstance(part, bytes) else repr(part) for part in row)
