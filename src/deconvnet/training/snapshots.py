"""What `Evolution` leaves: snapshots of chosen feature maps, one after the other, as a network trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Unpack, overload

import torch

from deconvnet._checks import index_of, instance, keywords
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet._types import Unit
from deconvnet.pictures.plot import Plot
from deconvnet.results.columns import unit_columns
from deconvnet.results.saved import Savable
from deconvnet.training.convergence import (
    Convergence,
    changed_photos,
    cosines_of_filters,
    cosines_of_pictures,
    mean,
)
from deconvnet.training.drawing import EvolutionOptions, Panel, Row, plot
from deconvnet.training.layer_snapshot import LayerSnapshot


@dataclass(frozen=True, eq=False)
class Snapshot(Savable):
    """The chosen feature maps of a network at one time of its training.

    Attributes:
        epoch: after which it was taken.
        step: of the optimiser, if that was said.
        photos: how many were looked at.
        layers: what each layer shows.
        notes: what a reader should know.
        made_with: versions of deconvnet and torch.
    """

    epoch: int
    step: int | None
    photos: int
    layers: tuple[LayerSnapshot, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        maps = sum(len(layer.channels) for layer in self.layers)
        return f"<Snapshot after epoch {self.epoch}: {maps} maps of {', '.join(repr(e.layer) for e in self.layers)}>"

    def figure(self, **options: Unpack[EvolutionOptions]) -> Plot:
        """The maps of each layer, as `Snapshots.figure` draws those of several."""
        keywords("Snapshot.figure", options, EvolutionOptions.__annotations__)
        return Snapshots((self,), (), ()).figure(**options)

    def to_frame(self) -> Any:
        """A row for each map, as `Snapshots.to_frame`."""
        return Snapshots((self,), (), ()).to_frame()

    _options = EvolutionOptions.__annotations__

    def _drawn(self, *, pixels: bool, **options: Unpack[EvolutionOptions]) -> Plot:
        return self.figure(**options)


@dataclass(frozen=True, eq=False)
class Snapshots(Savable):
    """How chosen feature maps of a network came to be (figure 4 of the paper).

    `len(snapshots)` is their number; `snapshots[i]` and the items of a loop are of type `Snapshot`.

    Attributes:
        snapshots: in order of epochs.
        missed: epoch of each snapshot that could not be taken, and why.
        notes: what a reader should know.
        made_with: versions of deconvnet and torch.
    """

    snapshots: tuple[Snapshot, ...]
    missed: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        for each in instance("snapshots", self.snapshots, tuple):
            instance("each of snapshots", each, Snapshot)
        chosen = {tuple((layer.layer, layer.channels) for layer in each.layers) for each in self.snapshots}
        epochs = [each.epoch for each in self.snapshots]
        if len(chosen) > 1 or epochs != sorted(set(epochs)):
            raise ArgumentError("snapshots are of the same maps, in order of epochs, each epoch once.")

    def __len__(self) -> int:
        return len(self.snapshots)

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(self.snapshots)

    @overload
    def __getitem__(self, index: int) -> Snapshot: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Snapshot, ...]: ...

    def __getitem__(self, index: int | slice) -> Snapshot | tuple[Snapshot, ...]:
        if isinstance(index, slice):
            return self.snapshots[index]
        return self.snapshots[index_of(index, len(self), "snapshots")]

    def __repr__(self) -> str:
        epochs = ", ".join(map(str, self.epochs))
        layers = ", ".join(map(repr, self.layers))
        return f"<Snapshots of {layers} after epochs {epochs}>" if len(self) else "<Snapshots: none>"

    @property
    def epochs(self) -> tuple[int, ...]:
        """After which the snapshots were taken."""
        return tuple(snapshot.epoch for snapshot in self)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers."""
        return tuple(layer.layer for snapshot in self.snapshots[:1] for layer in snapshot.layers)

    @cached_property
    def convergence(self) -> Convergence:
        """How far each layer has settled at each snapshot."""
        rows = [
            [[mean(values) for values in self._measures(i, t)] for t in range(len(self))]
            for i in range(len(self.layers))
        ]
        measures = torch.tensor(rows, device="cpu").reshape(len(self.layers), len(self), 3).unbind(2)
        return Convergence(self.layers, self.epochs, *measures)

    def _measures(self, i: int, t: int) -> tuple[list[bool | None], list[float | None], list[float | None]]:
        """Of each map of layer i at snapshot t: whether its photo has changed; the cosines of picture and filter."""
        now, last = self.snapshots[t].layers[i], self.snapshots[-1].layers[i]
        filters = cosines_of_filters(now, last)
        if not t:
            return [None] * len(now.channels), [None] * len(now.channels), filters
        before = self.snapshots[t - 1].layers[i]
        return changed_photos(before, now), cosines_of_pictures(before, now), filters

    def figure(self, **options: Unpack[EvolutionOptions]) -> Plot:
        """The pictures of each layer: a row for each map, a column for each epoch.

        A frame is drawn where the strongest photo is another one than in the snapshot before. A map that no photo
        activates is "silent".

        Args:
            columns: layers side by side; by default as many as make the figure broader than high.
            dpi, title: as in `Plot`.

        Raises:
            ArgumentError: not one snapshot, or so many that the figure would be too large; the network takes
                neither images nor volumes.
        """
        keywords("Snapshots.figure", options, EvolutionOptions.__annotations__)
        if not len(self):
            raise ArgumentError("there is not one snapshot to draw.")
        panels = [
            Panel(layer, [str(epoch) for epoch in self.epochs], [self._row(i, m) for m in range(self._maps(i))])
            for i, layer in enumerate(self.layers)
        ]
        return plot(panels, **options)

    def _maps(self, i: int) -> int:
        return len(self.snapshots[0].layers[i].channels)

    def _row(self, i: int, m: int) -> Row:
        states = [snapshot.layers[i] for snapshot in self]
        changed = [False] + [changed_photos(a, b)[m] or False for a, b in pairwise(states)]
        pictures = [state.picture(m) for state in states]
        silent = [state.photos[m] is None for state in states]
        return Row(f"map {states[0].channels[m]}", pictures, changed, silent)

    def to_frame(self) -> Any:
        """A row for each snapshot, layer and map: a `pandas.DataFrame`, or without pandas a dictionary of lists.

        Columns: epoch, step, layer, channel, photo, activation, y, x (position; with one or three spatial axes x alone,
        or z, y, x), changed (the photo is another one than in the snapshot before), cosine (between the picture and the
        one before, where the photo is the same) and filter_cosine (between the filter and that of the last snapshot).
        What cannot be said is missing; a map without a photo is silent.
        """
        columns: dict[str, list[Any]] = {}
        for t, snapshot in enumerate(self):
            for i, layer in enumerate(snapshot.layers):
                for name, values in self._columns(i, t, snapshot, layer).items():
                    columns.setdefault(name, []).extend(values)
        return frame(columns)

    def _columns(self, i: int, t: int, snapshot: Snapshot, layer: LayerSnapshot) -> dict[str, list[Any]]:
        count, (changed, pictures, filters) = len(layer.channels), self._measures(i, t)
        pictures_of = [layer.picture(m) for m in range(count)]
        nowhere = Unit(layer.layer, None, None, 0)
        units = [nowhere if picture is None else picture.units[0] for picture in pictures_of]
        positions = unit_columns(units, self._axes)
        return {
            "epoch": [snapshot.epoch] * count, "step": [snapshot.step] * count, "layer": [layer.layer] * count,
            "channel": [*layer.channels], "photo": [*layer.photos], "activation": layer.activations.tolist(),
            **{name: positions[name] for name in ("z", "y", "x") if name in positions},
            "changed": changed, "cosine": pictures, "filter_cosine": filters,
        }  # fmt: skip

    @property
    def _axes(self) -> int:
        """Spatial axes of the photos; 2 where no picture says."""
        pictures = (layer.pictures for snapshot in self for layer in snapshot.layers)
        return next((len(picture.input_size) for picture in pictures if picture is not None), 2)

    _options = EvolutionOptions.__annotations__

    def _drawn(self, *, pixels: bool, **options: Unpack[EvolutionOptions]) -> Plot:
        return self.figure(**options)
