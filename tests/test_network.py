"""`DeconvNet` and `Reconstruction` as users meet them: what they give, and what they say to wrong input."""

import warnings
from typing import Any

import pytest
import torch
from support.classifier import classifier, close, images, maps, network
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deconvnet import (
    ArgumentError,
    CaptureError,
    DeconvNet,
    LayerNotFoundError,
    RuleSet,
    UnsupportedOperationError,
)


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return classifier()


# what is known of a network -------------------------------------------------------------------------


def test_layers_tell_what_is_known_before_any_image_is_seen(net: DeconvNet):
    assert list(net.layers) == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "flatten", "fc"]
    conv2 = net.layers["conv2"]
    assert (conv2.name, conv2.kind, conv2.way_down) == ("conv2", "conv2d", "transposed filter")
    assert (conv2.channels, conv2.size, conv2.stride) == (8, (6, 6), (2.0, 2.0))
    assert (conv2.receptive_field, conv2.switches_below) == ((8, 8), 1)
    assert net.layers["relu1"].way_down == "rectify"
    assert net.layers["pool2"].way_down == "unpool by switches (sum)"
    assert net.layers["pool2"].switches_below == 2
    fc = net.layers["fc"]
    assert (fc.channels, fc.size, fc.stride, fc.receptive_field) == (5, (), None, (14, 14))


def test_printing_gives_a_table_with_a_row_for_each_layer(net: DeconvNet):
    head, titles, *rows = str(net).splitlines()
    assert head == "DeconvNet, rules: deconvnet"
    for title in ("layer", "forward", "way down", "shape", "stride", "receptive field", "switches below"):
        assert title in titles
    assert [row.split()[0] for row in rows] == list(net.layers)
    assert "unpool by switches (sum)" in rows[2] and "6x6x6" in rows[2] and "2x2" in rows[2]
    assert not any(line.endswith(" ") for line in str(net).splitlines())


def test_the_table_shows_what_is_refused():
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU()).double(), images())
    assert "refused" in str(net).splitlines()[-1]
    assert net.with_rules("gradient", smooth="gradient").layers["1"].way_down == "derivative"
    assert net.layers["1"].way_down == "refused"


def test_repr_is_one_line(net: DeconvNet):
    assert repr(net) == "<DeconvNet of Sequential, input 3x14x14, rules: deconvnet>"


def test_the_table_is_printed_after_the_model_has_changed_its_type():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).double()
    net = DeconvNet(model, images())
    model.float()
    assert "relu" in str(net)


def test_the_model_itself_is_a_layer_only_where_it_has_a_name(net: DeconvNet):
    with pytest.raises(LayerNotFoundError, match="the network has no layer ''"):
        net.project(images(), net.model, channel=0)


# activations and scores -----------------------------------------------------------------------------


def test_activations_are_what_hooks_see(net: DeconvNet):
    x, seen = images(3), {}
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: seen.__setitem__(name, o.detach().clone()))
        for name, module in net.model.named_children()
    ]
    net.model(x)
    for handle in handles:
        handle.remove()
    found = net.activations(x, list(net.layers))
    assert list(found) == list(seen)
    for name, tensor in found.items():
        assert close(tensor, seen[name], 1e-12)


