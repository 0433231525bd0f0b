"""Modules and tensors that are used more than once."""

from typing import Any

import torch.nn.functional as F
from support.networks.zoo import Wired, network
from torch import Tensor, nn


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
