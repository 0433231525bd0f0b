"""Progress on stderr: a bar on a terminal; elsewhere a line now and then, or nothing."""

import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deconvnet.cli.stderr import say

ReportProgress = Callable[[str, float, float, str], None]
"""What is counted, how many are done, out of how many, and a remark. A float is a share."""

_SECONDS_BETWEEN_LINES = 10


@contextmanager
def progress(*, quiet: bool = False, lines: bool = False) -> Iterator[ReportProgress]:
    """A function to report progress with, while the block runs.

    Args:
        quiet: report nothing.
        lines: print a line now and then where stderr is not a terminal.
    """
    if sys.stderr.isatty() and not quiet:
        with _bar() as report_progress:
            yield report_progress
    else:
        yield _lines() if lines and not quiet else _ignore


def _ignore(what: str, done: float, total: float, remark: str) -> None:
    """Report nothing."""


@contextmanager
def resumable() -> Iterator[None]:
    """After Ctrl-C inside, the command says which other resumes the run."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted. Continue with: {_resuming(sys.argv)}") from None


def _resuming(argv: Sequence[str]) -> str:
    """The command line that goes on with the run of another, quoted for the shell."""
    program = ["python", "-m", "deconvnet"] if Path(argv[0]).name == "__main__.py" else ["deconvnet"]
    words = [*program, *argv[1:]]
    options = words[: words.index("--")] if "--" in words else words
    if "--resume" not in options:
        words.insert(len(options), "--resume")
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


@contextmanager
def _bar() -> Iterator[ReportProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[remark]}"), TimeRemainingColumn(),
    ]  # fmt: skip
    console, on_terminal = Console(stderr=True), sys.stdout.isatty()
    # results that go to a file or a pipe must not be drawn into the bar
    with Progress(*columns, console=console, transient=True, redirect_stdout=on_terminal) as bar:
        tasks: dict[str, TaskID] = {}
        pace = _Pace()

        def report_progress(what: str, done: float, total: float, remark: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, remark="")
            counted = f"{done:,} of {total:,}" if isinstance(done, int) else ""
            remarks = ", ".join(filter(None, (counted, pace.rate(what, done), remark)))
            bar.update(tasks[what], completed=done, remark=remarks)

        yield report_progress


def _lines() -> ReportProgress:
    last = 0.0
    pace = _Pace()

    def report_progress(what: str, done: float, total: float, remark: str) -> None:
        nonlocal last
        rate, left = pace.rate(what, done), pace.left(what, done, total)
        if time.monotonic() - last < _SECONDS_BETWEEN_LINES and done < total:
            return
        last = time.monotonic()
        say(f"{what}: {', '.join(filter(None, (f'{done:,} of {total:,}', rate, left, remark)))}")

    return report_progress


class _Pace:
    """How fast work goes, counted from when each kind of it is first seen; "" while that is not clear."""

    def __init__(self) -> None:
        self._starts: dict[str, tuple[float, float]] = {}

    def rate(self, what: str, done: float) -> str:
        """How many are done in a second, or the seconds for each; "" for shares."""
        seconds = self._seconds_for_each(what, done)
        if seconds is None or not isinstance(done, int):
            return ""
        return f"{1 / seconds:.1f} per second" if seconds <= 1 else f"{seconds:.1f} s each"

    def left(self, what: str, done: float, total: float) -> str:
        """How long the rest takes at this rate."""
        seconds = self._seconds_for_each(what, done)
        return "" if seconds is None or done >= total else f"{duration(seconds * (total - done))} left"

    def _seconds_for_each(self, what: str, done: float) -> float | None:
        now = time.monotonic()
        start, first = self._starts.setdefault(what, (now, done))
        return (now - start) / (done - first) if now - start > 0.5 and done > first else None


def duration(seconds: float) -> str:
    """A time for people, in its largest units.

    Example:
        >>> duration(8.2), duration(200), duration(7500)
        ('9 s', '3 min', '2 h 5 min')
    """
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
