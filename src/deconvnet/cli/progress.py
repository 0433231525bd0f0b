"""How far long work is: a bar where someone watches, a line now and then where nobody does."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from deconvnet.cli import say

Tell = Callable[[str, int, int, str], None]  # what is counted, how many are done, of how many, and what else to say

_EVERY = 10  # seconds between lines


@contextmanager
def progress(quiet: bool) -> Iterator[Tell | None]:
    """What says on stderr how far the work is; None if nothing shall be said."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[more]}"), TimeRemainingColumn(),
    ]  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}
        rate = _rates()

        def tell(what: str, done: int, total: int, more: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, more="")
            bar.update(tasks[what], completed=done, more=", ".join(filter(None, (rate(what, done), more))))

        yield tell


def _lines() -> Tell:
    said = [0.0]
    rate = _rates()

    def tell(what: str, done: int, total: int, more: str) -> None:
        fast = rate(what, done)
        if time.monotonic() - said[0] < _EVERY and done < total:
            return
        said[0] = time.monotonic()
        say(", ".join(filter(None, (f"{done} of {total} {what}", fast, more))))

    return tell


def _rates() -> Callable[[str, int], str]:
    """How many of something are done in a second, in words, from when it was first asked for."""
    began: dict[str, tuple[float, int]] = {}

    def rate(what: str, done: int) -> str:
        now = time.monotonic()
        start, first = began.setdefault(what, (now, done))
        return f"{(done - first) / (now - start):.1f} a second" if now - start > 0.5 and done > first else ""

    return rate


def watched(items: list[Any]) -> Iterator[Any]:
    """The items, with a bar on stderr where there are several and someone watches."""
    from rich.console import Console
    from rich.progress import Progress

    if len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    # results that go to a file or a pipe must not be drawn into the bar
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        yield from bar.track(items, description="photos")
