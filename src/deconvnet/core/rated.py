"""Scores that are compared by a rating of their own, and carried down as they are: the operation `deconvnet::rated`.

A detector softens, multiplies and takes roots of its class scores before it compares answers of different positions.
Of these nothing can be carried down without derivatives, and nothing has to be: as with a final softmax, the way down
starts from the scores.
"""

from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("deconvnet::rated", mutates_args=())
def rated(scores: Tensor, rating: Tensor, by: str) -> Tensor:
    """The rating of each score; a signal on it, or a derivative, is one on the score.

    Args:
        scores: of any shape.
        rating: of the same shape.
        by: what makes ratings of scores, for people, such as "softmax"; several with commas between them.
    """
    return rating.clone()


@rated.register_fake
def _(scores: Tensor, rating: Tensor, by: str) -> Tensor:
    return torch.empty_like(rating)


def _backward(context: Any, signal: Tensor) -> tuple[Tensor, None, None]:
    return signal, None, None


rated.register_autograd(_backward)
