"""The process that makes the tries, one after the other, because torch takes long to import."""

import contextlib
import faulthandler
import importlib
import io
import os
import random
import resource
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from fuzz.table import Kind, Outcome

_PEAK = Path("/proc/self/clear_refs")  # Linux; elsewhere memory is limited, but its peak not measured
_SPARE = 2  # times the limit of a kind: beyond it the process gets no more, so that the machine lives on


def serve(connection: Connection) -> None:
    """Make the tries that are asked for, until None comes; before each, "started" is sent.

    On stderr is where it hangs or dies.
    """
    faulthandler.enable()
    while (wanted := connection.recv()) is not None:
        kind, seed = wanted
        function = _function(kind.function)
        faulthandler.dump_traceback_later(0.9 * kind.seconds)
        connection.send("started")
        connection.send(outcome(kind, function, seed))
        faulthandler.cancel_dump_traceback_later()


@cache
def _function(name: str) -> Callable[[random.Random, Path], str]:
    module_name, _, function = name.partition(":")
    module = importlib.import_module(f"fuzz.{module_name}")
    getattr(module, "prepare", lambda: None)()
    return getattr(module, function)


def outcome(kind: Kind, function: Callable[[random.Random, Path], str], seed: int) -> Outcome:
    """One try, in a folder of its own."""
    with _empty_folder() as folder, _limited(kind.megabytes), _quiet():
        before = _memory("VmRSS")
        with contextlib.suppress(OSError):
            _PEAK.write_text("5")
        try:
            word = function(random.Random(f"{kind.name} {seed}"), folder)
        except BaseException as error:
            return Outcome(fault=_words(error), details=traceback.format_exc())
        grown = _memory("VmHWM") - before
    return Outcome(word) if grown <= kind.megabytes else Outcome(fault=f"took {grown} MB of memory")


@contextlib.contextmanager
def _empty_folder() -> Iterator[Path]:
    home = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            yield Path(folder).resolve()
        finally:
            os.chdir(home)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No output, no warnings, and the same random numbers at each run."""
    out = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        warnings.simplefilter("ignore")
        np.random.seed(0)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(0)
        yield


@contextlib.contextmanager
def _limited(megabytes: int) -> Iterator[None]:
    """What the process may still take is limited."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    taken = _memory("VmData")
    if taken:
        resource.setrlimit(resource.RLIMIT_DATA, ((taken + _SPARE * megabytes) << 20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _memory(name: str) -> int:
    """Megabytes, as Linux counts them; 0 elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(name + ":"))


def _words(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/deconvnet/" in frame.filename] or frames
    where = f"{ours[-1].filename.rpartition('/deconvnet/')[2]}:{ours[-1].lineno}"
    message = " ".join(" ".join([str(error), *getattr(error, "__notes__", ())]).split())[:300]
    return f"{type(error).__name__}: {message} ({where})"


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
