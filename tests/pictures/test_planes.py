"""Volumes are three slices through the strongest voxel, and other numbers of channels one picture each."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deconvnet import ArgumentError, DeconvNet, render
from deconvnet.pictures.planes import drawn, views
from deconvnet.pictures.render import limit_of


def test_a_volume_is_three_planes_through_its_strongest_voxel():
    signal = torch.randn(1, 5, 8, 6, generator=torch.Generator().manual_seed(0))
    signal[0, 3, 2, 4] = 9.0
    pixels, limit, factor = np.asarray(drawn(signal)), limit_of(signal), 20
    for left, plane in ((0, signal[:, 3]), (6 * factor + 2, signal[:, :, 2]), (12 * factor + 4, signal[..., 4])):
        truth = np.asarray(render(plane, limit=limit)).repeat(factor, 0).repeat(factor, 1)
        assert np.array_equal(pixels[: truth.shape[0], left : left + truth.shape[1]], truth)


def test_views_name_channels_and_planes_by_their_index_in_the_input():
    signal = torch.zeros(2, 5, 8, 6)
    signal[1, 3, 2, 4] = 9.0
    words = [view.words for view in views(signal, (10, 20, -3))]
    assert words == [f"channel {c}, {plane}" for c in (0, 1) for plane in ("depth 13", "row 22", "column 1")]
    assert [view.words for view in views(torch.zeros(3, 4, 4))] == [""]
    assert [float(view.of(signal).max()) for view in views(signal)] == [0, 0, 0, 9, 9, 9]


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_each_of_other_channels_has_a_picture_on_one_scale(channels: int):
    signal = torch.randn(channels, 7, 6, generator=torch.Generator().manual_seed(0))
    picture = drawn(signal)
    assert picture.size == (channels * 6 + (channels - 1) * 2, 7)
    for i in range(channels):
        truth = render(signal[i : i + 1], limit=limit_of(signal))
        assert np.array_equal(np.asarray(picture)[:, 8 * i : 8 * i + 6], np.asarray(truth))


def test_a_volume_of_several_channels_has_a_row_for_each():
    assert drawn(torch.randn(2, 50, 80, 60)).size == (120 + 2 + 120 + 2 + 160, 160 + 2 + 160)
    assert drawn(torch.randn(3, 200, 80, 60)).size == (60 + 2 + 60 + 2 + 80, 200)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_what_render_makes_of_it(channels: int):
    signal = torch.randn(channels, 7, 6)
    assert drawn(signal, scale="linear").tobytes() == render(signal, scale="linear").tobytes()


@pytest.mark.parametrize("shape", [(3, 8), (0, 4, 4), (1, 1, 2, 2, 2)])
def test_what_has_no_picture_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ArgumentError, match=r"only images, \(c, h, w\), and volumes, \(c, d, h, w\)"):
        drawn(torch.zeros(shape))


def test_units_of_a_network_of_volumes_have_pictures_and_are_saved(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 3, 2))
    x = torch.randn(1, 1, 10, 12, 8)
    result = DeconvNet(model, x).project(x, "3", channel=[0, 2])
    assert all(isinstance(result.picture(i, crop=crop), Image.Image) for i in (0, 1) for crop in ("energy", "none"))
    assert result._repr_png_() is not None
    assert result.save(tmp_path / "a.png").is_file()
    result[0].save(tmp_path / "b.svg")
    text = (tmp_path / "b.svg").read_text()
    assert all(word in text for word in ("map 0 at position", "depth ", "row ", "column ", "three planes"))


def test_units_of_a_network_of_four_channels_have_pictures():
    torch.manual_seed(0)
    x = torch.randn(1, 4, 12, 12)
    result = DeconvNet(nn.Sequential(nn.Conv2d(4, 3, 3), nn.ReLU()), x).project(x, "1", channel=0)
    assert result.picture(crop="none").size == (4 * 12 + 3 * 2, 12)
    words = [line.text for line in result.sheet().pages[0].lines]
    channels = [word.split("; ")[-1] for word in words if "channel" in word]
    assert channels == [f"channel {i}" for i in range(4)]
