"""Signs of changes and their distances, beside a naive version and on the cases where they are known."""

import numpy as np
import pytest
import torch
from reference.correspondence import mean_distance

from deconvnet.probes.sign_changes import hamming, over_pairs, p_value, signs


def test_a_sign_says_what_a_feature_loses_and_rounding_is_no_change():
    before = torch.tensor([1.0, 2.0, 3.0, 1.0])
    after = torch.tensor([[0.5, 2.5, 3.0, 1 + 1e-7], [1.0, 2.0, 4.0, 0.0]])
    assert signs(before, after).tolist() == [[1, -1, 0, 0], [0, 0, -1, 1]]


def test_distances_are_those_of_the_naive_version():
    generator = torch.Generator().manual_seed(0)
    before = torch.rand(4, 50, generator=generator, dtype=torch.float64)
    after = before + torch.randint(-1, 2, (4, 50), generator=generator) * 0.1
    listed = torch.cat([signs(b, a[None]) for b, a in zip(before, after, strict=True)])
    ours = hamming(listed)[np.triu_indices(4, 1)].mean()
    assert ours == pytest.approx(mean_distance(before.tolist(), after.tolist(), [1e-14] * 4), abs=1e-15)


def test_equal_signs_have_no_distance_and_opposite_ones_that_of_all_features():
    same = torch.tensor([[1, 0, -1]] * 2, dtype=torch.int8)
    assert not hamming(same).any()
    assert hamming(torch.tensor([[1, 1], [-1, -1]], dtype=torch.int8))[0, 1] == 1


def test_independent_signs_have_the_expected_distance():
    """The chance that two draws differ is 1 - (0.2^2 + 0.5^2 + 0.3^2)."""
    chance = np.random.default_rng(0)
    drawn = chance.choice([-1, 0, 1], (6, 200_000), p=[0.2, 0.5, 0.3]).astype(np.int8)
    distances = hamming(torch.from_numpy(drawn))
    assert distances[np.triu_indices(6, 1)] == pytest.approx(0.62, abs=0.005)
    assert distances.diagonal() == pytest.approx(0)


def test_pairs_are_of_the_mask_that_each_photo_has():
    distances = np.arange(16.0).reshape(2, 2, 2, 2)
    assert over_pairs(distances, np.array([1, 0])).tolist() == [distances[1 - 1, 1, 1, 0]]


def test_a_part_that_is_more_consistent_than_all_random_regions_has_a_small_p_value():
    distances = np.full((5, 11, 5, 11), 0.5)
    distances[:, 0, :, 0] = 0.1
    assert p_value(distances, 2000, np.random.default_rng(0)) < 0.01
    distances[:, 0, :, 0] = 0.9
    assert p_value(distances, 2000, np.random.default_rng(0)) == 1


def test_p_values_of_random_regions_are_even():
    chance, values = np.random.default_rng(1), list[float]()
    for _ in range(200):
        drawn = torch.from_numpy(chance.choice([-1, 0, 1], (4 * 6, 300)).astype(np.int8))
        values.append(p_value(hamming(drawn).reshape(4, 6, 4, 6), 200, chance))
    assert 0.4 < np.mean(values) < 0.6 and 0.01 < np.mean(np.array(values) <= 0.1) < 0.2
