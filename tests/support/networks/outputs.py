"""Models that return more than a tensor of scores, or no scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from support.networks.zoo import Wired, network
from torch import Tensor, nn

from deconvnet.core.rated import rated


class Scores(NamedTuple):
    logits: Tensor
    features: Tensor


@dataclass
class ScoresClass:
    logits: Tensor
    features: Tensor


torch.export.register_dataclass(ScoresClass)


def _outputs(kind: str, wrap: Callable[[Tensor, Tensor], Any], output: Any) -> None:
    @network(f"output is a {kind}", (2, 9, 9), "first", "head", output=output, repeats=True)
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Any:
            features = m.pool(m.relu(m.first(x)))
            return wrap(m.head(features.flatten(1)), features)

        return Wired(
            wiring,
            first=nn.Conv2d(2, 3, 2),
            relu=p.relu(),
            pool=p.max_pool(2, 2),
            head=nn.Linear(48, 4),
        )


_outputs("dict", lambda logits, features: {"logits": logits, "features": features}, "logits")
_outputs("tuple", lambda logits, features: (features, logits), 1)
_outputs("named tuple", Scores, "logits")
_outputs("dataclass", ScoresClass, "logits")


def _ended(head: Callable[[], nn.Module], name: str) -> None:
    @network(f"{name} at the end", (2, 9, 9), "first", "scores", ends_in_head=True)
    def _(p: Any) -> nn.Module:
        return Wired(
            lambda m, x: m.head(m.scores(m.pool(m.relu(m.first(x))).flatten(1))),
            first=nn.Conv2d(2, 3, 2),
            relu=p.relu(),
            pool=p.max_pool(2, 3, 2),
            scores=nn.Linear(27, 4),
            head=p.head(head()),
        )


_ended(lambda: nn.Softmax(dim=1), "softmax")
_ended(lambda: nn.LogSoftmax(dim=1), "log-softmax")
_ended(nn.Sigmoid, "sigmoid")


@network("scores that are compared by something else", (2, 9, 9), "first", "scores", repeats=True)
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        scores = m.scores(m.pool(m.relu(m.first(x))).flatten(1))
        return rated(scores, scores.softmax(1).log1p(), "softmax")

    return Wired(
        wiring,
        first=nn.Conv2d(2, 3, 2),
        relu=p.relu(),
        pool=p.max_pool(2, 3, 2),
        scores=nn.Linear(27, 4),
    )
