"""Whether a signal still knows its unit: how alike the signals of a place's units become on their way down."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._devices import in_float64
from deconvnet._types import PIXELS, Unit
from deconvnet.engine.main_layers import main_layers
from deconvnet.network import attached
from deconvnet.probes.measure import Measure, Null, outside
from deconvnet.probes.pictured import Pictured

_NAME = "on the way down"
_QUESTION = "Do the signals of other units at this place become the same on their way down?"
_OTHERS = 24
_SHARE = 4  # of the memory budget a quarter goes to signals that are compared


def convergence(pictured: Pictured) -> Measure:
    """How alike the signals of this unit and of others at its place are when they come to the first rectified maps.

    After Sixt, Granz and Landgraf (2020). A cosine of 1 says that what lies below shows the same for every unit: the
    signal no longer knows where it started. `details` has the median cosine at each layer on the way, the highest
    first. Beside it stands what it would be if another of these units had been asked for.
    """
    channels = pictured.other_channels(_OTHERS, _NAME)
    layers = _layers_down(pictured)
    if len(channels) < 2:
        return Measure(_NAME, _QUESTION, why_not="the layer has fewer than two other maps.")
    if not layers:
        return Measure(_NAME, _QUESTION, why_not="nothing lies between the unit and the pixels.")
    units = [pictured.unit, *(Unit(pictured.unit.layer, c, pictured.unit.position, 0) for c in channels)]
    cosines = signal_cosines(pictured, units, layers)
    last = layers[-1] if layers[-1] != PIXELS or len(layers) == 1 else layers[-2]
    details = tuple((layer, medians(cosines[layer])[0]) for layer in layers)
    value, *draws = medians(cosines[last])
    if np.isnan(value):
        return Measure(_NAME, _QUESTION, why_not=f"no signal of the unit comes to {last!r}, or none of any other.")
    nulls = (Null("another unit in its place", tuple(draw for draw in draws if not np.isnan(draw))),)
    return Measure(_NAME, _QUESTION, value, _defined(details), nulls, _words(value, nulls, last))


def signal_cosines(
    pictured: Pictured, units: Sequence[Unit], layers: Sequence[str]
) -> dict[str, Float[np.ndarray, "m m"]]:
    """The cosine of every two units' signals at each layer that they come to on their way down.

    Args:
        pictured: whose network and image are used.
        units: of its unit's layer and position.
        layers: below these, and "the pixels".

    Returns:
        By layer; NaN where a signal is zero.
    """
    products = _Products(len(units), list(layers), attached(pictured.net).budget(pictured.memory) // _SHARE)
    while not products.done:
        pictured.net.project(
            pictured.x, pictured.unit.layer, units=units, start="one", memory=pictured.memory, watch=products.look
        )
        products.add()
    return {layer: _cosines(products.sums[layer]) for layer in layers}


def medians(cosines: Float[np.ndarray, "m m"]) -> list[float]:
    """Of each unit, the median of its cosines with the others; NaN where none is defined."""
    others = [row[np.arange(len(row)) != i] for i, row in enumerate(cosines)]
    return [float(np.nanmedian(row)) if not np.isnan(row).all() else float("nan") for row in others]


@dataclass(eq=False)
class _Products:
    """The inner products of every two signals, summed over as many maps at a time as the memory holds.

    Attributes:
        units: how many signals there are.
        layers: where they are compared.
        room: bytes that may be held.
        sums: of each layer, so far.
        next: of each layer, the first map that is not summed yet; None of a layer that is done.
        held: of each layer, the maps of all signals that are held.
    """

    units: int
    layers: list[str]
    room: int
    sums: dict[str, Float[np.ndarray, "m m"]] = field(default_factory=dict)
    next: dict[str, int | None] = field(default_factory=dict)
    held: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sums = {layer: np.zeros((self.units, self.units)) for layer in self.layers}
        self.next = dict.fromkeys(self.layers, 0)

    @property
    def done(self) -> bool:
        return all(first is None for first in self.next.values())

    def look(
        self, layer: str, indices: Int[Tensor, " m"], signal: Float[Tensor, "m c *window"], low: Int[Tensor, "m axes"]
    ) -> None:
        """Hold maps of a layer that are not summed yet, if there is room."""
        first = self.next.get(layer)
        if first is None:
            return
        if layer not in self.held:
            of_map = self.units * signal[0, 0].numel() * signal.element_size()
            free = (self.room - sum(each.nbytes for each in self.held.values())) // max(of_map, 1)
            count = min(signal.shape[1] - first, max(free, 0 if self.held else 1))
            if count <= 0:
                return
            self.held[layer] = signal.new_zeros(self.units, count, *signal.shape[2:])
        held = self.held[layer]
        held[indices.to(held.device)] = signal[:, first : first + held.shape[1]]
        if first + held.shape[1] == signal.shape[1]:
            self._last.add(layer)

    _last: set[str] = field(default_factory=set)

    def add(self) -> None:
        """Sum what is held; layers that no signal came to are done as well."""
        for layer, held in self.held.items():
            rows = in_float64(held.flatten(1))
            self.sums[layer] += (rows @ rows.T).cpu().numpy()
            first = self.next[layer]
            self.next[layer] = None if layer in self._last or first is None else first + held.shape[1]
        if not self.held:
            self.next = dict.fromkeys(self.layers)
        self.held.clear()


def _cosines(products: Float[np.ndarray, "m m"]) -> Float[np.ndarray, "m m"]:
    lengths = np.sqrt(np.diag(products))
    scale = np.outer(lengths, lengths)
    cosines: np.ndarray = np.divide(products, scale, out=np.full_like(products, np.nan), where=scale > 0)
    return cosines


def _layers_down(pictured: Pictured) -> list[str]:
    """The main layers between the unit and the pixels, the highest first, and the pixels."""
    engine = attached(pictured.net)
    way = engine.costs(engine.graph(pictured.x), pictured.unit.layer).way
    values = {name: value for name, value in way.graph.layers.items() if value != way.start}
    below = [name for name in main_layers(way) if name in values]
    return [*below[::-1], PIXELS] if way.down else []


def _defined(details: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    return tuple((name, value) for name, value in details if not np.isnan(value))


def _words(value: float, nulls: Sequence[Null], layer: str) -> str:
    return " ".join(
        f"At {layer} the signal of this unit is {more} like those of other units here (cosine {value:.2f}) than theirs "
        f"are like each other's ({between})."
        for _, more, between in outside(value, nulls)
    )
