"""Weights in another type than the model's, for networks that are computed in it."""

from weakref import ref

import torch
from torch import Tensor


class Converted:
    """Copies of a model's weights in another type, made when they are first read, and again when they have changed.

    A copy keeps its memory, so that whatever is worked out of it can be looked up by address and version, as of the
    weights themselves.

    Args:
        dtype: the type.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._copies: dict[str, tuple[Tensor, ref[Tensor], tuple[int, int]]] = {}

    def of(self, name: str, weight: Tensor) -> Tensor:
        """A weight in this type, or as it is if it does not hold floating-point numbers.

        Args:
            name: the weight's, dotted; one weight has one copy.
            weight: as it is now.
        """
        if weight.dtype == self.dtype or not weight.is_floating_point():
            return weight.detach()
        if weight.is_inference():  # its changes are not counted
            return weight.detach().to(self.dtype)
        state = (weight.data_ptr(), weight._version)
        copy: Tensor | None = None
        if name in self._copies:
            copy, of, before = self._copies[name]
            if of() is weight and before == state:
                return copy
        if copy is not None and (copy.shape, copy.device) == (weight.shape, weight.device):
            copy.copy_(weight.detach())
        else:
            copy = weight.detach().to(self.dtype)
        self._copies[name] = (copy, ref(weight), state)
        return copy
