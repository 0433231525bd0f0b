"""The Python of a step is what is left when the calls of PyTorch are made again alone."""

import pytest
import steps
import torch
from torch import nn

from deconvnet import DeconvNet
from deconvnet.core.down import carry_down
from deconvnet.engine import carry


def test_every_call_of_the_way_down_is_made_again(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    monkeypatch.setattr(steps, "TURNS", 2)
    x = torch.randn(1, 3, 9, 9)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.Flatten()
    )
    count, calls, down, alone = steps.shortest(DeconvNet(model.eval(), x), x)
    assert count == 6 and calls >= count and down > 0 and alone > 0
    assert carry.carry_down is carry_down
    scale = torch.ones(4)
    with steps.Calls() as written:
        scale.mul_(2.0)
    ((function, args, kwargs, was),) = written.calls
    function(was, *args[1:], **kwargs)
    assert was is not None and torch.equal(was, scale)
