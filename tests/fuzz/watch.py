"""The parent: it hands out tries, and kills and replaces a process that hangs."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from multiprocessing import Pipe
from pathlib import Path

from fuzz.table import Kind, Outcome

_STARTING = 300.0  # seconds for importing torch, and for what a kind prepares

Report = Callable[[Kind, int, Outcome], None]


class Child:
    """A process that makes tries, started when it is needed, with a folder for all that they leave behind."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def attempt(self, kind: Kind, seed: int) -> Outcome:
        """One try, ended when its time is over."""
        if self._process is None:
            self._start()
        try:
            self._connection.send((kind, seed))
            if not self._connection.poll(_STARTING):
                return self._ended("could not be prepared")
            self._connection.recv()
            if not self._connection.poll(kind.seconds):
                return self._ended(f"took more than {kind.seconds:g} seconds")
            outcome: Outcome = self._connection.recv()
        except (EOFError, ConnectionError):
            return self._ended("ended the process")
        return outcome

    def close(self, *, hangs: bool = False) -> None:
        """End the process and all that it started."""
        if self._process is None:
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._connection.send(None)
            self._process.wait(0 if hangs else 10)
        self.kill()
        self._process.wait()
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._process = None

    def kill(self) -> None:
        """End the process at once; the try that it makes ends as a fault."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._connection, theirs = Pipe()
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.child", str(theirs.fileno())],
                env=os.environ | {"TMPDIR": str(self._folder)}, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                start_new_session=True,  # Ctrl-C is the parent's, and what a try starts ends with it
            )  # fmt: skip
        theirs.close()

    def _ended(self, fault: str) -> Outcome:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        code = self._process.returncode
        details = (self._folder / "log").read_text(errors="replace").rpartition("Timeout (")[2]
        self.close(hangs=True)
        ours = re.search(r'/deconvnet/(\S+)", line (\d+)', details)
        died = "" if code is None else f" with code {code}"
        return Outcome(fault=f"{fault}{died}" + (f" ({ours[1]}:{ours[2]})" if ours else ""), details=details)


class Schedule:
    """Which try comes next: of the kind that had the least time so far."""

    def __init__(self, kinds: Sequence[Kind], seed: int, seconds: float, tries: int | None) -> None:
        self._seeds = dict.fromkeys(kinds, seed)
        self._spent = dict.fromkeys(kinds, 0.0)
        self._end = time.monotonic() + seconds
        self._first, self._tries, self._lock = seed, tries, threading.Lock()
        self.stopped = False

    def next(self) -> tuple[Kind, int] | None:
        """None when it is over."""
        with self._lock:
            kinds = [kind for kind in self._seeds if self._goes_on(kind)]
            if not kinds or self.stopped:
                return None
            kind = min(kinds, key=self._spent.__getitem__)
            seed = self._seeds[kind]
            self._seeds[kind] += 1
            self._spent[kind] += 0.01  # so that jobs that start at once take different kinds
            return kind, seed

    def _goes_on(self, kind: Kind) -> bool:
        """A try that may last longer than what is left is not begun, save the first one."""
        made = self._seeds[kind] - self._first
        if self._tries is not None:
            return made < self._tries
        return made == 0 or kind.seconds < self._end - time.monotonic()

    def spent(self, kind: Kind, seconds: float) -> None:
        """Count the time of a try."""
        with self._lock:
            self._spent[kind] += seconds


def run(schedule: Schedule, jobs: int, report: Report) -> dict[str, Counter[str]]:
    """Make tries until the schedule is over.

    Args:
        schedule: which.
        jobs: at a time, each in a process of its own.
        report: called with each try that found a fault.

    Returns:
        By kind, how many tries there were of each word; those that found a fault are under "fault".
    """
    counts: dict[str, Counter[str]] = {}
    lock, children = threading.Lock(), [Child() for _ in range(jobs)]

    def work(child: Child) -> None:
        with contextlib.closing(child):
            while (following := schedule.next()) is not None:
                kind, seed = following
                before = time.monotonic()
                outcome = child.attempt(kind, seed)
                schedule.spent(kind, time.monotonic() - before)
                with lock:
                    if not schedule.stopped:
                        counts.setdefault(kind.name, Counter())[outcome.word or "fault"] += 1
                        if outcome.fault:
                            report(kind, seed, outcome)

    with ThreadPoolExecutor(jobs) as pool:
        working = [pool.submit(work, child) for child in children]
        try:
            wait(working)
        except KeyboardInterrupt:  # the end; what has been found is reported
            schedule.stopped = True
            for child in children:
                child.kill()
    for done in working:
        done.result()
    return counts
