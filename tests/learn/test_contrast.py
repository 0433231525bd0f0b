"""Local contrast normalisation against loops; what it does not see; and the way back."""

import numpy as np
import pytest
import torch
from reference import sparse_coding as slow
from torch import Tensor

from deconvnet import ArgumentError, NotFiniteError
from deconvnet.learn import LocalContrastNorm

each_form = pytest.mark.parametrize("form", ["2011", "2010"])


def images(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """From 0 to 1, smooth in one half and noisy in the other."""
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    ramp = torch.linspace(0, 0.5, shape[-1], dtype=dtype).expand(shape)
    return ramp + 0.5 * noise * (torch.arange(shape[-1]) > shape[-1] // 2)


@each_form
def test_it_does_what_the_loops_do(form):
    x = images(2, 3, 17, 20)
    y = LocalContrastNorm(form)(x)
    for one, image in zip(y, x, strict=True):
        np.testing.assert_allclose(one, slow.contrast_normalised(image.numpy(), form), atol=1e-12)


@each_form
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_constant_image_becomes_zero(form, dtype):
    for level in (0.0, 0.3, 1.0, -200.0):
        y = LocalContrastNorm(form)(torch.full((1, 2, 16, 15), level, dtype=dtype))
        assert y.abs().max() <= 4 * torch.finfo(dtype).eps * abs(level)


def test_brightness_is_not_seen_in_either_form_and_contrast_not_in_that_of_2011():
    x = images(1, 2, 20, 18)
    for form in ("2011", "2010"):
        norm = LocalContrastNorm(form)
        torch.testing.assert_close(norm(x + 100), norm(x), atol=1e-9, rtol=1e-9)
    norm = LocalContrastNorm("2011")
    for factor in (1e-3, 7.0, 1e4):
        torch.testing.assert_close(norm(factor * x), norm(x), atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(norm(-x), -norm(x), atol=1e-12, rtol=1e-12)


def test_the_form_of_2010_takes_only_the_mean_away_from_images_up_to_1_and_leaves_no_border():
    x = images(1, 1, 16, 16)
    y = LocalContrastNorm("2010")(x)
    centred = x[0, 0].numpy() - slow.around(x[0, 0].numpy(), slow.gaussian(5, 1.591))
    inside = centred[2:-2, 2:-2]
    np.testing.assert_allclose(y[0, 0, 2:-2, 2:-2], inside - inside.mean(), atol=1e-12)
    inner = torch.zeros(16, 16, dtype=torch.bool)
    inner[2:-2, 2:-2] = True
    assert not y[0, 0, ~inner].any()
    twice = LocalContrastNorm("2010")(100 * x)
    assert twice[..., 2:-2, 2:-2].abs().max() < 10 * y.abs().max()  # above the floor it divides


@each_form
@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_the_inverse_gives_the_images_back(form, dtype, near):
    norm, x = LocalContrastNorm(form), images(2, 3, 15, 24, dtype=dtype)
    x[1, 2] = 0.25
    y, contrast = norm.normalise(x)
    torch.testing.assert_close(norm.inverse(y, contrast), x, atol=near, rtol=near)
    assert (contrast.scale > 0).all() and torch.equal(norm(x), y)


def test_the_output_has_no_mean_and_about_unit_contrast_where_the_image_has_contrast():
    x = torch.rand(1, 1, 60, 60, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = LocalContrastNorm()(x)
    assert abs(float(y.mean())) < 1e-14
    assert 0.8 < float(y.std()) < 1.05


def test_an_image_that_is_mostly_flat_is_divided_by_the_contrast_of_the_rest():
    x = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    x[..., :8, :8] = images(1, 1, 8, 8)
    norm = LocalContrastNorm()
    y, contrast = norm.normalise(x)
    alone = contrast.scale[0, 0]
    assert y.isfinite().all() and alone.min() > 1e-4 and float(alone[-1, -1]) == float(alone.min())
    torch.testing.assert_close(norm(1e3 * x), y, atol=1e-11, rtol=1e-11)


def test_images_and_channels_are_normalised_alone():
    x = images(3, 2, 15, 16)
    x[1] *= 50
    together = LocalContrastNorm()(x)
    for i in range(3):
        for c in range(2):
            alone = LocalContrastNorm()(x[i : i + 1, c : c + 1])
            torch.testing.assert_close(together[i, c], alone[0, 0], atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (lambda: np.zeros((1, 1, 20, 20)), ArgumentError, r"images are a tensor \(n, c, h, w\); got ndarray"),
        (lambda: torch.zeros(20, 20), ArgumentError, r"none of them 0; got \(20, 20\)"),
        (lambda: torch.zeros(0, 1, 20, 20), ArgumentError, r"none of them 0; got \(0, 1, 20, 20\)"),
        (lambda: torch.zeros(1, 1, 20, 20, dtype=torch.uint8), ArgumentError, "got uint8. Divide by 255"),
        (lambda: torch.zeros(1, 1, 20, 20, dtype=torch.float16), ArgumentError, "float32 or float64; got float16"),
        (lambda: torch.zeros(1, 1, 20, 12), ArgumentError, "images of 20x12 are smaller than the window .* 13 pixels"),
        (lambda: torch.full((2, 1, 20, 20), torch.nan), NotFiniteError, "image 0 holds NaN or infinity"),
    ],
)
def test_images_that_cannot_be_normalised_are_told(made, error, words):
    with pytest.raises(error, match=words):
        LocalContrastNorm().normalise(made())


def test_a_form_that_no_paper_has_is_told():
    with pytest.raises(ArgumentError, match=r"form is one of \('2011', '2010'\); got '2012'"):
        LocalContrastNorm("2012")
