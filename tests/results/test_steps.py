"""The mechanism shown: every step of a way down is what the engine gives, beside what the forward pass had."""

import numpy as np
import pytest
import torch
from PIL import Image
from reference import paper
from support.detectors import small_detector
from support.networks import NETWORKS
from torch import nn

from deconvnet import (
    ArgumentError,
    DeconvNet,
    DeconvNetWarning,
    LayerNotFoundError,
    MemoryBudgetError,
    NotFiniteError,
    RuleSet,
    Steps,
    costs,
    load_model,
)


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


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("network", [n for n in NETWORKS if n.output is None][::5], ids=lambda n: n.name)
def test_a_step_holds_what_a_projection_to_its_layer_gives_and_what_the_layer_gave(network):
    net, x = DeconvNet(network.model(), network.images(2)), network.images(1)
    layer = network.layers[-1]
    steps = net.steps(x, layer)
    kept = net.activations(x, [step.layer for step in steps if step.layer != "the pixels"])
    channel, position = steps.unit.channel, steps.unit.position
    for step in steps:
        to = None if step.layer == "the pixels" else step.layer
        there = net.project(x, layer, channel=channel, position=position, to=to, route="dense")
        torch.testing.assert_close(step.signal, there.full()[0], rtol=0, atol=1e-10 * float(step.signal.abs().max()))
        assert torch.equal(step.forward, x[0] if to is None else kept[to][0])
    assert int((steps[0].signal != 0).sum()) == 1
    assert not steps[0].undone and all(step.undone for step in steps[1:])
    assert steps[len(steps) - 1].layer == "the pixels"


BY_NAME = {network.name: network for network in NETWORKS}


@pytest.mark.parametrize("name", ["tokens before images", "maps folded into the batch"])
def test_values_whose_rows_are_no_images_are_left_out(name):
    network = BY_NAME[name]
    net, x = DeconvNet(network.model(), network.images(2)), network.images(2)
    steps = net.steps(x[:1])
    whole = [step for step in steps if step.layer != "the pixels"]
    kept = net.activations(x[:1], [step.layer for step in whole])
    assert {"first", "relu", "head"} <= kept.keys() and not {"mix", "alone", "again", "pool"} & kept.keys()
    for step in whole:
        assert torch.equal(step.forward, kept[step.layer][0])
        torch.testing.assert_close(step.signal, net.explain(x[:1], to=step.layer).full()[0])
    assert any("transposed filter" in step.how and "rectify" in step.how and step.undone for step in whole)
    told = {}
    net.explain(x, watch=lambda layer, indices, signal, low: told.update({layer: (indices.tolist(), signal, low)}))
    assert [*told] == [step.layer for step in steps]
    for numbers, signal, low in told.values():
        assert numbers == [0, 1] and len(signal) == len(low) == 2
    assert net.responsible(x, k=2).layer == "relu"


def test_a_layer_whose_rows_are_no_images_is_refused_by_name():
    network = BY_NAME["maps folded into the batch"]
    net, x = DeconvNet(network.model(), network.images(2)), network.images(2)
    for call in (
        lambda: net.responsible(x, layer="again", k=1), lambda: net.project(x, "again", channel=0),
        lambda: net.steps(x[:1], "again"), lambda: net.explain(x, to="again"), lambda: costs(net, "again"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match="'again' does not have one row for each image"):
            call()


def test_attention_and_captures_for_one_number_of_images_have_steps():
    class Attentive(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.attend, self.last = nn.Conv2d(3, 8, 4, 4), nn.MultiheadAttention(8, 2), nn.Linear(8, 4)

        def forward(self, x):
            tokens = torch.relu(self.first(x)).flatten(2).permute(2, 0, 1)
            return self.last((tokens + self.attend(tokens, tokens, tokens)[0]).mean(0))

    net = DeconvNet(Attentive().eval(), torch.zeros(1, 3, 16, 16), smooth="gradient")
    steps = net.steps(torch.randn(1, 3, 16, 16))
    assert {"first", "/relu", "the pixels"} <= {step.layer for step in steps}


def test_one_number_for_each_image_is_one_unit():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 1)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)).mean((2, 3))).squeeze(1)

    net, x = DeconvNet(Single(), torch.zeros(1, 3, 8, 8)), torch.randn(2, 3, 8, 8)
    steps = net.steps(x[:1])
    assert steps[0].signal.tolist() == [1.0] and steps[0].forward.shape == (1,)
    assert isinstance(steps.figure().image(), Image.Image)
    told = {}
    net.explain(x, watch=lambda layer, indices, signal, low: told.update({layer: signal}))
    assert all(signal.ndim > 1 for signal in told.values())
    with pytest.raises(ArgumentError, match="gives one number for each image"):
        net.steps(x[:1], steps[0].layer)


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
    hidden = {step.layer for step in steps} - {step.layer for step in steps.changing}
    assert hidden <= {"pool5", "relu6"}  # below flatten, and below dropout
    assert "pool5" in hidden


