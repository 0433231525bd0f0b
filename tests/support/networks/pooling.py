"""Max-pools of every geometry and kind, and average pools."""

from typing import Any

import torch
import torch.nn.functional as F
from support.networks.zoo import Wired, network
from torch import Tensor, nn


def _pooled(name: str, one: dict[str, Any], two: dict[str, Any], axes: int = 2, length: int = 19) -> None:
    shape = (2, *(length + a for a in range(axes)))
    named = [pool for pool, options in (("one", one), ("two", two)) if options.get("spelled") != "functional"]

    @network(f"max-pools: {name}", shape, "first", *named, "second", "third")
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Tensor:
            x = m.one(m.relu(m.first(x)))
            return m.third(m.two(m.relu(m.second(x))))

        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
        return Wired(
            wiring,
            first=conv(2, 3, 2),
            relu=p.relu(),
            one=p.max_pool(axes, **one),
            second=conv(3, 3, 2),
            two=p.max_pool(axes, **two),
            third=conv(3, 3, 2),
        )


_pooled(
    "kernel above stride with ceil, kernel below stride",
    {"kernel": 3, "stride": 2, "ceil_mode": True},
    {"kernel": 2, "stride": 3},
)
_pooled(
    "padded and dilated, odd and even kernels",
    {"kernel": 2, "stride": 1, "padding": 1, "dilation": 3},
    {"kernel": 3, "stride": 2, "padding": 1, "dilation": 2},
)
_pooled(
    "uneven kernel with ceil and pad, last window dropped by the ceil rule",
    {"kernel": (2, 4), "stride": (1, 2), "padding": (1, 2), "ceil_mode": True},
    {"kernel": 2, "stride": 3, "ceil_mode": True, "padding": 1},
)
_pooled(
    "stride one, functional",
    {"kernel": 3, "stride": 1, "padding": 1},
    {"kernel": 3, "stride": 2, "spelled": "functional"},
    length=9,
)
_pooled(
    "with indices returned, one axis, functional",
    {"kernel": 3, "stride": 2, "padding": 1, "spelled": "indices"},
    {"kernel": 3, "stride": 2, "ceil_mode": True, "spelled": "functional"},
    axes=1,
)
_pooled(
    "three axes",
    {"kernel": (2, 3, 2), "stride": (1, 2, 2), "ceil_mode": True},
    {"kernel": 2, "stride": 1, "padding": 1},
    axes=3,
    length=7,
)


@network("adaptive max-pools, even and uneven", (2, 14, 16), "first", "even", "uneven", "second")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.second(m.even(m.relu(m.first(x))))
        return m.head(m.uneven(m.relu(x)).flatten(1))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        even=p.adaptive_max_pool(2, (6, 7)),
        second=nn.Conv2d(4, 4, 2),
        uneven=p.adaptive_max_pool(2, (2, 4), spelled="indices"),
        head=nn.Linear(32, 3),
    )


@network("adaptive max-pool along one axis", (2, 17), "first", "pool", "second")
def _(p: Any) -> nn.Module:
    return Wired(
        lambda m, x: m.second(m.pool(m.relu(m.first(x)))),
        first=nn.Conv1d(2, 4, 3),
        relu=p.relu(),
        pool=p.adaptive_max_pool(1, 4),
        second=nn.Conv1d(4, 3, 2),
    )


@network("global max by amax", (2, 9, 9), "first", "second", "head")
def _(p: Any) -> nn.Module:
    return Wired(
        lambda m, x: m.head(m.top(m.second(m.relu(m.first(x))))),
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu(),
        second=nn.Conv2d(4, 5, 2),
        top=p.global_max(2),
        head=nn.Linear(5, 3),
    )


@network("average pools of every kind", (2, 17, 14), "first", "one", "two", "three", "second",
         rectifiers_only=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.two(m.relu(m.second(m.one(m.relu(m.first(x))))))
        x = m.three(x)
        return F.avg_pool2d(m.third(x), 2, stride=1)

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 2),
        relu=p.relu(),
        one=nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        second=nn.Conv2d(4, 4, 2),
        two=nn.AvgPool2d((2, 3), 1, divisor_override=4),
        three=nn.AvgPool2d(2, 2, padding=1, ceil_mode=True),
        third=nn.Conv2d(4, 3, 2),
    )


@network("adaptive averages, mean and sum", (2, 13, 12), "first", "even", "uneven", "second", "head",
         rectifiers_only=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.even(m.relu(m.first(x)))
        x = m.uneven(m.relu(m.second(x)))
        x = torch.cat([x.mean((2, 3)), x.sum(-1).mean(-1), x.mean(3, keepdim=True).flatten(1)], 1)
        return m.head(m.relu(x))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, (2, 3)),
        relu=p.relu(),
        even=nn.AdaptiveAvgPool2d((6, 5)),
        second=nn.Conv2d(4, 3, 1),
        uneven=nn.AdaptiveAvgPool2d((4, 3)),
        head=nn.Linear(18, 3),
    )
