"""Directions in the feature maps of a layer, beside the same layer written into the model."""

import pickle
from typing import Any

import pytest
import torch
from support.untouched import unchanged
from torch import Tensor, nn

from deconvnet import ArgumentError, DeconvNet, LayerNotFoundError, Unit, costs, probes


class Written(nn.Module):
    """A network with directions as a branch of its own, returned beside the classes."""

    def __init__(self, network: nn.Sequential, at: int, directions: nn.Module) -> None:
        super().__init__()
        self.below, self.above, self.directions = network[: at + 1], network[at + 1 :], directions

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        below = self.below(x)
        return self.above(below), self.directions(below)


def network(axes: int = 2) -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(0)
    conv, pool = (getattr(nn, f"{kind}{axes}d") for kind in ("Conv", "MaxPool"))
    layers = [conv(3, 6, 3), nn.ReLU(), pool(2), conv(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4**axes, 4)]
    return nn.Sequential(*layers).double().eval(), torch.randn(2, 3, *[14] * axes).double()


def written(model: nn.Sequential, at: int, weight: Tensor, bias: Tensor | None, *, rectify: bool, axes: int) -> Written:
    conv = getattr(nn, f"Conv{axes}d")(weight.shape[1], len(weight), 1, bias=bias is not None).double()
    conv.weight.data = weight.reshape(conv.weight.shape)
    if bias is not None:
        conv.bias.data = bias
    return Written(model, at, nn.Sequential(conv, nn.ReLU()) if rectify else conv).eval()


def assert_same(a: Any, b: Any) -> None:
    assert torch.equal(a.boxes, b.boxes)
    assert [(u.channel, u.position, u.image) for u in a.units] == [(u.channel, u.position, u.image) for u in b.units]
    for ours, theirs in ((a.activations, b.activations), (a.windows, b.windows)):
        assert (ours - theirs).abs().max() <= 1e-10 * theirs.abs().max()


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("rectify", [False, True], ids=["linear", "rectified"])
@pytest.mark.sampled(every=2)
def test_directions_are_the_same_layer_written_into_the_model(axes, bias, rectify):
    model, x = network(axes)
    weight, added = torch.randn(5, 8).double() + 0.5, torch.rand(5).double() if bias else None
    net = DeconvNet(model, x).with_directions("4", weight, added, rectify=rectify, name="sae")
    other = DeconvNet(written(model, 4, weight, added, rectify=rectify, axes=axes), x, output=0)
    assert net.layers["sae"].size == (4,) * axes
    assert net.layers["sae"].receptive_field == net.layers["4"].receptive_field
    assert torch.allclose(net.activations(x, "sae")["sae"], other.activations(x, "directions")["directions"])
    for options in ({"channel": "all"}, {"channel": 2, "position": "all"}, {"channel": [0, 4], "start": "one"}):
        assert_same(net.project(x, "sae", **options), other.project(x, "directions", **options))
    ours, theirs = net.steps(x[:1], "sae", channel=1), other.steps(x[:1], "directions", channel=1)
    assert torch.allclose(ours[-1].signal, theirs[-1].signal)


def test_directions_of_a_row_of_numbers_are_linear():
    model, x = network()
    weight = torch.randn(3, 4).double()
    net = DeconvNet(model, x).with_directions("6", weight, rectify=False)
    scores = net.scores(x)
    assert torch.allclose(net.activations(x, "directions")["directions"], scores @ weight.T)
    units = [Unit("directions", 1, (), 0)]
    assert net.project(x, "directions", units=units, start="one").full().abs().max() > 0


def test_directions_hang_on_directions_and_a_row_of_one_is_the_map():
    model, x = network()
    alone = torch.eye(8)[[3]]
    net = DeconvNet(model, x).with_directions(model[4], alone, name="a").with_directions("a", [[2.0]], name="b")
    map_3 = net.project(x, "4", channel=3)
    assert_same(net.project(x, "a", channel=0), _as(map_3, 0))
    assert torch.allclose(net.project(x, "b", channel=0).activations, 2 * map_3.activations)
    assert "a" not in DeconvNet(model, x).layers
    assert [name for name in net.layers if name not in DeconvNet(model, x).layers] == ["a/conv2d", "a", "b/conv2d", "b"]


