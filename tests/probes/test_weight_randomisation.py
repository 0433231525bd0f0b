"""What becomes of a picture when layers get random weights."""

import pytest
import torch
from support.pictured import of_class, of_unit, pooled_net
from torch import nn

from deconvnet import DeconvNet
from deconvnet.probes.random_twin import random_twin, randomised, stages
from deconvnet.probes.similarity import similarity
from deconvnet.probes.weight_randomisation import cascade, one_by_one, one_layer_random, random_from_above


def test_layer_after_layer_gets_random_weights_from_the_units_own_down():
    pictured = of_unit()
    curve = cascade(pictured)
    assert list(curve) == ["3", "0"]
    first = randomised(pictured.net, stages(pictured.net)[1:2], pictured.seed)
    assert curve["3"] == similarity(pictured.own, pictured.of_units([pictured.unit], net=first)[0])
    whole = random_twin(pictured.net, pictured.seed)
    assert curve["0"] == similarity(pictured.own, pictured.of_units([pictured.unit], net=whole)[0])


def test_each_layer_gets_random_weights_alone():
    pictured = of_unit()
    alone, together = one_by_one(pictured), cascade(pictured)
    assert list(alone) == ["3", "0"] and alone["3"] == together["3"]
    assert alone["0"] != together["0"]


def test_the_value_is_the_mean_height_of_the_curve_from_1():
    measure = random_from_above(of_unit())
    numbers = dict(measure.details)
    upper, lower = numbers["down to 3"], numbers["down to 0"]
    assert measure.value == pytest.approx((1 / 2 + upper + lower / 2) / 2)
    assert {"cosine, mean", "rank correlation of strengths, mean", "HOG, mean"} <= numbers.keys()
    assert "SSIM, mean" not in numbers  # the picture is too small


def test_layers_above_the_unit_are_not_used():
    assert dict(one_layer_random(of_unit()).details)["layers above the unit"] == pytest.approx(1, abs=1e-12)
    assert "layers above the unit" not in dict(one_layer_random(of_class()).details)


def test_a_class_is_randomised_from_its_own_weights_down():
    assert list(cascade(of_class(2))) == ["6", "3", "0"]


def test_a_picture_of_the_first_layer_is_its_filter_and_changes_at_once():
    measure = random_from_above(of_unit("0", 3))
    assert [name for name, _ in measure.details if name.startswith("down to")] == ["down to 0"]
    assert measure.value is not None and measure.value < 0.95


def test_steps_at_which_a_guided_unit_is_silent_are_left_out():
    pictured = of_unit(net=pooled_net().with_rules("guided"), seed=3)
    curve = cascade(pictured)
    silent = [layer for layer, alike in curve.items() if alike.spearman is None]
    measure = random_from_above(pictured)
    assert silent and bool(measure.why_not) == (len(silent) == len(curve))
    assert not any(name == f"down to {layer}" for name, _ in measure.details for layer in silent)


def test_deep_networks_change_in_at_most_16_steps_the_last_of_which_is_the_whole():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 3, 1) for _ in range(17)]
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 3, 5), *layers), torch.zeros(1, 3, 24, 20))
    pictured = of_unit("17", net=net)
    curve = cascade(pictured)
    assert len(curve) == 16 and list(curve)[-1] == "0"
    (whole,) = pictured.of_units([pictured.unit], net=random_twin(net, pictured.seed))
    assert curve["0"] == similarity(pictured.own, whole)


def test_a_network_without_weights_says_so():
    net = DeconvNet(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), torch.zeros(1, 3, 24, 20))
    for measure in (random_from_above, one_layer_random):
        assert "does not have filters" in measure(of_unit("1", net=net)).why_not


@pytest.mark.parametrize("measure", [random_from_above, one_layer_random])
def test_it_is_the_same_again_and_another_with_another_seed(measure):
    first = measure(of_unit(memory="40MB"))
    assert first == measure(of_unit()) != measure(of_unit(seed=1))
