"""Windows moved and added: the same numbers for all units at once as unit by unit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.windowed import windows_are

from deconvnet.windows import kernels
from deconvnet.windows.arrivals import Part
from deconvnet.windows.frames import Frames, copy_to, united, whole_maps


def frames(random: np.random.Generator, count: int, axes: int) -> Frames:
    return Frames(random.integers(-3, 6, (count, axes)), tuple(random.integers(1, 6, axes).tolist()))


@given(
    st.integers(0, 10**6), st.integers(1, 3), st.booleans(), st.sampled_from([torch.float64, torch.uint8, torch.bool])
)
@settings(max_examples=60, deadline=None)
def test_windows_are_cut_the_same_by_one_indexing_as_unit_by_unit(
    seed: int, axes: int, shared: bool, dtype: torch.dtype
):
    random = np.random.default_rng(seed)
    at, to = frames(random, 3 if shared else 5, axes), frames(random, 5, axes)
    rows = random.integers(0, 3, 5) if shared else None
    source = torch.from_numpy(random.integers(0, 9, (len(at.low), 2, *at.size))).to(dtype)
    cut = {}
    for method in ("copied", "gathered"):
        with windows_are(method):
            cut[method] = kernels.moved(source, at, to, rows, fill=1)
    assert cut["gathered"].dtype == dtype
    assert torch.equal(cut["copied"], cut["gathered"])
    pixel = tuple(int(random.integers(0, n)) for n in to.size)
    for i in range(5):
        row = i if rows is None else rows[i]
        inside = to.low[i] + pixel - at.low[row]
        known = (inside >= 0).all() and (inside < at.size).all()
        assert cut["copied"][(i, 1, *pixel)] == (source[(row, 1, *inside)] if known else 1)


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_windows_are_added_the_same_by_one_indexing_as_unit_by_unit(seed: int, axes: int, count: int):
    random = np.random.default_rng(seed)
    parts = [frames(random, 4, axes) for _ in range(count)]
    to = united(parts, [8] * axes)
    signals = [torch.from_numpy(random.standard_normal((4, 2, *at.size))) for at in parts]
    before = [signal.clone() for signal in signals]
    total = {}
    for method in ("copied", "gathered"):
        with windows_are(method):
            total[method] = kernels.added([Part(*part) for part in zip(signals, parts, strict=True)], to)
    assert torch.equal(total["copied"], total["gathered"])
    assert all(torch.equal(signal, kept) for signal, kept in zip(signals, before, strict=True))


def test_a_cpu_copies_windows_unit_by_unit_and_other_devices_move_all_at_once():
    assert kernels.method_on(torch.device("cpu")) == "copied"
    assert kernels.method_on(torch.device("mps")) == "gathered"


def test_corners_of_windows_are_copied_to_a_device_together_and_once():
    random = np.random.default_rng(0)
    some, cpu = [frames(random, 3, 2), whole_maps(4, (5, 6)), frames(random, 2, 2)], torch.device("cpu")
    copy_to(cpu, [*some, some[0]])
    first = [each.low_on(cpu) for each in some]
    assert all(np.array_equal(low.numpy(), each.low) for low, each in zip(first, some, strict=True))
    copy_to(cpu, some)
    assert all(low is each.low_on(cpu) for low, each in zip(first, some, strict=True))


@pytest.mark.parametrize("found", [True, False])
def test_kernels_are_fused_where_triton_is_and_works_and_told_where_it_does_not(found: bool, monkeypatch):
    monkeypatch.setattr(kernels, "find_spec", lambda name: object() if found else None)
    monkeypatch.setattr(kernels, "_triton_fails", lambda: None)
    kernels._method.cache_clear()
    assert kernels.method_on(torch.device("cuda")) == ("fused" if found else "gathered")
    kernels._method.cache_clear()
    monkeypatch.setattr(kernels, "_triton_fails", lambda: "Failed to find C compiler")
    if found:
        with pytest.warns(UserWarning, match="Triton does not work here: Failed to find C compiler"):
            assert kernels.method_on(torch.device("cuda")) == "gathered"
    kernels._method.cache_clear()
