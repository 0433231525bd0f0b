"""How far a picture can be trusted: what the measures came to, in words and numbers, and the pictures behind them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from textwrap import fill
from typing import Any, Unpack

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from deconvnet._checks import text
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet._types import Box, Unit
from deconvnet.core.rules import RuleSet
from deconvnet.photos.photo import PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import sheets
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout, LayoutOptions
from deconvnet.pictures.numbers import significant
from deconvnet.pictures.planes import View, views
from deconvnet.pictures.render import limit_of, render
from deconvnet.probes.measure import Measure, Null
from deconvnet.probes.similarity import array_of, cosine, spearman, strength_of
from deconvnet.results.reconstruction import unit_words
from deconvnet.results.saved import Savable
from deconvnet.results.seen import Seen

_FIRST = ("other units", "occlusion", "edges", "other images", "random networks")  # what the verdict is made of
_SENTENCES = 3
_NOTHING = "None of the measures lies outside of what the picture would give by chance."


@dataclass(frozen=True, eq=False)
class Beside:
    """The pictures that a figure shows side by side, all of the same part of the input.

    Attributes:
        names: of the pictures.
        pictures: signed signals; the first is the unit's own.
        edges: of its image.
    """

    names: tuple[str, ...]
    pictures: Float[Tensor, "p c *field"]
    edges: Float[Tensor, "*field"]


@dataclass(frozen=True, eq=False)
class Trust(Savable):
    """How far the picture of one unit or class can be trusted.

    Attributes:
        unit: whose picture it is; `image` counts the images of the call.
        activation: of the unit, or the class's score.
        box: the input pixels that are looked at: the receptive field, as far as it lies in the image.
        rules: the rule set of the way down.
        others: what the other images were, in words.
        measures: what was asked, in order.
        beside: the picture beside others, for `figure`.
        notes: what a reader should know of the picture, in words.
        made_with: versions of deconvnet and torch.
    """

    unit: Unit
    activation: float
    box: Box
    rules: RuleSet
    others: str
    measures: tuple[Measure, ...]
    beside: Beside
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.measures)

    def __iter__(self) -> Iterator[Measure]:
        return iter(self.measures)

    def __getitem__(self, name: str) -> Measure:
        """A measure by its name.

        Raises:
            ArgumentError: it was not asked for.
        """
        wanted = text("name", name)
        for measure in self.measures:
            if measure.name == wanted:
                return measure
        raise ArgumentError(f"no measure {wanted!r}; there are {', '.join(repr(each.name) for each in self.measures)}.")

    def __repr__(self) -> str:
        return f"<Trust: {len(self)} measures of {self.title}>"

    @property
    def title(self) -> str:
        """The unit in a few words."""
        return f"{unit_words(self.unit)} of {self.unit.layer or 'the output'}, {self.rules.name}"

    @property
    def verdict(self) -> str:
        """At most three of the measures' sentences: what the picture rests on, whether its unit needs what it shows.

        A measure has a sentence only where its value lies outside of a null of at least 20 draws.
        """
        said = {measure.name: _first_sentence(measure.words) for measure in self.measures if measure.words}
        ordered = [said[name] for name in (*_FIRST, *(name for name in said if name not in _FIRST)) if name in said]
        return " ".join(ordered[:_SENTENCES]) or _NOTHING

    def text(self) -> str:
        """One page: of each measure the question, the value, its nulls and a sentence; then the verdict."""
        lines = [f"{self.title}: activation {significant(self.activation)}", _filled(f"Other images: {self.others}.")]
        lines.append("In brackets: from the quantile 0.05 to 0.95 of each null.")
        for measure in self.measures:
            lines += ["", measure.question, *(_filled(line, "  ") for line in _lines(measure))]
        return "\n".join([*lines, "", _filled(f"Verdict: {self.verdict}")])

    def to_frame(self) -> Any:
        """A row for each measure: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: measure, question, value (missing if it was not measured), words, why_not.
        """
        return frame({
            "measure": [each.name for each in self], "question": [each.question for each in self],
            "value": [each.value for each in self], "words": [each.words for each in self],
            "why_not": [each.why_not for each in self],
        })  # fmt: skip

    def figure(
        self, photo: PhotoLike | None = None, preprocess: Preprocess | None = None, **layout: Unpack[LayoutOptions]
    ) -> Figure:
        """The picture beside another unit's, noise's, its own in another image, and its image's edges.

        Each has below it how alike it is to the picture. Of inputs that have neither one nor three channels each
        channel has a row of its own, and of volumes each of three planes through the voxel where the picture is
        strongest.

        Args:
            photo: the one that the image was made of; its part stands beside the picture.
            preprocess: what made the image of it.
            tile, columns, dpi, title, text: as in `Reconstruction.sheet`.

        Raises:
            ArgumentError: signals along one axis; one of `photo` and `preprocess` without the other; also as
                `Reconstruction.sheet`.
            PhotoError: as `load_photo`.
        """
        chosen = Layout.of("Trust.figure", layout)
        if (photo is None) != (preprocess is None):
            raise ArgumentError("photo and preprocess go together: give both, or neither.")
        seen = None if photo is None or preprocess is None else Seen(photo, preprocess)
        cells = [cell for view in views(self.beside.pictures[0]) for cell in self._row(view, seen)]
        columns = len(self.beside.names) + 1 + (seen is not None)
        around = sheets.Around(f"{self.verdict} In pictures zero is grey.")
        titled = replace(chosen, title=chosen.title or self.title)
        return sheets.sheet(cells, titled, tile=_TILE, columns=columns, around=around)

    def _row(self, view: View, seen: Seen | None) -> list[sheets.Cell]:
        where = f"{view.words}: " if view.words else ""
        cells = (
            [] if seen is None else [sheets.Cell((seen.patch(self.box, view),), f"{where}the same part of the photo")]
        )
        for caption, picture in zip(self._captions(), self.beside.pictures, strict=True):
            cells.append(sheets.Cell((render(view.of(picture), limit=limit_of(picture)),), f"{where}{caption}"))
        edges = self.beside.edges[None]
        return [*cells, sheets.Cell((_grey(view.plane(edges)[0]),), f"{where}{self._edges_caption()}")]

    def _captions(self) -> list[str]:
        own, *others = (array_of(picture) for picture in self.beside.pictures)
        first, *names = self.beside.names
        alike = [(cosine(own, other), spearman(own, other)) for other in others]
        return [first] + [
            f"{name}: cosine {_rounded(of[0])}, rank correlation {_rounded(of[1])}"
            for name, of in zip(names, alike, strict=True)
        ]

    def _edges_caption(self) -> str:
        alike = spearman(strength_of(array_of(self.beside.pictures[0])), array_of(self.beside.edges))
        return f"the image's edges: rank correlation with the picture's strength {_rounded(alike)}"

    def _drawn(self, *, pixels: bool, **layout: Unpack[LayoutOptions]) -> Figure:
        return self.figure(**layout)


_TILE = 176
_WIDTH = 100


def _lines(measure: Measure) -> list[str]:
    """What a measure came to, for people."""
    details = "; ".join(f"{name} {significant(value)}" for name, value in measure.details)
    if measure.value is None:
        return [f"{measure.name}: not measured: {measure.why_not}", *([details] if details else [])]
    nulls = "; ".join(map(_null_words, measure.nulls))
    value = f"{measure.name}: {significant(measure.value)}"
    return list(filter(None, [f"{value} ({nulls})" if nulls else value, details, measure.words]))


def _filled(text: str, before: str = "") -> str:
    """Text in lines that a terminal holds, each with something before it."""
    return fill(text, _WIDTH, initial_indent=before, subsequent_indent=before, break_on_hyphens=False)


def _null_words(null: Null) -> str:
    if null.limits is None:
        draws = f"{len(null.draws)} draw{'s' * (len(null.draws) > 1)}"
        return f"{null.name}: median {np.median(null.draws):.2f} over {draws}"
    return f"{null.name}: {null.limits[0]:.2f} to {null.limits[1]:.2f}"


def _first_sentence(words: str) -> str:
    first, end, _ = words.partition(". ")
    return first + "." if end else words


def _rounded(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"


def _grey(strength: Float[Tensor, "h w"]) -> Image.Image:
    """Values of 0 or more as a grey picture, the largest white."""
    levels = (strength / strength.max().clamp(min=torch.finfo(strength.dtype).tiny) * 255).round()
    return Image.fromarray(levels.to(torch.uint8).numpy())
