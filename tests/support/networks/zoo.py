"""What a network of the zoo is, and the lists that hold all of them."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from support.networks.parts import Parts
from torch import Tensor, nn


@dataclass(frozen=True)
class Network:
    """One network of the zoo.

    Attributes:
        name: what is special about it.
        make: parts → model in eval mode, float64, always with the same weights.
        input_shape: without the batch.
        layers: module names worth starting from.
        rectifiers_only: no switch and no gate, so that DeconvNet's picture is the same for every image.
        exact_gradient: under the rule set `gradient` nothing is smooth (no sigmoid in a gate).
        output: how to pick the class scores, if the model returns more than a tensor.
        sequential: the model is an `nn.Sequential` that the paper's reference can walk through.
        gated: maps are multiplied by a gate.
        ends_in_head: behind its scores is a softmax or the like, which the engine leaves out.
        repeats: all but its spelling of ReLU, or the form of its output, is another network's too; what
            is asked of operations or windows need not be asked of it again.
    """

    name: str
    make: Callable[[Any], nn.Module]
    input_shape: tuple[int, ...]
    layers: tuple[str, ...]
    rectifiers_only: bool = False
    exact_gradient: bool = True
    output: Any = None
    sequential: bool = False
    gated: bool = False
    ends_in_head: bool = False
    repeats: bool = False

    def model(self) -> nn.Module:
        """The user's version."""
        return self.make(Parts())

    def images(self, n: int = 2, seed: int = 0) -> Tensor:
        """A batch, float64."""
        random = torch.Generator().manual_seed(seed + zlib.crc32(self.name.encode()))
        return torch.randn(n, *self.input_shape, generator=random, dtype=torch.float64)


NETWORKS: list[Network] = []
SMOOTH_NETWORKS: list[Network] = []


class Wired(nn.Module):
    """Named parts and a function that wires them."""

    def __init__(self, wiring: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.wiring = wiring

    def forward(self, x: Tensor) -> Any:
        return self.wiring(self, x)


def _settle(model: nn.Module) -> nn.Module:
    """Statistics that matter, and a gain for some channels that turns the sign."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return model.double().eval()


def network(
    name: str, input_shape: tuple[int, ...], *layers: str, **facts: Any
) -> Callable[[Callable[[Any], nn.Module]], Callable[[Any], nn.Module]]:
    """Puts the decorated factory into the zoo."""

    def register(build: Callable[[Any], nn.Module]) -> Callable[[Any], nn.Module]:
        def make(parts: Any) -> nn.Module:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(zlib.crc32(name.encode()))
                return _settle(build(parts))

        zoo = SMOOTH_NETWORKS if facts.pop("smooth", False) else NETWORKS
        zoo.append(Network(name, make, input_shape, layers, **facts))
        return build

    return register
