"""Every operation of the collection is met by its network, and undone as its row promises."""

from functools import cache

import pytest
import torch
from support.networks import BY_NAME
from support.networks.operations import OPERATIONS, OperationNetwork

from deconvnet import DeconvNet, UnsupportedOperationError, operations
from deconvnet.capture.trace import capture
from deconvnet.network import attached as attached_to

EXACT = {"rtol": 0, "atol": 1e-10}

every_operation = pytest.mark.parametrize("network", OPERATIONS.values(), ids=OPERATIONS.keys())


@cache
def attached(operation: str) -> DeconvNet:
    """One captured network per operation, for all tests."""
    network = OPERATIONS[operation]
    return DeconvNet(network.make(), network.images(), rules="gradient", smooth="gradient")


@pytest.mark.sampled(every=2)
@every_operation
def test_an_operation_is_met_and_undone(network: OperationNetwork):
    net, x = attached(network.operation), network.images()
    steps = attached_to(net).captures.graph(x).steps
    assert network.operation in {step.operation for step in steps}
    leaf = x.clone().requires_grad_()
    scores = net.model(leaf)
    torch.testing.assert_close(net.scores(x), scores.detach(), **EXACT)
    (gradient,) = torch.autograd.grad(scores[:, 1].sum(), leaf)
    assert gradient.any()
    torch.testing.assert_close(net.explain(x, 1, start="one").full(), gradient, **EXACT)


@every_operation
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


IN_ZOO = [
    "views, permutes, splits and cats",
    "selects, indices, repeats and swaps",
    "one axis",
    "matmul, einsum and addmm with weights",
    "interpolations along one and three axes",
    "arithmetic with scalars",
    "adaptive averages, mean and sum",
    "interpolations",
    "pixel shuffle, unshuffle and channel shuffle",
    "three axes",
    "divided by a norm of itself",
    "zfnet in small",
    "convolutions and rectifiers only",
    "padding modes",
    "transposed convolutions",
    "adaptive max-pools, even and uneven",
    "adaptive max-pool along one axis",
    "global max by amax",
    "pixels kept in a range",
    "squeeze and excite, times, Sigmoid",
    "softmax at the end",
    "log-softmax at the end",
    "LeakyReLU",
    "PReLU",
    "ELU",
    "SiLU",
    "GELU",
    "Hardswish",
    "Hardsigmoid",
    "Tanh",
    "layer norm",
    "group norm",
    "attention",
]  # networks that between them meet every operation that has none of its own


@pytest.mark.slow
def test_every_row_is_met_by_a_network():
    unmet = {name for name, row in operations.rows.items() if row.rule is not None} - OPERATIONS.keys()
    for network in map(BY_NAME.__getitem__, IN_ZOO):
        steps = {step.operation for step in capture(network.model(), network.images(2)).steps}
        assert steps & unmet, f"{network.name} is not needed here"
        unmet -= steps
    assert unmet == set()
