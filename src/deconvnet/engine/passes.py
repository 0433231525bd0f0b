"""Forward passes, over whole images or over what single units see, and what is carried down from each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from rich.filesize import decimal
from torch import Tensor, nn

from deconvnet._devices import sent
from deconvnet._errors import MemoryBudgetError
from deconvnet._types import Unit
from deconvnet.capture.untouched import ordinary
from deconvnet.core.down import Way
from deconvnet.core.finite import finite_forward
from deconvnet.core.graph import Value
from deconvnet.core.up import Trace
from deconvnet.engine.costs import Costs
from deconvnet.engine.seeds import Choice, Seeds, Start, checked_units, listed_seeds, profile_seeds
from deconvnet.windows.cost import RouteName
from deconvnet.windows.frames import Frames
from deconvnet.windows.up import forward_in_windows


@dataclass(frozen=True, eq=False)
class Pass:
    """A forward pass, and what is carried down from it.

    Attributes:
        trace: the pass.
        seeds: what starts from it.
        indices: (m,) of its units among those of all passes.
        units: how many units all passes have together.
        remembered_at: by step, the windows that it was remembered in; whole maps elsewhere.
    """

    trace: Trace
    seeds: Seeds
    indices: Int[np.ndarray, " m"]
    units: int
    remembered_at: Mapping[str, Frames] = field(default_factory=dict)


def passes_of(
    costs: Costs, model: nn.Module, x: Tensor, choice: Choice, budget: int, route: RouteName
) -> Iterator[Pass]:
    """The passes that a call of `DeconvNet.project` needs, and what starts from each.

    Args:
        costs: of the way down.
        model: the network.
        x: all images.
        choice: what is to be carried down.
        budget: bytes that may be taken.
        route: the way of single units.

    Raises:
        ArgumentError: such a choice cannot be made.
        MemoryBudgetError, NotFiniteError: as in `by_images`.
    """
    if choice.units is not None:
        units = checked_units(choice.units, costs.layer, costs.way.start.sizes(1)[1:], len(x))
        return by_units(costs, model, x, units, choice.start_of_units(), budget, route)
    return by_images(costs, model, x, lambda values, first: choice.seeds(costs.layer, values, first, len(x)), budget)


def by_images(
    costs: Costs,
    model: nn.Module,
    x: Tensor,
    choose: Callable[[Tensor, int], Seeds],
    budget: int,
    keep: Sequence[Value] = (),
    counts: Sequence[int] | None = None,
) -> Iterator[Pass]:
    """Passes over as many images at once as the budget allows.

    Args:
        costs: of the way down.
        model: the network.
        x: all images.
        choose: (values of the layer, index of the first image) -> what starts.
        budget: bytes that may be taken.
        keep: values that the traces shall hold besides the layer's; their signals count towards the budget too.
        counts: how much starts from each image; where None, as much from each as from the first.

    Raises:
        MemoryBudgetError: not even one image fits.
        NotFiniteError: NaN or infinity on the way.
    """
    at_once = _images_at_once(costs, x, budget, more=2 * sum({value.name: value.numbers for value in keep}.values()))
    for first in range(0, len(x), at_once):
        trace = _over_images(costs.way, model, x[first : first + at_once], frozenset(value.name for value in keep))
        seeds = choose(trace.values[costs.way.start.name], first)
        each = [len(seeds.units) // trace.images] * len(x) if counts is None else counts
        yield Pass(trace, seeds, sum(each[:first]) + np.arange(len(seeds.units)), sum(each))


def by_units(
    costs: Costs,
    model: nn.Module,
    x: Tensor,
    units: Sequence[Unit],
    start: Start | Float[Tensor, "m c"],
    budget: int,
    route: RouteName,
) -> Iterator[Pass]:
    """Passes over the images of single units, or over no more than the units see if that is less work.

    Args:
        costs: of the way down.
        model: the network.
        x: all images.
        units: of the way's layer.
        start: what each starts from: its activation, 1, or a value on each map at its position.
        budget: bytes that may be taken.
        route: all but "auto" need whole images.

    Raises:
        MemoryBudgetError, NotFiniteError: as in `by_images`.
    """
    way = costs.way

    def seeds_of(batch: Sequence[Unit], trace: Trace, rows: np.ndarray, indices: np.ndarray) -> Seeds:
        values = trace.values[way.start.name]
        if isinstance(start, Tensor):
            return profile_seeds(batch, values, rows, start[indices.tolist()])
        return listed_seeds(batch, values, rows, start)

    order = np.argsort([unit.image for unit in units], kind="stable")
    images = np.unique([unit.image for unit in units]) if way.graph.images is None else np.arange(len(x))
    need = costs.bytes_up_of_unit(costs.width)
    if route == "auto" and costs.up is not None and need <= budget and costs.sees_little(len(units), len(images)):
        x, at_once = ordinary(x, way.graph.input.dtype), max(1, min(budget // 3, costs.chunk) // need)
        for indices in (order[first : first + at_once] for first in range(0, len(units), at_once)):
            batch = [units[index] for index in indices]
            trace, at = forward_in_windows(costs.up, way.graph, model, x, batch, way.rules, way.chosen)
            yield Pass(trace, seeds_of(batch, trace, np.arange(len(batch)), indices), indices, len(units), at)
        return
    at_once = _images_at_once(costs, x, budget)
    for batch_images in (images[first : first + at_once] for first in range(0, len(images), at_once)):
        trace = _over_images(way, model, x[sent(batch_images, x.device)])
        indices = np.array([index for index in order if units[index].image in batch_images])
        batch = [units[index] for index in indices]
        rows = np.searchsorted(batch_images, [unit.image for unit in batch])
        yield Pass(trace, seeds_of(batch, trace, rows, indices), indices, len(units))


def pass_of_units(trace: Trace, way: Way, units: Sequence[Unit], start: Start) -> Pass:
    """Single units of a layer, each from its activation or from one, in a forward pass over all their images."""
    rows = np.array([unit.image for unit in units])
    seeds = listed_seeds(units, trace.values[way.start.name], rows, start)
    return Pass(trace, seeds, np.arange(len(units)), len(units))


def _over_images(way: Way, model: nn.Module, x: Tensor, keep: frozenset[str] = frozenset()) -> Trace:
    images = ordinary(x, way.graph.input.dtype)
    return finite_forward(way.graph, model, images, keep | {way.start.name}, way.rules, way.chosen)


def _images_at_once(costs: Costs, x: Tensor, budget: int, more: int = 0) -> int:
    width = costs.width
    up, down = costs.bytes_up(width) + width * more, costs.bytes_down(width)
    images = costs.way.graph.images
    need = (up + down) * (images or 1)
    if need > budget:
        share = (budget / need) ** (1 / max(x.ndim - 2, 1))
        size, fits = ("x".join(str(int(length * part)) for length in x.shape[2:]) for part in (1, share))
        what, fewer = f"one image of {size} needs", ""
        if images is not None and images > 1:
            what, fewer = f"{images} images of {size}, which the network takes at once, need", "fewer at a time, "
        raise MemoryBudgetError(
            f"{what} about {decimal(need)}, and the budget is {decimal(budget)}: give more with memory=, "
            f"{fewer}or images of about {fits} or less."
        )
    if images is not None:
        return images
    return max(1, min(len(x), (budget - down) // up))
