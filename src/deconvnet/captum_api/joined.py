"""Inputs as Captum takes them, one tensor or several with further arguments, as the one tensor that is captured."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from deconvnet._checks import instance, short
from deconvnet._errors import ArgumentError
from deconvnet.network import DeconvNet

Inputs = Tensor | tuple[Tensor, ...]
_PREFIX = "model."
_PLAIN = Tensor | bool | int | float | str | None | torch.dtype | torch.device
_MOST_NETS = 4  # that a model keeps for different inputs


@dataclass(frozen=True, eq=False)
class Joined:
    """A model attached for inputs of some shapes, and these inputs.

    Attributes:
        net: takes `x`.
        x: the inputs: as they came where there is only one image and nothing else, else all numbers of an image in a
            row, (n, 1, numbers).
        shapes: of one image of each input.
        alone: whether the input came as one tensor, not as a tuple.
        prefix: what the names of the model's layers begin with in the net.
    """

    net: DeconvNet
    x: Tensor
    shapes: tuple[torch.Size, ...]
    alone: bool
    prefix: str

    def apart(self, signal: Tensor) -> Inputs:
        """What arrived at the inputs, shaped as these came."""
        if not self.prefix:
            return signal if self.alone else (signal,)
        flat, parts, first = signal.flatten(1), [], 0
        for shape in self.shapes:
            parts.append(flat[:, first : first + math.prod(shape)].reshape(len(flat), *shape))
            first += math.prod(shape)
        return parts[0] if self.alone else tuple(parts)


class Attached:
    """A model that inputs come to in Captum's ways.

    Args:
        model: any model that can be captured.
        rules: the way down.
    """

    def __init__(self, model: nn.Module, rules: str) -> None:
        self._model, self._rules = instance("model", model, nn.Module), rules
        self._nets: list[tuple[list[Any], DeconvNet]] = []

    def joined(self, inputs: Any, further: Any) -> Joined:
        """The inputs joined, with what takes them.

        Args:
            inputs: a tensor or a tuple of tensors, each with a row for each image.
            further: the model's other arguments: one, or a tuple. Tensors of floating-point numbers with a row for each
                image belong to the images; all else is the same for every image.

        Raises:
            ArgumentError: not tensors of as many rows, or whole numbers that differ from image to image.
            CaptureError: the model cannot be captured.
        """
        given = list(inputs) if isinstance(inputs, tuple) else [inputs]
        if not given or not all(isinstance(each, Tensor) and _is_input(each) for each in given):
            raise ArgumentError(
                f"inputs are one tensor of floating-point numbers or a tuple of them; got {short(inputs)}."
            )
        images = len(given[0])
        if not images or any(len(each) != images for each in given):
            raise ArgumentError(f"inputs have one row for each image; got {[len(each) for each in given]} rows.")
        shapes, alone = tuple(each.shape[1:] for each in given), not isinstance(inputs, tuple)
        others = [] if further is None else list(further) if isinstance(further, tuple) else [further]
        given = [each.detach() for each in given]
        if len(given) == 1 and not others and given[0].ndim > 2:
            part = _OfImages(shapes[0], given[0].dtype)
            return Joined(self._net([part], lambda: self._model, given[0]), given[0], shapes, alone, "")
        slots = [_slot(each, images) for each in others]
        given += [each.detach() for each, slot in zip(others, slots, strict=True) if isinstance(slot, _OfImages)]
        x = torch.cat([each.reshape(images, -1).to(given[0]) for each in given], 1)[:, None]
        parts = [_OfImages(shape, given[0].dtype) for shape in shapes]
        return Joined(
            self._net([*parts, *slots], lambda: _JoinedModel(self._model, [*parts, *slots]), x),
            x,
            shapes,
            alone,
            _PREFIX,
        )

    def _net(self, key: list[Any], model: Callable[[], nn.Module], x: Tensor) -> DeconvNet:
        for made_for, net in self._nets:
            if len(made_for) == len(key) and all(map(_is_same, made_for, key)):
                return net
        net = DeconvNet(model(), x, rules=self._rules, smooth="gradient")
        self._nets = [*self._nets, (key, net)][-_MOST_NETS:]
        return net


@dataclass(frozen=True)
class _OfImages:
    """An argument that each image has numbers of its own for.

    Attributes:
        shape: of one image's.
        dtype: as the model takes it.
    """

    shape: torch.Size
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class _Repeated:
    """A tensor with a row for each image, which are all the same."""

    row: Tensor


class _JoinedModel(nn.Module):
    """A model whose arguments come as one tensor, (n, 1, numbers), but for those that are the same for all images."""

    def __init__(self, model: nn.Module, slots: Sequence[Any]) -> None:
        super().__init__()
        self.model = model
        self._slots = list(slots)

    def forward(self, x: Tensor) -> Any:
        flat, first, arguments = x[:, 0], 0, list[Any]()
        for slot in self._slots:
            if isinstance(slot, _OfImages):
                count = math.prod(slot.shape)
                part = flat[:, first : first + count].reshape(x.shape[0], *slot.shape)
                arguments.append(part.to(slot.dtype))
                first += count
            elif isinstance(slot, _Repeated):
                arguments.append(slot.row.expand(x.shape[0], *slot.row.shape))
            else:
                arguments.append(slot)
        return self.model(*arguments)


def _slot(argument: Any, images: int) -> Any:
    """How an argument comes to the model.

    Raises:
        ArgumentError: whole numbers that differ from image to image; a tensor without values.
    """
    if isinstance(argument, Tensor) and not holds_values(argument):
        raise ArgumentError("additional_forward_args holds a tensor that is not dense, or does not hold values.")
    if not isinstance(argument, Tensor) or not argument.ndim or len(argument) != images:
        return argument
    if argument.is_floating_point():
        return _OfImages(argument.shape[1:], argument.dtype)
    if not bool((argument == argument[:1]).all()):
        raise ArgumentError(
            f"additional_forward_args holds a tensor of type {argument.dtype} whose rows differ from image to image, "
            "and what is captured takes floating-point numbers: pass one image at a time."
        )
    return _Repeated(argument[0].clone())  # as it is now: it may be changed in place


def _is_input(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim > 0 and holds_values(tensor)


def holds_values(tensor: Tensor) -> bool:
    """Whether a tensor is dense and has its values at hand."""
    return tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized


def _is_same(a: Any, b: Any) -> bool:
    """Whether two slots are one and the same to the model."""
    if isinstance(a, _Repeated) and isinstance(b, _Repeated):
        return torch.equal(a.row, b.row)
    if a is b:  # a capture sees what has become of tensors, numbers and texts, not inside of other objects
        return all(isinstance(leaf, _PLAIN) for leaf in tree_leaves(a))
    return type(a) is type(b) and isinstance(a, bool | int | float | str | _OfImages) and a == b
