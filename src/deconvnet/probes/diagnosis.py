"""`Diagnosis`: what the first two layers of a network look like, in numbers, words and pictures (section 4.1)."""

from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Any, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deconvnet._checks import keywords, real_number
from deconvnet._frames import frame
from deconvnet.pictures.numbers import percent
from deconvnet.pictures.plot import Plot, PlotOptions
from deconvnet.probes import panels, spectrum
from deconvnet.probes.effective_field import EffectiveFields, field_panels
from deconvnet.probes.spectrum import BANDS, HIGH, LOW, Aliasing
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.saved import Savable

DEAD = 1e-2  # of the median size: what is at most as large is dead by its weights
_FILTERS, _PICTURES = 256, 64  # that are drawn, at most
_WIDTH, _ROW = 9.6, 3.0  # inches


@dataclass(frozen=True, eq=False)
class Diagnosis(Savable):
    """What the first layer's filters, the second layer's pictures and the effective receptive fields show.

    The paper looks at these pictures and gives no numbers (section 4.1, figure 6); what is counted here is our reading
    of its words.

    Attributes:
        layer: name of the first layer.
        filters: of each of its maps, as it comes down to the pixels: with the scale of a batch norm that follows.
        stride: of the first layer, in pixels along each axis; None if that is unknown.
        second: name of the second layer; None if there is none.
        photos: number of images that were looked at.
        largest: of each map of the first layer, its largest activation over all images; None without images.
        second_largest: the same for the second layer.
        pictures: the strongest unit over all images of each of the second layer's maps that is ever above zero, carried
            down; `image` of a unit counts the images. At most 128 maps, evenly spaced.
        fields: effective receptive fields.
        skipped: name of each photo that could not be used, and why.
        notes: what a reader should know.
        made_with: versions of deconvnet and torch.
    """

    layer: str
    filters: Float[Tensor, "maps c *kernel"]
    stride: tuple[float, ...] | None = None
    second: str | None = None
    photos: int = 0
    largest: Float[Tensor, " maps"] | None = None
    second_largest: Float[Tensor, " second"] | None = None
    pictures: Reconstruction | None = None
    fields: EffectiveFields | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        size = "x".join(map(str, self.filters.shape[1:]))
        over = f" over {self.photos} photos" if self.photos else ""
        return f"<Diagnosis of {self.layer!r}: {len(self.filters)} filters of {size}{over}>"

    @cached_property
    def sizes(self) -> Float[Tensor, " maps"]:
        """The root of the mean square (RMS) of each filter."""
        return self.filters.double().square().flatten(1).mean(1).sqrt()

    @property
    def dominance(self) -> float | None:
        """The largest RMS over the median; None if half of the filters are zero."""
        median = float(self.sizes.quantile(0.5))
        return float(self.sizes.max()) / median if median else None

    @property
    def largest_share(self) -> float:
        """The largest filter's share of the energy (sum of squares) of all; 0 if all are zero."""
        energy = self.sizes.square()
        return float(energy.max() / energy.sum()) if bool(energy.any()) else 0.0

    @property
    def dead_by_weight(self) -> Bool[Tensor, " maps"]:
        """The filters whose RMS is at most 1 % of the median."""
        return self.sizes <= DEAD * self.sizes.quantile(0.5)

    @property
    def dead_by_data(self) -> Bool[Tensor, " maps"] | None:
        """The first layer's maps that are above zero in none of the images, so that a rectifier leaves nothing."""
        return None if self.largest is None else self.largest <= 0

    @property
    def second_dead_by_data(self) -> Bool[Tensor, " second"] | None:
        """The same for the second layer."""
        return None if self.second_largest is None else self.second_largest <= 0

    @cached_property
    def centroids(self) -> Float[Tensor, " maps"]:
        """The mean spatial frequency of each filter's energy, in cycles per pixel; nan for one that is zero.

        Filters are padded with zeros before the transform, to 64 x 64 pixels (256 with one axis, 32 with three).
        """
        return spectrum.centroids(self.filters)

    @property
    def bands(self) -> tuple[float, float, float] | None:
        """The share of the filters whose centroid is low (below 1/6 cycles per pixel), mid, and high (1/3 or more).

        None where a filter is one pixel. Filters that are dead by their weights do not count.
        """
        alive = self.centroids[~self.dead_by_weight.cpu()]
        if prod(self.filters.shape[2:]) < 2 or not len(alive):
            return None
        low, high = float((alive < LOW).double().mean()), float((alive >= HIGH).double().mean())
        return low, 1 - low - high, high

    @cached_property
    def spectrum(self) -> Float[Tensor, "*size"] | None:
        """The mean power spectrum of `pictures`, without the constant part; all together is 1."""
        return None if self.pictures is None else spectrum.mean_spectrum(self.pictures.windows)

    def aliasing(self, stride: float | None = None) -> Aliasing | None:
        """The energy of the second layer's pictures near multiples of 1 / stride, beside that of a smooth spectrum.

        Args:
            stride: in pixels, along each axis, such as that of another network; the first layer's own by default.

        Returns:
            None without pictures, where the stride is below 2 and leaves no grid, or where the pictures have
            too few pixels.

        Raises:
            ArgumentError: the stride is not a number above 0.
        """
        own = self.stride if stride is None else None
        if stride is not None:
            own = (real_number("stride", stride, least=0, above=True),) * (self.filters.ndim - 2)
        if self.spectrum is None or own is None or self.spectrum.ndim != len(own):
            return None
        return spectrum.aliasing(self.spectrum, own)

    @property
    def words(self) -> str:
        """What was measured, in words, each number beside what it may be compared with."""
        return " ".join([*_of_filters(self), *_of_images(self), *_of_fields(self)])

    def to_frame(self) -> Any:
        """A row for each filter: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: layer, channel, rms, centroid (missing for a filter that is zero), band, dead_by_weight, and
        largest activation (missing without images).
        """
        centroids, count = self.centroids.tolist(), len(self.filters)
        return frame({
            "layer": [self.layer] * count, "channel": [*range(count)], "rms": self.sizes.tolist(),
            "centroid": [None if value != value else value for value in centroids],
            "band": [_band(value) for value in centroids], "dead_by_weight": self.dead_by_weight.tolist(),
            "largest": [None] * count if self.largest is None else self.largest.tolist(),
        })  # fmt: skip

    def figure(self, **options: Unpack[PlotOptions]) -> Plot:
        """The paper's figure 6, with numbers.

        Filters on one scale, none of them clipped; each on its own; their spatial frequencies; and, where images were
        looked at, the second layer's pictures, their spectrum beside a smooth one, and the effective receptive fields.
        Of filters or pictures with other than one or three channels the magnitude is shown; of volumes the plane across
        the first axis where each is strongest; with one spatial axis each row is a channel.

        Args:
            dpi, title: as in `Plot`.

        Raises:
            ArgumentError: more than three spatial axes.
        """
        keywords("Diagnosis.figure", options, PlotOptions.__annotations__)
        panels.check_axes(self.filters.ndim - 2)
        title = f"{self.layer} and {self.second}" if self.pictures is not None else self.layer
        chosen: PlotOptions = {"title": title, **options}
        rows = 1 + (self.largest is not None) + (self.fields is not None)
        return Plot(partial(_draw, self), _WIDTH, _ROW * rows, **chosen)

    _options = PlotOptions.__annotations__

    def _drawn(self, *, pixels: bool, **options: Unpack[PlotOptions]) -> Plot:
        return self.figure(**options)


