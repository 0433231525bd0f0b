"""How many classes a network tells apart, found out without running it on anything."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves


def class_counts(model: nn.Module, example: Tensor) -> frozenset[int]:
    """How many classes each of a network's outputs has; empty where that cannot be found out.

    Its forward goes once over tensors that have shapes and no values: that takes no work and no memory, and what the
    modules hold stays as it is. A network with hooks is left alone, since they would see these tensors.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps would be compiled
    modules = list(model.modules())
    if any(module._forward_hooks or module._forward_pre_hooks for module in modules):
        return frozenset()
    held = [(module, dict(vars(module))) for module in modules]
    weights = {name: tensor.to("meta") for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
            outputs: Any = functional_call(model, weights, (example.to("meta").expand(2, *example.shape[1:]),))
    except Exception:  # a forward that needs values raises whatever it likes; attaching says what is wrong
        return frozenset()
    finally:
        for module, attributes in held:
            vars(module).clear()
            vars(module).update(attributes)
    tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.ndim > 0]
    return frozenset(tensor.shape[1] if tensor.ndim > 1 else 1 for tensor in tensors)
