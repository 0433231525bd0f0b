"""How strong a unit is, and how much its switches can say."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.pictured import images, of_class, of_unit, pooled_net
from torch import nn

from deconvnet import DeconvNet, RuleSet, Unit
from deconvnet.probes.like_photos import photo_likeness
from deconvnet.probes.signal_quality import signal_quality
from deconvnet.probes.unit_scale import strength, strongest_of_map, switches


def test_a_zfnet_unit_has_as_many_switches_as_the_sizes_of_its_cone_say() -> None:
    stack = nn.Sequential(
        nn.Conv2d(1, 96, 7, 2, 1), nn.MaxPool2d(3, 2, 1), nn.Conv2d(96, 256, 5, 2, groups=32), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(256, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 256, 3, padding=1),
    ).eval()  # fmt: skip
    x = torch.randn(1, 1, 224, 224)
    measure = switches(of_unit("6", net=DeconvNet(stack, x), x=x, position=(6, 6), others=0))
    assert dict(measure.details) == {"switches": 7 * 7 * 256 + 33 * 33 * 96, "bits that name the unit": 8}
    assert measure.value == pytest.approx(117_088 * math.log2(9))


def test_windows_beyond_the_border_hold_fewer_pixels_and_those_outside_the_cone_none() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 2, 3, padding=1)).eval()
    measure = switches(of_unit("2", net=DeconvNet(model, images(2)), position=(0, 0), others=0))
    assert dict(measure.details)["switches"] == 2 * 2 * 4  # a corner sees 2x2 pooled units
    assert measure.value == pytest.approx(4 * (2 + 2 * math.log2(6) + math.log2(9)))


def test_classes_see_every_switch() -> None:
    assert dict(switches(of_class()).details)["switches"] == 12 * 10 * 8


def test_maxima_over_whole_maps_and_of_several_maps_have_switches_too() -> None:
    class Maxima(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.maximum(self.first(x).relu(), self.second(x).relu()).amax((2, 3)))

    for rules in ("deconvnet", "gradient"):
        measure = switches(of_class(net=DeconvNet(Maxima().eval(), images(2), rules=rules)))
        assert dict(measure.details)["switches"] == 4 + 4 * 22 * 18
        assert measure.value == pytest.approx(4 * math.log2(22 * 18) + 4 * 22 * 18)


def test_without_switches_there_are_no_bits() -> None:
    centre = pooled_net().with_rules(RuleSet(unpool="centre"))
    for pictured in (of_unit("1"), of_unit("4", net=centre)):
        measure = switches(pictured)
        assert measure.value == 0 and dict(measure.details)["switches"] == 0


def test_the_percentile_is_counted_over_other_images() -> None:
    pictured = of_unit()
    maps = pooled_net().activations(pictured.others.images, "4")["4"][:, 0].flatten(1).amax(1)
    measure = strength(pictured)
    assert measure.value == pytest.approx(100 * float((maps < pictured.activation).float().mean()))
    assert dict(measure.details) == {"activation": pictured.activation, "other photos": 25}


def test_an_atlas_may_know_it() -> None:
    pictured = of_unit(others=0)
    asked: list[tuple[Unit, float]] = []

    def percentile(unit: Unit, activation: float) -> float:
        asked.append((unit, activation))
        return 93.5

    assert strength(pictured, percentile).value == 93.5
    assert asked == [(pictured.unit, pictured.activation)]


def test_few_other_images_are_not_enough() -> None:
    measure = strength(of_unit(others=19))
    assert measure.value is None and "at least 20 other photos; there are 19" in measure.why_not
    assert dict(measure.details)["activation"] > 0


def test_images_with_shuffled_phase_are_not_photos() -> None:
    pictured = of_unit()
    shuffled = replace(pictured, others=replace(pictured.others, shuffled=True), worked_out={})
    for measure in (strength, photo_likeness, signal_quality):
        assert measure(shuffled).value is None and measure(shuffled).why_not


@pytest.mark.parametrize("layer", ["4", "6"])
def test_the_strongest_of_a_map_is_found_in_every_image(layer: str) -> None:
    pictured = of_unit(layer, 2, position=None if layer == "4" else ())
    values, positions = strongest_of_map(pictured, pictured.others.images)
    maps = pooled_net().activations(pictured.others.images, layer)[layer][:, 2]
    np.testing.assert_allclose(values, maps.flatten(1).amax(1) if layer == "4" else maps, rtol=1e-5)
    assert positions.shape == (25, maps.ndim - 1)
    for value, at, of_image in zip(values, positions, maps, strict=True):
        assert of_image[tuple(at)] == pytest.approx(value, rel=1e-5)
