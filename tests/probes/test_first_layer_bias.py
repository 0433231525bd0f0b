"""A picture's spatial frequencies beside those of the first layer's filters."""

import numpy as np
import pytest
import torch
from support.pictured import images, of_class, of_unit
from torch import nn

from deconvnet import DeconvNet
from deconvnet.probes.first_layer_bias import first_layer_bias


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def stripes() -> DeconvNet:
    """A network whose first filters are stripes of a period of four pixels."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 30, 3), nn.ReLU())
    wave = torch.cos(torch.arange(5) * torch.pi / 2).repeat(5, 1) + 0.05 * torch.randn(8, 3, 5, 5)
    with torch.no_grad():
        model[0].weight[:] = wave
    return DeconvNet(model, images(1))


def test_a_picture_made_of_stripes_has_the_frequencies_of_stripes_whatever_the_unit():
    measure = first_layer_bias(of_unit(net=stripes()))
    units, random = measure.nulls
    assert units.name == "other units here" and len(units.draws) == 20
    assert random.name == "the filters of random networks" and len(random.draws) == 20
    assert measure.value is not None and measure.value > 0.6 and random.side(measure.value) == 1
    assert "more like those of the first layer's filters" in measure.words
    assert f"{measure.value:.2f}" in measure.words and "other units here have" in measure.words


def test_a_unit_of_the_first_layer_has_its_own_filters_frequencies():
    torch.manual_seed(0)
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 1, 7), nn.ReLU()), images(1))
    measure = first_layer_bias(of_unit("1", net=net, position=(4, 4)))
    assert measure.value == pytest.approx(1, abs=1e-9)


def test_of_a_class_it_is_measured_too():
    assert first_layer_bias(of_class(1)).value is not None


def test_sounds_have_frequencies_as_well():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, 8, 9), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 5, 9), nn.ReLU())
    x = torch.randn(1, 2, 64)
    assert first_layer_bias(of_unit("4", net=DeconvNet(model, x), x=x, others=0)).value is not None


def test_what_has_no_first_filters_or_too_few_frequencies_says_so():
    pooled = DeconvNet(nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU()), images(1))
    assert "takes switches from it" in first_layer_bias(of_unit("2", net=pooled)).why_not
    small = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), images(1))
    assert "too few frequencies" in first_layer_bias(of_unit("1", net=small)).why_not


def test_it_does_not_depend_on_the_memory():
    first, second = (first_layer_bias(of_unit(memory=memory)) for memory in ("40MB", None))
    assert first == second and np.isfinite([draw for null in first.nulls for draw in null.draws]).all()
