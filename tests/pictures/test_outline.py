"""The outline of a region lies on the region's edge and changes nothing else."""

import numpy as np
import pytest
from PIL import Image

from deconvnet import ArgumentError
from deconvnet.pictures.outline import outlined

GREY, YELLOW, BLACK = (90, 90, 90), (255, 225, 0), (0, 0, 0)


def drawn(region: np.ndarray) -> np.ndarray:
    return np.asarray(outlined(Image.new("RGB", region.shape[::-1], GREY), region))


def test_inside_is_a_light_line_and_around_it_a_dark_one():
    region = np.zeros((9, 11), bool)
    region[2:7, 3:9] = True
    pixels = drawn(region)
    assert tuple(pixels[2, 3]) == tuple(pixels[6, 8]) == tuple(pixels[4, 3]) == YELLOW
    assert tuple(pixels[1, 5]) == tuple(pixels[7, 5]) == tuple(pixels[4, 9]) == BLACK
    assert tuple(pixels[4, 5]) == tuple(pixels[0, 0]) == tuple(pixels[8, 10]) == GREY


def test_a_region_that_is_cut_by_the_border_is_closed_along_it():
    pixels = drawn(np.ones((6, 6), bool))
    assert (pixels[0] == YELLOW).all() and (pixels[:, -1] == YELLOW).all() and tuple(pixels[2, 2]) == GREY


def test_without_a_region_nothing_is_drawn():
    assert (drawn(np.zeros((5, 5), bool)) == GREY).all()


def test_a_region_of_another_size_is_refused():
    with pytest.raises(ArgumentError, match=r"a region of \(4, 5\) does not fit an image of 5 x 4"):
        outlined(Image.new("L", (4, 5)), np.zeros((4, 5), bool))


def test_lines_of_a_large_image_are_thick_enough_to_be_seen_when_it_is_reduced():
    region = np.zeros((1200, 900), bool)
    region[400:440, 300:340] = True
    pixels = np.array(outlined(Image.new("RGB", (900, 1200), "white"), region))
    line, edge = (pixels == (255, 225, 0)).all(-1), (pixels == 0).all(-1)
    assert line[420].sum() == 6 and edge[420].sum() == 6
