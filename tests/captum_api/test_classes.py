"""Captum's `Deconvolution` and `GuidedBackprop`: its numbers where it is right, ours where it is not."""

from contextlib import nullcontext

import captum.attr
import pytest
import torch
from support.untouched import unchanged
from torch import Tensor, nn

from deconvnet import ArgumentError, DeconvNet, DeconvNetWarning, TargetError, captum_api
from deconvnet.captum_api.joined import Inputs

NAMES = ["Deconvolution", "GuidedBackprop"]


class Two(nn.Module):
    """A model of two inputs and some further arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.of_image, self.of_row, self.last = nn.Conv2d(3, 4, 3), nn.Linear(7, 4), nn.Linear(4 * 36 + 4, 5)
        self.relu, self.relu_of_row = nn.ReLU(), nn.ReLU()

    def forward(self, image, row, factor=1.0, sign=None, shift=None):
        of_image, of_row = self.relu(self.of_image(image)).flatten(1), self.relu_of_row(self.of_row(row))
        scores = self.last(torch.cat([of_image, of_row], 1)) * factor
        scores = -scores if sign == "minus" else scores
        return scores if shift is None else scores + shift[:, None]


def needing_gradients(inputs: Inputs) -> Inputs:
    each = [value.clone().requires_grad_() for value in (inputs if isinstance(inputs, tuple) else (inputs,))]
    return tuple(each) if isinstance(inputs, tuple) else each[0]


def check(name: str, model: nn.Module, inputs: Inputs, target=None, further=None) -> None:
    ours = getattr(captum_api, name)(model).attribute(inputs, target, further)
    theirs = getattr(captum.attr, name)(model).attribute(needing_gradients(inputs), target, further)
    assert isinstance(ours, tuple) == isinstance(inputs, tuple)
    for our, their in zip(*((each if isinstance(each, tuple) else (each,)) for each in (ours, theirs)), strict=True):
        assert our.dtype == their.dtype
        torch.testing.assert_close(our, their, atol=1e-5 * float(their.abs().max()), rtol=0)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "target", [3, -1, torch.tensor(2), torch.tensor([1]), [1, 2, 3], torch.tensor([0, 4, 2])], ids=str
)
def test_targets_mean_what_they_mean_in_captum(name, target, model, x):
    check(name, model, x, target)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("target", [(2, 3, 1), (-4, 3, 1), [(2, 3, 1), (-6, 0, 1), (5, 1, 1)]], ids=str)
def test_a_tuple_is_a_class_at_a_position_of_a_map(target, model, x):
    check("Deconvolution", model[:4], x, target)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize(
    "further",
    [None, 2.0, (2.0, "minus"), (torch.tensor(3.0), "minus"), (1.0, None, torch.tensor([1, 1])), torch.rand(2, 1)],
    ids=["none", "a number", "a text", "a tensor", "whole numbers", "of each image"],
)
def test_a_model_of_several_inputs_has_a_signal_on_each(further):
    torch.manual_seed(0)
    inputs, of_each = (torch.randn(2, 3, 8, 8), torch.randn(2, 7)), isinstance(further, Tensor)
    with (
        pytest.warns(DeconvNetWarning, match="partly a gradient") if of_each else nullcontext()
    ):  # a product of the two
        check("Deconvolution", Two().eval(), inputs, 2, further)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_a_model_of_one_number_needs_no_target_and_inputs_need_not_be_images():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 1)).eval()
    check("Deconvolution", model, torch.randn(4, 7))
    check("GuidedBackprop", model, (torch.randn(4, 7),))


def test_further_arguments_are_those_of_each_call():
    torch.manual_seed(0)
    ours, inputs = captum_api.Deconvolution(Two().eval()), (torch.randn(2, 3, 8, 8), torch.randn(2, 7))
    once, twice, again = (ours.attribute(inputs, 1, factor) for factor in (1.0, 2.0, 1.0))
    assert torch.allclose(2 * once[0], twice[0])
    assert torch.equal(once[0], again[0])


class Settings:
    factor = 1.0


@pytest.mark.filterwarnings("ignore:the network has operations that are not piecewise linear")
@pytest.mark.parametrize("kind", ["tensor", "whole numbers", "list", "object"])
def test_a_further_argument_that_is_changed_in_place_is_seen(kind):
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 8)

        def forward(self, image, by):
            by = by[0] if isinstance(by, list) else by.factor if isinstance(by, Settings) else by
            by = by[:, None] if isinstance(by, Tensor) and by.ndim else by
            return self.conv(image).flatten(1) * by

    torch.manual_seed(0)
    ours, x = captum_api.Deconvolution(Scaled()), torch.randn(2, 3, 8, 8)
    by = {"tensor": torch.tensor(1.0), "whole numbers": torch.tensor([1, 1]), "list": [1.0], "object": Settings()}[kind]
    before = ours.attribute(x, 1, by)
    if isinstance(by, Settings):
        by.factor = 3.0
    elif isinstance(by, list):
        by[0] = 3.0
    else:
        by.fill_(3)
    torch.testing.assert_close(ours.attribute(x, 1, by), 3 * before)


class Reused(nn.Module):
    """One ReLU used twice, and a functional one: what Captum's hooks miss or refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4 * 64, 5), nn.ReLU()

    def forward(self, x):
        return self.c(self.relu(self.b(torch.relu(self.a(x)))).flatten(1))


