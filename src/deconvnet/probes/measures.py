"""The measures of how far a picture can be trusted, in their order."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from deconvnet._types import Unit
from deconvnet.probes.edge_likeness import edges
from deconvnet.probes.measure import Measure
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.unit_or_image import noise, other_images, other_units


@dataclass(frozen=True, eq=False)
class Known:
    """What only the caller can know of a unit.

    Attributes:
        liked: images that the unit likes, such as an atlas's top activations, as the model takes them.
        percentile: of a unit and its activation, 0 to 100; None where it is not known.
    """

    liked: Float[Tensor, "n c *size"] | None = None
    percentile: Callable[[Unit, float], float | None] | None = None


MEASURES: dict[str, Callable[[Pictured, Known], Measure]] = {
    "other units": lambda pictured, _: other_units(pictured),
    "noise": lambda pictured, _: noise(pictured),
    "other images": lambda pictured, _: other_images(pictured),
    "edges": lambda pictured, _: edges(pictured),
}
"""By name; each is `Measure.name` of what it gives."""
