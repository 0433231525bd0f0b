"""Pooling with switches against loops, and the identities of pooling and unpooling."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import sparse_coding as slow
from torch import Tensor

from deconvnet.learn.pooling import pool, pool_at, pooled_size, unpool


@st.composite
def maps_and_block(draw: st.DrawFn) -> tuple[Tensor, tuple[int, int, int]]:
    """Maps of few different values, so that many are equal, zero or each other's negative."""
    n, m, h, w = draw(st.integers(1, 3)), *(draw(st.integers(1, 7)) for _ in range(3))
    random = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    z = torch.randint(-2, 3, (n, m, h, w), generator=random).double()
    return z, (draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 4)))


@settings(max_examples=150, deadline=None)
@given(maps_and_block())
def test_pooling_and_unpooling_do_what_the_loops_do(given_maps):
    z, block = given_maps
    kept, switches = pool(z, block)
    for i, maps in enumerate(z.numpy()):
        values, numbers, places = slow.pooled(maps, block)
        np.testing.assert_array_equal(kept[i], values)
        np.testing.assert_array_equal(switches.offsets[i], numbers)
        np.testing.assert_array_equal(unpool(kept, switches)[i], slow.unpooled(values, places, maps.shape))
    assert tuple(kept.shape[1:]) == pooled_size(switches.size, block) and switches.size == tuple(z.shape[1:])


@settings(max_examples=150, deadline=None)
@given(maps_and_block(), st.integers(0, 99))
def test_with_fixed_switches_pooling_and_unpooling_undo_and_transpose_each_other(given_maps, seed):
    z, block = given_maps
    kept, switches = pool(z, block)
    random = torch.Generator().manual_seed(seed)
    p = torch.randn(kept.shape, generator=random, dtype=torch.float64)
    other = torch.randn(z.shape, generator=random, dtype=torch.float64)
    assert torch.equal(pool_at(unpool(p, switches), switches), p)  # P U = 1
    again = unpool(pool_at(other, switches), switches)
    assert torch.equal(unpool(pool_at(again, switches), switches), again)  # U P is a projection
    assert torch.equal(pool_at(z, switches), kept)
    torch.testing.assert_close((unpool(p, switches) * other).sum(), (p * pool_at(other, switches)).sum())


@settings(max_examples=100, deadline=None)
@given(maps_and_block())
def test_what_was_pooled_and_unpooled_is_pooled_to_the_same(given_maps):
    z, block = given_maps
    kept, switches = pool(z, block)
    again, switches_again = pool(unpool(kept, switches), block)
    assert torch.equal(again, kept)
    assert torch.equal(switches_again.offsets[kept != 0], switches.offsets[kept != 0])


def test_the_largest_magnitude_wins_with_its_sign_and_of_equals_the_first():
    z = torch.tensor([[1.0, -3.0], [2.0, 3.0]], dtype=torch.float64)[None, None]
    kept, switches = pool(z, (2, 2, 1))
    assert kept.item() == -3 and switches.offsets.item() == 1
    kept, switches = pool(torch.cat([z, -z, 2 * z], 1), (2, 2, 2))
    assert kept.flatten().tolist() == [-3, -6] and switches.offsets.flatten().tolist() == [1, 1]
    kept, switches = pool(torch.cat([z, 2 * z], 1), (2, 2, 2))
    assert kept.item() == -6 and switches.offsets.item() == 4 + 1  # maps are counted first


def test_a_block_that_is_cut_off_keeps_its_switch_inside():
    z = torch.zeros(1, 3, 4, 5, dtype=torch.float64)
    z[0, 2, 3, 4] = -1e-30
    kept, switches = pool(z, (3, 3, 2))
    assert kept.shape == (1, 2, 2, 2) and kept[0, 1, 1, 1] == -1e-30 and switches.offsets[0, 1, 1, 1] == 1
    assert torch.equal(unpool(kept, switches), z)
    assert torch.equal(unpool(torch.ones_like(kept), switches).sum(), torch.tensor(8.0).double())  # none lies outside


def test_switches_of_large_blocks_are_not_cut():
    z = torch.zeros(1, 1, 17, 17, dtype=torch.float64)
    z[0, 0, 16, 16] = 5
    kept, switches = pool(z, (17, 17, 1))
    assert switches.offsets.item() == 17 * 17 - 1 and torch.equal(unpool(kept, switches), z)
    assert pool(z, (16, 16, 1))[1].offsets.dtype == torch.uint8


def test_switches_of_some_images_unpool_those():
    z = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept, switches = pool(z, (2, 2, 2))
    assert torch.equal(unpool(kept[1:3], switches.of(slice(1, 3))), unpool(kept, switches)[1:3])


@pytest.mark.parametrize(
    ("maps", "left"),
    [
        ((15, 156, 156), (8, 52, 52)),
        ((50, 58, 58), (25, 20, 20)),
        ((100, 26, 26), (50, 9, 9)),
        ((150, 15, 15), (75, 5, 5)),
    ],
)
def test_sizes_are_those_of_the_paper(maps, left):
    assert pooled_size(maps, (3, 3, 2)) == left
    assert tuple(pool(torch.zeros(1, *maps), (3, 3, 2))[0].shape[1:]) == left
