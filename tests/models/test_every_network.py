"""Every convolutional classifier of torchvision and twenty families of timm, with random weights.

None may be silently wrong: the rule set `gradient` equals the user's own autograd, and `deconvnet` equals
autograd with the paper's way down put into its backward, or is refused with a sentence. Set DECONVNET_TABLE
to the name of a file to have one line of JSON written for each network.
"""

import json
import os
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deconvnet import DeconvNet, UnsupportedOperationError
from deconvnet.network import attached as attached_to

pytestmark = pytest.mark.slow
torchvision = pytest.importorskip("torchvision")
timm = pytest.importorskip("timm")

TORCHVISION = [
    name for name in torchvision.models.list_models(module=torchvision.models) if not name.startswith("vit_")
]
TIMM = [
    "resnet10t", "resnetblur50", "ecaresnet50t", "seresnext26t_32x4d", "skresnet18", "resnest14d",
    "res2net50_14w_8s", "regnety_002", "mobilenetv2_050", "mobilenetv3_small_050", "efficientnet_lite0",
    "ghostnet_050", "repvgg_a0", "mobileone_s0", "ese_vovnet19b_slim", "dla46_c", "hrnet_w18_small",
    "dpn48b", "cspdarknet53", "resnetv2_50", "convnext_atto", "selecsls42b", "tf_efficientnet_b0",
    "starnet_s1", "xception41", "inception_v4", "nf_regnet_b0", "hgnetv2_b0", "lcnet_050", "tresnet_m",
]  # fmt: skip
SIZES = (64, 96, 128, 224)


# the independent way down ---------------------------------------------------------------------------


class _Rectified(torch.autograd.Function):
    """A rectifier whose backward rectifies the signal and knows nothing of the way up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None]:
        return signal.clamp(min=0), None


class PaperWayDown(TorchFunctionMode):
    """While it is on, autograd goes down as DeconvNet does; only the input may require a gradient."""

    IN_PLACE = (torch.relu_, Tensor.relu_, F.relu_)
    RELUS = (F.relu, torch.relu, Tensor.relu, *IN_PLACE)
    CLAMPS = (F.relu6, F.hardtanh, F.hardtanh_, torch.clamp, Tensor.clamp, Tensor.clamp_)
    PRODUCTS = (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__, Tensor.mul_, Tensor.__imul__)

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in self.RELUS or (function in self.CLAMPS and self._from_zero(function, args, kwargs)):
            return self._rectified(function, args, kwargs)
        if function is F.local_response_norm:
            return args[0] + (function(args[0].detach(), *args[1:], **kwargs) - args[0]).detach()
        if function in self.PRODUCTS and len(args) == 2 and all(isinstance(a, Tensor) for a in args):
            args = self._gated(*args)
        return function(*args, **kwargs)

    @staticmethod
    def _from_zero(function: Callable[..., Any], args: Any, kwargs: Any) -> bool:
        if function is F.relu6:
            return True
        low = args[1] if len(args) > 1 else kwargs.get("min", kwargs.get("min_val"))
        return isinstance(low, int | float) and low == 0

    def _rectified(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Tensor:
        x = args[0] if args else kwargs.pop("input")
        in_place = function in (*self.IN_PLACE, F.hardtanh_, Tensor.clamp_) or kwargs.get("inplace")
        with torch.no_grad():
            value = function(x.detach().clone(), *args[1:], **kwargs)
        if not in_place:
            return _Rectified.apply(x, value)
        return x.copy_(_Rectified.apply(x.clone(), value))

    @staticmethod
    def _gated(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """A factor with one value per map, expanded or not, is a constant if the other is a map."""
        if a.requires_grad and b.requires_grad and a.ndim == b.ndim > 2:
            single = [
                all(n == 1 or step == 0 for n, step in zip(one.shape[2:], one.stride()[2:], strict=True))
                for one in (a, b)
            ]
            if single[0] != single[1]:
                return (a.detach(), b) if single[0] else (a, b.detach())
        return a, b


def signal_at_input(model: nn.Module, x: Tensor, classes: list[int], *, paper: bool) -> Tensor:
    """What autograd brings down to the input from one class of each image."""
    leaf = x.clone().requires_grad_()
    if paper:
        with PaperWayDown():
            scores = model(leaf + 0)
    else:
        scores = model(leaf + 0)
    rows = torch.arange(len(x))
    (signal,) = torch.autograd.grad(scores[rows, classes].sum(), leaf)
    return signal


# the networks ---------------------------------------------------------------------------------------


def network_of(name: str) -> tuple[nn.Module, Tensor]:
    """A network in eval with random weights and statistics that fit them, and two images for it."""
    torch.manual_seed(zlib.crc32(name.encode()))
    library, _, model_name = name.partition(":")
    options = {"init_weights": True} if model_name in ("googlenet", "inception_v3") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "torchvision":
            model = torchvision.models.get_model(model_name, weights=None, **options)
        else:
            model = timm.create_model(model_name, pretrained=False)
    model.requires_grad_(False)
    size = next(size for size in SIZES if _runs(model.eval(), size))
    _settle(model, torch.randn(4, 3, size, size))
    return model, torch.randn(2, 3, size, size)


def _runs(model: nn.Module, size: int) -> bool:
    try:
        model(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True


def _settle(model: nn.Module, images: Tensor) -> None:
    """Batch norm's statistics from images, its scales and shifts of all sizes, so that no layer is idle."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
        if norm.affine:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
    model(images)
    model.eval()


