"""A unit's activation where parts of its receptive field are covered."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from deconvnet.capture.untouched import ordinary
from deconvnet.core.finite import finite_forward
from deconvnet.engine.layers import maps_of
from deconvnet.network import attached
from deconvnet.probes.covered_images import Covered
from deconvnet.probes.occluders import FillName, Occluders, filling
from deconvnet.probes.pictured import Pictured


def covered_activations(
    pictured: Pictured, covering: Occluders, fill: FillName = "mean"
) -> tuple[float, Float[np.ndarray, " p"]]:
    """The unit's activation, or the class's score, in the image as it is and with each part covered.

    Args:
        pictured: the unit.
        covering: parts of its receptive field, as far as that lies in the image.
        fill: what stands in their place, as in `occlude`.
    """
    engine, unit = attached(pictured.net), pictured.unit
    graph = engine.graph(pictured.x)
    maps, size = maps_of(graph, unit.layer), tuple(pictured.x.shape[2:])
    low = [max(0, first) for first in pictured.box.low]
    with engine.computing():
        image = ordinary(pictured.x, graph.input.dtype)
        at: tuple[slice | int, ...] = (slice(None), *(unit.position or ()))
        filled, _ = filling(fill, image, None)
        wanted = {maps.name: torch.tensor([unit.channel], device="cpu")}
        values = finite_forward(graph, engine.model, image, frozenset(wanted), engine.rules, {}).values
        covered = Covered(engine, graph, image, filled, covering.within(low, size), wanted, values)
        before, after = values[maps.name][:, unit.channel], np.empty(len(covering))
        for indices, part in covered.values(engine.budget(pictured.memory)):
            after[indices] = part[maps.name][:, 0][at].cpu().double().numpy()
        return float(before[at]), after


def why_not_covered(pictured: Pictured, strength: Float[np.ndarray, "*field"], least: int) -> str:
    """Why nothing can be learned from covering parts of this picture; "" where something can.

    Args:
        pictured: the unit.
        strength: of its picture.
        least: pixels that the receptive field must have.
    """
    if strength.size < least:
        return f"the unit sees {_by(strength.shape)} pixels, too few to cover parts of them."
    if pictured.activation == 0:
        return "the unit's activation is 0, so that nothing silences it."
    return "" if np.ptp(strength) else "the picture is the same all over."


def _by(size: Sequence[int]) -> str:
    return "x".join(map(str, size)) or "no"
