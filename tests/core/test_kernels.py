"""The faster ways give what the plain ones give."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deconvnet.core import kernels, ops
from deconvnet.core.pooling import PoolWindows, adaptive_windows, covering, regular_windows

# size, kernel, stride, padding, dilation, ceil mode; or size and how many adaptive windows
POOLINGS = {
    "side by side": ((8, 6), (2, 2), (2, 2), (0, 0), (1, 1), False),
    "overlapping": ((9, 7), (3, 3), (2, 2), (1, 1), (1, 1), True),
    "overlapping in one axis": ((7, 8), (3, 2), (1, 3), (1, 0), (1, 1), False),
    "dilated": ((11, 9), (3, 2), (2, 1), (1, 1), (2, 3), False),
    "with pixels between": ((9, 9), (1, 2), (3, 4), (0, 1), (1, 1), True),
    "along a line": ((12,), (4,), (1,), (2,), (1,), False),
    "in space": ((5, 4, 6), (2, 3, 2), (1, 2, 2), (1, 1, 0), (1, 1, 1), False),
    "adaptive": ((7, 5), (3, 4)),
}


def pooled(settings: tuple) -> tuple[Tensor, Tensor, tuple[PoolWindows, ...]]:
    """Signals on a pooled map of three images of two maps, the positions of the maxima, and the windows."""
    torch.manual_seed(0)
    below, axes = torch.randn(3, 2, *settings[0]), len(settings[0])
    if len(settings) == 2:
        pool = getattr(F, f"adaptive_max_pool{axes}d")
        output, positions = pool(below, settings[1], return_indices=True)
        windows = tuple(map(adaptive_windows, settings[0], output.shape[2:]))
    else:
        size, kernel, stride, padding, dilation, ceil = settings
        output, positions = getattr(F, f"max_pool{axes}d")(
            below, kernel, stride, padding, dilation, ceil, return_indices=True
        )
        windows = tuple(map(regular_windows, size, output.shape[2:], kernel, stride, padding, dilation))
    return torch.randn_like(output), positions, windows


@pytest.mark.parametrize("overlap", ["sum", "max"])
@pytest.mark.parametrize("settings", POOLINGS.values(), ids=POOLINGS.keys())
def test_gathering_from_the_windows_that_hold_a_pixel_is_unpooling(settings: tuple, overlap: ops.Overlap):
    signal, positions, windows = pooled(settings)
    switches, size = ops.switches(positions, windows), settings[0]
    truth = ops.unpool(signal, positions, size, overlap=overlap)
    gathered = kernels.unpool_gathered(signal, switches, covering(windows, signal.device), size, overlap)
    torch.testing.assert_close(gathered, truth)
    assert torch.equal(ops.unpool_by_switches(signal, switches, windows, overlap=overlap), truth)


def test_images_that_share_their_switches_gather_as_each_for_itself():
    signal, positions, windows = pooled(POOLINGS["overlapping"])
    switches, at = ops.switches(positions, windows)[:1], covering(windows, signal.device)
    shared = kernels.without_repeats(switches.expand(3, -1, -1, -1))
    assert len(shared) == 1
    together = kernels.unpool_gathered(signal, shared, at, (9, 7), "sum")
    alone = [kernels.unpool_gathered(each[None], switches, at, (9, 7), "sum") for each in signal]
    assert torch.equal(together, torch.cat(alone))
    again = ops.unpool_by_switches(signal, switches.expand(3, -1, -1, -1), windows)
    torch.testing.assert_close(again, together)


def test_what_lies_where_is_worked_out_once():
    _, positions, windows = pooled(POOLINGS["dilated"])
    assert covering(windows, positions.device) is covering(windows, positions.device)
    first, *_ = windows
    other = (PoolWindows(first.size, first.starts.clone(), first.counts, first.dilation), *windows[1:])
    assert covering(windows, positions.device) is not covering(other, positions.device)


def test_an_accelerator_uses_the_filters_of_its_own_library():
    shapes = torch.Size((2, 8, 5, 5)), torch.Size((8, 4, 1, 1)), (2, 4, 5, 5)
    point, grouped = (kernels.Convolution((1, 1), (0, 0), (1, 1), groups=groups) for groups in (1, 2))
    own = kernels.way_of_filter_transposed(*shapes, point, "cuda")
    assert own is kernels.way_of_filter_transposed(*shapes, grouped, "cpu")
    assert own is not kernels.way_of_filter_transposed(*shapes, point, "cpu")
