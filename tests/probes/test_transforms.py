"""Transforms: pixels that are copied are exact, directions are those that the docstring names, the border is filled."""

import math

import pytest
import torch

from deconvnet import ArgumentError
from deconvnet.probes import Transforms
from deconvnet.probes.transforms import amount, axis_of, filled, fills_of, transformed, values_of

X = torch.arange(2 * 4 * 4, dtype=torch.float32).reshape(2, 4, 4) / 3


def test_a_translation_by_whole_pixels_copies_them_and_fills_the_rest():
    moved = transformed(X, "translation", 1.0, axis=0, fill=(7.0, 8.0))
    assert torch.equal(moved[:, 1:], X[:, :-1])
    assert moved[0, 0].tolist() == [7.0] * 4 and moved[1, 0].tolist() == [8.0] * 4
    assert torch.equal(transformed(X, "translation", -2.0, axis=1, fill=(0.0, 0.0))[:, :, :2], X[:, :, 2:])


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (270, 3), (-90, 3), (360, 0), (0, 0)])
def test_a_turn_by_right_angles_is_counter_clockwise_and_copies_pixels(angle, turns):
    turned = transformed(X, "rotation", float(angle), fill=(0.0, 0.0))
    assert torch.equal(turned, torch.rot90(X, turns, (1, 2)))


def test_a_volume_is_turned_in_its_planes():
    volume = torch.rand(1, 3, 4, 4)
    assert torch.equal(transformed(volume, "rotation", 90.0, fill=(0.0,)), torch.rot90(volume, 1, (2, 3)))


def test_a_scale_of_one_changes_nothing_and_a_larger_one_enlarges_about_the_middle():
    assert torch.equal(transformed(X, "scale", 1.0, fill=(9.0, 9.0)), X)
    ramp = torch.arange(9.0)[None, None].expand(1, 9, 9)
    enlarged = transformed(ramp, "scale", 2.0, fill=(-1.0,))
    assert torch.allclose(enlarged[0, 4], 4 + (torch.arange(9.0) - 4) / 2)


def test_between_pixels_the_image_is_interpolated_linearly():
    assert torch.allclose(
        transformed(X, "translation", 0.5, axis=0, fill=(0.0, 0.0))[:, 1:], (X[:, 1:] + X[:, :-1]) / 2
    )


def test_the_type_of_the_image_is_kept():
    assert transformed(X.half(), "scale", 1.5, fill=(0.0, 0.0)).dtype == torch.float16


def test_the_share_that_is_filled_is_known():
    assert filled("translation", 1.0, (4, 4), 0) == 0.25
    assert filled("scale", 1.5, (4, 4), 0) == pytest.approx(0)
    assert filled("rotation", 45.0, (40, 40), 0) == pytest.approx(1 - 2 * (math.sqrt(2) - 1), abs=0.02)


def test_the_defaults_are_those_of_the_paper_at_its_size_and_in_proportion_at_others():
    kinds = values_of(Transforms(), (224, 224))
    assert kinds["translation"] == tuple(map(float, range(-60, 61, 4)))
    assert kinds["scale"] == tuple(round(1 + i / 20, 2) for i in range(17)) and kinds["scale"][-1] == 1.8
    assert kinds["rotation"] == tuple(map(float, range(0, 360, 10)))
    assert values_of(Transforms(), (112, 300))["translation"] == tuple(map(float, range(-30, 31, 2)))
    assert max(values_of(Transforms(direction="horizontal"), (112, 448))["translation"]) == 120
    assert values_of(Transforms(), (4, 4))["translation"] == (-1, 0, 1)


def test_an_empty_list_leaves_a_kind_out_and_one_axis_cannot_be_turned():
    assert list(values_of(Transforms(scales=()), (8, 8))) == ["translation", "rotation"]
    assert list(values_of(Transforms(), (50,))) == ["translation", "scale"]
    with pytest.raises(ArgumentError, match=r"one axis and cannot be turned: leave angles out"):
        values_of(Transforms(angles=[90]), (50,))


def test_depth_is_a_direction_of_volumes_alone():
    assert axis_of(Transforms(direction="depth"), (4, 5, 6)) == 0
    assert axis_of(Transforms(), (4, 5, 6)) == 1 and axis_of(Transforms(direction="horizontal"), (4, 5, 6)) == 2
    with pytest.raises(ArgumentError, match="only volumes"):
        values_of(Transforms(direction="depth"), (4, 4))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"scales": [0.0]}, "scales are above 0"),
        ({"translations": [math.nan]}, "translations is a finite number"),
        ({"angles": 90}, "angles is a list of at most 10,000 numbers; got 90"),
        ({"translations": [], "scales": [], "angles": []}, "all empty"),
        ({"direction": "up"}, "direction is one of vertical, horizontal, depth; got 'up'"),
        ({"fill": "grey"}, "fill is a finite number; got 'grey'"),
    ],
)
def test_what_cannot_be_is_said(wrong, words):
    with pytest.raises(ArgumentError, match=words):
        Transforms(**wrong)


def test_a_fill_is_one_for_all_channels_or_for_each():
    assert fills_of(Transforms(fill=2), 3) == (2.0, 2.0, 2.0)
    assert fills_of(Transforms(fill=[1, 2]), 2) == (1.0, 2.0)
    with pytest.raises(ArgumentError, match="2 values for images of 3 channels"):
        fills_of(Transforms(fill=[1, 2]), 3)


def test_an_amount_is_how_far_a_transform_is_from_none():
    values = torch.tensor([0.0, 90, 350, -10, 540], dtype=torch.float64).numpy()
    assert amount("rotation", values).tolist() == [0, 90, 10, 10, 180]
    assert amount("translation", values).tolist() == [0, 90, 350, 10, 540]
    assert amount("scale", torch.tensor([0.5, 1.0, 1.5]).numpy()).tolist() == [0.5, 0, 0.5]
