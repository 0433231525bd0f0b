"""The larger of two maps, pixels kept in a range, and what a network detaches."""

from typing import Any

import torch
import torch.nn.functional as F
from support.networks.parts import DETACHED, LARGEST
from support.networks.zoo import Wired, network
from torch import Tensor, nn

_TWO = [spelling for spelling in LARGEST if spelling != "one by one"]


def _maxout(name: str, first: str, second: str) -> None:
    @network(name, (2, 12, 12), "first", "pool", "second", "head", repeats=name != "maxout as maximum, max")
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Tensor:
            x = m.first(x)
            x = m.pool(m.one(x[:, :3], x[:, 3:]))
            x = m.relu(m.second(x))
            x = m.two(x, m.beside(x))  # of two rectified maps both may be zero
            return m.head(x)

        return Wired(
            wiring,
            first=nn.Conv2d(2, 6, 3),
            one=p.largest(first),
            pool=p.max_pool(2, 2),
            second=nn.Conv2d(3, 4, 2),
            relu=p.relu(),
            beside=nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), p.relu()),
            two=p.largest(second),
            head=nn.Conv2d(4, 3, 2),
        )


for _i in range(0, len(_TWO), 2):
    _maxout(f"maxout as {', '.join(_TWO[_i : _i + 2])}", *_TWO[_i : _i + 2])


@network("the largest of three maps", (2, 10, 10), "first", "second", repeats=False)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        a, b, c = m.first(x).split(2, 1)
        x = torch.cat([m.three(a, b, c), m.stacked(a.flip(1), b, c)], 1)
        return m.second(m.pool(x))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 6, 3),
        three=p.largest("stack and amax"),
        stacked=p.largest("stack and max"),
        pool=p.max_pool(2, 3, 2),
        second=nn.Conv2d(4, 3, 2),
    )


@network("pixels kept in a range", (2, 10, 10), "first", "second", "third", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = (m.range(x) - 0.45) / 0.225
        x = m.positive(m.norm(x))
        return m.third(m.relu(m.second(m.relu(m.first(x)))))

    return Wired(
        wiring,
        range=p.limit(lambda x: x.clamp(0, 1)),
        norm=nn.BatchNorm2d(2),
        positive=p.limit(lambda x: F.hardtanh(x, -2.5, 2.5)),
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        second=nn.Conv2d(4, 4, 2),
        third=nn.Conv2d(4, 2, 2),
    )


@network("instance norm that keeps statistics", (2, 10, 10), "first", "norm", "plain", "second", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    norms = nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.InstanceNorm2d(4, track_running_stats=True)
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 1.5)
    nn.init.normal_(norms[0].weight)
    nn.init.normal_(norms[0].bias)
    return Wired(
        lambda m, x: m.second(m.plain(m.relu(m.norm(m.first(x))))),
        first=nn.Conv2d(2, 4, 3),
        norm=norms[0],
        relu=p.relu(),
        plain=norms[1],
        second=nn.Conv2d(4, 3, 3),
    )


def _detached(name: str, one: str, two: str) -> None:
    @network(name, (2, 10, 10), "first", "second", "head", repeats=name != "detached by detach, detach and clone")
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Tensor:
            x = m.first(x)
            x = m.pool(m.relu(x / 2 + m.one(x)))
            return m.head(m.second(x) + m.two(m.beside(x)))

        return Wired(
            wiring,
            first=nn.Conv2d(2, 4, 3),
            one=p.detach(one),
            relu=p.relu(),
            pool=p.max_pool(2, 2),
            second=nn.Conv2d(4, 4, 3, padding=1),
            beside=nn.Conv2d(4, 4, 1),
            two=p.detach(two),
            head=nn.Conv2d(4, 3, 2),
        )


_spelled = list(DETACHED)
for _i in range(0, len(_spelled), 2):
    _pair = (_spelled + _spelled)[_i : _i + 2]
    _detached(f"detached by {', '.join(_pair)}", *_pair)


@network("blended, sampled and differenced", (2, 12, 12), "first", "second", rectifiers_only=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.first(x))
        x = torch.lerp(x, m.beside(x), 0.3)
        x = torch.addcdiv(torch.addcmul(x, m.beside(x), m.scale, value=0.5), x, m.scale + 4)
        x = x.diff(dim=3)
        turn = F.affine_grid(m.turn[None].expand(len(x), -1, -1), [len(x), 4, 8, 8], align_corners=False)
        return m.second(F.grid_sample(x, turn, align_corners=False))

    model = Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        beside=nn.Conv2d(4, 4, 3, padding=1),
        second=nn.Conv2d(4, 3, 3),
    )
    model.register_buffer("scale", torch.rand(4, 1, 1))
    model.register_buffer("turn", torch.tensor([[0.8, -0.3, 0.1], [0.3, 0.8, 0.0]]))
    return model
