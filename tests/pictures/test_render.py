"""Signals become pictures that say the same to everyone, every time."""

import math
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deconvnet._errors import ArgumentError, NotFiniteError
from deconvnet._types import Box
from deconvnet.pictures.render import crop, energy_box, limit_of, magnitude, overlay, render

GREY = (128, 128, 128)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cat() -> Image.Image:
    photo: Any = skimage.data
    return Image.fromarray(photo.chelsea())


def levels(image: Image.Image) -> "np.ndarray[Any, Any]":
    return np.asarray(image).astype(int)


# ---- render


@pytest.mark.parametrize("scale", ["logistic", "linear"])
@pytest.mark.parametrize("channels", [1, 3])
def test_zero_is_mid_grey(scale: Any, channels: int) -> None:
    signal = noise(channels, 20, 30)
    signal[:, 4, 5] = 0
    image = render(signal, scale=scale)
    assert image.mode == "RGB" and image.size == (30, 20)
    assert image.getpixel((5, 4)) == GREY
    assert len(np.unique(levels(image))) > 10


@pytest.mark.parametrize("scale", ["logistic", "linear"])
def test_a_signal_of_zeros_is_all_grey(scale: Any) -> None:
    image = render(torch.zeros(3, 4, 5), scale=scale)
    assert image.getcolors() == [(20, GREY)]


def test_the_logistic_scale_is_mahendran_and_vedaldis() -> None:
    signal = noise(3, 64, 64)
    a = torch.quantile(signal.flatten(), 0.005).item()
    want = 1 / (1 + torch.exp(-(signal / a * -math.log(99))))  # papers.md 1.3, as it stands there
    got = levels(render(signal)).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(got, want.numpy(), atol=0.5 / 255 + 1e-9)
    assert limit_of(signal) == pytest.approx(-a, rel=1e-12)


def test_the_limit_is_nearly_white_on_one_scale_and_white_on_the_other() -> None:
    signal = torch.tensor([[[-9.0, -2.0, 2.0, 9.0]]])
    assert levels(render(signal, limit=2.0))[0, :, 0].tolist() == [0, 3, 252, 255]
    assert levels(render(signal, limit=2.0, scale="linear"))[0, :, 0].tolist() == [0, 0, 255, 255]
    assert levels(render(signal, limit=4.0, scale="linear"))[0, :, 0].tolist() == [0, 64, 191, 255]


@settings(max_examples=50, deadline=None)
@given(factor=st.floats(1e-30, 1e30), seed=st.integers(0, 5), scale=st.sampled_from(
    ["logistic", "linear"]))  # fmt: skip
def test_a_picture_does_not_change_with_the_strength_of_its_signal(factor: float, seed: int, scale: Any) -> None:
    signal = noise(3, 16, 16, seed=seed)
    assert render(signal * factor, scale=scale).tobytes() == render(signal, scale=scale).tobytes()


def test_float32_signals_of_any_strength_are_shown() -> None:
    signal = noise(3, 16, 16).float()
    for factor in (2.0**-100, 2.0**100):
        assert render(signal * factor).tobytes() == render(signal).tobytes()


@pytest.mark.parametrize("scale", ["logistic", "linear"])
def test_a_one_sided_signal_keeps_its_shades(scale: Any) -> None:
    ramp = torch.linspace(0, 1, 256).reshape(1, 16, 16)
    values = levels(render(ramp, scale=scale))[..., 0]
    assert values.min() == 128 and len(np.unique(values)) > 80
    dark = levels(render(-ramp, scale=scale))[..., 0]
    assert dark.max() == 128 and len(np.unique(dark)) > 80


def test_a_few_faint_negatives_do_not_burn_out_a_positive_signal() -> None:
    ramp = torch.linspace(0, 1, 1000).reshape(1, 20, 50).clone()
    ramp.view(-1)[:10] = -1e-4
    assert len(np.unique(levels(render(ramp)))) > 80


