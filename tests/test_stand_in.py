"""What is captured is a copy of the model's modules with the model's own weights, whatever holds them."""

import types
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.captured import images, wired
from support.untouched import unchanged
from torch import Tensor, nn

from deconvnet import CaptureError, DeconvNet


class Remembering(nn.Module):
    """Keeps what it computed in a dictionary and a list, and holds its parts by methods and functions as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
        self.cache: dict[str, Any] = {"seen": []}
        self.through = self.normed
        self.at_the_end = lambda x: self.last(self.norm(x))

    def normed(self, x: Tensor) -> Tensor:
        return self.norm(x).relu()

    def forward(self, x: Tensor) -> Tensor:
        if "ones" not in self.cache:
            self.cache["ones"] = torch.ones(4, 1, 1, dtype=x.dtype)
        self.cache["seen"].append(x.shape)
        return self.at_the_end(self.through(self.first(x)) * self.cache["ones"])


def test_what_a_model_caches_stays_out_of_it_and_is_no_tensor_without_data():
    model, x = Remembering().double(), images()
    net = DeconvNet(model, x)
    assert model.cache == {"seen": []}
    assert all(module.training for module in model.modules())
    assert not model.norm.num_batches_tracked
    torch.testing.assert_close(net.scores(x), model.eval()(x).detach(), rtol=1e-12, atol=1e-12)
    assert net.project(x, "first", channel=0).full().abs().max() > 0


def test_a_model_that_warns_of_nothing_is_captured_without_a_warning(recwarn: pytest.WarningsRecorder):
    DeconvNet(Remembering().double(), images())
    assert not recwarn.list


def test_a_model_that_speaks_is_heard(capsys: pytest.CaptureFixture[str]):
    def speaks(m: Any, x: Tensor) -> Tensor:
        print("here")
        return m.conv(x)

    DeconvNet(wired(speaks), images())
    assert set(capsys.readouterr().out.split()) == {"here"}


# models that reach their modules by odd ways --------------------------------------------------------


def base() -> nn.Sequential:
    """In training it would compute something else, and change its buffers."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Conv2d(4, 2, 3))


class Held(nn.Module):
    """Runs its modules through something else that holds them."""

    def __init__(self, hold: Callable[[nn.Module], Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.base = base()
        self.held = hold(self.base)

    def forward(self, x: Tensor) -> Tensor:
        return self.held(x)


class Slotted:
    __slots__ = ("module",)

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)


class Plain:
    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)


def weakly(module: nn.Module) -> Callable[[Tensor], Tensor]:
    reference = weakref.ref(module)
    return lambda x: reference()(x)


def by_proxy(module: nn.Module) -> Callable[[Tensor], Tensor]:
    proxy = weakref.proxy(module)
    return lambda x: proxy.forward(x)


class Refusing(Plain):
    def __copy__(self) -> "Refusing":
        raise RuntimeError("it cannot be copied")


class Table(dict[str, Any]):
    pass


def recursive(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor, times: int = 2) -> Tensor:
        return module(x) if not times else call(x, times - 1)

    return call


def default(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor, inner: Any = module, *, again: Any = module) -> Tensor:
        return inner(x) + again(x)

    return call


def method_of_its_own() -> nn.Module:
    model = base()
    model[0].forward = types.MethodType(lambda self, x: F.conv2d(x, self.weight) * 3, model[0])
    return model


def wrapped_forward() -> nn.Module:
    model = base()
    for module in model:
        forward = module.forward

        @wraps(forward)
        def call(x: Tensor, forward: Any = forward) -> Tensor:
            return forward(x)

        module.forward = call
    return model


def parts_in_containers() -> nn.Module:
    model = Held(lambda module: lambda x: x)
    model.rows, model.pair = [[model.base[0]], {"norm": model.base[1]}], (model.base[2], model.base[4])
    model.held = lambda x: model.pair[1](model.pair[0](model.rows[1]["norm"](model.rows[0][0](x))))
    return model


