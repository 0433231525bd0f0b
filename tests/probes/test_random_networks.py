"""A picture beside those of networks with random weights."""

import numpy as np
import pytest
import torch
from support.pictured import images, of_class, of_unit, pooled_net
from torch import nn

from deconvnet import DeconvNet
from deconvnet.probes.edge_likeness import edges
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.random_networks import against_random_networks
from deconvnet.probes.random_twin import random_twin, random_twins
from deconvnet.probes.similarity import spearman
from deconvnet.probes.unit_or_image import noise, other_units


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def unit() -> Pictured:
    return of_unit()


def test_the_value_is_the_median_likeness_to_the_twins_and_the_null_is_that_among_them(unit: Pictured):
    pictured = unit
    twins = [pictured.of_units([pictured.unit], net=twin)[0] for twin in random_twins(pictured.net, pictured.seed, 20)]
    measure = against_random_networks(pictured)
    assert measure.value == pytest.approx(np.median([spearman(pictured.own, twin) for twin in twins]))
    (null,) = measure.nulls
    assert len(null.draws) == 20
    third = np.median([spearman(twins[2], twin) for i, twin in enumerate(twins) if i != 2])
    assert null.draws[2] == pytest.approx(third)


def test_what_the_network_shows_stands_beside_what_its_twins_show(unit: Pictured):
    numbers = dict(against_random_networks(unit).details)
    for measure in (other_units, noise, edges):
        found = measure(unit)
        assert numbers[found.name] == pytest.approx(found.value)
        (null,) = (null for null in found.nulls if null.name == "random networks")
        assert numbers[f"{found.name}, random networks"] == pytest.approx(np.median(null.draws))


def test_a_network_that_is_random_itself_lies_within_its_null():
    measures = [against_random_networks(of_unit(net=random_twin(pooled_net(), seed), seed=9)) for seed in (0, 1)]
    assert not all(measure.words for measure in measures)


def test_a_network_whose_picture_is_the_opposite_is_less_like_random_ones():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 40, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(40, 6, 3), nn.ReLU())
    with torch.no_grad():
        model[3].weight.abs_()
        model[0].weight.abs_().neg_()
        model[0].bias.fill_(20)
    measure = against_random_networks(of_unit("4", net=DeconvNet(model, images(1))))
    assert measure.value is not None
    assert measure.words.startswith("This picture is less like those of random networks")


def test_of_a_class_it_is_measured_too():
    assert against_random_networks(of_class(1)).value is not None


def test_without_filters_or_a_picture_it_says_why_not():
    net = DeconvNet(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), images(1))
    assert "could be drawn at random" in against_random_networks(of_unit("1", net=net)).why_not
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    nn.init.ones_(model[0].weight)
    one = DeconvNet(model, images(1, 1))
    assert "the same all over" in against_random_networks(of_unit("1", net=one, x=images(1, 1))).why_not