class Counting(TorchDispatchMode):
    """Which operations on tensors run while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ran.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def test_activations_run_no_further_than_the_deepest_layer_asked_for(net: DeconvNet):
    for layers, convolutions in ((["conv1"], 1), (["relu1", "conv2"], 2), (["conv2", "conv1"], 2)):
        with Counting() as counting:
            net.activations(images(), layers)
        assert counting.ran.count("convolution") == convolutions
        assert not {"addmm", "mm", "linear"} & set(counting.ran)


def test_one_layer_may_be_given_alone_and_as_a_module(net: DeconvNet):
    x, relu2 = images(), net.model.relu2
    assert list(net.activations(x, "relu2")) == ["relu2"]
    assert torch.equal(net.activations(x, [relu2])["relu2"], net.activations(x, relu2)["relu2"])
    by_name, by_module = net.project(x, "relu2", channel=3), net.project(x, relu2, channel=3)
    assert by_name.units == by_module.units
    assert torch.equal(by_name.windows, by_module.windows)
    assert torch.equal(
        net.project(x, "relu2", channel=3, to=net.model.relu1).windows,
        net.project(x, "relu2", channel=3, to="relu1").windows,
    )


def test_scores_are_the_models_output(net: DeconvNet):
    assert close(net.scores(images()), net.model(images()).detach(), 1e-12)


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (nn.Softmax(1), "softmax"),
        (nn.LogSoftmax(1), "log_softmax"),
        (nn.Sigmoid(), "sigmoid"),
    ],
    ids=["softmax", "log-softmax", "sigmoid"],
)
def test_what_turns_scores_into_probabilities_is_skipped_and_said_so(net: DeconvNet, head: Any, word: str):
    x = images()
    headed = DeconvNet(nn.Sequential(*network(), head).eval(), x)
    assert close(headed.scores(x), net.scores(x), 1e-12)
    picture = headed.explain(x, 2)
    assert torch.equal(picture.full(), net.explain(x, 2).full())
    assert f"The {word} at the output was skipped." in picture.notes
    assert not any("skipped" in note for note in net.explain(x, 2).notes)


def test_probabilities_are_those_of_the_users_own_head(net: DeconvNet):
    x = images()
    assert close(net.probabilities(x), net.model(x).detach().softmax(1), 1e-12)


# rules ----------------------------------------------------------------------------------------------


def test_with_rules_keeps_how_smooth_operations_are_treated():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 2, 3)).double()
    x = images()
    net = DeconvNet(model, x, smooth="rectify")
    guided = net.with_rules("guided")
    assert guided.rules == RuleSet(forward_mask=True, smooth="rectify")
    assert net.rules == RuleSet(smooth="rectify")
    rectified = guided.project(x, "2", channel=0)
    assert any('smooth="rectify"' in note for note in rectified.notes)
    with pytest.raises(UnsupportedOperationError, match=r"'1' \(aten\.silu\).*defined for rectifiers"):
        net.with_rules("deconvnet", smooth="refuse").project(x, "2", channel=0)
    with pytest.raises(UnsupportedOperationError, match=r"aten\.silu"):
        net.with_rules(RuleSet()).project(x, "2", channel=0)


@pytest.mark.parametrize("smooth", [None, "refuse", "rectify", "gradient"])
def test_gradient_is_autograd_whatever_the_network_does_with_smooth_operations(smooth):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3), nn.GELU()).double()
    x = images().requires_grad_()
    (truth,) = torch.autograd.grad(model(x)[:, 1, 0, 0].sum(), x)
    net = DeconvNet(model, x.detach(), smooth=smooth)
    for named in (net.with_rules("gradient"), net.with_rules("guided").with_rules("gradient")):
        result = named.project(x.detach(), "4", channel=1, position=(0, 0), start="one")
        assert close(result.full(), truth, 1e-12) and result.rules.name == "gradient"
        assert named.with_rules("deconvnet").rules == net.rules  # what the derivatives were for is past
        assert named.with_rules(named.rules).with_rules("guided").rules.smooth == (smooth or "refuse")
    direct = DeconvNet(model, x.detach(), rules="gradient")
    assert direct.rules == net.with_rules("gradient").rules and direct.with_rules("deconvnet").rules == RuleSet()


def test_what_is_said_with_the_name_gradient_counts():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 2, 3)).double()
    net = DeconvNet(model, images(), rules="gradient", smooth="rectify")
    assert net.rules.name == "gradient, smooth=rectify" and net.with_rules("deconvnet").rules.smooth == "rectify"
    with pytest.raises(UnsupportedOperationError, match=r"aten\.silu"):
        net.with_rules("gradient", smooth="refuse").project(images(), "2", channel=0)


def test_with_rules_does_not_capture_again(net: DeconvNet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deconvnet.capture.trace.capture", lambda *a, **k: pytest.fail("captured again"))
    guided = net.with_rules("guided")
    assert guided.layers["relu1"].way_down == "rectify and forward mask"
    assert net.layers["relu1"].way_down == "rectify"
    assert guided.explain(images(), 1).rules == RuleSet(forward_mask=True)


def test_without_a_max_pool_the_notes_say_that_the_picture_does_not_depend_on_the_image():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 3)).double()
    net, x = DeconvNet(model, images()), images()
    result = net.project(x, "3", channel=1, position=(1, 1), start="one")
    assert any("does not depend on the image" in note for note in result.notes)
    assert torch.equal(result.windows[0], result.windows[1])
    guided = net.with_rules("guided").project(x, "3", channel=1, position=(1, 1), start="one")
    assert not any("does not depend" in note for note in guided.notes)


def test_above_a_max_pool_no_note_says_so_and_below_it_one_does(net: DeconvNet):
    x = images()
    assert not any("does not depend" in note for note in net.project(x, "conv2", channel=1).notes)
    assert any("does not depend" in note for note in net.project(x, "conv1", channel=1).notes)
    assert any("does not depend" in n for n in net.project(x, "conv2", channel=1, to="pool1").notes)


@pytest.mark.parametrize("axes", [1, 3])
def test_networks_along_a_line_and_in_space(axes: int):
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    pool = {1: nn.MaxPool1d, 3: nn.MaxPool3d}[axes]
    model = nn.Sequential(conv(2, 4, 3), nn.ReLU(), pool(2), conv(4, 3, 2)).double()
    x = torch.randn(2, 2, *[10] * axes, dtype=torch.float64)
    net = DeconvNet(model, x)
    assert net.layers["3"].receptive_field == (6,) * axes
    result = net.project(x, "3", channel=1, position=(1,) * axes, start="one")
    assert result.windows.shape == (2, 2, *[6] * axes)
    assert result.boxes.tolist() == [[[2] * axes, [8] * axes]] * 2
    assert result.magnitude().shape == (2, *[10] * axes)
    if axes == 1:
        with pytest.raises(ArgumentError, match="cannot be shown: only images"):
            result.picture()
        same = net.project(x, "3", channel=1, position=1, start="one")
        assert torch.equal(result.full(), same.full())
    leaf = x.clone().requires_grad_()
    at = (slice(None), 1, *[1] * axes)
    (signal,) = torch.autograd.grad(model(leaf)[at].sum(), leaf)
    gradient = net.with_rules("gradient").project(x, "3", channel=1, position=(1,) * axes, start="one")
    assert close(gradient.full(), signal)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1), (torch.float16, 0.02)], ids=str
)
def test_narrow_floating_point_types_give_the_same_picture_less_exactly(dtype: Any, tolerance: float):
    x = images()
    wide = DeconvNet(maps(), x).project(x, "3", channel=1, position=(2, 2), start="one", to="2").full()
    narrow = DeconvNet(maps().to(dtype), x.to(dtype))
    result = narrow.project(x.to(dtype), "3", channel=1, position=(2, 2), start="one", to="2")
    assert result.windows.dtype == dtype
    assert close(result.full().double(), wide, tolerance)
    whole = narrow.project(x.to(dtype), "3", channel="all")
    assert torch.isfinite(whole.full()).all()


def test_a_network_of_plain_samples_is_attached_as_the_refusal_says():
    class Sounds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(1, 4, 9, stride=2), nn.Linear(4 * 28, 3)

        def forward(self, samples):
            return self.head(self.conv(samples[:, None]).relu().flatten(1))

    model, samples = Sounds().double(), torch.randn(2, 64, dtype=torch.float64)
    with pytest.raises(ArgumentError, match=r"attach nn\.Sequential\(nn\.Flatten\(\), model\) to x\[:, None\]"):
        DeconvNet(model, samples)
    net = DeconvNet(nn.Sequential(nn.Flatten(), model), samples[:, None], rules="gradient")
    leaf = samples.clone().requires_grad_()
    (signal,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    assert close(net.explain(samples[:, None], 1).full()[:, 0], signal)


# wrong input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "images come as one tensor .*; got NoneType"),
        ([[1.0]], "images come as one tensor .*; got list"),
        (torch.zeros(2, 3, 14, 14, dtype=torch.uint8), "floating-point numbers; got torch.uint8: preprocess"),
        (torch.zeros(2, 3, 14, 14, dtype=torch.complex64), "floating-point numbers; got torch.complex64"),
        (torch.zeros(0, 3, 14, 14).double(), r"none of them empty; got shape \(0, 3, 14, 14\)"),
        (torch.zeros(2, 3, 0, 14).double(), "none of them empty"),
        (torch.zeros(3, 14, 14).double(), r"with 4 axes; got shape .* \(add the batch axis: x\[None\]\)"),
        (torch.zeros(14, 14).double(), r"images come as .*got shape \(14, 14\)"),
        (torch.zeros(2, 3, 1, 14, 14).double(), "with 4 axes"),
        (torch.zeros(2, 1, 14, 14).double(), "the network takes 3 channels; got 1"),
        (torch.zeros(2, 3, 14, 14), r"weights are torch\.float64 .* the images torch\.float32 on cpu: pass"),
        (torch.zeros(2, 3, 14, 14, device="meta").double(), "a dense tensor of numbers; got one on meta"),
    ],
    ids=["None", "list", "uint8", "complex", "empty batch", "empty", "no batch axis", "one map", "five axes",
         "one channel", "float32", "device"],
)  # fmt: skip
def test_wrong_images_are_refused(net: DeconvNet, x: Any, message: str):
    for call in (
        lambda: net.project(x, "relu2", channel=0),
        lambda: net.explain(x, 0),
        lambda: net.activations(x, "relu2"),
        lambda: net.scores(x),
    ):
        with pytest.raises(ArgumentError, match=message):
            call()


def test_wrong_example_inputs_are_refused():
    with pytest.raises(ArgumentError, match=r"images come as .*got shape \(3, 14\)"):
        DeconvNet(network(), torch.zeros(3, 14).double())
    with pytest.raises(ArgumentError, match="got str"):
        DeconvNet(network(), "cat.jpg")
    with pytest.raises(CaptureError, match=r"input of shape \(n, 4, 14, 14\).*channels"):
        DeconvNet(network(), torch.zeros(1, 4, 14, 14).double())
    with pytest.raises(ArgumentError, match=r"weights are torch\.float64 on cpu, the images torch\.float32"):
        DeconvNet(network(), torch.zeros(1, 3, 14, 14))


@pytest.mark.parametrize("size", [20, 4], ids=["too large for the linear layer", "too small for the pools"])
def test_a_size_that_the_network_cannot_take_is_refused(net: DeconvNet, size: int):
    with pytest.raises(
        CaptureError, match=rf"on an input of shape \(n, 3, {size}, {size}\): .*Check that the model runs"
    ):
        net.explain(images(1, size), 0)


def test_a_wrong_layer_gets_the_nearest_names(net: DeconvNet):
    with pytest.raises(LayerNotFoundError, match=r"no layer 'relu_2'; the nearest names are 'relu2', .*print\(net\)"):
        net.project(images(), "relu_2", channel=0)
    with pytest.raises(LayerNotFoundError, match=r"no layer 'zzz'\. List its layers with print\(net\)"):
        net.activations(images(), ["relu1", "zzz"])
    with pytest.raises(LayerNotFoundError, match="this ReLU is not a layer of the network"):
        net.project(images(), nn.ReLU(), channel=0)
    with pytest.raises(ArgumentError, match="a layer is a name or a module; got 3"):
        net.project(images(), 3, channel=0)
    with pytest.raises(ArgumentError, match="a layer is a name or a module; got 3"):
        net.activations(images(), [3])


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.a, self.b = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        pooled = self.body(x).relu().mean((2, 3))
        return {"a": self.a(pooled), "b": self.b(pooled)}


def test_of_several_outputs_one_must_be_named():
    x, model = images(), Several().double()
    net = DeconvNet(model, x)
    for call in (lambda: net.explain(x, 0), lambda: net.scores(x)):
        with pytest.raises(ArgumentError, match=r"returns 2 tensors \(a, b\): say which .*output='a'"):
            call()
    assert net.project(x, "a", channel=0, to="body").full().shape == (2, 4, 12, 12)
    with pytest.raises(ArgumentError, match="the model returns no 'c'; it returns a, b"):
        DeconvNet(model, x, output="c").explain(x, 0)
    assert DeconvNet(model, x, output="b").scores(x).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": "backprop"}, "no rule set is called 'backprop': use one of deconvnet, guided, gradient"),
        ({"rules": 3}, "rules is a name or a RuleSet; got int"),
        ({"smooth": "maybe"}, "smooth is one of .*; got 'maybe'"),
        ({"rules": "guided", "smooth": 1}, "smooth is one of"),
    ],
    ids=repr,
)
def test_wrong_rules_are_refused(net: DeconvNet, options: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        DeconvNet(net.model, images(), **options)
    with pytest.raises(ArgumentError, match=message):
        net.with_rules(options.get("rules", "deconvnet"), smooth=options.get("smooth"))


def test_wrong_calls_warn_of_nothing(net: DeconvNet):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ArgumentError):
            net.project(images(), "relu2", channel=99)
    assert not caught
