"""Occlusion drawn: figure 7 of the paper, with real numbers on its scales."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor

from deconvnet._checks import instance
from deconvnet._errors import ArgumentError
from deconvnet.pictures.plot import COLOURS, Plot, PlotOptions
from deconvnet.pictures.render import render

if TYPE_CHECKING:
    from deconvnet.probes.occlusion import Occlusion

_PANEL = 2.3  # inches
_LEGEND = 1.25  # inches for the words below a row of panels
_NAMED = len(COLOURS) - 1  # classes that have a colour of their own; the rest are grey together
_LONGEST = 22  # letters of a class in the legend
_NOWHERE = "#e4e4e4"  # where nothing was covered


def occlusion_plot(result: "Occlusion", photo: Image.Image | None, **options: Unpack[PlotOptions]) -> Plot:
    """The panels of one result; see `Occlusion.figure`.

    Raises:
        ArgumentError: `photo` is not a PIL image, or is given where none can be drawn.
    """
    axes = len(result.occluders.size)
    if photo is not None and not all(instance("photo", photo, Image.Image).size):
        raise ArgumentError(f"the photo is empty: {photo.width} x {photo.height} pixels.")
    if photo is not None and axes != 2:
        raise ArgumentError(f"the image has {axes} spatial axes, and a photo cannot stand for it: leave it out.")
    options = {"title": _title(result), **options}
    rows = max(len(result.channels), len(result.classes))
    if axes == 1:
        return Plot(partial(_curves, result), 6.5, 6.5, **options)
    view = _View(result, photo)
    height, width = view.size
    tall = _PANEL * min(max(height / width, 0.5), 2)
    return Plot(partial(_panels, view, rows), 5 * _PANEL, rows * (tall + _LEGEND) + 0.3, **options)


@dataclass(frozen=True, eq=False)
class _View:
    """What is seen of a result: all of an image, or a plane of a volume."""

    result: "Occlusion"
    photo: Image.Image | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the input."""
        height, width = self.result.occluders.size[-2:]
        return height, width

    @property
    def plane(self) -> int | None:
        """Of a volume, which positions along the first axis of the grid are seen: where covering costs most."""
        occluders = self.result.occluders
        if len(occluders.size) < 3:
            return None
        if len(occluders.grid) < 3:
            return int(self.depth)
        falls = self.result.on_grid(self.result.drops[:, 0])
        return int(falls.flatten(1).amax(1).argmax())

    @property
    def depth(self) -> int:
        """Of a volume, the plane across the first axis."""
        middles = self.result.occluders.boxes[:, :, 0].double().mean(1)
        return int(middles[int(self.result.drops[:, 0].nan_to_num(0).argmax())])

    def flat(self, signal: Shaped[Tensor, "c *size"]) -> Shaped[Tensor, "c h w"]:
        """What is seen of an image or a picture."""
        return signal if signal.ndim == 3 else signal[:, self.depth]

    def values(self, values: Float[Tensor, " p"]) -> tuple[Float[np.ndarray, "rows columns"], tuple[float, ...]]:
        """Values of positions as a map, and its left, right, lower and upper end in pixels."""
        occluders = self.result.occluders
        if not occluders.slid or len(occluders.grid) < len(occluders.size):
            of_pixels = self.result.on_pixels(values.double())
            return self.flat(of_pixels[None])[0].numpy(), _whole(self.size)
        grid = self.result.on_grid(values)
        boxes = self.result.on_grid(occluders.boxes.double().mean(1))
        if self.plane is not None:
            grid, boxes = grid[self.plane], boxes[self.plane]
        (top, bottom), (left, right) = _ends(boxes[:, 0, -2]), _ends(boxes[0, :, -1])
        return grid.numpy(), (left, right, bottom, top)

    def classes(self, named: Sequence[int]) -> tuple[Float[np.ndarray, "rows columns"], tuple[float, ...]]:
        """As `values`, of the most probable class: its index among the named ones, or their number; NaN for none."""
        answers = self.result.answers
        codes = torch.full(answers.shape, float(len(named)), dtype=torch.float64)
        for code, index in enumerate(named):
            codes[answers == index] = code
        if self.result.occluders.slid:
            return self.values(codes)
        whole = torch.full(self.result.occluders.size, torch.nan, dtype=torch.float64)
        for (here, mask), code in zip(self.result.occluders, codes.tolist(), strict=True):
            whole[here] = torch.where(mask, code, whole[here])
        return self.flat(whole[None])[0].numpy(), _whole(self.size)


def _panels(view: _View, rows: int, figure: Any) -> None:
    result = view.result
    grid = figure.subplots(rows, 5, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    photo = view.photo if view.photo is not None else render(view.flat(result.image))
    _picture(grid[0, 0], photo, view, "photo" if view.plane is None else f"plane {view.depth}")
    _outline(grid[0, 0], view)
    for row, channel in enumerate(result.channels):
        values = view.values(result.activities[:, row])
        _heat(figure, grid[row, 1], values, view, f"total activity\n{_of(result, channel)}", result.activity[row])
        _picture(
            grid[row, 2], render(view.flat(result.pictures.whole(row))), view, f"{_of(result, channel)}\ncarried down"
        )
        _below(grid[row, 2], _correlations(result, row))
    for row, index in enumerate(result.classes):
        values = view.values(result.probabilities[:, row])
        title = f"probability\n{_cut(result.label(index))}"
        _heat(figure, grid[row, 3], values, view, title, result.probability[row])
    _answers(grid[0, 4], view)


def _heat(
    figure: Any, axes: Any, values: tuple[np.ndarray, tuple[float, ...]], view: _View, title: str, whole: Tensor
) -> None:
    _frame(axes, view, title)
    drawn = axes.imshow(values[0], cmap="inferno", extent=values[1], aspect="equal")
    _limit(axes, view)
    bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.9, pad=0.03, panchor=False)
    bar.locator = _few()
    bar.update_ticks()
    bar.outline.set_linewidth(0.4)
    bar.set_label(f"nothing covered: {float(whole):.3g}", fontsize=8)


