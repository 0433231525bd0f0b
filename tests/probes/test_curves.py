"""Numbers of curves, on curves where they are known."""

import math

import numpy as np
import pytest

from deconvnet.probes.curves import curve

MOVES = np.arange(-10.0, 11.0)


def test_a_straight_line_has_its_slope_and_is_flat_at_nine_tenths():
    line = curve("translation", MOVES, np.abs(MOVES) * 0.05)
    assert line.slope == pytest.approx(0.05) and line.saturation == 9 and line.largest == pytest.approx(0.5)
    assert line.rank_correlation == pytest.approx(1) and line.linear_correlation == pytest.approx(1)
    assert math.isnan(line.closest_angle) and math.isnan(line.closest_ratio)


def test_a_curve_that_is_flat_at_once_is_told_from_a_straight_one():
    flat = curve("translation", MOVES, np.minimum(np.abs(MOVES), 2.0))
    assert flat.saturation == 2 and flat.slope == 1
    assert flat.linear_correlation < 0.8 and flat.rank_correlation > 0.8 * flat.linear_correlation


def test_slopes_of_both_sides_are_averaged():
    assert curve("translation", np.array([-1.0, 0, 1, 2]), np.array([1.0, 0, 3, 9])).slope == 2


def test_an_exception_is_the_angle_at_which_a_photo_looks_alike():
    angles = np.arange(0.0, 360, 10)
    distances = np.minimum(1.0, np.minimum(angles, 360 - angles) / 30)
    distances[angles == 180] = 0.2
    turned = curve("rotation", angles, distances)
    assert turned.closest_angle == 180 and turned.closest_ratio == pytest.approx(0.2)
    even = curve("rotation", angles, np.ones(36) * (angles > 0))
    assert even.closest_ratio == 1


def test_what_is_not_defined_is_nan():
    still = curve("rotation", np.arange(0.0, 360, 10), np.zeros(36))
    assert still.largest == still.mean == still.slope == 0
    assert all(map(math.isnan, (still.saturation, still.rank_correlation, still.closest_angle, still.closest_ratio)))
    single = curve("scale", np.array([1.0]), np.zeros(1))
    assert math.isnan(single.slope) and math.isnan(single.linear_correlation)
    assert math.isnan(curve("scale", np.array([1.0, 2]), np.array([0, math.nan])).largest)
