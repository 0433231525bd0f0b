"""Which photos of a set are used."""

import numpy as np
import pytest
import torch

from deconvnet._errors import ArgumentError
from deconvnet.photos.pick import Pick


def test_a_limit_is_spread_evenly_over_the_set() -> None:
    classes = np.repeat(np.arange(11), 100)  # a set lies class by class
    used = classes[Pick(limit=330).indices(len(classes))]
    assert np.bincount(used).tolist() == [30] * 11
    assert Pick(limit=3).indices(10).tolist() == [0, 3, 6]


def test_a_sample_is_drawn_at_random_in_the_order_of_the_set_and_the_same_everywhere() -> None:
    indices = Pick(sample=3, seed=1).indices(10)
    assert indices.tolist() == [2, 8, 9]  # on any machine, and with any version of NumPy
    many = Pick(sample=500, seed=2).indices(1000)
    assert (np.diff(many) > 0).all() and len(many) == 500 and abs(many.mean() - 500) < 30
    assert Pick(sample=500, seed=3).indices(1000).tolist() != many.tolist()
    assert Pick(sample=5, seed=-(2**62)).indices(9).tolist() != Pick(sample=5, seed=2**62).indices(9).tolist()


@pytest.mark.parametrize("pick", [Pick(), Pick(limit=7), Pick(sample=7, seed=5), Pick(limit=99), Pick(sample=99)])
def test_of_a_set_with_no_more_photos_all_are_used(pick: Pick) -> None:
    assert pick.indices(7).tolist() == list(range(7)) and pick.of_set(7) == Pick() and pick.size(7) == 7


def test_a_seed_belongs_to_a_sample() -> None:
    assert Pick.of(sample=3, seed=4) == Pick(sample=3, seed=4) and Pick.of(limit=3) == Pick(limit=3)
    assert Pick(limit=3, seed=4) == Pick(limit=3)
    with pytest.raises(ArgumentError, match="seed is that of a random sample"):
        Pick.of(limit=3, seed=4)


def test_a_limit_and_a_sample_exclude_each_other_and_are_whole_numbers() -> None:
    with pytest.raises(ArgumentError, match="give one of them"):
        Pick(limit=3, sample=3)
    for wrong in ({"limit": 0}, {"sample": 0}, {"limit": 2.5}, {"sample": True}, {"sample": 1, "seed": "x"}):
        with pytest.raises(ArgumentError, match="is a whole number"):
            Pick(**wrong)  # type: ignore[arg-type]
    for odd in ("", [], 0.0, np.zeros(2), torch.zeros(2)):
        with pytest.raises(ArgumentError, match="seed is a whole number"):
            Pick.of(sample=1, seed=odd)  # type: ignore[arg-type]
