"""`DeconvNet` and `Reconstruction` as users meet them: what they give, and what they say to wrong input."""

import subprocess
import sys
import textwrap
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deconvnet import (
    ArgumentError,
    CaptureError,
    DeconvNet,
    DeconvNetWarning,
    LayerNotFoundError,
    MemoryBudgetError,
    NotFiniteError,
    RuleSet,
    TargetError,
    Unit,
    UnsupportedOperationError,
    load_model,
)


def images(n: int = 2, size: int = 14, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed)).double()


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = OrderedDict(
            conv1=nn.Conv2d(3, 6, 3), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 8, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(3, 2),
            flatten=nn.Flatten(), fc=nn.Linear(32, 5),
        )  # fmt: skip
        return nn.Sequential(layers).double().eval()


def maps() -> nn.Sequential:
    """Any size in, five maps out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        body = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 1)
        return nn.Sequential(*body).double().eval()


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return DeconvNet(network(), images())


@pytest.fixture(scope="module")
def segmenter() -> DeconvNet:
    return DeconvNet(maps(), images())


def close(ours: Tensor, truth: Tensor, tolerance: float = 1e-10) -> bool:
    assert ours.shape == truth.shape
    return bool((ours - truth).abs().max() <= tolerance * truth.abs().max())


# what is known of a network -------------------------------------------------------------------------


def test_layers_tell_what_is_known_before_any_image_is_seen(net: DeconvNet):
    assert list(net.layers) == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "flatten", "fc"]
    conv2 = net.layers["conv2"]
    assert (conv2.name, conv2.kind, conv2.way_down) == ("conv2", "conv2d", "transposed filter")
    assert (conv2.channels, conv2.size, conv2.stride) == (8, (6, 6), (2.0, 2.0))
    assert (conv2.receptive_field, conv2.switches_below) == ((8, 8), 1)
    assert net.layers["relu1"].way_down == "rectify"
    assert net.layers["pool2"].way_down == "unpool by switches (sum)"
    assert net.layers["pool2"].switches_below == 2
    fc = net.layers["fc"]
    assert (fc.channels, fc.size, fc.stride, fc.receptive_field) == (5, (), None, (14, 14))


def test_printing_gives_a_table_with_a_row_for_each_layer(net: DeconvNet):
    head, titles, *rows = str(net).splitlines()
    assert head == "DeconvNet, rules: deconvnet"
    for title in ("layer", "forward", "way down", "shape", "stride", "receptive field", "switches below"):
        assert title in titles
    assert [row.split()[0] for row in rows] == list(net.layers)
    assert "unpool by switches (sum)" in rows[2] and "6x6x6" in rows[2] and "2x2" in rows[2]
    assert not any(line.endswith(" ") for line in str(net).splitlines())


def test_the_table_shows_what_is_refused():
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU()).double(), images())
    assert "refused" in str(net).splitlines()[-1]
    assert net.with_rules("gradient", smooth="gradient").layers["1"].way_down == "derivative"
    assert net.layers["1"].way_down == "refused"


def test_repr_is_one_line(net: DeconvNet):
    assert repr(net) == "<DeconvNet of Sequential, input 3x14x14, rules: deconvnet>"


def test_the_table_is_printed_after_the_model_has_changed_its_type():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).double()
    net = DeconvNet(model, images())
    model.float()
    assert "relu" in str(net)


def test_the_model_itself_is_a_layer_only_where_it_has_a_name(net: DeconvNet):
    with pytest.raises(LayerNotFoundError, match="the network has no layer ''"):
        net.project(images(), net.model, channel=0)


# activations and scores -----------------------------------------------------------------------------


def test_activations_are_what_hooks_see(net: DeconvNet):
    x, seen = images(3), {}
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: seen.__setitem__(name, o.detach().clone()))
        for name, module in net.model.named_children()
    ]
    net.model(x)
    for handle in handles:
        handle.remove()
    found = net.activations(x, list(net.layers))
    assert list(found) == list(seen)
    for name, tensor in found.items():
        assert close(tensor, seen[name], 1e-12)


class Counting(TorchDispatchMode):
    """Which operations on tensors run while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ran.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def test_activations_run_no_further_than_the_deepest_layer_asked_for(net: DeconvNet):
    for layers, convolutions in ((["conv1"], 1), (["relu1", "conv2"], 2), (["conv2", "conv1"], 2)):
        with Counting() as counting:
            net.activations(images(), layers)
        assert counting.ran.count("convolution") == convolutions
        assert not {"addmm", "mm", "linear"} & set(counting.ran)


def test_one_layer_may_be_given_alone_and_as_a_module(net: DeconvNet):
    x, relu2 = images(), net.model.relu2
    assert list(net.activations(x, "relu2")) == ["relu2"]
    assert torch.equal(net.activations(x, [relu2])["relu2"], net.activations(x, relu2)["relu2"])
    by_name, by_module = net.project(x, "relu2", channel=3), net.project(x, relu2, channel=3)
    assert by_name.units == by_module.units
    assert torch.equal(by_name.windows, by_module.windows)
    assert torch.equal(
        net.project(x, "relu2", channel=3, to=net.model.relu1).windows,
        net.project(x, "relu2", channel=3, to="relu1").windows,
    )


