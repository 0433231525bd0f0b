"""What the critiques of the deconvnet found, in networks with random weights: order and size of their numbers."""

from dataclasses import replace

import numpy as np
import pytest
import skimage
import torch
from skimage.color import rgb2gray
from skimage.transform import resize
from support.pictured import images, of_unit, pooled_model
from torch import Tensor, nn

from deconvnet import DeconvNet
from deconvnet.core.rules import RuleSet
from deconvnet.models.zfnet import zfnet
from deconvnet.probes.pictured import Others, Pictured
from deconvnet.probes.random_twin import random_twin
from deconvnet.probes.similarity import cosine, pearson


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


NAMES = "astronaut", "coffee", "camera"


def grey_photos() -> Tensor:
    photos = [resize(rgb2gray(p) if p.ndim == 3 else p, (64, 64), anti_aliasing=True) for p in map(sample, NAMES)]
    return torch.stack([torch.tensor((p - p.mean()) / p.std(), dtype=torch.float32)[None] for p in photos])


def sample(name: str) -> np.ndarray:
    photo: np.ndarray = getattr(skimage.data, name)()
    return photo


def random_network(maps: int, *, pool: bool) -> DeconvNet:
    """As in Nie, Zhang and Patel (2018): one layer of random filters, and two random classes."""
    torch.manual_seed(0)
    side = 29 if pool else 58
    layers = [nn.Conv2d(1, maps, 7, bias=False), nn.ReLU(), nn.MaxPool2d(2) if pool else nn.Identity(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(maps * side * side, 2, bias=False))
    for weight in model.parameters():
        nn.init.normal_(weight)
    return DeconvNet(model, torch.zeros(1, 1, 64, 64))


def with_image_and_other_class(net: DeconvNet, rules: str) -> tuple[float, float]:
    """The mean correlation of a class's picture with its image, and with the picture of the other class."""
    x = grey_photos()
    pictures = net.with_rules(rules).explain(x, targets=[0, 1]).full().double().numpy().reshape(len(x), 2, -1)
    of_image = [
        pearson(p, image) for image, pair in zip(x.double().flatten(1).numpy(), pictures, strict=True) for p in pair
    ]
    of_other = [pearson(*pair) for pair in pictures]
    return float(np.mean(of_image)), float(np.mean(of_other))


def test_in_random_networks_a_picture_is_the_image_once_switches_or_masks_place_it_and_whatever_the_class():
    pooled, plain = random_network(256, pool=True), random_network(64, pool=False)
    gradient, deconvnet, guided, unpooled = (
        with_image_and_other_class(net, rules)
        for net, rules in ((pooled, "gradient"), (pooled, "deconvnet"), (plain, "guided"), (plain, "deconvnet"))
    )
    assert abs(gradient[0]) < 0.05 and abs(unpooled[0]) < 0.08
    assert deconvnet[0] > 0.2 and guided[0] > 0.6
    assert guided[1] > deconvnet[1] > unpooled[1] > gradient[1] and abs(gradient[1]) < 0.05


def test_fewer_filters_show_less_of_the_image():
    assert 0.1 < with_image_and_other_class(random_network(32, pool=True), "deconvnet")[0] < 0.25


def untrained(net: DeconvNet, x: Tensor, layer: str) -> Pictured:
    """The strongest unit of a random twin's layer in the first image."""
    twin = random_twin(net, 0)
    values = twin.activations(x[:1], layer)[layer][0]
    channel, *position = map(int, np.unravel_index(int(values.argmax()), values.shape))
    result = twin.project(x[:1], layer, channel=channel, position=tuple(position))
    return Pictured.of(twin, x[:1], result, Others(x[1:], "other photos"))


def medians(pictured: Pictured) -> tuple[float, float, float, float]:
    """The median cosine of the picture with those of other units, of noise, of other images, and of max unpooling."""
    units = [replace(pictured.unit, channel=c) for c in pictured.other_channels(6, "others")]
    noise = torch.randn(6, pictured.maps, generator=pictured.generator("noise")).abs()
    others = [replace(pictured.unit, image=i) for i in range(len(pictured.others))]
    drawn = (
        pictured.of_units(units), pictured.of_profiles(noise), pictured.of_units(others, pictured.others.images),
        pictured.under(RuleSet(overlap="max"))[None],
    )  # fmt: skip
    return tuple(float(np.median([cosine(pictured.own, p) for p in pictures])) for pictures in drawn)


def photos(side: int) -> Tensor:
    colours = [resize(sample(name), (side, side), anti_aliasing=True) for name in ("astronaut", "coffee", "chelsea")]
    x = torch.tensor(np.stack(colours), dtype=torch.float32).permute(0, 3, 1, 2) * 255
    return x - x.mean((2, 3), keepdim=True)


@pytest.mark.slow
def test_in_an_untrained_zfnet_switches_decide_and_not_the_unit():
    net = DeconvNet(zfnet()[:13], torch.zeros(1, 3, 224, 224))
    units, noise, other_image, overlap = medians(untrained(net, photos(224), "conv5"))
    assert units == pytest.approx(0.82, abs=0.05) and noise == pytest.approx(0.83, abs=0.05)
    assert other_image == pytest.approx(0.15, abs=0.05)
    assert overlap == pytest.approx(0.94, abs=0.03)  # where a later window writes over an earlier one, .83 to .88


def test_in_a_small_untrained_network_switches_decide_and_not_the_unit():
    layers = [
        nn.Conv2d(3, 32, 5, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(32, 48, 5),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    ]
    net = DeconvNet(nn.Sequential(*layers, nn.Conv2d(48, 64, 3), nn.ReLU()), torch.zeros(1, 3, 64, 64))
    units, noise, other_image, _ = medians(untrained(net, photos(64), "7"))
    assert units > 0.5 and noise > 0.5 > 0.35 > other_image


def test_without_a_max_pool_another_images_picture_is_the_same():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 6, 3), nn.ReLU())
    pictured = of_unit("4", net=DeconvNet(model, images(1)))
    pictures = pictured.of_units([replace(pictured.unit, image=i) for i in range(3)], pictured.others.images[:3])
    for picture in pictures:
        np.testing.assert_allclose(picture * pictured.activation, pictured.own, rtol=1e-5, atol=1e-5)


def test_an_image_that_is_brighter_and_a_bias_that_expects_it_give_the_same_picture():
    """The input invariance of Kindermans et al. (2017)."""
    model, shifted, x = pooled_model(), pooled_model(), images(1)
    model[0].padding = shifted[0].padding = 0
    model[6] = shifted[6] = nn.Linear(30 * 9 * 7, 5)
    with torch.no_grad():
        shifted[0].bias -= 1.5 * shifted[0].weight.sum((1, 2, 3))
    ours, theirs = (DeconvNet(net, x).explain(seen, 2).full() for net, seen in ((model, x), (shifted, x + 1.5)))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
