"""Signals carried down by derivatives."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deconvnet.core import adjoint

FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "one": lambda a, b: a.flatten(1),
    "both": lambda a, b: torch.cat([a * b, a + b], 1),
    "twice, by ways of different length": lambda a, b: a + (a * 2).exp() + torch.stack([b, a]).softmax(0)[1],
    "parts of several results": lambda a, b: torch.split(a, 2, 1)[1] * a.unbind(1)[0][:, None] + b[:, :2],
    "a maximum": lambda a, b: a.max(1).values[:, None] * b,
    "pooled and normalised": lambda a, b: F.local_response_norm(F.avg_pool2d(a, 2), 3) * F.adaptive_avg_pool2d(b, 1),
    "filtered": lambda a, b: F.conv2d(a, b[:, :, :3, :3]),
    "written in place": lambda a, b: a.clone().mul_(b).index_add_(0, torch.tensor([1]), b[:1]),
}  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_node_by_node_gives_what_autograd_gives(function: Callable[[Tensor, Tensor], Tensor]):
    torch.manual_seed(0)
    leaves = [torch.randn(2, 4, 6, 6, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    output = function(*leaves)
    signal = torch.randn_like(output)
    truth = torch.autograd.grad(output, leaves, signal, allow_unused=True, retain_graph=True)
    for part, true in zip(adjoint._node_by_node(output, leaves, signal), truth, strict=True):
        assert (part is None) == (true is None)
        if part is not None:
            torch.testing.assert_close(part, true, rtol=1e-12, atol=1e-12)
