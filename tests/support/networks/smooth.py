"""Networks that are not made of rectifiers."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from support.networks.zoo import Wired, network
from torch import Tensor, nn


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
