"""Captum's `NeuronDeconvolution` and `NeuronGuidedBackprop`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet._checks import as_index, flag, short
from deconvnet._errors import ArgumentError
from deconvnet._types import PIXELS, Unit
from deconvnet.captum_api.joined import Attached, Inputs, Joined
from deconvnet.captum_api.words import warn_of_derivatives
from deconvnet.core.graph import Graph
from deconvnet.engine.layers import Layer, maps_of, names_of
from deconvnet.engine.seeds import checked_position
from deconvnet.network import attached

Selector = int | tuple[int | slice, ...] | Callable[[Tensor], Tensor]


class _UnitRectified:
    """Units of a layer, carried down by rules that rectify the signal."""

    _rules: str

    def __init__(self, model: nn.Module, layer: Layer, device_ids: Sequence[int] | None = None) -> None:
        self.model, self.layer, self._attached = model, layer, Attached(model, self._rules)

    def attribute(
        self,
        inputs: Inputs,
        neuron_selector: Selector,
        additional_forward_args: Any = None,
        attribute_to_neuron_input: bool = False,
    ) -> Inputs:
        """Units of the layer, one of each image or several added up, carried down to the inputs.

        Args:
            inputs: a tensor with a row for each image, or a tuple of tensors for a model that takes several.
            neuron_selector: as in Captum: an index where the layer gives one row of numbers; a tuple (channel,
                *position), in which a slice means the sum of several units; or a function that takes what the layer
                gives and returns a number for each image, or one.
            additional_forward_args: further arguments of the model, one or a tuple of them.
            attribute_to_neuron_input: choose among what the layer is given, not what it gives.

        Returns:
            Shaped as `inputs`.

        Raises:
            ArgumentError: no such unit; the layer is given nothing that has a name of its own.
            LayerNotFoundError, CaptureError, UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in
                `DeconvNet` and `DeconvNet.project`.
        """
        joined = self._attached.joined(inputs, additional_forward_args)
        engine = attached(joined.net)
        graph = engine.graph(joined.x)
        name = joined.prefix + self.layer if isinstance(self.layer, str) else engine.layer_name(self.layer)
        if flag("attribute_to_neuron_input", attribute_to_neuron_input):
            name = _given_to(graph, name)
        return joined.apart(_carried(joined, graph, name, neuron_selector))


class NeuronDeconvolution(_UnitRectified):
    """The deconvnet from units of a layer, called as Captum's class of the same name.

    Each starts from 1. What differs from Captum is as in `Deconvolution`.

    Args:
        model: any model that can be captured; it is not changed.
        layer: a module of it, or a name as `DeconvNet.layers` lists them.
        device_ids: not used, because models are taken out of `DataParallel`.

    Example:
        >>> from torch import nn, randn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 12 * 12, 4))
        >>> units = NeuronDeconvolution(model, model[1])
        >>> units.attribute(randn(2, 3, 16, 16), (5, 2, 1)).shape
        torch.Size([2, 3, 16, 16])
    """

    _rules = "deconvnet"


class NeuronGuidedBackprop(_UnitRectified):
    """Guided backpropagation from units of a layer, called as Captum's class of the same name.

    Arguments are those of `NeuronDeconvolution`.
    """

    _rules = "guided"


def _given_to(graph: Graph, name: str) -> str:
    """The layer whose values a layer is given."""
    first = next((step for step in graph.steps if f"{step.module}.".startswith(f"{name}.")), None)
    source = None if first is None or not first.signals else names_of(graph).get(first.signals[0].name)
    if source is None:
        raise ArgumentError(
            f"what {name!r} is given does not have a name of its own: choose units of a layer below, without "
            "attribute_to_neuron_input."
        )
    return source


def _carried(joined: Joined, graph: Graph, name: str, selector: Any) -> Tensor:
    """What the chosen units bring to the input."""
    net, x = joined.net, joined.x
    if callable(selector):
        values = x if name == PIXELS else net.activations(x, name)[name]
        return _from(joined, name, _derivative(selector, values))
    shape = x.shape if name == PIXELS else maps_of(graph, name).sizes(len(x))
    chosen = selector if isinstance(selector, tuple) else (selector,)
    if len(chosen) != len(shape) - 1 or not all(
        isinstance(each, slice) or as_index(each) is not None for each in chosen
    ):
        raise ArgumentError(
            f"neuron_selector is a function, or an index or slice for each axis of {name!r} but the first, "
            f"{tuple(shape[1:])}; got {short(selector)}."
        )
    if name == PIXELS or any(isinstance(each, slice) for each in chosen):
        signal = torch.zeros(shape, dtype=x.dtype, device=x.device)
        checked_position([0 if isinstance(each, slice) else each for each in chosen], tuple(shape[1:]), name)
        signal[(slice(None), *chosen)] = 1
        return _from(joined, name, signal)
    channel, *position = (int(each) for each in chosen)
    units = [Unit(name, channel, tuple(position), image) for image in range(len(x))]
    result = net.project(x, name, units=units, start="one")
    warn_of_derivatives(result.facts)
    return result.full()


def _from(joined: Joined, name: str, signal: Tensor) -> Tensor:
    """What a signal on a layer brings to the input."""
    if name == PIXELS:
        return signal
    result = joined.net.project(joined.x, name, start=signal)
    warn_of_derivatives(result.facts)
    return result.full()


def _derivative(selector: Callable[[Tensor], Any], values: Tensor) -> Tensor:
    """What a function of a layer's values chooses of them: its derivative by each."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = values.detach().clone().requires_grad_()
        chosen = selector(leaf)
        if not isinstance(chosen, Tensor) or chosen.numel() not in (1, len(values)) or not chosen.requires_grad:
            raise ArgumentError(
                "neuron_selector returns one number, or one for each image, that is made of what the layer gives; got "
                f"{short(chosen)}."
            )
        (signal,) = torch.autograd.grad(chosen.sum(), leaf)
    return signal
