"""Batches of photos, decoded and prepared in other processes, identical for any number of workers.

Worker w of n makes batches w, w + n, w + 2n, ... in a piece of memory that it shares with its parent, reports each
through a pipe of its own, and goes on when its parent has copied the batch. Memory is bounded by one batch per worker,
and the end of the pipe shows that a worker, or its parent, has died.
"""

import math
import signal
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt64
from numpy.typing import NDArray
from torch import Tensor

from deconvnet._checks import whole_number
from deconvnet._errors import ArgumentError, DeconvNetError, PhotoError
from deconvnet.photos.photo import Photo
from deconvnet.photos.sets import PhotoSet
from deconvnet.photos.values import Extent, Extents, Reading

MOST_WORKERS = 1024  # processes: each holds a batch, and pipes to all others are open while they start

Skipped: TypeAlias = tuple[tuple[int, str], ...]
_Images: TypeAlias = Float32[np.ndarray, "size c *input"]
_Report: TypeAlias = tuple[NDArray[np.int64], NDArray[np.uint64], Skipped, tuple[Extent, ...]]
"""The slots that hold a photo, the digests of these photos, the photos that could not be read, and of those that were
what they hold where nothing says which value is white."""


class Preparation(Protocol):
    """How a photo becomes an input: `Preprocess` for a network, `Prepare` for learning. Workers are sent a copy."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of every input; of volumes depth, height and width."""

    @property
    def reading(self) -> Reading:
        """How photos are read for it."""

    def image(self, photo: Photo) -> Float[Tensor, "1 c *input"]:
        """The input that a photo becomes; raises PhotoError if it cannot become one."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Prepared photos, always as many slots: those without a photo are zero.

    Attributes:
        indices: of the photos that were read, in the order asked for.
        slots: where each of them lies in `images`.
        digests: of what each of them was decoded from, as `PhotoSet.read` takes it to check a photo that is read again.
        images: one slot per photo asked for, then zeros up to the batch's size.
        skipped: index of each photo that could not be read, and why.
    """

    indices: Int64[np.ndarray, " n"]
    slots: Int64[np.ndarray, " n"]
    digests: UInt64[np.ndarray, " n"]
    images: Float32[Tensor, "size c *input"]
    skipped: Skipped


def batches(
    photos: PhotoSet,
    indices: Sequence[int] | NDArray[np.int64],
    prepare: Preparation,
    size: int,
    *,
    workers: int = 0,
    extents: Extents | None = None,
) -> Generator[Batch, None, None]:
    """The photos of these indices in batches of `size` slots, in order.

    Batch b covers `indices[b * size : (b + 1) * size]`, whether its photos can be read or not.

    Args:
        photos: from `open_photos`.
        indices: of photos in the set.
        prepare: what becomes of each photo.
        size: slots in each batch.
        workers: processes that decode and prepare, each with one thread; 0 does it here, with one thread as well.
        extents: of photos that were read before, if any were; filled.

    Warns:
        ValueRangeWarning: the values of all of the first photos of more than 8 bits, or of all photos, are so small for
            their type that they probably fill fewer bits, and nothing says which of them is white.

    Raises:
        ArgumentError: an index outside the set, a size below 1, workers below 0 or too many.
        DeconvNetError: a worker was killed.
    """
    order = np.asarray(indices)
    if order.ndim != 1 or (order.size and order.dtype.kind not in "iu"):
        raise ArgumentError(f"indices are whole numbers in a row, not {order.dtype} of shape {order.shape}.")
    if order.size and (order.min() < 0 or order.max() >= len(photos)):
        raise ArgumentError(f"indices from {order.min()} to {order.max()}, but the photos are 0 to {len(photos) - 1}.")
    job = Job(photos, order.astype(np.int64), prepare, whole_number("size", size))
    return _batches(job, whole_number("workers", workers, 0, MOST_WORKERS), extents or Extents())


