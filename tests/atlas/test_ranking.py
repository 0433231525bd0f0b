"""The ranking against brute force, and the laws by which rankings merge."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deconvnet.atlas.ranking import NONE, Ranking

Scanned = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def scanned(draw: st.DrawFn) -> Scanned:
    """Images with the strongest activation of each feature map; few values, so that many are equal."""
    images = draw(st.lists(st.integers(0, 12), unique=True, max_size=8))
    values = draw(st.lists(st.lists(st.integers(-1, 3), min_size=3, max_size=3), min_size=13, max_size=13))
    chosen = np.array(images, dtype=np.int64)
    table = np.array(values, dtype=np.float32)
    return chosen, table[chosen], (table[chosen] * 7 % 5).astype(np.int64)


def added(ranking: Ranking, images: np.ndarray, values: np.ndarray, places: np.ndarray) -> Ranking:
    return ranking.added(*map(torch.from_numpy, (images, values, places)))


WORLD = np.random.default_rng(3).integers(-1, 4, (13, 3)).astype(np.float32)  # what each image has, once for all


@st.composite
def part(draw: st.DrawFn) -> Ranking:
    """The ranking of some images of one world."""
    images = np.array(draw(st.lists(st.integers(0, 12), unique=True, max_size=13)), dtype=np.int64)
    return added(Ranking.empty(3, 3), images, WORLD[images], images[:, None] + np.arange(3))


def rows(ranking: Ranking) -> list[list[tuple[float, int, int]]]:
    return [
        [(float(a), int(i), int(p)) for a, i, p in zip(*three, strict=True) if i != NONE]
        for three in zip(ranking.activations, ranking.images, ranking.positions, strict=True)
    ]


def brute_force(found: list[Scanned], k: int) -> list[list[tuple[float, int, int]]]:
    table: list[dict[int, tuple[float, int, int]]] = [{}, {}, {}]
    for images, values, places in found:
        for image, value, place in zip(images, values, places, strict=True):
            for c in range(3):
                if value[c] > 0:
                    table[c][int(image)] = (float(value[c]), int(image), int(place[c]))
    return [sorted(of.values(), key=lambda one: (-one[0], one[1], one[2]))[:k] for of in table]


@settings(deadline=None)
@given(scanned(), st.integers(1, 5), st.integers(0, 8))
def test_it_ranks_as_sorting_all_does_in_however_many_parts(found, k, cut):
    images, values, places = found
    halves = [(images[:cut], values[:cut], places[:cut]), (images[cut:], values[cut:], places[cut:])]
    ranking = Ranking.empty(3, k)
    for part in halves:
        ranking = added(ranking, *part)
    assert rows(ranking) == brute_force([found], k)
    assert ranking.activations.dtype == torch.float32 and ranking.k == k


@settings(max_examples=200, deadline=None)
@given(part(), part(), part())
def test_rankings_merge_in_any_order_and_grouping_and_an_image_counts_once(a, b, c):
    assert rows(a.merged(b)) == rows(b.merged(a))
    assert rows(a.merged(b).merged(c)) == rows(a.merged(b.merged(c)))
    assert rows(a.merged(a)) == rows(a)
    images = np.unique(np.concatenate([x.images[x.images != NONE] for x in (a, b)]))
    everything = added(Ranking.empty(3, 3), images, WORLD[images], images[:, None] + np.arange(3))
    for merged, whole in zip(rows(a.merged(b)), rows(everything), strict=True):
        assert merged == [one for one in whole if one in merged]


def test_an_image_twice_stays_once_even_if_its_activation_differs():
    one = added(Ranking.empty(1, 3), np.array([4, 5]), np.float32([[2.0], [1.0]]), np.array([[0], [0]]))
    other = added(Ranking.empty(1, 3), np.array([4]), np.float32([[1.5]]), np.array([[1]]))
    assert rows(one.merged(other)) == [[(2.0, 4, 0), (1.0, 5, 0)]]


def test_what_is_not_above_zero_is_no_candidate():
    ranking = added(Ranking.empty(2, 2), np.array([0]), np.float32([[0.0, -1.0]]), np.array([[0, 0]]))
    assert rows(ranking) == [[], []]


def test_other_shapes_do_not_merge():
    with pytest.raises(ValueError, match="do not merge"):
        Ranking.empty(2, 3).merged(Ranking.empty(2, 4))
