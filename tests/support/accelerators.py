"""Accelerators that need not be here: their ways on a CPU, and tensors of CUDA that hold no values."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


class Reads(TorchDispatchMode):
    """Counts what the CPU would wait for: values that Python reads, and tensors that are copied to the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name in ("_local_scalar_dense", "item", "equal", "nonzero"):
            self.count += 1
        elif isinstance(result, Tensor) and name in ("_to_copy", "copy_"):
            sources = [tensor for tensor in args if isinstance(tensor, Tensor)]
            self.count += result.device.type == "cpu" != sources[-1].device.type
        return result


@contextmanager
def nothing_at_hand() -> Iterator[None]:
    """What learns takes the ways of an accelerator, on tensors of the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deconvnet.learn.at_hand._DEVICES", ())
        yield


@contextmanager
def empty_cuda() -> Iterator[Reads]:
    """Tensors of CUDA can be made, which have shapes and no values: to read one is an error; copies are counted."""
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode(), Reads() as reads:
        patch.setattr(torch.cuda, "mem_get_info", lambda device: (2**36, 2**36))
        patch.setattr("deconvnet.windows.kernels.method_on", lambda device: "gathered")
        patch.setattr("deconvnet.learn.layer._check_connectivity", lambda *_: None)  # which reads the values
        yield reads


def to_cuda(net: nn.Module) -> nn.Module:
    """A network in `empty_cuda`, whose tensors `net.to` cannot swap there."""
    for module in net.modules():
        for name, parameter in module._parameters.items():
            module._parameters[name] = nn.Parameter(parameter.detach().to("cuda"))
        module._buffers.update({name: buffer.to("cuda") for name, buffer in module._buffers.items()})
    return net


class CudaFunctions:
    """What PyTorch records CUDA graphs with, where there is no CUDA: only who calls what, and in which order.

    Attributes:
        calls: in words.
    """

    COUNT = 32  # streams, which are given out in turn

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._now, self._next = Stream(self.calls, 0), 0
        functions = self

        class Capture:
            default_capture_stream: Stream | None = None

            def __init__(self, graph: Any, *, stream: Stream, capture_error_mode: str) -> None:
                self.graph, self.words = graph, f"capture on {stream.cuda_stream} {capture_error_mode}"
                graph.stream = stream.cuda_stream

            def __enter__(self) -> None:
                functions.calls.append(self.words)

            def __exit__(self, *_: object) -> None:
                functions.calls.append("captured")

        class CUDAGraph:
            def replay(self) -> None:
                functions.calls.append("replay")

        self.graph, self.CUDAGraph = Capture, CUDAGraph

    def Stream(self, device: torch.device | None = None) -> "Stream":
        self._next = self._next % self.COUNT + 1
        return Stream(self.calls, self._next)

    def current_stream(self, device: torch.device | None = None) -> "Stream":
        return self._now

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        yield

    @contextmanager
    def stream(self, stream: "Stream") -> Iterator[None]:
        before, self._now = self._now, stream
        self.calls.append(f"on {stream.cuda_stream}")
        try:
            yield
        finally:
            self._now = before
            self.calls.append(f"back on {before.cuda_stream}")

    def empty_cache(self) -> None:
        self.calls.append("empty cache")

    def memory_reserved(self) -> int:
        return 0


@dataclass(frozen=True)
class Stream:
    """A stream of the first device."""

    calls: list[str] = field(compare=False)
    cuda_stream: int
    device_index: int = 0

    def wait_stream(self, other: "Stream") -> None:
        self.calls.append(f"{self.cuda_stream} waits for {other.cuda_stream}")

    def synchronize(self) -> None:
        self.calls.append(f"wait for {self.cuda_stream}")
