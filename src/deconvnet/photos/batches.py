"""Batches of photos, decoded and resized in other processes, identical for any number of workers.

Worker w of n reads pieces w, w + n, w + 2n, ... of the batches into memory that it shares with its parent, each when
its parent has copied the one before. Memory is bounded by one piece per worker. Photos travel as levels, of 8 bits
where they have no more, and become inputs on the device that takes them.
"""

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.sharedctypes import RawArray
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, Shaped, UInt64
from numpy.typing import NDArray
from torch import Tensor

from deconvnet._checks import whole_number
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._workers import MOST_WORKERS, crew
from deconvnet.photos.levels import unit
from deconvnet.photos.photo import Photo
from deconvnet.photos.sets import PhotoSet
from deconvnet.photos.values import Extent, Extents, Reading

_CPU = torch.device("cpu")
_PIECE = 8  # photos that a worker reads at a time: so few that all of many workers are busy

Skipped: TypeAlias = tuple[tuple[int, str], ...]
Levels: TypeAlias = NDArray[Any]
"""uint8 from 0 to 255, or float32 as `Preparation.inputs` takes it."""


class Preparation(Protocol):
    """How a photo becomes an input: `Preprocess` for a network, `Prepare` for learning. Workers are sent a copy."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of every input; of volumes depth, height and width."""

    @property
    def reading(self) -> Reading:
        """How photos are read for it."""

    def levels(self, photo: Photo) -> Shaped[np.ndarray, "c *input"]:
        """What a worker makes of a photo, uint8 or float32; raises PhotoError if it cannot become an input."""

    def inputs(self, levels: Shaped[Tensor, "n c *input"]) -> Float32[Tensor, "n c *input"]:
        """The inputs, on the device of the levels, and equal on all devices."""


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
    device: torch.device = _CPU,
) -> Generator[Batch, None, None]:
    """The photos of these indices in batches of `size` slots, in order.

    Batch b covers `indices[b * size : (b + 1) * size]`, whether its photos can be read or not.

    Args:
        photos: from `open_photos`.
        indices: of photos in the set.
        prepare: what becomes of each photo.
        size: slots in each batch.
        workers: processes that decode and resize, each with one thread; 0 does it here, with one thread as well.
        extents: of photos that were read before, if any were; filled.
        device: where the images are made.

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
    return _batches(job, whole_number("workers", workers, 0, MOST_WORKERS), extents or Extents(), device)


@dataclass(frozen=True, eq=False)
class Report:
    """What was read of some slots.

    Attributes:
        slots: those that hold a photo.
        indices: of these photos.
        digests: of these photos.
        skipped: the photos that could not be read.
        extents: of those photos where nothing says which value is white, what they hold.
    """

    slots: list[int]
    indices: list[int]
    digests: list[int]
    skipped: list[tuple[int, str]]
    extents: list[Extent]


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

    def read(self, batch: int, slots: range | None = None) -> tuple[Report, Levels]:
        """What was read of a batch, or of some of its slots, and the levels of these slots: zero without a photo."""
        slots = range(self.size) if slots is None else slots
        report, levels = Report([], [], [], [], []), dict[int, Levels]()
        indices = self.indices[batch * self.size : (batch + 1) * self.size][slots.start : slots.stop].tolist()
        for slot, index in zip(slots, indices, strict=False):
            try:
                photo = self.photos.read(index, reading=self.prepare.reading)
                levels[slot - slots.start] = self.prepare.levels(photo)
            except PhotoError as fault:
                report.skipped.append((index, str(fault)))
                continue
            report.slots.append(slot)
            report.indices.append(index)
            report.digests.append(photo.digest)
            report.extents.extend([photo.extent] if photo.extent else [])
        return report, in_slots(levels, len(slots), self.prepare)


def in_slots(levels: Mapping[int, Levels], slots: int, prepare: Preparation) -> Shaped[np.ndarray, "slots c *input"]:
    """Levels of photos in their slots, zero in the others; as floats if those of one are."""
    dtype = np.uint8 if all(photo.dtype == np.uint8 for photo in levels.values()) else np.float32
    result = np.zeros((slots, *prepare.shape), dtype)
    for slot, photo in levels.items():
        result[slot] = photo if photo.dtype == dtype else unit(photo)
    return result


def inputs_in_slots(
    prepare: Preparation, levels: Shaped[Tensor, "size c *input"], slots: Iterable[int]
) -> Float[Tensor, "size c *input"]:
    """The inputs that levels become, where their slots hold a photo, and zero in the others."""
    images, filled = prepare.inputs(levels), set(slots)
    for slot in range(len(images)):
        if slot not in filled:
            images[slot] = 0
    return images


def _batches(job: Job, workers: int, extents: Extents, device: torch.device) -> Generator[Batch, None, None]:
    pieces = [
        (batch, range(first, min(first + _PIECE, job.size)))
        for batch in range(len(job))
        for first in range(0, job.size, _PIECE)
        if batch * job.size + first < len(job.indices)
    ]
    here, count = not workers, min(max(workers, 1), len(pieces))
    piece = (min(_PIECE, job.size), *job.prepare.shape)
    # zeroed at once, and in a file where /dev/shm has no room for it
    memory = [np.empty(math.prod(piece), np.float32) if here else RawArray("f", math.prod(piece)) for _ in range(count)]
    duties = [partial(_read_piece, job, shared) for shared in memory]
    sender = _Sender(device)
    with crew(duties, "reads photos", here=here) as readers:
        for reader, task in zip(readers, pieces, strict=False):
            reader.send(task)
        reports: list[Report] = []
        levels: Tensor | None = None
        for i, (batch, slots) in enumerate(pieces):
            report, dtype = readers[i % count].receive()
            part = torch.from_numpy(_view(memory[i % count], dtype, (len(slots), *job.prepare.shape)))
            levels = sender.with_part(levels, part, slots, job.size)
            if i + count < len(pieces):
                readers[i % count].send(pieces[i + count])
            reports.append(report)
            if i + 1 == len(pieces) or pieces[i + 1][0] != batch:
                extents.add([extent for each in reports for extent in each.extents])
                yield _batch(job, reports, sender.sent(levels))
                reports, levels = [], None
    extents.warn()


def _batch(job: Job, reports: Sequence[Report], levels: Tensor) -> Batch:
    slots, indices = ([i for each in reports for i in getattr(each, name)] for name in ("slots", "indices"))
    return Batch(
        np.array(indices, np.int64),
        np.array(slots, np.int64),
        np.array([digest for each in reports for digest in each.digests], np.uint64),
        inputs_in_slots(job.prepare, levels, slots),
        tuple(skipped for each in reports for skipped in each.skipped),
    )


def _read_piece(job: Job, shared: Any, task: tuple[int, range]) -> tuple[Report, str]:
    """Read some slots of a batch into shared memory; the levels' type."""
    report, levels = job.read(*task)
    _view(shared, levels.dtype.name, levels.shape)[:] = levels
    return report, levels.dtype.name


def _view(shared: Any, dtype: str, shape: tuple[int, ...]) -> Levels:
    return np.frombuffer(shared, dtype, math.prod(shape)).reshape(shape)


class _Sender:
    """Brings levels to a device: to a GPU from pinned memory and beside its work.

    Args:
        device: where to.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not say its type

    def with_part(self, levels: Tensor | None, part: Tensor, slots: range, size: int) -> Tensor:
        """The levels of a batch with those of some slots copied into them; floats if one part is."""
        if levels is None:
            pinned = self._stream is not None
            levels = torch.zeros(size, *part.shape[1:], dtype=part.dtype, device="cpu", pin_memory=pinned)
        if part.dtype != levels.dtype:
            levels, part = (torch.from_numpy(unit(each.numpy())) for each in (levels, part))
        levels[slots.start : slots.stop] = part
        return levels

    def sent(self, levels: Tensor) -> Tensor:
        """The levels on the device."""
        if self._stream is None:
            return levels.to(self._device)
        with torch.cuda.stream(self._stream):
            result = levels.to(self._device, non_blocking=True)
        here = torch.cuda.current_stream(self._device)
        here.wait_stream(self._stream)
        result.record_stream(here)  # its memory is not used again before the work here is done
        return result
