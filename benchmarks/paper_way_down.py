"""The paper's way down in autograd: an independent second version, which knows nothing of captured steps."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Rectified(torch.autograd.Function):
    """A rectifier whose backward rectifies the signal and knows nothing of the way up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None]:
        return signal.clamp(min=0), None


class PaperWayDown(TorchFunctionMode):
    """While it is on, autograd goes down as DeconvNet does; only the input may require a gradient."""

    IN_PLACE = (torch.relu_, Tensor.relu_, F.relu_)
    RELUS = (F.relu, torch.relu, Tensor.relu, *IN_PLACE)
    CLAMPS = (F.relu6, F.hardtanh, F.hardtanh_, torch.clamp, Tensor.clamp, Tensor.clamp_)
    LARGER = (torch.max, torch.maximum, torch.fmax, Tensor.max, Tensor.maximum, Tensor.fmax)
    PRODUCTS = (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__, Tensor.mul_, Tensor.__imul__)

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in self.RELUS or (function in self.CLAMPS and self._from_zero(function, args, kwargs)):
            return self._rectified(function, args, kwargs)
        if function is F.local_response_norm:
            return args[0] + (function(args[0].detach(), *args[1:], **kwargs) - args[0]).detach()
        if function in self.LARGER and len(args) == 2 and all(isinstance(a, Tensor) for a in args):
            first = args[0].detach() >= args[1].detach()
            return args[0] * first + args[1] * ~first
        if function in self.PRODUCTS and len(args) == 2 and all(isinstance(a, Tensor) for a in args):
            args = self._gated(*args)
        return function(*args, **kwargs)

    @staticmethod
    def _from_zero(function: Callable[..., Any], args: Any, kwargs: Any) -> bool:
        if function is F.relu6:
            return True
        low = args[1] if len(args) > 1 else kwargs.get("min", kwargs.get("min_val"))
        return isinstance(low, int | float) and low == 0

    def _rectified(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Tensor:
        x = args[0] if args else kwargs.pop("input")
        in_place = function in (*self.IN_PLACE, F.hardtanh_, Tensor.clamp_) or kwargs.get("inplace")
        with torch.no_grad():
            value = function(x.detach().clone(), *args[1:], **kwargs)
        if not in_place:
            return _Rectified.apply(x, value)
        return x.copy_(_Rectified.apply(x.clone(), value))

    @staticmethod
    def _gated(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """A factor with one value per map, expanded or not, is a constant if the other is a map.

        The axes of a map are the last two where maps are stacked.
        """
        if a.requires_grad and b.requires_grad and a.ndim == b.ndim > 2:
            for first in (2, max(2, a.ndim - 2)):
                single = [
                    all(n == 1 or step == 0 for n, step in zip(one.shape[first:], one.stride()[first:], strict=True))
                    for one in (a, b)
                ]
                if single[0] != single[1]:
                    return (a.detach(), b) if single[0] else (a, b.detach())
        return a, b
