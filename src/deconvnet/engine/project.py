"""What several passes start, each carried down alone and collected as one `Reconstruction`."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.filesize import decimal
from torch import Tensor

from deconvnet._checks import callback, is_one_of, short
from deconvnet._devices import sent
from deconvnet._errors import ArgumentError, DeconvNetWarning, MemoryBudgetError
from deconvnet._memory import free_bytes
from deconvnet._types import Box, Unit
from deconvnet.capture.untouched import computing, ordinary
from deconvnet.core.down import Way
from deconvnet.core.finite import all_finite, check_signal, finite_forward
from deconvnet.core.graph import Value
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.carry import WatchSignals, boxes_of, carry_seeds
from deconvnet.engine.costs import Costs
from deconvnet.engine.layers import names_of
from deconvnet.engine.passes import Pass, by_units, pass_of_units
from deconvnet.engine.seeds import Seeds, Start, checked_units
from deconvnet.results.facts import Facts
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.windows.cost import RouteName
from deconvnet.windows.frames import Frames

Watch = Callable[[str, Int[Tensor, " m"], Float[Tensor, "m c *window"], Int[Tensor, "m axes"]], None]


def project_units(
    attached: Attachment,
    x: Float[Tensor, "n c *spatial"],
    units: Sequence[Unit],
    *,
    most: int,
    start: Start = "activation",
    memory: str | int | None = None,
) -> Iterator[tuple[list[int], Reconstruction]]:
    """Single units of several layers, each carried down alone, a group of units after the other.

    One forward pass over the images serves all; or, where that is less work, the units of each layer have one of
    their own on no more than they see.

    Args:
        attached: the network.
        x: images, as the model takes them; all of them run at once.
        units: of any layers, maps, positions and images.
        most: bytes that the pictures of a group may take; one unit is always a group.
        start: each unit starts from its "activation" or from "one".
        memory: budget for what is worked on at a time.

    Yields:
        Of a group of units of one layer, their indices among `units` and what came of them.

    Raises:
        As `DeconvNet.project`.
    """
    graph, budget = attached.graph(x), attached.budget(memory)
    indices: dict[str, list[int]] = {}
    for index, unit in enumerate(units):
        indices.setdefault(unit.layer, []).append(index)
    costs = {layer: attached.costs(graph, layer) for layer in indices}
    listed = {
        layer: checked_units([units[i] for i in indices[layer]], layer, of.way.start.sizes(1)[1:], len(x))
        for layer, of in costs.items()
    }
    at_once = {layer: max(1, most // of.bytes_of_picture(of.width)) for layer, of in costs.items()}
    groups = [
        (layer, slice(first, first + at_once[layer]))
        for layer in costs
        for first in range(0, len(listed[layer]), at_once[layer])
    ]
    image = len(x) * max(of.work_up[0] for of in costs.values())
    if sum(len(listed[layer]) * of.work_up[1] for layer, of in costs.items()) < image:
        for layer, group in groups:
            with attached.computing():
                passes = by_units(costs[layer], attached.model, x, listed[layer][group], start, budget, "auto")
                result = collected(costs[layer], passes, budget)
            yield indices[layer][group], result
        return
    chosen = {name: rule for of in costs.values() for name, rule in of.way.chosen.items()}
    starts = frozenset(of.way.start.name for of in costs.values())
    with attached.computing():
        images = ordinary(x, graph.input.dtype)
        trace = finite_forward(graph, attached.model, images, starts, attached.rules, chosen)
    for layer, group in groups:
        with attached.computing():
            pass_ = pass_of_units(trace, costs[layer].way, listed[layer][group], start)
            result = collected(costs[layer], [pass_], budget)
        yield indices[layer][group], result


def project_profiles(
    attached: Attachment,
    x: Float[Tensor, "n c *spatial"],
    units: Sequence[Unit],
    profiles: Float[Tensor, "m maps"],
    *,
    memory: str | int | None = None,
) -> Reconstruction:
    """Signals that start from all feature maps at one position each, carried down.

    Args:
        attached: the network.
        x: images, as the model takes them.
        units: of one layer, or of the classes where that is not a layer: position and image of each signal.
        profiles: what each signal is on every map, at its position; finite.
        memory: as in `DeconvNet.project`.

    Returns:
        A unit for each, in this order, whose channel is None; the activation is that of the unit that was given.

    Raises:
        As `DeconvNet.project`.
    """
    with attached.computing():
        budget, costs = attached.budget(memory), attached.costs_from(attached.graph(x), units[0].layer)
        passes = by_units(costs, attached.model, x, units, profiles, budget, "auto")
        return collected(costs, passes, budget)


def check_route(route: object) -> None:
    """Raise ArgumentError unless a route has that name."""
    if not is_one_of(route, get_args(RouteName)):
        raise ArgumentError(f"route is one of {', '.join(map(repr, get_args(RouteName)))}; got {short(route)}.")


def collected(
    costs: Costs,
    passes: Iterable[Pass],
    budget: int,
    *,
    skipped: tuple[str, ...] = (),
    route: RouteName = "auto",
    watch: Watch | None = None,
) -> Reconstruction:
    """Carry the seeds of all passes down and collect them as one result, in the order of their indices.

    Args:
        costs: of the way.
        passes: what starts in each.
        budget: bytes that may be taken for the work; what comes of it is as large as it is.
        skipped: operations at the output that were passed over.
        route: the way of single units.
        watch: as `DeconvNet.project` takes it.

    Raises:
        NotFiniteError: the signal overflows.
        MemoryBudgetError: the result is larger than the memory that is free.
    """
    seeds: list[Seeds] = []
    indices: list[int] = []
    boxes: list[Box] = []
    windows = torch.empty(0, device="cpu")
    way, by_layer = costs.way, None if watch is None else _by_layer(costs.way, watch)
    with computing():
        for pass_ in passes:
            pass_boxes = boxes_of(costs, pass_.seeds.units)
            if not boxes:
                windows = _room(way, pass_, pass_boxes[0])
            carry_seeds(costs, pass_, pass_boxes, windows, budget, route, by_layer)
            if not all_finite(_rows(windows, pass_.indices)):
                carry_seeds(costs, pass_, pass_boxes, windows, budget, route, _refuse_overflow(way))
            seeds.append(pass_.seeds)
            indices += pass_.indices.tolist()
            boxes += pass_boxes
        order = np.argsort(indices)
        activations = torch.cat([part.activations for part in seeds])
        units = [unit for part in seeds for unit in part.units]
        return Reconstruction(
            units=tuple(units[i] for i in order),
            activations=activations[sent(order, activations.device)],
            windows=windows,
            boxes=torch.tensor([[boxes[i].low, boxes[i].high] for i in order], dtype=torch.int64, device="cpu"),
            input_size=costs.size,
            rules=way.rules,
            facts=facts_of(way, seeds, skipped),
        )


def facts_of(way: Way, seeds: Sequence[Seeds], skipped: tuple[str, ...]) -> Facts:
    """What a reader should know about the way down and its seeds; warns about silent units."""
    nowhere = tuple(unit for part in seeds for unit in part.nowhere)
    silent = tuple(unit for part in seeds for unit in part.silent if unit.position is not None or not nowhere)
    stays = not way.down and any(part.start == "activation" for part in seeds)  # the activation itself is shown
    everywhere = tuple(
        int(mask.sum()) for part in seeds for i, mask in part.masks.items() if part.units[i].channel is not None
    )
    facts = Facts(
        skipped=skipped,
        from_magnitude=any(part.from_magnitude for part in seeds),
        precision=way.graph.precision,
        image_free=way.image_free and not stays and not everywhere,  # where a class wins depends on the image
        smooth=frozenset(rule.smooth for _, rule in way.down if rule.smooth is not None),
        noted=frozenset(rule.noted for _, rule in way.down if rule.noted is not None),
        silent=silent,
        everywhere=everywhere,
        nowhere=nowhere,
        units=sum(len(part.units) for part in seeds),
    )
    if silent and len(silent) == facts.units:
        warnings.warn(facts.notes()[-1], DeconvNetWarning, stacklevel=5)
    return facts


def _room(way: Way, pass_: Pass, box: Box) -> Tensor:
    """Memory for the windows of the units of all passes.

    Raises:
        MemoryBudgetError: there is not so much.
    """
    like = pass_.seeds.values.new_empty(0, dtype=way.stop.dtype)
    shape = (pass_.units, way.stop.maps, *box.size)
    need = like.element_size() * math.prod(shape)
    free = 4 * free_bytes(like.device)
    if need > free:
        raise MemoryBudgetError(
            f"{pass_.units} reconstructions are {decimal(need)}, and {decimal(free)} are free: project fewer units at "
            "a time."
        )
    return like.new_zeros(shape)


def _rows(windows: Tensor, indices: Int[np.ndarray, " m"]) -> Tensor:
    """Some of the rows, as a view where they follow each other."""
    first, last = int(indices.min()), int(indices.max())
    return windows[first : last + 1] if last - first + 1 == len(indices) else windows[sent(indices, windows.device)]


def _refuse_overflow(way: Way) -> WatchSignals:
    """Raises where a signal is not finite any more, and names the layer.

    Raises:
        NotFiniteError: there.
    """
    names = names_of(way.graph)
    steps = {step.output.name: step.where for step, _ in way.down}

    def look(value: Value, indices: np.ndarray, signal: Tensor, frames: Frames) -> None:
        where = repr(names[value.name]) if value.name in names else steps[value.name]
        check_signal(signal, where, ', or start="one"')

    return look


def _by_layer(way: Way, watch: Watch) -> WatchSignals:
    """Calls `watch` with the names of layers, for those values that have one."""
    callback("watch", watch)
    names = names_of(way.graph)

    def watch_value(value: Value, indices: np.ndarray, signal: Tensor, frames: Frames) -> None:
        if value.name in names:
            rows = signal[:, None] if signal.ndim == 1 else signal
            watch(names[value.name], torch.from_numpy(indices), rows, torch.from_numpy(frames.low))

    return watch_value
