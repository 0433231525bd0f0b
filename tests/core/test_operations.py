"""Every operation of the collection is met by its network, and undone as its row promises."""

from functools import cache

import pytest
import torch
from support.networks.operations import OPERATIONS, OperationNetwork

from deconvnet import DeconvNet, UnsupportedOperationError

EXACT = {"rtol": 0, "atol": 1e-10}

every_operation = pytest.mark.parametrize("network", OPERATIONS.values(), ids=OPERATIONS.keys())
COMPLEX = {"aten.fft_rfft2", "aten.fft_irfft2", "aten.view_as_real", "aten.view_as_complex"}
undone = pytest.mark.parametrize(
    "network",
    [
        pytest.param(
            network,
            id=name,
            marks=[pytest.mark.xfail(raises=RuntimeError, reason="adjoints of complex values are taken at real ones")]
            if name in COMPLEX
            else [],
        )
        for name, network in OPERATIONS.items()
    ],
)


@cache
def attached(operation: str) -> DeconvNet:
    """One captured network per operation, for all tests."""
    network = OPERATIONS[operation]
    return DeconvNet(network.make(), network.images(), rules="gradient", smooth="gradient")


@undone
def test_an_operation_is_met_and_undone(network: OperationNetwork):
    net, x = attached(network.operation), network.images()
    steps = net._captured.graph(x).steps
    assert network.operation in {step.operation for step in steps}
    leaf = x.clone().requires_grad_()
    scores = net.model(leaf)
    torch.testing.assert_close(net.scores(x), scores.detach(), **EXACT)
    (gradient,) = torch.autograd.grad(scores[:, 1].sum(), leaf)
    assert gradient.any()
    torch.testing.assert_close(net.explain(x, 1, start="one").full(), gradient, **EXACT)


@undone
def test_only_what_is_smooth_is_refused(network: OperationNetwork):
    net = attached(network.operation).with_rules("deconvnet", smooth="refuse")
    if network.smooth:
        with pytest.raises(UnsupportedOperationError, match="cannot project through"):
            net.explain(network.images(), 1)
    else:
        assert net.explain(network.images(), 1).full().any()


@every_operation
def test_a_network_is_linear_where_it_says_so(network: OperationNetwork):
    model = network.make()
    a, b = network.images(2).chunk(2)
    with torch.no_grad():
        bent = model(a + b) - model(a) - model(b) + model(torch.zeros_like(a))
    assert (bent.abs().max() < 1e-5) == network.linear