def test_every_spelling_of_a_relu_is_a_rectifier():
    torch.manual_seed(0)
    model, x = Reused().eval(), torch.randn(2, 3, 12, 12)
    spelt = nn.Sequential(model.a, nn.ReLU(), model.b, nn.ReLU(), nn.Flatten(), model.c)
    check_same = captum_api.Deconvolution(model).attribute(x, 1), captum_api.Deconvolution(spelt).attribute(x, 1)
    assert torch.equal(*check_same)
    with pytest.warns(UserWarning, match="Setting backward hooks"):
        theirs = captum.attr.Deconvolution(model).attribute(x.clone().requires_grad_(), 1)
    assert (theirs - check_same[0]).abs().max() > 0.1 * theirs.abs().max()


def test_numbers_are_those_of_the_library_itself(model, x):
    ours = captum_api.Deconvolution(nn.Sequential(model, nn.Softmax(1))).attribute(x, 3)
    assert torch.equal(ours, DeconvNet(model, x).explain(x, 3).full())


def test_derivatives_of_other_activations_are_told(x):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(576, 5)).eval()
    with pytest.warns(DeconvNetWarning, match="is partly a gradient"):
        ours = captum_api.Deconvolution(model).attribute(x, 3)
    with pytest.warns(UserWarning, match="Setting backward hooks"):
        theirs = captum.attr.Deconvolution(model).attribute(x.clone().requires_grad_(), 3)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_model_the_inputs_and_the_mode_stay_as_they_were(x):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(576, 5)).train()
    inputs = x.clone().requires_grad_()
    with unchanged(model):
        first = captum_api.Deconvolution(model).attribute(inputs, 3)
    assert torch.equal(first, captum_api.Deconvolution(model.eval()).attribute(inputs, 3))
    assert inputs.grad is None
    assert not first.requires_grad


def test_what_cannot_mean_the_same_is_refused_in_words(model, x):
    ours, two = captum_api.Deconvolution(model), captum_api.Deconvolution(Two().eval())
    image, row = torch.randn(2, 3, 8, 8), torch.randn(2, 7)
    refused = [
        (lambda: ours.attribute(x), TargetError, "target=None is for a model that gives one number.* gives 5: name"),
        (lambda: ours.attribute(x, [1, 2]), TargetError, "there are 3 images, and the list has 2"),
        (lambda: ours.attribute(x, 5), TargetError, "5"),
        (lambda: ours.attribute("x", 1), ArgumentError, "inputs are one tensor of floating-point numbers or a tuple"),
        (lambda: two.attribute((image, row[:1]), 1), ArgumentError, r"one row for each image; got \[2, 1\] rows"),
        (
            lambda: two.attribute((image, row), 1, (1.0, None, torch.tensor([0, 1]))),
            ArgumentError,
            "one image at a time",
        ),
        (lambda: captum_api.Deconvolution(torch.relu), ArgumentError, "model is a Module"),
    ]
    for call, error, match in refused:
        with pytest.raises(error, match=match):
            call()
