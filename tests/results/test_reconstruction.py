"""What a reconstruction holds: windows, boxes, pictures, files."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from support.classifier import classifier, close, images

from deconvnet import (
    ArgumentError,
    DeconvNet,
)


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return classifier()


def test_windows_and_boxes_make_the_full_picture(net: DeconvNet):
    x = images()
    result = net.project(x, "conv2", channel="all")
    assert result.windows.shape == (16, 3, 8, 8)
    assert result.boxes.shape == (16, 2, 2)
    full = result.full()
    assert full.shape == (16, 3, 14, 14)
    for i, (low, high) in enumerate(result.boxes.tolist()):
        assert [b - a for a, b in zip(low, high, strict=True)] == [8, 8]
        outside = full[i].clone()
        outside[:, max(low[0], 0) : high[0], max(low[1], 0) : high[1]] = 0
        assert not outside.any()
        inside = F.pad(full[i], (8, 8, 8, 8))[:, low[0] + 8 : high[0] + 8, low[1] + 8 : high[1] + 8]
        assert torch.equal(inside, result.windows[i])


def test_a_box_may_reach_past_the_border(net: DeconvNet):
    result = net.project(images(1), "conv2", channel=1, position=(0, 5), start="one")
    assert result.boxes.tolist() == [[[-2, 8], [6, 16]]]
    window = result.windows[0]
    assert not window[:, :2].any() and not window[:, :, 6:].any()


def test_magnitude_is_the_root_of_the_sum_of_squares_over_channels(net: DeconvNet):
    result = net.explain(images(), 1)
    assert close(result.magnitude(), result.full().square().sum(1).sqrt(), 1e-6)


def test_pictures_show_the_energy_the_field_or_all(net: DeconvNet):
    result = net.project(images(), "conv2", channel=1, position=(3, 3))
    assert result.picture(0, crop="none").size == (14, 14)
    assert result.picture(1, crop="field").size == (8, 8)
    energy = result.picture(0)
    assert isinstance(energy, Image.Image)
    assert energy.width <= 8 and energy.height <= 8
    with pytest.raises(ArgumentError, match="crop is 'energy', 'field' or 'none'; got 'middle'"):
        result.picture(0, crop="middle")
    with pytest.raises(ArgumentError, match="linear"):
        result.picture(0, scale="cubic")


def test_results_are_saved_as_one_image(net: DeconvNet, tmp_path: Path):
    one = net.project(images(1), "conv2", channel=1)
    many = net.project(images(), "conv2", channel="all")
    for result, name in ((one, "one.png"), (many, "many.webp")):
        path = result.save(tmp_path / name)
        assert path == tmp_path / name
        with Image.open(path) as image:
            assert min(image.size) > 0
    with pytest.raises(ArgumentError, match=r"one\.png"):
        one.save(tmp_path / "one.png")
    one.save(str(tmp_path / "one.png"), force=True)
    with pytest.raises(ArgumentError, match="xyz"):
        one.save(tmp_path / "one.xyz")


def test_a_result_cannot_be_changed_by_assignment(net: DeconvNet):
    result = net.explain(images(), 1)
    with pytest.raises(AttributeError):
        result.notes = ()
