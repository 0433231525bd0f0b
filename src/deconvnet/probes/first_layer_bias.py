"""Whether a picture shows the first layer's filters rather than the unit: their spatial frequencies side by side."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

from deconvnet._errors import DeconvNetError
from deconvnet._types import Unit
from deconvnet.probes.first_layer import first_filters
from deconvnet.probes.measure import LEAST_DRAWS, Measure, Null
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.random_twin import random_twins
from deconvnet.probes.similarity import spearman
from deconvnet.probes.spectrum import mean_spectrum, mean_spectrum_of_filters

_NAME = "first layer"
_QUESTION = "Are the picture's spatial frequencies those of the first layer's filters, whatever the unit?"
_FEWEST = 16  # frequencies that are compared


def first_layer_bias(pictured: Pictured) -> Measure:
    """Rank correlation of the picture's power spectrum with the mean spectrum of the first layer's filters.

    Beside it stands the same of other units at this place, and of this picture with the filters of random networks.
    """
    try:
        layer, filters = first_filters(pictured.net)
        twins = random_twins(pictured.net, pictured.seed, LEAST_DRAWS, layer=layer)
    except DeconvNetError as reason:
        return Measure(_NAME, _QUESTION, why_not=str(reason))
    sizes = zip(pictured.own.shape[1:], filters.shape[2:], strict=True)
    size = [next_fast_len(max(lengths)) for lengths in sizes]
    own, expected = _of_picture(pictured.own, size), mean_spectrum_of_filters(filters, size)
    value = _alike(own, expected)
    if value is None:
        return Measure(_NAME, _QUESTION, why_not="the picture or the filters have too few frequencies to be compared.")
    unit = pictured.unit
    channels = pictured.other_channels(LEAST_DRAWS, _NAME)
    others = pictured.of_units([Unit(unit.layer, channel, unit.position, unit.image) for channel in channels])
    units = [_alike(_of_picture(picture, size), expected) for picture in others]
    random = [_alike(own, mean_spectrum_of_filters(first_filters(twin)[1], size)) for twin in twins]
    nulls = Null("another unit here", _known(units)), Null("the filters of a random network", _known(random))
    return Measure(_NAME, _QUESTION, value, nulls=nulls, words=_words(value, *nulls))


def _of_picture(picture: Float[np.ndarray, "c *field"], size: Sequence[int]) -> Float[Tensor, "*size"]:
    padded = np.zeros((len(picture), *size))
    padded[(slice(None), *(slice(length) for length in picture.shape[1:]))] = picture
    return mean_spectrum(torch.from_numpy(padded)[None])


def _alike(a: Float[Tensor, "*size"], b: Float[Tensor, "*size"]) -> float | None:
    """Rank correlation of the power at all frequencies but zero; None if there are too few."""
    if a.numel() <= _FEWEST:
        return None
    return spearman(a.flatten()[1:].numpy(), b.flatten()[1:].numpy())


def _known(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)


def _words(value: float, units: Null, random: Null) -> str:
    """What the value says where it lies outside of what random filters would give."""
    if not random.places(value) or random.limits is None:
        return ""
    said = (
        f"The picture's spatial frequencies are {'more' if value > random.limits[1] else 'less'} like those of the "
        f"first layer's filters (rank correlation {value:.2f}) than like those of random filters "
        f"({random.limits[0]:.2f} to {random.limits[1]:.2f})"
    )
    limits = units.limits
    return f"{said}." if limits is None else f"{said}; other units here have {limits[0]:.2f} to {limits[1]:.2f}."
