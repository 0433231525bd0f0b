"""The filter that makes a unit's map, and the patches of the layer below that it is multiplied with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deconvnet.capture.untouched import ordinary
from deconvnet.core.finite import finite_forward
from deconvnet.core.geometry import among_maps, is_transposed, map_by_map
from deconvnet.core.graph import Graph, Step, Value, per_axis
from deconvnet.core.operations import Operation, row_of
from deconvnet.core.rules import Call, RuleSet
from deconvnet.core.up import Trace
from deconvnet.engine.layers import maps_of
from deconvnet.network import attached
from deconvnet.probes.in_batches import images_at_once
from deconvnet.probes.pictured import Pictured

_NO_RULES = RuleSet()  # nothing goes down here


@dataclass(frozen=True)
class OwnFilter:
    """Which step makes a unit's map.

    Attributes:
        step: a convolution, or a fully connected layer.
        channel: the map among those that the step makes.
    """

    step: Step
    channel: int

    @property
    def below(self) -> Value:
        """What the filter is multiplied with."""
        return self.step.signals[0]

    @property
    def length(self) -> int:
        """How many it has."""
        _, *rest = self.step.arguments["weight"].sizes(1)
        return math.prod(rest)


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of the layer below a unit's map.

    Attributes:
        filter: the unit's filter, without its bias.
        values: what it is multiplied with, a row for each patch.
        on: whether the unit's map is above 0 there.
        images: which image each patch is of.
    """

    filter: Float[np.ndarray, " numbers"]
    values: Float[np.ndarray, "n numbers"]
    on: Bool[np.ndarray, " n"]
    images: Int[np.ndarray, " n"]

    def of(self, rows: Bool[np.ndarray, " n"]) -> "Patches":
        """Some of them."""
        return Patches(self.filter, self.values[rows], self.on[rows], self.images[rows])


def own_filter(pictured: Pictured) -> OwnFilter | None:
    """The filter whose output, normed and rectified or not, is the unit's map; None where it is made otherwise."""
    engine = attached(pictured.net)
    graph, rows = engine.graph(pictured.x), engine.operations.rows
    makers = {step.output.name: step for step in graph.steps}
    value, channel = maps_of(graph, pictured.unit.layer), pictured.unit.channel or 0
    while (step := makers.get(value.name)) is not None:
        row = row_of(step, rows)
        if row.filters:
            return OwnFilter(step, channel) if _has_a_filter(step) else None
        branch = _below(step, row, channel)
        if branch is None:
            return None
        value, channel = branch
    return None


def _below(step: Step, row: Operation, channel: int) -> tuple[Value, int] | None:
    """Where a map comes from that is only normed, rectified, or put beside others."""
    if row.concatenates and among_maps(step, step.signals, _NO_RULES):
        for value in step.signals:
            if channel < value.maps:
                return value, channel
            channel -= value.maps
    normed = row.norms and row.windowed is map_by_map
    copied = row.copies and row.elementwise == "linear"
    in_place = len(step.signals) == 1 and (row.rectifies or normed or copied)
    return (step.signals[0], channel) if in_place else None


def patches(pictured: Pictured, own: OwnFilter, images: Tensor, most: int) -> Patches:
    """Patches of images, at most so many, drawn at random from all positions.

    Args:
        pictured: the unit.
        own: its filter.
        images: as the model takes them; as many patches of each.
        most: patches in all.
    """
    engine, unit = attached(pictured.net), pictured.unit
    of_image = max(1, most // len(images))
    values: list[Tensor] = []
    on: list[Tensor] = []
    which: list[int] = []
    filters = torch.empty(0, device="cpu")
    at_once = images_at_once(pictured)
    for first in range(0, len(images), at_once):
        part = images[first : first + at_once]
        graph = engine.graph(part)
        with engine.computing():
            maps = maps_of(graph, unit.layer)
            names = frozenset({maps.name, own.below.name})
            trace = finite_forward(graph, engine.model, ordinary(part, graph.input.dtype), names, engine.rules, {})
            filters, rows = _cut(graph, trace, own)
        active = trace.values[maps.name][:, unit.channel].reshape(len(part), -1) > 0
        for i in range(len(part)):
            chosen = torch.randperm(rows.shape[1], generator=pictured.generator(f"patches {first + i}"), device="cpu")[
                :of_image
            ]
            chosen = chosen.to(rows.device)
            values.append(rows[i, chosen].cpu().double())
            on.append(active[i, chosen].cpu())
            which += [first + i] * len(chosen)
    return Patches(filters.cpu().double().numpy(), torch.cat(values).numpy(), torch.cat(on).numpy(), np.array(which))


def _cut(graph: Graph, trace: Trace, own: OwnFilter) -> tuple[Float[Tensor, " d"], Float[Tensor, "n positions d"]]:
    """The filter, and what it is multiplied with at each position of its map."""
    step, below = own.step, trace.values[own.below.name]
    call = Call(step, _NO_RULES, trace.images, trace.tensors)
    weight = call["weight"]
    if "stride" not in step.arguments:  # fully connected, of the last axis
        return weight[own.channel], below.reshape(len(below), -1, below.shape[-1])
    axes = below.ndim - 2
    group = own.channel // (len(weight) // call["groups"])
    maps = below[:, group * weight.shape[1] : (group + 1) * weight.shape[1]]
    settings = (per_axis(call[name], axes, usual) for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)))
    return weight[own.channel].flatten(), _windows(maps, weight.shape[2:], *settings)


def _windows(
    maps: Float[Tensor, "n c *size"], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int],
) -> Float[Tensor, "n positions d"]:  # fmt: skip
    axes = len(kernel)
    cut = torch.nn.functional.pad(maps, [pad for pad in reversed(padding) for _ in range(2)])
    for i in range(axes):
        cut = cut.unfold(2 + i, dilation[i] * (kernel[i] - 1) + 1, stride[i])[..., :: dilation[i]]
    positions = range(2, 2 + axes)
    return cut.permute(0, *positions, 1, *range(2 + axes, 2 + 2 * axes)).flatten(1, axes).flatten(2)


def _has_a_filter(step: Step) -> bool:
    """Whether each of its maps is made by a filter of its own that is a weight."""
    weight = step.arguments.get("weight")
    fixed = isinstance(weight, Value) and not weight.varies and len(step.signals) == 1
    return fixed and not is_transposed(step) and not isinstance(step.arguments.get("padding"), str)