def test_scores_are_the_models_output(net: DeconvNet):
    assert close(net.scores(images()), net.model(images()).detach(), 1e-12)


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (nn.Softmax(1), "softmax"),
        (nn.LogSoftmax(1), "log_softmax"),
        (nn.Sigmoid(), "sigmoid"),
    ],
    ids=["softmax", "log-softmax", "sigmoid"],
)
def test_what_turns_scores_into_probabilities_is_skipped_and_said_so(net: DeconvNet, head: Any, word: str):
    x = images()
    headed = DeconvNet(nn.Sequential(*network(), head).eval(), x)
    assert close(headed.scores(x), net.scores(x), 1e-12)
    picture = headed.explain(x, 2)
    assert torch.equal(picture.full(), net.explain(x, 2).full())
    assert f"The {word} at the output was skipped." in picture.notes
    assert not any("skipped" in note for note in net.explain(x, 2).notes)


def test_probabilities_are_those_of_the_users_own_head(net: DeconvNet):
    x = images()
    assert close(net.probabilities(x), net.model(x).detach().softmax(1), 1e-12)


# project --------------------------------------------------------------------------------------------


def test_a_channel_is_carried_from_its_strongest_position(net: DeconvNet):
    x = images(3)
    values = net.activations(x, "relu2")["relu2"]
    result = net.project(x, "relu2", channel=3)
    assert len(result) == 3
    for i, unit in enumerate(result.units):
        assert (unit.layer, unit.channel, unit.image) == ("relu2", 3, i)
        assert values[(i, 3, *unit.position)] == values[i, 3].max() == result.activations[i]


def test_channels_come_in_the_order_asked_for_image_by_image(net: DeconvNet):
    x = images()
    several = net.project(x, "conv2", channel=[5, 0, -1])
    assert [(u.image, u.channel) for u in several.units] == [(i, c) for i in (0, 1) for c in (5, 0, 7)]
    for number, unit in enumerate(several.units):
        alone = net.project(x, "conv2", channel=unit.channel).full()[unit.image]
        assert close(several.full()[number], alone)


@pytest.mark.parametrize("channel", [(2, 4), range(2, 5, 2)], ids=["tuple", "range"])
def test_channels_may_be_any_sequence(net: DeconvNet, channel: Any):
    assert [u.channel for u in net.project(images(1), "conv2", channel=channel).units] == [2, 4]


def test_all_channels(net: DeconvNet):
    result = net.project(images(), "conv2", channel="all")
    assert [(u.image, u.channel) for u in result.units] == [(i, c) for i in (0, 1) for c in range(8)]


def test_the_strongest_channels_come_strongest_first(net: DeconvNet):
    x = images()
    result = net.project(x, "conv2", channel="top:3")
    peaks = net.activations(x, "conv2")["conv2"].flatten(2).amax(2)
    for image in (0, 1):
        chosen = [unit.channel for unit in result.units if unit.image == image]
        assert chosen == peaks[image].argsort(descending=True)[:3].tolist()
    assert len(net.project(x, "conv2", channel="top:99")) == 16
    assert [u.channel for u in net.project(x[:1], "fc", channel="top:2").units] == (
        net.scores(x)[0].argsort(descending=True)[:2].tolist()
    )


def test_a_position_may_count_from_the_end(net: DeconvNet):
    x = images()
    result = net.project(x, "conv2", channel=1, position=(-1, 2))
    assert all(unit.position == (5, 2) for unit in result.units)
    assert torch.equal(result.full(), net.project(x, "conv2", channel=1, position=(5, 2)).full())


def test_a_unit_starts_from_its_activation_one_or_a_signal_of_ones_own(net: DeconvNet):
    x = images()
    values = net.activations(x, "relu2")["relu2"]
    place = net.project(x, "relu2", channel=2).units[0].position
    one = net.project(x[:1], "relu2", channel=2, start="one")
    activation = net.project(x[:1], "relu2", channel=2)
    assert close(activation.full(), one.full() * values[(0, 2, *place)])
    signal = torch.zeros_like(values[:1])
    signal[(0, 2, *place)] = 1
    assert close(net.project(x[:1], "relu2", start=signal).full(), one.full())


def test_the_whole_map_is_the_signal_of_all_its_positions(net: DeconvNet):
    x = images()
    values = net.activations(x, "relu2")["relu2"]
    signal = torch.zeros_like(values)
    signal[:, 4] = values[:, 4]
    whole = net.project(x, "relu2", channel=4, position="all")
    assert all(unit.position is None for unit in whole.units)
    assert close(whole.full(), net.project(x, "relu2", start=signal).full())
    signal[:, 4] = 1
    ones = net.project(x, "relu2", channel=4, position="all", start="one")
    assert close(ones.full(), net.project(x, "relu2", start=signal).full())
    assert torch.equal(whole.activations, values[:, 4].flatten(1).amax(1))


def test_a_signal_may_be_stopped_and_started_again(net: DeconvNet):
    x = images()
    middle = net.project(x, "fc", channel=1, to="relu1")
    assert middle.input_size == (12, 12)
    assert middle.full().shape == (2, 6, 12, 12)
    again = net.project(x, "relu1", start=middle.full())
    assert close(again.full(), net.project(x, "fc", channel=1).full())


def test_a_layer_projected_to_itself_gives_the_start(net: DeconvNet):
    x = images()
    result = net.project(x, "relu2", channel=2, position=(1, 1), start="one", to="relu2").full()
    assert result.shape == (2, 8, 6, 6)
    assert result.count_nonzero() == 2 and (result[:, 2, 1, 1] == 1).all()


