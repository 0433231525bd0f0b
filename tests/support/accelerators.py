"""Accelerators that need not be here: their ways on a CPU, and tensors of CUDA that hold no values."""

from collections.abc import Iterator
from contextlib import contextmanager
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
