"""Products with weights that no module holds, and weights that are computed from others."""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from support.networks.zoo import Wired, network
from torch import Tensor, nn
from torch.nn.utils import parametrizations


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