def test_a_signal_may_stop_at_a_layer_without_maps(net: DeconvNet):
    x = images()
    result = net.project(x, "fc", channel=1, start="one", to="flatten")
    assert result.input_size == ()
    assert close(result.full(), net.model.fc.weight[1].detach().expand(2, 32))
    assert result.boxes.shape == (2, 2, 0)


def test_a_fully_connected_unit_has_no_position(net: DeconvNet):
    x = images()
    result = net.project(x, "fc", channel=3)
    assert result.units[0].position == ()
    assert result.boxes.tolist() == [[[0, 0], [14, 14]]] * 2
    assert torch.equal(result.full(), net.project(x, "fc", channel=3, position=()).full())


def test_a_negative_activation_starts_from_its_magnitude_with_a_note(net: DeconvNet):
    x = images(1)
    values = net.activations(x, "conv2")["conv2"]
    place = tuple(int(i) for i in torch.nonzero(values[0] < 0)[0])
    result = net.project(x, "conv2", channel=place[0], position=place[1:])
    one = net.project(x, "conv2", channel=place[0], position=place[1:], start="one")
    assert result.activations[0] == values[(0, *place)] < 0
    assert close(result.full(), one.full() * -values[(0, *place)])
    assert "A unit with a negative activation starts from its magnitude." in result.notes
    assert not any("negative" in note for note in one.notes)


def test_a_silent_unit_gives_nothing_with_a_warning(net: DeconvNet):
    x = images(1)
    values = net.activations(x, "relu2")["relu2"]
    place = tuple(int(i) for i in torch.nonzero(values[0] == 0)[0])
    with pytest.warns(DeconvNetWarning, match="1 of 1 units have activation 0.*is all zero"):
        result = net.project(x, "relu2", channel=place[0], position=place[1:])
    assert not result.full().any()


def test_a_silent_unit_among_others_gives_nothing_and_the_others_their_pictures(net: DeconvNet):
    x = images(1)
    rows = net.activations(x, "relu2")["relu2"][0].flatten(1)
    position = next(p for p in range(36) if 0 < (rows[:, p] == 0).sum() < 8)
    result = net.project(x, "relu2", channel="all", position=divmod(position, 6))
    silent = rows[:, position] == 0
    assert not result.full()[silent].any()
    assert result.full()[~silent].flatten(1).any(1).all()


def test_images_that_require_a_gradient_stay_as_they_are(net: DeconvNet):
    x = images().requires_grad_()
    assert not net.project(x, "relu2", channel=3).full().requires_grad
    assert x.requires_grad and x.grad is None


# explain --------------------------------------------------------------------------------------------


def test_a_class_starts_from_one(net: DeconvNet):
    x = images()
    result = net.explain(x, 2)
    assert torch.equal(result.full(), net.project(x, "fc", channel=2, start="one").full())
    assert torch.equal(result.activations, net.scores(x)[:, 2])


def test_by_default_each_image_has_its_most_likely_class(net: DeconvNet):
    x = images(4)
    result = net.explain(x)
    assert [unit.channel for unit in result.units] == net.scores(x).argmax(1).tolist()
    for i, unit in enumerate(result.units):
        assert close(result.full()[i], net.explain(x[i : i + 1], unit.channel).full()[0])


@pytest.mark.parametrize("target", [[3, -1], (3, 4), torch.tensor([3, 4])], ids=["list", "tuple", "tensor"])
def test_several_classes(net: DeconvNet, target: Any):
    result = net.explain(images(), target)
    assert [(unit.image, unit.channel) for unit in result.units] == [(0, 3), (0, 4), (1, 3), (1, 4)]


def test_all_classes(net: DeconvNet):
    assert [unit.channel for unit in net.explain(images(1), "all").units] == [0, 1, 2, 3, 4]


def test_a_class_at_a_place_of_an_output_that_is_a_map(segmenter: DeconvNet):
    x = images()
    result = segmenter.explain(x, (2, 3, -1))
    assert all((unit.channel, unit.position) == (2, (3, 5)) for unit in result.units)
    same = segmenter.project(x, "3", channel=2, position=(3, 5), start="one")
    assert torch.equal(result.full(), same.full())


