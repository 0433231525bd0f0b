"""Interpolations and pads."""

from typing import Any

import torch.nn.functional as F
from support.networks.zoo import Wired, network
from torch import Tensor, nn


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
