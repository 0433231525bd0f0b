"""Sums and products with scalars and with constants."""

from typing import Any

import torch
from support.networks.zoo import Wired, network
from torch import Tensor, nn


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
