"""The folder of a result that takes long: only our own files in it are ever replaced or removed."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deconvnet._checks import file_path
from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet._files import PART, is_file, is_folder, write_whole
from deconvnet._lock import Lock, locked

UNFINISHED = ".deconvnet-unfinished"  # in the folder of a result: the folder of what is needed until it is finished

_SHARE = 0.02  # of a run's time that saving may take
_LOCK, _CLAIM = "lock", "claimed"  # in the unfinished folder: who is at work, and that results are being written


def result_folder(out: str | Path, *, key: str, is_result: Callable[[Path], bool]) -> Path:
    """The folder of a result, if it is new, empty or ours: finished, or unfinished with our key file.

    Args:
        out: as the user gave it.
        key: name of the file in the unfinished folder that says what is being made.
        is_result: whether a folder holds a finished result.

    Raises:
        ArgumentError: the folder holds anything else, or is not named.
        DeconvNetError: it cannot be read.
    """
    folder = file_path("the name of the output folder", out)
    unfinished = folder / UNFINISHED
    if is_result(folder) or (_is_own_folder(unfinished) and is_file(unfinished / key)):
        return folder
    names = names_in(folder)
    if UNFINISHED in names and _is_own_folder(unfinished) and set(names_in(unfinished)) <= {_LOCK}:
        names.remove(UNFINISHED)
    if names:
        listed = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise ArgumentError(f"{str(folder)!r} is not empty: it holds {listed}. Give a new folder.")
    return folder


def check_resumed(folder: Path, before: Mapping[str, Any] | None, now: Mapping[str, Any], *, resume: bool) -> None:
    """Raise unless a run may begin in a folder, or go on with the one that was begun there.

    Args:
        folder: of the result.
        before: how the run in it was started; None if there is none.
        now: how this one is.
        resume: go on.

    Raises:
        ArgumentError: a run was begun there and `resume` is not given, or it was started in another way.
    """
    if before is None:
        return
    changed = differences(before, now)
    if not resume:
        started = f" that was started with {'; '.join(changed)}" if changed else ""
        how = "with the same options " if changed else ""
        raise ArgumentError(
            f"{str(folder)!r} holds an unfinished run{started}. Continue it {how}(--resume, resume=True), or give a "
            "new folder."
        )
    if changed:
        raise ArgumentError(
            f"{str(folder)!r} was started with {'; '.join(changed)}. Use the same options or a new folder."
        )


_NOTHING = object()  # an option that is not there, which null is


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """What differs between the options of two runs, in words: "k=9, now k=4".

    Args:
        before, now: the options, as JSON.
        path: what stands before each name.
    """
    changed = []
    for name in sorted({*before, *now}):
        a, b = (json.loads(json.dumps(options[name])) if name in options else _NOTHING for options in (before, now))
        words = path + name
        if isinstance(a, dict) and isinstance(b, dict):
            changed += differences(a, b, f"{words}.")
        elif a != b:
            changed.append(f"{words}={_short(a)}, now {words}={_short(b)}")
    return changed


def _short(value: object) -> str:
    text = "nothing" if value is _NOTHING else json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."


class Saves:
    """When the progress of a long run is saved: every few seconds, and in at most a fiftieth of the run's time.

    Args:
        seconds: between two saves, where these are quick; every time if it is below 0.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = self._wait = seconds
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._last > self._wait

    def save(self, write: Callable[[], object]) -> None:
        """Save, and wait the longer until the next time the longer this takes."""
        began = time.monotonic()
        write()
        self._last = time.monotonic()
        self._wait = self._seconds * max(1.0, (self._last - began) / (_SHARE * self._seconds))


def has_unfinished(folder: Path) -> bool:
    """Whether a run is at work in the folder of a result, or has left files that it needed until it was finished."""
    return _is_own_folder(folder / UNFINISHED)


