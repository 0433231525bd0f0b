"""The unfinished atlas: the scan so far and the pictures so far, so that an interruption costs little.

DIR/.deconvnet-unfinished/key.json           what is being built; --resume with another key is refused
DIR/.deconvnet-unfinished/scan.safetensors   the scan as far as it has come, written anew now and then
DIR/.deconvnet-unfinished/tiles.sqlite       the top units' pictures, a transaction for each batch of photos

Only these files are ever removed, the key last; the folder goes with them unless something else lies in it.
"""

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from deconvnet._errors import ArgumentError, AtlasError, DeconvNetError
from deconvnet._files import UNFINISHED, make_folder, remove_written, write_whole
from deconvnet._types import Box, LayerInfo
from deconvnet.atlas.digests import DIGESTS, STAMP, Digests
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.store import KEY, remove_interrupted
from deconvnet.atlas.tables import SkippedPhoto
from deconvnet.atlas.tally import Tally

Key = Mapping[str, Any]

_SCAN, _TILES = "scan.safetensors", "tiles.sqlite"
_SQLITE = tuple(f"{_TILES}-{ending}" for ending in ("journal", "wal", "shm"))  # what SQLite puts beside it


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

    def start(self, key: Key, *, resume: bool) -> None:
        """Make the folder, or go on in it.

        Raises:
            ArgumentError: it exists already and `resume` is not given, or what is built has changed.
            AtlasError: its key is damaged.
            DeconvNetError: the disk refused.
        """
        before = self.key()
        if before is not None and not resume:
            raise ArgumentError(
                f"{str(self.folder.parent)!r} holds an unfinished atlas. Continue it (--resume, resume=True), "
                "or give a new folder."
            )
        changed = [] if before is None else differences(before, key)
        if changed:
            raise ArgumentError(
                f"{str(self.folder.parent)!r} was started with {'; '.join(changed)}. Use the same options or a new "
                "folder."
            )
        remove_interrupted(self.folder.parent)
        remove_written(self.folder)
        if before is None:
            make_folder(self.folder)
            text = json.dumps(key, indent=2)
            write_whole(self.folder / KEY, lambda file: file.write(text.encode()))

    def key(self) -> dict[str, Any] | None:
        """What is being built here; None if nothing is, or the folder is a link.

        Raises:
            AtlasError: the file is damaged.
        """
        path = self.folder / KEY
        if self.folder.is_symlink() or not path.is_file():
            return None
        try:
            key: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError) as fault:
            raise _damaged(path, fault) from fault
        return key

    def save_scan(self, scan: Scan, done: int, skipped: Sequence[SkippedPhoto]) -> None:
        """Save a scan.

        Args:
            scan: as far as it has come.
            done: batches that are in it.
            skipped: photos that could not be read.
        """
        arrays = {
            f"{index}/{name}": np.ascontiguousarray(array)
            for index, layer in enumerate(scan.layers)
            for name, array in scan.tallies[layer.name].arrays().items()
        }
        arrays |= scan.digests.arrays()
        state = {"done": done, "skipped": [vars(photo) for photo in skipped]}
        data = save(arrays, {"scan": json.dumps(state)})
        write_whole(self.folder / _SCAN, lambda file: file.write(data))

    def load_scan(self, layers: Sequence[LayerInfo], k: int) -> tuple[Scan, int, list[SkippedPhoto]]:
        """The scan as it was saved, how many batches are in it, and the photos that could not be read.

        Raises:
            AtlasError: the file is damaged.
        """
        scan, path = Scan(layers, k), self.folder / _SCAN
        if not path.is_file():
            return scan, 0, []
        try:
            with safe_open(path, "np") as file:
                state = json.loads(file.metadata()["scan"])
                for index, layer in enumerate(layers):
                    names = [name for name in file.keys() if name.startswith(f"{index}/")]  # noqa: SIM118
                    arrays = {name.partition("/")[2]: file.get_tensor(name) for name in names}
                    scan.tallies[layer.name] = Tally.of_arrays(math.prod(layer.size), arrays)
                scan.digests = Digests.of_arrays({name: file.get_tensor(name) for name in (DIGESTS, STAMP)})
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as fault:
            raise _damaged(path, fault) from fault
        return scan, int(state["done"]), [SkippedPhoto(**photo) for photo in state["skipped"]]

    @contextmanager
    def tiles(self) -> Iterator["Tiles"]:
        """The pictures so far.

        Raises:
            DeconvNetError: the disk refused, or the file is damaged.
        """
        path = self.folder / _TILES
        try:
            database = sqlite3.connect(path, isolation_level=None)
            try:
                database.executescript(
                    "CREATE TABLE IF NOT EXISTS done (batch INTEGER PRIMARY KEY);"
                    "CREATE TABLE IF NOT EXISTS tiles (layer INTEGER, channel INTEGER, rank INTEGER, top INTEGER, "
                    '"left" INTEGER, bottom INTEGER, "right" INTEGER, signal BLOB, patch BLOB, window BLOB, '
                    "PRIMARY KEY (layer, channel, rank));"
                )
                yield Tiles(database)
            finally:
                database.close()
        except sqlite3.DatabaseError as fault:
            raise DeconvNetError(f"cannot keep pictures in {str(path)!r}: {fault}.") from fault

    def remove(self) -> None:
        """Remove the unfinished files, as the atlas is finished; what else lies beside them stays.

        Raises:
            DeconvNetError: the disk refused.
        """
        remove_written(self.folder, (*_SQLITE, _TILES, _SCAN, KEY), folder_too=True)


class Tiles:
    """Pictures by layer, feature map and rank.

    Args:
        database: open.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def done(self) -> set[int]:
        """Indices of the batches whose pictures are complete."""
        return {index for (index,) in self._database.execute("SELECT batch FROM done")}

    def add(self, batch: int, rows: Sequence[tuple[int, int, Tile]]) -> None:
        """Keep the pictures of a batch, all or none.

        Args:
            batch: its index.
            rows: index of the layer, feature map, and pictures.
        """
        values = [
            (layer, channel, tile.rank, *tile.box.low, *tile.box.high, tile.signal, tile.patch, tile.window)
            for layer, channel, tile in rows
        ]
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO tiles VALUES (?,?,?,?,?,?,?,?,?,?)", values)
            self._database.execute("INSERT INTO done VALUES (?)", (batch,))

    def of_map(self, layer: int, channel: int) -> list[Tile]:
        """The pictures of a feature map, the strongest first."""
        rows = self._database.execute(
            "SELECT * FROM tiles WHERE layer = ? AND channel = ? ORDER BY rank", (layer, channel)
        )
        return [
            Tile(rank, Box((top, left), (bottom, right)), signal, patch, window)
            for _, _, rank, top, left, bottom, right, signal, patch, window in rows
        ]


def differences(before: Key, now: Key, path: str = "") -> list[str]:
    """What differs between two keys, in words: "k=9, now k=4"."""
    changed = []
    for name in sorted({*before, *now}):
        a, b = (json.loads(json.dumps(key.get(name))) for key in (before, now))
        words = path + name.replace(" ", "_")
        if isinstance(a, dict) and isinstance(b, dict):
            changed += differences(a, b, f"{words}.")
        elif a != b:
            changed.append(f"{words}={_short(a)}, now {words}={_short(b)}")
    return changed


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def _damaged(path: Path, fault: object) -> AtlasError:
    return AtlasError(f"{str(path)!r} is damaged ({fault}). Give a new folder.")
