"""A network as a flat list of steps: what capture makes and everything else reads."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet._types import Precision
from deconvnet.core.converted import Converted
from deconvnet.core.replays import Replays

T = TypeVar("T")


_MOST_CACHED = 64  # batches come in a few sizes


@dataclass(frozen=True)
class Size:
    """A length that may grow with the batch: `fixed + per_image * images`."""

    fixed: int
    per_image: int = 0

    def of(self, images: int) -> int:
        """The length for a batch of that many images."""
        return self.fixed + self.per_image * images


@dataclass(frozen=True)
class Value:
    """A slot in a step's arguments that another step, a weight or the input fills.

    Attributes:
        name: unique in its graph.
        shape: one `Size` per axis; empty for numbers.
        signal: whether it is a real-valued tensor computed from the input, so that a signal can
            travel down to it.
        varies: whether it is computed from the input at all, and be it from the number of images.
        dtype: of its numbers; None for what is not a tensor.
        of_images: whether it is computed from what is in the images; a constant that is repeated for each is not.
    """

    name: str
    shape: tuple[Size, ...]
    signal: bool
    varies: bool
    dtype: torch.dtype | None = None
    of_images: bool = True

    def sizes(self, images: int) -> tuple[int, ...]:
        """The shape for a batch of that many images."""
        return tuple(size.of(images) for size in self.shape)

    @property
    def map_size(self) -> tuple[int, ...]:
        """Length of a feature map along each spatial axis."""
        return tuple(size.of(1) for size in self.shape[2:])

    @property
    def maps(self) -> int:
        """How many feature maps there are; 1 for a number per image."""
        return self.shape[1].of(1) if len(self.shape) > 1 else 1

    @property
    def numbers(self) -> int:
        """How many numbers one image has of it."""
        return math.prod(self.sizes(1))

    @property
    def image_first(self) -> bool:
        """Whether the first axis, and no other, runs over the images (or whole multiples of them)."""
        if not self.shape or self.shape[0].fixed or not self.shape[0].per_image:
            return False
        return all(not size.per_image for size in self.shape[1:])


@dataclass(frozen=True, eq=False)
class Step:
    """One operation of a captured network.

    Attributes:
        operation: what it computes, such as "aten.conv2d", "relu", "batch_norm": the key of its row in
            the table of operations.
        output: what it makes.
        function: computes the output from `arguments`.
        arguments: by name; `Value` and `Size` stand for what is only known when it runs, also
            inside lists.
        inputs: the values among the arguments, in order.
        module: dotted name of the module in which it was called; "" for the model itself.
        cap: for "relu", the highest value that it lets through (6 for ReLU6); None for no such bound.
        cache: whatever was worked out for this step and a number of images; see `once`.
    """

    operation: str
    output: Value
    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    inputs: tuple[Value, ...]
    module: str
    cap: float | None = None
    cache: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def signals(self) -> tuple[Value, ...]:
        """The inputs to which a signal can travel down."""
        return tuple(value for value in self.inputs if value.signal)

    @property
    def kind(self) -> str:
        """The operation for people: "conv2d", "relu"."""
        return self.operation.removeprefix("aten.")

    @property
    def where(self) -> str:
        """Where in the model and what it is, for messages."""
        return f"'{self.module or 'the model itself'}' ({self.operation})"


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as steps, for one input size.

    Attributes:
        input: what the network is given.
        steps: those that depend on the input, each after those that it needs.
        constants: those that depend on weights alone, to be run first.
        weights: name of a value -> dotted name in the model.
        tensors: name of a value -> a tensor that the model made of its own.
        layers: layer name -> the value that the layer gave.
        cut_off: the same for layers from which no signal travels down, because a step below them lets none pass.
        outputs: name of an output ("" if it is the only one) -> its value.
        images: the only batch size that the steps were traced for; None for any that `holds_for` allows.
        holds_for: whether the steps hold for a number of images, as far as torch.export knows.
        assumed: name of a weight -> the one number it was filled with when a rectifier was
            recognised by it.
        converted: the weights in the type that is computed in; None where that is their own.
        precision: how it is computed, as `Arithmetic` names it.
        device: the kind of device that it was captured on, such as "cuda".
        replays: gives the recordings of its passes; None where none are wanted, or those who want them are gone.
        ways: whatever was worked out for this graph.
        ups: what was worked out for its forward passes; see `once`.
    """

    input: Value
    steps: tuple[Step, ...]
    constants: tuple[Step, ...]
    weights: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    layers: Mapping[str, Value]
    cut_off: Mapping[str, Value]
    outputs: Mapping[str, Value]
    images: int | None
    holds_for: Callable[[int], bool]
    assumed: Mapping[str, float]
    converted: Converted | None = None
    precision: Precision | None = None
    device: str = "cpu"
    replays: Callable[[], Replays | None] = lambda: None
    ways: dict[Any, Any] = field(default_factory=dict)
    ups: dict[Any, Any] = field(default_factory=dict)


def once(cache: dict[Any, Any], key: Any, work: Callable[[], T]) -> T:
    """What `work` gives, from the cache where it holds that; a full cache begins anew."""
    try:
        result: T = cache[key]
    except KeyError:
        result = work()
        if len(cache) >= _MOST_CACHED:
            cache.clear()
        cache[key] = result
    return result


def towards(steps: Iterable[Step], wanted: Iterable[str]) -> list[Step]:
    """Those of the steps, in order, that lead to any of the named values."""
    names, needed = set(wanted), []
    for step in reversed(list(steps)):
        if step.output.name in names:
            needed.append(step)
            names.update(value.name for value in step.inputs)
    return needed[::-1]


def check_signal_starts(graph: Graph, value: Value) -> None:
    """Raise unless a signal can travel down from a value.

    Raises:
        ArgumentError: a step below it lets none pass.
    """
    if value.signal:
        return
    steps = reversed(towards(graph.steps, {value.name}))
    step = next((step for step in steps if step.signals and not step.output.signal), None)
    if step is None:
        reason = "it does not depend on the image."
    elif step.output.dtype is not None and not step.output.dtype.is_floating_point:
        reason = f"{step.where} makes {step.output.dtype} of its values, through which no signal passes."
    else:
        reason = f"{step.where} takes only the shape of its input, through which no signal passes."
    raise ArgumentError(f"no signal travels from this layer down to the pixels: {reason}")


def fill(arguments: Any, images: int, tensor: Callable[[Value], Any]) -> Any:
    """Arguments with each `Size` as a number and each `Value` as what `tensor` gives for it."""
    if isinstance(arguments, Value):
        return tensor(arguments)
    if isinstance(arguments, Size):
        return arguments.of(images)
    if isinstance(arguments, list | tuple):
        return [fill(argument, images, tensor) for argument in arguments]
    if isinstance(arguments, dict):
        return {name: fill(argument, images, tensor) for name, argument in arguments.items()}
    return arguments


def values_in(arguments: Any) -> Iterator[Value]:
    """The values among arguments, in order."""
    if isinstance(arguments, Value):
        yield arguments
    elif isinstance(arguments, Mapping):
        yield from values_in(list(arguments.values()))
    elif isinstance(arguments, list | tuple):
        for argument in arguments:
            yield from values_in(argument)


def per_axis(argument: Any, axes: int, default: int = 0) -> tuple[int, ...]:
    """An argument such as a stride as one number per spatial axis, however it was given; `default` for None."""
    values = (default,) if argument is None else (argument,) if isinstance(argument, int) else tuple(argument)
    return values * axes if len(values) == 1 else values
