"""Fused kernels against whole maps and autograd, on a GPU if there is one, else interpreted.

Run by `tests/test_fused.py` in a process of its own, because Triton must be told to interpret before it is imported:
TRITON_INTERPRET=1 pytest tests/windows/fused_checks.py
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference.autograd_oracle import DECONVNET, GRADIENT, GUIDED, Oracle, OracleParts, WayDown
from support.attaching import rules_of
from support.comparing import assert_equal
from support.networks import BY_NAME
from support.networks.parts import Parts
from support.windowed import corners, windows_are
from torch import nn

from deconvnet import DeconvNet, Unit, costs
from deconvnet.windows import fused
from deconvnet.windows.arrivals import Part
from deconvnet.windows.frames import whole_maps

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WAYS = [DECONVNET, GUIDED, GRADIENT, WayDown(overlap="max"), WayDown(forward_mask=True, overlap="max")]
few = settings(
    max_examples=4, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.fixture(autouse=True)
def kernels_are_fused():
    with windows_are("fused"):
        yield


@pytest.fixture
def launches(monkeypatch) -> list[dict[str, Any]]:
    """What kernels were launched with, as they come."""
    seen: list[dict[str, Any]] = []
    launch = fused._launch

    def counted(out: Any, to: Any, part: Any, base: Any, **options: Any) -> None:
        seen.append({"unpools": part.pooled is not None, "adds": base is not None, **options})
        launch(out, to, part, base, **options)

    monkeypatch.setattr(fused, "_launch", counted)
    return seen


@st.composite
def stacks(draw: Any) -> tuple[int, list[tuple[str, Any]]]:
    """Axes, and parts by name with their settings: pools of any kind among convolutions and rectifiers."""
    axes, pool = draw(st.integers(1, 2)), None

    def of_axes(low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
        return st.tuples(*[st.integers(low, high)] * axes)

    layers: list[tuple[str, Any]] = []
    for _ in range(draw(st.integers(1, 2))):
        layers.append(("conv", (draw(of_axes(1, 3)), draw(of_axes(1, 2)), draw(of_axes(0, 2)), draw(of_axes(1, 2)))))
        layers += [("relu", ())] * draw(st.booleans())
        kernel = draw(of_axes(1, 4))
        pool = (kernel, draw(of_axes(1, 3)), tuple(draw(st.integers(0, k // 2)) for k in kernel), draw(of_axes(1, 2)))
        layers.append(("pool", (*pool, draw(st.booleans()))))
    return axes, [*layers, ("conv", ((1,) * axes, (1,) * axes, (0,) * axes, (1,) * axes))]


def built(axes: int, layers: list[tuple[str, Any]], parts: Parts | OracleParts, x: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(0)
    convolution = (nn.Conv1d, nn.Conv2d)[axes - 1]
    model = nn.Sequential()
    for kind, options in layers:
        if kind == "conv":
            model.append(convolution(2, 2, *options).double())
        else:
            model.append(parts.relu() if kind == "relu" else parts.max_pool(axes, *options))
        try:
            fits = min(model(x).shape[2:]) > 1
        except RuntimeError:
            fits = False
        assume(fits)
    return model.eval()


@given(stacks(), st.sampled_from(WAYS), st.data())
@few
def test_fused_windows_give_what_autograd_gives(stack, way: WayDown, data):
    axes, layers = stack
    x = torch.randn(2, 2, *(11, 13)[:axes], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    twin, model = built(axes, layers, OracleParts(way), x), built(axes, layers, Parts(), x).to(DEVICE)
    layer = str(len(model) - 1)
    net, oracle = DeconvNet(model, x.to(DEVICE), rules=rules_of(way)), Oracle(twin, x)
    size = oracle.outputs[layer].shape
    position = tuple(data.draw(st.integers(0, n - 1)) for n in size[2:])
    start = torch.zeros(size, dtype=x.dtype)
    start[(slice(None), 1, *position)] = 1
    truth = oracle.picture(layer, start)
    picture = net.project(x.to(DEVICE), layer, channel=1, position=position, start="one", route="windowed").full()
    assert_equal(picture.cpu(), truth)
    units = [Unit(layer, 1, position, image) for image in (1, 0, 1)]
    with mock.patch("deconvnet.engine.costs.Costs.sees_little", lambda self, units, images: True):
        assert_equal(net.project(x.to(DEVICE), layer, units=units, start="one").full()[:2].cpu(), truth[[1, 0]])


ZOO = {
    "resnet, post-activation": DECONVNET,
    "inception block": GUIDED,
    "one axis": GUIDED,
    "three axes": DECONVNET,
    "one tensor feeds a relu and a skip": GUIDED,
    "max-pools: padded and dilated, odd and even kernels": DECONVNET,
}


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo_go_down_as_on_whole_maps(name: str):
    network = BY_NAME[name]
    x = network.images().to(DEVICE)
    net = DeconvNet(network.model().to(DEVICE), x, rules=rules_of(ZOO[name]))
    layer = [layer for layer in network.layers if net.layers[layer].size][-1]
    units = [Unit(layer, 0, corners(net.layers[layer].size)[-1], image) for image in range(2)]
    windowed, dense = (net.project(x, layer, units=units, start="one", route=r).windows for r in ("windowed", "dense"))
    assert_equal(windowed, dense)


def network(dtype: torch.dtype = torch.float64) -> tuple[DeconvNet, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    x = torch.randn(2, 3, 9, 11)
    return DeconvNet(model.to(DEVICE, dtype), x.to(DEVICE, dtype), rules="guided"), x.to(DEVICE, dtype)


def test_one_kernel_unpools_and_rectifies_and_none_is_launched_for_a_unit(launches):
    net, x = network()
    net.project(x, "7", channel=0, route="windowed")
    first = [each for each in launches if each["unpools"]]
    assert [(each["rectify"], each["mask"] is not None, each["adds"]) for each in first] == [(True, True, False)] * 2
    before = len(launches)
    net.project(x, "7", channel=[1, 2], route="windowed")
    assert len(launches) == 2 * before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_units_of_several_images_repeat_to_the_bit(dtype: torch.dtype):
    net, x = network(dtype)
    position = corners(net.layers["7"].size)
    units = [Unit("7", i, position[i % len(position)], i % 2) for i in range(3)]
    first, again = (net.project(x, "7", units=units, route="windowed").windows for _ in range(2))
    assert torch.equal(first, again)
    assert_equal(first, net.project(x, "7", units=units, route="dense").windows)


def test_a_batch_that_is_split_on_its_way_keeps_each_image_s_switches():
    net, x = network()
    route = costs(net, "7").routes["windowed"]
    dense = net.project(x, "7", channel=[0, 1], route="dense").windows
    with mock.patch("deconvnet.engine.costs.Costs.chunk", 8 * 2 * max(route.held)):
        assert_equal(net.project(x, "7", channel=[0, 1], route="windowed").windows, dense)


def test_numbers_that_are_not_finite_stay():
    net, x = network()
    signal = net.activations(x, "7")["7"].clone()
    signal[0, 0, 0, 0] = torch.nan
    at = whole_maps(len(signal), signal.shape[2:])
    total = fused.joined([Part(signal, at), Part(signal, at)], at, rectify=True)
    assert total[0, 0, 0, 0].isnan()
    assert int(total.isnan().sum()) == 1


@pytest.mark.skipif(DEVICE == "cuda", reason="compiled by the other tests")
def test_the_kernel_compiles_for_a_gpu_that_is_not_here():
    """In a process in which Triton compiles: what the interpreter accepts a compiler may refuse."""
    code = Path(__file__).parents[1] / "support" / "compiled.py"
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, code], env=environment, check=True)
