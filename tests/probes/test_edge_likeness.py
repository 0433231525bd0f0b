"""How much a picture is an edge map: against scikit-image, and on pictures that are one, or are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.filters import sobel
from support.pictured import images, of_class, of_unit, pooled_net

from deconvnet.probes.edge_likeness import _words, edges
from deconvnet.probes.edges import edges_of
from deconvnet.probes.measure import Null, outside


def test_edges_are_those_of_sobel():
    image = images(1)[0].double().numpy()
    assert np.allclose(edges_of(image[:1]), sobel(image[0]))
    assert np.allclose(edges_of(image), np.sqrt(sum(sobel(channel) ** 2 for channel in image)))


def test_the_value_is_the_rank_correlation_of_strength_and_edges_in_the_field():
    pictured = of_unit()
    inside = pictured.box.overlap(pictured.x.shape[2:])[0][1:]
    expected = spearmanr(
        np.abs(pictured.own).sum(0).ravel(), edges_of(pictured.x[0].double().numpy())[inside].ravel()
    ).statistic
    measure = edges(pictured)
    assert measure.value == pytest.approx(expected, abs=1e-6)
    image = pictured.image
    assert dict(measure.details)["correlation with the image"] == pytest.approx(
        np.corrcoef(pictured.own.ravel(), image.ravel())[0, 1], abs=1e-6
    )


def test_an_edge_map_follows_the_edges_of_its_image_more_than_chance():
    pictured = of_unit()
    own = pictured.inside(edges_of(pictured.x[0].double().numpy()))[None].repeat(3, 0)
    measure = edges(replace(pictured, own=own))
    assert measure.value == pytest.approx(1)
    assert "more than the pictures of random networks" in measure.words and "other images" in measure.words


def test_a_whole_image_has_no_other_places_but_other_images():
    assert [null.name for null in edges(of_class()).nulls] == ["random networks", "other images"]
    assert [null.name for null in edges(of_unit()).nulls] == [
        "random networks", "other places in the image", "other images"
    ]  # fmt: skip


def test_a_constant_image_has_no_edges():
    measure = edges(replace(of_unit(), x=torch.full((1, 3, 24, 20), 0.5)))
    assert measure.value is None and "the image is the same all over" in measure.why_not


def test_a_picture_without_values_has_no_answer():
    pictured = replace(of_unit(net=pooled_net()), own=np.zeros_like(of_unit().own))
    assert "zero everywhere" in edges(pictured).why_not


def test_a_number_that_prints_as_the_limit_does_is_not_called_more_or_less():
    null = Null("other images", (0.9101,) * 30)
    assert not [*outside(0.9140, [null]), *outside(0.9060, [null])]
    assert [*outside(0.93, [null])] == [(null, "more", "0.91 to 0.91")]


@pytest.mark.parametrize(("value", "begins"), [
    (0.2, "The picture's strength follows the image's edges (rank correlation 0.20) more than those of other images ("),
    (-0.09, "The picture's strength does not follow the image's edges: its rank correlation with them is -0.09, more "),
])  # fmt: skip
def test_a_picture_that_is_nearer_to_edges_than_others_need_not_follow_them(value, begins):
    assert _words(value, (Null("other images", tuple(np.linspace(-0.2, -0.1, 30))),)).startswith(begins)
