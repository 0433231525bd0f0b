"""Outputs of other axes than the images have, as of detectors of the YOLO kind: (n, anchors, h, w, numbers)."""

from functools import partial
from typing import Any

import pytest
import torch
from support.heads import Levels
from torch import nn

from deconvnet import ArgumentError, DeconvNet, TargetError
from deconvnet.probes import occlude

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


LEAKY = partial(nn.LeakyReLU, 0.1)


def attach(output: Any, activation: Any = LEAKY, **options: Any) -> DeconvNet:
    return DeconvNet(Levels(activation), X, output=output, **{"smooth": "rectify", **options})


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return attach(1)


@pytest.mark.parametrize(("output", "activation"), [(0, nn.SiLU), (1, LEAKY)])
def test_a_number_goes_down_as_its_derivative_under_the_rules_of_one(output: int, activation: Any):
    net, pixels = attach(output, activation, rules="gradient", smooth="gradient"), X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net.model(pixels)[output][:, 1, 2, 3, 6].sum(), pixels)
    assert torch.allclose(net.explain(X, (1, 2, 3, 6)).full(), expected, rtol=1e-9, atol=1e-12)


def test_one_of_several_outputs_has_to_be_named_and_the_message_says_how():
    with pytest.raises(ArgumentError, match=r"returns 2 tensors \(0, 1\): .*output='0'\), --class-output 0"):
        attach(None).explain(X, (1, 2, 3, 6))


def test_none_in_a_tuple_stands_for_any_and_the_strongest_is_taken(net: DeconvNet):
    scores = net.scores(X)
    for target in ((None, None, None, 6), (1, None, 3, None), (None, 0, 0, 7)):
        at = tuple(slice(None) if index is None else index for index in target)
        for unit in net.explain(X, target).units:
            values = scores[unit.image]
            assert values[(unit.channel, *unit.position)] == values[at].max()
            assert all(i in (None, k) for i, k in zip(target, (unit.channel, *unit.position), strict=True))


def test_the_rest_works_on_one_number(net: DeconvNet):
    target = (1, 2, 3, 6)
    assert net.responsible(X, target, k=2).layer == "deep.1"
    steps = net.steps(X[:1], target=target)
    assert steps.figure().image().width > 100
    assert (steps.unit.channel, steps.unit.position) == (1, (2, 3, 6))
    assert torch.equal(net.probabilities(X), net.scores(X).sigmoid())
    mask = torch.zeros(2, 4, 4, 8, dtype=torch.bool)
    mask[:, 2, 3, 6] = True
    together = net.explain(X, mask).full()
    alone = [net.explain(X, (anchor, 2, 3, 6)).full() for anchor in (0, 1)]
    assert together.shape == alone[0].shape and not torch.equal(together, alone[0])


@pytest.mark.parametrize("target", [None, 1, [1, 0], "cat", (1, 2, 3), (2, 0, 0, 0), (0, 4, 0, 0), (0, 0, 0, 8)])
def test_what_does_not_name_a_number_is_refused_with_the_shape(net: DeconvNet, target: Any):
    shape = r"has shape \(2, 4, 4, 8\) for each image: a t.* an index on each of these axes, None for any"
    with pytest.raises(ArgumentError, match=rf"{shape}|indices on axis [013] of \(2, 4, 4, 8\)"):
        net.explain(X, target)


def test_what_needs_classes_says_so(net: DeconvNet):
    with pytest.raises(TargetError, match="give a tuple for each"):
        net.explain(X, targets="all")
    with pytest.raises(TargetError, match="occlusion needs a classifier"):
        occlude(net, X[:1], targets=[(1, 2, 3, 6)])


class Rows(nn.Module):
    """The numbers of all anchors of all levels below each other, as such detectors are exported: (n, anchors, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = Levels(nn.ReLU)

    def forward(self, x):
        return torch.cat([numbers.flatten(1, 3) for numbers in self.levels(x)], 1)


def test_rows_of_anchors_are_no_classes_either():
    net = DeconvNet(Rows().double(), X, rules="gradient")
    rows, numbers = net.scores(X).shape[1:]
    with pytest.raises(TargetError, match="a target is a tuple"):
        net.explain(X, 6)
    with pytest.raises(TargetError, match="a target is a tuple"):
        net.explain(X)
    pixels = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net.model(pixels)[:, rows - 2, numbers - 1].sum(), pixels)
    assert torch.allclose(net.explain(X, (rows - 2, numbers - 1)).full(), expected, rtol=1e-9, atol=1e-12)
    assert net.explain(X, (None, 6)).units[0].position == (6,)