@pytest.mark.parametrize("scale", ["logistic", "linear"])
def test_a_sparse_signal_is_shown_as_it_is_without_its_surroundings(scale: Any) -> None:
    small = noise(3, 6, 6)
    large = torch.zeros(3, 200, 200, dtype=torch.float64)
    large[:, 50:56, 80:86] = small
    whole = render(large, scale=scale)
    want = render(small, scale=scale)
    assert whole.crop((80, 50, 86, 56)).tobytes() == want.tobytes()
    assert whole.getpixel((0, 0)) == GREY


def test_one_limit_puts_pictures_on_one_scale() -> None:
    strong, weak = noise(1, 8, 8), noise(1, 8, 8) / 10
    limit = limit_of(torch.stack([strong, weak]))
    contrasts = [np.ptp(levels(render(signal, limit=limit))) for signal in (strong, weak)]
    assert contrasts[0] > 3 * contrasts[1]
    assert render(strong).tobytes() == render(weak).tobytes()


def test_signals_that_require_a_gradient_and_half_precision_are_shown() -> None:
    signal = noise(3, 4, 4).float().requires_grad_()
    assert render(signal).size == (4, 4) and signal.requires_grad
    assert render(signal.half()).size == (4, 4) and render(signal.bfloat16()).size == (4, 4)


@pytest.mark.parametrize("shape", [(4, 4), (1, 3, 4, 4), (3, 0, 4), (0, 4, 4), (3,)])
def test_signals_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=r"cannot be shown: it is \(channels, height, width\)"):
        render(torch.zeros(shape))


@pytest.mark.parametrize("channels", [2, 4, 64])
def test_of_signals_that_are_neither_grey_nor_coloured_the_magnitude_is_shown(channels: int) -> None:
    signal = noise(channels, 4, 4)
    assert render(signal).tobytes() == render(magnitude(signal)[None]).tobytes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_signals_that_are_not_finite_are_refused(value: float) -> None:
    signal = torch.zeros(3, 4, 4)
    signal[1, 2, 3] = value
    for function in (render, limit_of, energy_box):
        with pytest.raises(NotFiniteError, match="NaN or infinity"):
            function(signal)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0.0}, "limit is a number above 0; got 0.0"),
        ({"limit": -1.0}, "limit is a number above 0; got -1.0"),
        ({"limit": math.nan}, "limit is a number above 0; got nan"),
        ({"scale": "log"}, "scale='log'"),
        ({"scale": "log", "limit": 1.0}, "scale='log'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        render(torch.ones(3, 4, 4), **options)


@pytest.mark.parametrize("signal", [torch.zeros(3, 4, 4, dtype=torch.int64), np.zeros((3, 4, 4))])
def test_only_tensors_of_floats_are_signals(signal: Any) -> None:
    for function in (render, limit_of, magnitude, energy_box):
        with pytest.raises(ArgumentError, match="a signal is a tensor of floats, not"):
            function(signal)


# ---- magnitude, energy_box, crop


def test_magnitude_is_the_length_over_channels_for_any_number_of_axes() -> None:
    signal = noise(5, 3, 6, 7)
    torch.testing.assert_close(magnitude(signal), signal.norm(dim=1))
    torch.testing.assert_close(magnitude(signal[0]), signal[0].norm(dim=0))
    torch.testing.assert_close(magnitude(signal, axes=3), signal.norm(dim=0))
    torch.testing.assert_close(magnitude(signal, axes=1), signal.norm(dim=2))
    with pytest.raises(ArgumentError, match="lacks a channel axis"):
        magnitude(signal[0, 0])


def test_magnitude_of_faint_float32_signals_does_not_vanish() -> None:
    faint = torch.full((4, 2, 2), 1e-30)
    assert magnitude(faint).dtype == torch.float32
    torch.testing.assert_close(magnitude(faint), torch.full((2, 2), 2e-30), rtol=1e-6, atol=0)


@settings(max_examples=100, deadline=None)
@given(
    size=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 99),
    power=st.integers(1, 9),
)
def test_the_energy_box_holds_its_share(size: list[int], share: float, seed: int, power: int) -> None:
    signal = noise(2, *size, seed=seed) ** power
    box = energy_box(signal, share)
    inside = crop(signal, box).square().sum()
    assert inside >= share * signal.square().sum() * (1 - 1e-9)
    assert all(0 <= a < b <= n for a, b, n in zip(box.low, box.high, size, strict=True))


