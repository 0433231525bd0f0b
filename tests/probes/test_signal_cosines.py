"""Whether signals of a place's units become the same on their way down."""

import numpy as np
import pytest
import torch
from support.pictured import images, of_class, of_unit, pooled_net
from torch import nn

from deconvnet import DeconvNet, Unit
from deconvnet.probes.signal_cosines import convergence, medians, signal_cosines


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(nn.functional.cosine_similarity(a.flatten().double(), b.flatten().double(), 0))


def test_cosines_are_those_of_the_signals_that_arrive_at_each_layer() -> None:
    pictured = of_unit("3", position=(3, 2))
    units = [Unit("3", channel, (3, 2), 0) for channel in range(4)]
    cosines = signal_cosines(pictured, units, ["1", "the pixels"])
    for layer, to in (("1", "1"), ("the pixels", None)):
        down = pooled_net().project(images(1), "3", units=units, start="one", to=to).full()
        expected = [[cosine(a, b) for b in down] for a in down]
        np.testing.assert_allclose(cosines[layer], expected, atol=1e-6)


def test_a_unit_beside_itself_is_alike_all_the_way_down() -> None:
    pictured = of_unit()
    for cosines in signal_cosines(pictured, [pictured.unit] * 2, ["3", "1", "the pixels"]).values():
        np.testing.assert_allclose(cosines, 1, atol=1e-14)


def test_they_do_not_depend_on_the_memory_budget() -> None:
    units = [Unit("3", channel % 30, (3, 2), 0) for channel in range(60)]  # more than a pass holds of a layer
    small, large = of_unit("3", position=(3, 2), memory="140KB"), of_unit("3", position=(3, 2))
    few = signal_cosines(small, units, ["1", "the pixels"])
    for layer, cosines in signal_cosines(large, units, ["1", "the pixels"]).items():
        np.testing.assert_allclose(few[layer], cosines, atol=1e-6)


def test_the_value_is_a_median_over_other_units_and_stands_beside_theirs() -> None:
    measure = convergence(of_unit())
    assert [name for name, _ in measure.details] == ["1", "the pixels"]
    assert measure.value == dict(measure.details)["1"]
    assert len(measure.nulls[0].draws) == 24
    assert convergence(of_unit()) == measure


def test_where_the_way_down_loses_the_unit_the_cosine_is_one() -> None:
    """All maps above are made of one map, so that below it every signal is the same up to a factor."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 1, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(1, 25, 1), nn.ReLU(), nn.Conv2d(25, 30, 1)
    )
    nn.init.uniform_(model[3].weight)
    nn.init.uniform_(model[5].weight)
    measure = convergence(of_unit("5", net=DeconvNet(model.eval(), images(2))))
    assert measure.value == pytest.approx(1, abs=1e-6)
    assert dict(measure.details)["4"] < 0.99


def test_a_unit_unlike_all_others_is_said_to_be() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 30, 1)).eval()
    with torch.no_grad():
        model[3].weight[1:] = torch.rand(29, 6, 1, 1) + 1
        model[3].weight[0] = torch.tensor([1.0, -1, 1, -1, 1, -1]).view(6, 1, 1)
    net = DeconvNet(model, images(2))
    measure = convergence(of_unit("3", net=net, position=(2, 2)))
    assert measure.nulls[0].side(measure.value or 0) == -1
    assert "less like those of other units" in measure.words and f"{measure.value:.2f}" in measure.words


def test_classes_have_it_too() -> None:
    measure = convergence(of_class())
    assert [name for name, _ in measure.details] == ["4", "1", "the pixels"]
    assert measure.words == "" and measure.nulls[0].limits is None  # there are only four other classes


def test_a_single_map_has_none_to_be_compared_with() -> None:
    model = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU()).eval()
    measure = convergence(of_unit("1", net=DeconvNet(model, images(2))))
    assert measure.value is None and "fewer than two other maps" in measure.why_not


def test_a_unit_whose_signal_is_zero_is_not_measured() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1)).eval()
    nn.init.zeros_(model[2].weight[:1])
    measure = convergence(of_unit("2", net=DeconvNet(model, images(2))))
    assert measure.value is None and "no signal of the unit" in measure.why_not


def test_medians_leave_out_a_unit_itself_and_what_is_not_defined() -> None:
    nan = float("nan")
    cosines = np.array([[1, 0.5, nan], [0.5, 1, nan], [nan, nan, nan]])
    assert medians(cosines)[:2] == [0.5, 0.5] and np.isnan(medians(cosines)[2])
