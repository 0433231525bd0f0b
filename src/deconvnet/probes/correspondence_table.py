"""`Correspondence`: how alike the features of several photos change when the same part of each is covered."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Unpack

from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import keywords
from deconvnet._frames import frame
from deconvnet._types import Box
from deconvnet.pictures.plot import COLOURS, Plot, PlotOptions
from deconvnet.probes.thumbnails import rgb
from deconvnet.results.saved import Savable

MOST_PICTURES = 5  # photos that a figure shows
_PICTURE, _BARS = 0.8, 2.2  # inches
_RANDOM = "#8a8a8a"


@dataclass(frozen=True, eq=False)
class PartChanges:
    """How alike features change in several photos where the same part is covered, beside random regions of its size.

    Distances are the share of a layer's features in which the signs of the changes (-1, 0 or 1) differ between two
    photos.

    Attributes:
        part: its name.
        photos: indices of those in which it was covered.
        boxes: in the network's input, one for each of them.
        random_boxes: one of the random ones for each of them, as an example.
        distances: at each layer, of each pair of photos.
        random: the same where a random region is covered in each photo, for each random placement.
        changed: at each layer, the share of features that change at all, the mean over photos.
        random_changed: the same for random regions.
        p_values: at each layer, how often random regions are as consistent as the part; see `correspondence`.
    """

    part: str
    photos: tuple[int, ...]
    boxes: tuple[Box, ...]
    random_boxes: tuple[Box, ...]
    distances: Float[Tensor, "l q"]
    random: Float[Tensor, "l k q"]
    changed: Float[Tensor, " l"]
    random_changed: Float[Tensor, " l"]
    p_values: Float[Tensor, " l"]


@dataclass(frozen=True)
class Row:
    """One part at one layer.

    Attributes:
        part: its name.
        layer: by name.
        photos: how many.
        distance: the mean over pairs of photos.
        spread: standard deviation over pairs; nan of a single pair.
        random: the mean over pairs and random placements.
        random_spread: standard deviation over these.
        p_value: see `correspondence`.
        changed, random_changed: the share of features that change at all.
    """

    part: str
    layer: str
    photos: int
    distance: float
    spread: float
    random: float
    random_spread: float
    p_value: float
    changed: float
    random_changed: float


@dataclass(frozen=True, eq=False)
class Correspondence(Savable):
    """Whether a network relates the same part of different photos, as in table 1 of the paper.

    Attributes:
        photos: their names.
        layers: where features are compared.
        parts: one result for each part.
        pictures: the first photos, five at most, as the network sees them, 0 to 1.
        around: what parts are covered with, for each channel of `pictures`.
        placements: random regions in each photo.
        permutations: of the test.
        seed: of the random numbers.
        notes: what a reader should know.
        made_with: versions of deconvnet and torch.
    """

    photos: tuple[str, ...]
    layers: tuple[str, ...]
    parts: tuple[PartChanges, ...]
    pictures: Float[Tensor, "p c h w"]
    around: tuple[float, ...]
    placements: int
    permutations: int
    seed: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.parts)

    def __repr__(self) -> str:
        parts = ", ".join(each.part for each in self.parts)
        return f"<Correspondence: {parts} in {len(self.photos)} photos at {', '.join(map(repr, self.layers))}>"

    def rows(self) -> Iterator[Row]:
        """Each part at each layer."""
        for each in self.parts:
            for j, layer in enumerate(self.layers):
                yield Row(
                    each.part, layer, len(each.photos), float(each.distances[j].mean()), _spread(each.distances[j]),
                    float(each.random[j].mean()), _spread(each.random[j].flatten()), float(each.p_values[j]),
                    float(each.changed[j]), float(each.random_changed[j]),
                )  # fmt: skip

    def table(self) -> str:
        """The table of the paper as text: mean distance over pairs ± standard deviation, and p-values."""
        rows = list(self.rows())
        of_part = {part: [row for row in rows if row.part == part] for part in dict.fromkeys(row.part for row in rows)}
        head = ["part"] + [word for layer in self.layers for word in (layer, "random", "p")]
        lines = [[part] + [word for row in listed for word in _words(row)] for part, listed in of_part.items()]
        widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in (head, *lines)
        )

    def to_frame(self) -> Any:
        """A row for each part and layer: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: part, layer, photos (their number), distance (mean over pairs), spread (standard deviation over pairs),
        random and random_spread (the same over pairs and random placements), p_value, changed and random_changed
        (share of features that change at all).
        """
        rows = list(self.rows())
        return frame({name: [getattr(row, name) for row in rows] for name in Row.__annotations__})

    def figure(self, **options: Unpack[PlotOptions]) -> Plot:
        """The covered photos, and the mean distance of each part beside that of random regions of its size.

        Bars have the standard deviation over pairs of photos; the p-value stands above.

        Args:
            dpi: pixels of an inch: 30 to 1200; 200 by default.
            title: above the figure.

        Raises:
            ArgumentError: a wrong option.
        """
        keywords("Correspondence.figure", options, PlotOptions.__annotations__)
        wide = _PICTURE * len(self.pictures) + 0.6 + max(_BARS, 0.7 * len(self.parts)) * len(self.layers)
        tall = max(2.4, _PICTURE * self._height * (len(self.parts) + 1))
        return Plot(self._draw, min(wide, 100), min(tall, 100), **options)

    @property
    def _height(self) -> float:
        """Of a picture, relative to its width."""
        return min(max(self.pictures.shape[2] / self.pictures.shape[3], 0.5), 2)

    def _draw(self, figure: Any) -> None:
        wide = _PICTURE * len(self.pictures) + 0.6
        left, right = figure.subfigures(1, 2, width_ratios=[wide, figure.get_size_inches()[0] - wide])
        covered = left.subplots(len(self.parts) + 1, len(self.pictures), squeeze=False)
        for row, each in zip(covered, self.parts, strict=False):
            self._draw_covered(row, each, each.boxes, each.part)
        first = self.parts[0]
        self._draw_covered(covered[-1], first, first.random_boxes, "random")
        for j, (axes, layer) in enumerate(zip(right.subplots(1, len(self.layers), squeeze=False)[0], self.layers,
                                              strict=True)):  # fmt: skip
            self._draw_bars(axes, [row for row in self.rows() if row.layer == layer])
            axes.set_title(layer)
            axes.set_ylabel("" if j else "distance of signs")

    def _draw_covered(self, row: Any, each: PartChanges, boxes: tuple[Box, ...], words: str) -> None:
        covered = dict(zip(each.photos, boxes, strict=True))
        for i, axes in enumerate(row):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(False)
            axes.spines[:].set_visible(False)
            if i in covered:
                axes.imshow(rgb(cover(self.pictures[i], covered[i], self.around)), interpolation="bilinear")
        row[0].set_ylabel(words, rotation=0, ha="right", va="center")

    def _draw_bars(self, axes: Any, rows: list[Row]) -> None:
        tops = []
        for x, row in enumerate(rows):
            for mean, spread, left, colour, words in (
                (row.distance, row.spread, -0.2, COLOURS[0], "part"), (row.random, row.random_spread, 0.2, _RANDOM,
                "random"),
            ):  # fmt: skip
                bar = 0.0 if math.isnan(spread) else spread
                axes.bar(x + left, mean, 0.38, yerr=bar, color=colour, label="" if x else words,
                         error_kw={"elinewidth": 0.8, "capsize": 2})  # fmt: skip
                tops.append(mean + bar)
        for x, row in enumerate(rows):
            axes.text(
                x, max(tops[2 * x : 2 * x + 2]) + 0.02 * max(tops), f"p={row.p_value:.2g}", ha="center", fontsize=7
            )
        axes.set_ylim(0, max(tops) * 1.3 or 1)
        axes.set_xticks(range(len(rows)), [row.part for row in rows], rotation=30 if len(rows) > 2 else 0)
        axes.grid(False, axis="x")
        axes.set_axisbelow(True)
        axes.legend(loc="upper right", ncols=2)

    _options = PlotOptions.__annotations__

    def _drawn(self, *, pixels: bool, **options: Unpack[PlotOptions]) -> Plot:
        return self.figure(**options)


def cover(image: Float[Tensor, "c h w"], box: Box, fill: tuple[float, ...]) -> Float[Tensor, "c h w"]:
    """An image in which a box is covered.

    Args:
        image: of any values.
        box: inside the image.
        fill: what it is covered with, for each channel.
    """
    covered = image.clone()
    part, _ = box.overlap(image.shape[1:])
    covered[part] = covered.new_tensor(fill)[:, None, None]
    return covered


def _spread(distances: Float[Tensor, " q"]) -> float:
    return float(distances.std()) if len(distances) > 1 else math.nan


def _words(row: Row) -> tuple[str, str, str]:
    return _with_spread(row.distance, row.spread), _with_spread(row.random, row.random_spread), f"{row.p_value:.2g}"


def _with_spread(mean: float, spread: float) -> str:
    return f"{mean:.3f}" if math.isnan(spread) else f"{mean:.3f} ± {spread:.3f}"
