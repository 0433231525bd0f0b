"""The twins of many units: each cosine is that of the quick set, whatever the batch, the layers and the memory."""

import pytest
from support.classifier import classifier, images
from torch import nn

from deconvnet import ArgumentError, DeconvNet, LayerNotFoundError, Unit
from deconvnet.probes import Twins, quick_trust, twin_cosines, twins

PHOTOS = images(3)
UNITS = [
    Unit("relu2", 3, (1, 2), 0), Unit("relu1", 1, (0, 11), 1), Unit("relu2", 5, (4, 0), 2), Unit("fc", 2, (), 1),
    Unit("relu2", 3, (1, 2), 2),
]  # fmt: skip
OTHERS = [1, 2, 0, 0, 1]


@pytest.mark.parametrize("most", [1, 10**9])
def test_each_cosine_is_that_of_the_quick_set_for_the_image_alone(monkeypatch, most):
    monkeypatch.setattr(twin_cosines, "_MOST_BYTES", most)  # a group of pictures for each, or one for all
    net = classifier()
    measured = twins(net, PHOTOS, UNITS, OTHERS)
    for unit, other, twin in zip(UNITS, OTHERS, measured, strict=True):
        x, there = PHOTOS[unit.image : unit.image + 1], PHOTOS[other : other + 1]
        alone = net.project(x, unit.layer, channel=unit.channel, position=unit.position, start="one")
        quick = quick_trust(net, x, alone, others=there)
        assert twin.other_unit == pytest.approx(float(quick.other_units[0, 0]))
        assert twin.other_image == pytest.approx(float(quick.other_image[0]))
        assert twin.other_channel not in (None, unit.channel)


def test_what_is_drawn_does_not_depend_on_the_other_units_or_images():
    net = classifier()
    alone = twins(net, PHOTOS[[2, 0]], [Unit("relu2", 5, (4, 0), 0)], [1])
    assert alone[0].other_channel == twins(net, PHOTOS, UNITS, OTHERS)[2].other_channel
    seeds = {twins(net, PHOTOS, UNITS[:1], [1], seed=seed)[0].other_channel for seed in range(9)}
    assert len(seeds) > 2


def test_without_switches_the_picture_is_the_same_in_another_image():
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), PHOTOS.float())
    (twin,) = twins(net, PHOTOS.float(), [Unit("1", 0, (3, 3), 0)], [1])
    assert twin.other_image == pytest.approx(1)


def test_what_is_not_there_is_not_measured():
    model = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(1, 2, 3), nn.ReLU())
    nn.init.constant_(model[3].weight[1], -1.0)
    net, x = DeconvNet(model, PHOTOS.float()), PHOTOS.float()
    single, no_image, zero = twins(
        net, x, [Unit("1", 0, (3, 3), 0), Unit("4", 0, (1, 1), 0), Unit("4", 1, (1, 1), 0)], [1, None, 1]
    )
    assert single.other_channel is single.other_unit is None and single.other_image is not None
    assert no_image.other_image is None and no_image.other_channel == 1
    assert zero == Twins(0, None, None)  # its picture is rectified to nothing


def test_wrong_units_and_images_are_refused():
    net, unit = classifier(), UNITS[0]
    for units, others, words in (
        ([], [], "units is a list of Unit"), ([unit], [], "others is a list of 1 images"),
        ([unit], [3], "there are 3 images"), ([Unit("relu2", 8, (0, 0), 0)], [1], "8"),
        ([Unit("relu2", 0, None, 0)], [1], "a position in 'relu2' has 2 indices"), ([3], [1], "units is a list"),
        ([Unit("relu2", None, (0, 0), 0)], [1], "feature maps"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=words):
            twins(net, PHOTOS, units, others)
    with pytest.raises(LayerNotFoundError):
        twins(net, PHOTOS, [Unit("relu9", 0, (0, 0), 0)], [1])
    with pytest.raises(ArgumentError, match="seed"):
        twins(net, PHOTOS, UNITS, OTHERS, seed=-1)
