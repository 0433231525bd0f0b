"""Volumes are three slices through the strongest voxel, and other numbers of channels one picture each."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deconvnet import ArgumentError, DeconvNet, render
from deconvnet.pictures.planes import drawn
from deconvnet.pictures.render import limit_of


def test_a_volume_is_three_slices_through_its_strongest_voxel():
    signal = torch.randn(1, 5, 8, 6, generator=torch.Generator().manual_seed(0))
    signal[0, 3, 2, 4] = 9.0
    pixels, limit = np.asarray(drawn(signal)), limit_of(signal)
    for left, plane in ((0, signal[:, 3]), (6 + 2, signal[:, :, 2]), (12 + 4, signal[..., 4])):
        truth = np.asarray(render(plane, limit=limit))
        assert np.array_equal(pixels[: truth.shape[0], left : left + truth.shape[1]], truth)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_each_of_other_channels_has_a_picture_on_one_scale(channels: int):
    signal = torch.randn(channels, 7, 6, generator=torch.Generator().manual_seed(0))
    picture = drawn(signal)
    assert picture.size == (channels * 6 + (channels - 1) * 2, 7)
    for i in range(channels):
        truth = render(signal[i : i + 1], limit=limit_of(signal))
        assert np.array_equal(np.asarray(picture)[:, 8 * i : 8 * i + 6], np.asarray(truth))


def test_a_volume_of_several_channels_has_a_row_for_each():
    assert drawn(torch.randn(2, 5, 8, 6)).size == (6 + 2 + 6 + 2 + 8, 8 + 2 + 8)
    assert drawn(torch.randn(3, 5, 8, 6)).size == (6 + 2 + 6 + 2 + 8, 8)


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


def test_units_of_a_network_of_four_channels_have_pictures():
    torch.manual_seed(0)
    x = torch.randn(1, 4, 12, 12)
    result = DeconvNet(nn.Sequential(nn.Conv2d(4, 3, 3), nn.ReLU()), x).project(x, "1", channel=0)
    assert result.picture(crop="none").size == (4 * 12 + 3 * 2, 12)
