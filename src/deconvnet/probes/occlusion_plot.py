"""Occlusion drawn: figure 7 of the paper, with real numbers on its scales."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from PIL import Image
from torch import Tensor

from deconvnet._checks import instance
from deconvnet._errors import ArgumentError
from deconvnet.pictures.plot import COLOURS, Plot, PlotOptions, in_lines
from deconvnet.pictures.render import render
from deconvnet.probes.evidence import Evidence
from deconvnet.probes.occluders import Occluders

_PANEL = 2.3  # inches
_LEGEND = 1.45  # inches for the words below a row of panels, at least
_LINE, _ENTRY = 0.12, 0.05  # inches of a line of the legend, and more of each of its entries
_NAMED = len(COLOURS) - 1  # classes that have a colour of their own; the rest are grey together
_LETTERS = 30  # of a line that a panel is wide enough for
_NOWHERE = "#e4e4e4"  # where nothing was covered


@dataclass(frozen=True, eq=False)
class MapPanels:
    """What is drawn of a feature map: its name, its activity as it is and at each position, and its picture."""

    name: str
    activity: float
    activities: Float[Tensor, " p"]
    picture: Float[Tensor, "c *size"]
    evidence: Evidence


@dataclass(frozen=True, eq=False)
class ClassPanel:
    """What is drawn of a class: its name, and how probable it is as the image is and at each position."""

    name: str
    probability: float
    probabilities: Float[Tensor, " p"]


@dataclass(frozen=True, eq=False)
class Panels:
    """What is drawn.

    Attributes:
        image: the network's input.
        photo: what stands for it; None for the input itself.
        occluders: what is covered.
        maps, classes: what has panels of its own; one at least.
        answers: the most probable class at each position.
        names: of the classes, by index.
    """

    image: Shaped[Tensor, "c *size"]
    photo: Image.Image | None
    occluders: Occluders
    maps: Sequence[MapPanels]
    classes: Sequence[ClassPanel]
    answers: Int[Tensor, " p"]
    names: Callable[[int], str]

    def __post_init__(self) -> None:
        axes, photo = len(self.occluders.size), self.photo
        if photo is not None and not all(instance("photo", photo, Image.Image).size):
            raise ArgumentError(f"the photo is empty: {photo.width} x {photo.height} pixels.")
        if photo is not None and axes != 2:
            raise ArgumentError(f"the image has {axes} spatial axes, and a photo cannot stand for it: leave it out.")

    def plot(self, **options: Unpack[PlotOptions]) -> Plot:
        """The panels, a row for each map and class."""
        if len(self.occluders.size) == 1:
            return Plot(partial(_curves, self), 6.5, 6.5, **options)
        view, rows = _View(self), max(len(self.maps), len(self.classes))
        height, width = view.size
        tall = _PANEL * min(max(height / width, 0.5), 2)
        below = max(_LEGEND, 0.2 + sum(_LINE * (1 + words.count("\n")) + _ENTRY for words in self.legend[1]))
        return Plot(partial(_panels, view, rows), 5 * _PANEL, rows * (tall + below) + 0.3, **options)

    @property
    def legend(self) -> tuple[list[int], list[str]]:
        """The classes that have colours, by how often covering makes them the most probable, and words for these.

        The last words are for the others, if there are any.
        """
        counted = Counter(self.answers.tolist())
        order = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
        named, others = order[:_NAMED], order[_NAMED:]
        if len(others) == 1:
            named, others = order, []
        words = [in_lines(f"{self.names(index)}, {count}", _LETTERS, 3) for index, count in named]
        if others:
            words.append(f"{len(others)} others, {sum(count for _, count in others)}")
        return [index for index, _ in named], words

    @property
    def worst(self) -> int:
        """The position where covering costs the first map most activity."""
        return int(self.maps[0].activities.argmin())


@dataclass(frozen=True, eq=False)
class _View:
    """What is seen of a result: all of an image, or a plane of a volume."""

    panels: Panels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the input."""
        height, width = self.panels.occluders.size[-2:]
        return height, width

    @property
    def depth(self) -> int:
        """Of a volume, the plane across the first axis: where covering costs the first map most activity."""
        low, high = self.panels.occluders.boxes[self.panels.worst, :, 0].tolist()
        length = self.panels.occluders.size[0]
        return int(max(low, 0) + min(high, length)) // 2

    def flat(self, signal: Shaped[Tensor, "c *size"]) -> Shaped[Tensor, "c h w"]:
        """What is seen of an image or a picture."""
        return signal if signal.ndim == 3 else signal[:, self.depth]

    def values(self, values: Float[Tensor, " p"]) -> tuple[Float[np.ndarray, "rows columns"], tuple[float, ...]]:
        """Values of positions as a map, and its left, right, lower and upper end in pixels."""
        occluders = self.panels.occluders
        if not occluders.slid:
            return self.flat(occluders.over_pixels(values.double())[None])[0].numpy(), _whole(self.size)
        grid = values.reshape(occluders.grid)
        middles = occluders.boxes.double().mean(1).reshape(*occluders.grid, -1)
        if grid.ndim > 2:
            plane = self.panels.worst // (grid.shape[1] * grid.shape[2])
            grid, middles = grid[plane], middles[plane]
        (top, bottom), (left, right) = _ends(middles[:, 0, -2]), _ends(middles[0, :, -1])
        return grid.numpy(), (left, right, bottom, top)

    def classes(self, named: Sequence[int]) -> tuple[Float[np.ndarray, "rows columns"], tuple[float, ...]]:
        """As `values`, of the most probable class: its index among the named ones, or their number; NaN for none."""
        answers, occluders = self.panels.answers, self.panels.occluders
        codes = torch.full(answers.shape, float(len(named)), dtype=torch.float64, device="cpu")
        for code, index in enumerate(named):
            codes[answers == index] = code
        if occluders.slid:
            return self.values(codes)
        whole = torch.full(occluders.size, torch.nan, dtype=torch.float64, device="cpu")
        for (here, mask), code in zip(occluders, codes.tolist(), strict=True):
            whole[here] = torch.where(mask, code, whole[here])
        return self.flat(whole[None])[0].numpy(), _whole(self.size)


