"""Forward passes, over whole images or over what single units see, and what is carried down from each."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor, nn

from deconvnet._errors import MemoryBudgetError
from deconvnet._types import Unit, Value
from deconvnet.capture.captures import ordinary
from deconvnet.core.up import Trace, finite_forward, forward_in_windows
from deconvnet.engine.plan import CHUNK, Plan
from deconvnet.engine.seeds import Seeds, Start, listed_seeds
from deconvnet.windows.steps import Path


@dataclass(frozen=True, eq=False)
class Pass:
    """A forward pass, and what is carried down from it.

    Attributes:
        trace: the pass.
        seeds: what starts from it.
        places: (m,) of its units among those of all passes.
        units: how many units all passes have together.
    """

    trace: Trace
    seeds: Seeds
    places: Int[np.ndarray, " m"]
    units: int


def by_images(
    way: Plan,
    model: nn.Module,
    x: Tensor,
    choose: Callable[[Tensor, int], Seeds],
    budget: int,
    keep: Mapping[str, Value] = {},
) -> Iterator[Pass]:
    """Passes over as many images at once as the budget allows.

    Args:
        way: the plan.
        model: the network.
        x: all images.
        choose: (values of the layer, number of the first image) -> what starts; as much from each image.
        budget: bytes that may be taken.
        keep: values that the traces shall hold besides the layer's, by name; their signals are thought to be kept too.

    Raises:
        MemoryBudgetError: not even one image fits.
        NotFiniteError: NaN or infinity on the way.
    """
    at_once = _images_at_once(way, x, budget, kept=2 * sum(math.prod(value.sizes(1)) for value in keep.values()))
    for first in range(0, len(x), at_once):
        trace = _over_images(way, model, x[first : first + at_once], frozenset(keep))
        seeds = choose(trace.values[way.start.name], first)
        each = len(seeds.units) // trace.images
        yield Pass(trace, seeds, first * each + np.arange(len(seeds.units)), len(x) * each)


def by_units(
    way: Plan, model: nn.Module, x: Tensor, units: Sequence[Unit], start: Start, budget: int, path: Path
) -> Iterator[Pass]:
    """Passes over the images of single units, or over no more than the units see if that is less work.

    Args:
        way: the plan.
        model: the network.
        x: all images.
        units: of the plan's layer.
        start: what each starts from.
        budget: bytes that may be taken.
        path: all but "auto" need whole images.

    Raises:
        MemoryBudgetError, NotFiniteError: as in `by_images`.
    """
    order = np.argsort([unit.image for unit in units], kind="stable")
    images = np.unique([unit.image for unit in units]) if way.graph.images is None else np.arange(len(x))
    need = way.bytes_up_of_unit(x.element_size())
    if path == "auto" and way.up is not None and need <= budget and way.sees_little(len(units), len(images)):
        x, at_once = ordinary(x), max(1, min(budget // 3, CHUNK) // need)
        for places in (order[first : first + at_once] for first in range(0, len(units), at_once)):
            some = [units[place] for place in places]
            trace = forward_in_windows(way.up, way.graph, model, x, some, way.rules, way.chosen)
            seeds = listed_seeds(some, trace.values[way.start.name], np.arange(len(some)), start)
            yield Pass(trace, seeds, places, len(units))
        return
    at_once = _images_at_once(way, x, budget)
    for some_images in (images[first : first + at_once] for first in range(0, len(images), at_once)):
        trace = _over_images(way, model, x[some_images])
        places = np.array([place for place in order if units[place].image in some_images])
        some = [units[place] for place in places]
        rows = np.searchsorted(some_images, [unit.image for unit in some])
        yield Pass(trace, listed_seeds(some, trace.values[way.start.name], rows, start), places, len(units))


def pass_of_units(trace: Trace, way: Plan, units: Sequence[Unit]) -> Pass:
    """Single units of a layer, each from its activation, in a forward pass over all their images."""
    rows = np.array([unit.image for unit in units])
    seeds = listed_seeds(units, trace.values[way.start.name], rows, "activation")
    return Pass(trace, seeds, np.arange(len(units)), len(units))


def _over_images(way: Plan, model: nn.Module, x: Tensor, keep: frozenset[str] = frozenset()) -> Trace:
    return finite_forward(way.graph, model, ordinary(x), keep | {way.start.name}, way.rules, way.chosen)


def _images_at_once(way: Plan, x: Tensor, budget: int, kept: int = 0) -> int:
    width = x.element_size()
    up, down = way.bytes_up(width) + width * kept, way.bytes_down(width)
    need = up + down
    images = way.graph.images
    if need * (images or 1) > budget:
        share = (budget / (need * (images or 1))) ** (1 / max(x.ndim - 2, 1))
        fits = "x".join(str(int(length * share)) for length in x.shape[2:])
        raise MemoryBudgetError(
            f"one image of {'x'.join(map(str, x.shape[2:]))} needs about {need / 1e6:.3g} MB, and the "
            f"budget is {budget / 1e6:.3g} MB: give more with memory=, or images of about {fits} or less."
        )
    if images is not None:
        return images
    return max(1, min(len(x), (budget - down) // up))