def compiled_part() -> nn.Module:
    model = base()
    model[0] = torch.compile(model[0], backend="eager")
    return model


def with_norms_of_weights() -> nn.Module:
    model = base()
    nn.utils.parametrizations.weight_norm(model[0])
    nn.utils.parametrizations.spectral_norm(model[4])
    return model


ODD: dict[str, Callable[[], nn.Module]] = {
    "an object": lambda: Held(Plain),
    "an object with slots": lambda: Held(Slotted),
    "a weak reference": lambda: Held(weakly),
    "a proxy": lambda: Held(by_proxy),
    "a dictionary of a class of its own": lambda: Held(lambda module: Table(it=module).__getitem__("it")),
    "a function around it": lambda: Held(lambda module: lambda x: module(x)),
    "a function that calls itself": lambda: Held(recursive),
    "defaults of a function": lambda: Held(default),
    "a partial function": lambda: Held(lambda module: partial(nn.Sequential.forward, module)),
    "a bound method": lambda: Held(lambda module: module.forward),
    "a method of its own": method_of_its_own,
    "wrapped methods": wrapped_forward,
    "containers": parts_in_containers,
    "a compiled part": compiled_part,
    "norms of weights": with_norms_of_weights,
    "a traced graph": lambda: torch.fx.symbolic_trace(base()),
}


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("odd", ODD)
def test_a_model_may_hold_its_modules_in_odd_ways(odd: str, training: bool):
    torch.manual_seed(0)
    x = images()
    model = ODD[odd]().double().eval()
    model(x)  # a compiled part takes its first call to settle
    truth = model(x).detach()
    model.train(training)
    with unchanged(model):
        net = DeconvNet(model, x)
        torch.testing.assert_close(net.scores(x), truth, rtol=1e-10, atol=1e-10)
        net.explain(x, (1, 2, 2))


def test_an_object_that_cannot_be_copied_is_shared():
    model, x = Held(Refusing).double().eval(), images()
    torch.testing.assert_close(DeconvNet(model, x).scores(x), model(x).detach(), rtol=1e-10, atol=1e-10)


KEPT: dict[str, Tensor] = {}  # outside of any module


def test_a_constant_that_is_made_once_outside_the_modules_is_a_tensor_with_numbers():
    def forward(m: Any, x: Tensor) -> Tensor:
        if "ones" not in KEPT:
            KEPT["ones"] = torch.ones(4, 1, 1, dtype=x.dtype)
        m.last.append(x.shape)
        return m.conv(x) * KEPT["ones"]

    model, x = wired(forward), images()
    model.last = deque(maxlen=3)
    net = DeconvNet(model, x)
    assert type(KEPT["ones"]) is Tensor and not model.last
    torch.testing.assert_close(net.scores(x), model(x).detach(), rtol=1e-12, atol=1e-12)


def test_what_a_model_keeps_of_a_trace_outside_its_modules_is_refused():
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        if torch.compiler.is_compiling():
            KEPT["traced"] = y
        return KEPT.get("traced", y)

    with pytest.raises(CaptureError, match="keeps tensors outside its modules, and kept one of a trace"):
        DeconvNet(wired(forward), images())


def test_weights_held_in_odd_ways_are_read_as_they_are_now():
    model, x = Held(Slotted).double().eval(), images()
    net = DeconvNet(model, x)
    model.load_state_dict({name: 2 * tensor for name, tensor in model.state_dict().items()}, assign=True)
    torch.testing.assert_close(net.scores(x), model(x).detach(), rtol=1e-10, atol=1e-10)


def test_a_container_that_holds_itself_ends_in_words():
    model = wired(lambda m, x: m.conv(x))
    model.loop = loop = [1]
    loop.append(loop)
    with pytest.raises(CaptureError, match="recursion"):  # torch.export walks it for ever
        DeconvNet(model, images())
