"""The zoo: small networks that between them use every operation and every spelling the engine knows.

Each network is a factory that is given its *parts* (ReLU, max-pool, contrast norm, gate, head). With
`Parts()` it is a user's network in ordinary PyTorch, with the odd spelling its name tells; with the
oracle's parts (`reference/autograd_oracle.py`) it is the twin with the same weights, whose autograd
gives the picture.
"""

import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from reference import paper
from torch import Tensor, nn
from torch.nn.utils import parametrizations

# parts ----------------------------------------------------------------------------------------------


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


# networks -------------------------------------------------------------------------------------------


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
    """

    name: str
    make: Callable[[Any], nn.Module]
    input_shape: tuple[int, ...]
    layers: tuple[str, ...]
    rectifiers_only: bool = False
    exact_gradient: bool = True
    output: Any = None
    sequential: bool = False

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


# what the paper had ---------------------------------------------------------------------------------


@network("zfnet in small", (3, 22, 22), "0", "1", "2", "3", "4", "5", "6", "7", "8", "12",
         sequential=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 5, 5, stride=2, padding=1), p.relu(), p.max_pool(2, 3, 2, ceil_mode=True),
        p.lrn(3, 0.5, 0.75, 2.0),
        nn.Conv2d(5, 6, 3, padding=1), p.relu(), p.max_pool(2, 2, 2),
        nn.Conv2d(6, 6, 3, padding=1), p.relu(), p.max_pool(2, 2, 1), nn.Flatten(),
        nn.Linear(6, 7), p.relu(), nn.Linear(7, 4),
    )  # fmt: skip


@network("alexnet order: norm before an overlapping pool", (2, 15, 15), "0", "2", "3", "4", "6",
         sequential=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), p.relu(), p.lrn(4, 1.0, 0.6, 1.0), p.max_pool(2, 3, 2),
        nn.Conv2d(6, 4, 3), p.relu(), p.max_pool(2, 2, 1), nn.Flatten(), nn.Linear(36, 3),
    )  # fmt: skip


@network("lrn after a ceil pool", (2, 14, 14), "0", "3", "4", sequential=True)
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), p.relu(), p.max_pool(2, 3, 2, ceil_mode=True), p.lrn(5, 1.0, 0.75, 1.0),
        nn.Conv2d(5, 4, 3), p.relu(), p.lrn(2, 2.0, 0.5, 1.5), nn.Conv2d(4, 3, 2),
    )  # fmt: skip


@network("relu after the pool", (2, 13, 13), "0", "1", "2", "5", sequential=True)
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), p.max_pool(2, 3, 2, padding=1), p.relu(),
        nn.Conv2d(5, 4, 3), p.max_pool(2, 2), p.relu(),
    )  # fmt: skip


@network("convolutions and rectifiers only", (3, 12, 12), "0", "2", "3", "6",
         rectifiers_only=True, sequential=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), p.relu(), nn.Conv2d(5, 6, 3, stride=2), p.relu(),
        nn.AvgPool2d(2, 2, ceil_mode=True), nn.Conv2d(6, 4, 2), p.relu(),
    )  # fmt: skip


@network("average pools", (2, 15, 13), "0", "2", "5", "6", rectifiers_only=True, sequential=True)
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), p.relu(), nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
        nn.Conv2d(4, 4, 2), p.relu(), nn.AvgPool2d((3, 2), (2, 1), padding=(1, 0),
                                                   count_include_pad=False),
        nn.Conv2d(4, 3, 2),
    )  # fmt: skip


# spellings ------------------------------------------------------------------------------------------


# one alone where a test asks for it by name; the rest five to a network, to save captures
SPELLED: list[tuple[str, ...]] = [("module",), ("F.relu",), ("x.relu()",), ("in-place module",)]
_rest = [spelling for spelling in RELUS if (spelling,) not in SPELLED]
SPELLED += [tuple(_rest[i : i + 5]) for i in range(0, len(_rest), 5)]
_sixes = list(RELU6S)


def _spelled(name: str, relus: Callable[[Any], list[Any]], gain: float = 1.0) -> None:
    @network(name, (2, 12, 12), "first", "pool", "second", "third")
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Tensor:
            x = m.pool(m.a(m.first(gain * x)))
            x = m.d(m.third(m.c(m.b(m.second(x)) - 0.1)))
            return m.head(m.e(m.last(x)).flatten(1))

        a, b, c, d, e = relus(p)
        return Wired(
            wiring,
            first=nn.Conv2d(2, 4, 3),
            a=a,
            pool=p.max_pool(2, 3, 2),
            second=nn.Conv2d(4, 4, 2),
            b=b,
            c=c,
            third=nn.Conv2d(4, 4, 1),
            d=d,
            last=nn.Conv2d(4, 4, 2),
            e=e,
            head=nn.Linear(16, 3),
        )


def _five(group: Sequence[str], part: str) -> Callable[[Any], list[Any]]:
    spellings = (tuple(group) * 5)[:5]
    return lambda p: [getattr(p, part)(spelling) for spelling in spellings]


for _group in SPELLED:
    _spelled(f"relu as {', '.join(_group)}", _five(_group, "relu"))
for _group in (_sixes[:3], _sixes[3:]):
    _spelled(f"relu6 as {', '.join(_group)}", _five(_group, "relu6"), 9.0)


@network("every second spelling is a module with a name", (2, 12, 12), "a", "b", "c", "d")
def _(p: Any) -> nn.Module:
    def named(spelling: str) -> nn.Module:
        part = p.relu(spelling)
        return part if isinstance(part, nn.Module) else Spelled(part)

    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.b(m.one(m.a(m.zero(x))))
        return m.second(m.d(m.first(m.c(x))))

    return Wired(
        wiring,
        zero=nn.Conv2d(2, 4, 3),
        a=named("F.relu"),
        one=nn.Conv2d(4, 4, 3),
        b=named("where(x > 0, x, 0)"),
        c=p.max_pool(2, 2),
        first=nn.Conv2d(4, 4, 2),
        d=named("x * (x > 0)"),
        second=nn.Conv2d(4, 2, 1),
    )


@network("in-place relu changes what the skip adds", (2, 10, 10), "first", "second", "third")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        h = m.first(x)
        y = m.second(m.relu(h))
        return m.third(m.pool(y + h))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu("in-place module"),
        second=nn.Conv2d(4, 4, 3, padding=1),
        pool=p.max_pool(2, 2),
        third=nn.Conv2d(4, 3, 2),
    )


# sharing --------------------------------------------------------------------------------------------


@network("one relu module used three times", (2, 12, 12), "a", "relu", "relu#2", "relu#3", "c")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.pool(m.relu(m.a(x)))
        return m.head(m.relu(m.c(m.relu(m.b(x)))))

    return Wired(
        wiring,
        a=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        pool=p.max_pool(2, 3, 2),
        b=nn.Conv2d(4, 4, 1),
        c=nn.Conv2d(4, 4, 2),
        head=nn.Conv2d(4, 2, 3),
    )


@network("one relu module under two names", (2, 10, 10), "first", "a", "a#2", "c")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        return m.c(m.pool(m.b(m.second(m.a(m.first(x))))))

    relu = p.relu()
    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        a=relu,
        second=nn.Conv2d(4, 4, 3),
        b=relu,
        pool=p.max_pool(2, 2),
        c=nn.Conv2d(4, 3, 2),
    )


@network("one tensor feeds a relu and a skip", (2, 10, 10), "first", "second", "third",
         rectifiers_only=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.third(m.second(m.relu(h)) + h)

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        second=nn.Conv2d(4, 4, 3, padding=1),
        third=nn.Conv2d(4, 3, 3),
    )


@network("two relus on one tensor", (2, 10, 10), "first", "second", "third", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.third(m.second(m.one(h)) + m.two(h))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        one=p.relu(),
        second=nn.Conv2d(4, 4, 1),
        two=p.relu("F.relu"),
        third=nn.Conv2d(4, 3, 3),
    )


@network("a sequential called twice", (3, 12, 12), "block.0", "block.1", "block#2", "block.0#2", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        return m.head(m.block(m.pool(m.block(x))))

    return Wired(
        wiring,
        block=nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), p.relu()),
        pool=p.max_pool(2, 2),
        head=nn.Conv2d(3, 4, 3),
    )


@network("identities, dropout in eval", (2, 12, 12), "same", "drop", "last", "spatial", "second")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.drop(m.pool(m.relu(m.same(m.first(x)))))
        x = m.spatial(m.relu(m.second(x)))
        return m.last(F.dropout(m.head(x), 0.5, training=m.training))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        same=nn.Identity(),
        relu=p.relu(),
        pool=p.max_pool(2, 2),
        drop=nn.Dropout(),
        second=nn.Conv2d(4, 4, 2),
        spatial=nn.Dropout2d(),
        head=nn.Conv2d(4, 3, 2),
        last=nn.Identity(),
    )


# convolutions ---------------------------------------------------------------------------------------


@network("grouped, dilated, strided, asymmetrical", (4, 16, 19), "a", "b", "c", "d", "e",
         rectifiers_only=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.b(m.relu(m.a(x)))
        x = m.d(m.relu(m.c(m.relu(x))))
        return m.e(m.relu(x))

    return Wired(
        wiring,
        a=nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), groups=2),
        b=nn.Conv2d(6, 6, 3, dilation=2, padding=2),
        relu=p.relu(),
        c=nn.Conv2d(6, 12, 3, stride=(1, 3), groups=6, padding=1),
        d=nn.Conv2d(12, 4, (2, 1), dilation=(2, 1), bias=False),
        e=nn.Conv2d(4, 3, (1, 4), stride=2, padding=(0, 1)),
    )


@network("padding modes", (2, 11, 11), "reflect", "circular", "replicate", "same", "even")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.pool(m.relu(m.circular(m.relu(m.reflect(x)))))
        x = m.relu(m.same(m.relu(m.replicate(x))))
        with warnings.catch_warnings():  # PyTorch: an even kernel costs a copy
            warnings.simplefilter("ignore")
            return m.even(x)

    return Wired(
        wiring,
        reflect=nn.Conv2d(2, 4, 3, padding=(1, 2), padding_mode="reflect"),
        circular=nn.Conv2d(4, 4, (3, 5), padding=(1, 2), padding_mode="circular"),
        relu=p.relu(),
        pool=p.max_pool(2, 3, 2),
        replicate=nn.Conv2d(4, 4, 3, padding=2, padding_mode="replicate", dilation=2),
        same=nn.Conv2d(4, 3, 3, padding="same", dilation=2),
        even=nn.Conv2d(3, 3, (4, 2), padding="same"),
    )


@network("transposed convolutions", (2, 12, 12), "a", "b", "c", "d")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.b(m.pool(m.relu(m.a(x))))
        return m.d(m.relu(m.c(m.relu(x))))

    return Wired(
        wiring,
        a=nn.Conv2d(2, 4, 3, stride=2, padding=1),
        relu=p.relu(),
        pool=p.max_pool(2, 2),
        b=nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
        c=nn.ConvTranspose2d(6, 4, (2, 3), stride=(1, 2), groups=2, dilation=(2, 1)),
        d=nn.Conv2d(4, 2, 3),
    )


@network("one axis", (2, 30), "a", "pool", "bn", "b", "c", "linear")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.pool(m.relu(m.a(x)))
        x = m.relu(m.bn(m.b(x)))
        x = m.average(m.relu(m.c(m.top(x))))
        return m.linear(x.flatten(1))

    return Wired(
        wiring,
        a=nn.Conv1d(2, 4, 5, stride=1, padding=2),
        relu=p.relu("F.relu"),
        pool=p.max_pool(1, 3, 2, padding=1),
        b=nn.Conv1d(4, 4, 3, groups=2, dilation=2),
        bn=nn.BatchNorm1d(4),
        top=p.max_pool(1, 2, ceil_mode=True),
        c=nn.ConvTranspose1d(4, 4, 3, stride=2),
        average=nn.AvgPool1d(3, 2, padding=1),
        linear=nn.Linear(28 // 4 * 4, 3),
    )


@network("three axes", (1, 7, 8, 9), "a", "bn", "pool", "b", "c")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.pool(m.relu(m.bn(m.a(x))))
        x = m.relu(m.b(x))
        return m.c(m.average(x))

    return Wired(
        wiring,
        a=nn.Conv3d(1, 3, (2, 3, 3), padding=1),
        bn=nn.BatchNorm3d(3),
        relu=p.relu(),
        pool=p.max_pool(3, (2, 3, 2), (2, 2, 2), padding=(1, 1, 0)),
        b=nn.Conv3d(3, 4, 2, padding=(0, 1, 0), groups=1),
        average=nn.AvgPool3d((1, 2, 2), (1, 1, 2)),
        c=nn.ConvTranspose3d(4, 2, (1, 2, 2), stride=(1, 1, 2)),
    )


@network("linear layers only", (2, 6), "first", "second", "third", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        return m.third(m.relu(m.bn(m.second(m.relu(m.first(x.flatten(1)))))))

    return Wired(
        wiring,
        first=nn.Linear(12, 8),
        relu=p.relu(),
        second=nn.Linear(8, 6, bias=False),
        bn=nn.BatchNorm1d(6),
        third=nn.Linear(6, 4),
    )


@network("matmul, einsum and addmm with weights", (2, 8, 8), "first", "pool")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.pool(m.relu(m.first(x)))
        x = m.relu(torch.einsum("nchw,dc->ndhw", x, m.mix))
        x = m.relu(x.flatten(1) @ m.weight)
        x = m.relu(torch.addmm(m.shift, x, m.weight2))
        return torch.matmul(x, m.weight3.t())

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        pool=p.max_pool(2, 2),
        mix=nn.Parameter(torch.randn(5, 4)),
        weight=nn.Parameter(torch.randn(45, 6)),
        shift=nn.Parameter(torch.randn(6)),
        weight2=nn.Parameter(torch.randn(6, 6)),
        weight3=nn.Parameter(torch.randn(3, 6)),
    )


@network("linear on the last axis of maps", (2, 6, 8), "first", "mix", "last", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.mix(m.relu(m.first(x)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return m.last(m.relu(x))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        mix=nn.Linear(4, 5),
        last=nn.Conv2d(5, 2, 2),
    )


# max-pools ------------------------------------------------------------------------------------------


def _pooled(name: str, one: dict[str, Any], two: dict[str, Any], axes: int = 2, length: int = 19) -> None:
    shape = (2, *(length + a for a in range(axes)))
    named = [pool for pool, options in (("one", one), ("two", two)) if options.get("spelled") != "functional"]

    @network(f"max-pools: {name}", shape, "first", *named, "second", "third")
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Tensor:
            x = m.one(m.relu(m.first(x)))
            return m.third(m.two(m.relu(m.second(x))))

        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
        return Wired(
            wiring,
            first=conv(2, 3, 2),
            relu=p.relu(),
            one=p.max_pool(axes, **one),
            second=conv(3, 3, 2),
            two=p.max_pool(axes, **two),
            third=conv(3, 3, 2),
        )


_pooled(
    "kernel above stride with ceil, kernel below stride",
    {"kernel": 3, "stride": 2, "ceil_mode": True},
    {"kernel": 2, "stride": 3},
)
_pooled(
    "padded and dilated, odd and even kernels",
    {"kernel": 2, "stride": 1, "padding": 1, "dilation": 3},
    {"kernel": 3, "stride": 2, "padding": 1, "dilation": 2},
)
_pooled(
    "uneven kernel with ceil and pad, last window dropped by the ceil rule",
    {"kernel": (2, 4), "stride": (1, 2), "padding": (1, 2), "ceil_mode": True},
    {"kernel": 2, "stride": 3, "ceil_mode": True, "padding": 1},
)
_pooled(
    "stride one, functional",
    {"kernel": 3, "stride": 1, "padding": 1},
    {"kernel": 3, "stride": 2, "spelled": "functional"},
    length=9,
)
_pooled(
    "with indices returned, one axis, functional",
    {"kernel": 3, "stride": 2, "padding": 1, "spelled": "indices"},
    {"kernel": 3, "stride": 2, "ceil_mode": True, "spelled": "functional"},
    axes=1,
)
_pooled(
    "three axes",
    {"kernel": (2, 3, 2), "stride": (1, 2, 2), "ceil_mode": True},
    {"kernel": 2, "stride": 1, "padding": 1},
    axes=3,
    length=7,
)


@network("adaptive max-pools, even and uneven", (2, 14, 16), "first", "even", "uneven", "second")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.second(m.even(m.relu(m.first(x))))
        return m.head(m.uneven(m.relu(x)).flatten(1))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        even=p.adaptive_max_pool(2, (6, 7)),
        second=nn.Conv2d(4, 4, 2),
        uneven=p.adaptive_max_pool(2, (2, 4), spelled="indices"),
        head=nn.Linear(32, 3),
    )


@network("adaptive max-pool along one axis", (2, 17), "first", "pool", "second")
def _(p: Any) -> nn.Module:
    return Wired(
        lambda m, x: m.second(m.pool(m.relu(m.first(x)))),
        first=nn.Conv1d(2, 4, 3),
        relu=p.relu(),
        pool=p.adaptive_max_pool(1, 4),
        second=nn.Conv1d(4, 3, 2),
    )


@network("global max by amax", (2, 9, 9), "first", "second", "head")
def _(p: Any) -> nn.Module:
    return Wired(
        lambda m, x: m.head(m.top(m.second(m.relu(m.first(x))))),
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        second=nn.Conv2d(4, 5, 2),
        top=p.global_max(2),
        head=nn.Linear(5, 3),
    )


# linear cousins -------------------------------------------------------------------------------------


@network("average pools of every kind", (2, 17, 14), "first", "one", "two", "three", "second",
         rectifiers_only=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.two(m.relu(m.second(m.one(m.relu(m.first(x))))))
        x = m.three(x)
        return F.avg_pool2d(m.third(x), 2, stride=1)

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 2),
        relu=p.relu(),
        one=nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        second=nn.Conv2d(4, 4, 2),
        two=nn.AvgPool2d((2, 3), 1, divisor_override=4),
        three=nn.AvgPool2d(2, 2, padding=1, ceil_mode=True),
        third=nn.Conv2d(4, 3, 2),
    )


@network("adaptive averages, mean and sum", (2, 13, 12), "first", "even", "uneven", "second", "head",
         rectifiers_only=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.even(m.relu(m.first(x)))
        x = m.uneven(m.relu(m.second(x)))
        x = torch.cat([x.mean((2, 3)), x.sum(-1).mean(-1), x.mean(3, keepdim=True).flatten(1)], 1)
        return m.head(m.relu(x))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, (2, 3)),
        relu=p.relu(),
        even=nn.AdaptiveAvgPool2d((6, 5)),
        second=nn.Conv2d(4, 3, 1),
        uneven=nn.AdaptiveAvgPool2d((4, 3)),
        head=nn.Linear(18, 3),
    )


@network("interpolations", (2, 10, 9), "first", "second", "third", "fourth", "pool")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = F.interpolate(m.relu(m.first(x)), scale_factor=2, mode="nearest")
        x = F.interpolate(m.relu(m.second(x)), size=(9, 8), mode="bilinear", align_corners=False)
        x = m.pool(m.relu(m.third(x)))
        x = F.interpolate(x, size=(7, 9), mode="bilinear", align_corners=True)
        return F.interpolate(m.relu(m.fourth(x)), size=(5, 8), mode="bicubic", align_corners=False)

    return Wired(
        wiring,
        first=nn.Conv2d(2, 3, 3),
        relu=p.relu(),
        second=nn.Conv2d(3, 3, 3, stride=2),
        third=nn.Conv2d(3, 3, 2),
        pool=p.max_pool(2, 2, 1),
        fourth=nn.Conv2d(3, 3, 2),
    )


@network("upsample modules", (2, 7, 6), "first", "near", "second", "lin", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        return m.lin(m.relu(m.second(m.near(m.relu(m.first(x))))))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 3, 2),
        relu=p.relu(),
        near=nn.Upsample(scale_factor=2),
        second=nn.Conv2d(3, 3, 3, stride=2),
        lin=nn.Upsample(scale_factor=2, mode="bilinear"),
    )


@network("interpolations along one and three axes", (1, 4, 5, 6), "first", "second")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = F.interpolate(m.relu(m.first(x)), scale_factor=2, mode="trilinear")
        x = F.interpolate(m.pool(m.relu(m.second(x))), size=(3, 5, 4), mode="nearest")
        return F.interpolate(x.flatten(2), size=40, mode="linear")

    return Wired(
        wiring,
        first=nn.Conv3d(1, 2, 2),
        relu=p.relu(),
        second=nn.Conv3d(2, 2, 2),
        pool=p.max_pool(3, 2),
    )


@network("pads of every kind", (2, 9, 9), "first", "zero", "mirror", "second", "edge", "third")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = F.pad(m.relu(m.first(x)), (1, 2, 0, 1), value=0.7)
        x = m.pool(m.mirror(m.zero(x)))
        x = m.edge(m.relu(m.second(x)))
        return m.third(F.pad(x, (1, 1, 2, 0), mode="circular")[:, :, 1:])

    return Wired(
        wiring,
        first=nn.Conv2d(2, 3, 3),
        relu=p.relu(),
        zero=nn.ZeroPad2d((0, 1, 1, -1)),
        mirror=nn.ReflectionPad2d((2, 1, 1, 0)),
        pool=p.max_pool(2, 3, 2),
        second=nn.Conv2d(3, 3, 2),
        edge=nn.ReplicationPad2d((1, 0, 2, 1)),
        third=nn.Conv2d(3, 2, 3),
    )


@network(
    "pixel shuffle, unshuffle and channel shuffle",
    (2, 12, 12),
    "first",
    "up",
    "down",
    "mix",
    "last",
)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.down(m.up(m.relu(m.first(x))))
        x = m.pool(m.relu(m.mix(x)))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return m.last(F.channel_shuffle(x, 4))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 8, 3, padding=1),
        relu=p.relu(),
        up=nn.PixelShuffle(2),
        down=nn.PixelUnshuffle(3),
        mix=nn.Conv2d(18, 8, 1),
        pool=p.max_pool(2, 2),
        last=nn.Conv2d(8, 3, 2, groups=1),
    )


@network("tokens before images", (2, 8, 8), "first", "relu", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.first(x)).flatten(2).permute(2, 0, 1)
        return m.head(m.again(m.mix(x)).permute(1, 2, 0).mean(2))

    return Wired(
        wiring, first=nn.Conv2d(2, 4, 3), relu=p.relu(), mix=nn.Linear(4, 6), again=p.relu(), head=nn.Linear(6, 5)
    )


@network("maps folded into the batch", (2, 8, 8), "first", "relu", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.first(x))
        n, c, h, w = x.shape
        x = m.pool(m.again(m.alone(x.reshape(n * c, 1, h, w))))
        return m.head(x.reshape(n, c, h // 2, w // 2).flatten(1))

    return Wired(
        wiring, first=nn.Conv2d(2, 4, 3), relu=p.relu(), alone=nn.Conv2d(1, 1, 3, padding=1), again=p.relu(),
        pool=p.max_pool(2, 2), head=nn.Linear(36, 5),
    )  # fmt: skip


@network("views, permutes, splits and cats", (4, 8, 8), "first", "second", "third", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        a, b = m.first(x).chunk(2, dim=1)
        c, d = torch.split(m.second(torch.cat([m.relu(a), b], 1)), [1, 3], dim=1)
        x = torch.cat([m.pool(m.relu(d)), c[:, :, 1::2, ::2], m.pool(d[:, 1:2])], dim=1)
        x = torch.stack([x, x.flip(-1)], dim=1)
        one, two = x.unbind(1)
        x = one.transpose(2, 3) - two.permute(0, 1, 3, 2).roll(1, dims=-1)
        x = m.relu(m.third(x)).unsqueeze(1).squeeze(1)
        x = x.view(x.shape[0], -1)
        return m.head(torch.cat([x, x[:, :1].expand(-1, 3), x[:, 2:5].narrow(1, 1, 2)], -1))

    return Wired(
        wiring,
        first=nn.Conv2d(4, 6, 3, padding=1),
        relu=p.relu(),
        second=nn.Conv2d(6, 4, 1),
        pool=p.max_pool(2, 2),
        third=nn.Conv2d(5, 3, 2),
        head=nn.Linear(32, 3),
    )


@network("selects, indices, repeats and swaps", (4, 8, 8), "first", "second", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.first(x))
        x = x[:, [2, 0, 3, 1, 1]]
        x = torch.index_select(x, 2, torch.tensor([0, 2, 3, 5]))
        x = m.pool(x).movedim(1, 2).swapaxes(1, 2).contiguous()
        x = m.second(x.repeat(1, 2, 1, 1).tile(1, 1, 1, 2))
        left, right = x[..., 0], x.select(-1, 1)
        x = torch.cat([left.flatten(1), right.unflatten(1, (3, 1)).flatten(1)], 1)
        return m.head(m.relu(x.repeat_interleave(2, 1)))

    return Wired(
        wiring,
        first=nn.Conv2d(4, 4, 3),
        relu=p.relu(),
        pool=p.max_pool(2, 2, 1),
        second=nn.Conv2d(10, 3, 2),
        head=nn.Linear(24, 3),
    )


@network("arithmetic with scalars", (2, 9, 9), "first", "second", "third", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = (x - 0.45) / 0.225
        a = m.relu(m.first(x))
        b = m.relu(1.5 - 2 * m.second(a))
        c = torch.sub(a, b, alpha=0.5) + 3
        d = torch.add(c, -b, alpha=2) / 4
        return m.third(torch.neg(d) * m.scale + m.relu(d - 1).mul(0.25).div(m.root))

    model = Wired(
        wiring,
        first=nn.Conv2d(2, 3, 3),
        relu=p.relu(),
        second=nn.Conv2d(3, 3, 3, padding=1),
        third=nn.Conv2d(3, 2, 2),
        scale=nn.Parameter(torch.randn(3, 1, 1)),
    )
    model.register_buffer("root", torch.rand(1, 3, 1, 1) + 0.5)
    return model


@network("buffers as constants", (3, 10, 10), "first", "second")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = (x - m.mean) / m.std
        x = m.pool(m.relu(m.first(x) + m.plane))
        return m.second(x * m.window)

    model = Wired(
        wiring,
        first=nn.Conv2d(3, 4, 3),
        relu=p.relu(),
        pool=p.max_pool(2, 2),
        second=nn.Conv2d(4, 3, 3),
    )
    model.register_buffer("mean", torch.rand(3, 1, 1))
    model.register_buffer("std", torch.rand(3, 1, 1) + 0.3)
    model.register_buffer("plane", torch.randn(1, 1, 8, 8))
    model.register_buffer("window", torch.randn(4, 4))
    return model


# blocks that people use -----------------------------------------------------------------------------


def _conv_norm(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


@network("batch norm with and without affine", (2, 9, 9), "0", "1", "2", "4", "5", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), p.relu(),
        nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3, eps=0.3),
    )  # fmt: skip


@network("resnet, post-activation", (3, 16, 16), "stem", "pool", "one.1", "two.1", "down", "head",
         "relu", "relu#2")  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.pool(m.relu(m.stem(x)))
        x = m.relu(m.one(x) + x)
        y = m.two(x)
        y += m.down(x)
        x = m.relu(y)
        return m.head(m.average(x).flatten(1))

    return Wired(
        wiring,
        stem=_conv_norm(3, 4),
        relu=p.relu("in-place module"),
        pool=p.max_pool(2, 3, 2, padding=1),
        one=nn.Sequential(*_conv_norm(4, 4), p.relu("in-place module"), *_conv_norm(4, 4)),
        two=nn.Sequential(*_conv_norm(4, 6, 2), p.relu(), *_conv_norm(6, 6)),
        down=_conv_norm(4, 6, 2, 1),
        average=nn.AdaptiveAvgPool2d(1),
        head=nn.Linear(6, 4),
    )


@network("resnet, pre-activation", (3, 12, 12), "stem", "a", "b", "norm", "head", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.stem(x)
        x = x + m.b(m.relu(m.norm2(m.a(m.relu(m.norm(x))))))
        return m.head(m.relu(m.norm3(x)).mean([2, 3]))

    return Wired(
        wiring,
        stem=nn.Conv2d(3, 4, 3),
        norm=nn.BatchNorm2d(4),
        relu=p.relu("F.relu"),
        a=nn.Conv2d(4, 4, 3, padding=1),
        norm2=nn.BatchNorm2d(4),
        b=nn.Conv2d(4, 4, 3, padding=1),
        norm3=nn.BatchNorm2d(4),
        head=nn.Linear(4, 3),
    )


@network("densenet block", (3, 12, 12), "stem", "a", "b", "transition", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        features = [m.pool(m.stem(x))]
        features.append(m.a(m.relu(m.norm1(torch.cat(features, 1)))))
        features.append(m.b(m.relu(m.norm2(torch.cat(features, 1)))))
        x = m.transition(torch.cat(features, 1))
        return m.head(F.adaptive_avg_pool2d(m.relu(x), (1, 1)).flatten(1))

    return Wired(
        wiring,
        stem=nn.Conv2d(3, 4, 3, padding=1),
        pool=p.max_pool(2, 2),
        norm1=nn.BatchNorm2d(4),
        a=nn.Conv2d(4, 2, 3, padding=1),
        norm2=nn.BatchNorm2d(6),
        b=nn.Conv2d(6, 2, 3, padding=1),
        transition=nn.Sequential(nn.Conv2d(8, 4, 1), nn.AvgPool2d(2)),
        relu=p.relu("F.relu"),
        head=nn.Linear(4, 3),
    )


@network("inception block", (3, 12, 12), "stem", "one", "three.2", "five", "tower.0", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.stem(x))
        x = torch.cat([m.one(x), m.three(x), m.five(x), m.tower(x)], 1)
        return m.head(m.relu(x))

    return Wired(
        wiring,
        stem=nn.Conv2d(3, 4, 3, stride=2),
        relu=p.relu("F.relu"),
        one=nn.Conv2d(4, 2, 1),
        three=nn.Sequential(nn.Conv2d(4, 3, 1), p.relu(), nn.Conv2d(3, 3, 3, padding=1)),
        five=nn.Sequential(nn.Conv2d(4, 2, (1, 5), padding=(0, 2)), nn.Conv2d(2, 2, (5, 1), padding=(2, 0))),
        tower=nn.Sequential(p.max_pool(2, 3, 1, padding=1, ceil_mode=True), nn.Conv2d(4, 2, 1)),
        head=nn.Conv2d(9, 3, 3),
    )  # fmt: skip


@network("fire module", (3, 14, 14), "stem", "squeeze", "wide", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.pool(m.relu(m.stem(x)))
        x = m.relu(m.squeeze(x))
        x = torch.cat([m.relu(m.narrow(x)), m.relu(m.wide(x))], 1)
        return torch.flatten(m.average(m.relu(m.head(x))), 1)

    return Wired(
        wiring,
        stem=nn.Conv2d(3, 4, 3),
        relu=p.relu("in-place module"),
        pool=p.max_pool(2, 3, 2, ceil_mode=True),
        squeeze=nn.Conv2d(4, 2, 1),
        narrow=nn.Conv2d(2, 3, 1),
        wide=nn.Conv2d(2, 3, 3, padding=1),
        head=nn.Conv2d(6, 4, 1),
        average=nn.AdaptiveAvgPool2d((1, 1)),
    )


@network("inverted residual with relu6", (3, 12, 12), "stem", "expand", "depth", "point", "head",
         rectifiers_only=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.stem(5 * x))
        x = x + m.point(m.relu(m.depth(m.relu(m.expand(x)))))
        return m.head(x.mean((-2, -1)))

    return Wired(
        wiring,
        stem=_conv_norm(3, 4, 2),
        relu=p.relu6(),
        expand=_conv_norm(4, 8, kernel=1),
        depth=nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)),
        point=_conv_norm(8, 4, kernel=1),
        head=nn.Linear(4, 3),
    )


def _gated(spelled: str, squash: Callable[[], nn.Module], exact: bool) -> None:
    @network(f"squeeze and excite, {spelled}, {squash.__name__}", (3, 10, 10), "stem", "body", "head",
             exact_gradient=exact)  # fmt: skip
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Tensor:
            x = m.body(m.relu(m.stem(x)))
            gate = m.excite(m.small(m.squeeze(x.mean((2, 3), keepdim=True))))
            if spelled == "in place":
                return m.head(m.relu(m.gate(x, m.squash(gate))))
            return m.head(m.gate(m.relu(x), m.squash(gate)))

        squash_part = p.relu() if squash is nn.ReLU else squash()
        return Wired(
            wiring,
            stem=nn.Conv2d(3, 4, 3),
            relu=p.relu(),
            body=nn.Conv2d(4, 4, 3, padding=1),
            squeeze=nn.Conv2d(4, 3, 1),
            small=p.relu(),
            excite=nn.Conv2d(3, 4, 1),
            squash=squash_part,
            gate=p.gate(spelled),
            head=nn.Conv2d(4, 3, 3),
        )


_gated("times", nn.Sigmoid, exact=False)
_gated("gate first", nn.ReLU, exact=True)
_gated("expanded", nn.Sigmoid, exact=False)
_gated("in place", nn.ReLU, exact=True)


@network("squeeze and excite through linear layers", (3, 10, 10), "stem", "body", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.body(m.pool(m.relu(m.stem(x))))
        n, c, _, _ = x.shape
        gate = m.excite(m.relu(m.squeeze(m.average(x).view(n, c)))).view(n, c, 1, 1)
        return m.head(m.relu(m.gate(x, m.relu(gate))).flatten(1))

    return Wired(
        wiring,
        stem=nn.Conv2d(3, 4, 3),
        relu=p.relu(),
        pool=p.max_pool(2, 2),
        body=nn.Conv2d(4, 4, 3, padding=1),
        average=nn.AdaptiveAvgPool2d(1),
        squeeze=nn.Linear(4, 3),
        excite=nn.Linear(3, 4),
        gate=p.gate(),
        head=nn.Linear(64, 3),
    )


@network("parametrized weights", (2, 10, 10), "normed", "parts", "spectral", "head", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.parts(m.relu(m.normed(x))))
        return m.head(m.relu(m.spectral(x)).flatten(1))

    return Wired(
        wiring,
        normed=parametrizations.weight_norm(nn.Conv2d(2, 4, 3)),
        relu=p.relu(),
        parts=nn.Conv2d(4, 4, 2, stride=2),
        spectral=parametrizations.spectral_norm(nn.Conv2d(4, 4, 2)),
        head=parametrizations.orthogonal(nn.Linear(36, 3)),
    )


@network("weight norm of old", (2, 10, 10), "normed", "head")
def _(p: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        normed = nn.utils.weight_norm(nn.Conv2d(2, 4, 3))
        head = nn.utils.weight_norm(nn.Linear(64, 3))
    return Wired(
        lambda m, x: m.head(m.pool(m.relu(m.normed(x))).flatten(1)),
        normed=normed,
        relu=p.relu(),
        pool=p.max_pool(2, 2),
        head=head,
    )


@network("weights standardised in forward", (2, 10, 10), "second", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        w = m.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 1e-5)
        return m.second(m.relu(F.conv2d(x, w, m.shift, stride=2)))

    return Wired(
        wiring,
        weight=nn.Parameter(torch.randn(4, 2, 3, 3)),
        shift=nn.Parameter(torch.randn(4)),
        relu=p.relu(),
        second=nn.Conv2d(4, 3, 2),
    )


@network("unet with concat", (2, 12, 12), "enter", "deep", "up", "leave", "last")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        a = m.relu(m.enter(x))
        b = m.relu(m.deep(m.pool(a)))
        c = m.relu(m.up(b))
        d = F.interpolate(b, size=a.shape[-2:], mode="bilinear", align_corners=False)
        return m.last(m.relu(m.leave(torch.cat([a, c, d], 1))))

    return Wired(
        wiring,
        enter=nn.Conv2d(2, 3, 3, padding=1),
        relu=p.relu(),
        pool=p.max_pool(2, 2),
        deep=nn.Conv2d(3, 4, 3, padding=1),
        up=nn.ConvTranspose2d(4, 3, 2, stride=2),
        leave=nn.Conv2d(10, 3, 3, padding=1),
        last=nn.Conv2d(3, 2, 1),
    )


# outputs --------------------------------------------------------------------------------------------


class Scores(NamedTuple):
    logits: Tensor
    features: Tensor


@dataclass
class ScoresClass:
    logits: Tensor
    features: Tensor


torch.export.register_dataclass(ScoresClass)


def _outputs(kind: str, wrap: Callable[[Tensor, Tensor], Any], output: Any) -> None:
    @network(f"output is a {kind}", (2, 9, 9), "first", "head", output=output)
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Any:
            features = m.pool(m.relu(m.first(x)))
            return wrap(m.head(features.flatten(1)), features)

        return Wired(
            wiring,
            first=nn.Conv2d(2, 3, 2),
            relu=p.relu(),
            pool=p.max_pool(2, 2),
            head=nn.Linear(48, 4),
        )


_outputs("dict", lambda logits, features: {"logits": logits, "features": features}, "logits")
_outputs("tuple", lambda logits, features: (features, logits), 1)
_outputs("named tuple", Scores, "logits")
_outputs("dataclass", ScoresClass, "logits")


def _ended(head: Callable[[], nn.Module], name: str) -> None:
    @network(f"{name} at the end", (2, 9, 9), "first", "scores")
    def _(p: Any) -> nn.Module:
        return Wired(
            lambda m, x: m.head(m.scores(m.pool(m.relu(m.first(x))).flatten(1))),
            first=nn.Conv2d(2, 3, 2),
            relu=p.relu(),
            pool=p.max_pool(2, 3, 2),
            scores=nn.Linear(27, 4),
            head=p.head(head()),
        )


_ended(lambda: nn.Softmax(dim=1), "softmax")
_ended(lambda: nn.LogSoftmax(dim=1), "log-softmax")
_ended(nn.Sigmoid, "sigmoid")


# networks that are not made of rectifiers -----------------------------------------------------------


def _smooth(name: str, make: Callable[[], nn.Module]) -> None:
    @network(name, (2, 10, 10), "first", "second", smooth=True)
    def _(p: Any) -> nn.Module:
        return Wired(
            lambda m, x: m.second(m.pool(m.act(m.first(x)))),
            first=nn.Conv2d(2, 4, 3),
            act=p.activation(make()),
            pool=p.max_pool(2, 2),
            second=nn.Conv2d(4, 3, 2),
        )


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "LeakyReLU": lambda: nn.LeakyReLU(0.1),
    "PReLU": lambda: nn.PReLU(4, init=0.2),
    "ELU": nn.ELU,
    "SiLU": nn.SiLU,
    "GELU": nn.GELU,
    "Hardswish": nn.Hardswish,
    "Hardsigmoid": nn.Hardsigmoid,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
}
for _name, _make in ACTIVATIONS.items():
    _smooth(_name, _make)


@network("layer norm", (2, 8, 8), "first", "second", smooth=True)
def _(p: Any) -> nn.Module:
    return Wired(
        lambda m, x: m.second(m.relu(m.norm(m.first(x)))),
        first=nn.Conv2d(2, 4, 3),
        norm=nn.LayerNorm([4, 6, 6]),
        relu=p.relu(),
        second=nn.Conv2d(4, 3, 2),
    )


@network("group norm", (2, 8, 8), "first", "second", smooth=True)
def _(p: Any) -> nn.Module:
    return Wired(
        lambda m, x: m.second(m.relu(m.norm(m.first(x)))),
        first=nn.Conv2d(2, 4, 3),
        norm=nn.GroupNorm(2, 4),
        relu=p.relu(),
        second=nn.Conv2d(4, 3, 2),
    )


@network("attention", (2, 6, 6), "first", "last", smooth=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        tokens = m.relu(m.first(x)).flatten(2).transpose(1, 2)
        q, k, v = m.project(tokens).chunk(3, -1)
        return m.last(F.scaled_dot_product_attention(q, k, v).mean(1))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        project=nn.Linear(4, 12),
        last=nn.Linear(4, 3),
    )


@network("product of two signals", (2, 8, 8), "first", "last", smooth=True)
def _(p: Any) -> nn.Module:
    return Wired(
        lambda m, x: m.last(m.first(x) * m.second(x)),
        first=nn.Conv2d(2, 4, 3),
        second=nn.Conv2d(2, 4, 3),
        last=nn.Conv2d(4, 3, 2),
    )


@network("divided by a norm of itself", (2, 8, 8), "first", "last", smooth=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.first(x))
        return m.last(x / (1 + x.pow(2).sum(1, keepdim=True)).sqrt())

    return Wired(
        wiring, first=nn.Conv2d(2, 4, 3), relu=p.relu(), last=nn.Conv2d(4, 3, 2)
    )  # fmt: skip


@network("softmax inside", (2, 8, 8), "first", "last", smooth=True)
def _(p: Any) -> nn.Module:
    return Wired(
        lambda m, x: m.last(torch.softmax(m.first(x), 1)),
        first=nn.Conv2d(2, 4, 3),
        last=nn.Conv2d(4, 3, 2),
    )


# in the paper reference's words ---------------------------------------------------------------------

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _paper_layer(module: nn.Module) -> paper.Layer:
    def numbers(parameter: Tensor | None) -> Any:
        return None if parameter is None else parameter.detach().numpy()

    if isinstance(module, CONVOLUTIONS):
        geometry = (module.stride, module.padding, module.dilation, module.groups)
        return paper.Convolution(numbers(module.weight), numbers(module.bias), *geometry)
    if isinstance(module, nn.ReLU):
        return paper.Rectifier()
    if isinstance(module, tuple(MAX_POOLS.values())):
        geometry = (module.kernel_size, module.stride, module.padding, module.dilation)
        return paper.MaxPool(*geometry, module.ceil_mode)
    if isinstance(module, nn.AvgPool2d):
        geometry = (module.kernel_size, module.stride, module.padding, module.ceil_mode)
        return paper.AveragePool(*geometry, module.count_include_pad)
    if isinstance(module, nn.LocalResponseNorm):
        return paper.ContrastNorm(module.size, module.alpha, module.beta, module.k)
    if isinstance(module, nn.Flatten):
        return paper.Flatten()
    if isinstance(module, nn.Linear):
        return paper.Linear(numbers(module.weight), numbers(module.bias))
    raise TypeError(module)


def paper_layers(model: nn.Sequential) -> list[paper.Layer]:
    """An `nn.Sequential` as the layers that `reference/paper.py` walks through."""
    return [_paper_layer(module) for module in model]