@pytest.mark.parametrize("with_batch", [False, True])
def test_a_class_all_over_a_mask(segmenter: DeconvNet, with_batch: bool):
    x = images()
    mask = torch.rand(2, 5, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.5
    mask = mask if with_batch else mask[0]
    result = segmenter.explain(x, mask)
    signal = mask.expand(2, 5, 6, 6).double()
    assert close(result.full(), segmenter.project(x, "3", start=signal).full())
    assert close(result.activations, (segmenter.scores(x) * signal).sum((1, 2, 3)))
    values = segmenter.explain(x, mask, start="activation").full()
    signal = signal * segmenter.scores(x)
    assert close(values, segmenter.project(x, "3", start=signal).full())


def test_an_output_of_one_number_for_each_image():
    model = nn.Sequential(*network(), nn.Linear(5, 1), nn.Flatten(0)).double()
    x = images(3)
    net = DeconvNet(model, x)
    assert net.scores(x).shape == (3,)
    assert close(net.explain(x).full(), net.project(x, "8", channel=0, start="one").full())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, "there are 5 classes, numbered from 0; got 5"),
        (-6, "there are 5 classes, numbered from 0; got -6"),
        (True, "there are 5 classes, numbered from 0; got True"),
        (1.0, "there are 5 classes, numbered from 0; got 1.0"),
        ([], "an empty list chooses none of the 5 classes"),
        ([1, 9], "there are 5 classes, numbered from 0; got 9"),
        ("cat", "a class number, several, 'all' or None; got 'cat'"),
        (torch.tensor(1.5), "there are 5 classes"),
    ],
    ids=repr,
)
def test_a_wrong_class_is_refused(net: DeconvNet, target: Any, message: str):
    with pytest.raises(TargetError, match=message):
        net.explain(images(), target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, r"the output has 5 maps of 6x6: target is \(class, y, x\) or a mask of its shape; got None"),
        (2, "got 2"),
        ((2, 3), r"target is \(class, y, x\)"),
        ((7, 3, 3), "there are 5 classes"),
        ((2, 6, 0), "lies outside the maps"),
        (torch.ones(5, 6, 5, dtype=torch.bool), r"a mask has shape \(5, 6, 6\) or \(2, 5, 6, 6\); got"),
        (torch.ones(5, 6, 6), "or a mask"),
    ],
    ids=["none", "class", "short", "no class", "outside", "mask", "no mask"],
)
def test_a_wrong_place_or_mask_is_refused(segmenter: DeconvNet, target: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        segmenter.explain(images(), target)


# rules ----------------------------------------------------------------------------------------------


def test_with_rules_keeps_how_smooth_operations_are_treated():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 2, 3)).double()
    x = images()
    net = DeconvNet(model, x, smooth="rectify")
    guided = net.with_rules("guided")
    assert guided.rules == RuleSet(forward_mask=True, smooth="rectify")
    assert net.rules == RuleSet(smooth="rectify")
    rectified = guided.project(x, "2", channel=0)
    assert any('smooth="rectify"' in note for note in rectified.notes)
    gradient = net.with_rules("gradient", smooth="gradient").project(x, "2", channel=0)
    assert any('smooth="gradient"' in note for note in gradient.notes)
    with pytest.raises(UnsupportedOperationError, match=r"'1' \(aten\.silu\).*defined for rectifiers"):
        net.with_rules("deconvnet", smooth="refuse").project(x, "2", channel=0)
    with pytest.raises(UnsupportedOperationError, match=r"aten\.silu"):
        net.with_rules(RuleSet()).project(x, "2", channel=0)


def test_with_rules_does_not_capture_again(net: DeconvNet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deconvnet.capture.trace.capture", lambda *a, **k: pytest.fail("captured again"))
    guided = net.with_rules("guided")
    assert guided.layers["relu1"].way_down == "rectify and forward mask"
    assert net.layers["relu1"].way_down == "rectify"
    assert guided.explain(images(), 1).rules == RuleSet(forward_mask=True)


def test_without_a_max_pool_the_notes_say_that_the_picture_does_not_depend_on_the_image():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 3)).double()
    net, x = DeconvNet(model, images()), images()
    result = net.project(x, "3", channel=1, position=(1, 1), start="one")
    assert any("does not depend on the image" in note for note in result.notes)
    assert torch.equal(result.windows[0], result.windows[1])
    guided = net.with_rules("guided").project(x, "3", channel=1, position=(1, 1), start="one")
    assert not any("does not depend" in note for note in guided.notes)


def test_above_a_max_pool_no_note_says_so_and_below_it_one_does(net: DeconvNet):
    x = images()
    assert not any("does not depend" in note for note in net.project(x, "conv2", channel=1).notes)
    assert any("does not depend" in note for note in net.project(x, "conv1", channel=1).notes)
    assert any("does not depend" in n for n in net.project(x, "conv2", channel=1, to="pool1").notes)


# results --------------------------------------------------------------------------------------------


def test_windows_and_boxes_make_the_full_picture(net: DeconvNet):
    x = images()
    result = net.project(x, "conv2", channel="all")
    assert result.windows.shape == (16, 3, 8, 8)
    assert result.boxes.shape == (16, 2, 2)
    full = result.full()
    assert full.shape == (16, 3, 14, 14)
    for i, (low, high) in enumerate(result.boxes.tolist()):
        assert [b - a for a, b in zip(low, high, strict=True)] == [8, 8]
        outside = full[i].clone()
        outside[:, max(low[0], 0) : high[0], max(low[1], 0) : high[1]] = 0
        assert not outside.any()
        inside = F.pad(full[i], (8, 8, 8, 8))[:, low[0] + 8 : high[0] + 8, low[1] + 8 : high[1] + 8]
        assert torch.equal(inside, result.windows[i])


def test_a_box_may_reach_past_the_border(net: DeconvNet):
    result = net.project(images(1), "conv2", channel=1, position=(0, 5), start="one")
    assert result.boxes.tolist() == [[[-2, 8], [6, 16]]]
    window = result.windows[0]
    assert not window[:, :2].any() and not window[:, :, 6:].any()


def test_magnitude_is_the_root_of_the_sum_of_squares_over_channels(net: DeconvNet):
    result = net.explain(images(), 1)
    assert close(result.magnitude(), result.full().square().sum(1).sqrt(), 1e-6)


