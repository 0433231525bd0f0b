"""A second reference, for any PyTorch network: autograd, with the paper's way down put into its backward.

With overlaps summed, DeconvNet is back-propagation in which a ReLU's derivative is replaced by
rectification of the signal and a contrast norm's by the identity (notes, section 1.1, property 6).
So a *twin* of a network, the same weights but with the parts below in place of ReLU, max-pool, contrast
norm and gate, gives DeconvNet's picture as its "gradient". Nothing here looks at a graph.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from reference import paper
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class WayDown:
    """The choices of a rule set, in the oracle's own words."""

    forward_mask: bool = False
    backward_rectify: bool = True
    unpool: str = "switches"
    overlap: str = "sum"
    lrn: str = "identity"
    gates: str = "constant"
    activations_rectify: bool = False
    detach: str = "identity"


DECONVNET = WayDown()
GUIDED = WayDown(forward_mask=True)
GRADIENT = WayDown(forward_mask=True, backward_rectify=False, lrn="gradient", gates="product", detach="zero")


class _Down(torch.autograd.Function):
    """`value` on the way up; `down(signal)` on the way down."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, down: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.down = down
        return value.clone()

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None]:
        return ctx.down(signal), None, None


def with_way_down(x: Tensor, value: Tensor, down: Callable[[Tensor], Tensor]) -> Tensor:
    """`value`, whose signal reaches `x` through `down`."""
    return _Down.apply(x, value.detach(), down)


def rectified(x: Tensor, value: Tensor, mask: Tensor, way: WayDown) -> Tensor:
    """The rectifier's `value` of x; `mask` is where its derivative is one."""

    def down(signal: Tensor) -> Tensor:
        if way.backward_rectify:
            signal = signal.clamp(min=0)
        return signal * mask if way.forward_mask else signal

    return with_way_down(x, value, down)


class OracleReLU(nn.Module):
    def __init__(self, way: WayDown) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return rectified(x, F.relu(x.detach()), x.detach() > 0, self.way)


class OracleReLUInPlace(OracleReLU):
    """Overwrites its input, which a skip may read later."""

    def forward(self, x: Tensor) -> Tensor:
        return x.copy_(super().forward(x.clone()))


class OracleReLU6(OracleReLU):
    def forward(self, x: Tensor) -> Tensor:
        fixed = x.detach()
        return rectified(x, F.relu6(fixed), (fixed > 0) & (fixed < 6), self.way)


class OracleActivation(nn.Module):
    """A smooth activation: its derivative, or on demand a rectifier."""

    def __init__(self, function: nn.Module, way: WayDown) -> None:
        super().__init__()
        self.function, self.way = function, way

    def forward(self, x: Tensor) -> Tensor:
        if not self.way.activations_rectify:
            return self.function(x)
        value = self.function(x)
        return rectified(x, value, value.detach() > 0, self.way)


class OracleMaxPool(nn.Module):
    """A max-pool over explicit windows: `spans[axis][window]` lists the cells along that axis."""

    def __init__(self, spans_of: Callable[[torch.Size], list], way: WayDown) -> None:
        super().__init__()
        self.spans_of, self.way = spans_of, way

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        spans = self.spans_of(size)
        windows = list(product(*(range(len(span)) for span in spans)))
        strides = [int(torch.tensor(size[a + 1 :]).prod()) for a in range(len(size))]

        def flat(place: tuple[int, ...]) -> int:
            return sum(p * s for p, s in zip(place, strides, strict=True))

        cells = [[flat(p) for p in paper.window_places(spans, w, size)] for w in windows]
        maps = x.detach().flatten(2)
        pooled, targets = [], []
        for window, members in zip(windows, cells, strict=True):
            values = maps[:, :, members]
            first = (values == values.amax(-1, keepdim=True)).int().argmax(-1)
            switch = torch.tensor(members)[first]
            pooled.append(values.amax(-1))
            if self.way.unpool == "switches":
                targets.append([switch])
            elif self.way.unpool == "centre":
                centre = flat(paper.window_centre(spans, window, size))
                targets.append([torch.full_like(switch, centre)])
            else:
                targets.append([torch.full_like(switch, member) for member in members])
        value = torch.stack(pooled, -1).reshape(*x.shape[:2], *(len(span) for span in spans))

        def down(signal: Tensor) -> Tensor:
            below = torch.zeros_like(maps)
            for i, places in enumerate(targets):
                arriving = signal.flatten(2)[:, :, i] / len(places)
                for place in places:
                    at, new = place[..., None], arriving[..., None]
                    old = below.gather(-1, at)
                    larger = torch.where(new.abs() > old.abs(), new, old)
                    below.scatter_(-1, at, old + new if self.way.overlap == "sum" else larger)
            return below.reshape(x.shape)

        return with_way_down(x, value, down)


