"""What a network detaches: the identity on the way down, and nothing under the rule set `gradient`, which says so."""

from typing import Any

import pytest
import torch
from support.captured import images, wired
from support.networks.parts import DETACHED
from torch import Tensor

from deconvnet import DeconvNet, RuleSet


def net_with(cut: Any, **options: Any) -> DeconvNet:
    torch.manual_seed(0)
    head = torch.nn.Conv2d(4, 2, 3)
    return DeconvNet(wired(lambda m, x: m.head(cut(m.conv(x))), head=head), images(), **options)


@pytest.mark.parametrize("cut", DETACHED.values(), ids=DETACHED.keys())
def test_a_detached_value_is_told_where_it_stops_the_signal_and_nowhere_else(cut: Any):
    x, net = images(), net_with(cut)
    for rules in ("deconvnet", "guided", RuleSet(forward_mask=True, backward_rectify=False)):
        result = net.with_rules(rules).project(x, "head", channel=0)
        assert result.full().any() and not any("detach" in note for note in result.notes)
    stopped = net.with_rules("gradient").project(x, "head", channel=0)
    assert not stopped.full().any()
    assert any("detaches values, such as by detach() or no_grad" in note for note in stopped.notes)


@torch.no_grad()
def everything(m: Any, x: Tensor) -> Tensor:
    return m.head(torch.relu(m.conv(x)))


def test_a_forward_that_is_all_under_no_grad_is_differentiated_as_if_it_were_not():
    torch.manual_seed(0)
    head = torch.nn.Conv2d(4, 2, 3)
    plain = wired(everything.__wrapped__, head=head)
    model, x = wired(everything, head=head, conv=plain.conv), images()
    ours, theirs = (DeconvNet(m, x, rules="gradient").project(x, "head", channel=0).full() for m in (model, plain))
    assert theirs.any() and torch.equal(ours, theirs)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("cut", DETACHED.values(), ids=DETACHED.keys())
def test_attaching_leaves_the_recording_of_derivatives_as_it_was(cut: Any):
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            net_with(cut)
            assert torch.is_grad_enabled() == enabled

    def fails(x: Tensor) -> Tensor:
        with torch.no_grad():
            raise RuntimeError(f"no way on, after {cut(x).shape}")

    with pytest.raises(Exception, match="no way on"):
        net_with(fails)
    assert torch.is_grad_enabled()


def test_what_is_changed_in_place_after_it_was_detached_is_detached():
    def cut(x: Tensor) -> Tensor:
        with torch.no_grad():
            y = 2 * x
        y.mul_(3)
        return x + y

    x = images()
    leaf = x.clone().requires_grad_()
    net = net_with(cut, rules="gradient")
    (truth,) = torch.autograd.grad(net.model(leaf)[:, 1].sum(), leaf)
    signal = torch.zeros(2, 2, 6, 6, dtype=torch.float64)
    signal[:, 1] = 1
    torch.testing.assert_close(net.project(x, "head", start=signal).full(), truth)
