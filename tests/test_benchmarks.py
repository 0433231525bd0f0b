"""What the benchmarks time is the same on both sides, with random weights on a photo that ships."""

import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning:captum")]
pytest.importorskip("torchvision")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import engine  # noqa: E402
import measure  # noqa: E402
import windows  # noqa: E402

from deconvnet import DeconvNet  # noqa: E402


@pytest.mark.parametrize("name", engine.EXPLAINED)
def test_a_class_explained_is_captums(name: str):
    engine.agreed(name, None)


@pytest.mark.parametrize("name", windows.LAYERS)
def test_single_units_are_captums_and_the_same_on_every_path(name: str):
    x = measure.photo()
    net = DeconvNet(measure.network(name, None), x)
    for layer in windows.LAYERS[name]:
        windows.agreed(net, x, layer)
