"""A network with random weights in the place of its own: what a picture owes to the architecture alone."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor, nn

from deconvnet._errors import ArgumentError
from deconvnet._stand_in import stand_in, with_weights
from deconvnet.core.geometry import is_transposed
from deconvnet.core.graph import Graph, Step, Value, towards, values_in
from deconvnet.core.operations import Operation, row_of
from deconvnet.engine.layers import value_of
from deconvnet.network import DeconvNet, attached, with_model

_NORM = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}  # what a norm's tensors are filled with


@dataclass(frozen=True)
class Stage:
    """The filters of one layer, with the bias and the norm that belong to them.

    Attributes:
        name: of the layer.
        filters: dotted names of the weights that are drawn, and the standard deviation of each.
        constants: dotted names of the others, and the number that fills each.
    """

    name: str
    filters: tuple[tuple[str, float], ...] = ()
    constants: tuple[tuple[str, float], ...] = ()


def random_twin(net: DeconvNet, seed: int = 0, *, layer: str | None = None) -> DeconvNet:
    """A network of the same architecture with random weights; the network itself stays as it is.

    Filters are drawn from a normal distribution of variance 2 / fan-in (He et al. 2015), biases are 0, and norms have
    scale 1, shift 0, mean 0 and variance 1. All else stays as it is: slopes of activations, filters that are not
    parameters, rules, precision, operations. Nothing is captured anew.

    Args:
        net: the network.
        seed: of the weights. Each is the same whatever others are drawn.
        layer: draw only the weights on the way up to this layer, which is quicker.

    Raises:
        ArgumentError: it lacks filters to draw.
        LayerNotFoundError: no such layer.
    """
    return randomised(net, stages(net, layer), seed)


def random_twins(net: DeconvNet, seed: int, count: int, *, layer: str | None = None) -> Iterator[DeconvNet]:
    """Several random twins, one after another, so that only one is held at a time; as `random_twin`."""
    chosen = stages(net, layer)
    return (randomised(net, chosen, f"{seed} {i}") for i in range(count))


def stages(net: DeconvNet, layer: str | None = None) -> tuple[Stage, ...]:
    """The layers whose weights can be drawn, in the order in which the network computes them.

    Args:
        net: the network.
        layer: those up to this one; all by default.

    Raises:
        ArgumentError: there are none.
        LayerNotFoundError: no such layer.
    """
    attachment = attached(net)
    with attachment.computing():
        graph = attachment.own_graph()
        steps = graph.steps if layer is None else towards(graph.steps, {value_of(graph, layer).name})
    listed: dict[str, Stage] = {}
    makers: dict[str, str] = {}  # the name of the stage that made a value
    for step in steps:
        row = row_of(step, attachment.operations.rows)
        part = _part(graph, attachment.model, step, row)
        if part is None:
            continue
        below = next((makers[value.name] for value in step.signals if value.name in makers), None)
        name = below if row.norms and below is not None else part.name
        makers[step.output.name] = name
        before = listed.get(name, Stage(name))
        listed[name] = Stage(
            name,
            tuple(dict.fromkeys(before.filters + part.filters)),
            tuple(dict.fromkeys(before.constants + part.constants)),
        )
    if not any(stage.filters for stage in listed.values()):
        where = "the network" if layer is None else f"the way up to {layer!r}"
        raise ArgumentError(f"{where} does not have filters that are parameters, so there is nothing to draw.")
    return tuple(listed.values())


def randomised(net: DeconvNet, chosen: Sequence[Stage], seed: int | str = 0) -> DeconvNet:
    """The network with random weights in some of its layers, as `random_twin`.

    Args:
        net: the network.
        chosen: of `stages`.
        seed: of the weights.
    """
    model = attached(net).model
    drawn, filled = (
        {id(attrgetter(name)(model)): (name, value) for stage in chosen for name, value in part(stage)}
        for part in (attrgetter("filters"), attrgetter("constants"))
    )

    def new(weight: Tensor) -> Tensor | None:
        if id(weight) in drawn:
            name, spread = drawn[id(weight)]
            return _normal(weight.shape, f"{seed} {name}", spread).to(weight.device, weight.dtype)
        return torch.full_like(weight.detach(), filled[id(weight)][1]) if id(weight) in filled else None

    return with_model(net, with_weights(stand_in(model), new))


def _normal(shape: torch.Size, words: str, spread: float) -> Tensor:
    """Normal random numbers that belong to some words."""
    digest = hashlib.blake2b(words.encode(), digest_size=7).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
    return torch.empty(shape, dtype=torch.float32, device="cpu").normal_(0, spread, generator=generator)


def _part(graph: Graph, model: nn.Module, step: Step, row: Operation) -> Stage | None:
    """What can be drawn of a step; None if there is nothing."""
    if row.norms:
        own = [
            (graph.weights[value.name], filling)
            for name, filling in _NORM.items()
            if isinstance(value := step.arguments.get(name), Value) and value.name in graph.weights
        ]
        return Stage(_owner(own[0][0]), constants=tuple(own)) if own else None
    fixed = [value for value in values_in(step.arguments) if not value.varies]
    if not row.filters or not fixed:
        return None
    multiplied = step.arguments.get("weight") or max(fixed, key=lambda value: value.numbers)
    names = {id(weight): name for name, weight in model.named_parameters()}
    filters, constants = list[tuple[str, float]](), list[tuple[str, float]]()
    for value in fixed:
        for leaf in _leaves(graph, value):
            name = names.get(id(attrgetter(leaf)(model)))
            if name is None:  # a buffer, such as a mask or the kernel of a blur, is part of the architecture
                continue
            if value == multiplied and model.get_parameter(name).numel() == value.numbers:
                filters.append((name, math.sqrt(2 / _fan_in(step, value))))
            else:  # what filters are scaled by, as in weight norm, or a bias
                constants.append((name, float(value == multiplied)))
    return Stage(_owner(filters[0][0]), tuple(filters), tuple(constants)) if filters else None


def _leaves(graph: Graph, value: Value) -> list[str]:
    """The dotted names of the weights that a value is, or is computed of."""
    needed = {value.name}
    for step in reversed(graph.constants):
        if step.output.name in needed:
            needed.update(each.name for each in values_in(step.arguments))
    return [dotted for name, dotted in graph.weights.items() if name in needed]


def _fan_in(step: Step, weight: Value) -> int:
    """How many numbers each number of a step's output is a sum of."""
    sizes = weight.sizes(1)
    if "input" in step.arguments and "weight" in step.arguments:  # maps above, maps below, kernel
        below = sizes[0] // step.arguments["groups"] if is_transposed(step) else sizes[1]
        return max(1, below * math.prod(sizes[2:]))
    first = next(values_in(step.arguments)) == weight  # of a product of matrices
    return max(1, sizes[-1] if first else sizes[max(0, len(sizes) - 2)])


def _owner(weight: str) -> str:
    """The layer that a weight belongs to, by the weight's dotted name."""
    module, _, own = weight.partition(".parametrizations.")[0].rpartition(".")
    if ".parametrizations." in weight:
        return f"{module}.{own}" if module else own
    return module if module and own.startswith(("weight", "bias", "running_")) else weight