def error(ours: Tensor, truth: Tensor) -> float:
    """`max|a - b| / max|b|`."""
    assert ours.shape == truth.shape
    size = truth.abs().max().item()
    assert size > 0, "a signal that is zero everywhere proves nothing"
    return (ours - truth).abs().max().item() / size


def check(name: str) -> dict[str, Any]:
    """The row of a network in the table; raises if its capture fails."""
    model, x = network_of(name)
    began = time.perf_counter()
    net = DeconvNet(model, x, rules="gradient", smooth="gradient")
    seconds = time.perf_counter() - began
    graph = attached_to(net).captures.graph(x)
    facts = {"name": name, "size": x.shape[-1], "seconds": round(seconds, 2), "steps": len(graph.steps)}
    errors = _errors(net, model, x)
    wide = {}
    if any(isinstance(value, float) and value > 1e-5 for value in errors.values()):
        # a network that amplifies float32's last bits is held to 1e-10 in float64
        model, x = model.double(), x.double()
        net = DeconvNet(model, x, rules="gradient", smooth="gradient")
        wide = {f"{rules} in float64": value for rules, value in _errors(net, model, x).items()}
    return {**facts, **errors, **wide}


def _errors(net: DeconvNet, model: nn.Module, x: Tensor) -> dict[str, float | str]:
    """By rule set: how far the most likely class's picture is from autograd's, or why there is none."""
    classes = model(x).argmax(1).tolist()
    truth = signal_at_input(model, x, classes, paper=False)
    errors: dict[str, float | str] = {"gradient": error(net.explain(x).full(), truth)}
    try:
        picture = net.with_rules("deconvnet", smooth="refuse").explain(x).full()
    except UnsupportedOperationError as refusal:
        return {**errors, "deconvnet": f"refused: {refusal}"}
    truth = signal_at_input(model, x, classes, paper=True)
    return {**errors, "deconvnet": error(picture, truth)}


@pytest.mark.parametrize("name", [f"torchvision:{name}" for name in TORCHVISION] + [f"timm:{name}" for name in TIMM])
def test_no_network_is_silently_wrong(name: str):
    row = check(name)
    if table := os.environ.get("DECONVNET_TABLE"):
        with Path(table).open("a") as file:
            file.write(json.dumps(row) + "\n")
    for rules in ("gradient", "deconvnet"):
        if isinstance(row[rules], str):
            assert rules == "deconvnet"
            assert "cannot project through '" in row[rules]
            assert 'smooth="gradient"' in row[rules]
        elif row[rules] > 1e-5:
            assert row[f"{rules} in float64"] <= 1e-10
