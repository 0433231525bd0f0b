"""Directions in the feature maps of a layer, as feature maps of a layer of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import flag, real_number, short, text
from deconvnet._errors import ArgumentError
from deconvnet.core.finite import all_finite
from deconvnet.core.graph import Graph, Size, Step, Value, once
from deconvnet.engine.layers import maps_of
from deconvnet.engine.seeds import checked_indices

_CONVOLUTIONS = {1: torch.ops.aten.conv1d.default, 2: torch.ops.aten.conv2d.default, 3: torch.ops.aten.conv3d.default}


@dataclass(frozen=True, eq=False)
class Directions:
    """A layer that hangs on another: a convolution by one position, and a rectifier.

    Attributes:
        name: of the layer.
        layer: what it hangs on.
        weight: a row for each direction, with a weight for each of that layer's maps.
        bias: of each direction; None for none.
        rectify: whether what lies against a direction counts as nothing.
    """

    name: str
    layer: str
    weight: Float[Tensor, "k c"]
    bias: Float[Tensor, " k"] | None
    rectify: bool


def checked(graph: Graph, layer: str, weight: Any, bias: Any, rectify: Any, name: Any) -> Directions:
    """Directions of a layer of this network.

    Raises:
        ArgumentError: not weights for each map of the layer, not finite, or a name that the network has.
        LayerNotFoundError: no such layer.
    """
    maps = maps_of(graph, layer)
    if not text("name", name):
        raise ArgumentError("name is empty: the new layer needs one.")
    if name in graph.layers:
        raise ArgumentError(f"name={name!r} is a layer of the network already: choose another name.")
    rows = _matrix("weight", weight, 2)
    if rows.shape[1] != maps.maps:
        raise ArgumentError(
            f"weight has a row for each direction, with {maps.maps} numbers for the maps of {layer!r}; got shape "
            f"{tuple(rows.shape)}."
        )
    added = None if bias is None else _matrix("bias", bias, 1)
    if added is not None and len(added) != len(rows):
        raise ArgumentError(f"bias has one number for each of the {len(rows)} directions; got {len(added)}.")
    return Directions(name, layer, rows, added, flag("rectify", rectify))


def weighted(graph: Graph, layer: str, channels: Mapping[Any, Any]) -> tuple[Tensor, str]:
    """The one direction that weights of some maps are, and a name for its layer.

    Args:
        graph: of the network.
        layer: whose maps they are.
        channels: by the index of a map, its weight.

    Raises:
        ArgumentError: no such map, a weight that is not a finite number, or none at all.
        LayerNotFoundError: no such layer.
    """
    maps = maps_of(graph, layer).maps
    indices = checked_indices(list(channels), maps, f"feature maps in {layer!r}", ArgumentError)
    weights = [real_number("a weight in channel", weight) for weight in channels.values()]
    row = torch.zeros(1, maps, dtype=torch.float64, device="cpu")
    for index, weight in zip(indices, weights, strict=True):  # 7 and -1 may be one map
        row[0, index] += weight
    words = " ".join(f"{weight:+.3g}*{index}" for index, weight in zip(indices, weights, strict=True))
    return row, f"{layer}: {words.removeprefix('+')}"


def with_directions(graph: Graph, directions: tuple[Directions, ...], device: torch.device) -> Graph:
    """The graph of images on a device with a step or two more for each of these layers, worked out once."""
    for each in directions:
        graph = _once_with(graph, each, device)
    return graph


def _once_with(graph: Graph, directions: Directions, device: torch.device) -> Graph:
    result: Graph = once(graph.ways, directions, lambda: _with(graph, directions, device))
    return result


def _with(graph: Graph, directions: Directions, device: torch.device) -> Graph:
    below, count = maps_of(graph, directions.layer), len(directions.weight)
    name, axes = f"directions {directions.name}", len(below.map_size)
    shape = (below.shape[0], replace(below.shape[1], fixed=count), *below.shape[2:])
    before = Value(name, shape, signal=True, varies=True, dtype=below.dtype)
    weight = directions.weight.reshape(*directions.weight.shape, *[1] * axes)
    tensors = {f"{name} weight": weight, **({} if directions.bias is None else {f"{name} bias": directions.bias})}
    tensors = {key: tensor.to(device, below.dtype) for key, tensor in tensors.items()}
    arguments: dict[str, Any] = {"input": below, **_values(name, tensors)}
    if axes:
        arguments |= {"stride": [1] * axes, "padding": [0] * axes, "dilation": [1] * axes, "groups": 1}
    function = _CONVOLUTIONS[axes] if axes else torch.ops.aten.linear.default
    operation = f"aten.conv{axes}d" if axes else "aten.linear"
    steps = [Step(operation, before, function, arguments, (below,), directions.name)]
    layers = {f"{directions.name}/{steps[0].kind}": before} if directions.rectify else {}
    if directions.rectify:
        after = replace(before, name=f"{name} rectified")
        steps.append(Step("relu", after, torch.relu, {"input": before}, (before,), directions.name))
    return replace(
        graph,
        steps=(*graph.steps, *steps),
        tensors={**graph.tensors, **tensors},
        layers={**graph.layers, **layers, directions.name: steps[-1].output},
        ways={},
        ups={},
    )


def _values(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Value | None]:
    """What stands for the weights in a step."""
    values: dict[str, Value | None] = {"bias": None}
    for key, tensor in tensors.items():
        sizes = tuple(Size(length) for length in tensor.shape)
        values[key.removeprefix(f"{name} ")] = Value(key, sizes, signal=False, varies=False, dtype=tensor.dtype)
    return values


def _matrix(what: str, given: Any, axes: int) -> Tensor:
    """Numbers as a tensor of so many axes, a copy.

    Raises:
        ArgumentError: they are not.
    """
    try:
        values = torch.as_tensor(given).detach().cpu().clone()
    except (TypeError, ValueError, RuntimeError, NotImplementedError, OverflowError):
        values = torch.empty(0, device="cpu")
    real = values.layout == torch.strided and not values.is_complex() and values.dtype != torch.bool
    if values.ndim != axes or not values.numel() or not real:
        raise ArgumentError(f"{what} is an array of numbers with {axes} axes; got {short(given)}.")
    values = values if values.is_floating_point() else values.float()
    if not all_finite(values):
        raise ArgumentError(f"{what} holds NaN or infinity.")
    return values
