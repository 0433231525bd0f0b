"""Signals that start from all feature maps at one position."""

import pytest
import torch
from support.classifier import classifier, close, images

from deconvnet import Unit
from deconvnet.engine.project import project_profiles
from deconvnet.network import attached


@pytest.mark.parametrize(("layer", "positions"), [("relu2", [(1, 2), (5, 0), (1, 2)]), ("fc", [()] * 3)])
def test_profiles_are_carried_down_as_whole_signals_are(layer: str, positions: list[tuple[int, ...]]):
    net, x = classifier(), images()
    values = net.activations(x, layer)[layer]
    profiles = torch.randn(3, values.shape[1], generator=torch.Generator().manual_seed(3)).abs().double()
    units = [Unit(layer, 0, position, image) for position, image in zip(positions, (1, 0, 0), strict=True)]
    result = project_profiles(attached(net), x, units, profiles)
    for i, unit in enumerate(units):
        signal = torch.zeros_like(values)
        signal[(unit.image, slice(None), *unit.position)] = profiles[i]
        assert close(result.whole(i), net.project(x, layer, start=signal).whole(unit.image))
        assert result.units[i] == Unit(layer, None, unit.position, unit.image)


def test_a_profile_of_one_map_is_that_unit():
    net, x = classifier(), images()
    profile = torch.zeros(1, 8)
    profile[0, 3] = 1
    unit = Unit("relu1", 3, (4, 6), 1)
    result = project_profiles(attached(net), x, [unit], profile[:, :6])
    alone = net.project(x, "relu1", units=[unit], start="one")
    assert close(result.windows, alone.windows) and result.boxes.tolist() == alone.boxes.tolist()
