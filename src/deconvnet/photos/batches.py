"""Batches of photos, decoded in other processes, the same ones for any number of them.

Worker w of n makes batches w, w + n, w + 2n, ... in a piece of memory that it shares with its parent,
says so through a pipe of its own, and goes on when its parent has copied the batch. Memory is bounded
by one batch per worker, and the pipe's end tells of a worker's death, or its parent's.
"""

import math
import signal
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from deconvnet._errors import ArgumentError, DeconvNetError, PhotoError
from deconvnet.photos.preprocess import Preprocess
from deconvnet.photos.sets import PhotoSet

Skipped: TypeAlias = tuple[tuple[int, str], ...]
_Images: TypeAlias = Float32[np.ndarray, "size c h w"]
_Told: TypeAlias = tuple[NDArray[np.int64], Skipped]  # the slots that hold a photo, the photos that could not be read


@dataclass(frozen=True, eq=False)
class Batch:
    """Photos as a network takes them, always as many: slots without a photo are zero.

    Attributes:
        indices: numbers of the photos that were read, in the order asked for.
        slots: where each of them lies in `images`.
        images: one slot per photo asked for, then zeros up to the canonical size.
        skipped: number of each photo that could not be read, and why.
    """

    indices: Int64[np.ndarray, " n"]
    slots: Int64[np.ndarray, " n"]
    images: Float32[Tensor, "size c h w"]
    skipped: Skipped


def batches(
    photos: PhotoSet, indices: Sequence[int] | NDArray[np.int64], preprocess: Preprocess, size: int, *, workers: int = 0
) -> Iterator[Batch]:
    """The photos of these numbers in batches of `size` slots, in order.

    Batch b covers `indices[b * size : (b + 1) * size]`, whether its photos can be read or not.

    Args:
        photos: from `open_photos`.
        indices: numbers of photos.
        preprocess: of the network.
        size: slots in each batch.
        workers: processes that decode, each with one thread; 0 decodes here.

    Raises:
        ArgumentError: a number that is no photo's, a size below 1, workers below 0.
        DeconvNetError: a worker was killed.
    """
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise ArgumentError(f"indices are whole numbers in a row, not {chosen.dtype} of shape {chosen.shape}.")
    if chosen.size and (chosen.min() < 0 or chosen.max() >= len(photos)):
        raise ArgumentError(
            f"indices from {chosen.min()} to {chosen.max()}, but the photos are 0 to {len(photos) - 1}."
        )
    if size < 1 or workers < 0:
        raise ArgumentError(f"size={size} and workers={workers}, but at least 1 and 0 are needed.")
    return _batches(Job(photos, chosen.astype(np.int64), preprocess, size), workers)


@dataclass(frozen=True, eq=False)
class Job:
    """Batches to be read, each by its number.

    Attributes:
        photos: the set.
        indices: numbers of the photos, batch after batch.
        preprocess: of the network.
        size: slots in each batch.
    """

    photos: PhotoSet
    indices: NDArray[np.int64]
    preprocess: Preprocess
    size: int

    def __len__(self) -> int:
        return -(-len(self.indices) // self.size)

    def asked(self, number: int) -> NDArray[np.int64]:
        """Numbers of a batch's photos."""
        return self.indices[number * self.size : (number + 1) * self.size]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a batch."""
        return self.size, self.preprocess.channels, *self.preprocess.size

    def read(self, number: int, images: _Images) -> _Told:
        """Fill every slot of a batch; which slots hold photos, and what could not be read."""
        slots, skipped = [], []
        asked = self.asked(number).tolist()
        images[len(asked) :] = 0
        for slot, index in enumerate(asked):
            try:
                images[slot] = self.preprocess.images(self.photos.read(index))[0].numpy()
                slots.append(slot)
            except PhotoError as fault:
                images[slot] = 0
                skipped.append((index, str(fault)))
        return np.array(slots, np.int64), tuple(skipped)


def _batches(job: Job, workers: int) -> Iterator[Batch]:
    read = _by_workers(job, min(workers, len(job))) if workers else _here(job)
    for number, ((slots, skipped), images) in enumerate(read):
        yield Batch(job.asked(number)[slots], slots, torch.from_numpy(images), skipped)


def _here(job: Job) -> Iterator[tuple[_Told, _Images]]:
    for number in range(len(job)):
        images = np.empty(job.shape, np.float32)
        yield job.read(number, images), images


def _by_workers(job: Job, workers: int) -> Iterator[tuple[_Told, _Images]]:
    crew: list[_Worker] = []
    try:
        for first in range(workers):
            crew.append(_hired(job, first, workers, [worker.pipe for worker in crew]))
        for number in range(len(job)):
            yield _received(crew[number % workers])
    finally:
        for worker in crew:
            worker.pipe.close()
            worker.process.terminate()
        for worker in crew:
            worker.process.join()


@dataclass(frozen=True, eq=False)
class _Worker:
    process: Process
    pipe: Connection
    images: _Images  # shared


def _hired(job: Job, first: int, step: int, others: list[Connection]) -> _Worker:
    ours, theirs = Pipe()
    # is zeroed at once, and lies in a file where /dev/shm has no room for it
    shared = RawArray("f", math.prod(job.shape))
    process = Process(target=_work, args=(job, first, step, shared, theirs, (*others, ours)), daemon=True)
    with warnings.catch_warnings():  # Python warns of forks beside threads; a worker meets none of their locks
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()  # so that the pipe ends when the worker does
    return _Worker(process, ours, np.frombuffer(shared, np.float32).reshape(job.shape))


def _received(worker: _Worker) -> tuple[_Told, _Images]:
    try:
        told = worker.pipe.recv()
        if isinstance(told, str):
            raise DeconvNetError(f"a process that reads photos failed:\n{told}")
        images = worker.images.copy()
        worker.pipe.send("copied")
    except (EOFError, OSError) as fault:
        worker.process.join()
        raise DeconvNetError(
            f"a process that reads photos ended with exit code {worker.process.exitcode} (-9: killed, often for "
            "want of memory). Use fewer workers, or workers=0 to see why."
        ) from fault
    return told, images


def _work(job: Job, first: int, step: int, shared: Any, pipe: Connection, inherited: tuple[Connection, ...]) -> None:
    for other_end in inherited:
        other_end.close()  # a pipe ends when nobody is left at its other end
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    images = np.frombuffer(shared, np.float32).reshape(job.shape)
    try:
        for number in range(first, len(job), step):
            pipe.send(job.read(number, images))
            pipe.recv()
    except (EOFError, ConnectionError):
        pass  # nobody is there any more
    except Exception:
        pipe.send(traceback.format_exc())
