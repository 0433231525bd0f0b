"""Whether there is a clear distinction in a picture."""

import numpy as np
import pytest
import torch
from support.pictured import images, of_class, of_unit, pooled_net
from torch import nn

from deconvnet import DeconvNet
from deconvnet.probes.distinctness import distinction, energy_of, entropy, margin, strongest_tenth
from deconvnet.probes.pictured import Pictured


def test_a_tenth_of_equal_values_holds_a_tenth_and_one_value_holds_all() -> None:
    assert strongest_tenth(np.ones((5, 8))) == pytest.approx(0.1)
    assert strongest_tenth(np.eye(1, 20)) == 1


def test_entropy_is_one_of_equal_values_and_zero_of_a_single_one() -> None:
    assert entropy(np.full(7, 3.0)) == pytest.approx(1)
    assert entropy(np.eye(1, 7)) == 0
    assert entropy(np.array([1.0, 1, 0, 0])) == pytest.approx(0.5)
    assert entropy(np.array([2.0])) is None and entropy(np.array([-1.0, 0])) is None


def test_the_measure_holds_all_of_them() -> None:
    pictured = of_unit("4", 3)
    measure = distinction(pictured)
    maps = pooled_net().activations(images(1), "4")["4"][0, 3].double().numpy()
    probabilities = pooled_net().probabilities(images(1))[0].sort(descending=True).values
    numbers = dict(measure.details)
    assert measure.value == numbers["strongest tenth"] == strongest_tenth(energy_of(pictured.own))
    assert numbers["entropy of the map"] == entropy(maps)
    assert numbers["entropy of the picture"] == entropy(energy_of(pictured.own))
    assert numbers["margin of the class"] == pytest.approx(float(probabilities[0] - probabilities[1]))
    assert len(measure.nulls[0].draws) == 24


def test_the_margin_of_a_class_is_its_own() -> None:
    probabilities = pooled_net().probabilities(images(1))[0]
    order = probabilities.argsort()
    last, first = int(order[0]), int(order[-1])
    assert margin(of_class(last)) == pytest.approx(float(probabilities[last] - probabilities[first]))
    assert "entropy of the map" not in dict(distinction(of_class()).details)


def test_a_network_without_classes_has_no_margin() -> None:
    model = nn.Sequential(nn.Conv2d(3, 30, 5), nn.ReLU()).eval()
    measure = distinction(of_unit("1", net=DeconvNet(model, images(2))))
    assert "margin of the class" not in dict(measure.details) and measure.value is not None


def test_a_picture_in_fewer_places_than_all_others_is_said_to_be() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 30, 7), nn.ReLU()).eval()
    with torch.no_grad():
        model[0].weight[0] = 0
        model[0].weight[0, :, 2, 2] = 1
    measure = distinction(of_unit("0", net=DeconvNet(model, images(2))))
    assert measure.value == 1 and "fewer places" in measure.words and "100%" in measure.words


def test_zero_pictures_and_tiny_ones_are_not_measured() -> None:
    pictured = of_unit()
    assert "zero" in distinction(Pictured(**{**vars(pictured), "own": np.zeros_like(pictured.own)})).why_not
    assert "9 pixels" in distinction(of_unit("0", 0, (3, 3))).why_not
