"""Progress on stderr: a bar on a terminal; elsewhere a line now and then, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
        rate = _rates()

        def report_progress(what: str, done: float, total: float, remark: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, remark="")
            counted = f"{done} of {total}" if isinstance(done, int) else ""
            remarks = ", ".join(filter(None, (counted, rate(what, done), remark)))
            bar.update(tasks[what], completed=done, remark=remarks)

        yield report_progress


def _lines() -> ReportProgress:
    last = 0.0
    rate = _rates()

    def report_progress(what: str, done: float, total: float, remark: str) -> None:
        nonlocal last
        per_second = rate(what, done)
        if time.monotonic() - last < _SECONDS_BETWEEN_LINES and done < total:
            return
        last = time.monotonic()
        say(", ".join(filter(None, (f"{done} of {total} {what}", per_second, remark))))

    return report_progress


def _rates() -> Callable[[str, float], str]:
    """A function for how many are done in a second, in words, counted from its first call; "" for shares."""
    starts: dict[str, tuple[float, float]] = {}

    def rate(what: str, done: float) -> str:
        now = time.monotonic()
        start, first = starts.setdefault(what, (now, done))
        if not isinstance(done, int) or now - start <= 0.5 or done <= first:
            return ""
        return f"{(done - first) / (now - start):.1f} per second"

    return rate
