"""Trained networks on photos: the engine against autograd with the paper's way down, in float64."""

import os
from pathlib import Path

import pytest
import torch
from reference.autograd_oracle import DECONVNET, Rectifying
from support.comparing import assert_equal
from support.cuts import agree_at_every_cut
from support.losses import compared_with_chance
from torch import Tensor, nn

from deconvnet import DeconvNet, load_model
from deconvnet.models.load import LoadedModel

DATA = os.environ.get("DECONVNET_DATA", "")
pytestmark = pytest.mark.skipif(not DATA, reason="DECONVNET_DATA is not set: no real weights to load")
EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTOS = {"size": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "labels": "imagenet"}


def loaded(name: str) -> LoadedModel:
    weights = Path(DATA) / "weights"
    if name == "GoogLeNet":
        return load_model(
            f"{EXAMPLES / 'googlenet.py'}:googlenet", weights=weights / "bvlc_googlenet.fp16.safetensors", **PHOTOS
        )
    if name == "SqueezeNet":
        return load_model("torchvision:squeezenet1_1@random", weights=weights / "squeezenet1_1_caffe.fp16.safetensors")
    vgg = load_model("torchvision:vgg16@random")
    from safetensors.torch import load_file

    trunk = load_file(weights / "vgg16_features_detecttumor.fp16.safetensors")
    vgg.model.load_state_dict({key: weight.float() for key, weight in trunk.items()}, strict=False)
    return vgg


def carried_down(model: nn.Module, x: Tensor, picked) -> Tensor:
    """What the paper's way down brings to the pixels from the value that `picked` picks of the model's run."""
    leaf = x.clone().requires_grad_()
    with Rectifying(DECONVNET):
        value = picked(model, leaf + 0)
    (signal,) = torch.autograd.grad(value, leaf)
    return signal


@pytest.mark.parametrize("name", ["SqueezeNet", pytest.param("GoogLeNet", marks=pytest.mark.slow)])
def test_a_photo_is_explained_as_the_paper_does(name: str):
    one = loaded(name)
    (photo,) = (Path(DATA) / "imagenet1000").glob("0001_*.jpg")
    model, x = one.model.double(), one.preprocess.images([photo]).double()
    result = DeconvNet(model, x).explain(x)
    assert one.label(result.units[0].channel) == "goldfish"
    truth = carried_down(model, x, lambda model, x: model(x)[0, result.units[0].channel])
    assert_equal(result.full(), truth)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["features.15", "features.29"])
def test_a_unit_of_vgg_goes_down_as_the_paper_does(layer: str):
    one = loaded("VGG-16")
    (photo,) = (Path(DATA) / "imagenet1000").glob("0001_*.jpg")
    model, x = one.model.double(), one.preprocess.images([photo]).double()
    result = DeconvNet(model, x).project(x, layer, channel="top:1", route="windowed")
    trunk = model.features[: int(layer.removeprefix("features.")) + 1]
    (unit,) = result.units
    truth = carried_down(trunk, x, lambda trunk, x: trunk(x)[(0, unit.channel, *unit.position)])
    assert_equal(result.full(), result.activations[0] * truth)


def photos(count: int) -> list[Path]:
    """Of as many classes, evenly spaced."""
    every = sorted((Path(DATA) / "imagenet1000").glob("*.jpg"))
    return every[:: len(every) // count][:count]


def test_a_class_stopped_at_any_cut_and_started_again_is_the_class_straight_down():
    one = loaded("SqueezeNet")
    net = DeconvNet(one.model, one.example_input)
    layers = agree_at_every_cut(net, one.preprocess.images(photos(1)))
    blocks = {f"features.{i}" for i in range(13)} | {"classifier.1", "classifier.2", "classifier.3"}
    assert blocks <= set(layers)
    assert "features.12.expand3x3_activation" not in layers


@pytest.mark.parametrize(
    # the least share of photos where signals are rectified on their way: docs/how-it-works.md has the figures
    ("name", "layer", "rectified"),
    [
        pytest.param("SqueezeNet", "features.7", 0.6, marks=pytest.mark.slow),
        pytest.param("SqueezeNet", "features.12", 0.9, marks=pytest.mark.slow),
        pytest.param("GoogLeNet", "i4c", 0.6, marks=pytest.mark.slow),
        pytest.param("GoogLeNet", "i5b", 0.9, marks=pytest.mark.slow),
    ],
)
def test_the_class_loses_more_without_the_units_that_it_rests_on_than_without_others(
    name: str, layer: str, rectified: float
):
    one = loaded(name)
    net, x = DeconvNet(one.model, one.example_input), one.preprocess.images(photos(50))
    for rules, least in {"deconvnet": rectified, "guided": rectified, "gradient": 0.9}.items():
        share, ours, theirs = compared_with_chance(net.with_rules(rules), x, layer)
        print(f"| {name} | {layer} | {rules} | {100 * share:.0f} % | {ours:.2f} | {theirs:.2f} |")
        assert share >= least
