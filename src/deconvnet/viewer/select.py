"""What of a photo is shown: the likeliest classes, rectified layers, and the strongest units."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._types import LayerInfo
from deconvnet.results.steps import Steps

_CLASSES = 5
_LAYERS = 16
_AXES = 2  # that maps may have at most


@dataclass(frozen=True)
class Likely:
    """A class that the network finds likely; for networks that answer with a map, at the place where it is so most.

    Attributes:
        number: of the class.
        place: index per spatial axis; empty where the answer is no map.
        probability: 0 to 1.
        share: of the places of a map where this class is the likeliest; None otherwise.
    """

    number: int
    place: tuple[int, ...]
    probability: float
    share: float | None

    @property
    def target(self) -> int | tuple[int, ...]:
        """As `DeconvNet.explain` takes it."""
        return (self.number, *self.place) if self.place else self.number


def likeliest(chances: Float[Tensor, "*classes"]) -> list[Likely]:
    """The likeliest classes; of a map, those that win most of its places."""
    flat = chances.reshape(-1 if chances.ndim < 2 else len(chances), math.prod(chances.shape[1:])).double().cpu()
    wins = torch.bincount(flat.argmax(0), minlength=len(flat)) / flat.shape[1]
    best = flat.amax(1)
    order = np.lexsort((np.arange(len(flat)), -best.numpy(), -(wins if flat.shape[1] > 1 else best).numpy()))
    found = []
    for c in order[:_CLASSES].tolist():
        place = np.unravel_index(int(flat[c].argmax()), tuple(chances.shape[1:])) if chances.ndim > 1 else ()
        share = float(wins[c]) if chances.ndim > 1 else None
        found.append(Likely(c, tuple(map(int, place)), float(best[c]), share))
    return found


def rectified(steps: Steps, infos: Mapping[str, LayerInfo]) -> list[str]:
    """Rectified layers on the way of a class, in the network's order, at most sixteen of them.

    A concatenation of rectified branches stands for all of them; of more layers, some evenly along the way.
    """
    undone = {step.layer: step.undone for step in steps if step.rectified and len(infos[step.layer].size) <= _AXES}
    joined = {name for name in undone if infos[name].kind == "cat"}
    chosen = {name for name, above in undone.items() if not above or not joined.issuperset(above)}
    found = [name for name in infos if name in chosen]
    last = len(found) - 1
    if last < _LAYERS:
        return found
    return [found[round(i * last / (_LAYERS - 1))] for i in range(_LAYERS)]


def units_of(maps: Float[Tensor, "c *size"], most: int) -> list[tuple[int, tuple[int, ...]]]:
    """Units above zero in the order in which they are shown: strong maps before weak, and of strong ones more units.

    The k-th unit of the m-th map comes where m * k**1.5 does, as far as `most`; of a map first come its peaks.
    """
    flat = maps.flatten(1).double().cpu() if maps.ndim > 1 else maps[:, None].double().cpu()
    size = tuple(maps.shape[1:])
    ranked = torch.sort(flat.amax(1), descending=True, stable=True).indices.tolist()[:most]
    found = []
    for m, channel in enumerate(ranked, start=1):
        values = flat[channel].view(size or (1,)).numpy()
        count = next(k for k in range(1, most + 2) if m * k**1.5 > most) - 1
        for k, place in enumerate(places_of(values, count), start=1):
            found.append((m * k**1.5, m, channel, place if size else ()))
    return [(channel, place) for _, _, channel, place in sorted(found)]


def places_of(values: np.ndarray, count: int | None = None) -> list[tuple[int, ...]]:
    """Places above zero, the first so many: first those that no neighbour exceeds, the strongest first, then others."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(values, 1, constant_values=-np.inf), (3,) * values.ndim)
    peaks = values >= around.max(axis=tuple(range(values.ndim, 2 * values.ndim)))
    order = np.lexsort((np.arange(values.size), -values.ravel(), ~peaks.ravel()))
    order = order[values.ravel()[order] > 0][:count]
    return [tuple(map(int, np.unravel_index(i, values.shape))) for i in order]
