"""Effective receptive fields: where in its theoretical field the picture of a unit has its energy, over many units."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod, sqrt
from typing import Any, Unpack

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from deconvnet._checks import index_of, instance, keywords, whole_number
from deconvnet._devices import in_float64
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet._types import Unit
from deconvnet.core.rules import RuleSet
from deconvnet.engine.activations import layer_names
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import Layer
from deconvnet.engine.project import project_units
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.pick import MOST_SEED
from deconvnet.pictures.plot import Plot, PlotOptions
from deconvnet.probes import panels
from deconvnet.probes.panels import FieldPanel
from deconvnet.probes.spectrum import along
from deconvnet.results.saved import Savable
from deconvnet.windows.receptive_field import Field

LUO = 1 - 0.9545  # of the strength at the middle: what Luo et al. (2016) count as inside
_AT_ONCE = 2**28  # bytes of pictures
_PANEL = 2.3  # inches


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """The effective receptive field of one layer.

    Attributes:
        layer: its name.
        energy: mean share of a unit's energy (square of the signal, over all input channels) at each pixel of its
            theoretical field; all together are 1.
        units: number of units that count.
        silent: number of units of which nothing came down; they do not count.
        cut: the theoretical field is larger than the input, so that only what lies inside the input can hold energy.
    """

    layer: str
    energy: Float[Tensor, "*size"]
    units: int
    silent: int
    cut: bool

    @property
    def theoretical(self) -> tuple[int, ...]:
        """Length of the theoretical field along each axis, in input pixels."""
        return tuple(self.energy.shape)

    @property
    def width(self) -> float:
        """Width in pixels after Luo et al. (2016): the root of the number of pixels inside.

        A pixel is inside if the strength there, the root of the mean energy, is above 4.55 % of the largest. In d
        dimensions it is the d-th root.
        """
        strength = self.energy.double().sqrt()
        return float(int((strength > LUO * strength.max()).sum()) ** (1 / max(strength.ndim, 1)))

    @property
    def share(self) -> float:
        """`width` over that of the theoretical field (the d-th root of its pixels); 0 to 1."""
        return self.width / float(prod(self.theoretical) ** (1 / max(self.energy.ndim, 1)))

    @property
    def deviations(self) -> tuple[float, ...]:
        """Standard deviation of the energy's position along each axis, in pixels."""
        energy, spread = self.energy.double(), list[float]()
        for axis, length in enumerate(energy.shape):
            line = along(energy, axis)
            at = torch.arange(length, dtype=torch.float64, device=line.device)
            mean = (line * at).sum() / line.sum()
            spread.append(float(((line * (at - mean).square()).sum() / line.sum()).sqrt()))
        return tuple(spread)

    @property
    def deviation(self) -> float:
        """The mean of `deviations` over the axes."""
        return sum(self.deviations) / max(len(self.deviations), 1)

    @property
    def even_deviation(self) -> float:
        """What `deviation` would be if all pixels of the theoretical field held the same energy."""
        lengths = self.theoretical
        return sum(sqrt((length**2 - 1) / 12) for length in lengths) / max(len(lengths), 1)

    def __repr__(self) -> str:
        of = _times(self.theoretical)
        return f"<EffectiveField of {self.layer!r}: {self.width:.3g} pixels wide of {of}, {self.units} units>"


