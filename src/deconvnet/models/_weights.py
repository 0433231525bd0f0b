"""Weights from a file into a model: all of them, each to the weight of the same name and shape."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deconvnet._errors import ModelLoadError

_WRAPPERS = ("state_dict", "model")
_MOST_NAMED = 4


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, from safetensors or from a file of `torch.save`.

    A checkpoint may hold its weights under "state_dict" or "model"; the "module." that DataParallel
    puts before every name is removed.

    Raises:
        ModelLoadError: not found, damaged, or with anything but weights in it.
    """
    if not path.is_file():
        raise ModelLoadError(f"the weights file {str(path)!r} does not exist. Check the path.")
    try:
        held: Any = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except Exception as fault:  # on broken data the readers raise whatever they meet
        raise ModelLoadError(f"cannot read the weights {str(path)!r}: {_reason(fault)}") from fault
    weights = _unwrapped(held)
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ModelLoadError(
            f"{str(path)!r} does not hold weights by name. Save them with "
            "torch.save(model.state_dict(), FILE) or as safetensors."
        )
    return weights


def _load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(fault: Exception) -> str:
    # torch wraps damage and refusal in the same error
    if isinstance(fault, UnpicklingError) and "GLOBAL" in str(fault):
        return (
            "it holds pickled objects, which are not loaded because they can run code. Save the "
            "weights alone: torch.save(model.state_dict(), FILE)."
        )
    return f"the file is damaged or of another kind ({type(fault).__name__}). Fetch or save it again."


def _unwrapped(held: Any) -> dict[str, Any]:
    for wrapper in _WRAPPERS:
        if isinstance(held, Mapping) and isinstance(held.get(wrapper), Mapping):
            held = held[wrapper]
    if not isinstance(held, Mapping):
        return {}
    weights = {str(name): value for name, value in held.items()}
    if all(name.startswith("module.") for name in weights):
        return {name.removeprefix("module."): value for name, value in weights.items()}
    return weights


def fit(model: nn.Module, weights: Mapping[str, Tensor], what: str, *, spare: tuple[str, ...] = ()) -> None:
    """Put the weights into the model, in the model's own dtype.

    Args:
        model: changed only when everything fits.
        weights: by name.
        what: names both, for messages.
        spare: beginnings of names that may be in the file but not in the model.

    Raises:
        ModelLoadError: a weight is missing, unknown, or of another shape or kind.
    """
    own = model.state_dict()
    loaded = {name: value for name, value in weights.items() if name in own or not name.startswith(spare)}
    faults = _differences(own, loaded)
    if faults:
        raise ModelLoadError(f"{what} do not fit: {'; '.join(faults)}. Give weights that were saved from this network.")
    try:
        model.load_state_dict(loaded)
    except RuntimeError as fault:
        raise ModelLoadError(f"{what} do not fit: {fault}") from fault


def _differences(own: Mapping[str, Any], weights: Mapping[str, Tensor]) -> list[str]:
    # torch fills in the counters, which older files lack
    missing = [n for n in own if n not in weights and not n.endswith("num_batches_tracked")]
    unknown = [name for name in weights if name not in own]
    differing = [
        f"{name} is {_form(weight)} in the network and {_form(weights[name])} in the file"
        for name, weight in own.items()
        if isinstance(weight, Tensor) and name in weights and _form(weight) != _form(weights[name])
    ]
    kinds = [("missing in the file", missing), ("unknown to the network", unknown), ("shapes differ", differing)]
    return [f"{what}: {_first_few(names)}" for what, names in kinds if names]


def _form(tensor: Tensor) -> str:
    """Shape and kind of value; precision may differ."""
    kind = "" if tensor.is_floating_point() else f" of {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"


def _first_few(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
