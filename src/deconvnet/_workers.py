"""Processes that do what they are sent, one thing after the other.

Each reports through a pipe of its own, whose end shows that the worker, or its parent, has died.
"""

import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeAlias

import torch

from deconvnet._errors import DeconvNetError

MOST_WORKERS = 1024  # processes: pipes to all others are open while they start

Do: TypeAlias = Callable[[Any], Any]


class Worker(Protocol):
    """Does what it is sent, and hands out the result before it is sent something else."""

    def send(self, task: object) -> None:
        """Have something done."""

    def receive(self) -> Any:
        """What came of it; raises what a `DeconvNetError` stopped it."""


@contextmanager
def crew(duties: Sequence[Do], purpose: str, *, here: bool = False) -> Iterator[list[Worker]]:
    """Workers, one for each duty, which end with the block.

    Args:
        duties: what each worker calls with what it is sent. A process gets a copy.
        purpose: what the processes do, for messages: "a process that PURPOSE".
        here: do all of it in this process, once it is asked for; with one thread, as in the others.
    """
    if here:
        yield [_Here(do) for do in duties]
        return
    processes: list[_Elsewhere] = []
    try:
        for do in duties:
            processes.append(_Elsewhere(do, purpose, [process.pipe for process in processes]))
        yield list(processes)
    finally:
        for process in processes:
            process.end()
        for process in processes:
            process.join()


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread, as a worker does: sums over many numbers round differently with another number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Here:
    def __init__(self, do: Do) -> None:
        self._do = do
        self._task: object = None

    def send(self, task: object) -> None:
        self._task = task

    def receive(self) -> Any:
        with one_thread():
            return self._do(self._task)


class _Elsewhere:
    def __init__(self, do: Do, purpose: str, others: Sequence[Connection]) -> None:
        self._purpose = purpose
        self.pipe, theirs = Pipe()
        self._process = Process(target=_work, args=(do, theirs, (*others, self.pipe)), daemon=True)
        with warnings.catch_warnings():  # Python warns of forks beside threads; a worker meets none of their locks
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        theirs.close()  # so that the pipe ends when the worker does

    def send(self, task: object) -> None:
        try:
            self.pipe.send(task)
        except OSError as fault:
            raise self._ended() from fault

    def receive(self) -> Any:
        try:
            result, fault = self.pipe.recv()
        except (EOFError, OSError) as end:
            raise self._ended() from end
        if isinstance(fault, str):
            raise DeconvNetError(f"a process that {self._purpose} failed:\n{fault}")
        if fault is not None:
            raise fault
        return result

    def end(self) -> None:
        self.pipe.close()
        self._process.terminate()

    def join(self) -> None:
        self._process.join()

    def _ended(self) -> DeconvNetError:
        self._process.join()
        return DeconvNetError(
            f"a process that {self._purpose} ended with exit code {self._process.exitcode} (-9: killed, usually out of "
            "memory). Use fewer workers, or workers=0 to see why."
        )


def _work(do: Do, pipe: Connection, inherited: tuple[Connection, ...]) -> None:
    for other_end in inherited:
        other_end.close()  # a pipe ends when nobody is left at its other end
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    try:
        while True:
            pipe.send(_outcome(do, pipe.recv()))
    except (EOFError, ConnectionError):
        pass  # nobody is there any more


def _outcome(do: Do, task: object) -> tuple[Any, DeconvNetError | str | None]:
    """The result, or what went wrong: an error of ours, or the traceback of any other."""
    try:
        return do(task), None
    except DeconvNetError as fault:
        return None, fault
    except Exception:
        return None, traceback.format_exc()
