"""Whether covering what a picture shows silences its unit."""

import numpy as np
import pytest
import torch
from support.pictured import images, of_class, of_unit, pooled_net
from torch import Tensor, nn

from deconvnet import DeconvNet
from deconvnet.probes.bright_parts import necessity, sufficiency
from deconvnet.probes.causal_check import occlusion_margin, shifts, squares
from deconvnet.probes.covered_unit import covered_activations
from deconvnet.probes.pictured import Pictured

MEASURES = pytest.mark.parametrize("measure", [occlusion_margin, sufficiency, necessity])


def one_spot(at: tuple[int, int] = (1, 2), side: int = 10) -> Pictured:
    """A linear unit that sees a field of 10x10 and nothing but a bright square of it."""
    model = nn.Sequential(nn.Conv2d(1, 1, side), nn.ReLU()).eval()
    nn.init.zeros_(model[0].bias)
    with torch.no_grad():
        model[0].weight.fill_(0.001)
        model[0].weight[..., at[0] : at[0] + 3, at[1] : at[1] + 3] = 1
    x = 1 + torch.rand(2, 1, 24, 20, generator=torch.Generator().manual_seed(0))
    return of_unit("1", net=DeconvNet(model, x), x=x[:1], position=(5, 6), others=0)


def covered_by_hand(pictured: Pictured, layer: str) -> Tensor:
    """The unit's activation for every square of the field, each image run whole."""
    covering = squares(pictured.own.shape[1:])
    low = [max(0, first) for first in pictured.box.low]
    covered = pictured.x.repeat(len(covering), 1, 1, 1)
    for image, ((top, left), (bottom, right)) in zip(covered, covering.boxes.tolist(), strict=True):
        image[:, top + low[0] : bottom + low[0], left + low[1] : right + low[1]] = 0
    maps = pictured.net.activations(covered, layer)[layer]
    return maps[(slice(None), pictured.unit.channel, *(pictured.unit.position or ()))]


@pytest.mark.parametrize("position", [(4, 4), (0, 7)])
def test_the_unit_is_noted_in_every_covered_image(position: tuple[int, int]) -> None:
    pictured = of_unit("3", 2, position)
    before, after = covered_activations(pictured, squares(pictured.own.shape[1:]))
    assert before == pytest.approx(pictured.activation, rel=1e-5)
    np.testing.assert_allclose(after, covered_by_hand(pictured, "3"), rtol=1e-4, atol=1e-6)


def test_the_score_of_a_class_is_noted() -> None:
    pictured = of_class(3)
    _, after = covered_activations(pictured, squares(pictured.own.shape[1:]))
    np.testing.assert_allclose(after, covered_by_hand(pictured, pictured.unit.layer), rtol=1e-4, atol=1e-5)


def test_squares_are_a_fifth_of_the_field_and_move_by_a_quarter_of_it() -> None:
    covering = squares((40, 60))
    assert covering.shapes.shape[1:] == (8, 12) and covering.grid == (17, 17)
    assert squares((3, 3)).shapes.shape[1:] == (1, 1)


def test_a_unit_that_sees_one_spot_is_silenced_there() -> None:
    measure = occlusion_margin(one_spot())
    numbers = dict(measure.details)
    assert measure.value == numbers["picture"] - max(numbers["edges"], numbers["centre"])
    assert numbers["picture"] > 0.6 and numbers["p"] < 0.05
    assert measure.words.startswith("Covering what the picture shows reduces this unit more")
    assert f"{measure.value:.2f}" in measure.words


def test_its_brightest_part_alone_keeps_it_and_covering_that_takes_it_away() -> None:
    kept, covered = sufficiency(one_spot()), necessity(one_spot())
    assert kept.value == pytest.approx(dict(kept.details)["brightest 20 %"]) and kept.value > 0.98
    assert covered.value is not None and covered.value < 0.08
    assert "more than parts of the same shapes elsewhere do" in kept.words
    assert "less than while parts" in covered.words
    assert dict(covered.details)["100 % covered"] == 0
    assert dict(kept.details)["20 % in the centre"] < kept.value


def test_a_picture_of_the_wrong_place_is_found_out() -> None:
    pictured = one_spot()
    wrong = Pictured(**{**vars(pictured), "own": pictured.own[:, ::-1, ::-1].copy()})
    right, upside_down = occlusion_margin(pictured).value or 0, occlusion_margin(wrong).value or 0
    assert upside_down < right - 0.2
    assert (sufficiency(wrong).value or 0) < (sufficiency(pictured).value or 0) - 0.2


@MEASURES
def test_it_depends_on_the_seed_alone(measure: object) -> None:
    assert callable(measure)
    first, again, other = measure(of_unit()), measure(of_unit(others=0)), measure(of_unit(seed=1))
    assert first == again and first.value == other.value and first.nulls != other.nulls
    small = measure(of_unit(memory="200KB"))
    assert small.value == pytest.approx(first.value, abs=1e-5)


@MEASURES
def test_what_cannot_be_measured_is_said(measure: object) -> None:
    assert callable(measure)
    tiny = measure(of_unit("0", 0, (4, 4)))
    assert tiny.value is None and "sees 3x3 pixels" in tiny.why_not
    maps = pooled_net().activations(images(1), "4")["4"][0, 0]
    silent = tuple((maps == 0).nonzero()[0].tolist())
    with pytest.warns(UserWarning, match="activation 0"):
        pictured = of_unit("4", 0, silent)
    assert "activation is 0" in measure(pictured).why_not
    flat = Pictured(**{**vars(of_unit()), "own": np.ones_like(of_unit().own)})
    assert "same all over" in measure(flat).why_not


def test_a_share_of_what_is_below_zero_is_not_measured() -> None:
    net = pooled_net()
    target = int(net.scores(images(1))[0].argmin())
    for measure in (sufficiency, necessity):
        assert "below 0" in measure(of_class(target)).why_not
    assert occlusion_margin(of_class(target)).value is not None


@pytest.mark.parametrize("axes", [1, 3])
def test_signals_and_volumes_have_them_too(axes: int) -> None:
    torch.manual_seed(0)
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    size = {1: (200,), 3: (6, 7, 8)}[axes]
    model = nn.Sequential(conv(2, 3, {1: 100, 3: 5}[axes]), nn.ReLU()).eval()
    x = torch.randn(1, 2, *size)
    result = (net := DeconvNet(model, x)).project(x, "1", channel="top:1")
    pictured = Pictured.of(net, x, result, of_unit().others)
    assert all(measure(pictured).value is not None for measure in (occlusion_margin, sufficiency, necessity))


def test_shifted_values_are_the_same_values_elsewhere() -> None:
    values = np.arange(12.0).reshape(3, 4)
    for shifted in shifts(of_unit(), values, "x", 5):
        np.testing.assert_array_equal(np.sort(shifted, axis=None), np.arange(12.0))