@dataclass(frozen=True, eq=False)
class Held:
    """The folder of a result in which this run, and no other, is at work.

    Attributes:
        folder: of the result.
        names: of the files and folders that become the result.
        lock: of the folder.
    """

    folder: Path
    names: Sequence[str]
    lock: Lock

    @property
    def unfinished(self) -> Path:
        """The folder of what is needed until the result is finished."""
        return self.folder / UNFINISHED

    @property
    def claimed(self) -> bool:
        """Whether this run, or the one that it goes on with, has begun to write the result."""
        return is_file(self.unfinished / _CLAIM)

    def check(self) -> None:
        """Raise unless the result can be written: its names are free or claimed, and no other run is at work.

        Raises:
            ArgumentError: a file of that name lies there that is not of this run.
            DeconvNetError: the folder was removed, or another run has taken it.

        Warns:
            DeconvNetWarning: a run that was at work there was killed; said once, as this one goes on.
        """
        if not self.lock.holds():
            raise DeconvNetError(
                f"{str(self.folder)!r} was removed, or another run has taken it over, while this run was at work in "
                "it. This run has ended, and the result is not complete."
            )
        taken = [] if self.claimed else [name for name in self.names if os.path.lexists(self.folder / name)]
        if taken:
            raise ArgumentError(
                f"{str(self.folder / taken[0])!r} is there already and is not from this run. Move it elsewhere, then "
                "continue (--resume, resume=True)."
            )
        self.lock.warn_of_killed(self.folder)

    def claim(self) -> None:
        """Write down that what lies in the folder under the names of the result is ours, which then may be replaced.

        Raises:
            ArgumentError, DeconvNetError: as `check`.
        """
        self.check()
        if not self.claimed:
            write_whole(self.unfinished / _CLAIM, lambda file: file.write(b""))

    def remove_unfinished(self, names: Sequence[str]) -> None:
        """Remove what was needed until the result was finished; what else lies beside it stays.

        Args:
            names: of the files, in the order of their removal.

        Raises:
            DeconvNetError: the disk refused.
        """
        remove_written(self.unfinished, (_CLAIM, *names))


@contextmanager
def held(folder: Path, names: Sequence[str], *, take_over: bool = False) -> Iterator[Held]:
    """Hold the folder of a result, so that no other run works in it; it is made if need be.

    Args:
        folder: from `result_folder`.
        names: of the files and folders that become the result.
        take_over: take the place of a run on another machine, of which cannot be known whether it still runs.

    Raises:
        ArgumentError: another run is at work there, or may be.
        DeconvNetError: the disk refused.
    """
    unfinished = folder / UNFINISHED
    if unfinished.is_symlink():
        raise ArgumentError(f"{str(unfinished)!r} is a link. Remove it, or give a new folder.")
    make_folder(folder)
    make_folder(unfinished)
    try:
        with locked(unfinished / _LOCK, folder, take_over=take_over) as lock:
            for inside in (folder.resolve(), unfinished):
                remove_written(inside)  # what a killed run was in the middle of writing
            yield Held(folder, names, lock)
    finally:
        with suppress(OSError):
            unfinished.rmdir()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if need be.

    Raises:
        DeconvNetError: the disk refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DeconvNetError(f"cannot make the folder {str(folder)!r}: {fault}.") from fault


def remove_written(folder: Path, names: Sequence[str] = ()) -> None:
    """Remove files that we wrote, and nothing else. A link is removed, never followed.

    Args:
        folder: in which they lie; nothing is done if it is missing or is a link.
        names: of the files, removed in this order, after what killed runs were in the middle of writing there.

    Raises:
        DeconvNetError: the disk refused.
    """
    if not _is_own_folder(folder):
        return
    try:
        parts = [path.name for path in folder.iterdir() if PART.fullmatch(path.name)]
        for path in (folder / name for name in (*parts, *names)):
            if path.is_symlink() or path.is_file():
                path.unlink(missing_ok=True)
    except OSError as fault:
        raise DeconvNetError(f"cannot remove unfinished files in {str(folder)!r}: {fault}.") from fault


def _is_own_folder(path: Path) -> bool:
    """Whether there is a folder, and not a link to one."""
    return is_folder(path) and not path.is_symlink()


def names_in(folder: Path) -> list[str]:
    """Names in a folder, if it exists, without the unfinished files of killed runs."""
    try:
        return sorted(path.name for path in folder.iterdir() if not PART.fullmatch(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as fault:
        raise DeconvNetError(f"cannot read the folder {str(folder)!r}: {fault}.") from fault
