"""Passes that are asked for again and again: recorded the second time, and replayed from then on.

Recorded are the operations of a pass, the sizes of their tensors and where these lie in memory: its device is then
given all of them at once, without Python in between. So a pass is a function of named tensors. Some of these are given
anew each time, and copied to where the recording reads them; others are held, such as weights: they are read where they
lie, so that changes in place are seen. Where one lies elsewhere than before, the recording is of no use any more.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Lock, get_ident
from typing import Any, ClassVar, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.backends import cudnn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from deconvnet._checks import flag
from deconvnet._errors import ArgumentError, DeconvNetWarning
from deconvnet._memory import free_bytes

Tensors = dict[Any, Tensor]  # by name
Function = Callable[[Tensors], Tensors]

_MOST_KINDS = 64  # that are known; of fewer there are recordings
_MOST_DROPPED = 3  # recordings of a kind, after which it is not recorded again
_STREAMS = 32  # that PyTorch gives out in turn for each device
_recording = Lock()  # PyTorch makes one recording at a time


class Recorder(Protocol):
    """Records on a kind of device."""

    def situation(self, device: torch.device) -> Hashable | None:
        """What a recording on a device belongs to, such as the thread; None while there cannot be one."""

    def record(self, run: Callable[[], Tensors], device: torch.device) -> tuple[Tensors, Callable[[], Any], int]:
        """Record what `run` does.

        Returns:
            What it gave, what does it again and so fills the same tensors, and how many bytes are held for that.
        """


@dataclass(frozen=True, eq=False)
class _Recording:
    """A recorded pass.

    Attributes:
        given: where it reads what is given anew.
        results: where it leaves what it gives.
        replay: does it again.
        read: all else that it reads, which must stay where it is.
        bytes: that are held for it.
    """

    given: Tensors
    results: Tensors
    replay: Callable[[], Any]
    read: tuple[Tensor, ...]
    bytes: int

    def replayed(self, given: Tensors) -> Tensors:
        """What it gives for this."""
        torch._foreach_copy_(list(self.given.values()), list(given.values()))
        self.replay()
        return {name: tensor.clone() for name, tensor in self.results.items()}


@dataclass(eq=False)
class _Kind:
    """A kind of pass that was asked for.

    Attributes:
        owner: what it is a pass of.
        lies: where what it holds lay when it was asked for last.
        recording: of it.
        dropped: how many of its recordings were dropped.
        refused: whether it is not to be recorded.
    """

    owner: object
    lies: tuple[Any, ...] | None = None
    recording: _Recording | None = None
    dropped: int = 0
    refused: bool = False

    def drop(self) -> None:
        """Drop its recording; what has to be recorded again and again is better computed."""
        self.dropped += self.recording is not None
        self.recording, self.refused = None, self.refused or self.dropped >= _MOST_DROPPED


class Replays:
    """Recordings, of those kinds of passes that were asked for last.

    Threads may share it: each has recordings of its own.

    Args:
        recorder: makes them.
        memory: bytes that they may hold together; None for a quarter of what is free on their device.
        most: recordings at a time.
    """

    def __init__(self, recorder: Recorder, memory: int | None = None, *, most: int = 16) -> None:
        self._recorder, self._memory, self._most = recorder, memory, most
        self._lock = Lock()
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        """Recordings stay behind where it is sent elsewhere."""
        return partial(type(self), most=self._most), (self._recorder, self._memory)

    def __len__(self) -> int:
        return len(self._recordings())

    @property
    def bytes(self) -> int:
        """Held for all recordings."""
        return sum(recording.bytes for recording in self._recordings())

    def _recordings(self) -> list[_Recording]:
        with self._lock:
            return [kind.recording for kind in self._kinds.values() if kind.recording is not None]

    def run(self, name: Hashable, owner: object, function: Function, given: Tensors, held: Tensors) -> Tensors:
        """What a function gives for these tensors: computed, or its operations replayed.

        Args:
            name: all that decides what the function does, besides the sizes and types of what is given.
            owner: what it is a pass of; see `keep`.
            function: of the tensors by name; nothing else may decide what it gives.
            given: read from anywhere.
            held: weights and the like, which lie at one place for long.

        Returns:
            Tensors that nothing else holds, or from the function itself.
        """
        plain = all(type(tensor) is Tensor for tensor in (*given.values(), *held.values()))
        device = next(iter(given.values())).device
        situation = self._recorder.situation(device) if plain else None
        if situation is not None:
            sizes = tuple((key, tensor.dtype, tensor.shape, tensor.stride()) for key, tensor in given.items())
            lies = tuple((tensor.data_ptr(), tensor.stride()) for tensor in held.values())
            kind = self._asked_again((owner, name, situation, device, sizes), owner, lies)
            if kind is not None and kind.recording is None and not kind.refused:
                self._record(kind, function, given, held)
            if kind is not None and (recording := kind.recording) is not None:
                return recording.replayed(given)
        return function({**given, **held})

    def keep(self, owners: Iterable[object]) -> None:
        """Drop the recordings of all other owners."""
        remaining = list(owners)
        with self._lock:
            for key, kind in list(self._kinds.items()):
                if not any(kind.owner is owner for owner in remaining):
                    del self._kinds[key]

    def _asked_again(self, key: Hashable, owner: object, lies: tuple[Any, ...]) -> _Kind | None:
        """The kind, if it was asked for before and what it holds lay there then."""
        with self._lock:
            kind = self._kinds.setdefault(key, _Kind(owner))
            self._kinds.move_to_end(key)
            if len(self._kinds) > _MOST_KINDS:
                self._kinds.popitem(last=False)
            if kind.lies == lies:
                return kind
            kind.drop()
            kind.lies = lies
            return None

    def _record(self, kind: _Kind, function: Function, given: Tensors, held: Tensors) -> None:
        """Record a kind, unless that is not possible, of which a warning says why."""
        if not _recording.acquire(blocking=False):
            return  # another thread is at it
        try:
            recording = _recorded(self._recorder, function, given, held)
        except Exception as fault:  # of whatever kind: what is computed as ever answers, or fails with its own words
            kind.refused = True
            warnings.warn(
                f"a pass cannot be recorded as a CUDA graph: {_first_line(fault)}. It is computed as without "
                "cuda_graphs, which takes longer; the results are the same.",
                DeconvNetWarning,
                stacklevel=2,
            )
            return
        finally:
            _recording.release()
        memory = free_bytes(next(iter(given.values())).device) if self._memory is None else self._memory
        with self._lock:
            kind.recording = recording
            kind.refused = recording.bytes > memory
            used_last = [each for each in (kind, *reversed(self._kinds.values())) if each.recording is not None]
            total = 0
            for i, each in enumerate(dict.fromkeys(used_last)):
                total += each.recording.bytes if each.recording is not None else 0
                if total > memory or i >= self._most:
                    each.drop()


def _recorded(recorder: Recorder, function: Function, given: Tensors, held: Tensors) -> _Recording:
    own = {name: tensor.clone() for name, tensor in given.items()}
    reads = _Reads(next(iter(own.values())).device)

    def run() -> Tensors:
        with reads:
            return function({**own, **held})

    results, replay, size = recorder.record(run, reads.device)
    size += sum(tensor.nbytes for tensor in own.values())
    return _Recording(own, results, replay, (*held.values(), *reads.tensors.values()), size)


class _NotRecordable(Exception):
    """What a recording cannot do again."""


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Notes what is read and was not made meanwhile, and refuses what a recording cannot do again.

    Whatever is read must stay where it is as long as there is a recording: a table that was worked out once may have
    no other owner. A recording asks nothing of its device, copies nothing to it or from it, and draws no numbers.

    Args:
        device: where all has to be.

    Attributes:
        tensors: that are read, by where they lie.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.device = device
        self.tensors: dict[int, Tensor] = {}
        self._results: set[int] = set()

    def __enter__(self) -> "_Reads":
        """Note what the function reads when it runs once more: what a run before made is not made in this one."""
        self._results.clear()
        super().__enter__()  # type: ignore[no-untyped-call]  # torch's own
        return self

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        read = _tensors((args, kwargs))
        if reason := _not_again(function, args, kwargs):
            raise _NotRecordable(f"{function} {reason}")
        for tensor in read:
            at = tensor.untyped_storage().data_ptr()
            if at not in self._results:
                self.tensors.setdefault(at, tensor)
        result = function(*args, **kwargs)
        results = _tensors(result)
        if any(tensor.device != self.device for tensor in (*read, *results)):
            raise _NotRecordable(f"{function} works on more than {self.device}")
        self._results.update({tensor.untyped_storage().data_ptr() for tensor in results} - self.tensors.keys())
        return result


_ONCE = {
    torch.Tag.data_dependent_output: "reads a value of the device",
    torch.Tag.dynamic_output_shape: "makes as many values as others say",
    torch.Tag.nondeterministic_seeded: "draws random numbers",
}


def _not_again(function: Any, args: Any, kwargs: Any) -> str | None:
    """Why a recording cannot do this again."""
    arguments = dict(zip((argument.name for argument in function._schema.arguments), args, strict=False)) | kwargs
    if "indices" in arguments:  # only masks among them have to be counted
        masks = any(tensor.dtype in (torch.bool, torch.uint8) for tensor in _tensors(arguments["indices"]))
        return _ONCE[torch.Tag.dynamic_output_shape] if masks else None
    return next((reason for tag, reason in _ONCE.items() if tag in function.tags), None)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_iter(values) if isinstance(value, Tensor)]


def _first_line(fault: Exception) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0].rstrip(".")


def replays_if(cuda_graphs: bool, memory: int | None, *, deterministic: bool) -> Replays | None:
    """Recordings as CUDA graphs, if they are wanted.

    Args:
        cuda_graphs: whether they are.
        memory: as in `Replays`.
        deterministic: whether the same bits are wanted every time, which a replay does not promise.

    Raises:
        ArgumentError: it is not a bool, or both are wanted.
    """
    if not flag("cuda_graphs", cuda_graphs):
        return None
    if deterministic:
        raise ArgumentError("cuda_graphs does not go with deterministic, because a replay may round differently.")
    return Replays(CudaGraphs(), memory)


class CudaGraphs:
    """Records passes as CUDA graphs, each with memory and a stream of its own.

    A graph works in the memory that cuBLAS keeps for the stream that it was captured on. Where two graphs share it,
    one writes over what the other one computes, or takes the memory away with it when it goes; and PyTorch gives the
    same few streams out again and again.
    """

    _graphs: ClassVar[WeakValueDictionary[tuple[int, int], torch.cuda.CUDAGraph]] = WeakValueDictionary()
    """By device and stream, all graphs that there are, also those of other networks."""

    def situation(self, device: torch.device) -> Hashable | None:
        """The thread and the stream that ask; None while only algorithms that repeat are wanted, or under a capture."""
        if device.type != "cuda" or cudnn.deterministic or torch.are_deterministic_algorithms_enabled():
            return None
        with torch.cuda.device(device):
            if torch.cuda.is_current_stream_capturing():
                return None
            return get_ident(), torch.cuda.current_stream().cuda_stream

    def record(self, run: Callable[[], Tensors], device: torch.device) -> tuple[Tensors, Callable[[], Any], int]:
        """As `Recorder.record`. Other threads must not wait for the whole device meanwhile."""
        with torch.cuda.device(device):
            aside, graph = self._stream_of_its_own(), torch.cuda.CUDAGraph()
            before = torch.cuda.current_stream()
            aside.wait_stream(before)
            with torch.cuda.stream(aside):  # put back by this where a capture fails, which PyTorch's own does not
                run()  # what is set up once for a stream must not be set up in a capture
                aside.synchronize()
                torch.cuda.empty_cache()
                held = torch.cuda.memory_reserved()
                with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
                    results = run()
            before.wait_stream(aside)
            self._graphs[aside.device_index, aside.cuda_stream] = graph
            return results, graph.replay, max(torch.cuda.memory_reserved() - held, 0)

    def _stream_of_its_own(self) -> torch.cuda.Stream:
        """A stream of the current device that nothing here was captured on, nor PyTorch captures on by default."""
        others = {torch.cuda.current_stream(), torch.cuda.graph.default_capture_stream}
        for _ in range(_STREAMS):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
            if (stream.device_index, stream.cuda_stream) not in self._graphs and stream not in others:
                return stream
        raise _NotRecordable(f"there are {len(self._graphs)} of them, and each needs a stream of its own")
