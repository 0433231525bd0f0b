"""What is shown of a photo: the likeliest classes, the main layers, and the strongest units."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._devices import in_float64
from deconvnet._types import LayerInfo
from deconvnet.models._names import answer_name
from deconvnet.models.detector_answers import DetectorAnswers
from deconvnet.models.load import LoadedModel
from deconvnet.windows.receptive_field import Fields

_CLASSES = 5
_DIGITS = 12  # of the index of a class
_LAYERS = 16
_MOST_AXES = 2  # of maps
_CONTRIBUTING = 4  # units of a layer that a class rests on


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

    def facts(self, loaded: LoadedModel) -> dict[str, Any]:
        """What a page is told of it, as `ClassView` has it."""
        answers = loaded.labels if isinstance(loaded.labels, DetectorAnswers) else None
        is_array = len(self.position) > len(loaded.preprocess.size)
        return {
            "index": self.index,
            "label": answer_name(loaded.labels, self.index, self.position if is_array else ()),
            "in_full": is_array or answers is not None,
            "target": ",".join(map(str, (self.index, *self.position))) if answers is None else answers.text(self.index),
            "probability": self.probability,
            "position": self.position,
            "share": self.share,
        }


@dataclass(frozen=True, eq=False)
class Ranked:
    """The classes of a photo, the likeliest first.

    Attributes:
        indices, probabilities: of the classes, as in `Likely`.
        positions: index per spatial axis of each; without columns where the output is not a map.
        shares: as in `Likely`; None where the output is not a map.
    """

    indices: Int[np.ndarray, " classes"]
    positions: Int[np.ndarray, "classes axes"]
    probabilities: Float[np.ndarray, " classes"]
    shares: Float[np.ndarray, " classes"] | None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, rank: int) -> Likely:
        """The class of a rank, 0 for the likeliest."""
        share = None if self.shares is None else float(self.shares[rank])
        position = tuple(self.positions[rank].tolist())
        return Likely(int(self.indices[rank]), position, float(self.probabilities[rank]), share)

    @property
    def first(self) -> list[Likely]:
        """Those that are shown unasked."""
        return [self[rank] for rank in range(min(len(self), _CLASSES))]

    @property
    def nbytes(self) -> int:
        """Bytes that they take in memory."""
        return sum(each.nbytes for each in vars(self).values() if each is not None)

    def matching(self, text: str, loaded: LoadedModel) -> list[int]:
        """The ranks of the classes whose names hold all words of a text, or whose index it is.

        The class of that index comes first, then those whose names have these words, words that begin so, and others.
        """
        words = text.casefold().split()
        index = int(text) if text.strip().isdecimal() and len(text) < _DIGITS else None
        likely = ((rank, self[rank]) for rank in range(len(self) if words else 0))
        order = {rank: 0 if of.index == index else _match(of.facts(loaded)["label"], words) for rank, of in likely}
        return sorted((rank for rank, match in order.items() if match is not None), key=lambda rank: order[rank] or 0)


def _match(name: str, words: Sequence[str]) -> int | None:
    """1 for a name that has all words, 2 if its words begin so, 3 if it holds them otherwise; None if it does not."""
    name = name.casefold()
    own = name.replace(",", " ").split()
    if all(word in own for word in words):
        return 1
    if all(any(each.startswith(word) for each in own) for word in words):
        return 2
    return 3 if all(word in name for word in words) else None


def likeliest(probabilities: Float[Tensor, "*classes"], labels: Sequence[str] | None) -> list[Likely]:
    """The classes of a photo that are shown unasked, as `ranked` has them."""
    return ranked(probabilities, labels).first


def ranked(probabilities: Float[Tensor, "*classes"], labels: Sequence[str] | None) -> Ranked:
    """The classes, the likeliest first; of a map, those that win most of its positions; of a detector, each where it is
    strongest.

    Of an output that has other axes than a photo it is the likeliest numbers, and only those that are shown.

    Args:
        probabilities: of one photo.
        labels: names of the classes, where they are known.
    """
    if probabilities.ndim > 1 + _MOST_AXES:
        top = ranked(probabilities.flatten(), None)
        at = np.stack(np.unravel_index(top.indices[:_CLASSES], tuple(probabilities.shape)), 1)
        return Ranked(at[:, 0], at[:, 1:], top.probabilities[:_CLASSES], None)
    if isinstance(labels, DetectorAnswers):
        strongest = labels.strongest_of_classes(probabilities)
        of_classes = ranked(probabilities[strongest], None)
        return replace(of_classes, indices=strongest.cpu().numpy()[of_classes.indices])
    positions = math.prod(probabilities.shape[1:])
    size = tuple(probabilities.shape[1:]) if positions > 1 else ()
    flat = probabilities.reshape(-1, positions).cpu().double()
    wins = (torch.bincount(flat.argmax(0), minlength=len(flat)) / flat.shape[1]).double().numpy()
    best, at_best = (each.numpy() for each in flat.max(1))
    order = np.lexsort((np.arange(len(flat)), -best, -(wins if flat.shape[1] > 1 else best)))
    where = np.stack(np.unravel_index(at_best[order], size), 1) if size else np.zeros((len(order), 0), np.int64)
    return Ranked(order, where, best[order], wins[order] if size else None)


def some_layers(layers: Sequence[str], infos: Mapping[str, LayerInfo]) -> list[str]:
    """Those of the layers that can be shown; of more than sixteen some, evenly along the way."""
    drawn = [name for name in layers if len(infos[name].size) <= _MOST_AXES]
    last = len(drawn) - 1
    return drawn if last < _LAYERS else [drawn[round(i * last / (_LAYERS - 1))] for i in range(_LAYERS)]


def units_of(maps: Float[Tensor, "c *size"], most: int) -> list[tuple[int, tuple[int, ...]]]:
    """Units above zero in the order in which they are shown: strong maps first, and more units of strong ones.

    The k-th unit of the m-th map comes where m * k**1.5 does, up to `most`; the peaks of a map come first.
    """
    flat = maps.flatten(1).cpu().double() if maps.ndim > 1 else maps[:, None].cpu().double()
    size = tuple(maps.shape[1:])
    ranked = torch.sort(flat.amax(1), descending=True, stable=True).indices.tolist()[:most]
    units = []
    for m, channel in enumerate(ranked, start=1):
        values = flat[channel].view(size or (1,)).numpy()
        count = next(k for k in range(1, most + 2) if m * k**1.5 > most) - 1
        for k, position in enumerate(positions_of(values, count), start=1):
            units.append((m * k**1.5, m, channel, position if size else ()))
    return [(channel, position) for _, _, channel, position in sorted(units)]


def contributing(
    maps: Float[Tensor, "c *size"], signal: Float[Tensor, "c *size"]
) -> list[tuple[int, tuple[int, ...], float]]:
    """The units of a layer that a class rests on, one of each map: those of largest activation times signal.

    Returns:
        Channel, position, and share of all contributions above zero, the largest first.
    """
    maps, signal = in_float64(maps), in_float64(signal)
    products = (maps * signal).where((maps > 0) & (signal > 0), 0).cpu()
    flat = products.reshape(len(products), -1)
    best, at = flat.max(1)
    total, units = float(flat.sum()), []
    for channel in torch.sort(best, descending=True, stable=True).indices[:_CONTRIBUTING].tolist():
        if best[channel] > 0:
            position = np.unravel_index(int(at[channel]), maps.shape[1:]) if maps.ndim > 1 else ()
            units.append((channel, tuple(map(int, position)), float(best[channel]) / total))
    return units


def units_seeing(
    maps: Float[Tensor, "c *size"], fields: Fields, pixel: tuple[int, int], most: int
) -> list[tuple[int, tuple[int, ...]]]:
    """The strongest unit of each map among those that see a pixel, above zero, the strongest first.

    Args:
        maps: a layer's activations.
        fields: what a unit of the layer sees.
        pixel: row and column of the network's input.
        most: number of units.
    """
    size = tuple(maps.shape[1:])
    if fields is None or len(fields) != len(size):
        sees = [list(range(length)) for length in size]
    else:
        spans = ([axis.span(y) for y in range(length)] for axis, length in zip(fields, size, strict=True))
        sees = [
            [y for y, (first, last) in enumerate(axis) if first <= at <= last]
            for axis, at in zip(spans, pixel, strict=True)
        ]
    if not all(sees):
        return []
    values = maps.cpu().double()
    for axis, positions in enumerate(sees, 1):
        values = values.index_select(axis, torch.tensor(positions, device="cpu"))
    peaks, at = values.reshape(len(maps), -1).max(1)
    units = []
    for channel in torch.sort(peaks, descending=True, stable=True).indices[:most].tolist():
        if peaks[channel] > 0:
            part = np.unravel_index(int(at[channel]), [len(axis) for axis in sees]) if sees else ()
            units.append((channel, tuple(axis[int(i)] for axis, i in zip(sees, part, strict=True))))
    return units


def strongest_of(maps: Float[Tensor, "c *size"], channels: Iterable[int]) -> list[tuple[int, tuple[int, ...]]]:
    """The strongest unit of some feature maps, without those that are nowhere above zero."""
    units = []
    for channel in channels:
        values = maps[channel].cpu().double()
        if values.max() > 0:
            position = np.unravel_index(int(values.argmax()), tuple(values.shape)) if values.ndim else ()
            units.append((channel, tuple(map(int, position))))
    return units


def with_wanted(
    units: Sequence[tuple[int, tuple[int, ...]]], wanted: Sequence[tuple[int, tuple[int, ...]]]
) -> list[tuple[int, tuple[int, ...]]]:
    """Units in the order in which they are shown, with others in between, one after each, and none twice."""
    pairs = zip_longest(units, wanted)
    return list(dict.fromkeys(unit for pair in pairs for unit in pair if unit is not None))


def positions_of(values: np.ndarray, count: int | None = None) -> list[tuple[int, ...]]:
    """At most `count` positions above zero: peaks from the strongest down, then the others likewise."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(values, 1, constant_values=-np.inf), (3,) * values.ndim)
    peaks = values >= around.max(axis=tuple(range(values.ndim, 2 * values.ndim)))
    order = np.lexsort((np.arange(values.size), -values.ravel(), ~peaks.ravel()))
    order = order[values.ravel()[order] > 0][:count]
    return [tuple(map(int, np.unravel_index(i, values.shape))) for i in order]
