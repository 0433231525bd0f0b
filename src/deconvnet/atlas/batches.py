"""Batches of photos, decoded in other processes, the same ones for any number of them.

Worker w of n makes batches w, w + n, w + 2n, ... and hands each over through a pipe of its own. A pipe
takes the next batch only when the last one has been fetched: memory is bounded, no shared memory is
needed, and a worker that dies, or outlives its parent, is told by the pipe's end.
"""

import signal
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from deconvnet._errors import ArgumentError, DeconvNetError, PhotoError
from deconvnet.atlas.photos import PhotoSet
from deconvnet.preprocess import Preprocess

Skipped: TypeAlias = tuple[tuple[int, str], ...]
_PIECE = 2**20  # bytes: a pipe copies a message more often than once, and quickest in the processor's cache
_Read: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32], Skipped]  # slots, images, skipped


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

    def read(self, number: int) -> _Read:
        """The slots of a batch that hold photos, all its images, and what could not be read."""
        images = np.zeros((self.size, self.preprocess.channels, *self.preprocess.size), np.float32)
        slots, skipped = [], []
        for slot, index in enumerate(self.asked(number).tolist()):
            try:
                images[slot] = self.preprocess.images(self.photos.read(index))[0].numpy()
                slots.append(slot)
            except PhotoError as fault:
                skipped.append((index, str(fault)))
        return np.array(slots, np.int64), images, tuple(skipped)


def _batches(job: Job, workers: int) -> Iterator[Batch]:
    read = _by_workers(job, min(workers, len(job))) if workers else map(job.read, range(len(job)))
    for number, (slots, images, skipped) in enumerate(read):
        yield Batch(job.asked(number)[slots], slots, torch.from_numpy(images), skipped)


def _by_workers(job: Job, workers: int) -> Iterator[_Read]:
    processes: list[Process] = []
    pipes: list[Connection] = []
    try:
        for first in range(workers):
            ours, theirs = Pipe(duplex=False)
            pipes.append(ours)
            process = Process(
                target=_work, args=(job, first, workers, theirs, tuple(pipes)), daemon=True, name=f"photos-{first}"
            )
            process.start()
            processes.append(process)
            theirs.close()  # so that the pipe ends when its worker does
        for number in range(len(job)):
            yield _received(job, pipes[number % workers], processes[number % workers])
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _received(job: Job, pipe: Connection, process: Process) -> _Read:
    images = np.empty((job.size, job.preprocess.channels, *job.preprocess.size), np.float32)
    try:
        told = pipe.recv()
        if isinstance(told, str):
            raise DeconvNetError(f"a process that reads photos failed:\n{told}")
        pixels, got = images.data.cast("B"), 0
        while got < len(pixels):
            got += pipe.recv_bytes_into(pixels, got)
    except (EOFError, OSError) as fault:
        process.join()
        raise DeconvNetError(
            f"a process that reads photos ended with exit code {process.exitcode} (-9: killed, often for want "
            "of memory). Use fewer workers, or workers=0 to see why."
        ) from fault
    slots, skipped = told
    return slots, images, skipped


def _work(job: Job, first: int, step: int, pipe: Connection, inherited: tuple[Connection, ...]) -> None:
    for other_end in inherited:
        other_end.close()  # a pipe ends when nobody is left who could fetch
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    try:
        for number in range(first, len(job), step):
            slots, images, skipped = job.read(number)
            pipe.send((slots, skipped))
            pixels = images.data.cast("B")
            for start in range(0, len(pixels), _PIECE):
                pipe.send_bytes(pixels[start : start + _PIECE])
    except ConnectionError:
        pass  # nobody fetches any more
    except Exception:
        pipe.send(traceback.format_exc())
