"""Small models for all that capture may meet, and what a net that is attached to one must give."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from support.networks import Wired
from torch import Tensor, nn

from deconvnet import DeconvNet


def images(n: int = 2, size: int = 10, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(seed)).double()


def small(seed: int = 0) -> nn.Sequential:
    """Convolution, batch norm, ReLU, pool, dropout, linear: a bit of everything."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5),
            nn.Conv2d(4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 3),
        )  # fmt: skip
        _settle(model[1])
    return model.double().eval()


def tiny() -> nn.Sequential:
    """Less of everything, where a test needs no more: its third layer is a ReLU too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        parts = nn.Conv2d(3, 4, 3), nn.Identity(), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        return nn.Sequential(*parts, nn.Linear(16, 3)).double().eval()


@cache
def small_net() -> DeconvNet:
    """Attached to `small()` once, for tests that compare with it."""
    return DeconvNet(small(), images())


@cache
def tiny_net() -> DeconvNet:
    """Attached to `tiny()` once."""
    return DeconvNet(tiny(), images())


def _settle(norm: nn.Module) -> None:
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 1.5)
    nn.init.normal_(norm.weight)


def wired(wiring: Callable[[Any, Tensor], Any], **parts: Any) -> nn.Module:
    return Wired(wiring, **{"conv": nn.Conv2d(3, 4, 3), **parts}).double().eval()


def hooked(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What the user's own hooks see, each tensor as it was when it was returned."""
    seen: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            call = f"#{calls[name]}" if calls[name] > 1 else ""
            if isinstance(output, Tensor):
                seen[name + call] = output.detach().clone()

        return record

    handles = [m.register_forward_hook(recorder(n)) for n, m in model.named_modules() if n]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return seen


def assert_layers_are_what_hooks_see(model: nn.Module, x: Tensor, *names: str) -> DeconvNet:
    net, seen = DeconvNet(model, x), hooked(model, x)
    values = net.activations(x, names)
    for name in names:
        torch.testing.assert_close(values[name], seen[name], rtol=1e-12, atol=1e-12)
    return net


def assert_follows(net: DeconvNet, model: nn.Module, x: Tensor) -> None:
    """Scores are those of the model as it is now, and the rule set `gradient` gives its autograd."""
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        scores = model(leaf)
        (signal,) = torch.autograd.grad(scores[:, 1].sum(), leaf)
    assert signal.any()
    torch.testing.assert_close(net.scores(x), scores.detach(), rtol=1e-10, atol=1e-12)
    picture = net.with_rules("gradient").explain(x, 1).full()
    torch.testing.assert_close(picture, signal, rtol=1e-9, atol=1e-12)
