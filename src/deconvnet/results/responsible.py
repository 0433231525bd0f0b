"""The units that a class rests on, with their pictures."""

from dataclasses import dataclass, replace
from typing import Unpack

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from deconvnet._checks import index_of, instance
from deconvnet._types import Box, Unit
from deconvnet.photos.photo import PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import sheets
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout, LayoutOptions
from deconvnet.pictures.numbered_boxes import numbered
from deconvnet.pictures.sheets import Around, Cell, percent
from deconvnet.results.reconstruction import Reconstruction, unit_words

_PHOTO_SIZE, _CELL_SIZE = 480, 124  # of a drawing, in pixels
_LEGEND = "boxes: where the units' pictures lie; %: share of the layer's contributions"


@dataclass(frozen=True, eq=False)
class Responsible:
    """The units of a layer that a class rests on, each carried down to the pixels alone.

    A contribution is a unit's activation times the signal of the class that arrives at it. Under the
    rule set `gradient` it is what the class score would lose to first order, were the unit zero. Under
    the others signals are rectified on their way, and contributions order the units without adding up
    to the score.

    Attributes:
        layer: where the units are.
        classes: of each image; channel None where a mask was the target.
        scores: (n,) of these on the way up; of a mask the sum.
        units: the units, k for each image, in order of images, then from strong to weak, with their
            pictures.
        signals: (m,) of the class, as it arrives at each unit.
        contributions: (m,) activation times signal, above 0.
        shares: (m,) each contribution divided by the sum of all positive ones of its image on the layer:
            above 0, and 1 at most for an image's together. No share of the score.
        notes: what a reader should know.
    """

    layer: str
    classes: tuple[Unit, ...]
    scores: Float[Tensor, " n"]
    units: Reconstruction
    signals: Float[Tensor, " m"]
    contributions: Float[Tensor, " m"]
    shares: Float[Tensor, " m"]
    notes: tuple[str, ...]

    def beside(self, photo: PhotoLike, preprocess: Preprocess, i: int = 0, **layout: Unpack[LayoutOptions]) -> Figure:
        """A photo with a numbered box where each unit's picture lies, beside these pictures and their patches.

        Args:
            photo: the one that image i was made of.
            preprocess: what made it.
            i: index of the image.
            tile: longer side of the units' pictures, in pixels; the photo is four times as large.
            columns: of pairs, beside the photo.
            dpi, text: as in `Reconstruction.sheet`.
            title: above all, such as the class and its probability.

        Raises:
            ArgumentError: no such image, or an input that has not one or three channels and two spatial axes.
        """
        i = index_of(i, len(self.classes), "images")
        instance("preprocess", preprocess, Preprocess)
        chosen = Layout(**layout)
        cells, boxes, facts = [], [], self.units.facts
        of_image = [m for m, unit in enumerate(self.units.units) if unit.image == i]
        for label, m in enumerate(of_image, 1):
            boxes.append(self.units.box(m))
            words = f"{label}: {unit_words(self.units.units[m])} ({percent(float(self.shares[m]))})"
            pair = self.units.picture(m), preprocess.patch(photo, boxes[-1])
            cells.append(Cell(pair, words, facts.stamp))
        bare = replace(chosen, title="")
        side = chosen.tile or chosen.pixels(_CELL_SIZE)
        framed = Cell((_with_boxes(photo, preprocess, boxes),), _LEGEND)
        left = sheets.sheet([framed], replace(bare, tile=round(_PHOTO_SIZE / _CELL_SIZE * side), columns=None))
        right = sheets.sheet(cells, bare, tile=_CELL_SIZE)
        return sheets.beside(left, right, chosen, around=Around(notice=facts.notice))


def _with_boxes(photo: PhotoLike, preprocess: Preprocess, boxes: list[Box]) -> Image.Image:
    """What the network sees of the photo, enlarged, with boxes of input pixels on it."""
    grown = _PHOTO_SIZE / max(preprocess.size)
    height, width = (round(grown * side) for side in preprocess.size)
    seen = preprocess.patch(photo, Box((0, 0), preprocess.size)).resize((width, height), Image.Resampling.LANCZOS)

    def corner(position: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(round(grown * at) for at in position)

    return numbered(seen, [Box(corner(box.low), corner(box.high)) for box in boxes])
