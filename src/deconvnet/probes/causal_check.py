"""Does covering the bright parts of a picture silence its unit? The causal check of Zeiler and Fergus, for one unit."""

import numpy as np
import torch
from jaxtyping import Shaped

from deconvnet.probes.covered_unit import covered_activations, why_not_covered
from deconvnet.probes.evidence import Evidence, evidence
from deconvnet.probes.measure import LEAST_DRAWS, Measure, Null
from deconvnet.probes.occluders import Occluders, occluders
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.similarity import strength_of

_NAME = "occlusion"
_QUESTION = "Does covering what the picture shows reduce the unit more than covering edges, or the centre, does?"
_SIDES = 5  # squares along a side of the receptive field
_STEPS = {1: 10, 2: 4, 3: 2}  # by axes of the input: by what part of its side what covers the field moves
_SHIFTS = 100


def occlusion_margin(pictured: Pictured) -> Measure:
    """By how much the picture tells better than edges, or the centre, where covering its image hurts the unit.

    A square of a fifth of the receptive field is slid over it, a quarter of its side at a time, filled with the mean
    pixel. The drop of the unit's activation is compared, by rank correlation over the positions, with how much of the
    picture's magnitude is covered, how much of the image's edges (Sobel), and how much of a Gaussian in the centre of
    the field. The value is the first of them less the larger of the other two, as `Evidence.margin`. It stands beside
    those of the same picture shifted within the field at random, which keeps its shapes; `details` has the share p of
    shifted pictures that do as well.
    """
    strength = strength_of(pictured.own)
    why_not = why_not_covered(pictured, strength, LEAST_DRAWS)
    if why_not:
        return Measure(_NAME, _QUESTION, why_not=why_not)
    covering = squares(strength.shape)
    if len(covering) < LEAST_DRAWS:
        return Measure(_NAME, _QUESTION, why_not=f"a square fits into {len(covering)} positions only.")
    before, after = covered_activations(pictured, covering)
    pictures = np.stack([strength, *shifts(pictured, strength, _NAME, _SHIFTS)])
    drops = np.repeat((before - after)[:, None], len(pictures), 1)
    of_picture, *shifted = evidence(drops, pictures, pictured.image, covering)
    if of_picture.picture is None or of_picture.margin is None:
        return Measure(_NAME, _QUESTION, why_not="the unit's activation is the same whichever part is covered.")
    draws = tuple(each.margin for each in shifted if each.margin is not None)
    null = Null("the picture shifted within the field", draws)
    p = (1 + sum(draw >= of_picture.margin for draw in draws)) / (1 + len(draws))
    named = (("picture", of_picture.picture), ("edges", of_picture.edges), ("centre", of_picture.centre), ("p", p))
    details = tuple((name, value) for name, value in named if value is not None)
    return Measure(_NAME, _QUESTION, of_picture.margin, details, (null,), _words(of_picture, null))


def squares(field: tuple[int, ...]) -> Occluders:
    """What covers a receptive field of some pixels per axis."""
    side = [max(1, round(length / _SIDES)) for length in field]
    return occluders(field, side, [max(1, round(length / _STEPS[len(field)])) for length in side], None, partial=False)


def shifts(
    pictured: Pictured, values: Shaped[np.ndarray, "*field"], name: str, count: int
) -> list[Shaped[np.ndarray, "*field"]]:
    """Values of the field shifted by random distances, what leaves it on one side coming back on the other.

    Args:
        pictured: whose random numbers are used.
        values: of the field's pixels.
        name: of what they are drawn for.
        count: how many.
    """
    generator, axes = pictured.generator(name), tuple(range(values.ndim))
    distances = [torch.randint(length, (count,), generator=generator, device="cpu").tolist() for length in values.shape]
    return [np.roll(values, distance, axes) for distance in zip(*distances, strict=True)]


def _words(of_picture: Evidence, null: Null) -> str:
    margin = of_picture.margin or 0.0
    side = null.side(margin)
    if not side or null.limits is None:
        return ""
    low, high = null.limits
    between = f"margin {margin:.2f}; the same picture shifted, {low:.2f} to {high:.2f}"
    if side > 0 and margin > 0:
        return f"Covering what the picture shows reduces this unit more than covering edges or the centre ({between})."
    if side > 0:
        return f"The picture tells where this unit is hurt, but edges or the centre tell it as well ({between})."
    return f"Covering what the picture shows reduces this unit less than covering other parts ({between})."
