"""Images of any size made as large as a square asks for."""

import math

import numpy as np
import pytest
from PIL import Image

from deconvnet.pictures.fit import fit, resized

SIZES = [(1, 1), (3, 5), (5, 3), (13, 13), (48, 48), (128, 64), (200, 31), (1, 300), (300, 1), (161, 40)]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_longer_side_becomes_as_long_as_asked_and_the_shape_stays(size, even):
    fitted = fit(noise(*size), 48, even=even)
    assert max(fitted.size) == 48
    assert min(fitted.size) == max(1, round(48 * min(size) / max(size)))


@pytest.mark.parametrize("size", [(7, 5), (14, 10), (20, 15), (4, 3), (9, 2)])
@pytest.mark.parametrize("even", [False, True])
def test_any_size_is_met_exactly_and_the_same_size_changes_nothing(size, even):
    image = noise(7, 5)
    made = resized(image, size, even=even)
    assert made.size == size
    whole = {(7, 5): 1, (14, 10): 2}.get(size)
    if whole:
        assert np.array_equal(np.asarray(made)[::whole, ::whole], np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("side", [2, 7, 30])
def test_the_mode_stays(mode, side):
    assert fit(noise(7, 5).convert(mode), side).mode == mode


@pytest.mark.parametrize("even", [False, True])
def test_an_image_of_the_size_asked_for_is_as_it_was(even):
    assert np.array_equal(fit(noise(40, 30), 40, even=even), noise(40, 30))


@pytest.mark.parametrize("even", [False, True])
def test_large_images_are_reduced_with_antialiasing(even):
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))
    assert np.abs(np.asarray(fit(stripes, 16, even=even), float)[:, 2:-2] - 127.5).max() < 8


@pytest.mark.parametrize("size", [(3, 5), (7, 4), (13, 13)])
def test_enlarged_pixels_are_those_whose_centres_are_nearest(size):
    image = noise(*size)
    height, width = fit(image, 48).size[::-1]
    rows = [math.floor((i + 0.5) * image.height / height) for i in range(height)]
    columns = [math.floor((i + 0.5) * image.width / width) for i in range(width)]
    assert np.array_equal(fit(image, 48), np.asarray(image)[np.ix_(rows, columns)])


def test_pixels_enlarged_evenly_have_all_the_same_share():
    image = Image.fromarray(np.arange(0, 250, 50, dtype=np.uint8)[None].repeat(5, 0))
    values = np.asarray(fit(image, 48, even=True), float)
    assert values.mean() == pytest.approx(100, abs=0.5)  # with 9 or 10 pixels each, it is 101.0
    assert np.array_equal(fit(image, 45, even=True), np.asarray(image).repeat(9, 0).repeat(9, 1))
