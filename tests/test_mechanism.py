"""The mechanism shown: every step of a way down is what the engine gives, beside what the forward pass had."""

import numpy as np
import pytest
import torch
from networks import NETWORKS
from PIL import Image
from reference import paper
from torch import nn

from deconvnet import ArgumentError, DeconvNet, LayerNotFoundError, MemoryBudgetError, RuleSet, Steps, load_model


@pytest.fixture(scope="module")
def cat():
    loaded = load_model("zfnet-mini")
    return DeconvNet(loaded.model, loaded.example_input), loaded, loaded.preprocess.images("sample:chelsea")


@pytest.fixture
def small():
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(4, 5, 3), nn.ReLU()
    ).double()
    return model, torch.randn(1, 2, 9, 11).double()


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.output is None][::5], ids=lambda n: n.name)
def test_a_step_holds_what_a_projection_to_its_layer_gives_and_what_the_layer_gave(network):
    net, x = DeconvNet(network.model(), network.images(2)), network.images(1)
    layer = network.layers[-1]
    steps = net.steps(x, layer)
    kept = net.activations(x, [step.layer for step in steps if step.layer != "the pixels"])
    channel, position = steps.unit.channel, steps.unit.position
    for step in steps:
        to = None if step.layer == "the pixels" else step.layer
        there = net.project(x, layer, channel=channel, position=position, to=to, path="dense")
        torch.testing.assert_close(step.signal, there.full()[0], rtol=0, atol=1e-10 * float(step.signal.abs().max()))
        assert torch.equal(step.forward, x[0] if to is None else kept[to][0])
    assert int((steps[0].signal != 0).sum()) == 1
    assert not steps[0].undone and all(step.undone for step in steps[1:])
    assert steps[len(steps) - 1].layer == "the pixels"


def test_switches_offsets_and_the_error_of_unpooling_are_those_of_the_paper(small):
    model, x = small
    steps = DeconvNet(model, x).steps(x, "4", channel=2)
    step = next(step for step in steps if step.switches is not None)
    assert (step.layer, step.undone, step.how) == ("1", ("2",), "unpool by switches (sum)")
    maps = model[:2](x)[0].detach()
    _, places = nn.functional.max_pool2d(maps, 3, 2, padding=1, return_indices=True)
    assert torch.equal(step.switches, places)

    spans = paper.pool_spans((9, 11), (3, 3), (2, 2), (1, 1), (1, 1), False)
    pooled, switches = paper.max_pool(maps.numpy(), spans)
    unpooled = paper.unpool(pooled, switches, spans, (9, 11))
    error = np.linalg.norm(maps.numpy() - unpooled) / np.linalg.norm(maps.numpy())
    assert step.error == pytest.approx(error, rel=1e-12)
    for (c, *window), place in switches.items():
        first = [2 * index - 1 for index in window]
        assert step.offsets[(c, *window)].tolist() == [a - b for a, b in zip(place, first, strict=True)]


def test_pooling_that_keeps_all_is_inverted_without_error():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(1), nn.Conv2d(2, 2, 3, padding=1))
    steps = DeconvNet(model, torch.zeros(1, 1, 6, 6)).steps(torch.randn(1, 1, 6, 6), "2", channel=0)
    assert [step.error for step in steps if step.error is not None] == [0.0]


def test_without_switches_there_are_none_but_unpooling_still_has_an_error(small):
    model, x = small
    steps = DeconvNet(model, x, rules=RuleSet(unpool="average")).steps(x, "4", channel=2)
    (step,) = [step for step in steps if step.error is not None]
    assert step.switches is None and step.offsets is None and 0 < step.error < 1


def test_the_class_goes_down_as_explain_carries_it(cat):
    net, _, x = cat
    explained = net.explain(x)
    steps = net.steps(x)
    assert steps.unit == explained.units[0] and steps.activation == float(explained.activations)
    torch.testing.assert_close(steps[-1].signal, explained.full()[0], rtol=0, atol=1e-6)
    assert net.steps(x, target=3).unit.channel == 3
    assert net.steps(x, "fc7", channel=0).unit.channel == 0


