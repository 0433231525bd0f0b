"""Maps that are multiplied by gates: squeeze and excite, selective kernels."""

from collections.abc import Callable
from typing import Any

import torch
from support.networks.zoo import Wired, network
from torch import Tensor, nn


def _gated(spelled: str, squash: Callable[[], nn.Module], exact: bool) -> None:
    @network(f"squeeze and excite, {spelled}, {squash.__name__}", (3, 10, 10), "stem", "body", "head",
             exact_gradient=exact, gated=True)  # fmt: skip
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Tensor:
            x = m.body(m.relu(m.stem(x)))
            gate = m.excite(m.small(m.squeeze(x.mean((2, 3), keepdim=True))))
            if spelled == "in place":
                return m.head(m.relu(m.gate(x, m.squash(gate))))
            return m.head(m.gate(m.relu(x), m.squash(gate)))

        squash_part = p.relu() if squash is nn.ReLU else squash()
        return Wired(
            wiring,
            stem=nn.Conv2d(3, 4, 3),
            relu=p.relu(),
            body=nn.Conv2d(4, 4, 3, padding=1),
            squeeze=nn.Conv2d(4, 3, 1),
            small=p.relu(),
            excite=nn.Conv2d(3, 4, 1),
            squash=squash_part,
            gate=p.gate(spelled),
            head=nn.Conv2d(4, 3, 3),
        )


_gated("times", nn.Sigmoid, exact=False)
_gated("gate first", nn.ReLU, exact=True)
_gated("expanded", nn.Sigmoid, exact=False)
_gated("in place", nn.ReLU, exact=True)


@network("squeeze and excite through linear layers", (3, 10, 10), "stem", "body", "head", gated=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.body(m.pool(m.relu(m.stem(x))))
        n, c, _, _ = x.shape
        gate = m.excite(m.relu(m.squeeze(m.average(x).view(n, c)))).view(n, c, 1, 1)
        return m.head(m.relu(m.gate(x, m.relu(gate))).flatten(1))

    return Wired(
        wiring,
        stem=nn.Conv2d(3, 4, 3),
        relu=p.relu(),
        pool=p.max_pool(2, 2),
        body=nn.Conv2d(4, 4, 3, padding=1),
        average=nn.AdaptiveAvgPool2d(1),
        squeeze=nn.Linear(4, 3),
        excite=nn.Linear(3, 4),
        gate=p.gate(),
        head=nn.Linear(64, 3),
    )


@network("stacked branches, a gate for each map of each", (3, 10, 10), "stem", "fine", "head",
         exact_gradient=False, gated=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.stem(x))
        branches = torch.stack([m.relu_fine(m.fine(x)), m.relu_coarse(m.coarse(x))], 1)
        shares = m.excite(m.small(m.squeeze(branches.sum(1).mean((2, 3), keepdim=True))))
        return m.head(m.gate(branches, shares.view(-1, 2, 4, 1, 1).softmax(1)).sum(1))

    return Wired(
        wiring,
        stem=nn.Conv2d(3, 4, 3),
        relu=p.relu(),
        fine=nn.Conv2d(4, 4, 3, padding=1),
        relu_fine=p.relu(),
        coarse=nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        relu_coarse=p.relu(),
        squeeze=nn.Conv2d(4, 3, 1),
        small=p.relu(),
        excite=nn.Conv2d(3, 8, 1),
        gate=p.gate(),
        head=nn.Conv2d(4, 3, 3),
    )