def _draw(of: Diagnosis, figure: Any) -> None:
    """The figure's rows: filters, second-layer pictures, effective fields."""
    rows = iter(figure.add_gridspec(round(figure.get_figheight() / _ROW), 1))
    a, b, c = figure.add_subfigure(next(rows)).subplots(1, 3)
    filters, alive = of.filters[:_FILTERS], of.centroids[~of.dead_by_weight.cpu()]
    panels.show(a, panels.mosaic(filters, one_scale=True), f"(a) {len(filters)} filters of {of.layer}, on one scale")
    panels.show(b, panels.mosaic(filters), "(b) each on its own scale")
    panels.draw_bands(c, alive, of.bands or (), of.filters.ndim - 2)
    if of.largest is not None:
        d, e = figure.add_subfigure(next(rows)).subplots(1, 2)
        if of.pictures is None or of.spectrum is None:
            panels.say(d, "no map of the second layer is above zero" if of.second else "a second layer was not found")
            panels.say(e, "no pictures, so no spectrum")
        else:
            order = of.pictures.activations.argsort(descending=True, stable=True)[:_PICTURES].sort().values
            windows = panels.mosaic(of.pictures.windows[order])
            panels.show(d, windows, f"(d) {len(order)} pictures of {of.second}")
            panels.draw_spectrum(e, of.spectrum, of.stride or (), of.aliasing())
    if of.fields is not None:
        below = figure.add_subfigure(next(rows))
        below.suptitle(f"(f) effective receptive fields ({panels.FIELD_WORDS})", fontsize=9)
        listed = field_panels(of.fields)[: panels.MOST_FIELDS]
        panels.draw_fields(listed, len(listed), below)


