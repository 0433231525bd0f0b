"""A recorder that works on a CPU and does what a CUDA graph does: the operations, and where their tensors lie."""

from collections.abc import Callable, Hashable
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from deconvnet import DeconvNet
from deconvnet.core.replays import Replays, Tensors


def tensors_in(values: Any) -> list[Tensor]:
    return [value for value in tree_iter(values) if isinstance(value, Tensor)]


class Tape(TorchDispatchMode):
    """Notes each operation that is called; `replay` calls them again on the same tensors, and fills the same ones.

    No line of Python of what was recorded runs again, so that whatever a replay depends on has to lie in memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.replayed = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        read = {tensor.untyped_storage().data_ptr() for tensor in tensors_in((args, kwargs))}
        made = [tensor if tensor.untyped_storage().data_ptr() not in read else None for tensor in tensors_in(result)]
        self.calls.append((function, args, kwargs or {}, made))
        return result

    @property
    def names(self) -> list[str]:
        return [function.overloadpacket.__name__ for function, *_ in self.calls]

    def replay(self) -> None:
        self.replayed += 1
        with torch.no_grad():
            for function, args, kwargs, made in self.calls:
                for before, now in zip(made, tensors_in(function(*args, **kwargs)), strict=True):
                    if before is not None:
                        before.copy_(now)


class Taping:
    """A recorder of tapes, for each thread its own.

    Attributes:
        tapes: that were made.
        fault: raised in the middle of a recording, if there is one.
        closed: whether now is no time for recordings.
    """

    def __init__(self) -> None:
        self.tapes: list[Tape] = []
        self.fault: Exception | None = None
        self.closed = False

    def situation(self, device: torch.device) -> Hashable | None:
        return None if self.closed else get_ident()

    def record(self, run: Callable[[], Tensors], device: torch.device) -> tuple[Tensors, Callable[[], Any], int]:
        run()
        tape = Tape()
        with tape:
            results = run()
            if self.fault is not None:
                raise self.fault
        self.tapes.append(tape)
        return results, tape.replay, sum(made.nbytes for *_, each in tape.calls for made in each if made is not None)

    @property
    def replays(self) -> int:
        """How often a tape was replayed."""
        return sum(tape.replayed for tape in self.tapes)


def taped(
    model: nn.Module, x: Tensor, *, most: int = 16, memory: int = 10**12, **options: Any
) -> tuple[DeconvNet, Taping]:
    """A deconvnet whose passes are recorded on tapes, in place of CUDA graphs."""
    net, recorder = DeconvNet(model, x, **options), Taping()
    captures = net._attached.captures
    captures.replays = Replays(recorder, memory, most=most)
    captures._begin()
    return net, recorder
