"""Rows measured by a process apart, each with a time limit, so that one that fails or hangs never loses the others.

The process is given names of rows as its last arguments, measures them in this order, and prints each as a line of
JSON, `{"row": NAME, ...}`, as soon as it is done; with "fatal" in it if it can go on with no other. Where it takes too
long or dies, the row it was at has failed, and another process goes on with the rest. Where this happens before any row
was measured, all have failed: something is missing that all of them need.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

Row = dict[str, Any]
START_SECONDS = 90.0  # for imports and the first network, on top of the first row's own limit


def rows_apart(call: Sequence[str], limits: Mapping[str, float], *, total: float = float("inf")) -> Iterator[Row]:
    """The rows as they come, those that failed with a reason under "failed".

    Args:
        call: program and first arguments of the process.
        limits: seconds for each row, by its name, in the order in which they are measured.
        total: seconds for all of them; rows that are left then have failed too.
    """
    end = time.monotonic() + total
    names, reason, any_measured = list(limits), f"the {total:g} s for all rows were over", False
    while names and time.monotonic() < end:
        row: Row = {}
        for row in _one_process([*call, *names], [limits[name] for name in names], end):
            names.remove(row["row"])
            any_measured = any_measured or "failed" not in row
            yield row
        if not any_measured:
            reason = f"{row['row']} has failed"
            break
    yield from ({"row": name, "failed": f"not begun: {reason}"} for name in names)


def _one_process(call: Sequence[str], limits: Sequence[float], end: float) -> Iterator[Row]:
    """The rows of one process, until it is done or one of them has failed badly."""
    names = call[len(call) - len(limits) :]
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=words, text=True, start_new_session=True)
        assert process.stdout is not None
        rows: queue.Queue[Row | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, rows), daemon=True)
        reader.start()
        try:
            extra = START_SECONDS
            for name, limit in zip(names, limits, strict=True):
                left = min(limit + extra, max(end - time.monotonic(), 0))
                extra = 0.0
                try:
                    row = rows.get(timeout=left)
                except queue.Empty:
                    yield {"row": name, "failed": f"stopped after {left:.0f} s"}
                    return
                if row is None:
                    process.wait()
                    yield {"row": name, "failed": f"exit code {process.returncode}: {_last_line(words)}"}
                    return
                yield row
                if "fatal" in row:
                    return
        finally:
            _end(process)
            reader.join()
            process.stdout.close()


def _read(lines: IO[str], rows: "queue.Queue[Row | None]") -> None:
    """Put the rows that a process prints into a queue, and None when it has ended; other lines are no rows."""
    for line in lines:
        if line.startswith('{"row"'):
            rows.put(json.loads(line))
    rows.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process that was started in a session of its own, with all that it started itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def in_words(fault: Exception) -> str:
    """A fault's kind and the first line of what it says."""
    return f"{type(fault).__name__}: {fault}".splitlines()[0]


def _last_line(words: IO[str]) -> str:
    words.seek(0)
    lines = [line.strip() for line in words if line.strip()]
    return lines[-1] if lines else "no message"
