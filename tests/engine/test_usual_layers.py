"""The layers that an experiment looks at where none are named."""

import pytest
import torch
from torch import nn

from deconvnet import ArgumentError, DeconvNet
from deconvnet.engine.usual_layers import low_and_high, map_and_high
from deconvnet.network import attached


def both(*modules: nn.Module) -> tuple[tuple[str, str], tuple[str, str]]:
    x = torch.zeros(2, 3, 8, 8)
    engine = attached(DeconvNet(nn.Sequential(*modules).eval(), x))
    graph = engine.own_graph()
    return low_and_high(engine, graph), map_and_high(engine, graph)


def test_a_fully_connected_layer_below_the_classes_is_the_high_one_and_the_last_pooled_map_lies_below():
    body = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    low, maps = both(*body, nn.Linear(36, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 2))
    assert low == ("1", "5") and maps == ("2", "5")


def test_what_is_only_flattened_is_named_by_the_layer_that_made_it():
    low, maps = both(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert low == ("1", "2") and maps == ("1", "2")


def test_classes_that_a_convolution_makes_are_no_hidden_layer():
    body = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.ReLU()
    low, maps = both(*body, nn.Conv2d(4, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert low == ("1", "4") and maps == ("1", "4")


def test_smooth_activations_count_although_no_way_down_is_known():
    assert both(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))[0] == ("1", "2")


def test_a_network_without_hidden_layers_asks_for_names():
    with pytest.raises(ArgumentError, match=r"no hidden layer lies below the classes: name the layers"):
        both(nn.Flatten(), nn.Linear(192, 2))
    with pytest.raises(ArgumentError, match="no layer to compare '1' with"):
        both(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 6), nn.Flatten())