def test_pictures_show_the_energy_the_field_or_all(net: DeconvNet):
    result = net.project(images(), "conv2", channel=1, position=(3, 3))
    assert result.picture(0, crop="none").size == (14, 14)
    assert result.picture(1, crop="field").size == (8, 8)
    energy = result.picture(0)
    assert isinstance(energy, Image.Image)
    assert energy.width <= 8 and energy.height <= 8
    with pytest.raises(ArgumentError, match="crop is 'energy', 'field' or 'none'; got 'middle'"):
        result.picture(0, crop="middle")
    with pytest.raises(ArgumentError, match="linear"):
        result.picture(0, scale="cubic")


def test_results_are_saved_as_one_image(net: DeconvNet, tmp_path: Path):
    one = net.project(images(1), "conv2", channel=1)
    many = net.project(images(), "conv2", channel="all")
    for result, name in ((one, "one.png"), (many, "many.webp")):
        path = result.save(tmp_path / name)
        assert path == tmp_path / name
        with Image.open(path) as image:
            assert min(image.size) > 0
    with pytest.raises(ArgumentError, match=r"one\.png"):
        one.save(tmp_path / "one.png")
    one.save(str(tmp_path / "one.png"), force=True)
    with pytest.raises(ArgumentError, match="xyz"):
        one.save(tmp_path / "one.xyz")


def test_a_result_cannot_be_changed_by_assignment(net: DeconvNet):
    result = net.explain(images(), 1)
    with pytest.raises(AttributeError):
        result.notes = ()


@pytest.mark.parametrize("axes", [1, 3])
def test_networks_along_a_line_and_in_space(axes: int):
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    pool = {1: nn.MaxPool1d, 3: nn.MaxPool3d}[axes]
    model = nn.Sequential(conv(2, 4, 3), nn.ReLU(), pool(2), conv(4, 3, 2)).double()
    x = torch.randn(2, 2, *[10] * axes, dtype=torch.float64)
    net = DeconvNet(model, x)
    assert net.layers["3"].receptive_field == (6,) * axes
    result = net.project(x, "3", channel=1, position=(1,) * axes, start="one")
    assert result.windows.shape == (2, 2, *[6] * axes)
    assert result.boxes.tolist() == [[[2] * axes, [8] * axes]] * 2
    assert result.magnitude().shape == (2, *[10] * axes)
    with pytest.raises(ArgumentError, match=r"cannot be shown|two spatial axes"):
        result.picture()
    if axes == 1:
        same = net.project(x, "3", channel=1, position=1, start="one")
        assert torch.equal(result.full(), same.full())
    leaf = x.clone().requires_grad_()
    at = (slice(None), 1, *[1] * axes)
    (signal,) = torch.autograd.grad(model(leaf)[at].sum(), leaf)
    gradient = net.with_rules("gradient").project(x, "3", channel=1, position=(1,) * axes, start="one")
    assert close(gradient.full(), signal)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1), (torch.float16, 0.02)], ids=str
)
def test_narrow_floating_point_types_give_the_same_picture_less_exactly(dtype: Any, tolerance: float):
    x = images()
    wide = DeconvNet(maps(), x).project(x, "3", channel=1, position=(2, 2), start="one", to="2").full()
    narrow = DeconvNet(maps().to(dtype), x.to(dtype))
    result = narrow.project(x.to(dtype), "3", channel=1, position=(2, 2), start="one", to="2")
    assert result.windows.dtype == dtype
    assert close(result.full().double(), wide, tolerance)
    whole = narrow.project(x.to(dtype), "3", channel="all")
    assert torch.isfinite(whole.full()).all()


# memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["64MB", "64 MB", "0.064GB", "64000KB", "64000000", 64_000_000, "64m", "0.064 gb"])
def test_a_budget_is_a_number_of_bytes_or_a_size(net: DeconvNet, memory: Any):
    assert torch.equal(net.explain(images(), 1, memory=memory).full(), net.explain(images(), 1, memory="64MB").full())


@pytest.mark.parametrize("memory", ["lots", "", "-2GB", "0", 0, -5, "2XB", True, "1KiB", "GB", 1.5e9j])
def test_what_is_no_budget_is_refused(net: DeconvNet, memory: Any):
    with pytest.raises(ArgumentError, match="memory is a number of bytes or a size such as '2GB'; got"):
        net.explain(images(), 1, memory=memory)
    with pytest.raises(ArgumentError, match="memory is a number of bytes"):
        DeconvNet(net.model, images(), memory=memory)


def _smallest(call: Callable[[int], Any]) -> int:
    """The smallest budget that is enough, to a few percent."""
    low, high = 1_000, 100_000_000
    while high > 1.03 * low:
        middle = int((low * high) ** 0.5)
        try:
            call(middle)
            high = middle
        except MemoryBudgetError:
            low = middle
    return high


def test_work_in_chunks_gives_what_work_at_once_gives(net: DeconvNet):
    x = images(5)

    def call(memory: int) -> Any:
        return net.project(x, "conv2", channel="all", memory=memory)

    least = _smallest(call)
    at_once = call(100_000_000)
    for memory in (least, 2 * least, 5 * least):
        chunked = call(memory)
        assert chunked.units == at_once.units
        assert chunked.notes == at_once.notes
        assert torch.equal(chunked.boxes, at_once.boxes)
        assert close(chunked.activations, at_once.activations)
        assert close(chunked.windows, at_once.windows)


