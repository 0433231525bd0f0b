"""The filters that make the feature maps of a layer."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet.core import geometry
from deconvnet.core.graph import Graph, Step
from deconvnet.core.operations import Operation, row_of
from deconvnet.core.weights import tensors_of
from deconvnet.engine.attachment import Attachment

_MAP_BY_MAP = (geometry.point_by_point, geometry.map_by_map)


def filters_of(attached: Attachment, layer: str, channels: Sequence[int]) -> Float[Tensor, "m weights"] | None:
    """The weights that make these maps, of the convolution or the fully connected layer below the layer.

    Args:
        attached: the network.
        layer: between which and the convolution are only rectifiers, batch norm, poolings and what else works map by
            map.
        channels: the maps.

    Returns:
        A row for each map, on the CPU; None where something else lies between, such as a concatenation.
    """
    graph = attached.own_graph()
    step = _step_with_filters(graph, layer, attached)
    if step is None:
        return None
    weight = tensors_of(graph, attached.model, 1)[step.arguments["weight"].name].detach()
    if row_of(step, attached.operations.rows).spreads or step.arguments.get("transposed"):
        grouped = weight.reshape(step.arguments.get("groups", 1), -1, *weight.shape[1:])
        weight = grouped.transpose(1, 2).flatten(0, 1)
    return weight[list(channels)].flatten(1).to("cpu", torch.promote_types(weight.dtype, torch.float32))


def _step_with_filters(graph: Graph, layer: str, attached: Attachment) -> Step | None:
    makers = {step.output.name: step for step in graph.steps}
    value, maps = graph.layers[layer], graph.layers[layer].maps
    while value.maps == maps and (step := makers.get(value.name)) is not None:
        row = row_of(step, attached.operations.rows)
        if row.filters:
            return step
        if len(step.signals) != 1 or not _keeps_maps_apart(row):
            return None
        value = step.signals[0]
    return None


def _keeps_maps_apart(row: Operation) -> bool:
    return row.windowed in _MAP_BY_MAP or row.max_pools
