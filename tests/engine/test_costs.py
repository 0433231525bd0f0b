"""What a way down costs, and how it keeps within a budget of memory."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.classifier import class_maps, classifier, close, images, maps
from support.windowed import deep
from torch import nn

from deconvnet import (
    ArgumentError,
    DeconvNet,
    MemoryBudgetError,
    costs,
)


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return classifier()


@pytest.fixture(scope="module")
def segmenter() -> DeconvNet:
    return class_maps()


@pytest.mark.parametrize("memory", ["64MB", "64 MB", "0.064GB", "64000KB", "64000000", 64_000_000, "64m", "0.064 gb"])
def test_a_budget_is_a_number_of_bytes_or_a_size(net: DeconvNet, memory: Any):
    assert torch.equal(net.explain(images(), 1, memory=memory).full(), net.explain(images(), 1, memory="64MB").full())


@pytest.mark.parametrize("memory", ["lots", "", "-2GB", "0", 0, -5, "2XB", True, "1KiB", "GB", 1.5e9j])
def test_what_is_no_budget_is_refused(net: DeconvNet, memory: Any):
    with pytest.raises(ArgumentError, match="memory is a number of bytes or a size such as '2GB'; got"):
        net.explain(images(), 1, memory=memory)
    with pytest.raises(ArgumentError, match="memory is a number of bytes"):
        DeconvNet(net.model, images(), memory=memory)


def _smallest(call: Callable[[int], Any]) -> int:
    """The smallest budget that is enough, to a few percent."""
    low, high = 1_000, 100_000_000
    while high > 1.03 * low:
        middle = int((low * high) ** 0.5)
        try:
            call(middle)
            high = middle
        except MemoryBudgetError:
            low = middle
    return high


def test_work_in_chunks_gives_what_work_at_once_gives(net: DeconvNet):
    x = images(5)

    def call(memory: int) -> Any:
        return net.project(x, "conv2", channel="all", memory=memory)

    least = _smallest(call)
    at_once = call(100_000_000)
    for memory in (least, 2 * least, 5 * least):
        chunked = call(memory)
        assert chunked.units == at_once.units
        assert chunked.notes == at_once.notes
        assert torch.equal(chunked.boxes, at_once.boxes)
        assert close(chunked.activations, at_once.activations)
        assert close(chunked.windows, at_once.windows)


def test_chunks_of_units_whose_fields_differ_in_size_fit_together():
    x = images(4, size=9)
    up = nn.Upsample(scale_factor=2, mode="bilinear")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), up, nn.Conv2d(4, 2, 3)).double()
    net = DeconvNet(model, x)

    def call(memory: int) -> Any:
        return net.project(x, "3", channel="all", memory=memory)

    chunked, at_once = call(_smallest(call)), call(100_000_000)
    assert close(chunked.full(), at_once.full())


def test_chunks_of_a_signal_or_a_mask_of_ones_own(segmenter: DeconvNet):
    x = images(5)
    signal = segmenter.scores(x)
    mask = signal > 0

    def started(memory: int) -> Any:
        return segmenter.project(x, "3", start=signal, memory=memory)

    def masked(memory: int) -> Any:
        return segmenter.explain(x, mask, memory=memory)

    for call in (started, masked):
        at_once, chunked = call(100_000_000), call(_smallest(call))
        assert chunked.units == at_once.units
        assert close(chunked.full(), at_once.full())
        assert close(chunked.activations, at_once.activations)


def test_too_small_a_budget_is_refused_with_a_size_that_fits():
    x = images(1, size=64)
    net = DeconvNet(maps(), x, memory="200KB")
    with pytest.raises(MemoryBudgetError, match=r"of 64x64 needs about .* is 200\.0 kB: give more") as refusal:
        net.project(x, "3", channel=0)
    words = str(refusal.value).rstrip(".").split()
    height, width = map(int, words[words.index("about", words.index("images")) + 1].split("x"))
    assert 8 <= height <= 64 and 8 <= width <= 64
    net.project(images(1, size=height), "3", channel=0)


MEASURE = """
import re, sys
import torch
from torch import nn
from deconvnet import DeconvNet, costs

def kilobytes(what):
    return int(re.search(what + r":\\s*(\\d+) kB", open("/proc/self/status").read()).group(1))

torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
    nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(),
)
x = torch.randn(int(sys.argv[2]), 3, 128, 128)
net = DeconvNet(model, x[:1])
net.project(x[:1, :, :, :], "7", channel=0, memory="1GB")
before = kilobytes("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
r = net.project(x, "7", channel="all", position=eval(sys.argv[3]), memory=sys.argv[1], start="one")
print((kilobytes("VmHWM") - before) / 1e3 * 1.024)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's own account of memory")
@pytest.mark.parametrize(
    ("megabytes", "images", "position"),
    [
        pytest.param(60, 4, None, id="60 MB"),
        pytest.param(150, 8, None, id="150 MB", marks=pytest.mark.slow),
        pytest.param(150, 2, "all", id="whole maps", marks=pytest.mark.slow),
    ],
)
def test_the_memory_taken_stays_within_the_budget(megabytes: int, images: int, position: Any):
    call = [sys.executable, "-c", textwrap.dedent(MEASURE), f"{megabytes}MB", str(images), repr(position)]
    taken = float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    assert 1 < taken <= megabytes, f"{taken:.0f} MB taken of {megabytes}"


def test_a_plan_says_how_units_go_down_and_what_that_saves():
    net, _ = deep()
    words = str(costs(net, "4"))
    assert "4: 16 maps of 48x48" in words
    assert "5 of 5 steps in windows of 1 pixel to 8x8" in words
    assert "times as much" in words
    assert "on the 8x8 pixels" in words
    assert "way down: all 8 steps on whole maps" in str(costs(net, "7"))


def test_the_way_is_planned_for_the_device_that_computes(net: DeconvNet):
    on_cpu = costs(net, "relu2")
    assert str(on_cpu).endswith("on cpu: moving a number counts as 8 multiplications")
    graph = replace(on_cpu.way.graph, device="cuda")
    on_cuda = replace(on_cpu, way=replace(on_cpu.way, graph=graph))
    assert "on cuda: moving a number counts as 22 multiplications, beginning an operation as 1.4e+06" in str(on_cuda)
    assert on_cuda.routes["dense"].work > on_cpu.routes["dense"].work
    assert on_cuda.routes["auto"].work == min(route.work for route in on_cuda.routes.values())
