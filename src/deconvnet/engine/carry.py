"""What several forward passes start, carried down and put together as one result."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._errors import DeconvNetWarning, MemoryBudgetError, NotFiniteError
from deconvnet._types import Box, Unit, Value
from deconvnet.capture.trace import computing
from deconvnet.core.up import all_finite
from deconvnet.engine import project
from deconvnet.engine.layers import names_of
from deconvnet.engine.passes import Pass
from deconvnet.engine.plan import Plan
from deconvnet.engine.project import boxes_of, project_seeds
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.windows.steps import Frames, Path

Watch = Callable[[str, Int[Tensor, " m"], Float[Tensor, "m c *window"], Int[Tensor, "m axes"]], None]

SAME_FOR_ALL = (
    "This picture does not depend on the image: nothing between the unit and the picture, such as a "
    "max-pool's switches, remembers anything of it."
)


def carried(
    way: Plan,
    passes: Iterable[Pass],
    budget: int,
    *,
    notes: Sequence[str] = (),
    path: Path = "auto",
    watch: Watch | None = None,
) -> Reconstruction:
    """Carry down what was chosen in each of several forward passes; in the order of their places.

    Args:
        way: the plan.
        passes: what starts in each.
        budget: bytes that may be taken.
        notes: what a reader should know besides.
        path: the way of single units.
        watch: as `DeconvNet.project` takes it.

    Raises:
        NotFiniteError: the signal overflows.
        MemoryBudgetError: the result does not fit the budget.
    """
    places: list[int] = []
    units: list[Unit] = []
    silent: list[Unit] = []
    activations: list[Tensor] = []
    boxes: list[Box] = []
    windows = torch.empty(0)
    told = watch and _by_layer(way, watch)
    with computing():
        for one in passes:
            here = boxes_of(way, one.seeds.units)
            if not boxes:
                windows = _room(way, one, here[0], budget)
            project_seeds(way, one, here, windows, budget - windows.nbytes, path, told)
            places += one.places.tolist()
            units += one.seeds.units
            silent += one.seeds.silent
            activations.append(one.seeds.activations)
            boxes += here
            notes = [*notes, *one.seeds.notes]
        check_finite(windows, ', or start="one"')
        order = np.argsort(places).tolist()
        return Reconstruction(
            units=tuple(units[i] for i in order),
            activations=torch.cat(activations)[order],
            windows=windows,
            boxes=torch.tensor([[boxes[i].low, boxes[i].high] for i in order], dtype=torch.int64),
            input_size=way.size,
            rules=way.rules,
            notes=tuple(dict.fromkeys((*notes, *notes_of(way), *silence(silent, len(units))))),
        )


def check_finite(signal: Tensor, otherwise: str = "") -> None:
    """Whether a signal that was carried down is made of numbers.

    Raises:
        NotFiniteError: it overflowed.
    """
    if not all_finite(signal):
        raise NotFiniteError(
            f"the signal overflows on the way down in {signal.dtype}: use a wider floating-point type{otherwise}."
        )


def _room(way: Plan, one: Pass, box: Box, budget: int) -> Tensor:
    """Memory for the windows of the units of all passes."""
    shape = (one.units, way.stop.shape[1].of(1), *box.size)
    width = one.seeds.values.element_size()
    need = width * math.prod(shape) + way.bytes_down(width)
    if need > budget:
        raise MemoryBudgetError(
            f"{one.units} reconstructions take about {need / 1e6:.3g} MB, and the budget is "
            f"{budget / 1e6:.3g} MB: ask for fewer units at a time, or give more with memory=."
        )
    return one.seeds.values.new_zeros(shape)


def _by_layer(way: Plan, watch: Watch) -> project.Watch:
    """Tells of values by the names of their layers, and of none that has no name."""
    names = names_of(way.graph)

    def told(value: Value, places: np.ndarray, signal: Tensor, frames: Frames) -> None:
        if value.name in names:
            rows = signal[:, None] if signal.ndim == 1 else signal
            watch(names[value.name], torch.from_numpy(places), rows, torch.from_numpy(frames.low))

    return told


def notes_of(way: Plan) -> tuple[str, ...]:
    """What a reader of the pictures should know of the way down."""
    notes: tuple[str, ...] = ()
    if way.image_free:
        notes += (SAME_FOR_ALL,)
    if any(rule.words == "rectify (smooth)" for _, rule in way.down):
        notes += ('Activations that are no rectifiers were treated as rectifiers (smooth="rectify").',)
    if way.rules.smooth == "gradient" and any(rule.words == "derivative" for _, rule in way.down):
        notes += ('Smooth operations were differentiated (smooth="gradient").',)
    return notes


def silence(silent: list[Unit], units: int) -> tuple[str, ...]:
    """What to say of the units that start nothing; warns where that is all of them."""
    if not silent:
        return ()
    words = (
        f"{len(silent)} of {units} units have activation 0, the first is {silent[0]}: a reconstruction "
        "that starts from it is all zero."
    )
    if len(silent) == units:
        warnings.warn(words, DeconvNetWarning, stacklevel=4)
    return (words,)
