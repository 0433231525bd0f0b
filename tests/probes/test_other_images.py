"""Other images: which, in which order of choice."""

import pytest
import torch
from support.classifier import images

from deconvnet import ArgumentError, Preprocess
from deconvnet.probes.draws import generator
from deconvnet.probes.other_images import other_images, shuffled_phase

PREPARE = Preprocess((14, 14), None, (0.5,) * 3, (0.25,) * 3)


def _draw() -> torch.Generator:
    return generator(0, "test")


def test_other_photos_of_the_call_are_never_the_image_itself():
    x = torch.cat([images(3), images(3)[1:2]])
    others = other_images(x, 1, 9, _draw())
    assert others.words == "other photos of the call"
    assert len(others) == 2 and all(not torch.equal(other, x[1]) for other in others.images)


def test_at_most_as_many_as_are_asked_for_the_same_for_the_same_seed():
    x = images(9)
    first, again = (other_images(x, 0, 4, _draw()).images for _ in range(2))
    assert len(first) == 4 and torch.equal(first, again)


def test_samples_are_used_without_the_one_that_is_the_image():
    x = PREPARE.images("sample:coffee")
    others = other_images(x, 0, 9, _draw(), preprocess=PREPARE)
    assert others.words == "scikit-image's photos" and len(others) == 3
    assert all(not torch.equal(image, x[0]) for image in others.images)
    with pytest.raises(ArgumentError, match=r"makes inputs of \(3, 14, 14\)"):
        other_images(torch.zeros(1, 3, 9, 9), 0, 1, _draw(), preprocess=PREPARE)


def test_networks_that_take_no_photos_get_shuffled_phase():
    channels = Preprocess((14, 14), None, (0.5,) * 5, (0.25,) * 5, channels=5)
    assert "phase" in other_images(torch.rand(1, 5, 14, 14), 0, 2, _draw(), preprocess=channels).words


@pytest.mark.parametrize("size", [(15,), (8, 9), (4, 5, 6)])
def test_shuffled_phase_keeps_amplitudes_and_mean(size: tuple[int, ...]):
    image = torch.randn(2, *size, generator=_draw()).double()
    shuffled = shuffled_phase(image, 3, _draw())
    axes = tuple(range(-len(size), 0))
    spectra = [torch.fft.fftn(each, dim=axes).abs() for each in (image.expand_as(shuffled), shuffled)]
    assert torch.allclose(*spectra)
    assert torch.allclose(shuffled.mean(axes), image.mean(axes).expand(3, 2))
    assert not torch.allclose(shuffled[0], shuffled[1])


@pytest.mark.parametrize(
    "given", [torch.zeros(0, 3, 14, 14), torch.zeros(1, 3, 14, 9), torch.full((1, 3, 14, 14), torch.nan), [1], "x"]
)
def test_others_of_another_kind_are_refused(given: object):
    with pytest.raises(ArgumentError, match="others"):
        other_images(images(1), 0, 1, _draw(), given=given)