def _band(centroid: float) -> str | None:
    if centroid != centroid:
        return None
    return BANDS[(centroid >= LOW) + (centroid >= HIGH)]


def _of_filters(of: Diagnosis) -> list[str]:
    count, channels, *kernel = of.filters.shape
    steps = "" if of.stride is None else f", stride {'x'.join(f'{step:g}' for step in dict.fromkeys(of.stride))}"
    median = float(of.sizes.quantile(0.5))
    words = [f"First layer {of.layer}: {count} filters of {'x'.join(map(str, kernel))} pixels and {channels} "
             f"channel{'s' * (channels > 1)}{steps}."]  # fmt: skip
    if of.dominance is None:
        words.append("At least half of the filters are zero.")
    else:
        words.append(
            f"The largest filter's RMS is {of.dominance:.3g} times the median ({median:.3g}), and it holds "
            f"{percent(of.largest_share)} of the energy of all; equal filters would hold {percent(1 / count)} each."
        )
    dead = int(of.dead_by_weight.sum())
    words.append(f"Filters with an RMS of at most 1 % of the median: {dead} of {count}.")
    if of.bands is not None:
        low, mid, high = map(percent, of.bands)
        words.append(
            f"Spatial frequency (centroid of the energy): {low} of the filters low, below 1/6 cycles per pixel, {mid} "
            f"mid, {high} high, 1/3 or more; noise has its centroid at {spectrum.white(len(kernel)):.2f}."
        )
    return words


def _of_images(of: Diagnosis) -> list[str]:
    if of.dead_by_data is None:
        return ["Without photos nothing is known of activations."]
    over = f"In {of.photos} photo{'s' * (of.photos != 1)}"
    words = [f"{over}, {int(of.dead_by_data.sum())} of {len(of.dead_by_data)} maps of {of.layer} are never above zero"]
    if of.second_dead_by_data is not None:
        words[0] += f", and {int(of.second_dead_by_data.sum())} of {len(of.second_dead_by_data)} of {of.second}"
    words[0] += "."
    grid = of.aliasing()
    if grid is not None and of.stride is not None:
        steps = " and ".join(f"1/{step:g}" for step in dict.fromkeys(of.stride))
        words.append(
            f"Within one bin of multiples of {steps} cycles per pixel, the grid of the first layer's stride, lies "
            f"{percent(grid.share)} of the energy of {of.second}'s pictures; a smooth spectrum would have "
            f"{percent(grid.smooth)} there."
        )
    elif of.pictures is not None and of.stride is not None and max(of.stride, default=1) < 2:
        words.append(f"A stride of 1 leaves no grid in the pictures of {of.second}.")
    elif of.pictures is not None:
        words.append(f"The pictures of {of.second} are too small to tell the grid of a stride from a smooth spectrum.")
    return words


def _of_fields(of: Diagnosis) -> list[str]:
    if of.fields is None or not len(of.fields):
        return []
    widths = ", ".join(
        f"{field.layer} {field.width:.3g} of {'x'.join(map(str, field.theoretical))} (deviation "
        f"{field.deviation:.3g}, of an even field {field.even_deviation:.3g})"
        for field in of.fields
    )
    return [
        f"Width in pixels of the effective receptive field after Luo et al. (2016), of the theoretical one: {widths}."
    ]


def largest_unit(values: Float[Tensor, "n maps *size"]) -> tuple[Float[Tensor, " maps"], list[tuple[int, ...]]]:
    """Of each map, its largest activation in a batch, and where: the image, and the index per spatial axis."""
    by_map = values.transpose(0, 1).flatten(1)
    largest, at = by_map.max(1)
    shape = (len(values), *values.shape[2:])
    where = torch.stack(torch.unravel_index(at.cpu(), shape), 1).tolist()
    return largest.cpu(), [tuple(index) for index in where]
