"""The graph of a model: what its layers are called, what may come out of it, and what is refused."""

import collections
import copy
import dataclasses
import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.captured import (
    assert_layers_are_what_hooks_see,
    images,
    small,
    tiny,
    wired,
)
from support.networks import Wired
from torch import Tensor, nn

from deconvnet import (
    CaptureError,
    DeconvNet,
    LayerNotFoundError,
    UnsupportedOperationError,
)


class Attending(nn.Module):
    """Attention of pooled queries, whose result is laid out by the kernel that computes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.to_all, self.out = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 24), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).permute(0, 2, 3, 1)
        n, h, w, _ = x.shape
        q, k, v = self.to_all(x).reshape(n, h * w, 3, 2, 4).unbind(2)
        q = F.max_pool2d(q.reshape(n, h, w, 8).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1).reshape(n, -1, 2, 4)
        seen = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.out(seen.transpose(1, 2).reshape(n, -1, 8)).mean(1)


def test_a_view_of_what_a_kernel_lays_out_otherwise_than_the_trace_is_a_copy():
    model, x = Attending().eval(), torch.randn(2, 3, 8, 8)
    net = DeconvNet(model, x, rules="gradient", smooth="gradient")
    assert torch.allclose(net.scores(x), model(x), atol=1e-6)
    (gradient,) = torch.autograd.grad(model(leaf := x.clone().requires_grad_())[:, 1].sum(), leaf)
    assert torch.allclose(net.explain(x, 1, start="one").full(), gradient, atol=1e-6)


# names ----------------------------------------------------------------------------------------------


def test_identity_and_dropout_are_layers_although_they_leave_no_operation():
    x = images()
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Identity(), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 2, 3), nn.Dropout2d()
    )
    net = assert_layers_are_what_hooks_see(model.double().eval(), x, "0", "1", "2", "3", "4", "5")
    for name, same in (("1", "0"), ("3", "2"), ("5", "4")):
        assert torch.equal(net.project(x, name, channel=1).full(), net.project(x, same, channel=1).full())


def test_an_identity_in_front_gives_the_input():
    x = images()
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 3)).double()
    net = DeconvNet(model, x)
    assert torch.equal(net.activations(x, "0")["0"], x)
    picture = net.project(x, "0", channel=1, position=(2, 3), start="one").full()
    assert picture.count_nonzero() == 2 and picture[0, 1, 2, 3] == 1


def test_each_call_of_a_module_has_its_own_name():
    x = images()
    shared = nn.Conv2d(3, 3, 3, padding=1)
    model = wired(lambda m, x: m.act(m.conv(m.act(m.conv(x)))), conv=shared, act=nn.ReLU(inplace=True))
    net = assert_layers_are_what_hooks_see(model, x, "conv", "act", "conv#2", "act#2")
    unrolled = nn.Sequential(copy.deepcopy(shared), nn.ReLU(), copy.deepcopy(shared), nn.ReLU()).double()
    other = DeconvNet(unrolled, x)
    for name, same in (("conv", "0"), ("act", "1"), ("conv#2", "2"), ("act#2", "3")):
        assert torch.equal(net.project(x, name, channel=2).full(), other.project(x, same, channel=2).full())


def test_a_module_under_two_names_is_one_layer_per_call():
    x = images()
    act = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), act, nn.Conv2d(4, 4, 3), act).double()
    net = DeconvNet(model, x)
    assert "1" in net.layers and "1#2" in net.layers
    assert net.layers["1"].size == (8, 8) and net.layers["1#2"].size == (6, 6)


class Branches(nn.Module):
    def __init__(self, wrap: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.left, self.right, self.wrap = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 4, 3), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.left(x), self.right(x))


@pytest.mark.parametrize(
    ("wrap", "pick", "name"),
    [
        (lambda a, b: (a, b), lambda o: o[1], "both[1]"),
        (lambda a, b: [a, b], lambda o: o[1], "both[1]"),
        (lambda a, b: {"l": a, "r": b}, lambda o: o["r"], "both[r]"),
    ],
    ids=["tuple", "list", "dict"],
)
def test_one_of_several_results_of_a_layer_has_a_name(wrap: Any, pick: Any, name: str):
    x = images()
    model = Wired(lambda m, x: F.relu(pick(m.both(x))), both=Branches(wrap)).double()
    net = DeconvNet(model, x)
    with torch.no_grad():
        assert torch.equal(net.activations(x, name)[name], pick(model.both(x)))
    assert torch.equal(net.project(x, name, channel=3).full(), net.project(x, "both.right", channel=3).full())
    with pytest.raises(LayerNotFoundError, match=r"no layer 'both'.*'both\["):
        net.project(x, "both", channel=0)


def test_what_no_module_returned_is_called_by_its_parent_and_operation():
    x = images()
    inner = Wired(lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 2), conv=nn.Conv2d(4, 4, 3))
    model = wired(lambda m, x: F.relu(m.block(F.relu(m.conv(x))) * 2 - 1), block=inner)
    net = DeconvNet(model, x)
    assert list(net.layers) == [
        "conv", "/relu", "block.conv", "block/relu", "block", "/mul", "/sub", "/relu#2",
    ]  # fmt: skip
    with torch.no_grad():
        first = F.relu(model.conv(x))
        assert torch.equal(net.activations(x, "/relu")["/relu"], first)
        assert torch.equal(net.activations(x, "block/relu")["block/relu"], F.relu(inner.conv(first)))
        assert torch.equal(net.activations(x, "/relu#2")["/relu#2"], model(x))


# wrapped models --------------------------------------------------------------------------------------


def test_data_parallel_is_taken_off(tiny_net: DeconvNet):
    model = tiny()
    net = DeconvNet(nn.DataParallel(model), images())
    assert net.model is model
    assert list(net.layers) == list(tiny_net.layers)


def test_a_compiled_model_is_taken_out(tiny_net: DeconvNet):
    x, model = images(), tiny()
    net = DeconvNet(torch.compile(model, backend="eager"), x)
    assert net.model is model
    assert torch.equal(net.explain(x, 1).full(), tiny_net.explain(x, 1).full())


def test_a_model_compiled_in_place_or_in_part_is_captured_or_refused(tiny_net: DeconvNet):
    x, truth = images(), tiny_net.explain(images(), 1).full()
    whole = tiny()
    whole.compile(backend="eager")
    part = tiny()
    part[0] = torch.compile(part[0], backend="eager")
    for model in (whole, part):
        try:
            net = DeconvNet(model, x)
        except CaptureError:
            continue
        assert torch.equal(net.explain(x, 1).full(), truth)


# outputs --------------------------------------------------------------------------------------------


class Pair(collections.namedtuple("Pair", ["scores", "aux"])):
    __slots__ = ()


@dataclasses.dataclass
class Both:
    scores: Tensor
    aux: Tensor | None = None


torch.export.register_dataclass(Both, serialized_type_name="test_capture.Both")


OUTPUTS: dict[str, tuple[Callable[[Tensor, Tensor], Any], Any]] = {
    "tensor": (lambda a, b: a, None),
    "tuple": (lambda a, b: (b, a), 1),
    "tuple of one": (lambda a, b: (a,), None),
    "list": (lambda a, b: [a, b], 0),
    "dict": (lambda a, b: {"aux": b, "scores": a}, "scores"),
    "OrderedDict": (lambda a, b: collections.OrderedDict(out=a, aux=b), "out"),
    "namedtuple": (lambda a, b: Pair(a, b), "scores"),
    "dataclass": (lambda a, b: Both(a, b), "scores"),
    "dataclass with None": (lambda a, b: Both(a), None),
    "nested": (lambda a, b: {"head": (b, [a]), "n": 3}, "head.1.0"),
    "beside None": (lambda a, b: (None, a), None),
}


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_of_any_kind(kind: str):
    wrap, output = OUTPUTS[kind]
    x = images()

    def wiring(m: Any, x: Tensor) -> Any:
        y = m.conv(x).relu()
        return wrap(m.head(y.mean((2, 3))), m.aux(y.amax((2, 3))))

    torch.manual_seed(0)
    model = wired(wiring, head=nn.Linear(4, 3), aux=nn.Linear(4, 2))
    net = DeconvNet(model, x, output=output)
    with torch.no_grad():
        truth = model.head(model.conv(x).relu().mean((2, 3)))
    torch.testing.assert_close(net.scores(x), truth, rtol=1e-12, atol=1e-12)
    assert torch.equal(net.explain(x, 2).full(), net.project(x, "head", channel=2, start="one").full())


# other sources --------------------------------------------------------------------------------------


def test_a_program_loaded_from_pt2_is_a_model_like_any_other(small_net: DeconvNet):
    x, model = images(), small()
    shapes = {"input": {0: torch.export.Dim("n", min=1)}}
    program = torch.export.export(model, (images(2),), dynamic_shapes=shapes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    net = DeconvNet(loaded, x)
    torch.testing.assert_close(net.scores(x), model(x).detach(), rtol=1e-12, atol=1e-12)
    truth = small_net.explain(x, 1).full()
    torch.testing.assert_close(net.explain(x, 1).full(), truth, rtol=1e-10, atol=1e-12)


def test_a_traced_fx_module_is_a_model_like_any_other(tiny_net: DeconvNet):
    x, model = images(), tiny()
    net = DeconvNet(torch.fx.symbolic_trace(model), x)
    assert torch.equal(net.explain(x, 1).full(), tiny_net.explain(x, 1).full())


def test_a_net_may_be_attached_to_a_part_of_a_model(small_net: DeconvNet):
    x = images()
    part = DeconvNet(small()[:7], x)
    assert torch.equal(part.project(x, "6", channel=1).full(), small_net.project(x, "6", channel=1).full())


# refused, with a sentence ---------------------------------------------------------------------------


def _script(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


def test_a_script_module_is_refused():
    with pytest.raises(CaptureError, match="a ScriptModule cannot be captured: give the Python model"):
        DeconvNet(_script(nn.Conv2d(3, 4, 3)), images())


def test_a_script_module_inside_a_model_is_refused():
    with pytest.raises(CaptureError, match="ScriptModule"):
        DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), _script(nn.ReLU())).double(), images())


def test_a_lazy_module_is_refused():
    with pytest.raises(CaptureError, match="layer '1' is lazy and its weights do not exist yet: run the model once"):
        DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyConv2d(4, 3)).double(), images())


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    "drop",
    [
        lambda x: F.dropout(x, 0.5),
        lambda x: F.dropout2d(x, 0.5, training=True),
        lambda x: x + torch.randn_like(x),
        lambda x: x * torch.bernoulli(torch.full_like(x, 0.5)),
        lambda x: F.alpha_dropout(x, 0.5, training=True),
        lambda x: F.rrelu(x, training=True),
        lambda x: x + torch.rand(x.shape[1:], dtype=x.dtype),
    ],
    ids=["dropout", "dropout2d", "randn_like", "bernoulli", "alpha_dropout", "rrelu", "rand"],
)
def test_chance_in_eval_is_refused(drop: Any):
    inner = Wired(lambda m, x: drop(m.conv(x)), conv=nn.Conv2d(3, 4, 3))
    with pytest.raises(CaptureError, match=r"'part' draws random numbers.*training=self\.training"):
        DeconvNet(Wired(lambda m, x: m.part(x), part=inner).double().eval(), images())


def test_dropout_with_probability_zero_is_no_chance():
    net = DeconvNet(wired(lambda m, x: F.dropout(m.conv(x), 0.0).relu()), images())
    assert net.project(images(), "/relu", channel=0).full().any()


@pytest.mark.parametrize(
    "wiring",
    [
        lambda m, x: m.conv(x) if x.sum() > 0 else m.conv(-x),
        lambda m, x: m.conv(x)[:, : int(x.amax().item())],
        lambda m, x: m.conv(x)[m.conv(x) > 0],
    ],
    ids=["branch", "item", "mask"],
)
def test_a_way_that_depends_on_the_values_is_refused(wiring: Any):
    with pytest.raises(CaptureError, match=r"depends on the values of its input.*Give the part of the"):
        DeconvNet(wired(wiring), images())


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def test_a_model_of_several_inputs_is_refused():
    with pytest.raises(CaptureError, match="missing 1 required positional argument: 'y'"):
        DeconvNet(Two(), images())


def test_a_model_that_returns_nothing_is_refused():
    def wiring(m: Any, x: Tensor) -> None:
        m.conv(x)

    with pytest.raises(CaptureError, match=r"forward returns None.*is a `return` missing"):
        DeconvNet(wired(wiring), images())


def test_an_operation_without_a_rule_is_refused_by_layer_operation_and_remedy():
    inner = Wired(lambda m, x: torch.special.bessel_j0(m.conv(x)), conv=nn.Conv2d(3, 4, 3))
    net = DeconvNet(nn.Sequential(inner, nn.Conv2d(4, 2, 3)).double(), images())
    with pytest.raises(
        UnsupportedOperationError,
        match=r"cannot project through '0' \(aten\.special_bessel_j0\).*Add one with @rule",
    ):
        net.project(images(), "1", channel=0)
    assert net.project(images(), "0.conv", channel=0).full().any()


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(4, track_running_stats=False), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)]
)
def test_a_norm_by_statistics_of_the_images_themselves_is_refused(norm: nn.Module):
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Conv2d(4, 2, 3)).double(), images())
    said = r"through '1' .*smooth=\"gradient\"|mixes the images of a batch"
    with pytest.raises((UnsupportedOperationError, CaptureError), match=said):
        net.project(images(), "2", channel=0)


def test_a_forward_pass_that_changes_a_buffer_is_refused():
    def wiring(m: Any, x: Tensor) -> Tensor:
        m.count.add_(1)
        return m.conv(x)

    model = wired(wiring)
    model.register_buffer("count", torch.zeros(1))
    with pytest.raises(CaptureError, match="the model changes its buffer 'count' as it runs"):
        DeconvNet(model, images())
    assert model.count == 0


@pytest.mark.parametrize(
    "model",
    [None, "resnet18", nn.Conv2d, lambda x: x, torch.zeros(3)],
    ids=["None", "name", "class", "function", "tensor"],
)
def test_what_is_no_module_is_refused(model: Any):
    with pytest.raises(CaptureError, match=r"the model is a torch\.nn\.Module; got"):
        DeconvNet(model, images())


def test_a_size_that_the_network_cannot_take_is_refused():
    with pytest.raises(CaptureError, match=r"on an input of shape \(n, 3, 2, 2\).*[Kk]ernel size"):
        DeconvNet(small(), images(1, 2))
