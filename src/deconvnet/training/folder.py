"""The folder of an evolution: evolution.json says what is watched, and each snapshot is a result in its own folder."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from deconvnet._checks import printable
from deconvnet._errors import DeconvNetError
from deconvnet._files import damaged, is_file, read_json, write_whole
from deconvnet._folders import check_resumed, make_folder, names_in, remove_written, result_folder
from deconvnet._version import __version__
from deconvnet.results.saved import ARRAYS, MANIFEST, Savable, is_result, read_result
from deconvnet.training.snapshots import Snapshot, Snapshots

EVOLUTION = "evolution.json"
_FORMAT_VERSION = 1
_REMEDY = "Fetch its folder again, or watch the training again in a new one."
_NAME = re.compile(r"epoch-(\d{5,})")


class Watched(msgspec.Struct, frozen=True):
    """What is watched.

    Attributes:
        layers: by name, the chosen maps.
        rules: the name of the rule set.
        photos: what identifies them all; "" where that is not known.
    """

    layers: dict[str, tuple[Annotated[int, Meta(ge=0)], ...]]
    rules: str
    photos: str


class _Manifest(msgspec.Struct):
    format_version: Annotated[int, Meta(ge=1)]
    deconvnet: str
    watched: Watched
    missed: tuple[tuple[Annotated[int, Meta(ge=0)], str], ...]


class EvolutionFolder:
    """Where snapshots are written.

    Args:
        out: as the user gave it: new, empty, or that of an evolution.
        watched: what is watched.
        resume: go on with the evolution that is there, if there is one.

    Raises:
        ArgumentError: the folder holds anything else, or an evolution while `resume` is not given, or one of something
            else.
        DeconvNetError: the disk refused.
    """

    def __init__(self, out: str | Path, watched: Watched, *, resume: bool) -> None:
        self.folder = result_folder(out, key=EVOLUTION, is_result=is_evolution)
        self._watched = watched
        before = _read(self.folder) if is_evolution(self.folder) else None
        check_resumed(self.folder, None if before is None else _facts(before.watched), _facts(watched), resume=resume)
        self._missed = dict(() if before is None else before.missed)
        make_folder(self.folder)
        self._write()

    def add(self, snapshot: Snapshot) -> None:
        """Write a snapshot, in place of one of the same epoch; those of later epochs are of a training that was left.

        Raises:
            DeconvNetError: the disk refused.
        """
        self._begin(snapshot.epoch)
        snapshot.save(self.folder / _name(snapshot.epoch), force=True)

    def miss(self, epoch: int, why: str) -> None:
        """Write down that the snapshot of an epoch is missing.

        Raises:
            DeconvNetError: the disk refused.
        """
        self._begin(epoch)
        self._missed[epoch] = why
        self._write()

    def latest(self, before: int | None) -> Snapshot | None:
        """The latest snapshot, or the latest before an epoch; None if there is none.

        Raises:
            DeconvNetError: it is damaged.
        """
        epochs = [epoch for epoch in _epochs(self.folder) if before is None or epoch < before]
        return _snapshot(self.folder, epochs[-1]) if epochs else None

    def read(self) -> Snapshots:
        """All of it; as `read_snapshots`."""
        return read_snapshots(self.folder)

    def _begin(self, epoch: int) -> None:
        for later in [each for each in _epochs(self.folder) if each >= epoch]:
            old = self.folder / _name(later)
            remove_written(old, (MANIFEST, ARRAYS))
            with suppress(OSError):  # something else lies in it
                old.rmdir()
        missed = {each: why for each, why in self._missed.items() if each < epoch}
        if missed != self._missed:
            self._missed = missed
            self._write()

    def _write(self) -> None:
        manifest = _Manifest(_FORMAT_VERSION, __version__, self._watched, tuple(sorted(self._missed.items())))
        text = json.dumps(printable(msgspec.to_builtins(manifest)), indent=2)
        write_whole(self.folder / EVOLUTION, lambda file: file.write(text.encode("ascii")))


def is_evolution(folder: Path) -> bool:
    """Whether a folder is that of an evolution."""
    if not is_file(folder / EVOLUTION):
        return False
    try:
        _read(folder)
    except DeconvNetError:
        return False
    return True


def read_snapshots(folder: Path) -> Snapshots:
    """The snapshots in the folder of an evolution, also while the network still trains.

    Raises:
        DeconvNetError: one is damaged, or newer than this package.
    """
    manifest = _read(folder)
    snapshots = tuple(_snapshot(folder, epoch) for epoch in _epochs(folder))
    chosen = {layer: tuple(channels) for layer, channels in manifest.watched.layers.items()}
    for snapshot in snapshots:
        if {layer.layer: layer.channels for layer in snapshot.layers} != chosen:
            path = folder / _name(snapshot.epoch)
            raise damaged(path, f"it is not of the maps that {EVOLUTION} names", _REMEDY)
    notes = [f"No snapshot after epoch {epoch}: {why}" for epoch, why in manifest.missed]
    notes += [f"Epoch {snapshot.epoch}: {note}" for snapshot in snapshots for note in snapshot.notes]
    return Snapshots(snapshots, manifest.missed, tuple(notes))


def _facts(watched: Watched) -> Mapping[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(watched)
    return facts


def _read(folder: Path) -> _Manifest:
    path = folder / EVOLUTION
    manifest = read_json(path, _Manifest, _REMEDY)
    if manifest.format_version > _FORMAT_VERSION:
        raise DeconvNetError(
            f"{str(path)!r} has format_version {manifest.format_version}, and this deconvnet reads versions up to "
            f"{_FORMAT_VERSION}. Install deconvnet {manifest.deconvnet}, or a newer one."
        )
    return manifest


def _name(epoch: int) -> str:
    return f"epoch-{epoch:05}"


def _epochs(folder: Path) -> list[int]:
    """Those of which there is a snapshot, in order."""
    names = [match for name in names_in(folder) if (match := _NAME.fullmatch(name))]
    return sorted(int(match[1]) for match in names if is_result(folder / match[0]))


def _snapshot(folder: Path, epoch: int) -> Snapshot:
    path = folder / _name(epoch)
    snapshot: Savable = read_result(path, {"Snapshot": Snapshot}.get)
    if not isinstance(snapshot, Snapshot) or snapshot.epoch != epoch:
        raise damaged(path, "it is not the snapshot of that epoch", _REMEDY)
    return snapshot