class OracleContrastNorm(nn.Module):
    def __init__(self, size: int, alpha: float, beta: float, k: float, way: WayDown) -> None:
        super().__init__()
        self.constants, self.way = (size, alpha, beta, k), way

    def forward(self, x: Tensor) -> Tensor:
        value = F.local_response_norm(x, *self.constants)
        if self.way.lrn == "gradient":
            return value
        if self.way.lrn == "identity":
            return with_way_down(x, value, lambda signal: signal)
        size, alpha, beta, k = self.constants
        squares = F.pad(x.detach() ** 2, (0, 0) * (x.dim() - 2) + (size // 2, (size - 1) // 2))
        total = sum(squares[:, i : i + x.shape[1]] for i in range(size))
        divisor = (k + alpha / size * total) ** beta
        return with_way_down(x, value, lambda signal: signal * divisor)


class OracleParts:
    """The parts of `networks.Parts`, with a way down of their own."""

    def __init__(self, way: WayDown) -> None:
        self.way = way

    def relu(self, spelled: str = "module") -> nn.Module:
        return (OracleReLUInPlace if "in-place" in spelled else OracleReLU)(self.way)

    def relu6(self, spelled: str = "module") -> nn.Module:
        del spelled
        return OracleReLU6(self.way)

    def activation(self, function: nn.Module) -> nn.Module:
        return OracleActivation(function, self.way)

    def max_pool(
        self,
        axes: int,
        kernel: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        spelled: str = "module",
    ) -> nn.Module:
        del spelled

        def spans(size: torch.Size) -> list:
            assert len(size) == axes
            return paper.pool_spans(size, kernel, stride, padding, dilation, ceil_mode)

        return OracleMaxPool(spans, self.way)

    def adaptive_max_pool(self, axes: int, size: Any, spelled: str = "module") -> nn.Module:
        del spelled

        def spans(below: torch.Size) -> list:
            counts = paper.per_axis(size, axes)
            return [paper.adaptive_spans(n, c) for n, c in zip(below, counts, strict=True)]

        return OracleMaxPool(spans, self.way)

    def global_max(self, axes: int) -> nn.Module:
        return nn.Sequential(self.adaptive_max_pool(axes, 1), nn.Flatten())

    def largest(self, spelled: str = "maximum") -> Callable[..., Tensor]:
        """Function of the maps."""
        del spelled

        def choose(*maps: Tensor) -> Tensor:
            stacked = torch.stack(maps)
            fixed = stacked.detach()
            value, middle = fixed.amax(0), (len(maps) - 1) // 2
            if self.way.unpool == "switches":
                first = (fixed == value).int().argmax(0)
                return sum(one * (first == i) for i, one in enumerate(maps))
            passing = stacked[middle] if self.way.unpool == "centre" else stacked.mean(0)
            return passing + (value - passing).detach()

        return choose

    def limit(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        if self.way.forward_mask:
            return function
        return lambda x: with_way_down(x, function(x.detach()), lambda signal: signal)

    def detach(self, spelled: str = "detach") -> Callable[[Tensor], Tensor]:
        del spelled
        return lambda x: 5 * (x.detach() if self.way.detach == "zero" else x)

    def lrn(self, size: int, alpha: float, beta: float, k: float) -> nn.Module:
        return OracleContrastNorm(size, alpha, beta, k, self.way)

    def gate(self, spelled: str = "times") -> Callable[[Tensor, Tensor], Tensor]:
        """Function of (maps, gate)."""
        del spelled
        if self.way.gates == "constant":
            return lambda maps, gate: maps * gate.detach()
        return lambda maps, gate: maps * gate

    def head(self, function: nn.Module) -> nn.Module:
        """Softmax and its like at the end: skipped, the start is their input."""
        del function
        return nn.Identity()


def layer_outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Every tensor that a module returned, by dotted name (`name#k` for call k), and "" for the model."""
    returned: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()
    names = {module: name for name, module in model.named_modules()}

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        name = names[module]
        calls[name] += 1
        call = f"#{calls[name]}" if calls[name] > 1 else ""
        if isinstance(output, Tensor):
            returned[name + call] = output.clone()
        elif isinstance(output, tuple | list):
            for i, part in enumerate(output):
                if isinstance(part, Tensor):
                    returned[f"{name}{call}[{i}]"] = part.clone()

    handles = [module.register_forward_hook(record) for module in names]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return returned


class Oracle:
    """One twin and one batch: pictures of any signal on any layer."""

    def __init__(self, twin: nn.Module, x: Tensor) -> None:
        self.x = x.detach().clone().requires_grad_()
        # the clone lets a network work in place on its own input
        self.outputs = layer_outputs(twin, self.x.clone())

    def picture(self, layer: str, signal: Tensor) -> Tensor:
        """What the signal on that layer becomes on the input (zeros where nothing arrives)."""
        (picture,) = torch.autograd.grad(self.outputs[layer], self.x, signal, retain_graph=True, allow_unused=True)
        return torch.zeros_like(self.x) if picture is None else picture


RELUS = {torch.relu, F.relu, Tensor.relu}
RELUS_IN_PLACE = {torch.relu_, Tensor.relu_, F.relu_}


class Rectifying(TorchFunctionMode):
    """Runs an untouched model with the way down in every ReLU that is *called* a ReLU.

    Modules, functions, methods, in-place forms, `clamp(min=0)`, `threshold(0, 0)`, ReLU6; contrast
    normalisation, where it is passed over. Spellings
    that only compute a ReLU (`x * (x > 0)`) cannot be seen here: those need a twin.
    """

    def __init__(self, way: WayDown) -> None:
        super().__init__()
        self.way = way

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in RELUS_IN_PLACE or (func is F.relu and kwargs.get("inplace")):
            return args[0].copy_(OracleReLU(self.way)(args[0].clone()))
        if func in RELUS or (func in {torch.clamp, Tensor.clamp} and args[1:] == () and kwargs == {"min": 0}):
            return OracleReLU(self.way)(args[0])
        if func is F.local_response_norm and self.way.lrn == "identity":
            return with_way_down(args[0], func(args[0].detach(), *args[1:], **kwargs), lambda signal: signal)
        six = {"min_val": 0.0, "max_val": 6.0}
        if func is F.relu6 or (func is F.hardtanh and six.items() <= kwargs.items()):
            return OracleReLU6(self.way)(args[0])
        return func(*args, **kwargs)
