"""What the benchmarks time is the same on all sides, with random weights on a photo that ships."""

import engine
import measure
import pytest
import windows

from deconvnet import DeconvNet

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning:captum")]


@pytest.mark.parametrize("name", engine.EXPLAINED)
def test_a_class_explained_is_that_of_both_peers(name: str):
    engine.agreed(name, None)


@pytest.mark.parametrize("name", windows.LAYERS)
def test_single_units_are_those_of_both_peers_and_the_same_on_every_path(name: str):
    x = measure.photo()
    net = DeconvNet(measure.network(name, None), x)
    for layer in windows.LAYERS[name]:
        windows.agreed(net, x, layer)
