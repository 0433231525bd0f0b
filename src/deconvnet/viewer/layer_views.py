"""The views of layers: units in rounds of all layers, until the page is full, and as many of each layer as fit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from deconvnet._types import Box, Unit
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.viewer.images import map_image, signal_picture, webp
from deconvnet.viewer.look import Look
from deconvnet.viewer.pages import CellView, LayerView, MapView, length
from deconvnet.viewer.passing import Passing
from deconvnet.viewer.ways import WayView, layer_names

MAP_BYTES = 80  # of a map besides its image
_UNITS_AT_ONCE = 32

Units = Sequence[tuple[int, tuple[int, ...]]]
"""Channel and position of each."""


class LayerUnits:
    """A layer's units, as many as were projected so far.

    Args:
        look: the photo.
        name: the layer.
        units: those that can be shown, in the order in which they are.
        way: the way down from the layer.
    """

    def __init__(self, look: Look, name: str, units: Units, way: WayView) -> None:
        maps, info = look.maps[name], look.infos[name]
        alive = int((maps.flatten(1).amax(1) if maps.ndim > 1 else maps).gt(0).sum())
        self._look, self._name, self.units, self._way = look, name, units, way
        self._view = LayerView(
            name, info.size, info.channels, alive, info.receptive_field, way.down, way.how, (), (), len(units)
        )
        self._cells: list[CellView] = []
        self._images: dict[int, str] = {}
        self._costs = [length([self._view])]  # bytes of the layer with its first so many units

    def project(self, count: int) -> None:
        """Project the next units, at most `count`."""
        done = len(self._cells)
        batch = [Unit(self._name, channel, position, 0) for channel, position in self.units[done : done + count]]
        if not batch:
            return
        look, names = self._look, layer_names(self._look, self._way.down)
        passing = Passing(look.passed, look.unpooled)
        result = look.net.project(look.x, self._name, units=batch, start="one", watch=passing.watch)
        if not done:
            self._view = replace(self._view, notes=result.notes)
            self._costs = [length([self._view])]
        for i, unit in enumerate(batch):
            cell, channel = cell_view(result, i, passing, names), unit.channel or 0
            new = channel not in self._images
            if new:
                self._images[channel] = map_image(look.maps[self._name][channel])
            self._cells.append(cell)
            self._costs.append(self._costs[-1] + length([cell]) + new * (len(self._images[channel]) + MAP_BYTES))

    @property
    def finished(self) -> bool:
        """Whether all units are projected."""
        return len(self._cells) == len(self.units)

    def cost(self, count: int) -> int:
        """Bytes of the layer with its first `count` units, or all that are projected."""
        return self._costs[min(count, len(self._cells))]

    def view(self, count: int) -> LayerView:
        """The layer with its first `count` units, strong maps first."""
        cells: dict[int, list[CellView]] = {}
        for (channel, _), cell in zip(self.units[:count], self._cells, strict=False):
            cells.setdefault(channel, []).append(cell)
        for units in cells.values():  # the strongest stands for its map; the others are in order of peaks
            units.insert(0, units.pop(max(range(len(units)), key=lambda i: units[i].activation)))
        order = sorted(cells, key=lambda channel: -cells[channel][0].activation)
        maps = tuple(MapView(channel, self._images[channel], tuple(cells[channel])) for channel in order)
        return replace(self._view, maps=maps, left_out=max(0, len(self.units) - count))


def as_many_as_fit(layers: Sequence[LayerUnits], room: int, report_progress: Callable[[float], None]) -> int | None:
    """Project units in rounds, some of each layer at a time, until they fill the room.

    Args:
        layers: all of them.
        room: bytes for all together.
        report_progress: called with the share that is done.

    Returns:
        How many units of each layer fit, the same for all; None if not even one of each does.
    """
    most = max(len(layer.units) for layer in layers)
    for done in range(0, most, _UNITS_AT_ONCE):
        for i, layer in enumerate(layers):
            layer.project(_UNITS_AT_ONCE)
            report_progress(min(1.0, (done + _UNITS_AT_ONCE * (i + 1) / len(layers)) / most))
        if sum(layer.cost(most) for layer in layers) > room:
            break
    if sum(layer.cost(most) for layer in layers) <= room:
        return most
    fitting = [n for n in range(1, most + 1) if sum(layer.cost(n) for layer in layers) <= room]
    return max(fitting, default=None)


def extra_bytes(layers: Mapping[str, LayerUnits], count: int) -> int:
    """About how many bytes the units would take that are left out."""
    return sum(
        round(layer.cost(count) / max(1, min(count, len(layer.units))) * max(0, len(layer.units) - count))
        for layer in layers.values()
    )


def cell_view(result: Reconstruction, i: int, passing: Passing, names: Sequence[str]) -> CellView:
    """A unit of a result, with what `passing` noted of it on the layers of these names."""
    box, activation = result.box(i), float(f"{float(result.activations[i]):.6g}")
    return CellView(
        position=result.units[i].position or (),
        activation=activation,
        box=corners(box),
        picture=webp(signal_picture(result, i, box)),
        steps=webp(passing.strip(i, names), quality=92),
        switches=passing.switches(i, names),
    )


def corners(box: Box) -> tuple[int, int, int, int]:
    """Top, left, bottom and right."""
    (top, left), (bottom, right) = box.low, box.high
    return top, left, bottom, right


def outline_of(result: Reconstruction, i: int) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right of the pixels that a class starts from; None where these are not known."""
    if result.masks is None or not bool(result.masks[i].any()):
        return None
    rows, columns = (result.masks[i].any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
