"""The paper's steps down on whole maps, against loops written from the paper, at any geometry."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference import paper
from reference.autograd_oracle import (
    DECONVNET,
    WayDown,
    layer_outputs,
)
from support.attaching import attached, oracle, rules_of
from support.comparing import assert_equal
from support.networks import BY_NAME, NETWORKS, Network, paper_layers
from support.signals import live_channels, start_on
from torch import Tensor, nn

from deconvnet import DeconvNet

# the paper itself, loop by loop ---------------------------------------------------------------------


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.sequential], ids=lambda n: n.name)
def test_one_unit_is_projected_as_section_two_of_the_paper_says(network: Network):
    net, x = attached(network.name), network.images()
    layers = paper_layers(network.model())
    for layer in network.layers[1::3]:
        values = oracle(network.name, DECONVNET).outputs[layer].detach()
        result = net.project(x, layer, channel=live_channels(values)[-1])
        unit = result.units[1]
        signal = np.zeros(values.shape[1:])
        signal[(unit.channel, *unit.position)] = result.activations[1].abs()
        picture = paper.project_signal(layers, x[1].numpy(), int(layer), signal)
        assert_equal(result.full()[1], torch.tensor(picture))


@pytest.mark.parametrize("layer", ["0", "1"])
def test_a_first_layer_picture_is_the_filter_times_the_activation(layer: str):
    network = BY_NAME["convolutions and rectifiers only"]
    net, x = attached(network.name), network.images()
    filters = network.model()[0].weight.detach()
    for channel in range(len(filters)):
        result = net.project(x, layer, channel=channel)
        for picture, unit, activation in zip(result.full(), result.units, result.activations, strict=True):
            truth = torch.zeros_like(picture)
            row, column = unit.position
            truth[:, row : row + 3, column : column + 3] = activation.abs() * filters[channel]
            assert truth.any()
            assert_equal(picture, truth)


def test_windows_that_share_a_switch_are_summed_where_max_unpool_overwrites():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.MaxPool2d(2, 1)).double()
    nn.init.ones_(model[0].weight)
    x = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    x[:, :, 1, 1] = 9
    signal = torch.tensor([[1.0, 2], [-4, 3]], dtype=torch.float64).expand(2, 1, 2, 2)
    net = DeconvNet(model, x)
    assert net.project(x, "1", start=signal).full()[0, 0, 1, 1] == 2
    largest = net.with_rules(rules_of(WayDown(overlap="max")))
    assert largest.project(x, "1", start=signal).full()[0, 0, 1, 1] == -4
    pooled, indices = F.max_pool2d(x, 2, 1, return_indices=True)
    overwritten = F.max_unpool2d(signal.contiguous(), indices, 2, 1, output_size=(3, 3))
    assert overwritten.abs().sum() < signal.abs().sum()
    assert pooled.unique().tolist() == [9]


# any geometry ---------------------------------------------------------------------------------------


geometry = settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def conv_options(draw: st.DrawFn, axes: int, groups: int) -> dict:
    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    return {
        "kernel_size": each(1, 3),
        "stride": each(1, 2),
        "padding": each(0, 2),
        "dilation": each(1, 2),
        "groups": draw(st.sampled_from([1, groups])),
    }


@st.composite
def pool_options(draw: st.DrawFn, axes: int) -> dict:
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    return {
        "kernel_size": kernel,
        "stride": tuple(draw(st.integers(1, 4)) for _ in range(axes)),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "dilation": tuple(draw(st.integers(1, 2)) for _ in range(axes)),
        "ceil_mode": draw(st.booleans()),
    }


def _agrees_with_the_paper(model: nn.Sequential, x: Tensor, way: WayDown) -> None:
    try:
        values = model(x)
    except RuntimeError:
        assume(False)
    net = DeconvNet(model, x, rules=rules_of(way))
    layers = paper_layers(model)
    for layer in (len(model) - 1, len(model) - 2):
        values = layer_outputs(model, x)[str(layer)].detach()
        signal = start_on(values)
        pictures = net.project(x, str(layer), start=signal).full()
        choices = {"placement": way.unpool, "overlap": way.overlap}
        for i in range(len(x)):
            truth = paper.project_signal(layers, x[i].numpy(), layer, signal[i].numpy(), **choices)
            assert_equal(pictures[i], torch.tensor(truth))
        if not values.any():
            continue
        channel = int(values.flatten(2).amax(-1).amax(0).argmax())
        result = net.project(x, str(layer), channel=channel)
        for i, unit in enumerate(result.units):
            alone = np.zeros(values.shape[1:])
            alone[(unit.channel, *unit.position)] = result.activations[i].abs()
            truth = paper.project_signal(layers, x[i].numpy(), layer, alone, **choices)
            if truth.any():
                assert_equal(result.full()[i], torch.tensor(truth))
            else:
                assert not result.full()[i].any()


@given(
    size=st.tuples(st.integers(5, 11), st.integers(5, 11)),
    first=conv_options(2, 2),
    pool=pool_options(2),
    second=conv_options(2, 4),
    way=st.sampled_from([DECONVNET, WayDown(overlap="max"), WayDown(unpool="centre"), WayDown(unpool="average")]),
)
@geometry
def test_any_convolution_and_any_pool_in_the_plane(size, first, pool, second, way):
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 4, **first), nn.ReLU(), nn.MaxPool2d(**pool), nn.Conv2d(4, 4, **second)
    ).double()  # fmt: skip
    _agrees_with_the_paper(model, torch.randn(2, 2, *size, dtype=torch.float64), way)


@given(
    size=st.tuples(st.integers(8, 20)),
    first=conv_options(1, 2),
    pool=pool_options(1),
    second=conv_options(1, 4),
    way=st.sampled_from([DECONVNET, WayDown(overlap="max"), WayDown(unpool="average")]),
)
@geometry
def test_any_convolution_and_any_pool_along_a_line(size, first, pool, second, way):
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv1d(2, 4, **first), nn.ReLU(), nn.MaxPool1d(**pool), nn.Conv1d(4, 4, **second)
    ).double()  # fmt: skip
    _agrees_with_the_paper(model, torch.randn(2, 2, *size, dtype=torch.float64), way)


@given(
    size=st.tuples(*[st.integers(4, 6)] * 3),
    first=conv_options(3, 1),
    pool=pool_options(3),
)
@settings(geometry, max_examples=3)
def test_any_convolution_and_any_pool_in_space(size, first, pool):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv3d(1, 2, **first), nn.ReLU(), nn.MaxPool3d(**pool)).double()
    _agrees_with_the_paper(model, torch.randn(2, 1, *size, dtype=torch.float64), DECONVNET)
