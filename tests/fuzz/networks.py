"""Random small networks.

Each is captured or refused with an error of ours, and left as it was. Captured, its activations are its own; the rule
set `gradient` gives autograd's gradient; and a unit carried down in windows is the unit carried down on whole maps.
"""

from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from deconvnet import DeconvNet, DeconvNetError
from fuzz.random_networks import network, without_passed
from fuzz.table import Fault


def attempt(random: Random, folder: Path) -> str:
    torch.set_num_threads(1)
    model, x = network(random)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        word = check(random, model, x)
    except DeconvNetError:
        word = "refused"
    except Exception as error:
        error.add_note(f"in {' '.join(repr(model).split())} on {tuple(x.shape)}")
        raise
    after = model.state_dict()
    if model.training or any(not torch.equal(after[name], value) for name, value in before.items()):
        raise Fault(f"the network was changed: {model}")
    return word


def check(random: Random, model: nn.Sequential, x: Tensor) -> str:
    """Compare a network's deconvnet with autograd and with itself; "partly" where only some of the rules refuse it."""
    tolerance = _tolerance(model, x)
    net = DeconvNet(model, x, rules="gradient", smooth="gradient")
    layer = str(len(model) - 1)
    _close(net.activations(x, layer)[layer], _output(model, x), tolerance, "activations")
    refused = 0
    for examine in (_autograd, _windows, _passed):
        try:
            examine(random, net, model, x, layer, tolerance)
        except DeconvNetError:
            refused += 1
    return "compared" if not refused else "captured" if refused == 3 else "partly compared"


def _tolerance(model: nn.Module, x: Tensor) -> float:
    """As the types of numbers round that a network computes with."""
    parts = repr(model)
    if "bfloat16" in parts or ("narrower" in parts and x.dtype == torch.float32):
        return 5e-2
    return 1e-4 if x.dtype == torch.float32 or "narrower" in parts or "of floats" in parts else 1e-9


def _autograd(random: Random, net: DeconvNet, model: nn.Module, x: Tensor, layer: str, tolerance: float) -> None:
    """The rule set `gradient` is autograd."""
    leaf = x.clone().requires_grad_()
    try:
        output = model(leaf.clone())  # which the network may change in place
        index = (0, *(random.randrange(length) for length in output.shape[1:]))
        gradient = torch.autograd.grad(output[index], leaf, allow_unused=True)[0] if output.requires_grad else None
    except RuntimeError:  # autograd refuses what is changed in place too late
        return
    wanted = torch.zeros_like(x[:1]) if gradient is None else gradient[:1]
    result = net.project(x[:1], layer, channel=index[1], position=index[2:] or None, start="one", route="dense")
    _close(result.full(), wanted, tolerance, "gradient")


def _passed(random: Random, net: DeconvNet, model: nn.Module, x: Tensor, layer: str, tolerance: float) -> None:
    """Under `deconvnet` a signal passes `detach` and changes of type as if they were not there."""
    twin = without_passed(model)
    if twin is None or tolerance > 1e-3:  # where maxima may be others
        return
    size = _output(model, x).shape[1:]
    channel, *position = (random.randrange(length) for length in size)
    pictures = [
        network.with_rules("deconvnet").project(
            x, layer, channel=channel, position=tuple(position) or None, start="one"
        )
        for network in (net, DeconvNet(twin, x, smooth="gradient"))
    ]
    _close(pictures[0].full(), pictures[1].full(), tolerance, "what passes detach and changes of type")


def _windows(random: Random, net: DeconvNet, model: nn.Module, x: Tensor, layer: str, tolerance: float) -> None:
    """Windows are the whole maps."""
    rules = random.choice(("deconvnet", "guided", "gradient"))
    other = net.with_rules(rules, smooth=random.choice(("gradient", "rectify")))
    where = random.choice(sorted({layer, str(random.randrange(int(layer) + 1))}))
    maps = min(other.activations(x, where)[where].shape[1], 200)  # a flattened layer may have 50,000
    dense, windowed = (other.project(x, where, channel=f"top:{maps}", route=route) for route in ("dense", "windowed"))
    _close(windowed.full(), dense.full(), max(tolerance, 1e-10), f"windows under {rules}, from {where}")


def _output(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x.clone())


def _close(ours: Tensor, wanted: Tensor, tolerance: float, what: str) -> None:
    if ours.shape != wanted.shape:
        raise Fault(f"{what}: {tuple(ours.shape)}, not {tuple(wanted.shape)}")
    off, scale = float((ours - wanted).abs().max()), float(wanted.abs().max())
    if not off <= tolerance * max(scale, 1e-6):
        raise Fault(f"{what}: off by {off:.3g} of {scale:.3g}")
