"""Values that change their place: shuffles, views, permutes, splits and selections."""

from typing import Any

import torch
import torch.nn.functional as F
from support.networks.zoo import Wired, network
from torch import Tensor, nn


@network(
    "pixel shuffle, unshuffle and channel shuffle",
    (2, 12, 12),
    "first",
    "up",
    "down",
    "mix",
    "last",
)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.down(m.up(m.relu(m.first(x))))
        x = m.pool(m.relu(m.mix(x)))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return m.last(F.channel_shuffle(x, 4))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 8, 3, padding=1),
        relu=p.relu(),
        up=nn.PixelShuffle(2),
        down=nn.PixelUnshuffle(3),
        mix=nn.Conv2d(18, 8, 1),
        pool=p.max_pool(2, 2),
        last=nn.Conv2d(8, 3, 2, groups=1),
    )


@network("tokens before images", (2, 8, 8), "first", "relu", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.first(x)).flatten(2).permute(2, 0, 1)
        return m.head(m.again(m.mix(x)).permute(1, 2, 0).mean(2))

    return Wired(
        wiring, first=nn.Conv2d(2, 4, 3), relu=p.relu(), mix=nn.Linear(4, 6), again=p.relu(), head=nn.Linear(6, 5)
    )


@network("maps folded into the batch", (2, 8, 8), "first", "relu", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.first(x))
        n, c, h, w = x.shape
        x = m.pool(m.again(m.alone(x.reshape(n * c, 1, h, w))))
        return m.head(x.reshape(n, c, h // 2, w // 2).flatten(1))

    return Wired(
        wiring, first=nn.Conv2d(2, 4, 3), relu=p.relu(), alone=nn.Conv2d(1, 1, 3, padding=1), again=p.relu(),
        pool=p.max_pool(2, 2), head=nn.Linear(36, 5),
    )  # fmt: skip


@network("views, permutes, splits and cats", (4, 8, 8), "first", "second", "third", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        a, b = m.first(x).chunk(2, dim=1)
        c, d = torch.split(m.second(torch.cat([m.relu(a), b], 1)), [1, 3], dim=1)
        x = torch.cat([m.pool(m.relu(d)), c[:, :, 1::2, ::2], m.pool(d[:, 1:2])], dim=1)
        x = torch.stack([x, x.flip(-1)], dim=1)
        one, two = x.unbind(1)
        x = one.transpose(2, 3) - two.permute(0, 1, 3, 2).roll(1, dims=-1)
        x = m.relu(m.third(x)).unsqueeze(1).squeeze(1)
        x = x.view(x.shape[0], -1)
        return m.head(torch.cat([x, x[:, :1].expand(-1, 3), x[:, 2:5].narrow(1, 1, 2)], -1))

    return Wired(
        wiring,
        first=nn.Conv2d(4, 6, 3, padding=1),
        relu=p.relu(),
        second=nn.Conv2d(6, 4, 1),
        pool=p.max_pool(2, 2),
        third=nn.Conv2d(5, 3, 2),
        head=nn.Linear(32, 3),
    )


@network("selects, indices, repeats and swaps", (4, 8, 8), "first", "second", "head")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.relu(m.first(x))
        x = x[:, [2, 0, 3, 1, 1]]
        x = torch.index_select(x, 2, torch.tensor([0, 2, 3, 5]))
        x = m.pool(x).movedim(1, 2).swapaxes(1, 2).contiguous()
        x = m.second(x.repeat(1, 2, 1, 1).tile(1, 1, 1, 2))
        left, right = x[..., 0], x.select(-1, 1)
        x = torch.cat([left.flatten(1), right.unflatten(1, (3, 1)).flatten(1)], 1)
        return m.head(m.relu(x.repeat_interleave(2, 1)))

    return Wired(
        wiring,
        first=nn.Conv2d(4, 4, 3),
        relu=p.relu(),
        pool=p.max_pool(2, 2, 1),
        second=nn.Conv2d(10, 3, 2),
        head=nn.Linear(24, 3),
    )
