"""The measures of how far a picture can be trusted, in their order."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from deconvnet._types import Unit
from deconvnet.probes.bright_parts import necessity, sufficiency
from deconvnet.probes.causal_check import occlusion_margin
from deconvnet.probes.distinctness import distinction
from deconvnet.probes.edge_likeness import edges
from deconvnet.probes.first_layer_bias import first_layer_bias
from deconvnet.probes.like_photos import photo_likeness
from deconvnet.probes.measure import Measure
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.random_networks import against_random_networks
from deconvnet.probes.rule_choices import masks_and_switches, other_readings
from deconvnet.probes.signal_cosines import convergence
from deconvnet.probes.signal_quality import signal_quality
from deconvnet.probes.unit_or_image import noise, other_images, other_units
from deconvnet.probes.unit_scale import strength, switches
from deconvnet.probes.weight_randomisation import one_layer_random, random_from_above


@dataclass(frozen=True, eq=False)
class FromCaller:
    """What only the caller can know of a unit.

    Attributes:
        liked: images that the unit likes, such as an atlas's top activations, as the model takes them.
        percentile: of a unit and its activation, 0 to 100; None where it is not given.
    """

    liked: Float[Tensor, "n c *size"] | None = None
    percentile: Callable[[Unit, float], float | None] | None = None


MEASURES: dict[str, Callable[[Pictured, FromCaller], Measure]] = {
    "other units": lambda pictured, _: other_units(pictured),
    "noise": lambda pictured, _: noise(pictured),
    "other images": lambda pictured, _: other_images(pictured),
    "masks and switches": lambda pictured, _: masks_and_switches(pictured),
    "edges": lambda pictured, _: edges(pictured),
    "first layer": lambda pictured, _: first_layer_bias(pictured),
    "occlusion": lambda pictured, _: occlusion_margin(pictured),
    "bright parts alone": lambda pictured, _: sufficiency(pictured),
    "bright parts covered": lambda pictured, _: necessity(pictured),
    "random from above": lambda pictured, _: random_from_above(pictured),
    "one layer random": lambda pictured, _: one_layer_random(pictured),
    "random networks": lambda pictured, _: against_random_networks(pictured),
    "signal": lambda pictured, _: signal_quality(pictured),
    "strength": lambda pictured, given: strength(pictured, given.percentile),
    "switches": lambda pictured, _: switches(pictured),
    "other readings": lambda pictured, _: other_readings(pictured),
    "on the way down": lambda pictured, _: convergence(pictured),
    "like photos": lambda pictured, given: photo_likeness(pictured, given.liked),
    "distinctness": lambda pictured, _: distinction(pictured),
}
"""By name; each is `Measure.name` of what it gives."""
