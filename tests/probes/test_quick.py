"""The quick set: numbers of four more pictures, each checked against one that is made alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.filters import sobel
from support.classifier import class_maps, classifier, images
from torch import nn

import deconvnet
from deconvnet import ArgumentError, DeconvNet, Preprocess, Unit
from deconvnet.probes import QuickTrust, quick_trust
from deconvnet.probes.draws import generator, other_channels

PHOTOS = images(3)


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(nn.functional.cosine_similarity(a.flatten(), b.flatten(), 0))


def test_each_number_is_that_of_the_pictures_made_alone():
    net, x = classifier(), PHOTOS[:2]
    result = net.project(x, "relu2", channel="top:1")
    quick, unit = quick_trust(net, x, result), result.units[0]
    random = generator(0, unit)
    channels = other_channels(range(8), unit.channel, 2, random)
    noise = torch.randn(8, generator=random, dtype=torch.float64).abs()
    inside = result.box(0, "field").overlap((14, 14))[0]
    own = result.whole(0)[inside]
    at = {"position": unit.position, "start": "one"}
    for i, channel in enumerate(channels):
        other = net.project(x[:1], "relu2", channel=channel, **at).whole(0)[inside]
        assert float(quick.other_units[0, i]) == pytest.approx(_cosine(own, other))
        assert float(quick.ranks[0, i]) == pytest.approx(spearmanr(own.flatten(), other.flatten()).statistic)
    signal = torch.zeros(1, 8, 6, 6).double()
    signal[(0, slice(None), *unit.position)] = noise
    drawn = net.project(x[:1], "relu2", start=signal).whole(0)[inside]
    assert float(quick.noise[0]) == pytest.approx(_cosine(own, drawn))
    elsewhere = net.project(x[1:], "relu2", channel=unit.channel, **at).whole(0)[inside]
    assert float(quick.other_image[0]) == pytest.approx(_cosine(own, elsewhere))
    edges = np.sqrt(sum(sobel(channel) ** 2 for channel in x[0].numpy()))[inside[1:]]
    assert float(quick.edges[0]) == pytest.approx(spearmanr(own.abs().sum(0).flatten(), edges.ravel()).statistic)
    assert quick.others == ("other photos of the call",) * 2


def test_numbers_do_not_depend_on_the_other_units_or_the_memory():
    net, x = classifier(), PHOTOS
    all_of_them = quick_trust(net, x, net.project(x, "relu2", channel="all"))
    some = net.project(x, "relu2", channel="all")[5:7]
    alone = quick_trust(net, x, some, memory="100kB")
    assert torch.allclose(alone.ranks, all_of_them.ranks[5:7], equal_nan=True)
    assert torch.allclose(alone.other_units, all_of_them.other_units[5:7], equal_nan=True)
    assert len(alone) == 2 and alone.units == all_of_them.units[5:7]


def test_a_place_of_a_class_is_the_same_beside_a_class_that_starts_everywhere():
    net, x = class_maps(), PHOTOS[:2]
    place = (1, 2, 2)
    alone = quick_trust(net, x, net.explain(x, place))
    beside = quick_trust(net, x, net.explain(x, targets=[place, (None, 2, 2), 0]))
    assert torch.isfinite(alone.ranks).all()
    places = [i for i, unit in enumerate(beside.units) if unit.position == (2, 2) and unit.channel == 1][:1]
    assert torch.equal(beside.ranks[places], alone.ranks[:1]) and torch.equal(beside.edges[places], alone.edges[:1])


def test_without_switches_another_image_gives_the_same_picture():
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()), PHOTOS.float())
    quick = quick_trust(net, PHOTOS.float(), net.project(PHOTOS.float(), "3", channel=1))
    assert quick.other_image.numpy() == pytest.approx(1)
    assert "the unit in another image" in quick.line() and "switches" not in quick.line()


def test_classes_have_their_numbers_too_also_under_other_rules():
    net, x = classifier().with_rules("guided"), PHOTOS
    quick = quick_trust(classifier(), x, net.explain(x, targets=[0, 3]))
    assert quick.noise.isfinite().all() and quick.units[0].layer == "fc"
    assert "the unit with the switches and masks of another image" in quick.line()
    maps = class_maps()
    placed = quick_trust(maps, x, maps.explain(x, (2, 1, 3)))
    assert placed.noise.isfinite().all()


def test_a_single_score_has_no_other_unit_and_no_noise():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 1))
    x = PHOTOS.float()
    for network in (model, nn.Sequential(*model, nn.Flatten(0))):
        net = DeconvNet(network, x)
        quick = quick_trust(net, x, net.explain(x))
        assert quick.noise.isnan().all() and quick.other_units.isnan().all() and quick.other_image.isfinite().all()
        assert "other units here not defined" in quick.line(0)


def test_what_cannot_be_measured_has_a_reason():
    net, x = classifier(), PHOTOS[:1]
    assert "not of a unit" in quick_trust(net, x, net.project(x, "relu2", channel=1, position="all")).line()
    assert "not in the pixels" in quick_trust(net, x, net.project(x, "relu2", channel=1, to="relu1")).why_not[0]
    values = net.activations(x, "relu2")["relu2"][0]
    channel, *position = (values == 0).nonzero()[0].tolist()
    with pytest.warns(deconvnet.DeconvNetWarning):
        silent = net.project(x, "relu2", channel=channel, position=tuple(position))
    quick = quick_trust(net, x, silent)
    assert quick.why_not == ("the picture is zero everywhere",) and quick.facts() == {"why_not": quick.why_not[0]}


def test_a_constant_image_has_no_edges():
    net, x = classifier(), torch.full_like(PHOTOS[:1], 0.3)
    quick = quick_trust(net, x, net.explain(x))
    assert quick.edges.isnan().all() and "edges not defined" in quick.line()


def test_other_images_are_those_given_or_of_the_call_or_samples_or_of_shuffled_phase():
    net, x = classifier(), PHOTOS[:1]
    prepare = Preprocess((14, 14), None, (0.5,) * 3, (0.25,) * 3)
    result = net.explain(x)
    assert "shuffled phase" in quick_trust(net, x, result).others[0]
    assert "scikit-image" in quick_trust(net, x, result, preprocess=prepare).others[0]
    assert "given" in quick_trust(net, x, result, preprocess=prepare, others=PHOTOS[1:]).others[0]
    assert "shuffled phase" in quick_trust(net, x, result, others=x).others[0]  # the image itself is not another


def test_images_of_another_result_are_refused():
    net, x = classifier(), PHOTOS
    result = net.project(x, "relu2", channel=2)
    with pytest.raises(ArgumentError, match="pass the images that the result was made of"):
        quick_trust(net, x.flip(0), result)
    with pytest.raises(ArgumentError, match="pass the images"):
        quick_trust(net, x[:1], result)
    with pytest.raises(ArgumentError, match="others are one image or more of shape"):
        quick_trust(net, x, result, others=x[:, :, 1:])


@pytest.mark.parametrize("axes", [1, 3])
def test_signals_and_volumes_have_their_numbers(axes: int):
    conv, pool = {1: (nn.Conv1d, nn.MaxPool1d), 3: (nn.Conv3d, nn.MaxPool3d)}[axes]
    x = torch.randn(2, 2, *[8] * axes, generator=torch.Generator().manual_seed(0))
    net = DeconvNet(nn.Sequential(conv(2, 3, 3), nn.ReLU(), pool(2)), x)
    quick = quick_trust(net, x, net.project(x, "2", channel="top:1"))
    assert quick.noise.isfinite().all() and quick.edges.isfinite().all()


def test_the_quick_set_is_saved_and_is_a_table(tmp_path):
    net, x = classifier(), PHOTOS
    quick = quick_trust(net, x, net.project(x, "relu2", channel=[1, 2]))
    opened = deconvnet.open(quick.save(tmp_path / "quick"))
    assert isinstance(opened, QuickTrust) and torch.equal(opened.ranks, quick.ranks) and opened.others == quick.others
    table = opened.to_frame()
    assert list(table["noise_cosine"]) == quick.noise.tolist() and len(table["why_not"]) == 6
    assert quick.facts(1)["noise"]["cosine"] == float(quick.noise[1])
    assert opened.taken == ("switches",) * 6 and quick.facts(1)["taken_from_the_image"] == "switches"
    assert repr(quick) == "<QuickTrust: 6 units of layer 'relu2'>"
    assert replace(quick).units[0] == Unit("relu2", 1, quick.units[0].position, 0)