def _answers(axes: Any, view: _View) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    result = view.result
    indices, counts = (each.tolist() for each in result.answers.unique(return_counts=True))
    order = sorted(zip(counts, indices, strict=True), key=lambda pair: (-pair[0], pair[1]))
    named = [index for _, index in order[: _NAMED if len(order) > _NAMED else len(order)]]
    colours = [*COLOURS[: len(named)], COLOURS[-1]]
    values, extent = view.classes(named)
    _frame(axes, view, "most probable class\nwith the part covered")
    axes.imshow(values, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(named) + 0.5, extent=extent, aspect="equal")
    _limit(axes, view)
    patches = [
        Patch(color=colour, label=f"{_cut(result.label(index))}, {count}")
        for colour, (count, index) in zip(colours, order[: len(named)], strict=False)
    ]
    others = order[len(named) :]
    if others:
        patches.append(Patch(color=colours[-1], label=f"{len(others)} others, {sum(count for count, _ in others)}"))
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(-0.02, -0.02), borderaxespad=0, fontsize=7)


def _picture(axes: Any, image: Image.Image, view: _View, title: str) -> None:
    height, width = view.size
    _frame(axes, view, title)
    axes.imshow(np.asarray(image.convert("RGB")), extent=(0, width, height, 0), aspect="equal")
    _limit(axes, view)


def _outline(axes: Any, view: _View) -> None:
    """What is covered where that costs most activity."""
    result = view.result
    index = int(result.drops[:, 0].nan_to_num(0).argmax())
    here, mask = result.occluders.inside(index)
    whole = torch.zeros(result.occluders.size)
    whole[here] = mask.float()
    height, width = view.size
    seen = np.pad(view.flat(whole[None])[0].numpy(), 1)
    across, down = np.arange(width + 2) - 0.5, np.arange(height + 2) - 0.5
    if seen.any():
        axes.contour(across, down, seen, levels=[0.5], colors="#d00000", linewidths=1)
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


def _curves(result: "Occlusion", figure: Any) -> None:
    """A signal along one axis: what it is, and what covering costs where."""
    panels: list[tuple[str, Callable[[Any], None]]] = [
        ("input", lambda axes: axes.plot(result.image.T.numpy())),
        ("activity", lambda axes: _lines(axes, result, result.activities, result.activity, _map_words(result))),
        ("picture", lambda axes: axes.plot(result.pictures.full().flatten(0, 1).T.numpy())),
        (
            "probability",
            lambda axes: _lines(axes, result, result.probabilities, result.probability, _class_words(result)),
        ),
    ]
    grid = figure.subplots(len(panels), 1, sharex=True)
    for axes, (name, draw) in zip(grid, panels, strict=True):
        draw(axes)
        axes.set_ylabel(name)
    grid[-1].set_xlabel("position of the middle of what is covered")


def _lines(axes: Any, result: "Occlusion", values: Tensor, whole: Tensor, words: Iterator[str]) -> None:
    at = result.occluders.boxes.double().mean(1)[:, 0]
    order = at.argsort()
    for column, (level, label) in enumerate(zip(whole.tolist(), words, strict=True)):
        (line,) = axes.plot(at[order].numpy(), values[order, column].numpy(), label=label)
        axes.axhline(level, color=line.get_color(), linestyle=":")
    axes.legend()


def _map_words(result: "Occlusion") -> Iterator[str]:
    return (f"{_of(result, channel)}; dotted: nothing covered" for channel in result.channels)


def _class_words(result: "Occlusion") -> Iterator[str]:
    return (_cut(result.label(index)) for index in result.classes)


def _of(result: "Occlusion", channel: int) -> str:
    return f"{result.layer}, map {channel}"


def _correlations(result: "Occlusion", row: int) -> str:
    """The rank correlations of a map, in words."""
    evidence = result.evidence[row]
    correlations = [
        f"{name} {'-' if value is None else f'{value:.2f}'}"
        for name, value in (("picture", evidence.picture), ("edges", evidence.edges), ("centre", evidence.centre))
    ]
    return "rank correlation of the drop\n" + ", ".join(correlations)


def _title(result: "Occlusion") -> str:
    shape = repr(result.occluders)[12:-1]
    return f"{shape}, filled with {result.fill}"


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _whole(size: tuple[int, int]) -> tuple[float, ...]:
    """The left, right, lower and upper end of a whole image."""
    height, width = map(float, size)
    return 0.0, width, height, 0.0


def _ends(middles: Float[Tensor, " n"]) -> tuple[float, float]:
    """Where a row of cells with these middles begins and ends."""
    half = float(middles[1] - middles[0]) / 2 if len(middles) > 1 else 0.5
    return float(middles[0]) - half, float(middles[-1]) + half
