"""The same numbers in whatever context of PyTorch they are asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from support.comparing import assert_equal
from torch import Tensor, nn

from deconvnet import DeconvNet, RuleSet, compare


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


CONTEXTS: dict[str, Callable[[], Any]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to half": lambda: torch.autocast("cpu", torch.float16),
    "another device": lambda: torch.device("meta"),
    "a default device": default_device,
    "a default dtype": default_dtype,
    "deterministic": deterministic,
    "inference mode": torch.inference_mode,
}


def model() -> nn.Module:
    """Every kind of pooling, a normalisation, and a tensor that is made as it runs."""

    class Shifted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.arange(x.shape[-1], dtype=x.dtype)

    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), Shifted(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2, 1), nn.AdaptiveAvgPool2d(3), nn.LocalResponseNorm(3), nn.Flatten(), nn.Linear(54, 5),
    ).eval()  # fmt: skip


CALLS: dict[str, Callable[[DeconvNet, Tensor], Any]] = {
    "unit": lambda net, x: net.project(x, "5", channel=0).full(),
    "in windows": lambda net, x: net.project(x, "5", channel="all", position=(1, 1), route="windowed").full(),
    "class": lambda net, x: net.explain(x).magnitude(),
    "steps": lambda net, x: net.steps(x[:1], "5", channel=0).steps[-1].signal,
    "responsible": lambda net, x: net.responsible(x, 1, "5", 3).units.full(),
    "centre": lambda net, x: net.with_rules(RuleSet(unpool="centre")).explain(x).full(),
    "activations": lambda net, x: net.activations(x, "6")["6"],
    "probabilities": lambda net, x: net.probabilities(x),
    "comparison": lambda net, x: compare(net.explain(x, 0), net.explain(x, 1)).cosine,
}


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def truth(x: Tensor) -> dict[str, Tensor]:
    net = DeconvNet(model(), x)
    return {name: call(net, x) for name, call in CALLS.items()}


@pytest.mark.sampled(every=3)
@pytest.mark.filterwarnings("ignore::deconvnet.DeconvNetWarning")
@pytest.mark.parametrize("made", ["before", "inside"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_context_changes_nothing(context: str, made: str, x: Tensor, truth: dict[str, Tensor]):
    network = model()
    net = DeconvNet(network, x)
    with CONTEXTS[context]():
        if made == "inside":
            net = DeconvNet(network, x)
        results = {name: call(net, x) for name, call in CALLS.items()}
    for name, result in results.items():
        assert (result.dtype, result.device) == (truth[name].dtype, truth[name].device), name
        assert_equal(result, truth[name])


def test_the_context_is_left_as_it_was(x: Tensor):
    net = DeconvNet(model(), x)
    with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        net.explain(x)
        assert torch.is_autocast_enabled("cpu")
        assert torch.zeros(1).device.type == "meta"
