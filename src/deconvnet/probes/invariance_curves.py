"""`Invariance`: how far features move, and a class's probability with them, as photos are moved, scaled and turned."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, Unpack

from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import flag, index_of, is_one_of, keywords, short
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet.pictures.plot import COLOURS, Plot, PlotOptions
from deconvnet.probes.curves import Curve, curve
from deconvnet.probes.thumbnails import draw_thumbnails
from deconvnet.probes.transforms import IDENTITY, Kind, Transforms, axis_of, words_of
from deconvnet.results.saved import Savable

MOST_PICTURES = 5  # photos that a figure shows
_PANEL = (2.1, 1.8)  # inches
_THUMBNAILS = 2.6  # inches, wide
_OTHER = {"color": "#8a8a8a", "linestyle": (0, (1, 2)), "linewidth": 1.2}
_BACKGROUND = {"color": "#bbbbbb", "linewidth": 0.5}  # of the photos, where they are too many for colours


@dataclass(frozen=True, eq=False)
class Responses:
    """What becomes of features and of the class under one kind of transform.

    Attributes:
        kind: "translation", "scale" or "rotation".
        values: of the transforms: pixels, ratios or degrees.
        distances: of each photo, layer and transform, the Euclidean distance of the activations from those of the photo
            as it is.
        probabilities: of each photo's class.
    """

    kind: Kind
    values: Float[Tensor, " t"]
    distances: Float[Tensor, "n l t"]
    probabilities: Float[Tensor, "n t"]


@dataclass(frozen=True, eq=False)
class Invariance(Savable):
    """How far a network's features and answers stay the same as photos are moved, scaled and turned.

    Attributes:
        photos: their names.
        layers: where distances are measured.
        classes: whose probability it is, one for each photo.
        labels: of these classes.
        before: their probabilities for the photos as they are.
        norms: of each photo and layer, the length of the activations; what `relative` divides by.
        others: of each photo and layer, the distance from the next photo's activations, for comparison; nan of a single
            photo.
        responses: one for each kind of transform.
        transforms: what was asked for.
        pictures: the first photos, five at most, as the network sees them, 0 to 1.
        around: what lies around them, for each channel of `pictures`.
        notes: what a reader should know.
        made_with: versions of deconvnet and torch.
    """

    photos: tuple[str, ...]
    layers: tuple[str, ...]
    classes: tuple[int, ...]
    labels: tuple[str, ...]
    before: Float[Tensor, " n"]
    norms: Float[Tensor, "n l"]
    others: Float[Tensor, "n l"]
    responses: tuple[Responses, ...]
    transforms: Transforms
    pictures: Float[Tensor, "p c *size"]
    around: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.photos)

    def __repr__(self) -> str:
        photos = "1 photo" if len(self) == 1 else f"{len(self)} photos"
        return f"<Invariance: {photos}, {', '.join(self.kinds)} at {', '.join(map(repr, self.layers))}>"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of transform that were measured."""
        return tuple(each.kind for each in self.responses)

    def __getitem__(self, kind: Kind) -> Responses:
        """What became of the features under a kind of transform: "translation", "scale" or "rotation".

        Raises:
            ArgumentError: it was not measured.
        """
        for each in self.responses:
            if is_one_of(kind, (each.kind,)):
                return each
        raise ArgumentError(f"the kinds of transform are {', '.join(self.kinds)} here; got {short(kind)}.")

    def relative(self, kind: Kind) -> Float[Tensor, "n l t"]:
        """The distances divided by the length of the activations of the photo as it is; nan where that is 0.

        Raises:
            ArgumentError: the kind was not measured.
        """
        return _divided(self[kind].distances, self.norms[..., None])

    def curve(self, kind: Kind, layer: str, photo: int = 0) -> Curve:
        """What one photo's distances say as numbers.

        Args:
            kind: of transform.
            layer: by name.
            photo: its index.

        Raises:
            ArgumentError: the kind, the layer or the photo was not measured.
        """
        distances = self.relative(kind)
        if not is_one_of(layer, self.layers):
            raise ArgumentError(f"the layers are {', '.join(map(repr, self.layers))} here; got {short(layer)}.")
        of_layer = distances[index_of(photo, len(self), "photos"), self.layers.index(layer)]
        return curve(kind, self[kind].values.numpy(), of_layer.numpy())

    def share_kept(self, kind: Kind) -> Float[Tensor, " n"]:
        """Of each photo, the share of transforms under which its class has half the probability or more.

        Raises:
            ArgumentError: the kind was not measured.
        """
        return (self[kind].probabilities >= self.before[:, None] / 2).double().mean(1)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of the table "numbers"; see `to_frame`."""
        others = _divided(self.others, self.norms)
        for kind in self.kinds:
            shares = self.share_kept(kind)
            for j, layer in enumerate(self.layers):
                for i, photo in enumerate(self.photos):
                    of_photo = {
                        "label": self.labels[i],
                        "before": float(self.before[i]),
                        "share_kept": float(shares[i]),
                    }
                    lengths = {"norm": float(self.norms[i, j]), "other": float(others[i, j])}
                    of_curve = asdict(self.curve(kind, layer, i))
                    yield {"kind": kind, "layer": layer, "photo": photo, **of_photo, **lengths, **of_curve}

    def _points(self) -> Iterator[dict[str, Any]]:
        for kind in self.kinds:
            responses, relative = self[kind], self.relative(kind)
            for j, layer in enumerate(self.layers):
                for i, photo in enumerate(self.photos):
                    for t, value in enumerate(responses.values.tolist()):
                        yield {
                            "kind": kind, "layer": layer, "photo": photo, "value": value,
                            "distance": float(responses.distances[i, j, t]), "relative": float(relative[i, j, t]),
                            "probability": float(responses.probabilities[i, t]),
                        }  # fmt: skip

    def to_frame(self, table: Literal["numbers", "curves"] = "numbers") -> Any:
        """The numbers as a table: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Args:
            table: "numbers": a row for each kind, layer and photo, with the columns kind, layer, photo, label, before,
                share_kept, norm, other (the relative distance of the next photo), and what `Curve` holds. "curves": a
                row for each single transform, with the columns kind, layer, photo, value, distance, relative and
                probability.

        Raises:
            ArgumentError: another table.
        """
        if not is_one_of(table, ("numbers", "curves")):
            raise ArgumentError(f"table is 'numbers' or 'curves'; got {short(table)}.")
        rows = list(self.rows() if table == "numbers" else self._points())
        return frame({name: [row[name] for row in rows] for name in rows[0]})

    def figure(self, *, relative: bool = True, **options: Unpack[PlotOptions]) -> Plot:
        """The curves in the layout of the paper's figure 5: a row for each kind of transform.

        From left: some of the transformed photos, the distance at each layer, and the probability of the class. A
        dotted line is the distance between different photos, the mean of `others`. Of more photos than have colours
        all curves are grey, and their mean is drawn.

        Args:
            relative: divide the distances by the length of the activations of the photo as it is.
            dpi: pixels of an inch: 30 to 1200; 200 by default.
            title: above the figure.

        Raises:
            ArgumentError: a wrong option.
        """
        keywords("Invariance.figure", options, PlotOptions.__annotations__)
        thumbnails = 1 if self.pictures.ndim == 4 else 0
        wide = _THUMBNAILS * thumbnails + _PANEL[0] * (1 + len(self.layers))
        draw = partial(self._draw, thumbnails=thumbnails, relative=flag("relative", relative))
        lines = len(self) if len(self) <= len(COLOURS) else 1
        return Plot(draw, min(wide, 100), _PANEL[1] * len(self.responses) + 0.2 * lines, **options)

    def _draw(self, figure: Any, *, thumbnails: int, relative: bool) -> None:
        columns = thumbnails + len(self.layers) + 1
        widths = [_THUMBNAILS / _PANEL[0]] * thumbnails + [1] * (columns - thumbnails)
        panels = figure.subplots(len(self.responses), columns, squeeze=False, width_ratios=widths)
        size = tuple(self.pictures.shape[2:])
        for row, responses in zip(panels, self.responses, strict=True):
            if thumbnails:
                axis = axis_of(self.transforms, size)
                values = responses.values.tolist()
                draw_thumbnails(row[0], self.pictures, responses.kind, values, axis=axis, around=self.around,
                                colours=self._colours)  # fmt: skip
            distances = self.relative(responses.kind) if relative else responses.distances
            others = _divided(self.others, self.norms) if relative else self.others
            for j, axes in enumerate(row[thumbnails:-1]):
                self._draw_curves(axes, responses, distances[:, j])
                if len(self) > 1:
                    axes.axhline(
                        float(others[:, j].nanmean()), **_OTHER, label="the next photo instead" if not j else ""
                    )
            self._draw_curves(row[-1], responses, responses.probabilities)
            row[-1].set_ylim(-0.02, 1.02)
            for axes in row[thumbnails:]:
                axes.set_xlabel(words_of(self.transforms, size, responses.kind))
        for j, layer in enumerate(self.layers):
            panels[0][thumbnails + j].set_title(f"{'relative ' * relative}distance at {layer}")
            top = max(axes.get_ylim()[1] for axes in panels[:, thumbnails + j])
            for axes in panels[:, thumbnails + j]:
                axes.set_ylim(0, top)
        panels[0][-1].set_title("probability of the class")
        handles, words = panels[0][thumbnails].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=2 if len(words) > 3 else len(words))

    @property
    def _colours(self) -> tuple[str, ...]:
        return COLOURS if len(self) <= len(COLOURS) else (_BACKGROUND["color"],)  # type: ignore[return-value]

    def _draw_curves(self, axes: Any, responses: Responses, curves: Float[Tensor, "n t"]) -> None:
        """Draw a curve for each photo; of many photos the mean in colour."""
        order = responses.values.argsort()
        values, sorted_curves = responses.values[order].numpy(), curves[:, order].numpy()
        many = len(self) > len(COLOURS)
        for i, each in enumerate(sorted_curves):
            style = _BACKGROUND if many else {"color": COLOURS[i]}
            named = "" if many else f"{self.photos[i]}: {self.labels[i]}"
            axes.plot(values, each, label=named, **style)
        if many:
            axes.plot(values, sorted_curves.mean(0), color=COLOURS[0], linewidth=2, label=f"mean of {len(self)} photos")
        axes.axvline(IDENTITY[responses.kind], color="#1a1a1a", linewidth=0.5)
        if responses.kind == "rotation":
            axes.set_xticks(range(0, 361, 90))

    _options = PlotOptions.__annotations__

    def _drawn(self, *, pixels: bool, **options: Unpack[PlotOptions]) -> Plot:
        return self.figure(**options)


def _divided(distances: Tensor, norms: Tensor) -> Tensor:
    """Distances relative to the length of the activations, nan where that is 0."""
    return (distances / norms).where(norms > 0, math.nan)
