"""Whether the steps of a capture compute what the model computes, image by image."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from deconvnet._errors import CaptureError
from deconvnet.capture import trace as tracing
from deconvnet.core.graph import Graph
from deconvnet.core.rules import RuleSet
from deconvnet.core.up import forward


def outputs_of_model(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What a model returns for images, by output name.

    Raises:
        CaptureError: it fails on them, or returns what it kept of being traced.
    """
    try:
        outputs = dict(tracing.named_outputs(model(x.clone())))
    except Exception as reason:
        raise CaptureError(
            f"the model can be traced, but fails on images of shape {tuple(x.shape)}: {type(reason).__name__}: {reason}"
        ) from reason
    if any(isinstance(output, FakeTensor) for output in outputs.values()):
        raise CaptureError(
            "the model keeps tensors outside its modules, and kept one of a trace: make what it keeps before it is "
            "attached, or hold it in a module."
        )
    return outputs


def outputs_of(graph: Graph, model: nn.Module, x: Tensor) -> Mapping[str, Tensor] | None:
    """What the steps give, by output name; None if they do not run on these images."""
    wanted = frozenset(value.name for value in graph.outputs.values())
    try:
        trace = forward(graph, model, x, wanted, RuleSet(), {}, as_in_model=True)
    except (RuntimeError, IndexError, ValueError):
        return None
    return {name: trace.values[value.name] for name, value in graph.outputs.items()}


def gives(graph: Graph, copy: nn.Module, x: Tensor, truth: Mapping[str, Tensor]) -> bool:
    """Whether the steps give this, with a stand-in's weights."""
    outputs = outputs_of(graph, copy, x)
    if outputs is None or truth.keys() != graph.outputs.keys():
        return False
    return all(close(outputs[name], truth[name]) for name in graph.outputs)


def unmoved_by_the_rest(graph: Graph, model: nn.Module, x: Tensor) -> bool:
    """Whether the first and the last image give the same when all the others are changed."""
    before, rest = outputs_of(graph, model, x), x.flip(0) + 1
    for image in (0, -1):
        changed = rest.clone()
        changed[image] = x[image]
        after = outputs_of(graph, model, changed)
        if before is None or after is None:
            return False
        for name in graph.outputs:
            given, now = before[name], after[name]
            if not given.ndim or len(given) != len(x) or not close(given[image], now[image]):
                return False
    return True


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two results agree up to the rounding of sums in another order."""
    if a.shape != b.shape:
        return False
    loose = 1e-2 if a.element_size() < 4 else 1e-4 if a.element_size() == 4 else 1e-9
    finite = b[torch.isfinite(b)]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(a, b, rtol=loose, atol=loose * scale, equal_nan=True)


def random_like(x: Tensor) -> Tensor:
    """Random numbers of the same shape, type and device, the same every time."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu")
    return noise.to(x.device, x.dtype)
