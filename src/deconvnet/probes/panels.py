"""The panels of the figures of a diagnosis, after figure 6 of Zeiler and Fergus (2013). Matplotlib's axes are lent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet.pictures.numbers import percent
from deconvnet.pictures.plot import COLOURS
from deconvnet.pictures.render import magnitude, render
from deconvnet.probes import spectrum
from deconvnet.probes.spectrum import BANDS, HIGH, LOW, Aliasing

_COLOURS = (1, 3)  # numbers of channels that are one picture
MOST_FIELDS = 4  # side by side
FIELD_WORDS = "strength; dashed: width after Luo et al.; frame: the theoretical field; in pixels"
_ON_GREY = "#333333"


def check_axes(axes: int) -> None:
    """Raise unless maps of that many spatial axes can be drawn.

    Raises:
        ArgumentError: they cannot.
    """
    if not 1 <= axes <= 3:
        raise ArgumentError(f"maps with {axes} spatial axes cannot be drawn; their numbers are in to_frame().")


def show(axes: Any, image: NDArray[np.uint8], title: str) -> None:
    """An image without axes."""
    axes.imshow(image)
    axes.set_title(title)
    axes.axis("off")


def draw_bands(axes: Any, alive: Float[Tensor, " maps"], shares: Sequence[float], dims: int) -> None:
    """A histogram of centroids, and the share of each band.

    Args:
        axes: to draw on.
        alive: centroids of the filters that count.
        shares: of the bands; empty where there are none.
        dims: number of spatial axes.
    """
    top = max(0.5, float(spectrum.radii([2] * dims).max()))
    axes.hist(alive[alive.isfinite()].numpy(), bins=np.linspace(0, top, 31), color=COLOURS[0])
    for edge in (LOW, HIGH):
        axes.axvline(edge, color=_ON_GREY, linewidth=0.8, linestyle=":")
    axes.axvline(spectrum.white(dims), color=COLOURS[1], label="noise")
    ends = (0, LOW, HIGH, top)
    for i, (band, share) in enumerate(zip(BANDS, shares, strict=False)):
        axes.annotate(
            f"{band}\n{percent(share)}", ((ends[i] + ends[i + 1]) / 2, 1.0), xycoords=("data", "axes fraction"),
            ha="center", va="top", fontsize=8,
        )  # fmt: skip
    axes.margins(y=0.25)
    axes.set(
        title="(c) their spatial frequencies", xlabel="centroid (cycles per pixel)", ylabel="filters", xlim=(0, top)
    )
    axes.legend(loc="center right")


def draw_spectrum(axes: Any, power: Float[Tensor, "*size"], stride: Sequence[float], grid: Aliasing | None) -> None:
    """A spectrum along each axis, and the grid of a stride."""
    for axis, name in enumerate({1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}[power.ndim]):
        line = spectrum.along(power, axis)
        half = len(line) // 2 + 1
        at = torch.arange(half, dtype=torch.float64, device="cpu") / len(line)
        axes.plot(at, line[:half].clamp(min=1e-12), marker=".", label=f"along {name}")
    edges = [multiple / step for step in dict.fromkeys(stride) for multiple in range(1, math.floor(step / 2) + 1)]
    for i, edge in enumerate(edges):
        axes.axvline(edge, color=_ON_GREY, linewidth=0.8, linestyle="--", label="grid of the stride" if not i else None)
    said = "" if grid is None else f": {percent(grid.share)} near the grid, {percent(grid.smooth)} if smooth"
    axes.set(title=f"(e) their spectrum{said}", xlabel="cycles per pixel", ylabel="share of the energy", yscale="log")
    axes.yaxis.set_major_locator(_log_ticks())
    axes.yaxis.set_major_formatter(lambda share, _: percent(share))
    axes.yaxis.set_minor_formatter(lambda share, _: "")
    axes.legend()


def _log_ticks() -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1, 2, 5))


@dataclass(frozen=True, eq=False)
class FieldPanel:
    """An effective field as it is drawn: its title, its energy, and its width in pixels."""

    title: str
    energy: Float[Tensor, "*size"]
    width: float


def draw_fields(fields: Sequence[FieldPanel], columns: int, figure: Any) -> None:
    """The strength in each field, around which the theoretical one is drawn, and in it the width as a square."""
    rows = -(-len(fields) // columns)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(fields) :]:
        panel.axis("off")
    for panel, field in zip(panels, fields, strict=False):
        _draw_field(panel, field.energy.double(), field.width)
        panel.set_title(field.title)


def _draw_field(axes: Any, energy: Float[Tensor, "*size"], wide: float) -> None:
    if energy.ndim == 1:
        strength = energy.sqrt()
        at = torch.arange(len(energy), device="cpu") - (len(energy) - 1) / 2
        axes.plot(at, strength / strength.max())
        for edge in (-len(energy) / 2, len(energy) / 2):
            axes.axvline(edge, color=COLOURS[4], linestyle="--", linewidth=1)
        axes.set(ylim=(0, None))
        return
    strength = (energy.sum(0) if energy.ndim == 3 else energy).sqrt()
    height, width = strength.shape
    ends = (-width / 2, width / 2, height / 2, -height / 2)
    axes.imshow((strength / strength.max()).numpy(), extent=ends, cmap="inferno", vmin=0, vmax=1)
    axes.add_patch(_rectangle(width, height, COLOURS[0], "-"))
    axes.add_patch(_rectangle(wide, wide, COLOURS[4], "--"))
    margin = 1.08
    axes.set(xlim=(ends[0] * margin, ends[1] * margin), ylim=(ends[2] * margin, ends[3] * margin))
    axes.grid(visible=False)


def _rectangle(width: float, height: float, colour: str, line: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (-width / 2, -height / 2), width, height, fill=False, edgecolor=colour, linestyle=line, linewidth=1.2
    )


def say(axes: Any, words: str) -> None:
    """Words where there is nothing to draw."""
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes)
    axes.axis("off")


def mosaic(signals: Float[Tensor, "m c *size"], *, one_scale: bool = False) -> NDArray[np.uint8]:
    """Signals side by side on white, zero grey, none clipped: on the scale of the largest of all, or each on its own.

    Returns:
        (height, width, 3).
    """
    flat = [_flat(signal) for signal in signals.cpu().double()]
    limits = [float(each.abs().max()) for each in flat]
    limits = [(max(limits) if one_scale else limit) or 1.0 for limit in limits]
    tiles = [
        np.asarray(render(each, scale="linear", limit=limit)) for each, limit in zip(flat, limits, strict=True)
    ]  # fmt: skip
    height, width = tiles[0].shape[:2]
    columns = max(1, round(math.sqrt(len(tiles) * (height + 1) / (width + 1))))
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[y : y + height, x : x + width] = tile
    return canvas


def _flat(signal: Float[Tensor, "c *size"]) -> Float[Tensor, "part h w"]:
    """A signal as an image: of a volume the plane where it is strongest, with one axis each row is a channel."""
    if signal.ndim == 2:
        return signal[None]
    if signal.ndim == 4:
        deepest = int(signal.square().sum((0, 2, 3)).argmax())
        signal = signal[:, deepest]
    return signal if len(signal) in _COLOURS else magnitude(signal)[None]
