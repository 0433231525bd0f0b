"""Whether the network processes a picture as it does photos."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from support.pictured import images, of_class, of_unit, pooled_net
from torch import nn

from deconvnet import DeconvNet
from deconvnet.probes.like_photos import as_image, photo_likeness
from deconvnet.probes.pictured import Pictured


def test_the_picture_is_as_strong_as_the_image_in_its_part_and_zero_around() -> None:
    pictured = of_unit("3", 2, (0, 3))
    shown = as_image(pictured)
    part = pictured.box.overlap(shown.shape[2:])[0]
    assert float(shown[0][part].std(unbiased=False)) == pytest.approx(float(pictured.image.std()), rel=1e-5)
    rest = shown.clone()
    rest[0][part] = 0
    assert not rest.any() and shown[0][part].any()


def test_correlations_are_of_each_map_s_mean_over_what_the_unit_sees() -> None:
    """A plain second version for one layer: the unit's own, where it sees one position."""
    pictured = of_unit("4", 2)
    photos = pictured.others.images
    maps = pooled_net().activations(torch.cat([as_image(pictured), photos]), "4")["4"].double()
    strongest = maps[1:, 2].flatten(1)
    at = [(pictured.unit.position or ()), *(divmod(int(i), 8) for i in strongest.argmax(1))]
    rows = [one[:, y, x].numpy() for one, (y, x) in zip(maps, at, strict=True)]
    liked = strongest.amax(1).argsort(descending=True, stable=True)[:5].tolist()
    expected = np.mean([spearmanr(rows[0], rows[1 + i]).statistic for i in liked])
    measure = photo_likeness(pictured)
    assert dict(measure.details)["4"] == pytest.approx(expected, abs=1e-6)
    assert measure.value == pytest.approx(np.mean([dict(measure.details)[layer] for layer in ("1", "4")]))
    assert len(measure.nulls[0].draws) == 25 - 5


def test_a_photo_that_the_unit_likes_is_processed_like_one() -> None:
    """In the place of the picture a photo is shown: the value is that of photos among each other."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 12, 3), nn.ReLU()).eval()
    net = DeconvNet(model, images(2))
    liked = images(1, seed=5) + 0.1 * images(6, seed=6)
    pictured = of_unit("1", 3, net=net, x=liked[:1])
    whole = Pictured(**{**vars(pictured), "own": pictured.image})
    measure = photo_likeness(whole, liked[1:])
    assert measure.value == pytest.approx(dict(measure.details)["photos it likes, among each other"], abs=0.15)
    assert measure.nulls[0].side(measure.value or 0) == 1 and "more like photos" in measure.words
    noise = Pictured(**{**vars(pictured), "own": -pictured.image})
    assert (photo_likeness(noise, liked[1:]).value or 0) < 0.3


def test_classes_have_it_too() -> None:
    measure = photo_likeness(of_class())
    assert [name for name, _ in measure.details][:2] == ["1", "4"] and measure.value is not None


def test_it_does_not_depend_on_the_memory_budget_or_what_else_is_drawn() -> None:
    first, small = photo_likeness(of_unit()), photo_likeness(of_unit(memory="300KB", seed=4))
    assert photo_likeness(of_unit(seed=4)) == first
    assert small.value == pytest.approx(first.value, abs=1e-6)


def test_what_cannot_be_measured_is_said() -> None:
    assert "at least 20 other photos; there are 19" in photo_likeness(of_unit(others=19)).why_not
    flat = of_unit()
    assert "same all over" in photo_likeness(Pictured(**{**vars(flat), "own": np.zeros_like(flat.own)})).why_not
    model = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU()).eval()
    measure = photo_likeness(of_unit("1", net=DeconvNet(model, images(2))))
    assert "a single active map only" in measure.why_not