def test_the_energy_box_leaves_out_what_is_empty_and_what_is_faint() -> None:
    signal = torch.zeros(3, 40, 50)
    signal[:, 10:20, 30:33] = 1
    assert energy_box(signal, 1.0) == Box((10, 30), (20, 33))
    signal[0, 0, 0] = 1e-2
    assert energy_box(signal) == Box((10, 30), (20, 33))
    assert energy_box(signal, 1.0) == Box((0, 0), (20, 33))
    assert energy_box(signal * 1e-25) == Box((10, 30), (20, 33))


def test_the_energy_box_of_nothing_is_everything() -> None:
    assert energy_box(torch.zeros(3, 4, 5)) == Box((0, 0), (4, 5))


def test_energy_box_refuses_what_has_no_box() -> None:
    with pytest.raises(ArgumentError, match=r"\(c, \*spatial\)"):
        energy_box(torch.zeros(3))
    with pytest.raises(ArgumentError, match="not empty"):
        energy_box(torch.zeros(3, 0, 4))
    for share in (0.0, 1.5, math.nan):
        with pytest.raises(ArgumentError, match="share="):
            energy_box(torch.ones(3, 4, 4), share)


@given(
    low=st.tuples(st.integers(-15, 15), st.integers(-15, 15)),
    extent=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_crop_reads_zero_beyond_the_border(low: tuple[int, int], extent: tuple[int, int]) -> None:
    signal = noise(2, 3, 6, 9)
    box = Box(low, (low[0] + extent[0], low[1] + extent[1]))
    far = torch.zeros(2, 3, 106, 109, dtype=signal.dtype)
    far[..., 50:56, 50:59] = signal
    want = far[..., 50 + low[0] : 50 + box.high[0], 50 + low[1] : 50 + box.high[1]]
    torch.testing.assert_close(crop(signal, box), want, rtol=0, atol=0)


def test_crop_gives_a_tensor_of_its_own() -> None:
    signal = noise(1, 4, 4)
    crop(signal, Box((0, 0), (4, 4))).zero_()
    assert signal.abs().sum() > 0


@pytest.mark.parametrize("box", [Box((), ()), Box((0,), (0,)), Box((0, 0, 0), (1, 1, 1))])
def test_crop_refuses_boxes_that_do_not_fit(box: Box) -> None:
    with pytest.raises(ArgumentError, match=r"cannot be cut from a signal of shape \(4, 5\)"):
        crop(torch.zeros(4, 5), box)


# ---- overlay


def test_overlay_colours_a_grey_photo_where_the_magnitude_is_high() -> None:
    photo = cat()
    strength = torch.zeros(photo.height, photo.width)
    strength[100:150, 100:150] = 3.0
    shown = levels(overlay(photo, strength))
    assert (shown[100:150, 100:150] == (252, 255, 164)).all()
    grey = shown[:100]
    assert np.ptp(grey, axis=2).max() == 0 and grey.min() >= 60 and grey.max() <= 180


def test_overlay_of_nothing_is_the_photo_in_grey_or_plain_grey() -> None:
    shown = levels(overlay(cat().convert("L"), torch.zeros(300, 451)))
    assert shown.shape == (300, 451, 3) and np.ptp(shown, axis=2).max() == 0 and np.ptp(shown) > 50
    assert np.unique(levels(overlay(None, torch.zeros(3, 4)))).tolist() == [120]


def test_overlay_refuses_what_does_not_fit_the_photo() -> None:
    for wrong in (torch.zeros(451, 300), torch.zeros(3, 300, 451), torch.full((300, 451), -1.0)):
        with pytest.raises(ArgumentError, match="does not fit a photo of 300 x 451"):
            overlay(cat(), wrong)
    with pytest.raises(NotFiniteError):
        overlay(cat(), torch.full((300, 451), math.nan))
