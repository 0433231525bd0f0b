"""A model, its hooks and all around it are left as they were found, also after an error."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.captured import images, small, tiny, wired
from support.untouched import snapshot, unchanged
from torch import Tensor, nn

from deconvnet import (
    CaptureError,
    DeconvNet,
    DeconvNetError,
)

# the user's hooks -----------------------------------------------------------------------------------


def test_hooks_that_only_record_are_never_given_fake_tensors_and_stay_in_place():
    x, model, seen = images(), tiny(), []

    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append(type(output))

    def watch(module: nn.Module, inputs: Any) -> None:
        seen.append(type(inputs[0]))

    handles = [model[0].register_forward_hook(record), model[2].register_forward_pre_hook(watch)]
    handles.append(model.register_full_backward_hook(lambda *_: None))
    before = snapshot(model)
    net = DeconvNet(model, x)
    net.explain(x, 1)
    net.activations(x, "2")
    assert set(seen) <= {Tensor}
    assert snapshot(model) == before
    seen.clear()
    model(x)
    assert seen == [Tensor, Tensor]
    for handle in handles:
        handle.remove()
    assert not model[0]._forward_hooks


def test_hooks_see_nothing_at_all_if_they_only_record():
    model, seen = tiny(), []

    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append(output)

    model[0].register_forward_hook(record)
    DeconvNet(model, images()).explain(images(), 1)
    assert seen == []


@pytest.mark.parametrize("kind", ["forward", "forward with kwargs", "pre", "pre with kwargs", "in place"])
def test_a_hook_that_changes_what_the_model_computes_is_refused(kind: str):
    model = tiny()
    if kind == "forward":
        model[2].register_forward_hook(lambda m, i, o: o * 2)
    elif kind == "forward with kwargs":
        model[2].register_forward_hook(lambda m, a, k, o: o + 1, with_kwargs=True)
    elif kind == "pre":
        model[2].register_forward_pre_hook(lambda m, i: (i[0] - 1,))
    elif kind == "pre with kwargs":
        model[2].register_forward_pre_hook(lambda m, a, k: ((a[0] - 1,), k), with_kwargs=True)
    else:

        def double(module: nn.Module, inputs: Any, output: Tensor) -> None:
            output.mul_(2)

        model[2].register_forward_hook(double)
    before = snapshot(model)
    with pytest.raises(CaptureError, match=r"the hooks on '2' change what the model computes.*remove them"):
        DeconvNet(model, images())
    assert snapshot(model) == before


def test_a_hook_that_is_added_later_is_refused_too():
    x, model = images(), tiny()
    net = DeconvNet(model, x)
    net.explain(x, 1)
    handle = model[2].register_forward_hook(lambda m, i, o: o * 2)
    with pytest.raises(CaptureError, match="change what the model computes"):
        net.explain(x, 1)
    handle.remove()
    net.explain(x, 1)


def test_a_hook_that_returns_what_it_was_given_is_left_alone(tiny_net: DeconvNet):
    x, model = images(), tiny()
    model[2].register_forward_hook(lambda m, i, o: o)
    assert torch.equal(DeconvNet(model, x).explain(x, 1).full(), tiny_net.explain(x, 1).full())


def lively() -> nn.Module:
    """Mixed modes, frozen parts, hooks, gradients and odd attributes."""
    model = small()
    model.train()
    model[1].eval()
    model[4].eval()
    model[0].weight.requires_grad_(False)
    model[9].weight.grad = torch.ones_like(model[9].weight)
    model[2].register_forward_hook(_record)
    model[3].register_forward_pre_hook(_watch)
    model[0].remark = {"of": "the user"}
    model.register_buffer("spare", torch.arange(3))
    return model


def _record(module: nn.Module, inputs: Any, output: Any) -> None:
    module.seen = None


def _watch(module: nn.Module, inputs: Any) -> None:
    pass


GOOD_CALLS: dict[str, Callable[[DeconvNet, Tensor], Any]] = {
    "layers": lambda net, x: net.layers,
    "print": lambda net, x: (str(net), repr(net)),
    "activations": lambda net, x: net.activations(x, ["0", "6"]),
    "activations, new size": lambda net, x: net.activations(images(3, 12), ["0", "6"]),
    "scores": lambda net, x: net.scores(x),
    "project": lambda net, x: net.project(x, "6", channel="all").full(),
    "project in chunks": lambda net, x: net.project(x, "6", channel="all", memory="100KB"),
    "project to a layer": lambda net, x: net.project(x, "6", channel=0, to="2"),
    "explain": lambda net, x: net.explain(x, targets="all").magnitude(),
    "with_rules": lambda net, x: net.with_rules("gradient").explain(x),
}


BAD_CALLS: dict[str, Callable[[DeconvNet, Tensor], Any]] = {
    "no such layer": lambda net, x: net.project(x, "7.7", channel=0),
    "no such channel": lambda net, x: net.project(x, "6", channel=99),
    "a size that does not fit": lambda net, x: net.project(images(2, 3), "6", channel=0),
    "NaN": lambda net, x: net.project(x / 0 * 0, "6", channel=0),
    "no memory": lambda net, x: net.project(x, "6", channel="all", memory=10),
    "integers": lambda net, x: net.project(x.long(), "6", channel=0),
    "no such class": lambda net, x: net.explain(x, 77),
}


@pytest.fixture(scope="module")
def attached() -> tuple[DeconvNet, nn.Module]:
    model = lively()
    return DeconvNet(model, images()), model


@pytest.mark.parametrize("call", [*GOOD_CALLS, *BAD_CALLS])
@pytest.mark.filterwarnings("ignore::deconvnet.DeconvNetWarning")
def test_every_call_leaves_model_and_surroundings_as_they_were(call: str, attached: Any):
    x, (net, model) = images(), attached
    with unchanged(model):
        if call in GOOD_CALLS:
            GOOD_CALLS[call](net, x)
        else:
            with pytest.raises(DeconvNetError):
                BAD_CALLS[call](net, x)


def test_attaching_leaves_model_and_surroundings_as_they_were(warm: None):
    model = lively()
    with unchanged(model):
        DeconvNet(model, images())


def _keeps_a_note(m: Any, x: Tensor) -> Tensor:
    m.note = m.conv(x)
    m.calls = m.calls + 1
    m.inner.append(1) if isinstance(m.inner, list) else None
    return m.note.relu()


def test_what_a_model_notes_in_itself_as_it_runs_is_put_back(warm: None):
    model = wired(_keeps_a_note)
    model.calls, model.inner = 0, None
    with unchanged(model):
        net = DeconvNet(model, images())
        net.project(images(), "conv", channel=0)
    assert model.calls == 0 and not hasattr(model, "note")


class Breaks(nn.Module):
    def __init__(self, error: Callable[[], BaseException]) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error()


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyError("key"), ZeroDivisionError()], ids=repr)
def test_a_model_that_fails_is_left_as_it_was(error: Exception, warm: None):
    model = nn.Sequential(lively(), Breaks(lambda: error)).train()
    model[0][1].eval()
    with unchanged(model), pytest.raises(CaptureError, match=r"cannot trace the model on an input of shape"):
        DeconvNet(model, images())


def test_an_interrupted_capture_leaves_the_model_as_it_was(warm: None):
    model = nn.Sequential(lively(), Breaks(KeyboardInterrupt)).train()
    with unchanged(model), pytest.raises(KeyboardInterrupt):
        DeconvNet(model, images())


def test_capture_prints_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    DeconvNet(tiny(), images())
    with pytest.raises(CaptureError):
        DeconvNet(wired(lambda m, x: m.conv(x) if x.sum() > 0 else x), images())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_the_picture_of_a_model_in_training_is_that_of_eval(small_net: DeconvNet):
    x, model = images(), small().train()
    picture = DeconvNet(model, x).explain(x, 1).full()
    assert all(module.training for module in model.modules())
    assert torch.equal(picture, small_net.explain(x, 1).full())


# the caller's own modes -----------------------------------------------------------------------------


MODES = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
}


@pytest.mark.parametrize("made", ["net made outside", "all made inside"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_results_are_ordinary_tensors_whatever_mode_the_caller_is_in(
    mode: str, requires_grad: bool, made: str, small_net: DeconvNet
):
    truth = small_net.explain(images(), 1).full()
    with MODES[mode]():
        given = images().requires_grad_(requires_grad)
        net = DeconvNet(small(), given) if made == "all made inside" else small_net
        results = [net.project(given, "6", channel=1), net.explain(given, 1)]
        found = [net.scores(given), *net.activations(given, ["0", "9"]).values()]
    for tensor in [*found, *(t for r in results for t in (r.windows, r.activations, r.full()))]:
        assert not tensor.requires_grad and tensor.grad_fn is None
        assert not tensor.is_inference()
    assert torch.equal(results[1].full(), truth)
    assert given.grad is None and given.requires_grad == requires_grad


def test_results_may_be_changed_without_changing_the_input_or_the_model():
    x, model = images(), tiny()
    given, before = x.clone(), snapshot(model)
    net = DeconvNet(model, x)
    net.activations(x, "1")["1"].zero_()
    net.explain(x, 1).windows.zero_()
    own = torch.ones(2, 4, 8, 8, dtype=torch.float64)
    net.project(x, "2", start=own, to="2").windows.zero_()
    given_back = DeconvNet(nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 3)).double(), x)
    given_back.activations(x, "0")["0"].zero_()
    assert torch.equal(x, given)
    assert torch.equal(own, torch.ones_like(own))
    assert snapshot(model) == before
