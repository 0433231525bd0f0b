"""Where a way down starts: units, channels, positions, classes, signals of one's own, and wrong ones."""

from typing import Any

import numpy as np
import pytest
import torch
from support.classifier import class_maps, classifier, close, images, network
from support.windowed import deep
from torch import nn

from deconvnet import (
    ArgumentError,
    DeconvNet,
    DeconvNetWarning,
    LayerNotFoundError,
    TargetError,
    Unit,
)


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return classifier()


@pytest.fixture(scope="module")
def segmenter() -> DeconvNet:
    return class_maps()


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
    with pytest.warns(DeconvNetWarning, match="The unit, map .*, has activation 0, so its reconstruction is all zero"):
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


WHOLE = [lambda i: i, np.int64, np.uint8, np.array, torch.tensor, lambda i: torch.tensor(i, dtype=torch.uint8)]


@pytest.mark.parametrize("whole", WHOLE)
def test_indices_of_numpy_and_pytorch_are_taken_as_those_of_python(net: DeconvNet, segmenter: DeconvNet, whole: Any):
    x = images()
    for channel, same in ((whole(3), 3), ([whole(3), whole(1)], [3, 1])):
        assert net.project(x, "relu2", channel=channel).units == net.project(x, "relu2", channel=same).units
    at = net.project(x, "relu2", channel=1, position=(whole(1), whole(2))).units
    assert at == net.project(x, "relu2", channel=1, position=(1, 2)).units
    assert net.explain(x, whole(2)).units == net.explain(x, 2).units
    assert segmenter.explain(x, (whole(2), whole(3), whole(1))).units == segmenter.explain(x, (2, 3, 1)).units
    units = [Unit("relu2", whole(1), (whole(1), whole(2)), whole(0))]
    assert net.project(x, "relu2", units=units).units == (Unit("relu2", 1, (1, 2), 0),)
    assert net.responsible(x, whole(2), k=whole(3)).units.units == net.responsible(x, 2, k=3).units.units


@pytest.mark.parametrize("several", [np.array, torch.tensor, tuple, lambda items: np.array(items, np.int16)])
def test_arrays_and_tensors_of_indices_are_taken_as_lists(net: DeconvNet, several: Any):
    x = images()
    assert net.project(x, "relu2", channel=several([3, 1])).units == net.project(x, "relu2", channel=[3, 1]).units
    at = net.project(x, "relu2", channel=1, position=several([1, 2])).units
    assert at == net.project(x, "relu2", channel=1, position=(1, 2)).units


@pytest.mark.parametrize("index", [1.0, True, np.float32(1), np.True_, torch.tensor(1.0), torch.tensor(True), "1", 1j])
def test_what_is_not_a_whole_number_is_not_an_index(net: DeconvNet, index: Any):
    for call in ({"channel": index}, {"channel": [index]}, {"channel": 1, "position": (index, 1)}):
        with pytest.raises(ArgumentError, match=r"got|outside"):
            net.project(images(), "relu2", **call)
    with pytest.raises(TargetError):
        net.explain(images(), index)


def test_an_output_of_one_number_for_each_image():
    model = nn.Sequential(*network(), nn.Linear(5, 1), nn.Flatten(0)).double()
    x = images(3)
    net = DeconvNet(model, x)
    assert net.scores(x).shape == (3,)
    assert close(net.explain(x).full(), net.project(x, "8", channel=0, start="one").full())


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        (8, "there are 8 feature maps in 'relu2', counted from 0; got 8"),
        (-9, "there are 8 feature maps in 'relu2', counted from 0; got -9"),
        (True, "counted from 0; got True"),
        (2.0, "counted from 0; got 2.0"),
        ([], "an empty list chooses none of the 8 feature maps"),
        ([1, "2"], "counted from 0; got '2'"),
        ([[1]], r"counted from 0; got \[1\]"),
        ("most", "channel is an index, several, 'all' or 'top:16'; got 'most'"),
        ("top:0", "got 'top:0'"),
        ("top:-3", "got 'top:-3'"),
        ("top:", "got 'top:'"),
        (None, "'relu2' has 8 feature maps: name them with channel=37"),
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
        ((1,), r"a position in 'relu2' has 2 indices \(its maps are \(6, 6\)\); got \(1,\)"),
        ((1, 2, 3), "has 2 indices"),
        (4, "has 2 indices .*; got 4"),
        ((1.0, 2), "lies outside the maps"),
        ((True, 2), "lies outside the maps"),
        ("middle", "has 2 indices .*; got 'middle'"),
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
        ({"start": torch.zeros(2, 8, 6, 6).double(), "channel": 1}, "drop channel= and position="),
        ({"start": torch.zeros(2, 8, 6, 6).double(), "position": (1, 1)}, "drop channel= and position="),
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


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([], "not empty"),
        ([(0, 1)], "units is a list of Unit"),
        ([Unit("3", 0, (0, 0), 0)], "the units are of layer '4'; got Unit\\(layer='3'"),
        ([Unit("4", 16, (0, 0), 0)], "there are 16 feature maps in '4'"),
        ([Unit("4", 0, (0, 48), 0)], "lies outside the maps"),
        ([Unit("4", 0, None, 0)], "a position in '4' has 2 indices"),
        ([Unit("4", 0, (0, 0), 4)], "there are 4 images"),
    ],
)
def test_units_that_are_not_there_are_refused(units, message: str):
    net, x = deep()
    with pytest.raises(ArgumentError, match=message):
        net.project(x, "4", units=units)


def test_units_leave_no_choice_to_channel_or_position():
    net, x = deep()
    with pytest.raises(ArgumentError, match="units= already names channel and position"):
        net.project(x, "4", units=[Unit("4", 0, (0, 0), 0)], channel=1)