@dataclass(frozen=True, eq=False)
class Job:
    """Batches to be read, each by its index.

    Attributes:
        photos: the set.
        indices: of the photos, batch after batch.
        prepare: what becomes of each photo.
        size: slots in each batch.
    """

    photos: PhotoSet
    indices: NDArray[np.int64]
    prepare: Preparation
    size: int

    def __len__(self) -> int:
        return -(-len(self.indices) // self.size)

    def indices_of(self, batch: int) -> NDArray[np.int64]:
        """Indices of a batch's photos."""
        return self.indices[batch * self.size : (batch + 1) * self.size]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a batch."""
        return self.size, *self.prepare.shape

    def read(self, batch: int, images: _Images) -> _Report:
        """Fill every slot of a batch; which slots hold photos, their digests, what could not be read, and extents."""
        slots, digests, skipped, extents = [], [], [], []
        indices = self.indices_of(batch).tolist()
        images[len(indices) :] = 0
        for slot, index in enumerate(indices):
            try:
                photo = self.photos.read(index, reading=self.prepare.reading)
                images[slot] = self.prepare.image(photo)[0].numpy()
                slots.append(slot)
                digests.append(photo.digest)
                extents += [photo.extent] if photo.extent else []
            except PhotoError as fault:
                images[slot] = 0
                skipped.append((index, str(fault)))
        return np.array(slots, np.int64), np.array(digests, np.uint64), tuple(skipped), tuple(extents)


def _batches(job: Job, workers: int, extents: Extents) -> Generator[Batch, None, None]:
    stream = _by_workers(job, min(workers, len(job))) if workers else _in_this_process(job)
    for batch, ((slots, digests, skipped, of_batch), images) in enumerate(stream):
        extents.add(of_batch)
        yield Batch(job.indices_of(batch)[slots], slots, digests, torch.from_numpy(images), skipped)
    extents.warn()


def _in_this_process(job: Job) -> Iterator[tuple[_Report, _Images]]:
    for batch in range(len(job)):
        images = np.empty(job.shape, np.float32)
        with _one_thread():
            report = job.read(batch, images)
        yield report, images


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, as a worker does: sums over a large photo round differently with another number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _by_workers(job: Job, workers: int) -> Iterator[tuple[_Report, _Images]]:
    crew: list[_Worker] = []
    try:
        for first in range(workers):
            crew.append(_start_worker(job, first, workers, [worker.pipe for worker in crew]))
        for batch in range(len(job)):
            yield _receive(crew[batch % workers])
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


def _start_worker(job: Job, first: int, step: int, others: list[Connection]) -> _Worker:
    ours, theirs = Pipe()
    # is zeroed at once, and lies in a file where /dev/shm has no room for it
    shared = RawArray("f", math.prod(job.shape))
    process = Process(target=_work, args=(job, first, step, shared, theirs, (*others, ours)), daemon=True)
    with warnings.catch_warnings():  # Python warns of forks beside threads; a worker meets none of their locks
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()  # so that the pipe ends when the worker does
    return _Worker(process, ours, np.frombuffer(shared, np.float32).reshape(job.shape))


def _receive(worker: _Worker) -> tuple[_Report, _Images]:
    try:
        report = worker.pipe.recv()
        if isinstance(report, str):
            raise DeconvNetError(f"a process that reads photos failed:\n{report}")
        images = worker.images.copy()
        worker.pipe.send("copied")
    except (EOFError, OSError) as fault:
        worker.process.join()
        raise DeconvNetError(
            f"a process that reads photos ended with exit code {worker.process.exitcode} (-9: killed, usually out of "
            "memory). Use fewer workers, or workers=0 to see why."
        ) from fault
    return report, images


def _work(job: Job, first: int, step: int, shared: Any, pipe: Connection, inherited: tuple[Connection, ...]) -> None:
    for other_end in inherited:
        other_end.close()  # a pipe ends when nobody is left at its other end
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    images = np.frombuffer(shared, np.float32).reshape(job.shape)
    try:
        for batch in range(first, len(job), step):
            pipe.send(job.read(batch, images))
            pipe.recv()
    except (EOFError, ConnectionError):
        pass  # nobody is there any more
    except Exception:
        pipe.send(traceback.format_exc())