def _as(result: Any, channel: int) -> Any:
    from dataclasses import replace

    return replace(result, units=tuple(replace(unit, channel=channel) for unit in result.units))


def test_all_that_works_on_maps_works_on_directions(tmp_path):
    model, x = network()
    net = DeconvNet(model, x).with_directions("4", torch.randn(5, 8) + 0.5, name="sae")
    result = net.project(x, "sae", channel=1)
    assert result.save(tmp_path / "saved").is_dir()
    assert "sae" in str(costs(net, "sae")) and "sae" in str(net)
    assert len(probes.quick_trust(net, x, result)) == 2 if hasattr(probes, "quick_trust") else True
    with_guided = net.with_rules("guided").project(x, "sae", channel=1)
    assert with_guided.rules.name == "guided"
    again = pickle.loads(pickle.dumps(net))
    assert_same(again.project(x, "sae", channel=1), result)


def test_weighted_maps_are_one_direction():
    model, x = network()
    net, row = DeconvNet(model, x), torch.zeros(1, 8).double()
    row[0, [3, 7]] = torch.tensor([0.5, -1.0]).double()
    hung = net.with_directions("4", row, rectify=False)
    for options in ({}, {"position": (1, 2), "start": "one"}, {"position": "all"}):
        ours = net.project(x, "4", channel={3: 0.5, -1: -1.0}, **options)
        assert_same(ours, hung.project(x, "directions", channel=0, **options))
    assert ours.units[0].layer == "4: 0.5*3 -1*7"
    twice, once = (net.project(x, "4", channel=channels) for channels in ({7: 1.0, -1: 2.0}, {7: 3.0}))
    assert torch.equal(twice.activations, once.activations)
    for channels, match in (
        ({}, "empty"),
        ({8: 1.0}, "8"),
        ({1: "x"}, "a weight in channel"),
        ({1: torch.nan}, "finite"),
    ):
        with pytest.raises(ArgumentError, match=match):
            net.project(x, "4", channel=channels)


def test_the_model_is_not_touched_and_the_weights_of_directions_are_a_copy():
    model, x = network()
    weight = torch.randn(2, 8)
    with unchanged(model):
        net = DeconvNet(model, x).with_directions("4", weight)
        before = net.activations(x, "directions")["directions"]
    weight.zero_()
    assert torch.equal(net.activations(x, "directions")["directions"], before)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"weight": torch.randn(2, 7)}, ArgumentError, r"with 8 numbers for the maps of '4'; got shape \(2, 7\)"),
        ({"weight": torch.randn(8)}, ArgumentError, "weight is an array of numbers with 2 axes"),
        ({"weight": "x"}, ArgumentError, "weight is an array of numbers"),
        ({"weight": torch.full((1, 8), torch.nan)}, ArgumentError, "weight holds NaN or infinity"),
        ({"weight": torch.randn(2, 8), "bias": [1.0]}, ArgumentError, "one number for each of the 2 directions; got 1"),
        ({"weight": torch.randn(2, 8), "name": "3"}, ArgumentError, "is a layer of the network already"),
        ({"weight": torch.randn(2, 8), "name": ""}, ArgumentError, "name is empty"),
        ({"weight": torch.randn(2, 8), "layer": "nowhere"}, LayerNotFoundError, "no layer 'nowhere'"),
    ],
    ids=range(8),
)
def test_what_cannot_be_directions_is_refused_in_words(arguments, error, match):
    model, x = network()
    with pytest.raises(error, match=match):
        DeconvNet(model, x).with_directions(**{"layer": "4", **arguments})