def test_the_figure_has_a_row_for_each_step_and_stays_the_same(cat, tmp_path):
    net, loaded, x = cat
    steps = net.steps(x, "relu5")
    figure = steps.figure(loaded.preprocess.as_seen("sample:chelsea")).image()
    assert figure.mode == "RGB" and min(figure.size) > 1000
    again = net.steps(x, "relu5").figure(loaded.preprocess.as_seen("sample:chelsea")).image()
    assert figure.tobytes() == again.tobytes()
    pixels = np.asarray(figure)
    assert (pixels == (190, 30, 45)).all(-1).sum() > 1000  # the switches
    place = steps.save(tmp_path / "steps.png")
    with Image.open(place) as saved:
        assert saved.size[0] == figure.size[0]


def test_grey_networks_and_odd_numbers_of_channels_have_figures_too(small):
    model, x = small
    assert isinstance(DeconvNet(model, x).steps(x, "4").figure().image(), Image.Image)
    grey = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))
    net = DeconvNet(grey, torch.zeros(1, 1, 8, 8))
    assert isinstance(net.steps(torch.randn(1, 1, 8, 8)).figure().image(), Image.Image)


def test_every_cell_of_the_figure_has_a_frame_also_one_that_is_white():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.MaxPool2d(2))
    nn.init.constant_(model[0].weight, 1.0)
    steps = DeconvNet(model, torch.zeros(1, 1, 8, 8)).steps(torch.ones(1, 1, 8, 8), "2")
    pixels = np.asarray(steps.figure().image())
    assert (pixels == 190).all(-1).sum() > 4 * 176 * 2 * len(steps.changing)


def test_steps_of_a_block_that_branches_are_drawn_as_one_and_all_of_them_if_asked():
    class Inception(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 3, 1), nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.ReLU())

        def forward(self, x):
            return torch.cat([torch.relu(self.a(x)), self.b(x)], 1)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Inception(), nn.Conv2d(6, 2, 3))
    steps = DeconvNet(model, torch.randn(1, 3, 12, 12)).steps(torch.randn(1, 3, 12, 12))
    assert [[step.layer for step in block][-1] for block in steps.blocks] == ["3", "2", "1", "0", "the pixels"]
    assert {step.layer for step in steps.blocks[2]} == {"2/relu", "2.a", "2.b.1", "2.b.0", "1"}
    assert [step for block in steps.blocks for step in block] == list(steps.changing)
    grouped, whole = steps.figure().image(), steps.figure(whole=True).image()
    assert grouped.size[0] * grouped.size[1] < whole.size[0] * whole.size[1]


def test_a_way_without_branches_has_blocks_of_one_step(small):
    model, x = small
    steps = DeconvNet(model, x).steps(x, "4")
    assert steps.blocks == tuple((step,) for step in steps.changing)
    assert steps.figure().image().tobytes() == steps.figure(whole=True).image().tobytes()


def test_maps_that_are_put_into_other_axes_stand_in_the_figure_of_an_image():
    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps, self.last = nn.Conv2d(1, 4, 3), nn.Linear(16, 2)

        def forward(self, x):
            maps = torch.relu(self.maps(x)).view(len(x), 2, 2, 4, 4)
            return self.last((2 * maps).permute(0, 3, 4, 1, 2).reshape(len(x), 4, 16)).mean(1)

    x = torch.randn(1, 1, 6, 6)
    steps = DeconvNet(Folded(), x).steps(x, target=1)
    assert any(step.signal.ndim == 4 for step in steps.changing)
    assert steps.figure(Image.new("RGB", (6, 6))).image().width > 100


