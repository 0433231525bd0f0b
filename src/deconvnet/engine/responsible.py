"""The units that a class rests on: a layer's activations times the signal of the class, the largest first."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import as_index, short, whole_number
from deconvnet._errors import ArgumentError, TargetError
from deconvnet._types import Unit
from deconvnet.core.down import Way
from deconvnet.core.graph import Value
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import Layer, has_rows, maps_of, rectified_values, value_of
from deconvnet.engine.passes import by_images
from deconvnet.engine.project import collected
from deconvnet.engine.seeds import Seeds, Target, class_seeds, listed_seeds, names_classes
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.responsible import Responsible


@dataclass(frozen=True, eq=False)
class Ranking:
    """The strongest contributions of each image, k each, in order of images, then rank.

    Attributes:
        units: (n * k) where they are.
        signals: (n * k) of the class, as it arrives there.
        contributions: (n * k) activation times signal, above 0, from strong to weak.
        shares: (n * k) of all positive contributions of the same image on the layer, above 0, 1 at most.
    """

    units: tuple[Unit, ...]
    signals: Float[Tensor, " m"]
    contributions: Float[Tensor, " m"]
    shares: Float[Tensor, " m"]


def responsible(
    attached: Attachment,
    x: Float[Tensor, "n c *spatial"],
    target: Target,
    layer: Layer | None,
    k: int,
    memory: str | int | None,
) -> Responsible:
    """The units of a layer that a class rests on; see `DeconvNet.responsible`."""
    graph = attached.graph(x)
    way = attached.costs_of_classes(graph)[0].way
    k = whole_number("k", k)
    _check_single(target, way.start)
    name = last_maps(way) if layer is None else attached.layer_name(layer)
    _check_layer(way, name)
    costs, budget = attached.costs(graph, name), attached.budget(memory)
    explained = _explained(attached, x, target, name, budget)
    rankings: list[Ranking] = []

    def choose(values: Tensor, first: int) -> Seeds:
        signals = torch.stack([explained.whole(i) for i in range(first, first + len(values))])
        rankings.append(ranked(name, values, signals, k, first))
        return listed_seeds(rankings[-1].units, values, np.arange(len(values)).repeat(k), "activation")

    units = collected(costs, by_images(costs, attached.model, x, choose, budget), budget)
    same = f"The signal of the class that arrives at {name!r} is the same for every image."
    return Responsible(
        layer=name,
        classes=explained.units,
        scores=explained.activations,
        units=units,
        signals=torch.cat([ranking.signals for ranking in rankings]),
        contributions=torch.cat([ranking.contributions for ranking in rankings]),
        shares=torch.cat([ranking.shares for ranking in rankings]),
        notes=tuple(dict.fromkeys((*explained.facts.notes(same), *units.notes))),
    )


def _explained(attached: Attachment, x: Tensor, target: Target, to: str, budget: int) -> Reconstruction:
    """The class, carried down to a layer."""
    costs, scores = attached.costs_of_classes(attached.graph(x), to)

    def choose(values: Tensor, first: int) -> Seeds:
        return class_seeds(costs.layer, values, target, "one", first, len(x))

    return collected(costs, by_images(costs, attached.model, x, choose, budget), budget, skipped=scores.words)


def ranked(
    layer: str,
    activations: Float[Tensor, "n c *spatial"],
    signals: Float[Tensor, "n c *spatial"],
    k: int,
    first: int = 0,
) -> Ranking:
    """The k units of each image whose activation times signal is largest; of equal ones the first in order.

    Args:
        layer: the layer's name.
        activations: on the way up.
        signals: on the way down.
        k: how many of each image.
        first: index of the first image.

    Raises:
        ArgumentError: fewer than k units of an image have a product above 0.

    Example:
        >>> ranking = ranked("fc", torch.tensor([[2.0, 3.0, 1.0]]), torch.tensor([[1.0, 1.0, -1.0]]), 2)
        >>> [unit.channel for unit in ranking.units], ranking.shares
        ([1, 0], tensor([0.6000, 0.4000]))
    """
    wide = torch.promote_types(activations.dtype, torch.float32)  # products of half floats overflow soon
    arrived = signals.flatten(1).to(wide)
    products = activations.flatten(1).to(wide) * arrived
    for image, alive in enumerate((products > 0).sum(1).tolist(), first):
        if alive < k:
            raise ArgumentError(
                f"k={k}, but of the units of {layer!r} only {alive} have a contribution above 0 in image {image}: "
                + (f"ask for k={alive} or less." if alive else "choose another layer or another class.")
            )
    order = products.sort(dim=1, descending=True, stable=True).indices[:, :k]
    positions = np.stack(np.unravel_index(order.cpu().numpy(), activations.shape[1:]), -1).tolist()
    units = [Unit(layer, c, tuple(at), image) for image, rows in enumerate(positions, first) for c, *at in rows]
    chosen = products.gather(1, order)
    shares = chosen / products.clamp(min=0).sum(1, keepdim=True)
    return Ranking(tuple(units), arrived.gather(1, order).flatten(), chosen.flatten(), shares.flatten())


def _check_single(target: Target, scores: Value) -> None:
    """Raise TargetError if `target` is several classes; a single class is checked when its seeds are made."""
    if target is not None and names_classes(target, scores.map_size) and as_index(target) is None:
        raise TargetError(f"target is one class, or None for the network's answer in each image; got {short(target)}.")


def _check_layer(way: Way, layer: str) -> None:
    """Raise unless the signal of the classes passes through a layer's maps.

    Args:
        way: from the class scores to the input.
        layer: the layer's name.

    Raises:
        LayerNotFoundError: no layer of that name.
        ArgumentError: it does not, or the layer does not have feature maps for each image.
    """
    value = value_of(way.graph, layer)
    if value.name not in way.chosen and value != way.graph.input:
        raise ArgumentError(
            f"no signal of the class travels down to {layer!r}: choose a layer between the input and the classes."
        )
    maps_of(way.graph, layer)


def last_maps(way: Way) -> str:
    """The layer whose units are taken where none is named: the last rectified maps on the way to the class.

    Smooth activations that the rules admit count as rectifiers. Branches of a block that are rectified
    one by one and then joined count as one. Maps have more than one position, and there is not just one
    for each class. Where there are none, the last maps of any kind; else the last rectified layer.

    Args:
        way: from the class scores to the input.

    Raises:
        ArgumentError: the way down does not pass such a layer.
    """
    classes = way.start.sizes(1)[1:2]
    candidates = [
        (layer, value)
        for layer, value in way.graph.layers.items()
        if value.name in way.chosen
        and has_rows(way.graph, value)
        and len(value.shape) > 1
        and value.sizes(1)[1:2] != classes
    ]
    maps = [(layer, value) for layer, value in candidates if math.prod(value.sizes(1)[2:]) > 1]
    rectified = rectified_values(way)
    bent = [(layer, value) for layer, value in candidates if value.name in rectified]
    for choice in ([pair for pair in maps if pair in bent], maps, bent):
        if choice:
            return next(layer for layer, value in choice if value == choice[-1][1])
    raise ArgumentError("no layer on the way to the class has feature maps of its own: say which with layer=.")
