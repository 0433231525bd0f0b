"""Stacks of layers that the paper's own reference can walk through."""

from typing import Any

from support.networks.zoo import network
from torch import nn


@network("zfnet in small", (3, 22, 22), "0", "1", "2", "3", "4", "5", "6", "7", "8", "12",
         sequential=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 5, 5, stride=2, padding=1), p.relu(), p.max_pool(2, 3, 2, ceil_mode=True),
        p.lrn(3, 0.5, 0.75, 2.0),
        nn.Conv2d(5, 6, 3, padding=1), p.relu(), p.max_pool(2, 2, 2),
        nn.Conv2d(6, 6, 3, padding=1), p.relu(), p.max_pool(2, 2, 1), nn.Flatten(),
        nn.Linear(6, 7), p.relu(), nn.Linear(7, 4),
    )  # fmt: skip


@network("alexnet order: norm before an overlapping pool", (2, 15, 15), "0", "2", "3", "4", "6",
         sequential=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), p.relu(), p.lrn(4, 1.0, 0.6, 1.0), p.max_pool(2, 3, 2),
        nn.Conv2d(6, 4, 3), p.relu(), p.max_pool(2, 2, 1), nn.Flatten(), nn.Linear(36, 3),
    )  # fmt: skip


@network("lrn after a ceil pool", (2, 14, 14), "0", "3", "4", sequential=True)
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), p.relu(), p.max_pool(2, 3, 2, ceil_mode=True), p.lrn(5, 1.0, 0.75, 1.0),
        nn.Conv2d(5, 4, 3), p.relu(), p.lrn(2, 2.0, 0.5, 1.5), nn.Conv2d(4, 3, 2),
    )  # fmt: skip


@network("relu after the pool", (2, 13, 13), "0", "1", "2", "5", sequential=True)
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), p.max_pool(2, 3, 2, padding=1), p.relu(),
        nn.Conv2d(5, 4, 3), p.max_pool(2, 2), p.relu(),
    )  # fmt: skip


@network("convolutions and rectifiers only", (3, 12, 12), "0", "2", "3", "6",
         rectifiers_only=True, sequential=True)  # fmt: skip
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), p.relu(), nn.Conv2d(5, 6, 3, stride=2), p.relu(),
        nn.AvgPool2d(2, 2, ceil_mode=True), nn.Conv2d(6, 4, 2), p.relu(),
    )  # fmt: skip


@network("average pools", (2, 15, 13), "0", "2", "5", "6", rectifiers_only=True, sequential=True)
def _(p: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), p.relu(), nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
        nn.Conv2d(4, 4, 2), p.relu(), nn.AvgPool2d((3, 2), (2, 1), padding=(1, 0),
                                                   count_include_pad=False),
        nn.Conv2d(4, 3, 2),
    )  # fmt: skip
