"""Named arrays in a file, beside a text that says what they are, with a hash of both."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from deconvnet._files import digest, write_whole

if TYPE_CHECKING:  # torch is imported only where there are tensors
    from torch import Tensor

_ABOUT = (
    "about"  # in the file's metadata: the hash, a space and the text; safetensors keeps no order of several entries
)


def write_arrays(path: Path, text: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and a text, completely or not at all.

    Args:
        path: of a safetensors file.
        text: says what they are.
        arrays: by name.

    Raises:
        DeconvNetError: the disk refused.
    """
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = save(whole, {_ABOUT: f"{digest_of_arrays(text, whole, _content)} {text}"})
    write_whole(path, lambda file: file.write(data))


def write_tensors(path: Path, text: str, tensors: Mapping[str, "Tensor"]) -> None:
    """Write tensors of any type and device, as `write_arrays` does arrays.

    Raises:
        DeconvNetError: the disk refused.
    """
    import safetensors.torch

    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}  # no shared memory
    about = f"{digest_of_arrays(text, whole, tensor_content)} {text}"
    data = safetensors.torch.save(whole, {_ABOUT: about})
    write_whole(path, lambda file: file.write(data))


def read_arrays(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """The text and the arrays that `write_arrays` wrote.

    Raises:
        OSError, ValueError: the file cannot be read, or is damaged.
    """
    return _read(path, "np", _content)


def read_tensors(path: Path) -> tuple[str, dict[str, "Tensor"]]:
    """The text and the tensors that `write_tensors` wrote, on the CPU.

    Raises:
        OSError, ValueError: the file cannot be read, or is damaged.
    """
    return _read(path, "pt", tensor_content)


def _read(path: Path, kind: Literal["np", "pt"], content: Callable[[Any], memoryview]) -> tuple[str, dict[str, Any]]:
    try:
        with safe_open(path, kind) as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, KeyError) as fault:
        raise ValueError(str(fault)) from fault
    before, _, text = metadata.get(_ABOUT, "").partition(" ")
    if before != digest_of_arrays(text, arrays, content):
        raise ValueError("it does not hold what was written")
    return text, arrays


def read_text(path: Path) -> str:
    """The text alone, without the arrays: whose file it is.

    Raises:
        OSError, ValueError: the file cannot be read, or is not one of ours.
    """
    try:
        with safe_open(path, "np") as file:
            return str((file.metadata() or {})[_ABOUT].partition(" ")[2])
    except (SafetensorError, TypeError, KeyError) as fault:
        raise ValueError(str(fault)) from fault


def digest_of_arrays(text: str, arrays: Mapping[str, Any], content: Callable[[Any], memoryview]) -> str:
    """A hash of a text and of named arrays: of their types, shapes and content.

    Args:
        text: what stands beside them.
        arrays: of NumPy or PyTorch.
        content: the bytes of one.
    """

    def parts() -> Iterable[str | memoryview]:
        yield text
        for name, array in sorted(arrays.items()):
            yield f"{name} {array.dtype} {tuple(array.shape)}"
            yield content(array)

    return digest(parts())


def tensor_content(tensor: "Tensor") -> memoryview:
    """The bytes of a tensor on the CPU."""
    import torch

    if not tensor.numel():
        return memoryview(b"")
    flat = tensor.contiguous().reshape(-1)
    # a single number may have any stride and still count as contiguous, and is then not read as bytes
    raw = flat.as_strided(flat.shape, (1,)).view(torch.uint8)
    return raw.numpy().data


def _content(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
