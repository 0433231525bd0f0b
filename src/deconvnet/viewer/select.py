"""What is shown of a photo: the likeliest classes, rectified layers, and the strongest units."""

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
_MOST_AXES = 2  # of maps


@dataclass(frozen=True)
class Likely:
    """A class that the network finds likely; for networks that output a map, at the position where it is likeliest.

    Attributes:
        index: of the class.
        position: index per spatial axis; empty where the output is not a map.
        probability: 0 to 1.
        share: of the positions of a map where this class is the likeliest; None otherwise.
    """

    index: int
    position: tuple[int, ...]
    probability: float
    share: float | None

    @property
    def target(self) -> int | tuple[int, ...]:
        """As `DeconvNet.explain` takes it."""
        return (self.index, *self.position) if self.position else self.index


def likeliest(probabilities: Float[Tensor, "*classes"]) -> list[Likely]:
    """The likeliest classes; of a map, those that win most of its positions."""
    positions = math.prod(probabilities.shape[1:])
    size = tuple(probabilities.shape[1:]) if positions > 1 else ()
    flat = probabilities.reshape(-1, positions).double().cpu()
    wins = torch.bincount(flat.argmax(0), minlength=len(flat)) / flat.shape[1]
    best = flat.amax(1)
    order = np.lexsort((np.arange(len(flat)), -best.numpy(), -(wins if flat.shape[1] > 1 else best).numpy()))
    classes = []
    for c in order[:_CLASSES].tolist():
        position = np.unravel_index(int(flat[c].argmax()), size) if size else ()
        share = float(wins[c]) if size else None
        classes.append(Likely(c, tuple(map(int, position)), float(best[c]), share))
    return classes


def rectified(steps: Steps, infos: Mapping[str, LayerInfo]) -> list[str]:
    """Rectified layers on the way to a class, in the network's order, at most sixteen of them.

    A concatenation of rectified branches stands for all of them. Of more layers, some are taken evenly along the way.
    """
    undone = {step.layer: step.undone for step in steps if step.rectified and len(infos[step.layer].size) <= _MOST_AXES}
    joined = {name for name in undone if infos[name].kind == "cat"}
    ends = {name for name, above in undone.items() if not above or not joined.issuperset(above)}
    layers = [name for name in infos if name in ends]
    last = len(layers) - 1
    if last < _LAYERS:
        return layers
    return [layers[round(i * last / (_LAYERS - 1))] for i in range(_LAYERS)]


def units_of(maps: Float[Tensor, "c *size"], most: int) -> list[tuple[int, tuple[int, ...]]]:
    """Units above zero in the order in which they are shown: strong maps first, and more units of strong ones.

    The k-th unit of the m-th map comes where m * k**1.5 does, up to `most`; the peaks of a map come first.
    """
    flat = maps.flatten(1).double().cpu() if maps.ndim > 1 else maps[:, None].double().cpu()
    size = tuple(maps.shape[1:])
    ranked = torch.sort(flat.amax(1), descending=True, stable=True).indices.tolist()[:most]
    units = []
    for m, channel in enumerate(ranked, start=1):
        values = flat[channel].view(size or (1,)).numpy()
        count = next(k for k in range(1, most + 2) if m * k**1.5 > most) - 1
        for k, position in enumerate(positions_of(values, count), start=1):
            units.append((m * k**1.5, m, channel, position if size else ()))
    return [(channel, position) for _, _, channel, position in sorted(units)]


def positions_of(values: np.ndarray, count: int | None = None) -> list[tuple[int, ...]]:
    """At most `count` positions above zero: peaks from the strongest down, then the others likewise."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(values, 1, constant_values=-np.inf), (3,) * values.ndim)
    peaks = values >= around.max(axis=tuple(range(values.ndim, 2 * values.ndim)))
    order = np.lexsort((np.arange(values.size), -values.ravel(), ~peaks.ravel()))
    order = order[values.ravel()[order] > 0][:count]
    return [tuple(map(int, np.unravel_index(i, values.shape))) for i in order]
