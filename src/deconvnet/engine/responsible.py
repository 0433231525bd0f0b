"""The units that a class rests on: a layer's activations times the signal of the class, the largest first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._checks import whole_number
from deconvnet._errors import ArgumentError
from deconvnet._types import Unit
from deconvnet.core.down import Way
from deconvnet.core.graph import Step, Value
from deconvnet.core.operations import row_of
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.classes import ClassesDown, output_of
from deconvnet.engine.layers import Layer, has_rows, maps_of, rectified_values, value_of
from deconvnet.engine.passes import Pass, by_units
from deconvnet.engine.project import collected
from deconvnet.engine.targets import Chosen, Target
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.responsible import Responsible


@dataclass(frozen=True, eq=False)
class Ranking:
    """The strongest contributions of some images, in order of images, then rank.

    Attributes:
        units: where they are.
        signals: (m,) of the class, as it arrives there.
        contributions: (m,) activation times signal, above 0, from strong to weak.
        shares: (m,) of all positive contributions of the same image on the layer, above 0, 1 at most.
        alive: for each image, how many units have a contribution above 0.
    """

    units: tuple[Unit, ...]
    signals: Float[Tensor, " m"]
    contributions: Float[Tensor, " m"]
    shares: Float[Tensor, " m"]
    alive: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Arrival:
    """The signal of a class of some images on a layer, beside what the layer gave.

    Attributes:
        activations: (n, c, *spatial) on the way up.
        signals: (n, c, *spatial) on the way down.
        first: index of the first of these images.
    """

    activations: Float[Tensor, "n c *spatial"]
    signals: Float[Tensor, "n c *spatial"]
    first: int


def responsible(
    attached: Attachment,
    x: Float[Tensor, "n c *spatial"],
    target: Target,
    layer: Layer | None,
    *,
    k: int,
    per_map: int | None,
    memory: str | int | None,
) -> Responsible:
    """The units of a layer that a class rests on; see `DeconvNet.responsible`."""
    k = whole_number("k", k)
    per_map = 0 if per_map is None else whole_number("per_map", per_map, least=0)
    name, budget = layer_of(attached, x, layer), attached.budget(memory)
    graph = attached.graph(x)
    classes, arrivals, down = arrived(attached, x, output_of(attached, graph, len(x)).chosen(target), name, memory)
    rankings = [ranked(name, part.activations, part.signals, k, per_map, part.first) for part in arrivals]
    listed = [unit for ranking in rankings for unit in ranking.units]
    if not listed:
        raise ArgumentError(f"no unit of {name!r} has a contribution above 0: choose another layer or another class.")
    costs = attached.costs(graph, name)
    units = collected(costs, by_units(costs, attached.model, x, listed, "activation", budget, "auto"), budget)
    same = f"The signal of the class that arrives at {name!r} is the same for every image."
    few = _few([count for ranking in rankings for count in ranking.alive], listed, k, per_map)
    return Responsible(
        layer=name,
        classes=classes.units,
        scores=classes.activations,
        units=units,
        signals=torch.cat([ranking.signals for ranking in rankings]),
        contributions=torch.cat([ranking.contributions for ranking in rankings]),
        shares=torch.cat([ranking.shares for ranking in rankings]),
        notes=tuple(dict.fromkeys((*few, *classes.facts.notes(same), *units.notes))),
        masks=down.masks(attached.costs_of_classes(graph)[0]),
    )


def layer_of(attached: Attachment, x: Tensor, layer: Layer | None) -> str:
    """The name of the layer whose units are taken, checked to lie on the way to the class.

    Raises:
        LayerNotFoundError, ArgumentError: it does not.
    """
    way = attached.costs_of_classes(attached.graph(x))[0].way
    name = last_maps(way) if layer is None else attached.layer_name(layer)
    _check_layer(way, name)
    return name


def arrived(
    attached: Attachment, x: Tensor, chosen: Sequence[Sequence[Chosen]], layer: str, memory: str | int | None
) -> tuple[Reconstruction, list[Arrival], ClassesDown]:
    """A class of each image carried down to a layer, the layer's activations beside it, and the way down."""
    graph = attached.graph(x)
    value, values = value_of(graph, layer), list[tuple[int, Tensor]]()

    def look(pass_: Pass) -> None:
        values.append((int(pass_.indices[0]), pass_.trace.values[value.name]))

    down = ClassesDown(attached, graph, x, chosen, "one", layer)
    classes = down.collected(memory, keep=[value], look=look)
    arrivals = [
        Arrival(part, torch.stack([classes.whole(i) for i in range(first, first + len(part))]), first)
        for first, part in values
    ]
    return classes, arrivals, down


