"""What a picture owes to masks, switches and rectification, and to what the paper leaves open."""

import pytest
import torch
from support.pictured import images, of_class, of_unit, pooled_model, pooled_net
from torch import nn

from deconvnet import DeconvNet
from deconvnet.core.rules import RuleSet
from deconvnet.probes.rule_choices import masks_and_switches, other_readings
from deconvnet.probes.similarity import spearman


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_each_of_the_eight_ways_is_compared_with_the_picture():
    pictured = of_unit()
    measure = masks_and_switches(pictured)
    numbers = dict(measure.details)
    assert len(numbers) == 16
    assert numbers["no mask, switches, rectified: rank"] == pytest.approx(1)
    guided = spearman(pictured.own, pictured.under(RuleSet(forward_mask=True)))
    assert numbers["mask, switches, rectified: rank"] == pytest.approx(guided)
    assert measure.value == numbers["no mask, centre, rectified: rank"]
    assert measure.value < 0.5


def test_without_a_max_pool_nothing_is_owed_to_switches():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 6, 3), nn.ReLU())
    measure = masks_and_switches(of_unit("4", net=DeconvNet(model, images(1))))
    assert measure.value == pytest.approx(1, abs=1e-12)


def test_a_guided_picture_is_compared_with_ways_that_differ_from_its_own():
    net = pooled_net().with_rules("guided")
    numbers = dict(masks_and_switches(of_unit(net=net)).details)
    assert numbers["mask, switches, rectified: rank"] == pytest.approx(1)


def test_a_picture_that_is_the_same_all_over_cannot_be_compared():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    nn.init.ones_(model[0].weight)
    net = DeconvNet(model, images(1, 1))
    assert "the same all over" in masks_and_switches(of_unit("1", net=net, x=images(1, 1))).why_not


def test_windows_that_overlap_may_add_up_or_compete():
    model = pooled_model()
    model[2] = nn.MaxPool2d(3, 2, 1)
    pictured = of_unit(net=DeconvNet(model, images(1)))
    measure = other_readings(pictured)
    other = spearman(pictured.own, pictured.under(RuleSet(overlap="max")))
    assert measure.value == pytest.approx(other) and measure.value < 1
    assert [name for name, _ in measure.details] == [
        "max of overlapping windows: rank", "max of overlapping windows: cosine",
    ]  # fmt: skip


def test_contrast_normalisation_may_be_passed_over_undone_or_differentiated():
    torch.manual_seed(0)
    norm = nn.LocalResponseNorm(5, alpha=5.0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), norm, nn.Conv2d(8, 6, 3), nn.ReLU())
    numbers = dict(other_readings(of_unit("4", net=DeconvNet(model, images(1)))).details)
    assert {name.partition(":")[0] for name in numbers} == {
        "divisor for contrast normalisation", "gradient for contrast normalisation",
    }  # fmt: skip


@pytest.mark.parametrize("pictured", [of_unit, of_class])
def test_where_the_paper_leaves_nothing_open_it_says_so(pictured):
    assert "no contrast is normalised" in other_readings(pictured()).why_not
