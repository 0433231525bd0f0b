"""Small networks of random parts, common and odd, for one, two or three spatial axes."""

import copy
from collections.abc import Callable
from functools import partial
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Make = Callable[[Random, int, int], nn.Module]  # of random numbers, spatial axes and channels


class Step(nn.Module):
    """A function as a module, with its name in place of its code."""

    def __init__(self, name: str, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.name, self.function = name, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return self.name


class Skip(nn.Module):
    """A part beside another one, or beside its own input, and how the two become one."""

    def __init__(self, name: str, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.name, self.left, self.right = name, left, right

    def forward(self, x: Tensor) -> Tensor:
        return _JOINS[self.name](self.left(x), self.right(x))

    def extra_repr(self) -> str:
        return self.name


_NARROWER = {torch.float64: torch.float32, torch.float32: torch.float16}

_JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "weighted": lambda a, b: torch.lerp(a, b, 0.3),
    "addcmul": lambda a, b: torch.addcmul(a, b, torch.full_like(b, 0.5)),
    "cat": lambda a, b: torch.cat([a, b], 1)[:, ::2],
    "maximum": torch.maximum,
    "max of two": torch.max,
    "max of stack": lambda a, b: torch.stack([a, b]).amax(0),
    "where": lambda a, b: torch.where(a > b, a, b),
    "gate": lambda a, b: a * torch.sigmoid(b.flatten(2).mean(2)).reshape(*b.shape[:2], *[1] * (b.dim() - 2)),
    "product": lambda a, b: a * b,
    "add detached": lambda a, b: a + b.detach(),
    "in place": lambda a, b: a.clone().add_(b),
}


_PASSED = ("detach", "detach half", "wider and back")


def without_passed(model: nn.Module) -> nn.Module | None:
    """The network without the parts that a signal passes under `deconvnet` as if they were not there, if it has any.

    They are `detach`, and changes of type that keep what is rounded.
    """
    twin, passed = copy.deepcopy(model), 0
    for module in twin.modules():
        if isinstance(module, Skip) and module.name == "add detached":
            module.name, passed = "add", passed + 1
        elif isinstance(module, Step) and module.name in _PASSED:
            module.function, passed = nn.Identity(), passed + 1
    return twin if passed else None


def network(random: Random) -> tuple[nn.Sequential, Tensor]:
    """A network in eval and images for it, mostly float64; parts that find no room are left out."""
    axes, channels = random.choice((1, 2, 2, 2, 3)), random.randint(1, 3)
    size = tuple(random.randint(*{1: (9, 40), 2: (7, 22), 3: (5, 11)}[axes]) for _ in range(axes))
    torch.manual_seed(random.randrange(2**32))
    x = torch.randn(random.randint(1, 2), channels, *size, dtype=torch.float64)
    model = nn.Sequential()
    for _ in range(random.randint(2, 7)):
        model = _longer(random, model, axes, x)
    if random.random() < 0.2:
        model = nn.Sequential(*model, nn.Flatten(), nn.Linear(model(x)[0].numel(), 3).double())
    dtype = random.choice((torch.float64, torch.float64, torch.float64, torch.float32))
    return _trained(model).to(dtype), x.to(dtype)


def _longer(random: Random, model: nn.Sequential, axes: int, x: Tensor) -> nn.Sequential:
    """The network with one more part, if that finds room."""
    channels = (model(x) if len(model) else x).shape[1]
    try:
        part = _part(random, axes, channels)
        longer = nn.Sequential(*model, part).double().eval()
        shape = longer(x).shape
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
        return model
    fits = len(shape) == axes + 2 and min(shape[2:]) >= 1 and max(shape[2:]) <= 60 and shape[1] <= 16
    return longer if fits else model


def _part(random: Random, axes: int, channels: int) -> nn.Module:
    if random.random() < 0.25:
        name = random.choice(tuple(_JOINS))
        left = random.choice((_plain, _parts))(random, axes, channels)
        right = nn.Identity() if random.random() < 0.4 else _plain(random, axes, channels)
        return Skip(name, left, right)
    return random.choice((_convolution, _convolution, _parts))(random, axes, channels)


def _parts(random: Random, axes: int, channels: int) -> nn.Module:
    name = random.choice(tuple(_ODD))
    made = _ODD[name](random, axes, channels)
    return made if isinstance(made, nn.Module) else Step(name, made)


def _plain(random: Random, axes: int, channels: int) -> nn.Module:
    """A convolution that leaves the size as it is, and a ReLU."""
    kernel = random.choice((1, 3))
    return nn.Sequential(_of(axes, "Conv")(channels, channels, kernel, padding=kernel // 2), nn.ReLU())


def _convolution(random: Random, axes: int, channels: int) -> nn.Module:
    options = {"stride": random.randint(1, 3), "padding": random.randint(0, 2), "dilation": random.randint(1, 2),
               "bias": random.random() < 0.7}  # fmt: skip
    out, kernel = random.randint(1, 4), _each(random, axes, 1, 4)
    if random.random() < 0.25:
        options["output_padding"] = random.randint(0, 1)
        return _of(axes, "ConvTranspose")(channels, out, kernel, **options)
    if random.random() < 0.2:
        options["groups"], out = channels, channels * random.randint(1, 2)
    if random.random() < 0.2:
        options["padding_mode"] = random.choice(("reflect", "replicate", "circular"))
    return _of(axes, "Conv")(channels, out, kernel, **options)


def _pool(random: Random, axes: int, channels: int) -> nn.Module:
    kernel = _each(random, axes, 1, 4)
    options = {"stride": _each(random, axes, 1, 3), "padding": tuple(random.randint(0, k // 2) for k in kernel),
               "ceil_mode": random.random() < 0.5}  # fmt: skip
    if random.random() < 0.4:
        return _of(axes, "AvgPool")(kernel, **options, count_include_pad=random.random() < 0.5)
    return _of(axes, "MaxPool")(kernel, **options, dilation=random.randint(1, 2))


def _adaptive(random: Random, axes: int, channels: int) -> nn.Module:
    return _of(axes, random.choice(("AdaptiveAvgPool", "AdaptiveMaxPool")))(_each(random, axes, 1, 6))


def _each(random: Random, axes: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(random.randint(low, high) for _ in range(axes))


def _of(axes: int, name: str) -> type[nn.Module]:
    return getattr(nn, f"{name}{axes}d")


def _trained(model: nn.Module) -> nn.Module:
    """Statistics of normalisations that are not those of a new network."""
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name in ("running_mean", "running_var"):
                buffer.uniform_(0.5, 1.5)
    return model.double().eval()


def _step(function: Callable[[Tensor], Tensor]) -> Callable[[Random, int, int], Callable[[Tensor], Tensor]]:
    return lambda random, axes, channels: function


_ODD: dict[str, Callable[[Random, int, int], nn.Module | Callable[[Tensor], Tensor]]] = {
    "pool": _pool,
    "adaptive": _adaptive,
    "relu": lambda random, axes, channels: nn.ReLU(inplace=random.random() < 0.5),
    "functional relu": _step(F.relu),
    "relu6": lambda random, axes, channels: nn.ReLU6(),
    "batch norm": lambda random, axes, channels: _of(axes, "BatchNorm")(channels),
    "instance norm": lambda random, axes, channels: _of(axes, "InstanceNorm")(
        channels, affine=random.random() < 0.5, track_running_stats=random.random() < 0.7
    ),
    "group norm": lambda random, axes, channels: nn.GroupNorm(1, channels),
    "response norm": lambda random, axes, channels: nn.LocalResponseNorm(random.randint(1, 5), alpha=0.1),
    "dropout": lambda random, axes, channels: nn.Dropout(),
    "smooth": lambda random, axes, channels: random.choice(
        (nn.SiLU, nn.GELU, nn.Tanh, nn.ELU, nn.Hardswish, nn.LeakyReLU, nn.PReLU, nn.Softplus, nn.Mish)
    )(),
    "lp pool": lambda random, axes, channels: _of(axes, "LPPool")(2, 2),
    "upsample": lambda random, axes, channels: nn.Upsample(
        scale_factor=random.choice((2, 1.5)), mode=random.choice(("nearest", "nearest-exact", "bilinear", "bicubic"))
    ),
    "pad": lambda random, axes, channels: partial(
        F.pad, pad=[random.randint(-1, 2) for _ in range(2 * axes)], value=0.5
    ),
    "clamp": lambda random, axes, channels: partial(torch.clamp, min=random.choice((0.0, -1.0)), max=2.0),
    "clamp min": _step(lambda x: x.clamp(min=0)),
    "threshold": _step(lambda x: F.threshold(x, 0.5, 0.0)),
    "masked": _step(lambda x: x * (x > 0)),
    "masked fill": _step(lambda x: x.masked_fill(x < 0.2, 0.0)),
    "narrower and back": _step(lambda x: x.to(_NARROWER[x.dtype]).to(x.dtype)),
    "bfloat16 and back": _step(lambda x: x.bfloat16().to(x.dtype)),
    "wider and back": _step(lambda x: x.double().to(x.dtype)),
    "softmax of floats": _step(lambda x: x.softmax(1, dtype=torch.float32).to(x.dtype)),
    "detach": _step(lambda x: x.detach()),
    "detach half": _step(lambda x: torch.cat([x[:, :1].detach(), x[:, 1:]], 1)),
    "in-place add": _step(lambda x: x.clone().mul_(2).add_(1)),
    "in-place slice": _step(lambda x: torch.slice_scatter(x, x[:, :1] * 2, 1, 0, 1)),
    "roll": _step(lambda x: x.roll(1, -1)),
    "flip": _step(lambda x: x.flip(-1)),
    "transpose": _step(lambda x: x.transpose(-1, -2)),
    "cumsum": _step(lambda x: x.cumsum(-1)),
    "diff": _step(lambda x: x.diff(dim=-1)),
    "centred": _step(lambda x: x - x.mean(-1, keepdim=True)),
    "softmax": _step(lambda x: x.softmax(1)),
    "abs": _step(torch.abs),
    "square": _step(lambda x: x**2),
    "channel max": _step(lambda x: x.amax(1, keepdim=True)),
    "channel mean": _step(lambda x: x.mean(1, keepdim=True)),
    "sort": _step(lambda x: x.sort(-1).values),
    "top": _step(lambda x: x.topk(2, -1).values),
    "median": _step(lambda x: x.median(-1, keepdim=True).values),
    "every second": _step(lambda x: x[..., ::2]),
    "gather": _step(lambda x: x[:, torch.arange(x.shape[1] - 1, -1, -1)]),
    "unfold": _step(lambda x: x.unfold(-1, 2, 1).sum(-1)),
    "einsum": _step(lambda x: torch.einsum("nc...,cd->nd...", x, torch.eye(x.shape[1], dtype=x.dtype) * 2)),
    "divided": _step(lambda x: x / 3),
    "divided by norm": _step(lambda x: F.normalize(x, dim=1)),
    "std": _step(lambda x: x / (x.std(1, keepdim=True, unbiased=False) + 1)),
    "round": _step(torch.round),
    "nan to num": _step(torch.nan_to_num),
    "log": _step(lambda x: x.abs().log1p()),
    "where input": _step(lambda x: torch.where(x > 0, x, 0.1 * x)),
    "stacked": _step(lambda x: torch.stack([x, -x], 2).flatten(1, 2)),
    "split": _step(lambda x: sum(x.split(1, 1))),
    "shuffle": _step(lambda x: F.channel_shuffle(x, x.shape[1])),
    "fixed grid": _step(
        lambda x: F.grid_sample(x, F.affine_grid(torch.eye(2, 3, dtype=x.dtype)[None].expand(len(x), 2, 3) * 0.9,
                                                  list(x.shape), align_corners=False), align_corners=False)
    ),
    "no grad": _step(lambda x: x + torch.ones_like(x)),
}  # fmt: skip
