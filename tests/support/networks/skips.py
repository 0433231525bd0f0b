"""Blocks that people use: signals that branch and are added or set side by side again."""

from typing import Any

import torch
import torch.nn.functional as F
from support.networks.zoo import Wired, network
from torch import Tensor, nn


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


@network("unet of three axes", (1, 8, 8, 12), "down", "deep", "enlarge", "joined", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        fine = m.relu(m.norm(m.down(x)))
        deep = m.relu(m.deep(m.pool(fine)))
        return m.head(m.relu(m.joined(torch.cat([fine, m.enlarge(deep)], 1))))

    return Wired(
        wiring,
        down=nn.Conv3d(1, 3, 3, padding=1),
        norm=nn.BatchNorm3d(3),
        relu=p.relu(),
        pool=p.max_pool(3, 2),
        deep=nn.Conv3d(3, 4, 3, padding=1),
        enlarge=nn.ConvTranspose3d(4, 3, 2, stride=2),
        joined=nn.Conv3d(6, 3, 3, padding=1),
        head=nn.Conv3d(3, 2, 1),
    )
