"""How many classes a network tells apart, found out without running it on anything."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map_only

from deconvnet._stand_in import stand_in, unwrapped


def class_counts(model: nn.Module, example: Tensor) -> frozenset[int]:
    """How many classes each of a network's outputs has; empty where that cannot be found out."""
    try:
        outputs = on_meta(model, example)
    except Exception:  # a forward that needs values raises whatever it likes; attaching says what is wrong
        return frozenset()
    tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.ndim > 0]
    return frozenset(tensor.shape[1] if tensor.ndim > 1 else 1 for tensor in tensors)


def on_meta(model: nn.Module, example: Any) -> Any:
    """What a network returns for two images, as tensors that have shapes and no values.

    A copy that stands in for it goes once over tensors of that kind: no work, and no memory.

    Args:
        model: left as it is.
        example: one image, or whatever the model takes, with a row for each image.
    """
    copy = stand_in(unwrapped(model))
    weights = {name: tensor.to("meta") for name, tensor in [*copy.named_parameters(), *copy.named_buffers()]}
    given = tree_map_only(Tensor, lambda tensor: tensor.to("meta")[:1].expand(2, *tensor.shape[1:]), example)
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        return functional_call(copy, weights, (given,))