def test_chunks_of_units_whose_fields_differ_in_size_fit_together():
    x = images(4, size=9)
    up = nn.Upsample(scale_factor=2, mode="bilinear")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), up, nn.Conv2d(4, 2, 3)).double()
    net = DeconvNet(model, x)

    def call(memory: int) -> Any:
        return net.project(x, "3", channel="all", memory=memory)

    chunked, at_once = call(_smallest(call)), call(100_000_000)
    assert close(chunked.full(), at_once.full())


def test_chunks_of_a_signal_or_a_mask_of_ones_own(segmenter: DeconvNet):
    x = images(5)
    signal = segmenter.scores(x)
    mask = signal > 0

    def started(memory: int) -> Any:
        return segmenter.project(x, "3", start=signal, memory=memory)

    def masked(memory: int) -> Any:
        return segmenter.explain(x, mask, memory=memory)

    for call in (started, masked):
        at_once, chunked = call(100_000_000), call(_smallest(call))
        assert chunked.units == at_once.units
        assert close(chunked.full(), at_once.full())
        assert close(chunked.activations, at_once.activations)


def test_too_small_a_budget_is_refused_with_a_size_that_fits():
    x = images(1, size=64)
    net = DeconvNet(maps(), x, memory="200KB")
    with pytest.raises(MemoryBudgetError, match=r"of 64x64 needs about .* is 0\.2 MB: give more") as refusal:
        net.project(x, "3", channel=0)
    words = str(refusal.value).rstrip(".").split()
    height, width = map(int, words[words.index("about", words.index("images")) + 1].split("x"))
    assert 8 <= height <= 64 and 8 <= width <= 64
    net.project(images(1, size=height), "3", channel=0)


def test_too_many_units_for_the_budget_are_refused_with_a_number_that_fits():
    x = images(1, size=32)
    net = DeconvNet(maps(), x)

    def call(memory: int) -> Any:
        return net.project(x, "2", channel=0, position="all", memory=memory)

    with pytest.raises(MemoryBudgetError, match=r"reconstructions take about .*: ask for fewer units"):
        net.project(x, "2", channel=[0] * 500, position="all", memory=2 * _smallest(call))


