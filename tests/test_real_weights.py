"""Trained networks on photos: the engine against autograd with the paper's way down, in float64."""

import os
from pathlib import Path

import pytest
import torch
from reference.autograd_oracle import DECONVNET, Rectifying
from test_project_exact import assert_equal
from torch import Tensor, nn

from deconvnet import DeconvNet, load_model
from deconvnet.models.load import LoadedModel

DATA = os.environ.get("DECONVNET_DATA", "")
pytestmark = pytest.mark.skipif(not DATA, reason="DECONVNET_DATA is not set: no real weights to load")
EXAMPLES = Path(__file__).parents[1] / "examples"
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


@pytest.mark.parametrize("name", ["SqueezeNet", "GoogLeNet"])
def test_a_photo_is_explained_as_the_paper_does(name: str):
    one = loaded(name)
    (photo,) = (Path(DATA) / "imagenet1000").glob("0001_*.jpg")
    model, x = one.model.double(), one.preprocess.images([photo]).double()
    result = DeconvNet(model, x).explain(x)
    assert one.label(result.units[0].channel) == "goldfish"
    truth = carried_down(model, x, lambda model, x: model(x)[0, result.units[0].channel])
    assert_equal(result.full(), truth)


@pytest.mark.parametrize("layer", ["features.15", "features.29"])
def test_a_unit_of_vgg_goes_down_as_the_paper_does(layer: str):
    one = loaded("VGG-16")
    (photo,) = (Path(DATA) / "imagenet1000").glob("0001_*.jpg")
    model, x = one.model.double(), one.preprocess.images([photo]).double()
    result = DeconvNet(model, x).project(x, layer, channel="top:1", path="windowed")
    trunk = model.features[: int(layer.removeprefix("features.")) + 1]
    (unit,) = result.units
    truth = carried_down(trunk, x, lambda trunk, x: trunk(x)[(0, unit.channel, *unit.position)])
    assert_equal(result.full(), result.activations[0] * truth)
