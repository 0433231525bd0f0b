"""Networks that many commands of a test process are about, captured once."""

import torch
from torch import nn

from deconvnet.capture import trace
from deconvnet.core.graph import Graph

_in_earnest = trace.capture
_captures: dict[object, Graph] = {}


def captured_once(model: nn.Module, x: torch.Tensor, **options: object) -> Graph:
    """What `trace.capture` gives, which is slow and tested elsewhere; weights are read from the model anyway."""
    key = (str(model), tuple(model.state_dict()), x.shape, *options.items())
    if key not in _captures:
        _captures[key] = _in_earnest(model, x, **options)
    return _captures[key]