@dataclass(frozen=True, eq=False)
class EffectiveFields(Savable):
    """The effective receptive fields of layers.

    `len(fields)` is the number of layers; `fields[i]` and the items of a loop are of type `EffectiveField`.

    Attributes:
        fields: of each layer.
        rules: the rule set of the way down.
        images: number of images whose units were drawn.
        made_with: versions of deconvnet and torch.
    """

    fields: tuple[EffectiveField, ...]
    rules: RuleSet
    images: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know, in words."""
        notes = [
            f"The theoretical field of {field.layer!r} is larger than the input, and what lies outside is cut off."
            for field in self.fields if field.cut
        ]  # fmt: skip
        notes += [f"Of {field.silent} units of {field.layer!r} nothing came down; they do not count."
                  for field in self.fields if field.silent]  # fmt: skip
        return tuple(notes)

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, index: int) -> EffectiveField:
        return self.fields[index_of(index, len(self), "layers")]

    def __iter__(self) -> Iterator[EffectiveField]:
        return iter(self.fields)

    def __repr__(self) -> str:
        return f"<EffectiveFields: {', '.join(f'{f.layer} {f.width:.3g}' for f in self.fields)} pixels wide>"

    def to_frame(self) -> Any:
        """A row for each layer: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: layer, units, theoretical (lengths with "x"), and width, share and deviation as in `EffectiveField`.
        """
        return frame({
            "layer": [field.layer for field in self], "units": [field.units for field in self],
            "theoretical": [_times(field.theoretical) for field in self],
            "width": [field.width for field in self], "share": [field.share for field in self],
            "deviation": [field.deviation for field in self],
        })  # fmt: skip

    def figure(self, **options: Unpack[PlotOptions]) -> Plot:
        """Each layer's field: the strength at each pixel, the theoretical field, and the width as a square.

        Strength is the root of the mean energy, relative to the largest. With one spatial axis it is a curve; of three
        axes the first is summed over.

        Args:
            dpi, title: as in `Plot`.

        Raises:
            ArgumentError: not a single layer, or more than three spatial axes.
        """
        keywords("EffectiveFields.figure", options, PlotOptions.__annotations__)
        if not len(self):
            raise ArgumentError("the result is without layers, so nothing can be drawn.")
        for field in self:
            panels.check_axes(field.energy.ndim)
        columns = min(len(self), panels.MOST_FIELDS)
        size = max(_PANEL * columns, 4.4), (_PANEL + 0.4) * -(-len(self) // columns) + 0.3
        title = f"effective receptive fields ({self.rules.name})\n{panels.FIELD_WORDS}"
        chosen: PlotOptions = {"title": title, **options}
        return Plot(partial(panels.draw_fields, field_panels(self), columns), *size, **chosen)

    _options = PlotOptions.__annotations__

    def _drawn(self, *, pixels: bool, **options: Unpack[PlotOptions]) -> Plot:
        return self.figure(**options)


def field_panels(fields: EffectiveFields) -> list[FieldPanel]:
    """Each layer's field as it is drawn."""
    return [FieldPanel(f"{f.layer}: {f.width:.3g} of {_times(f.theoretical)}", f.energy, f.width) for f in fields]


def _times(lengths: Sequence[int]) -> str:
    return "x".join(map(str, lengths))


def effective_fields(
    net: DeconvNet,
    x: Float[Tensor, "n c *spatial"],
    layers: Sequence[Layer] | Layer,
    *,
    units: int = 64,
    seed: int = 0,
) -> EffectiveFields:
    """The effective receptive field of layers: where the pictures of their units have their energy, on average.

    Units are drawn at random among those that are active and whose theoretical field lies inside the input; where none
    does, among those in the middle of the map. Each is carried down alone, and its picture's energy is divided by its
    sum, so that all count alike. With `net.with_rules("gradient")` the strength is
    that of the gradient, as Luo et al. (2016) have it.

    Args:
        net: the network.
        x: images, as the model takes them.
        layers: names or modules.
        units: of each layer, at most.
        seed: of the draw.

    Raises:
        LayerNotFoundError, UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `DeconvNet.project`.
        ArgumentError: no images or layers; or nothing came down from any unit of a layer.

    Example:
        >>> from torch import nn, ones
        >>> model = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False), nn.ReLU(), nn.Conv2d(1, 1, 3, bias=False), nn.ReLU())
        >>> for weight in model.parameters():
        ...     _ = nn.init.ones_(weight)
        >>> effective_fields(DeconvNet(model, ones(1, 1, 9, 9)), ones(1, 1, 9, 9), ["1", "3"], units=4)
        <EffectiveFields: 1 3, 3 5 pixels wide>
    """
    engine, count = attached(net), whole_number("units", units)
    generator = Generator().manual_seed(whole_number("seed", seed, -MOST_SEED, MOST_SEED) % 2**63)
    names = layer_names(engine, layers)
    if not names:
        raise ArgumentError("layers is empty. Name one at least.")
    if not instance("x", x, Tensor).ndim or not len(x):
        raise ArgumentError(f"x is one image or more; got a tensor of shape {tuple(x.shape)}.")
    names = list(dict.fromkeys(names))
    values = net.activations(x, names)
    drawn = {name: _Drawn.of(engine, x, name, values.pop(name), count, generator) for name in names}
    listed = [unit for name in names for unit in drawn[name].units]
    for _, part in project_units(engine, x, listed, most=_AT_ONCE):
        drawn[part.units[0].layer].add(part.windows)
    return EffectiveFields(tuple(drawn[name].field() for name in names), net.rules, len(x))


