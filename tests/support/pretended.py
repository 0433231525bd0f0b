"""A device that need not be here: its tensors hold values on the CPU, and refuse what such a device refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from support.accelerators import CudaFunctions
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from deconvnet.windows import kernels

_READS = ("_local_scalar_dense", "equal", "nonzero", "item", "is_nonzero")
_INDEXING = ("index", "index_put", "index_put_", "_unsafe_index")
_BETWEEN = ("copy_", "_to_copy", "set_")  # devices
_from_numpy = torch.from_numpy
_ON_CPU = {"cudnn_batch_norm": lambda *args: (*torch.ops.aten.native_batch_norm.default(*args), None)}


class Pretended(Tensor):
    """A tensor of another device, whose values lie in one of the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, device: torch.device) -> "Pretended":
        result: Pretended = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=device,
        )  # fmt: skip
        result.inner = inner
        return result

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        if not force:
            raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first.")
        return self.cpu().numpy()

    def record_stream(self, stream: object) -> None:
        pass

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(self._index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(self._index(index), value)

    def _index(self, index: Any) -> Any:
        """An index whose lists and arrays were copied to the device, which PyTorch does where a mode does not see."""
        if isinstance(index, tuple):
            return tuple(self._index(list(part) if isinstance(part, tuple) else part) for part in index)
        if isinstance(index, list | range | np.ndarray):
            return torch.tensor(np.asarray(index), device=self.device)
        return index

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{function} outside of `pretended`")


class Device(TorchDispatchMode):
    """Computes on the CPU what is asked of a device.

    Attributes:
        device: that is pretended.
        reads: what made the CPU wait for the device, by name: values read, tensors copied to the CPU.
        waits: tensors that the CPU copied to the device, waiting until it had finished all before.
    """

    def __init__(self, device: str, *, knows_float64: bool = True) -> None:
        super().__init__()
        self.knows_float64 = knows_float64
        self.device = torch.device(device)
        self.reads: list[str] = []
        self.waits: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), function.overloadpacket.__name__
        tensors = _tensors((args, kwargs))
        here = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
        asked = kwargs.get("device")
        to_device = bool(here) if asked is None else torch.device(asked).type == self.device.type
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        kwargs.pop("pin_memory", None)
        if asked is not None and to_device and kwargs.get("generator") is not None:
            raise RuntimeError(f"Expected a '{self.device.type}' device type for generator but found 'cpu'")
        self._check(function, name, args, tensors, here)
        self._count(name, tensors, here, to_device, kwargs)
        if name in ("_pin_memory", "is_pinned"):
            return args[0].clone() if name == "_pin_memory" else False
        function = _ON_CPU.get(name, function)
        of = {id(tensor.inner): tensor for tensor in here}
        result = function(*tree_map(_inner, args), **tree_map(_inner, kwargs))
        if name in ("_local_scalar_dense", "equal", "is_nonzero"):
            return result

        def wrapped(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            if id(value) in of:
                return of[id(value)]
            if value is (args[0] if args else None):
                return value  # of the CPU, changed in place
            if to_device:
                self._check_type(value.dtype)
                return Pretended(value, self.device)
            return value

        return tree_map(wrapped, result)

    def _check(self, function: Any, name: str, args: Any, tensors: list[Tensor], here: list["Pretended"]) -> None:
        elsewhere = [tensor for tensor in tensors if not isinstance(tensor, Pretended)]
        if here and name in _INDEXING:
            first = args[0]
            mixed = not isinstance(first, Pretended) or any(
                tensor.ndim and not isinstance(tensor, Pretended) for tensor in _tensors(args[2:])
            )
        else:
            strict = name in ("cat", "stack", "scatter", "gather", "index_select")
            mixed = name not in _BETWEEN and bool(here) and any(tensor.ndim or strict for tensor in elsewhere)
        if mixed:
            raise RuntimeError(
                f"{function}: all tensors have to be on one device, found {self.device} and cpu: "
                f"{[(tuple(t.shape), str(t.device)) for t in tensors]}"
            )

    def _check_type(self, dtype: torch.dtype) -> None:
        if not self.knows_float64 and dtype in (torch.float64, torch.complex128):
            raise TypeError(f"{self.device} does not have {dtype}")

    def _count(
        self, name: str, tensors: list[Tensor], here: list["Pretended"], to_device: bool, kwargs: dict[str, Any]
    ) -> None:
        copies, from_cpu = name in ("_to_copy", "copy_"), to_device and not here
        if name == "copy_":
            to_device, from_cpu = isinstance(tensors[0], Pretended), not isinstance(tensors[1], Pretended)
        if here and (name in _READS or (copies and not to_device)):
            self.reads.append(name)
        sent_at_once = copies and to_device and from_cpu and not kwargs.get("non_blocking")
        if sent_at_once or (name in _INDEXING and here and len(here) < len(tensors)):
            self.waits.append(name)


@contextmanager
def pretended(device: str = "cuda:0", *, knows_float64: bool = True) -> Iterator[Device]:
    """A device that can be computed on as on any."""
    with pytest.MonkeyPatch.context() as patch, Device(device, knows_float64=knows_float64) as mode:
        torch._C._ensureCUDADeviceGuardSet()  # which asks no driver where there is none
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "mem_get_info", lambda device: (2**36, 2**36))
        patch.setattr("deconvnet.windows.kernels.find_spec", lambda name: None)  # Triton's kernels need pointers
        kernels.method_on.cache_clear()
        if not knows_float64:
            patch.setattr("deconvnet._devices._WITHOUT_FLOAT64", (mode.device.type,))
        functions = CudaFunctions()
        for name in ("Stream", "stream", "current_stream", "device"):
            patch.setattr(torch.cuda, name, getattr(functions, name))
        for name in ("tensor", "as_tensor", "from_numpy"):
            patch.setattr(torch, name, partial(_by_way_of_the_cpu, getattr(torch, name)))
        patch.setattr(Tensor, "pin_memory", lambda tensor, *_: tensor)
        yield mode
        kernels.method_on.cache_clear()


def _by_way_of_the_cpu(make: Any, data: Any, *, device: Any = None, **options: Any) -> Tensor:
    """What `make` gives, and then copied, which PyTorch does where a mode does not see it."""
    if isinstance(data, Pretended):
        return data if device is None else data.to(device)
    with torch.device("cpu"):
        tensor: Tensor = make(data, **options)
    if device is None and make is not _from_numpy:
        device = torch.get_default_device()
    return tensor if device is None else tensor.to(device)


def on(device: str, net: nn.Module) -> nn.Module:
    """A network in `pretended`, whose tensors `net.to` cannot swap there."""
    for module in net.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(parameter.detach().to(device), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    return net


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    tree_map(lambda value: found.append(value) if isinstance(value, Tensor) else None, values)
    return found


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, Pretended) else value
