"""Randomised weights and similarities beside those of Quantus, where it computes the same."""

from typing import Any

import numpy as np
import pytest
import torch
from support.pictured import images, of_unit
from torch import Tensor, nn

from deconvnet import DeconvNet
from deconvnet.probes.random_twin import random_twin
from deconvnet.probes.similarity import cosine, pearson, spearman
from deconvnet.probes.weight_randomisation import cascade, one_by_one

pytestmark = pytest.mark.slow  # the import takes seconds


@pytest.fixture(scope="module")
def quantus() -> Any:
    return pytest.importorskip("quantus")


class KnownDraws(nn.Conv2d):
    """A convolution whose parameters are reset to values that were drawn before."""

    drawn: dict[str, Tensor]

    def reset_parameters(self) -> None:
        if "drawn" in vars(self):
            self.load_state_dict(self.drawn)
        else:
            super().reset_parameters()


def network() -> DeconvNet:
    """Its last units see the whole image."""
    torch.manual_seed(0)
    first, last = KnownDraws(3, 8, 3), KnownDraws(8, 6, (11, 9))
    net = DeconvNet(nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), last, nn.ReLU()), images(1))
    twin = random_twin(net, 0).model
    for name, layer in (("0", first), ("3", last)):
        layer.drawn = {key: value.clone() for key, value in twin.get_submodule(name).state_dict().items()}
    return net


@pytest.mark.parametrize(("order", "curve"), [("top_down", cascade), ("independent", one_by_one)])
def test_a_picture_changes_with_random_weights_as_it_does_in_quantus(quantus, order, curve):
    net, x = network(), images(1)
    pictured = of_unit(net=net)

    def explain(model: nn.Module, inputs: object, targets: object, **_: object) -> np.ndarray:
        unit = pictured.unit
        drawn = DeconvNet(model, x).project(x, unit.layer, channel=unit.channel, position=unit.position, start="one")
        return drawn.full().numpy()

    metric = quantus.MPRT(
        similarity_func=quantus.correlation_spearman,
        layer_order=order,
        disable_warnings=True,
        normalise=False,
        abs=False,
    )
    theirs = metric(model=net.model, x_batch=x.numpy(), y_batch=np.zeros(1, int), explain_func=explain, device="cpu")
    ours = {layer: alike.spearman for layer, alike in curve(pictured).items()}
    assert {layer: scores[0] for layer, scores in theirs.items() if layer in ours} == pytest.approx(ours, abs=1e-6)


def test_pictures_are_as_alike_as_in_quantus(quantus):
    a, b = np.random.default_rng(0).normal(size=(2, 1, 16, 16))
    assert spearman(a, b) == pytest.approx(quantus.correlation_spearman(a.ravel(), b.ravel()))
    assert cosine(a, b) == pytest.approx(1 - quantus.cosine(a.ravel(), b.ravel()))
    assert pearson(a, b) == pytest.approx(quantus.correlation_pearson(a.ravel(), b.ravel()))
