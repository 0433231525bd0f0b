"""The statistics of `benchmarks/distinction.py`."""

import numpy as np
import pytest
from distinction import claim, of_network, rank_correlation, with_chance

LAYERS = np.repeat(["low", "high"], 30)


def test_what_differs_between_layers_does_not_count() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=60)
    b = np.where(LAYERS == "low", a, a + 100)
    assert rank_correlation(a, b, LAYERS) == pytest.approx(1)
    apart = random.normal(size=(2, 60)) + 100 * (LAYERS == "high")
    assert abs(rank_correlation(*apart, LAYERS)) < 0.3


def test_chance_is_told_from_what_is_not() -> None:
    random = np.random.default_rng(1)
    a = random.normal(size=60)
    value, p, (low, high) = with_chance(a, a + 0.5 * random.normal(size=60), LAYERS, resamples=500)
    assert p < 0.01 and 0.5 < low < value < high
    value, p, (low, high) = with_chance(a, random.normal(size=60), LAYERS, resamples=500)
    assert p > 0.05 and low < 0 < high


def test_the_tables_have_a_line_for_each_number_and_layer() -> None:
    random = np.random.default_rng(2)
    rows = [
        {"layer": layer, "occlusion": value, "strongest tenth": value, "p": 0.01, "picture": value, "centre": 0.1}
        for layer, value in zip(LAYERS, random.uniform(0.1, 1, 60), strict=True)
    ]
    (line,) = claim([*rows, {"layer": "low", "occlusion": None}], resamples=100)
    assert line[:3] == ["strongest tenth", "60", "+1.00"]
    assert [line[0] for line in of_network(rows)] == ["low", "high"]
    assert [line[-2:] for line in of_network(rows)] == [["100%", "100%"]] * 2
