"""Whether a filter is a fair stand-in for what its unit responds to."""

import numpy as np
import pytest
import torch
from support.pictured import images, of_class, of_unit, pooled_net
from torch import nn

from deconvnet import DeconvNet
from deconvnet.probes.own_filter import Patches, own_filter, patches
from deconvnet.probes.signal_quality import Estimator, qualities, signal_quality


def mixture(count: int = 4000, seed: int = 0) -> np.ndarray:
    """Patches that are a signal along (1, 0) and a distractor along (1, 1), as in the paper's own example."""
    random = np.random.default_rng(seed)
    signal, distractor = random.normal(size=(2, count))
    return signal[:, None] * np.array([1.0, 0]) + 2 * distractor[:, None] * np.array([1.0, 1])


def of(values: np.ndarray, weights: np.ndarray) -> Patches:
    return Patches(weights, values, values @ weights > 0, np.zeros(len(values), dtype=np.int64))


def by_least_squares(values: np.ndarray, estimator: Estimator) -> float:
    """1 - the multiple correlation of y with what is left over, fitted and tried on the same patches."""
    y = values @ estimator.filter
    rest = values - estimator.signals(of(values, estimator.filter)) @ estimator.directions
    rest, y = rest - rest.mean(0), y - y.mean()
    fitted = rest @ np.linalg.lstsq(rest, y, rcond=1e-9)[0]
    return 1 - float(np.corrcoef(fitted, y)[0, 1])


def test_a_filter_that_cancels_a_distractor_is_a_poor_stand_in_and_the_signal_a_perfect_one() -> None:
    weights = np.array([1.0, -1])  # what cancels (1, 1)
    drawn = Estimator(weights, (weights / 2)[None])
    signal = Estimator(weights, np.array([[1.0, 0]]))
    poor, perfect = qualities(of(mixture(), weights), of(mixture(seed=1), weights), [drawn, signal])
    assert perfect == pytest.approx(1, abs=0.05)
    assert poor < 0.8 and poor == pytest.approx(by_least_squares(mixture(), drawn), abs=0.02)


@pytest.mark.parametrize("apart", [False, True])
def test_qualities_are_those_of_a_plain_least_squares_fit(apart: bool) -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(3000, 6)) @ random.normal(size=(6, 6))
    weights, directions = random.normal(size=6), random.normal(size=(1 + apart, 6))
    estimator = Estimator(weights, directions, apart)
    given = of(values, weights)
    assert qualities(given, given, [estimator])[0] == pytest.approx(by_least_squares(values, estimator), abs=1e-3)


@pytest.mark.parametrize(("layer", "channel"), [("0", 3), ("1", 3), ("3", 2), ("4", 2), ("6", 1)])
def test_patches_times_the_filter_are_the_map(layer: str, channel: int) -> None:
    pictured = of_unit(layer, channel, None if layer != "6" else ())
    own = own_filter(pictured)
    assert own is not None and own.channel == channel
    x = pictured.others.images[:10]
    given = patches(pictured, own, x, 10**6)
    before = str(int(layer) - (layer in "14"))
    maps = pooled_net().activations(x, before)[before][:, channel].double()
    bias = pooled_net().model[int(before)].bias[channel].item()
    sums = given.values @ given.filter + bias
    np.testing.assert_allclose(np.sort(sums), np.sort(maps.flatten().numpy()), atol=1e-5)
    assert (given.on == (sums > 0)).all()
    assert np.bincount(given.images).tolist() == [maps[0].numel()] * 10


def test_strides_dilation_groups_borders_and_norms_are_followed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
        nn.BatchNorm2d(6), nn.ReLU(),
    ).eval()  # fmt: skip
    pictured = of_unit("3", 4, net=DeconvNet(model, images(2)))
    own = own_filter(pictured)
    assert own is not None
    given = patches(pictured, own, images(3), 10**6)
    with torch.no_grad():
        maps = model[:2](images(3))[:, 4].double()
    expected = maps.flatten().numpy() - model[1].bias[4].item()
    np.testing.assert_allclose(np.sort(given.values @ given.filter), np.sort(expected), atol=1e-5)


def test_a_map_put_beside_others_keeps_its_filter() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.left(x).relu(), self.right(x).relu()], 1)

    own = own_filter(of_unit("0", 6, net=DeconvNet(nn.Sequential(Beside(), nn.ReLU()).eval(), images(2))))
    assert own is not None and own.channel == 2


def test_the_measure_stands_beside_shuffled_weights() -> None:
    measure = signal_quality(of_unit("1"))
    numbers = dict(measure.details)
    assert measure.value is not None and 0 <= measure.value < numbers["S_a"] <= 1
    assert numbers["numbers of a patch"] == 27 and numbers["patches"] == 26 * 24 * 20
    assert len(measure.nulls[0].draws) == 40
    assert signal_quality(of_unit("1")) == measure


def test_what_cannot_be_measured_is_said() -> None:
    assert "too few patches: 0" in signal_quality(of_unit("1", others=0)).why_not
    assert "too few patches: 13" in signal_quality(of_class()).why_not
    assert "too few patches: 80 in half of the images, of 72 numbers" in signal_quality(of_unit("4", others=1)).why_not
    assert "not made by a filter" in signal_quality(of_unit("2")).why_not
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval()
    nn.init.zeros_(model[0].weight)
    nn.init.ones_(model[0].bias)
    assert "the same everywhere" in signal_quality(of_unit("1", net=DeconvNet(model, images(2)))).why_not
