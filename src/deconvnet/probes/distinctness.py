"""Is there a clear distinction? How much of a picture lies in few places, and how clear the network's answer is."""

import math

import numpy as np
from jaxtyping import Float

from deconvnet._errors import DeconvNetError
from deconvnet._types import Unit
from deconvnet.engine.layers import class_scores
from deconvnet.network import attached
from deconvnet.probes.measure import Measure, Null
from deconvnet.probes.pictured import Pictured

_NAME = "distinctness"
_QUESTION = "Is the picture gathered in few places, or alike all over?"
_OTHERS = 24
_TENTH = 10

SHARE, PICTURE, MAP, MARGIN = "strongest tenth", "entropy of the picture", "entropy of the map", "margin of the class"


def distinction(pictured: Pictured) -> Measure:
    """The share of the picture's energy that lies in the strongest tenth of its pixels, 0.1 to 1.

    It stands beside that of other units' pictures at this place. `details` has what else tells whether there is a
    clear distinction: the entropy of the picture's energy over its pixels and of the feature map over its positions,
    0 where all lies in one of them and 1 where it is the same everywhere; and the margin of the class, the probability
    of the class (of a unit, of the network's answer) less that of the most probable other class.
    """
    energy = energy_of(pictured.own)
    if not energy.any():
        return Measure(_NAME, _QUESTION, why_not="the picture is zero.")
    if energy.size < _TENTH:
        return Measure(
            _NAME, _QUESTION, why_not=f"the picture has {energy.size} pixels, too few to take a tenth of them."
        )
    unit = pictured.unit
    others = [Unit(unit.layer, c, unit.position, 0) for c in pictured.other_channels(_OTHERS, _NAME)]
    pictures = map(energy_of, pictured.of_units(others)) if others else ()
    null = Null("other units at this place", tuple(strongest_tenth(each) for each in pictures if each.any()))
    value = strongest_tenth(energy)
    named = ((SHARE, value), (PICTURE, entropy(energy)), (MAP, _entropy_of_map(pictured)), (MARGIN, margin(pictured)))
    details = tuple((name, each) for name, each in named if each is not None)
    return Measure(_NAME, _QUESTION, value, details, (null,), _words(value, null))


def energy_of(picture: Float[np.ndarray, "c *field"]) -> Float[np.ndarray, "*field"]:
    """The squares of a picture, summed over its channels."""
    total: np.ndarray = np.square(picture).sum(0)
    return total


def strongest_tenth(values: Float[np.ndarray, "*size"]) -> float:
    """The share of what a tenth of the values, the largest, make up of all; none is negative, and not all are zero."""
    count = math.ceil(values.size / _TENTH)
    return float(np.sort(values, axis=None)[-count:].sum() / values.sum())


def entropy(values: Float[np.ndarray, "*size"]) -> float | None:
    """The entropy of values as shares of their sum, as part of the most that so many can have.

    None of a single value, and where none is above 0; what is below 0 counts as 0.
    """
    positive = values[values > 0]
    if values.size < 2 or not positive.size:
        return None
    shares = positive / positive.sum()
    return float(-(shares * np.log(shares)).sum() / math.log(values.size))


def margin(pictured: Pictured) -> float | None:
    """The probability of the class less that of the most probable other; None where the classes are not one score each.

    Of a unit it is that of the network's answer.
    """
    engine = attached(pictured.net)
    try:
        scores = class_scores(engine.graph(pictured.x), engine.output, engine.operations.rows)
        probabilities = pictured.net.probabilities(pictured.x)[0].cpu().double().numpy()
    except DeconvNetError:
        return None
    if probabilities.ndim != 1 or len(probabilities) < 2:
        return None
    of_class = engine.graph(pictured.x).layers.get(pictured.unit.layer) == scores.value
    chosen = (pictured.unit.channel or 0) if of_class else int(probabilities.argmax())
    return float(probabilities[chosen] - np.delete(probabilities, chosen).max())


def _entropy_of_map(pictured: Pictured) -> float | None:
    maps = pictured.net.activations(pictured.x, pictured.unit.layer)[pictured.unit.layer]
    return entropy(maps[0, pictured.unit.channel].cpu().double().numpy())


def _words(value: float, null: Null) -> str:
    side = null.side(value)
    if not side or null.limits is None:
        return ""
    low, high = null.limits
    return (
        f"The picture is spread over {'fewer' if side > 0 else 'more'} places than those of other units here: "
        f"{value:.0%} of its energy lies in a tenth of its pixels, and {low:.0%} to {high:.0%} of theirs."
    )
