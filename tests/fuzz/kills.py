"""Runs that are killed at random moments, again and again, and resumed until they are finished.

The result has the bytes of an uninterrupted run, and no file beside it has changed. A run is a fork of this process, so
that nothing needs to be imported anew; half of the kills come right before something is written, renamed or removed.
"""

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzz import runs
from fuzz.table import Fault

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "sqlite3.connect"}
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_MOST_CHANGES, _MOST_SECONDS = 60, 0.6  # about as many as a run has, and as it takes

Run = Callable[[Path, Path, bool], object]


def prepare() -> None:
    runs.base()


def attempt(random: Random, folder: Path) -> str:
    photos = shutil.copytree(runs.base() / "photos", folder / "photos")
    (folder / "notes.txt").write_text("mine")
    name = random.choice(tuple(_RUNS))
    before = runs.contents(folder)
    kills = check(random, _RUNS[name], photos, folder / "out", runs.contents(runs.base() / "this" / name))
    beside = {path: data for path, data in runs.contents(folder).items() if not path.startswith("out/")}
    if beside != before:
        raise Fault(f"{name}: files beside the result are others: {sorted(set(beside) ^ set(before))}")
    return f"{name} killed" if kills else f"{name} whole"


def check(random: Random, run: Run, photos: Path, out: Path, wanted: dict[str, bytes]) -> int:
    """How often the run was killed until it was finished; raise if the result is not what is wanted."""
    kills, history = 0, []
    for turn in range(random.randint(1, 4)):
        number, moment = random.choice(_SIGNALS), random.random()
        code = _forked(lambda turn=turn: run(photos, out, turn > 0), number, moment, at_change=random.random() < 0.5)
        history.append(f"{number.name} at {moment:.3f}")
        if code == 0:
            break
        kills += 1
    code = _forked(lambda: run(photos, out, True))
    if code:
        raise Fault(f"after {', '.join(history)} it ends with code {code}")
    result = runs.contents(out)
    if result != wanted:
        others = sorted(name for name in {*result, *wanted} if result.get(name) != wanted.get(name))
        raise Fault(f"after {', '.join(history)} other files: {others}")
    return kills


def _forked(
    run: Callable[[], object], number: int | None = None, moment: float = 0.0, *, at_change: bool = False
) -> int:
    """The exit code of a run in a fork, which gets a signal at a moment from 0 to 1; negative if it died of that.

    Raises:
        Fault: the run raised an exception.
    """
    report = Path("fault")
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if number is not None and at_change:
            _signalled_at_change(number, 1 + int(moment * _MOST_CHANGES))
        os._exit(_exit_code(run, report))
    if number is not None and not at_change:
        time.sleep(moment * _MOST_SECONDS)
        os.kill(process, number)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if report.exists():
        raise Fault(report.read_text())
    return code


def _exit_code(run: Callable[[], object], report: Path) -> int:
    try:
        run()
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        report.write_text(f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})")
        return 1
    return 0


def _signalled_at_change(number: int, count: int) -> None:
    """Send this process a signal before its change of files of that index, from 1."""
    left = count

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in _CHANGES or writing:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), number)

    sys.addaudithook(on_event)


def _merge(photos: Path, out: Path, resume: bool) -> object:
    parts = [runs.base() / "this" / f"part{i}" for i in (0, 1)]
    return runs.merge(photos, parts, out, resume=resume)


_RUNS: dict[str, Run] = {
    "atlas": lambda photos, out, resume: runs.build_atlas(photos, out, resume=resume),
    "learned": lambda photos, out, resume: runs.learn(photos, out, resume=resume),
    "part0": lambda photos, out, resume: runs.scan_part(photos, out, 0, resume=resume),
    "merged": _merge,
}
