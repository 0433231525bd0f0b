"""Are the bright parts of a picture what its unit needs? They alone are kept, and they alone are covered."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.integrate import trapezoid

from deconvnet.probes.causal_check import shifts
from deconvnet.probes.covered_unit import covered_activations, why_not_covered
from deconvnet.probes.evidence import gaussian_in_centre
from deconvnet.probes.measure import LEAST_DRAWS, Measure, Null
from deconvnet.probes.occluders import Occluders, occluders
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.similarity import strength_of

_ALONE = (10, 20, 40)  # percent of the field
_COVERED = (10, 20, 40, 70, 100)
_HEADLINE = 20
_SHIFTED = "parts of the same shapes elsewhere"

_Parts = Sequence[Bool[np.ndarray, "*field"]]


def sufficiency(pictured: Pictured) -> Measure:
    """The share of its activation that the unit keeps where all is covered but the brightest fifth of its picture.

    The rest of the receptive field is filled with the mean pixel. `details` has the share for a tenth, a fifth and two
    fifths, and the same where the rest is blurred in place of filled. The value stands beside those of parts of the
    same shapes elsewhere: the brightest fifth shifted within the field at random. A fifth in the centre of the field is
    in `details` as well, because many units see little else.
    """
    name, question = "bright parts alone", "How much of the activation is left where only what the picture shows is?"
    strength = strength_of(pictured.own)
    why_not = _why_not(pictured, strength)
    if why_not:
        return Measure(name, question, why_not=why_not)
    brightest = [_brightest(strength, percent) for percent in _ALONE]
    centre = _brightest(gaussian_in_centre(strength.shape), _HEADLINE)
    elsewhere = shifts(pictured, _brightest(strength, _HEADLINE), name, LEAST_DRAWS)
    left = _left(pictured, [~part for part in [*brightest, centre, *elsewhere]])
    shares = dict(zip(_ALONE, left[: len(_ALONE)].tolist(), strict=True))
    blurred = [] if pictured.x.ndim > 4 else _left(pictured, [~part for part in brightest], blurs=True).tolist()
    details = [(f"brightest {percent} %", share) for percent, share in shares.items()]
    details += [
        (f"brightest {percent} %, rest blurred", share) for percent, share in zip(_ALONE, blurred, strict=False)
    ]
    details.append((f"{_HEADLINE} % in the centre", float(left[len(_ALONE)])))
    null = Null(_SHIFTED, tuple(left[len(_ALONE) + 1 :].tolist()))
    value = shares[_HEADLINE]
    said = "The brightest fifth of the picture, alone, keeps {value} of the activation, {more} than parts of the same "
    words = _words(value, null, said + "shapes elsewhere do")
    return Measure(name, question, value, tuple(details), (null,), words)


def necessity(pictured: Pictured) -> Measure:
    """The activation that is left, on average, while more and more of the picture is covered, the brightest first.

    It is the area under the curve of the share of the activation that is left over the share of the receptive field
    that is filled with the mean pixel, at 0, 10, 20, 40, 70 and 100 percent: low where what is bright is what the unit
    needs. `details` has the curve. The value stands beside those of parts of the same shapes elsewhere, the picture
    shifted within the field at random.
    """
    name, question = "bright parts covered", "How fast does the activation go where what the picture shows is covered?"
    strength = strength_of(pictured.own)
    why_not = _why_not(pictured, strength)
    if why_not:
        return Measure(name, question, why_not=why_not)
    orders = [strength, gaussian_in_centre(strength.shape), *shifts(pictured, strength, name, LEAST_DRAWS)]
    left = _left(pictured, [_brightest(order, percent) for order in orders for percent in _COVERED])
    curves = left.reshape(len(orders), len(_COVERED))
    areas = [_area(curve) for curve in curves]
    null = Null(_SHIFTED, tuple(areas[2:]))
    details = tuple((f"{percent} % covered", float(share)) for percent, share in zip(_COVERED, curves[0], strict=True))
    details = (*details, ("area, the centre first", areas[1]))
    said = "While the picture is covered, its brightest parts first, {value} of the activation is left on average, "
    words = _words(areas[0], null, said + "{more} than while parts of the same shapes elsewhere are")
    return Measure(name, question, areas[0], details, (null,), words)


def _why_not(pictured: Pictured, strength: Float[np.ndarray, "*field"]) -> str:
    why_not = why_not_covered(pictured, strength, LEAST_DRAWS)
    if not why_not and pictured.activation < 0:
        return "the activation is below 0, so that no share of it is left."
    return why_not


def _brightest(strength: Float[np.ndarray, "*field"], percent: int) -> Bool[np.ndarray, "*field"]:
    """The brightest pixels, as many as make up that part of the field; among equals the first ones."""
    part = np.zeros(strength.size, dtype=bool)
    part[np.argsort(-strength, axis=None, kind="stable")[: math.ceil(strength.size * percent / 100)]] = True
    return part.reshape(strength.shape)


def _left(pictured: Pictured, covered: _Parts, *, blurs: bool = False) -> Float[np.ndarray, " parts"]:
    """The share of the activation that is left where each part is covered."""
    before, after = covered_activations(pictured, _covering(covered), "blur" if blurs else "mean")
    return after / before


def _covering(parts: _Parts) -> Occluders:
    masks = torch.from_numpy(np.stack(parts))
    return occluders(parts[0].shape, None, None, masks, partial=False)


def _area(curve: Float[np.ndarray, " covered"]) -> float:
    """Under the curve that begins with all of the activation where nothing is covered."""
    shares = np.array((0, *_COVERED)) / 100
    return float(trapezoid([1, *curve], shares))


def _words(value: float, null: Null, said: str) -> str:
    side = null.side(value)
    if not side or null.limits is None:
        return ""
    low, high = null.limits
    words = said.format(value=f"{value:.0%}", more="more" if side > 0 else "less")
    return f"{words} ({low:.0%} to {high:.0%})."