def test_maps_of_one_axis_have_steps_but_no_figure():
    model = nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.MaxPool1d(2))
    steps = DeconvNet(model, torch.zeros(1, 1, 16)).steps(torch.randn(1, 1, 16), "2")
    assert steps[1].offsets.shape == (3, 7, 1)
    with pytest.raises(ArgumentError, match="layer '2' has maps of 1 axes, and only images and volumes can be drawn"):
        steps.figure()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"layer": "relu9"}, LayerNotFoundError, "no layer 'relu9'; the nearest names are 'relu"),
        ({"layer": "relu3", "channel": "top:2"}, ArgumentError, "those of one unit; 2 were asked for"),
        ({"layer": "relu3", "channel": 224}, ArgumentError, "224 feature maps in 'relu3', counted from 0; got 224"),
        ({"layer": "relu3", "target": 1}, ArgumentError, "target= is a class; drop layer="),
        ({"channel": 3}, ArgumentError, "channel= and position= are of a layer"),
        ({"target": 3, "channel": 4}, ArgumentError, "name the layer, or give target= alone"),
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


def test_a_signal_that_overflows_is_told():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    with torch.no_grad():
        for conv in (model[0], model[2]):
            conv.weight *= 50
    net = DeconvNet(model.half(), torch.zeros(1, 3, 32, 32).half())
    with pytest.raises(NotFiniteError, match=r"on the way down in torch.float16, first at '.*': compute in float32"):
        net.steps(torch.rand(1, 3, 32, 32).half(), "3")


def test_the_error_of_unpooling_does_not_overflow_in_half_precision():
    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 4, 3, padding=1))
    with torch.no_grad():
        model[0].weight *= 600
        model[3].weight /= 600
    net = DeconvNet(model.half(), torch.zeros(1, 3, 128, 128).half())
    (error,) = [step.error for step in net.steps(torch.rand(1, 3, 128, 128).half(), "3") if step.error is not None]
    assert 0 < error < 3


def test_a_unit_of_activation_zero_is_noted_and_warned_of(cat):
    net, _, x = cat
    with pytest.warns(DeconvNetWarning, match="has activation 0"):
        steps = net.steps(x, "relu5", channel=0, position=(0, 0))
    assert steps.activation == 0 and "activation 0" in steps.notes[-1]


def test_of_two_poolings_of_one_value_it_is_said_which_the_error_is_of():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(8, 4, 1)
            self.three, self.five = nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(5, 1, 2)

        def forward(self, x):
            x = torch.relu(self.first(x))
            return self.last(torch.cat([self.three(x), self.five(x)], 1)).amax((2, 3))

    steps = DeconvNet(Pyramid(), torch.zeros(1, 3, 12, 12)).steps(torch.randn(1, 3, 12, 12))
    (step,) = [step for step in steps if step.error is not None]
    assert set(step.undone) == {"three", "five"} and step.pool == step.undone[0]
    assert step.windows[0].counts.max() == {"three": 3, "five": 5}[step.pool]
    assert [step.layer for step in steps if step.rectified] == ["/relu"]


@pytest.mark.parametrize(("kind", "first"), [
    ("RetinaNet", "head.classification_head.cls_logits"), ("SSD", "head.classification_head.module_list.0"),
])  # fmt: skip
def test_the_figure_of_a_detectors_answer_begins_with_the_map_that_it_is_read_from(kind: str, first: str):
    loaded = load_model(small_detector(kind))
    net = DeconvNet(loaded.model, loaded.example_input, smooth="gradient", labels=loaded.labels)
    steps = net.steps(torch.randn(1, 3, 32, 32), target=(0, 1, 2, 3, 4))
    drawn = [step for block in steps.blocks for step in block]
    assert drawn[0].layer == first and drawn[0].undone == ()
    (at,) = drawn[0].signal.nonzero()[:, 1:].tolist()
    assert at == [3, 4]
    assert all(bool(step.signal.any()) for step in drawn), "layers of other levels are left out"
    assert len(steps) > len(drawn) and steps[0].layer == "answers"


def test_of_a_signal_that_dies_out_all_steps_are_drawn():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Conv2d(1, 1, 1, bias=False), nn.ReLU())
    nn.init.constant_(model[0].weight, 1.0)
    nn.init.constant_(model[2].weight, -1.0)
    with pytest.warns(DeconvNetWarning):
        steps = DeconvNet(model, torch.ones(1, 1, 8, 8)).steps(torch.ones(1, 1, 8, 8), "3")
    assert not steps[-1].signal.any() and steps.changing