MEASURE = """
import re, sys
import torch
from torch import nn
from deconvnet import DeconvNet

def kilobytes(what):
    return int(re.search(what + r":\\s*(\\d+) kB", open("/proc/self/status").read()).group(1))

torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
    nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(),
)
x = torch.randn(int(sys.argv[2]), 3, 128, 128)
net = DeconvNet(model, x[:1])
net.project(x[:1, :, :, :], "7", channel=0, memory="1GB")
before = kilobytes("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
r = net.project(x, "7", channel="all", position=eval(sys.argv[3]), memory=sys.argv[1], start="one")
print((kilobytes("VmHWM") - before) / 1e3 * 1.024)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's own account of memory")
@pytest.mark.parametrize(
    ("megabytes", "images", "position"),
    [(60, 4, None), (150, 8, None), (150, 2, "all")],
    ids=["60 MB", "150 MB", "whole maps"],
)
def test_the_memory_taken_stays_within_the_budget(megabytes: int, images: int, position: Any):
    call = [sys.executable, "-c", textwrap.dedent(MEASURE), f"{megabytes}MB", str(images), repr(position)]
    taken = float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    assert 1 < taken <= megabytes, f"{taken:.0f} MB taken of {megabytes}"


# wrong input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "images come as one tensor .*; got NoneType"),
        ([[1.0]], "images come as one tensor .*; got list"),
        (torch.zeros(2, 3, 14, 14, dtype=torch.uint8), "floating-point numbers; got torch.uint8: preprocess"),
        (torch.zeros(2, 3, 14, 14, dtype=torch.complex64), "floating-point numbers; got torch.complex64"),
        (torch.zeros(0, 3, 14, 14).double(), r"none of them empty; got shape \(0, 3, 14, 14\)"),
        (torch.zeros(2, 3, 0, 14).double(), "none of them empty"),
        (torch.zeros(3, 14, 14).double(), r"with 4 axes; got shape .* \(add the batch axis: x\[None\]\)"),
        (torch.zeros(14, 14).double(), r"images come as .*got shape \(14, 14\)"),
        (torch.zeros(2, 3, 1, 14, 14).double(), "with 4 axes"),
        (torch.zeros(2, 1, 14, 14).double(), "the network takes 3 channels; got 1"),
        (torch.zeros(2, 3, 14, 14), r"weights are torch\.float64 .* the images torch\.float32 on cpu: pass"),
        (torch.zeros(2, 3, 14, 14, device="meta").double(), "on cpu, the images torch.float64 on meta"),
    ],
    ids=["None", "list", "uint8", "complex", "empty batch", "empty", "no batch axis", "one map", "five axes",
         "one channel", "float32", "device"],
)  # fmt: skip
def test_wrong_images_are_refused(net: DeconvNet, x: Any, message: str):
    for call in (
        lambda: net.project(x, "relu2", channel=0),
        lambda: net.explain(x, 0),
        lambda: net.activations(x, "relu2"),
        lambda: net.scores(x),
    ):
        with pytest.raises(ArgumentError, match=message):
            call()


def test_wrong_example_inputs_are_refused():
    with pytest.raises(ArgumentError, match=r"images come as .*got shape \(3, 14\)"):
        DeconvNet(network(), torch.zeros(3, 14).double())
    with pytest.raises(ArgumentError, match="got str"):
        DeconvNet(network(), "cat.jpg")
    with pytest.raises(CaptureError, match=r"input of shape \(n, 4, 14, 14\).*channels"):
        DeconvNet(network(), torch.zeros(1, 4, 14, 14).double())
    with pytest.raises(ArgumentError, match=r"weights are torch\.float64 on cpu, the images torch\.float32"):
        DeconvNet(network(), torch.zeros(1, 3, 14, 14))


@pytest.mark.parametrize("size", [20, 4], ids=["too large for the linear layer", "too small for the pools"])
def test_a_size_that_the_network_cannot_take_is_refused(net: DeconvNet, size: int):
    with pytest.raises(
        CaptureError, match=rf"on an input of shape \(n, 3, {size}, {size}\): .*Check that the model runs"
    ):
        net.explain(images(1, size), 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_input_that_is_not_finite_is_refused(net: DeconvNet, value: float):
    x = images()
    x[1, 2, 3, 4] = value
    for call in (
        lambda: net.project(x, "relu2", channel=0),
        lambda: net.explain(x, 0),
        lambda: net.activations(x, "conv1"),
        lambda: net.scores(x),
    ):
        with pytest.raises(NotFiniteError, match=rf"the input holds {value} at index \(1, 2, 3, 4\)"):
            call()


def test_an_infinity_that_a_rectifier_hides_is_refused_too():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1)).double()
    nn.init.ones_(model[0].weight)
    x = torch.ones(1, 1, 4, 4).double()
    x[0, 0, 1, 1] = float("-inf")
    net = DeconvNet(model, x)
    with pytest.raises(NotFiniteError, match=r"the input holds -inf at index \(0, 0, 1, 1\)"):
        net.project(x, "2", channel=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("conv2.weight", float("nan")), ("conv1.bias", float("inf")), ("fc.weight", float("inf"))],
)
def test_a_weight_that_is_not_finite_is_named(name: str, value: float):
    model = network()
    net = DeconvNet(model, images())
    with torch.no_grad():
        model.get_parameter(name).view(-1)[1] = value
    with pytest.raises(NotFiniteError, match=rf"the weight '{name}' holds NaN or infinity; load"):
        net.explain(images(), "all")


def test_a_weight_that_is_not_finite_and_hidden_by_a_rectifier_is_named():
    model = network()
    net = DeconvNet(model, images())
    with torch.no_grad():
        model.conv1.bias[1] = float("-inf")
    with pytest.raises(NotFiniteError, match=r"the weight 'conv1\.bias' holds NaN or infinity"):
        net.explain(images(), 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_an_overflow_on_the_way_up_names_its_layer(dtype: torch.dtype):
    model = maps().to(dtype)
    with torch.no_grad():
        model[0].weight.mul_(50)
        model[3].weight.fill_(torch.finfo(dtype).max)
    x = images().to(dtype)
    net = DeconvNet(model, x)
    with pytest.raises(NotFiniteError, match=rf"first appears at layer '3' \(aten\.conv2d\).* in {dtype}"):
        net.project(x, "3", channel=0)
    assert torch.isfinite(net.activations(x, "2")["2"]).all()


def test_an_overflow_on_the_way_down_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 1, 1)).half()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 100.0)
    nn.init.zeros_(model[0].bias)
    x = torch.full((1, 1, 6, 6), 1e-4).half()
    net = DeconvNet(model, x)
    with pytest.raises(NotFiniteError, match="on the way down"):
        net.project(x, "3", start=torch.full((1, 1, 2, 2), 60.0).half())


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        (8, "there are 8 feature maps in 'relu2', numbered from 0; got 8"),
        (-9, "there are 8 feature maps in 'relu2', numbered from 0; got -9"),
        (True, "numbered from 0; got True"),
        (2.0, "numbered from 0; got 2.0"),
        ([], "an empty list chooses none of the 8 feature maps"),
        ([1, "2"], "numbered from 0; got '2'"),
        ([[1]], r"numbered from 0; got \[1\]"),
        ("most", "channel is a number, numbers, 'all' or 'top:16'; got 'most'"),
        ("top:0", "got 'top:0'"),
        ("top:-3", "got 'top:-3'"),
        ("top:", "got 'top:'"),
        (None, "say which of the 8 feature maps of 'relu2': channel=37"),
    ],
    ids=repr,
)
def test_a_wrong_channel_is_refused(net: DeconvNet, channel: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        net.project(images(), "relu2", channel=channel)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ((6, 0), r"position \(6, 0\) lies outside the maps of 'relu2', which are \(6, 6\)"),
        ((0, -7), "lies outside the maps"),
        ((1,), r"a position in 'relu2' has 2 numbers \(its maps are \(6, 6\)\); got \(1,\)"),
        ((1, 2, 3), "has 2 numbers"),
        (4, "has 2 numbers .*; got 4"),
        ((1.0, 2), "lies outside the maps"),
        ((True, 2), "lies outside the maps"),
        ("middle", "has 2 numbers .*; got 'middle'"),
    ],
    ids=repr,
)
def test_a_wrong_position_is_refused(net: DeconvNet, position: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        net.project(images(), "relu2", channel=0, position=position)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": torch.zeros(2, 8, 6, 5).double()}, r"has shape \(2, 8, 6, 6\); got \(2, 8, 6, 5\)"),
        ({"start": torch.zeros(8, 6, 6).double()}, r"has shape \(2, 8, 6, 6\); got \(8, 6, 6\)"),
        ({"start": torch.zeros(1, 8, 6, 6).double()}, r"has shape \(2, 8, 6, 6\)"),
        ({"start": torch.full((2, 8, 6, 6), float("nan")).double()}, "start from holds NaN or infinity"),
        ({"start": torch.zeros(2, 8, 6, 6).double(), "channel": 1}, "leave out channel and position"),
        ({"start": torch.zeros(2, 8, 6, 6).double(), "position": (1, 1)}, "leave out channel and position"),
        ({"start": "two", "channel": 1}, "start is 'activation', 'one' or a tensor; got 'two'"),
        ({"start": None, "channel": 1}, "got None"),
    ],
    ids=["shape", "no batch", "one for two", "NaN", "with channel", "with position", "word", "None"],
)
def test_a_wrong_start_is_refused(net: DeconvNet, options: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        net.project(images(), "relu2", **options)


def test_a_way_that_does_not_lead_down_is_refused(net: DeconvNet):
    with pytest.raises(ArgumentError, match="no signal travels from 'relu1' down to the layer that `to` names"):
        net.project(images(), "relu1", channel=0, to="conv2")
    with pytest.raises(LayerNotFoundError, match="no layer 'conv9'"):
        net.project(images(), "relu1", channel=0, to="conv9")


def test_a_wrong_layer_gets_the_nearest_names(net: DeconvNet):
    with pytest.raises(LayerNotFoundError, match=r"no layer 'relu_2'; the nearest names are 'relu2', .*print\(net\)"):
        net.project(images(), "relu_2", channel=0)
    with pytest.raises(LayerNotFoundError, match=r"no layer 'zzz'; the nearest names are none"):
        net.activations(images(), ["relu1", "zzz"])
    with pytest.raises(LayerNotFoundError, match="this ReLU is no layer of the network"):
        net.project(images(), nn.ReLU(), channel=0)
    with pytest.raises(ArgumentError, match="a layer is a name or a module; got int"):
        net.project(images(), 3, channel=0)
    with pytest.raises(ArgumentError, match="a layer is a name or a module; got int"):
        net.activations(images(), [3])


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.a, self.b = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        pooled = self.body(x).relu().mean((2, 3))
        return {"a": self.a(pooled), "b": self.b(pooled)}


def test_of_several_outputs_one_must_be_named():
    x, model = images(), Several().double()
    net = DeconvNet(model, x)
    for call in (lambda: net.explain(x, 0), lambda: net.scores(x)):
        with pytest.raises(ArgumentError, match=r"returns 2 tensors \(a, b\): say which .*output='a'"):
            call()
    assert net.project(x, "a", channel=0, to="body").full().shape == (2, 4, 12, 12)
    with pytest.raises(ArgumentError, match="the model returns no 'c'; it returns a, b"):
        DeconvNet(model, x, output="c").explain(x, 0)
    assert DeconvNet(model, x, output="b").scores(x).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": "backprop"}, "no rule set is called 'backprop': use one of deconvnet, guided, gradient"),
        ({"rules": 3}, "rules is a name or a RuleSet; got int"),
        ({"smooth": "maybe"}, "smooth is one of .*; got 'maybe'"),
        ({"rules": "guided", "smooth": 1}, "smooth is one of"),
    ],
    ids=repr,
)
def test_wrong_rules_are_refused(net: DeconvNet, options: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        DeconvNet(net.model, images(), **options)
    with pytest.raises(ArgumentError, match=message):
        net.with_rules(options.get("rules", "deconvnet"), smooth=options.get("smooth"))


def test_wrong_calls_warn_of_nothing(net: DeconvNet):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ArgumentError):
            net.project(images(), "relu2", channel=99)
    assert not caught


@pytest.mark.filterwarnings("ignore:.*units have activation 0:deconvnet.DeconvNetWarning")
@pytest.mark.parametrize("several", [1, 12])
def test_units_of_several_layers_are_what_project_gives_for_each_layer(several):
    loaded = load_model("zfnet-mini")
    net = DeconvNet(loaded.model, loaded.example_input)
    x = loaded.preprocess.images(["sample:chelsea", "sample:rocket"])
    listed = [
        Unit(layer, channel, position, channel % 2)
        for channel in range(several)
        for layer, position in (("relu3", (channel % 8, 5)), ("relu1", (60, channel)), ("relu6", ()))
    ]
    results = net.project_units(x, listed)
    assert list(results) == ["relu3", "relu1", "relu6"]
    for layer, result in results.items():
        of_layer = [unit for unit in listed if unit.layer == layer]
        assert list(result.units) == of_layer
        alone = net.project(x, layer, units=of_layer, path="dense")
        torch.testing.assert_close(result.activations, alone.activations)
        size = float(alone.full().abs().max())
        torch.testing.assert_close(result.full(), alone.full(), rtol=0, atol=1e-5 * size)


@pytest.mark.filterwarnings("ignore:.*units have activation 0:deconvnet.DeconvNetWarning")
def test_units_of_layers_that_see_little_need_no_pass_over_their_images(monkeypatch):
    loaded = load_model("zfnet-mini")
    net = DeconvNet(loaded.model, loaded.example_input)
    x = loaded.preprocess.images("sample:chelsea")
    monkeypatch.setattr("deconvnet.network.finite_forward", lambda *a: pytest.fail("a pass over the whole image"))
    assert len(net.project_units(x, [Unit("relu1", 3, (4, 4), 0), Unit("relu2", 3, (4, 4), 0)])) == 2