def test_a_way_to_a_lower_layer_ends_there(cat):
    net, _, x = cat
    steps = net.steps(x, "relu3", channel=8, position=(2, 2), to="relu2")
    assert [step.layer for step in steps] == ["relu3", "conv3", "pool2", "relu2"]
    assert int((steps[0].signal != 0).sum()) == 1


def test_reshaping_and_dropout_are_steps_but_are_not_shown(cat):
    net, _, x = cat
    steps = net.steps(x)
    hidden = {step.layer for step in steps} - {step.layer for step in steps.shown}
    assert hidden <= {"pool5", "relu6"}  # below flatten, and below dropout
    assert "pool5" in hidden


def test_the_figure_has_a_row_for_each_step_and_stays_the_same(cat, tmp_path):
    net, loaded, x = cat
    steps = net.steps(x, "relu5")
    figure = steps.figure(loaded.preprocess.shown("sample:chelsea"))
    assert figure.mode == "RGB" and min(figure.size) > 1000
    again = net.steps(x, "relu5").figure(loaded.preprocess.shown("sample:chelsea"))
    assert figure.tobytes() == again.tobytes()
    pixels = np.asarray(figure)
    assert (pixels == (190, 30, 45)).all(-1).sum() > 1000  # the switches
    place = steps.save(tmp_path / "steps.png")
    with Image.open(place) as saved:
        assert saved.size[0] == figure.size[0]


def test_grey_networks_and_odd_numbers_of_channels_have_figures_too(small):
    model, x = small
    assert isinstance(DeconvNet(model, x).steps(x, "4").figure(), Image.Image)
    grey = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))
    net = DeconvNet(grey, torch.zeros(1, 1, 8, 8))
    assert isinstance(net.steps(torch.randn(1, 1, 8, 8)).figure(), Image.Image)


def test_maps_of_one_axis_have_steps_but_no_figure():
    model = nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.MaxPool1d(2))
    steps = DeconvNet(model, torch.zeros(1, 1, 16)).steps(torch.randn(1, 1, 16), "2")
    assert steps[1].offsets.shape == (3, 7, 1)
    with pytest.raises(ArgumentError, match="layer '2' has maps of 1 axes, and only images can be drawn"):
        steps.figure()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"layer": "relu9"}, LayerNotFoundError, "no layer 'relu9'; the nearest names are 'relu"),
        ({"layer": "relu3", "channel": "top:2"}, ArgumentError, "those of one unit; 2 were asked for"),
        ({"layer": "relu3", "channel": 224}, ArgumentError, "224 feature maps in 'relu3', numbered from 0; got 224"),
        ({"layer": "relu3", "target": 1}, ArgumentError, "a target is a class: leave out the layer"),
        ({"channel": 3}, ArgumentError, "a channel and a position are of a layer"),
        ({"layer": "relu1", "to": "relu3"}, ArgumentError, "no signal travels from 'relu1'"),
        ({"layer": "relu3", "memory": "1KB"}, MemoryBudgetError, "give more with memory="),
    ],
)
def test_what_cannot_be_is_refused_in_words(cat, arguments, error, words):
    net, _, x = cat
    with pytest.raises(error, match=words):
        net.steps(x, **arguments)


def test_several_images_are_refused(cat):
    net, _, x = cat
    with pytest.raises(ArgumentError, match=r"one image; got 2: give x\[i : i \+ 1\]"):
        net.steps(torch.cat([x, x]), "relu3")


def test_it_is_short_when_printed(cat):
    net, _, x = cat
    steps = net.steps(x, "relu3", channel=8)
    assert isinstance(steps, Steps) and repr(steps).startswith("<Steps of map 8 at ") and len(repr(steps)) < 80
