"""The parts that a network of the zoo is given, in ordinary PyTorch: rectifiers in every spelling, pools, gates."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Spelled(nn.Module):
    """A module around a function, so that an odd spelling also has a name of its own."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class MaximumWithBuffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.zero)


RELUS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "module": nn.ReLU,
    "F.relu": lambda: F.relu,
    "torch.relu": lambda: torch.relu,
    "x.relu()": lambda: lambda x: x.relu(),
    "in-place module": lambda: nn.ReLU(inplace=True),
    "in-place torch.relu_": lambda: torch.relu_,
    "in-place F.relu": lambda: lambda x: F.relu(x, inplace=True),
    "in-place x.relu_()": lambda: lambda x: x.relu_(),
    "clamp(min=0)": lambda: lambda x: x.clamp(min=0),
    "in-place clamp_": lambda: lambda x: x.clamp_(min=0),
    "torch.clamp(x, 0)": lambda: lambda x: torch.clamp(x, 0),
    "clamp_min": lambda: lambda x: x.clamp_min(0.0),
    "clamp_min tensor": lambda: lambda x: torch.clamp(x, min=torch.zeros((), dtype=x.dtype)),
    "threshold": lambda: lambda x: F.threshold(x, 0, 0),
    "threshold module": lambda: nn.Threshold(0.0, 0.0),
    "maximum with a buffer": MaximumWithBuffer,
    "maximum with zeros_like": lambda: lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum with tensor(0.)": lambda: lambda x: torch.maximum(x, torch.tensor(0.0)),
    "maximum, zero first": lambda: lambda x: torch.maximum(torch.zeros_like(x), x),
    "where(x > 0, x, 0)": lambda: lambda x: torch.where(x > 0, x, 0.0),
    "where(x >= 0, x, zeros)": lambda: lambda x: torch.where(x >= 0, x, torch.zeros_like(x)),
    "where(0 < x, x, 0)": lambda: lambda x: torch.where(torch.zeros_like(x) < x, x, 0.0),
    "where(x < 0, 0, x)": lambda: lambda x: torch.where(x < 0, 0.0, x),
    "where(x <= 0, 0, x)": lambda: lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
    "x * (x > 0)": lambda: lambda x: x * (x > 0),
    "(x > 0) * x": lambda: lambda x: (x > 0) * x,
    "x * (x > 0).float()": lambda: lambda x: x * (x > 0).float(),
    "x * (x >= 0).to(x)": lambda: lambda x: x * (x >= 0).to(x),
    "masked_fill": lambda: lambda x: x.masked_fill(x < 0, 0),
    "leaky_relu(0)": lambda: lambda x: F.leaky_relu(x, 0.0),
    "LeakyReLU(0)": lambda: nn.LeakyReLU(0.0),
    "0.5 * (x + |x|)": lambda: lambda x: 0.5 * (x + x.abs()),
    "(x + |x|) / 2": lambda: lambda x: (x + torch.abs(x)) / 2,
    "hardtanh(0, inf)": lambda: lambda x: F.hardtanh(x, 0.0, float("inf")),
}

RELU6S: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "module": nn.ReLU6,
    "F.relu6": lambda: F.relu6,
    "in-place module": lambda: nn.ReLU6(inplace=True),
    "hardtanh(0, 6)": lambda: lambda x: F.hardtanh(x, 0.0, 6.0),
    "Hardtanh module": lambda: nn.Hardtanh(0.0, 6.0),
    "clamp(0, 6)": lambda: lambda x: x.clamp(0, 6),
}

LARGEST: dict[str, Callable[..., Tensor]] = {
    "maximum": torch.maximum,
    "max": torch.max,
    "fmax": torch.fmax,
    "where": lambda a, b: torch.where(a > b, a, b),
    "where, the other way": lambda a, b: torch.where(a.le(b), b, a),
    "stack and max": lambda *maps: torch.stack(maps).max(0)[0],
    "stack and amax": lambda *maps: torch.stack(maps, 2).amax(2),
    "one by one": lambda a, b, c: torch.max(torch.max(a, b), c),
    "with a view": lambda a, b: torch.cat([a, b], 1).unflatten(1, (2, -1)).amax(1),
}


def _without_derivatives(x: Tensor) -> Tensor:
    with torch.no_grad():
        y = 2 * x
        with torch.enable_grad():
            z = 3 * x
        return y + z.detach()


def _in_inference_mode(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return 5 * x


@torch.no_grad()
def _decorated(x: Tensor) -> Tensor:
    return 5 * x


DETACHED: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda x: 5 * x.detach(),
    "detach and clone": lambda x: 5 * x.detach().clone(),
    "detach_": lambda x: 5 * x.clone().detach_(),
    "data": lambda x: 5 * x.data,
    "no_grad": _without_derivatives,
    "decorator": _decorated,
    "inference_mode": _in_inference_mode,
}

MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MAX_POOL_FUNCTIONS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE_MAX_POOLS = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}


class FirstOf(nn.Module):
    """The pooled maps of a pool that returns its indices too."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)[0]


class Parts:
    """Ordinary PyTorch."""

    def relu(self, spelled: str = "module") -> Callable[[Tensor], Tensor]:
        return RELUS[spelled]()

    def relu6(self, spelled: str = "module") -> Callable[[Tensor], Tensor]:
        return RELU6S[spelled]()

    def activation(self, function: nn.Module) -> nn.Module:
        return function

    def max_pool(
        self,
        axes: int,
        kernel: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        spelled: str = "module",
    ) -> Callable[[Tensor], Tensor]:
        options = {
            "kernel_size": kernel,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "ceil_mode": ceil_mode,
        }
        if spelled == "functional":
            return lambda x: MAX_POOL_FUNCTIONS[axes](x, **options)
        if spelled == "indices":
            return FirstOf(MAX_POOLS[axes](return_indices=True, **options))
        return MAX_POOLS[axes](**options)

    def adaptive_max_pool(self, axes: int, size: Any, spelled: str = "module") -> Callable[[Tensor], Tensor]:
        if spelled == "indices":
            return FirstOf(ADAPTIVE_MAX_POOLS[axes](size, return_indices=True))
        return ADAPTIVE_MAX_POOLS[axes](size)

    def global_max(self, axes: int) -> Callable[[Tensor], Tensor]:
        return lambda x: x.amax(tuple(range(-axes, 0)))

    def largest(self, spelled: str = "maximum") -> Callable[..., Tensor]:
        """Function of the maps."""
        return LARGEST[spelled]

    def limit(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Pixels kept in a range."""
        return function

    def detach(self, spelled: str = "detach") -> Callable[[Tensor], Tensor]:
        return DETACHED[spelled]

    def lrn(self, size: int, alpha: float, beta: float, k: float) -> nn.Module:
        return nn.LocalResponseNorm(size, alpha, beta, k)

    def gate(self, spelled: str = "times") -> Callable[[Tensor, Tensor], Tensor]:
        """Function of (maps, gate)."""
        return {
            "times": lambda maps, gate: maps * gate,
            "gate first": lambda maps, gate: gate * maps,
            "expanded": lambda maps, gate: maps * gate.expand_as(maps),
            "in place": lambda maps, gate: maps.mul_(gate),
        }[spelled]

    def head(self, function: nn.Module) -> nn.Module:
        return function
