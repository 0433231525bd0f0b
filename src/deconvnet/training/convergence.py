"""How far the features of a network have settled: measures between the snapshots of its training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import keywords
from deconvnet._frames import frame
from deconvnet.pictures.plot import COLOURS, Plot, PlotOptions
from deconvnet.training.layer_snapshot import LayerSnapshot

_TICKS = 10  # epochs that are written below a curve, if there are no more
_PANELS = (
    ("changed", "share of maps with another\nstrongest photo than before"),
    ("pictures", "cosine to the picture before,\nwhere the photo is the same"),
    ("filters", "cosine to the filter\nof the last snapshot"),
)


@dataclass(frozen=True, eq=False)
class Convergence:
    """How far each layer has settled at each snapshot, over the chosen maps; NaN where nothing can be compared.

    Attributes:
        layers: their names.
        epochs: those of the snapshots.
        changed: share of the maps whose strongest photo is another one than in the snapshot before.
        pictures: mean cosine between a map's picture and that in the snapshot before, over maps whose strongest photo
            is the same.
        filters: mean cosine between a map's filter and that in the last snapshot.
    """

    layers: tuple[str, ...]
    epochs: tuple[int, ...]
    changed: Float[Tensor, "layers epochs"]
    pictures: Float[Tensor, "layers epochs"]
    filters: Float[Tensor, "layers epochs"]

    def __repr__(self) -> str:
        return f"<Convergence of {', '.join(map(repr, self.layers))} over {len(self.epochs)} snapshots>"

    def to_frame(self) -> Any:
        """A row for each layer and snapshot: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: layer, epoch, changed, pictures and filters, each missing where nothing can be compared.
        """
        columns = {name: [*map(_or_none, getattr(self, name).flatten().tolist())] for name, _ in _PANELS}
        layers = [layer for layer in self.layers for _ in self.epochs]
        return frame({"layer": layers, "epoch": [*self.epochs] * len(self.layers), **columns})

    def figure(self, **options: Unpack[PlotOptions]) -> Plot:
        """The three measures as curves over the epochs, a colour for each layer.

        Args:
            dpi, title: as in `Plot`.
        """
        keywords("Convergence.figure", options, PlotOptions.__annotations__)

        def draw(figure: Any) -> None:
            panels = figure.subplots(1, len(_PANELS), sharex=True)
            for axes, (name, words) in zip(panels, _PANELS, strict=True):
                for i, layer in enumerate(self.layers):
                    values = getattr(self, name)[i].tolist()
                    axes.plot(self.epochs, values, marker="o", markersize=3, label=layer, color=COLOURS[i % 7],
                              linestyle=("-", "--", ":")[i // 7 % 3])  # fmt: skip
                axes.set(title=words, xlabel="epoch")
                axes.set_ylim(-0.05 if name == "changed" else None, 1.05)
            if len(self.epochs) <= _TICKS:
                panels[0].set_xticks(self.epochs)
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)

        return Plot(draw, 8.2, 2.9, **options)


def cosine(a: Tensor, b: Tensor) -> float:
    """The cosine between two signals of one size; NaN where one of them is zero."""
    a, b = (value.flatten().double() for value in (a, b))
    a, b = (value / largest if (largest := value.abs().max()) > 0 else value for value in (a, b))
    return float(a @ b / (a.norm() * b.norm()))


def changed_photos(before: LayerSnapshot, now: LayerSnapshot) -> list[bool | None]:
    """Of each map, whether its strongest photo is another one than before; None where it was silent and still is."""
    pairs = zip(before.photos, now.photos, strict=True)
    return [None if old is None and new is None else old != new for old, new in pairs]


def cosines_of_pictures(before: LayerSnapshot, now: LayerSnapshot) -> list[float | None]:
    """Of each map, the cosine between its pictures; None where the strongest photo is another one, or none."""
    cosines = list[float | None]()
    for m, changed in enumerate(changed_photos(before, now)):
        a, b = before.picture(m), now.picture(m)
        same = changed is False and a is not None and b is not None
        cosines.append(_or_none(cosine(a.whole(0), b.whole(0))) if same else None)  # type: ignore[union-attr]  # same
    return cosines


def cosines_of_filters(now: LayerSnapshot, last: LayerSnapshot) -> list[float | None]:
    """Of each map, the cosine between its filters; None where a layer has none of its own."""
    if now.filters is None or last.filters is None:
        return [None] * len(now.channels)
    return [_or_none(cosine(a, b)) for a, b in zip(now.filters, last.filters, strict=True)]


def mean(values: Sequence[float | None]) -> float:
    """The mean of those that are there; NaN of none."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else torch.nan


def _or_none(value: float) -> float | None:
    return None if value != value else value