def ranked(
    layer: str,
    activations: Float[Tensor, "n c *spatial"],
    signals: Float[Tensor, "n c *spatial"],
    k: int,
    per_map: int = 0,
    first: int = 0,
) -> Ranking:
    """The k units of each image whose activation times signal is largest; of equal ones the first in order.

    Args:
        layer: the layer's name.
        activations: on the way up.
        signals: on the way down.
        k: how many of each image at most; only units with a product above 0 count.
        per_map: how many of each feature map at most; 0 for any number.
        first: index of the first image.

    Example:
        >>> ranking = ranked("fc", torch.tensor([[2.0, 3.0, 1.0]]), torch.tensor([[1.0, 1.0, -1.0]]), 2)
        >>> [unit.channel for unit in ranking.units], ranking.shares
        ([1, 0], tensor([0.6000, 0.4000]))
    """
    products = _products(activations, signals)
    positive = products.clamp(min=0)
    order = _strongest(products.flatten(2) if products.ndim > 2 else products[..., None], k, per_map)
    chosen = products.flatten(1).gather(1, order)
    image, rank = (chosen > 0).nonzero(as_tuple=True)
    flat = order[image, rank]
    positions = np.stack(np.unravel_index(flat.cpu().numpy(), activations.shape[1:]), -1).tolist()
    units = [Unit(layer, c, tuple(at), first + i) for i, (c, *at) in zip(image.tolist(), positions, strict=True)]
    contributions = chosen[image, rank]
    shares = contributions / positive.flatten(1).sum(1)[image]
    arrived = signals.flatten(1).to(products.dtype)[image, flat]
    return Ranking(tuple(units), arrived, contributions, shares, tuple((products > 0).flatten(1).sum(1).tolist()))


def map_shares(arrivals: Sequence[Arrival]) -> Float[Tensor, "n c"]:
    """Of each image and feature map, its positive contributions divided by those of all maps; zero where none is."""
    products = torch.cat([_products(part.activations, part.signals) for part in arrivals]).clamp(min=0)
    of_maps = products.flatten(2).sum(2) if products.ndim > 2 else products
    return of_maps / of_maps.sum(1, keepdim=True).clamp(min=torch.finfo(of_maps.dtype).tiny)


def _products(activations: Tensor, signals: Tensor) -> Tensor:
    wide = torch.promote_types(activations.dtype, torch.float32)  # products of half floats overflow soon
    return activations.to(wide) * signals.to(wide)


def _strongest(products: Float[Tensor, "n c positions"], k: int, per_map: int) -> Int[Tensor, "n k"]:
    """Flat indices of the k largest of each image, of each map at most `per_map`; of equal ones the first in order."""
    count = products.shape[2]
    best = products.sort(dim=2, descending=True, stable=True)
    most = min(per_map or count, count)
    flat = best.indices[..., :most] + count * torch.arange(products.shape[1], device=products.device)[:, None]
    order = best.values[..., :most].flatten(1).sort(dim=1, descending=True, stable=True).indices[:, :k]
    return flat.flatten(1).gather(1, order)


def _few(alive: Sequence[int], units: Sequence[Unit], k: int, per_map: int) -> list[str]:
    """A note where images have fewer units than were asked for."""
    counts = [sum(unit.image == image for unit in units) for image in range(len(alive))]
    images = [image for image, count in enumerate(counts) if count < k]
    if not images:
        return []
    first = images[0]
    of_them = f" in {len(images)} of {len(alive)} images; the first, image {first}, has" if len(alive) > 1 else ":"
    bound = "" if alive[first] == counts[first] else f", of each feature map at most {per_map}"
    return [f"Fewer than {k} units have a contribution above 0{of_them} {counts[first]}{bound}."]


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
    one by one and then joined count as one. Where scores of several levels are laid side by side, as in a detector,
    it lies below all of them. Maps have more than one position, and there is not just one
    for each class. Where there are none, the last maps of any kind; else the last rectified layer.

    Args:
        way: from the class scores to the input.

    Raises:
        ArgumentError: the way down does not pass such a layer.
    """
    classes, below = way.start.sizes(1)[1:2], _below_all_parts(way)
    candidates = [
        (layer, value)
        for layer, value in way.graph.layers.items()
        if value.name in way.chosen
        and value.name in below
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
    raise ArgumentError("no layer on the way to the class has feature maps of its own: name a layer (layer=, --layer).")


def _below_all_parts(way: Way) -> frozenset[str]:
    """The names of the values that every part of the class scores is made of.

    Parts are what scores are joined of before they are only moved about, such as the levels of a detector.
    """
    opened = {step.output.name: (step, rule.open_signals(step)) for step, rule in way.down}
    parts, todo = list[str](), [way.start.name]
    while todo:
        name = todo.pop()
        step, signals = opened.get(name, (None, ()))
        row = None if step is None else row_of(step, way.rows)
        if row is not None and (row.copies or row.concatenates or row.stacks):
            todo += [value.name for value in signals]
        else:
            parts.append(name)
    return frozenset.intersection(*(_below(part, opened) for part in parts))


def _below(name: str, opened: Mapping[str, tuple[Step, tuple[Value, ...]]]) -> frozenset[str]:
    """The names of a value and of all to which its signal goes."""
    below, todo = {name}, [name]
    while todo:
        _, signals = opened.get(todo.pop(), (None, ()))
        new = {value.name for value in signals} - below
        below |= new
        todo += new
    return frozenset(below)
