"""Strength in colours: ordered, readable on any photo, and the same as on its scale."""

import numpy as np
import pytest
from PIL import Image

from deconvnet.photos.levels import LUMA
from deconvnet.pictures.heat import heat, heat_bar


@pytest.mark.parametrize("level", [0, 128, 255])
def test_stronger_pixels_differ_more_from_the_photo_whatever_its_brightness(level: int) -> None:
    photo = Image.new("RGB", (11, 1), (level,) * 3)
    shown = np.asarray(heat(photo, np.linspace(0, 1, 11)[None]), float)[0]
    apart = np.abs(shown - shown[0]).sum(1)
    assert (np.diff(apart[:5]) > 0).all() and (apart[3:] > 100).all()
    assert np.ptp(shown[0]) == 0 and 60 <= shown[0, 0] <= 180


def test_from_half_of_the_scale_on_brightness_rises_with_strength_and_hides_the_photo() -> None:
    strength = np.linspace(0.5, 1, 20)[None]
    dark, light = (np.asarray(heat(Image.new("L", (20, 1), level), strength), float) for level in (0, 255))
    np.testing.assert_array_equal(dark, light)
    assert (np.diff(dark[0] @ np.array(LUMA)) > 0).all()


def test_the_scale_shows_the_colours_of_the_map() -> None:
    bar = heat_bar()
    np.testing.assert_array_equal(np.asarray(bar.image)[:1], np.asarray(heat(None, np.linspace(0, 1, 256)[None])))
    assert bar.ticks == ((0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %"))
