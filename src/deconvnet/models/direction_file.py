"""Directions in a layer's feature maps, as a file holds them."""

from pathlib import Path

from torch import Tensor

from deconvnet._errors import ModelLoadError
from deconvnet.models._checkpoints import read_weights


def read_directions(path: Path) -> tuple[Tensor, Tensor | None]:
    """The "weight" of a file, a row for each direction, and its "bias" if it has one.

    Args:
        path: safetensors, or a checkpoint of tensors alone.

    Raises:
        ModelLoadError: not found, damaged, or with other tensors in it.
    """
    sets = read_weights(path)
    tensors = next(iter(sets.values()))
    if len(sets) > 1 or "weight" not in tensors or tensors.keys() - {"weight", "bias"}:
        names = ", ".join(repr(name) for held in sets.values() for name in list(held)[:4])
        raise ModelLoadError(
            f"{str(path)!r} holds directions as 'weight', a row for each with a number for each map of the layer, and "
            f"'bias' if there is one; it has {names}. Save it with safetensors.torch.save_file."
        )
    return tensors["weight"], tensors.get("bias")
