"""Captum's `NeuronDeconvolution` and `NeuronGuidedBackprop`."""

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from deconvnet import ArgumentError, LayerNotFoundError, captum_api


def product(values: Tensor) -> Tensor:
    return (values[:, 2] * values[:, 1]).sum((1, 2))


@pytest.mark.sampled(every=5)
@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("name", ["NeuronDeconvolution", "NeuronGuidedBackprop"])
@pytest.mark.parametrize("given", [False, True], ids=["of the output", "of the input"])
@pytest.mark.parametrize("layer", [1, 3, 4])
@pytest.mark.parametrize(
    "selector",
    [(2, 2, 1), (slice(0, 3), 1, 2), (1, slice(None), slice(1, 3)), product],
    ids=["unit", "slice", "slices", "function"],
)
def test_selectors_mean_what_they_mean_in_captum(name, given, layer, selector, model, x):
    ours = getattr(captum_api, name)(model, model[layer]).attribute(x, selector, None, given)
    theirs = getattr(captum.attr, name)(model, model[layer]).attribute(
        x.clone().requires_grad_(), selector, None, given
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_an_index_is_one_of_a_row_and_what_the_first_layer_is_given_is_the_input(model, x):
    ours = captum_api.NeuronDeconvolution(model, model[6]).attribute(x, 3)
    theirs = captum.attr.NeuronDeconvolution(model, model[6]).attribute(x.clone().requires_grad_(), 3)
    assert torch.allclose(ours, theirs, atol=1e-6)
    of_pixels = captum_api.NeuronDeconvolution(model, model[0]).attribute(x, (1, 2, 3), None, True)
    assert of_pixels.sum() == len(x)
    assert (of_pixels[:, 1, 2, 3] == 1).all()


def test_a_layer_may_be_named(model, x):
    named, given = (captum_api.NeuronDeconvolution(model, layer).attribute(x, (2, 1, 1)) for layer in ("4", model[4]))
    assert torch.equal(named, given)


def test_what_cannot_be_chosen_is_refused_in_words(model, x):
    units = captum_api.NeuronDeconvolution(model, model[4])
    other = captum_api.NeuronDeconvolution(model, nn.ReLU())
    refused = [
        (lambda: units.attribute(x, 3), ArgumentError, r"an index or slice for each axis of '4' .*\(8, 4, 4\); got 3"),
        (lambda: units.attribute(x, (8, 0, 0)), ArgumentError, "8"),
        (lambda: units.attribute(x, (slice(3), 4, 0)), ArgumentError, "outside"),
        (lambda: units.attribute(x, "all"), ArgumentError, "neuron_selector is a function"),
        (lambda: units.attribute(x, lambda values: values), ArgumentError, "returns one number, or one for each image"),
        (lambda: other.attribute(x, 1), LayerNotFoundError, "is not a layer"),
        (lambda: captum_api.NeuronDeconvolution(model, "x").attribute(x, 1), LayerNotFoundError, "no layer 'x'"),
    ]
    for call, error, match in refused:
        with pytest.raises(error, match=match):
            call()
