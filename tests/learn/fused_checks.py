"""Fused kernels of sparse coding against PyTorch's own operations, on a GPU if there is one, else interpreted.

Run by `tests/test_fused.py` in a process of its own, because Triton must be told to interpret before it is imported:
TRITON_INTERPRET=1 pytest tests/learn/fused_checks.py
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.accelerators import nothing_at_hand
from support.windowed import windows_are
from torch import Tensor

from deconvnet.learn import fused, sparse_code
from deconvnet.learn.convolve import mixed
from deconvnet.learn.solution import clipped, largest_seen

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).to(DEVICE)


@pytest.mark.parametrize("nonneg", [False, True])
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (1, 3, 1, 1), (2, 3, 20, 19), (1, 1, 20, 19)])
def test_the_state_is_reflected_and_moved_as_pytorch_does_it(shape, nonneg):
    v, seen, limit = numbers(2, 3, 20, 19), numbers(2, 3, 20, 19, seed=1), numbers(*shape, seed=2).abs()
    v[1, 2, 3, 4] = torch.nan
    before = v.clone()
    u = clipped(v, limit, nonneg=nonneg)
    torch.testing.assert_close(fused.reflected(v, limit, nonneg=nonneg), v - 2 * u, equal_nan=True)
    assert torch.equal(v.nan_to_num(9), before.nan_to_num(9))
    fused.move(v, seen.transpose(2, 3).contiguous().transpose(2, 3), limit, 1.8, nonneg=nonneg)
    torch.testing.assert_close(v, before + 1.8 * (seen - u), equal_nan=True)


@pytest.mark.parametrize("nonneg", [False, True])
def test_what_is_measured_of_a_move_is_what_pytorch_measures(nonneg):
    v, seen, limit = numbers(2, 3, 20, 19), numbers(2, 3, 20, 19, seed=1), torch.tensor([0.5, 2.0]).view(2, 1, 1, 1)
    limit, before = limit.to(v), v.clone()
    sums, highest = fused.move_and_look(v, seen, limit, 1.8, nonneg=nonneg)
    u = clipped(before, limit, nonneg=nonneg)
    codes, step = before - u, seen - u
    torch.testing.assert_close(v, before + 1.8 * step)
    moved = v - clipped(v, limit, nonneg=nonneg) - codes
    for found, expected in zip(sums, (step, codes, codes + step, moved, u), strict=True):
        torch.testing.assert_close(found, expected.square().sum((1, 2, 3)))
    torch.testing.assert_close(highest, largest_seen(seen, nonneg=nonneg))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_maps_and_filters_are_mixed_in_fourier_space(channels, dtype):
    maps, spectrum = numbers(2, 5, 40, 31, dtype=dtype), numbers(5, channels, 40, 31, seed=1, dtype=dtype)
    with windows_are("gathered"):
        expected = mixed(maps, spectrum)
    found = fused.mixed(maps, spectrum)
    torch.testing.assert_close(found, expected)
    assert torch.equal(found, fused.mixed(maps, spectrum))


@pytest.mark.parametrize(("boundary", "weighted"), [("circular", False), ("circular", True), ("valid", False)])
def test_images_are_coded_as_without_fused_kernels(boundary, weighted):
    images, filters = numbers(3, 1, 12, 11), numbers(4, 1, 3, 3, seed=1)
    weights = numbers(4, 1, 1, seed=3).abs() if weighted else None
    solutions = []
    for method in ("gathered", "fused"):
        with windows_are(method), nothing_at_hand():
            solutions.append(sparse_code(images, filters, 0.3, boundary, tol=1e-3, max_iter=30, weights=weights))
    expected, found = solutions
    torch.testing.assert_close(found.codes, expected.codes, atol=1e-10, rtol=0)
    assert torch.equal(found.n_iter, expected.n_iter)


@pytest.mark.skipif(DEVICE == "cuda", reason="compiled by the other tests")
def test_the_kernels_compile_for_a_gpu_that_is_not_here():
    """In a process in which Triton compiles: what the interpreter accepts a compiler may refuse."""
    code = Path(__file__).parents[1] / "support" / "compiled_coding.py"
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, code], env=environment, check=True)