def _panels(view: _View, rows: int, figure: Any) -> None:
    panels = view.panels
    grid = figure.subplots(rows, 5, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    photo = panels.photo if panels.photo is not None else render(view.flat(panels.image))
    _picture(grid[0, 0], photo, view, "photo" if panels.image.ndim == 3 else f"plane {view.depth}")
    _outline(grid[0, 0], view)
    for row, each in enumerate(panels.maps):
        name = in_lines(each.name, _LETTERS)
        _heat(figure, grid[row, 1], view.values(each.activities), view, f"total activity\n{name}", each.activity)
        _picture(grid[row, 2], render(view.flat(each.picture)), view, f"{name}\ncarried down")
        _below(grid[row, 2], _correlations(each.evidence))
    for row, of in enumerate(panels.classes):
        title = f"probability\n{in_lines(of.name, _LETTERS)}"
        _heat(figure, grid[row, 3], view.values(of.probabilities), view, title, of.probability)
    _answers(grid[0, 4], view)


def _heat(
    figure: Any, axes: Any, values: tuple[np.ndarray, tuple[float, ...]], view: _View, title: str, whole: float
) -> None:
    _frame(axes, view, title)
    drawn = axes.imshow(values[0], cmap="inferno", extent=values[1], aspect="equal")
    _limit(axes, view)
    below = axes.inset_axes((0.05, -0.1, 0.9, 0.04))  # goes with its panel, however long the legend beside it is
    bar = figure.colorbar(drawn, cax=below, orientation="horizontal")
    bar.locator = _few()
    bar.update_ticks()
    bar.outline.set_linewidth(0.4)
    bar.set_label(f"nothing covered: {_figures(whole)}", fontsize=8)


def _figures(value: float) -> str:
    """With three digits at least, and never in powers of ten where a reader can do without."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _answers(axes: Any, view: _View) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    named, words = view.panels.legend
    colours = [*COLOURS[: len(named)], COLOURS[-1]]
    values, extent = view.classes(named)
    _frame(axes, view, "most probable class\nwith the part covered")
    axes.imshow(values, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(named) + 0.5, extent=extent, aspect="equal")
    _limit(axes, view)
    patches = [Patch(color=colour, label=label) for colour, label in zip(colours, words, strict=False)]
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(-0.02, -0.02), borderaxespad=0, fontsize=7)


def _picture(axes: Any, image: Image.Image, view: _View, title: str) -> None:
    height, width = view.size
    _frame(axes, view, title)
    axes.imshow(np.asarray(image.convert("RGB")), extent=(0, width, height, 0), aspect="equal")
    _limit(axes, view)


def _outline(axes: Any, view: _View) -> None:
    """What is covered where that costs most activity."""
    occluders = view.panels.occluders
    here, mask = occluders.inside(view.panels.worst)
    whole = torch.zeros(occluders.size, device="cpu")
    whole[here] = mask.float()
    height, width = view.size
    seen = np.pad(view.flat(whole[None])[0].numpy(), 1)
    across, down = np.arange(width + 2) - 0.5, np.arange(height + 2) - 0.5
    if seen.any():
        for colour, line in (("black", 2.2), ("white", 1.0)):  # seen on any photo
            axes.contour(across, down, seen, levels=[0.5], colors=colour, linewidths=line)
        _limit(axes, view)
        _below(axes, "outlined: where covering\ncosts most activity")


def _frame(axes: Any, view: _View, title: str) -> None:
    axes.set_axis_on()
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[], facecolor=_NOWHERE, anchor="N")
    for spine in axes.spines.values():
        spine.set_visible(True)
    axes.set_title(title, fontsize=8)


def _limit(axes: Any, view: _View) -> None:
    height, width = view.size
    axes.set(xlim=(0, width), ylim=(height, 0))


def _below(axes: Any, words: str) -> None:
    axes.set_xlabel(words, fontsize=8)


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(3)


def _curves(panels: Panels, figure: Any) -> None:
    """A signal along one axis: what it is, and what covering costs where."""
    grid = figure.subplots(4, 1, sharex=True)
    grid[0].plot(panels.image.T.numpy())
    for each in panels.maps:
        _line(grid[1], panels, each.activities, each.activity, f"{each.name}; dotted: nothing covered")
        grid[2].plot(each.picture.T.numpy())
    for of in panels.classes:
        _line(grid[3], panels, of.probabilities, of.probability, in_lines(of.name, 2 * _LETTERS))
    for axes, name in zip(grid, ("input", "activity", "picture", "probability"), strict=True):
        axes.set_ylabel(name)
    grid[1].legend()
    grid[3].legend()
    grid[3].set_xlabel("position of the middle of what is covered")


def _line(axes: Any, panels: Panels, values: Float[Tensor, " p"], whole: float, label: str) -> None:
    at = panels.occluders.boxes.double().mean(1)[:, 0]
    order = at.argsort()
    (line,) = axes.plot(at[order].numpy(), values[order].numpy(), label=label)
    axes.axhline(whole, color=line.get_color(), linestyle=":")


def _correlations(evidence: Evidence) -> str:
    """The rank correlations of a map, in words."""
    correlations = [
        f"{name} {'-' if value is None else f'{value:.2f}'}"
        for name, value in (("picture", evidence.picture), ("edges", evidence.edges), ("centre", evidence.centre))
    ]
    return "rank correlation of the drop\n" + ", ".join(correlations)


def _whole(size: tuple[int, int]) -> tuple[float, ...]:
    """The left, right, lower and upper end of a whole image."""
    height, width = map(float, size)
    return 0.0, width, height, 0.0


def _ends(middles: Float[Tensor, " n"]) -> tuple[float, float]:
    """Where a row of cells with these middles begins and ends."""
    half = float(middles[1] - middles[0]) / 2 if len(middles) > 1 else 0.5
    return float(middles[0]) - half, float(middles[-1]) + half
