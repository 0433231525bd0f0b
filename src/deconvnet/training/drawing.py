"""The figure of snapshots: of each layer a panel, of each map a row, of each epoch a column."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from PIL import Image

from deconvnet._checks import whole_number
from deconvnet._errors import ArgumentError
from deconvnet.pictures.fit import fit
from deconvnet.pictures.plot import COLOURS, Plot, PlotOptions
from deconvnet.results.reconstruction import Reconstruction

_TILE, _GAP = 120, 12  # pixels of a tile and between two
_INCHES, _AROUND = 0.62, (0.75, 0.45)  # of a tile; around a panel
_LARGEST = 100  # inches
_GREY = 128


@dataclass(frozen=True, eq=False)
class Row:
    """A map over time.

    Attributes:
        words: its name.
        pictures: at each time; None where there is none.
        changed: whether the strongest photo is another one than the time before.
        silent: whether no photo activates it.
    """

    words: str
    pictures: Sequence[Reconstruction | None]
    changed: Sequence[bool]
    silent: Sequence[bool]


@dataclass(frozen=True, eq=False)
class Panel:
    """The maps of a layer, and the words above its columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]


class EvolutionOptions(PlotOptions, total=False):
    """What a user may choose of the figure of snapshots."""

    columns: int | None


def plot(panels: Sequence[Panel], *, columns: int | None = None, **options: Unpack[PlotOptions]) -> Plot:
    """The panels side by side and below each other.

    Args:
        panels: of all layers, with as many columns each.
        columns: panels side by side; None for as many as suit.
        dpi, title: as in `Plot`.

    Raises:
        ArgumentError: it would be too large; the pictures cannot be drawn.
    """
    width = len(panels[0].columns) * _INCHES + _AROUND[0]
    heights = [len(panel.rows) * _INCHES + _AROUND[1] for panel in panels]
    chosen = _columns(width, heights) if columns is None else whole_number("columns", columns, most=len(panels))
    rows = [heights[first : first + chosen] for first in range(0, len(panels), chosen)]
    size = chosen * width, sum(map(max, rows)) + 0.4
    if max(size) > _LARGEST:
        raise ArgumentError(
            f"the figure would be {size[0]:.0f} x {size[1]:.0f} inches: at most {_LARGEST}. Take fewer maps or epochs."
        )
    images, legend = [_image(panel) for panel in panels], _legend(panels, size[0])

    def draw(figure: Any) -> None:
        grid = figure.subplots(len(rows), chosen, squeeze=False, gridspec_kw={"height_ratios": [*map(max, rows)]})
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, panel, image in zip(grid.flat, panels, images, strict=False):
            _draw(axes, panel, image)
        figure.text(0.01, 0.0, "\n".join(legend), fontsize=7, va="bottom")
        below = (0.05 + 0.13 * len(legend)) / size[1]
        figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))

    return Plot(draw, max(size[0], 3.2), size[1], **options)


def _columns(width: float, heights: Sequence[float]) -> int:
    """How many panels stand side by side, so that the figure is near 4 to 3."""

    def shape(columns: int) -> float:
        rows = [max(heights[first : first + columns]) for first in range(0, len(heights), columns)]
        return abs(math.log(columns * width / sum(rows) / (4 / 3)))

    return min(range(1, len(heights) + 1), key=shape)


def _legend(panels: Sequence[Panel], inches: float) -> list[str]:
    """What a reader has to know of what is drawn, in lines."""
    rows = [row for panel in panels for row in panel.rows]
    words = ["Columns: epochs. Zero is grey."]
    if any(any(row.changed) for row in rows):
        words.append("Framed: the map's strongest activation is in another photo than one column before.")
    if any(any(row.silent) for row in rows):
        words.append("Silent: no photo activates the map.")
    return textwrap.wrap(" ".join(words), max(30, round(inches * 19)))


def _draw(axes: Any, panel: Panel, image: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    pitch = _TILE + _GAP
    axes.imshow(image, interpolation="antialiased", aspect="equal")
    axes.set_title(panel.title, loc="left", fontsize=9)
    axes.set_xticks([pitch * t + _TILE / 2 for t in range(len(panel.columns))], panel.columns)
    axes.set_yticks([pitch * m + _TILE / 2 for m in range(len(panel.rows))], [row.words for row in panel.rows])
    axes.tick_params(length=0, labelsize=7)
    axes.xaxis.tick_top()
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for m, row in enumerate(panel.rows):
        for t, (changed, silent) in enumerate(zip(row.changed, row.silent, strict=True)):
            left, top = pitch * t, pitch * m
            if silent or row.pictures[t] is None:
                words = "silent" if silent else "missing"
                axes.text(left + _TILE / 2, top + _TILE / 2, words, ha="center", va="center", fontsize=6)
            if changed:
                frame = Rectangle((left - 3.5, top - 3.5), _TILE + 6, _TILE + 6, clip_on=False)
                frame.set(fill=False, edgecolor=COLOURS[1], linewidth=1.1)
                axes.add_patch(frame)


def _image(panel: Panel) -> np.ndarray:
    """All tiles of a panel on white."""
    pitch = _TILE + _GAP
    height, width = (count * pitch - _GAP for count in (len(panel.rows), len(panel.columns)))
    image = Image.new("RGB", (width, height), "white")
    for m, row in enumerate(panel.rows):
        for t, picture in enumerate(row.pictures):
            image.paste(tile(picture), (pitch * t, pitch * m))
    return np.asarray(image)


def tile(picture: Reconstruction | None, side: int = _TILE) -> Image.Image:
    """A picture of the receptive field, or of the whole input if that is smaller, on a grey square; grey for none.

    Raises:
        ArgumentError: the input is neither an image nor a volume.
    """
    square = Image.new("RGB", (side, side), (_GREY, _GREY, _GREY))
    if picture is None:
        return square
    window = picture.windows.shape[2:]
    larger = any(length >= whole for length, whole in zip(window, picture.input_size, strict=True))
    drawn = fit(picture.picture(0, crop="none" if larger else "field").convert("RGB"), side)
    square.paste(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
    return square