class _Drawn:
    """Units of one layer that were drawn, and the energy of their pictures added up."""

    def __init__(self, layer: str, units: list[Unit], *, cut: bool) -> None:
        self.units = units
        self._layer, self._cut = layer, cut
        self._total, self._count = torch.zeros(0, device="cpu"), 0

    @staticmethod
    def of(
        engine: Attachment, x: Tensor, layer: str, values: Float[Tensor, "n c *size"], count: int, generator: Generator
    ) -> "_Drawn":
        """Units of a layer that has these activations."""
        with engine.computing():
            costs = engine.costs(engine.graph(x), layer)
        positions, cut = _positions(costs.field, tuple(values.shape[2:]), costs.size)
        return _Drawn(layer, _units(values, layer, positions, count, generator), cut=cut)

    def add(self, windows: Float[Tensor, "m c *window"]) -> None:
        """Add pictures."""
        for window in windows:  # one after the other, because those of deep layers are large
            energy = in_float64(window).square().sum(0)
            total = energy.sum()
            if bool(total > 0):
                share = (energy / total).cpu()
                self._total = self._total + share if self._count else share
                self._count += 1

    def field(self) -> EffectiveField:
        """The mean.

        Raises:
            ArgumentError: there is nothing.
        """
        if not self._count:
            raise ArgumentError(
                f"nothing comes down to the pixels from any of {len(self.units)} units of {self._layer!r}. Give other "
                "images, or leave the layer out."
            )
        silent = len(self.units) - self._count
        return EffectiveField(self._layer, self._total / self._count, self._count, silent, self._cut)


def _positions(
    field: tuple[Field, ...] | None, maps: tuple[int, ...], size: tuple[int, ...]
) -> tuple[list[list[int]], bool]:
    """Along each axis, the positions whose fields lie inside the input, and are placed alike; or the one in the middle.

    Returns:
        The positions, and whether their fields are larger than the input.
    """
    middle = [length // 2 for length in maps]
    if field is None or len(field) != len(maps):
        return [[y] for y in middle], False
    chosen, cut = list[list[int]](), False
    for axis, length, pixels, y in zip(field, maps, size, middle, strict=True):
        inside = [
            at for at in range(y % len(axis.spans), length, len(axis.spans))
            if axis.span(at)[0] >= 0 and axis.span(at)[1] < pixels
        ]  # fmt: skip
        chosen.append(inside or [y])
        cut |= not inside
    return chosen, cut


def _units(
    values: Float[Tensor, "n c *size"], layer: str, positions: list[list[int]], count: int, generator: Generator
) -> list[Unit]:
    """Units at these positions, drawn at random: of those above zero, or if there are none of those below.

    Raises:
        ArgumentError: all are zero.
    """
    part = values
    for axis, listed in enumerate(positions):
        part = part.index_select(axis + 2, torch.tensor(listed, device=values.device))
    flat = part.flatten().cpu()
    among = (flat > 0).nonzero()[:, 0]
    among = among if len(among) else flat.nonzero()[:, 0]
    if not len(among):
        raise ArgumentError(
            f"all units in the middle of {layer!r} are zero, so nothing comes down. Give other images, or leave the "
            "layer out."
        )
    chosen = among[torch.randperm(len(among), generator=generator, device="cpu")[:count]].sort().values
    at = torch.stack(torch.unravel_index(chosen, part.shape), 1).tolist()
    return [
        Unit(layer, channel, tuple(listed[i] for listed, i in zip(positions, index, strict=True)), image)
        for image, channel, *index in at
    ]
