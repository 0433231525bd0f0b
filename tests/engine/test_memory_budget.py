"""Any number of units under any budget that holds one gives the same result."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.comparing import assert_equal
from support.networks import BY_NAME
from support.windowed import some_units
from torch import nn

from deconvnet import DeconvNet, MemoryBudgetError, costs
from deconvnet.engine.project import project_units
from deconvnet.network import attached

torch.manual_seed(0)
MODEL = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
    nn.MaxPool2d(3, 2, 1), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
    nn.Linear(48, 6),
).double().eval()  # fmt: skip
X = torch.randn(3, 3, 32, 36, dtype=torch.float64)
NET = DeconvNet(MODEL, X)


def least(layer: str) -> int:
    """Bytes that one image and one of its units need."""
    of = costs(NET, layer)
    return of.bytes_up(8) + of.bytes_down(8)


@pytest.mark.filterwarnings("ignore:.* activation 0")
@settings(deadline=None, max_examples=25)
@given(
    layer=st.sampled_from(["4", "7"]),
    times=st.floats(1, 40),
    route=st.sampled_from(["auto", "windowed", "dense"]),
    listed=st.booleans(),
)
def test_the_result_is_the_same_under_any_budget_that_holds_one_unit(layer, times, route, listed):
    options = {"units": some_units(NET, layer, len(X), 20)} if listed else {"channel": "all"}
    truth = NET.project(X, layer, memory="1GB", **options)
    budget = int(times * least(layer)) + 1
    result = NET.project(X, layer, memory=budget, route=route, **options)
    assert result.units == truth.units
    assert_equal(result.activations, truth.activations)
    assert_equal(result.windows, truth.windows)


@pytest.mark.parametrize("call", ["explain", "responsible", "project all", "whole maps"])
def test_what_comes_of_many_units_may_be_larger_than_the_budget(call):
    calls = {
        "explain": lambda memory: NET.explain(X, targets="all", memory=memory),
        "responsible": lambda memory: NET.responsible(X, layer="7", k=30, per_map=None, memory=memory).units,
        "project all": lambda memory: NET.project(X, "10", channel="all", memory=memory),
        "whole maps": lambda memory: NET.project(X, "4", channel="all", position="all", memory=memory),
    }
    truth, budget = calls[call]("1GB"), least("10") + 1
    result = calls[call](budget)
    assert result.windows.nbytes * 2 > budget
    assert result.units == truth.units
    assert_equal(result.windows, truth.windows)


def test_a_budget_that_does_not_hold_one_image_is_refused():
    with pytest.raises(MemoryBudgetError, match="one image of 32x36 needs about"):
        NET.project(X, "7", channel=0, memory=least("7") // 2)


class EachAlone(nn.Module):
    """A loop over the images, whose number is then part of the steps."""

    def forward(self, x):
        return torch.stack([image * 2 for image in x])


def test_a_budget_that_holds_one_image_but_not_all_that_are_taken_at_once_is_refused_in_these_words():
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 8, 3), EachAlone()).double(), X[:2])
    assert attached(net).graph(X[:2]).images == 2
    words = r"2 images of 32x36, which the network takes at once, need about .* fewer at a time, or images of about"
    with pytest.raises(MemoryBudgetError, match=words):
        net.project(X[:2], "0", channel=0, memory=100_000)


def test_a_result_larger_than_the_free_memory_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr("deconvnet.engine.project.free_bytes", lambda device: 1000)
    with pytest.raises(MemoryBudgetError, match=r"reconstructions are .* are free: project\s+fewer units"):
        NET.project(X, "7", channel="all")


@pytest.mark.filterwarnings("ignore:.* activation 0")
@pytest.mark.parametrize("most", [1, 10**5, 10**9])
def test_units_of_several_layers_come_in_groups_that_are_no_larger_than_asked_for(most):
    units = [unit for layer in ("7", "4", "10") for unit in some_units(NET, layer, len(X), 15)]
    groups = list(project_units(attached(NET), X, units, most=most))
    assert sorted(i for indices, _ in groups for i in indices) == list(range(len(units)))
    for indices, result in groups:
        assert len(indices) == 1 or result.windows.nbytes <= most
        assert result.units == tuple(units[i] for i in indices)
        truth = NET.project(X, units[indices[0]].layer, units=list(result.units), route="dense")
        assert_equal(result.windows, truth.windows)


@pytest.mark.filterwarnings("ignore:.* activation 0")
def test_units_whose_maps_are_folded_into_the_batch_are_split_as_well():
    network = BY_NAME["maps folded into the batch"]
    model, x = network.model(), network.images(2)
    net = DeconvNet(model, x)
    truth = net.project(x, "head", channel="all")
    result = net.project(x, "head", channel="all", memory="60KB")
    assert_equal(result.windows, truth.windows)
