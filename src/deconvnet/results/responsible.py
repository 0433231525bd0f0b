"""The units that a class rests on, with their pictures."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from deconvnet._checks import index_of, rows
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet._types import Box, Unit
from deconvnet.photos.photo import PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import sheets
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout, LayoutOptions
from deconvnet.pictures.numbered_boxes import numbered
from deconvnet.pictures.numbers import percent
from deconvnet.pictures.outline import outlined
from deconvnet.pictures.planes import PLANES, View, views
from deconvnet.pictures.sheets import Around, Cell
from deconvnet.results.columns import box_columns, unit_columns
from deconvnet.results.reconstruction import Reconstruction, outline_words, unit_words
from deconvnet.results.saved import Savable, rows_of
from deconvnet.results.seen import Seen, pairs

_PHOTO_SIZE, _CELL_SIZE = 480, 124  # of a drawing, in pixels
CONTRIBUTIONS = "the layer's sum of activation times signal, where it is above zero"
"""What the shares are of, for people."""

_LEGEND = f"boxes: where the units' pictures lie; %: share of {CONTRIBUTIONS}"


@dataclass(frozen=True, eq=False)
class Responsible(Savable):
    """The units of a layer that a class rests on, each carried down to the pixels alone.

    A contribution is a unit's activation times the signal of the class that arrives at it. Under the
    rule set `gradient` it is what the class score would lose to first order, were the unit zero. Under
    the others signals are rectified on their way, and contributions order the units without adding up
    to the score.

    `len(r)` is the number of units. `r[i]`, a slice, and the items of a loop are `Responsible`s of these units alone,
    with the classes of all images.

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
        masks: where each image's class starts, as in `Reconstruction`; None without classes that have a place.
        made_with: versions of deconvnet and torch.

    Example:
        >>> from torch import nn, randn
        >>> from deconvnet import DeconvNet
        >>> x = randn(1, 3, 16, 16)
        >>> net = DeconvNet(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 4)), x)
        >>> found = net.responsible(x, k=3)
        >>> len(found), [len(one) for one in found], bool(found[0].shares >= found[1].shares)
        (3, [1, 1, 1], True)
    """

    layer: str
    classes: tuple[Unit, ...]
    scores: Float[Tensor, " n"]
    units: Reconstruction
    signals: Float[Tensor, " m"]
    contributions: Float[Tensor, " m"]
    shares: Float[Tensor, " m"]
    notes: tuple[str, ...]
    masks: Bool[Tensor, "n *size"] | None = None

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, index: int | slice) -> "Responsible":
        chosen = rows(index, len(self), "units")
        return replace(self, units=self.units[chosen], **rows_of(self, chosen))

    def __iter__(self) -> Iterator["Responsible"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        units = "1 unit" if len(self) == 1 else f"{len(self)} units"
        images = len(self.classes)
        of_classes = f"the classes of {images} images rest" if images > 1 else f"{unit_words(self.classes[0])} rests"
        return f"<Responsible: {units} of layer {self.layer!r} that {of_classes} on, rules: {self.units.rules.name}>"

    def to_frame(self) -> Any:
        """A row for each unit: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: those of `Reconstruction.to_frame`, with target (index of the image's class, missing for a mask),
        target_name (what it is called), score of that class, signal, contribution and share.
        """
        classes = {unit.image: unit for unit in self.classes}
        scores = dict(zip(classes, self.scores.tolist(), strict=True))
        images = [unit.image for unit in self.units.units]
        units = self.units
        return frame({
            **unit_columns(units.units, len(units.input_size)),
            "target": [classes[image].channel for image in images],
            "target_name": [classes[image].name for image in images], "score": [scores[image] for image in images],
            "activation": units.activations.tolist(), "signal": self.signals.tolist(),
            "contribution": self.contributions.tolist(), "share": self.shares.tolist(), **box_columns(units.boxes),
        })  # fmt: skip

    def _drawn(self, *, pixels: bool, **layout: Unpack[LayoutOptions]) -> Figure:
        """The units' pictures, with their shares; a row for each image where all have equally many."""
        cells, facts, more = list[Cell](), self.units.facts, len(self.classes) > 1
        for m, unit in enumerate(self.units.units):
            of_image = f"image {unit.image}, " if more else ""
            cells += self._cells(m, f"{of_image}{self._words(m)}", None)
        counts = {*Counter(unit.image for unit in self.units.units).values()}
        columns = counts.pop() if more and len(counts) == 1 else None
        around = Around(f"Zero is grey; %: share of {CONTRIBUTIONS}{self._planes()}", facts.notice)
        return sheets.sheet(cells, Layout(**layout), columns=self.units.columns or columns, around=around)

    def _cells(self, m: int, words: str, seen: Seen | None) -> list[Cell]:
        """The views of unit m, beside those of the photo, if one is given."""
        listed = pairs(self.units.whole(m), self.units.box(m), seen)
        words_of = [words] + [""] * (len(listed) - 1)
        return [
            Cell(images, "; ".join(filter(None, [said, view.words])), self.units.facts.stamp)
            for said, (images, view) in zip(words_of, listed, strict=True)
        ]

    def _planes(self) -> str:
        return f". {PLANES}" if len(self.units.input_size) == 3 else ""

    def beside(
        self, photo: PhotoLike, preprocess: Preprocess, *, image: int | None = None, **layout: Unpack[LayoutOptions]
    ) -> Figure:
        """A photo with a numbered box where each unit's picture lies, beside these pictures and their patches.

        A volume is shown as three planes through the strongest unit, each with the boxes that it cuts. Where the class
        of an output that is a map started, or the answer of a detector sits, is outlined.

        Args:
            photo: the one that the image was made of.
            preprocess: what made it.
            image: index of the image that the photo is; needed where the units are of several images.
            tile: longer side of the units' pictures, in pixels; the photo is four times as large.
            columns: of pairs, beside the photo.
            dpi, text: as in `Reconstruction.sheet`.
            title: above all, such as the class and its probability.

        Raises:
            ArgumentError: no such image, none of the units is of it, or which is meant is not clear; or an input that
                has not one or three channels and two spatial axes.
        """
        image = self._image(image)
        chosen, seen = Layout.of("Responsible.beside", layout), Seen(photo, preprocess)
        cells, of_image = list[Cell](), [m for m, unit in enumerate(self.units.units) if unit.image == image]
        for label, m in enumerate(of_image, 1):
            cells += self._cells(m, f"{label}: {self._words(m)}", seen)
        bare = replace(chosen, title="")
        side = chosen.tile or chosen.pixels(_CELL_SIZE)
        left = sheets.sheet(
            self._framed(image, of_image, seen), replace(bare, tile=round(_PHOTO_SIZE / _CELL_SIZE * side), columns=1)
        )
        right = sheets.sheet(cells, bare, tile=_CELL_SIZE, columns=self.units.columns)
        around = Around(self._planes().lstrip(". "), self.units.facts.notice)
        return sheets.beside(left, right, chosen, around=around)

    def _framed(self, i: int, of_image: list[int], seen: Seen) -> list[Cell]:
        """Photo i with the boxes of these units, and the outline of its class's mask; of a volume in three planes."""
        mask = None if self.masks is None or not bool(self.masks[i].any()) else self.masks[i]
        legend = _LEGEND + (f"; {outline_words(self.classes[i])}" if mask is not None else "")
        cuts = views(self.units.whole(of_image[0])) if of_image else []
        planes = cuts if len(seen.size) == 3 else [View()]
        boxes = [self.units.box(m) for m in of_image]
        cells = []
        for n, plane in enumerate(planes[:3]):
            view = replace(plane, channel=None)
            region = None if mask is None else view.plane(mask[None])[0].numpy()
            words = "; ".join(filter(None, [view.words, legend * (n == 0)]))
            cells.append(Cell((_with_boxes(seen.whole(view), view, boxes, region),), words))
        return cells

    def _image(self, image: int | None) -> int:
        """The index of the image that is meant.

        Raises:
            ArgumentError: it is not clear, or none of the units is of it.
        """
        images = sorted({unit.image for unit in self.units.units})
        listed = ", ".join(map(str, images))
        if image is None:
            if not images:
                raise ArgumentError("there are no units to show.")
            if len(images) > 1:
                raise ArgumentError(f"the units are of images {listed}. Pass image=, the index of the photo's.")
            return images[0]
        image = index_of(image, len(self.classes), "images")
        if image not in images:
            raise ArgumentError(f"none of the units is of image {image}; they are of {listed or 'no image'}.")
        return image

    def _words(self, m: int) -> str:
        """Unit m and its share, for people."""
        return f"{unit_words(self.units.units[m])} ({percent(float(self.shares[m]))})"


def _with_boxes(seen: Image.Image, view: View, boxes: list[Box], region: Bool[np.ndarray, "h w"] | None) -> Image.Image:
    """What the network sees of the photo, enlarged, with the outline of a region and boxes of input pixels on it."""
    grown = _PHOTO_SIZE / max(seen.size)
    size = (round(grown * seen.width), round(grown * seen.height))
    large = seen.resize(size, Image.Resampling.LANCZOS)
    if region is not None:
        large = outlined(large, np.asarray(Image.fromarray(region).resize(size, Image.Resampling.NEAREST)))

    def corner(position: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(round(grown * at) for axis, at in enumerate(position) if axis != view.axis)

    cut = {label: box for label, box in enumerate(boxes, 1) if view.cuts(box)}
    return numbered(large, [Box(corner(box.low), corner(box.high)) for box in cut.values()], [*cut])
