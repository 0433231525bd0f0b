"""Captum's `Deconvolution` and `GuidedBackprop`."""

from typing import Any

from torch import Tensor, nn

from deconvnet._checks import as_index
from deconvnet._errors import TargetError
from deconvnet.captum_api.joined import Attached, Inputs, Joined
from deconvnet.captum_api.words import warn_of_derivatives
from deconvnet.engine.classes import output_of
from deconvnet.network import attached


class _Rectified:
    """A class carried down by rules that rectify the signal."""

    _rules: str

    def __init__(self, model: nn.Module) -> None:
        self.model, self._attached = model, Attached(model, self._rules)

    def attribute(self, inputs: Inputs, target: Any = None, additional_forward_args: Any = None) -> Inputs:
        """One class of each image, carried down to the inputs.

        Args:
            inputs: a tensor with a row for each image, or a tuple of tensors for a model that takes several.
            target: as in Captum: None where the model gives one number for each image; an index, a tensor of one or a
                tuple (class, *position) for all images; a list or a tensor of indices, or a list of tuples, one for
                each.
            additional_forward_args: further arguments of the model, one or a tuple of them.

        Returns:
            Shaped as `inputs`.

        Raises:
            TargetError: not such a class, or None where there are several.
            ArgumentError, CaptureError, UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in
                `DeconvNet` and `DeconvNet.explain`.
        """
        joined = self._attached.joined(inputs, additional_forward_args)
        result = joined.net.explain(joined.x, class_targets(target, joined))
        warn_of_derivatives(result.facts)
        return joined.apart(result.full())


class Deconvolution(_Rectified):
    """The deconvnet, called as Captum's class of the same name.

    Captum rectifies at `nn.ReLU` modules that are used once and differentiates everything else without a word. Here
    every spelling of a ReLU is a rectifier; a final softmax is passed over; local response normalisation is passed
    over, as in the paper; the gates of squeeze-and-excite are constants; the model is always in eval. Where none of
    these occurs the numbers are Captum's. Of other activations the derivative is taken, with a `DeconvNetWarning`.

    Args:
        model: any model that can be captured; it is not changed.

    Example:
        >>> from torch import nn, randn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 12 * 12, 4))
        >>> Deconvolution(model).attribute(randn(2, 3, 16, 16), target=3).shape
        torch.Size([2, 3, 16, 16])
    """

    _rules = "deconvnet"


class GuidedBackprop(_Rectified):
    """Guided backpropagation (Springenberg et al. 2014), called as Captum's class of the same name.

    What differs from Captum is as in `Deconvolution`.

    Args:
        model: any model that can be captured; it is not changed.
    """

    _rules = "guided"


def class_targets(target: Any, joined: Joined) -> Any:
    """A target as `DeconvNet.explain` takes it."""
    engine = attached(joined.net)
    output = output_of(engine, engine.graph(joined.x), len(joined.x))
    if target is None:
        if output.classes != 1 or output.is_map:
            raise TargetError(
                "target=None is for a model that gives one number for each image, as in Captum; this one gives "
                f"{output.classes}: name a class. `DeconvNet.explain` picks the one that the network finds most likely."
            )
        return 0
    if isinstance(target, Tensor) and target.numel() == 1:
        return _from_0(int(target), output.classes)
    if isinstance(target, list):  # of indices none is below 0 in Captum
        return [_from_0(each, output.classes) if isinstance(each, tuple) else each for each in target]
    return _from_0(target, output.classes)


def _from_0(target: Any, classes: int) -> Any:
    """A class counted from 0; below 0 PyTorch, and so Captum, counts from the end."""
    if isinstance(target, tuple):
        return tuple(_from_0(part, classes) if axis == 0 else part for axis, part in enumerate(target))
    index = as_index(target)
    return target if index is None or not -classes <= index < 0 else index + classes
