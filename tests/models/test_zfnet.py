"""The paper's network and the small one have the paper's numbers; folding batch norm changes nothing."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, zfnet, zfnet_mini

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_zfnet_mini.py"

# layer: maps, length, stride, receptive field, switches below (figure 3 of the paper)
PAPER = {
    "conv1": (96, 110, 2, 7, 0),
    "pool1": (96, 55, 4, 11, 1),
    "conv2": (256, 26, 8, 27, 1),
    "pool2": (256, 13, 16, 43, 2),
    "conv3": (384, 13, 16, 75, 2),
    "conv4": (384, 13, 16, 107, 2),
    "conv5": (256, 13, 16, 139, 2),
    "pool5": (256, 6, 32, 171, 3),
}


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return zfnet()


@pytest.fixture(scope="module")
def net(network: nn.Sequential) -> DeconvNet:
    return DeconvNet(network, torch.zeros(1, 3, 224, 224))


@pytest.mark.parametrize("layer", PAPER)
def test_every_layer_has_the_papers_numbers(net: DeconvNet, layer: str):
    maps, length, stride, field, switches = PAPER[layer]
    info = net.layers[layer]
    assert (info.channels, info.size) == (maps, (length, length))
    assert info.stride == (float(stride), float(stride))
    assert info.receptive_field == (field, field)
    assert info.switches_below == switches


def test_contrast_normalisation_is_one_step_that_a_signal_passes_over(net: DeconvNet):
    for name, below in (("norm1", "pool1"), ("norm2", "pool2")):
        info = net.layers[name]
        assert (info.kind, info.way_down) == ("local_response_norm", "the same signal")
        assert info.receptive_field == net.layers[below].receptive_field
    assert not any("/" in name for name in net.layers)


def test_fully_connected_layers_see_everything(net: DeconvNet):
    for name, width in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000)):
        info = net.layers[name]
        assert (info.channels, info.size, info.receptive_field) == (width, (), (224, 224))
        assert info.switches_below == 3


def test_the_number_of_parameters_is_known(network: nn.Sequential):
    assert sum(parameter.numel() for parameter in network.parameters()) == 62_357_608
    assert sum(parameter.numel() for parameter in zfnet_mini().parameters()) == 2_237_387


def test_weights_start_as_the_paper_says(network: nn.Sequential):
    for module in network:
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.05)
            assert not module.bias.any()


def test_a_unit_of_the_papers_network_comes_down(net: DeconvNet):
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 50
    result = net.project(x, "pool5", channel=3, position=(3, 3), start="one")
    assert result.boxes.tolist() == [[[47, 47], [218, 218]]]
    assert result.windows.shape == (1, 3, 171, 171)
    assert result.windows.any()


def test_the_small_network_has_the_sizes_that_its_description_tells():
    net = DeconvNet(zfnet_mini(), torch.zeros(1, 3, 128, 128))
    sizes = [net.layers[name].size[0] for name in ("pool1", "pool2", "relu3", "relu4", "pool5")]
    assert sizes == [32, 8, 8, 8, 4]
    assert net.scores(torch.zeros(1, 3, 128, 128)).shape == (1, 11)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_zfnet_mini", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_folding_batch_norm_into_the_convolutions_changes_nothing(example: ModuleType):
    torch.manual_seed(0)
    trained = zfnet_mini(7, batch_norm=True)
    for module in trained:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 3)
            nn.init.normal_(module.weight)  # gains of both signs
            nn.init.normal_(module.bias, std=0.3)
    x = torch.randn(3, 3, 128, 128)
    plain = example.fold_batch_norm(trained, zfnet_mini(7))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain)
    assert [name for name, _ in plain.named_children()] == [n for n, _ in zfnet_mini(7).named_children()]
    with torch.inference_mode():
        ours, truth = plain(x), trained(x)
    assert truth.std() > 1e-3
    assert (ours - truth).abs().max() <= 1e-4 * truth.abs().max()
