"""Numbered boxes on photos: where they lie, and whether the numbers can be read."""

import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deconvnet import Box
from deconvnet.pictures.numbered_boxes import numbered


def test_boxes_are_drawn_thin_where_they_lie_and_each_has_its_number():
    grey = Image.new("L", (200, 100), 90)
    box = Box((20, 30), (80, 170))
    drawn = np.asarray(numbered(grey, [box])).astype(int)
    changed = (drawn != 90).any(2)
    assert changed[20:24, 60:170].all() and changed[76:80, 30:170].all() and changed[40:80, 30:34].all()
    assert not changed[24:76, 45:166].any() and not changed[:10].any() and not changed[:, 174:].any()
    assert (drawn[22, 60:160] == 255).all() and (drawn[20, 60:160] == 0).all()


def test_numbers_of_boxes_at_one_place_do_not_cover_each_other(monkeypatch):
    tags = []
    rectangle = ImageDraw.ImageDraw.rectangle

    def seen(self: Any, at: Any, fill: Any = None, **options: Any) -> None:
        tags.extend([at] if fill else [])
        rectangle(self, at, fill=fill, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", seen)
    numbered(Image.new("RGB", (480, 480)), [Box((-9, -9), (500, 500)), *[Box((10, 10), (400, 400))] * 12])
    assert len(tags) == 13
    for (a, b, c, d), (e, f, g, h) in itertools.combinations(tags, 2):
        assert c < e or g < a or d < f or h < b
    assert all(a >= 0 and b >= 0 and c < 480 and d < 480 for a, b, c, d in tags)


@pytest.mark.parametrize("box", [Box((-5, -5), (1, 1)), Box((40, 60), (41, 61)), Box((30, 30), (90, 90))])
def test_boxes_that_are_small_or_reach_past_the_border_are_drawn_on_the_photo(box: Box):
    assert (np.asarray(numbered(Image.new("RGB", (64, 48)), [box, box])) != 0).any()
