"""Other units, noise and other images: values against pictures made one by one, exact cases, and what has no answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from support.pictured import images, of_class, of_unit, pooled_net
from torch import nn

from deconvnet import DeconvNet
from deconvnet.probes.measure import Measure, Null
from deconvnet.probes.neighbours import in_other_images, in_random_networks, more_images, neighbours
from deconvnet.probes.other_images import Others
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.random_twin import random_twins
from deconvnet.probes.taken import nouns as nouns_of
from deconvnet.probes.unit_or_image import _units_words, noise, other_images, other_units


def _limits(measure: Measure, name: str) -> tuple[float, float]:
    (null,) = [null for null in measure.nulls if null.name == name]
    assert null.limits is not None
    return null.limits


def test_other_units_are_compared_by_the_median_of_pictures_made_one_by_one():
    pictured = of_unit()
    channels = pictured.other_channels(20, "other units")
    alike = []
    for channel in channels:
        drawn = pictured.net.project(pictured.x, "4", channel=channel, position=pictured.unit.position, start="one")
        twin = drawn.whole(0)[pictured.box.overlap(pictured.x.shape[2:])[0]]
        alike.append(spearmanr(pictured.own.ravel(), twin.numpy().ravel()).statistic)
    measure = other_units(pictured)
    assert measure.value == pytest.approx(np.median(alike), abs=1e-5)
    assert dict(measure.details)["unit's share"] == 1 - measure.value
    assert [len(null.draws) for null in measure.nulls] == [20, 20, 20]


def test_a_draw_of_a_random_network_is_what_that_network_gives():
    pictured = of_unit()
    draw = in_random_networks(pictured)[2]
    _, _, twin = (net for net, _ in zip(random_twins(pictured.net, 0, 20, layer="4"), range(3), strict=False))
    inside = pictured.box.overlap(pictured.x.shape[2:])[0]

    def drawn(channel: int, x: torch.Tensor) -> np.ndarray:
        result = twin.project(x, "4", channel=channel, position=pictured.unit.position, start="one")
        return result.whole(0)[inside].numpy().ravel()

    own = drawn(pictured.unit.channel, pictured.x)
    units = [drawn(channel, pictured.x) for channel in pictured.other_channels(3, "other units")]
    assert draw.other_units == pytest.approx(np.median([spearmanr(own, each).statistic for each in units]), abs=1e-4)
    elsewhere = drawn(pictured.unit.channel, pictured.others.images[2:3])
    assert draw.other_image == pytest.approx(spearmanr(own, elsewhere).statistic, abs=1e-4)


def test_without_pooling_the_picture_does_not_depend_on_the_image():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 30, 3), nn.ReLU())
    pictured = of_unit("3", net=DeconvNet(model, images(2)))
    measure = other_images(pictured)
    assert measure.value == pytest.approx(1) and "does not depend on the image" in measure.words
    units = other_units(pictured)
    assert _limits(units, "this unit in other images") == pytest.approx((1, 1))
    assert "The unit decides this picture, and the image does not" in units.words
    assert "maxima" not in units.words and "switches" not in measure.words + units.words


class _Gated(nn.Module):
    """A squeeze-and-excite gate on the maps of a convolution, after a max-pool where one is given."""

    def __init__(self, pool: nn.Module | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem, self.pool = nn.Conv2d(3, 8, 3), pool or nn.Identity()
            self.gate, self.head = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 30, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.pool(self.stem(x).relu())
        return self.head(maps * (3 * self.gate(maps.mean((2, 3), keepdim=True))).sigmoid()).relu()


_GELU = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Conv2d(8, 30, 3), nn.GELU())
_WEIGHTED = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 30, 3), nn.ReLU())


@pytest.mark.parametrize(
    ("model", "options", "nouns", "said"),
    [
        (_Gated(), {}, "gates", "what the way down takes from the image (its gates)"),
        (_Gated(nn.MaxPool2d(2)), {}, "switches and gates", "(where its maxima fell and its gates)"),
        (_GELU, {"smooth": "gradient"}, "derivatives", "(the derivatives at its activations)"),
        (_GELU, {"smooth": "rectify"}, "", ""),
        (_WEIGHTED, {"rules": "guided"}, "masks", "(where its rectifiers were active)"),
    ],
    ids=["gates", "switches and gates", "derivatives", "rectified", "masks"],
)
def test_sentences_name_what_the_way_down_takes_from_the_image(model, options, nouns: str, said: str):
    x = images(2)
    net = DeconvNet(model, x, **options)
    (layer,) = [name for name in net.layers if net.layers[name].channels == 30][-1:]
    pictured = of_unit(layer, 3, net=net)
    assert nouns_of(pictured.way.of_image) == nouns
    # whichever way the numbers turn out, so that no sentence is left out because they lie within their nulls
    for value in (-1.0, 0.9999):
        null = Null("this unit in other images", (0.1, 0.5, 0.7) * 10)
        (words,) = [_units_words(value, [null], pictured.way.of_image)]
        assert said.lower() in words.lower() and (nouns or "in other images") in words
        assert "maxima" in words or "switches" not in nouns
        assert "switches" in nouns or "maxima" not in words
    assert "switches" in nouns or "switches" not in other_images(pictured).words


def test_the_picture_of_an_untrained_network_is_decided_by_switches():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 64, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
        model = nn.Sequential(*body, nn.Conv2d(64, 40, 3), nn.ReLU())
        for layer in model:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
    pictured = of_unit("7", net=DeconvNet(model, images(2)))
    measure = other_units(pictured)
    assert measure.value > _limits(measure, "this unit in other images")[1]
    assert "Where the image's maxima fell decides more" in measure.words
    assert "random networks" not in measure.words  # it is one of them


def test_each_measure_is_the_same_whatever_else_is_measured_and_whatever_the_memory():
    first, second = of_unit(), of_unit(memory="1MB")
    asked = [noise, other_units, other_images]
    measured = [measure(first) for measure in asked]
    again = [measure(second) for measure in reversed(asked)][::-1]
    for a, b in zip(measured, again, strict=True):
        assert a.name == b.name and a.value == pytest.approx(b.value, abs=1e-4)
        for null, other in zip(a.nulls, b.nulls, strict=True):
            assert null.draws == pytest.approx(other.draws, abs=1e-4)


def test_classes_are_measured_too():
    pictured = of_class()
    assert other_units(pictured).value is not None and noise(pictured).value is not None
    assert len(neighbours(pictured).units) == 4 and len(neighbours(pictured).noise) == 8


def test_a_layer_of_one_map_has_no_other_unit():
    x = images(3)
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU(), nn.MaxPool2d(2)), x)
    pictured = of_unit("2", net=net)
    assert "single feature map" in other_units(pictured).why_not and "single" in noise(pictured).why_not
    assert other_images(pictured).value is not None


def test_without_other_images_there_is_no_answer_from_them():
    pictured = of_unit(others=0)
    assert other_images(pictured).why_not == "other images are missing."
    assert [null.name for null in other_units(pictured).nulls] == ["random networks"]


def test_a_network_without_weights_to_draw_has_no_random_networks():
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(1)))
            self.pool = nn.MaxPool2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pool(nn.functional.conv2d(x, self.weight).relu())

    net = DeconvNet(Fixed(), images(2))
    measure = other_units(of_unit("pool", net=net))
    assert measure.value is not None
    assert [null.name for null in measure.nulls] == ["this unit in other images", "other images"]


def test_a_silent_unit_is_looked_at_from_one():
    x = images(1)
    values = pooled_net().activations(x, "4")["4"][0]
    channel, *position = (values == 0).nonzero()[0].tolist()
    with pytest.warns(UserWarning, match="activation 0"):
        silent = of_unit("4", channel, tuple(position))
    assert silent.own.any() and silent.activation == 0 and other_units(silent).value is not None


def test_a_picture_that_is_zero_everywhere_has_no_answer():
    pictured = replace(of_unit(), own=np.zeros_like(of_unit().own))
    for measure in (other_units, noise, other_images):
        assert measure(pictured).value is None and "zero" in measure(pictured).why_not


def test_few_other_images_are_shifted_and_mirrored_until_there_are_enough():
    pictured = of_unit(others=2)
    more = more_images(pictured)
    assert len(more) == 20 and "shifted and mirrored" in more.words
    assert torch.equal(more.images[:2], pictured.others.images)
    assert torch.allclose(more.images[2].sum((1, 2)), more.images[0].sum((1, 2)), atol=1e-3)
    assert not torch.equal(more.images[2], more.images[4])
    assert len(in_other_images(pictured)) == 20 and dict(other_images(pictured).details)["images"] == 2


def test_a_picture_of_one_pixel_has_no_answer():
    x = images(4)[:, :, :1, :1].repeat(1, 1, 2, 2)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    net = DeconvNet(model, x)
    result = net.project(x[:1], "1", channel=0, position=(0, 0), start="one")
    pictured = Pictured.of(net, x[:1], result, Others(x[1:], "noise"))
    assert pictured.own.shape == (3, 1, 1)
    assert other_images(pictured).value is not None or other_images(pictured).why_not
