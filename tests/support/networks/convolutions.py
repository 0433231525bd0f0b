"""Convolutions and other products with weights, along one, two and three axes."""

import warnings
from typing import Any

from support.networks.zoo import Wired, network
from torch import Tensor, nn


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
