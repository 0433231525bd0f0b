"""Windows moved and added: the same numbers for all units at once as unit by unit."""

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.windowed import windows_are

from deconvnet._errors import DeconvNetWarning
from deconvnet.core.up import Trace
from deconvnet.windows import kernels
from deconvnet.windows.arrivals import Part
from deconvnet.windows.down import _Memory
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


def test_corners_that_calls_share_are_copied_to_a_device_for_each_call_alone():
    shared, cpu = frames(np.random.default_rng(0), 3, 2), torch.device("cpu")
    memory = _Memory(Trace(3, {}, {}, {}), {"pool": shared}, np.arange(3), {})
    assert memory._at("pool").same_as(shared)
    memory._at("pool").low_on(cpu)
    memory.of_units("pool").low_on(cpu)
    assert not shared._copies, "another call may read it on a stream that does not wait for the copy"


@pytest.fixture
def not_tried_yet() -> Iterator[None]:
    kernels.method_on.cache_clear()
    yield
    kernels.method_on.cache_clear()


@pytest.mark.parametrize("found", [True, False])
def test_kernels_are_fused_where_triton_is(found: bool, monkeypatch, not_tried_yet: None):
    monkeypatch.setattr(kernels, "find_spec", lambda name: object() if found else None)
    monkeypatch.setattr(kernels, "_triton_fails", lambda device: None)
    assert kernels.method_on(torch.device("cuda")) == ("fused" if found else "gathered")


def test_where_triton_does_not_work_on_one_of_several_devices_this_is_told_once(monkeypatch, not_tried_yet: None):
    failures = {"cuda:0": "Failed to find C compiler", "cuda:1": None}
    monkeypatch.setattr(kernels, "find_spec", lambda name: object())
    monkeypatch.setattr(kernels, "_triton_fails", lambda device: failures[str(device)])
    with pytest.warns(DeconvNetWarning, match="Triton does not work on cuda:0: Failed to find C compiler"):
        assert kernels.method_on(torch.device("cuda:0")) == "gathered"
    assert [kernels.method_on(torch.device(name)) for name in failures] == ["gathered", "fused"]


@pytest.mark.skipif(find_spec("triton") is None, reason="PyTorch brings Triton for Linux alone")
def test_neither_sizes_nor_where_tensors_begin_make_another_fused_kernel_necessary():
    from deconvnet.windows.fused import _join

    of_its_own = [
        part.name
        for part in _join.params
        if not (part.is_constexpr or part.do_not_specialize or part.do_not_specialize_on_alignment)
    ]
    assert not of_its_own
