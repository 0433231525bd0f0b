"""Captum's `Occlusion`."""

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from deconvnet import ArgumentError, TargetError, captum_api

BOTH = (captum_api.Occlusion, captum.attr.Occlusion)
FLAT = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand(1, 3, 14, 14)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(216, 5)).eval()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(2, 3, 14, 14, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "options",
    [
        {"sliding_window_shapes": (3, 4, 4), "strides": (3, 2, 2), "target": 1},
        {"sliding_window_shapes": (3, 5, 4), "strides": 3, "target": [1, 2], "baselines": 0.5},
        {"sliding_window_shapes": ((3, 5, 4),), "strides": ((3, 4, 3),), "target": torch.tensor([4, 0])},
        {"sliding_window_shapes": (3, 6, 6), "strides": 4, "target": 0, "baselines": FLAT, "perturbations_per_eval": 3},
        {"sliding_window_shapes": (3, 12, 12), "target": 0},
    ],
    ids=["strides", "a number", "nested", "a tensor", "by one"],
)
def test_numbers_are_those_of_captum(options, model, x):
    ours, theirs = (
        captum_api.Occlusion(model).attribute(x, **options),
        captum.attr.Occlusion(model).attribute(x, **options),
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1), nn.Sigmoid()], ids=lambda last: type(last).__name__)
def test_what_falls_is_what_the_model_gives(last, model, x):
    whole = nn.Sequential(model, last)
    ours, theirs = (
        kind(whole).attribute(x, (3, 4, 4), 4, target=1) for kind in (captum_api.Occlusion, captum.attr.Occlusion)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)


def test_a_tuple_comes_back_as_a_tuple_and_progress_is_shown(model, x, capsys):
    ours = captum_api.Occlusion(model).attribute((x,), (3, 4, 4), 4, target=1, show_progress=True)
    assert isinstance(ours, tuple)
    assert ours[0].shape == x.shape
    assert "occlusion" in capsys.readouterr().err


def test_what_cannot_mean_the_same_is_refused_in_words(model, x):
    cover = captum_api.Occlusion(model).attribute
    refused = [
        (lambda: cover((x, x), (3, 4, 4), target=1), ArgumentError, "Occlusion covers one input"),
        (lambda: cover(x, (3, 4, 4), target=1, additional_forward_args=2), ArgumentError, "without further arguments"),
        (lambda: cover(x, (1, 4, 4), target=1), ArgumentError, "with all 3 channels, 3 numbers; got"),
        (lambda: cover(x, (3, 4), target=1), ArgumentError, "sliding_window_shapes is"),
        (lambda: cover(x, (3, 4, 4), (1, 1), target=1), ArgumentError, "strides is a number, or 3 of them"),
        (lambda: cover(x, (3, 4, 4), target=1, baselines=x), ArgumentError, "differs from position to position"),
        (lambda: cover(x, (3, 4, 4), target=1, baselines=x[:, :1]), ArgumentError, "shaped as the input"),
        (lambda: cover(x, (3, 4, 4), target=[1]), TargetError, "one class for each of the 2 images"),
        (lambda: cover(x, (3, 4, 4), target=(1, 0, 0)), TargetError, "a class at a position of a map"),
        (lambda: cover(x, (3, 4, 4)), TargetError, "target=None"),
        (lambda: cover(x, (3, 40, 4), target=1), ArgumentError, "larger than the image"),
        (lambda: cover(x, (3, 4, 4), target=1, perturbations_per_eval=0), ArgumentError, "perturbations_per_eval"),
    ]
    for call, error, match in refused:
        with pytest.raises(error, match=match):
            call()
