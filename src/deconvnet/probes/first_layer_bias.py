"""Whether a picture shows the first layer's filters rather than the unit: their spatial frequencies side by side."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

from deconvnet._errors import DeconvNetError
from deconvnet.probes.first_layer import first_filters
from deconvnet.probes.measure import Measure, Null, outside
from deconvnet.probes.neighbours import neighbours, null_of
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.random_twin import random_twins
from deconvnet.probes.similarity import spearman, spearmans
from deconvnet.probes.spectrum import mean_spectrum, mean_spectrum_of_filters

_NAME = "first layer"
_QUESTION = "Are the picture's spatial frequencies those of the first layer's filters, whatever the unit?"
_UNITS, _RANDOM = "other units here", "the filters of random networks"
_FEWEST = 16  # frequencies that are compared


def first_layer_bias(pictured: Pictured) -> Measure:
    """Rank correlation of the picture's power spectrum with the mean spectrum of the first layer's filters.

    Beside it stands the same of other units at this place, and of this picture with the filters of random networks.
    """
    try:
        layer, filters = first_filters(pictured.net)
        twins = random_twins(pictured.net, pictured.seed, pictured.draws, layer=layer)
    except DeconvNetError as reason:
        return Measure(_NAME, _QUESTION, why_not=str(reason))
    size = [next_fast_len(max(lengths)) for lengths in zip(pictured.own.shape[1:], filters.shape[2:], strict=True)]
    own, expected = _of_picture(pictured.own, size), _of_filters(filters, size)
    value = spearman(own, expected) if len(own) >= _FEWEST else None
    if value is None:
        return Measure(_NAME, _QUESTION, why_not="the picture or the filters have too few frequencies to be compared.")
    units = null_of(_UNITS, spearmans(expected, (_of_picture(p, size) for p in neighbours(pictured).units)))
    random = null_of(_RANDOM, spearmans(own, (_of_filters(first_filters(twin)[1], size) for twin in twins)))
    return Measure(_NAME, _QUESTION, value, nulls=(*units, *random), words=_words(value, (*units, *random)))


def _of_picture(picture: Float[np.ndarray, "c *field"], size: Sequence[int]) -> Float[np.ndarray, " frequencies"]:
    """The power of a picture at all frequencies but zero."""
    rooms = [(0, length - own) for length, own in zip(size, picture.shape[1:], strict=True)]
    padded = torch.from_numpy(np.pad(picture, [(0, 0), *rooms]))
    power: np.ndarray = mean_spectrum(padded[None]).flatten()[1:].numpy()
    return power


def _of_filters(filters: Float[Tensor, "maps c *kernel"], size: Sequence[int]) -> Float[np.ndarray, " frequencies"]:
    power: np.ndarray = mean_spectrum_of_filters(filters, size).flatten()[1:].numpy()
    return power


def _words(value: float, nulls: Sequence[Null]) -> str:
    """What the value says where it lies outside of what random filters would give."""
    units = next((null.limits for null in nulls if null.name == _UNITS), None)
    also = "" if units is None else f"; other units here have {units[0]:.2f} to {units[1]:.2f}"
    return " ".join(
        f"The picture's spatial frequencies are {more} like those of the first layer's filters (rank correlation "
        f"{value:.2f}) than like those of random filters ({between}){also}."
        for null, more, between in outside(value, nulls)
        if null.name == _RANDOM
    )
