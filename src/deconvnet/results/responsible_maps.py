"""The feature maps that a class rests on over many photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import whole_number
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet._types import Unit
from deconvnet.photos.photo import PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import sheets
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout, LayoutOptions
from deconvnet.pictures.numbers import percent
from deconvnet.pictures.planes import PLANES
from deconvnet.pictures.sheets import Around, Cell
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.saved import Savable
from deconvnet.results.seen import pairs, seen_photos

_LEGEND = (
    "Each map's share of the contributions, the mean over all photos, and its strongest unit in the photo where the "
    "share is the largest. Zero is grey."
)


@dataclass(frozen=True, eq=False)
class ResponsibleMaps(Savable):
    """The feature maps of a layer that a class rests on over many photos, added up.

    Attributes:
        layer: where the maps are.
        photos: names of the photos that count.
        classes: the class of each of them.
        shares: of each photo and map, the sum of its positive contributions (activation times signal of the class)
            divided by that of all maps; a photo's add up to 1. No share of the score.
        skipped: name of each photo that does not count, and why.
        notes: what a reader should know.
        examples: for each of the strongest maps, if they were asked for, its strongest unit in the photo where its
            share is the largest, carried down; `image` of a unit counts `photos`.
        answers: what the class of each photo is called.
        made_with: versions of deconvnet and torch.
    """

    layer: str
    photos: tuple[str, ...]
    classes: tuple[int | None, ...]
    shares: Float[Tensor, "n c"]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    examples: Reconstruction | None = None
    answers: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.photos)

    def __repr__(self) -> str:
        photos = "1 photo" if len(self) == 1 else f"{len(self)} photos"
        return f"<ResponsibleMaps: {self.shares.shape[1]} maps of {self.layer!r} over {photos}>"

    @property
    def mean_shares(self) -> Float[Tensor, " c"]:
        """Of each map, its shares added up over all photos and divided by their number; all together are 1."""
        return self.shares.mean(0)

    def strongest(self, k: int = 9) -> list[tuple[int, float]]:
        """The maps of largest mean share, at most k and none without any: each with this share.

        Raises:
            ArgumentError: k is not a whole number of 1 or more.
        """
        means = self.mean_shares
        order = means.sort(descending=True, stable=True).indices[: whole_number("k", k)].tolist()
        return [(channel, float(means[channel])) for channel in order if means[channel] > 0]

    def sheet(
        self,
        photos: Sequence[PhotoLike] | None = None,
        preprocess: Preprocess | None = None,
        **layout: Unpack[LayoutOptions],
    ) -> Figure:
        """The examples of the strongest maps, each with the map's share, beside their patches of the photos.

        Args:
            photos: those that count, in the order of the result's `photos`; without them, pictures stand alone. Only
                those of examples are read.
            preprocess: what made the inputs of them.
            tile, columns, dpi, title, text: as in `Reconstruction.sheet`.

        Raises:
            ArgumentError: it was made without examples; fewer photos than count, or one of `photos` and `preprocess`
                without the other; a layout that cannot be drawn.
            PhotoError: as `load_photo`.
        """
        examples = self.examples
        if examples is None:
            raise ArgumentError(
                "the result was made without examples, which are what is drawn: responsible_maps(..., examples=9)."
            )
        seen = None if photos is None and preprocess is None else seen_photos(photos, preprocess, examples.units)
        cells, facts = list[Cell](), examples.facts
        for m, unit in enumerate(examples.units):
            listed = pairs(examples.whole(m), examples.box(m), None if seen is None else seen[unit.image])
            words = [self._words(unit)] + [""] * (len(listed) - 1)
            cells += [
                Cell(images, "; ".join(filter(None, [said, view.words])), facts.stamp)
                for said, (images, view) in zip(words, listed, strict=True)
            ]
        planes = f" {PLANES}" if len(examples.input_size) == 3 else ""
        beside = "" if seen is None else " Right: the same part of the photo."
        around = Around(f"{_LEGEND}{beside}{planes}", facts.notice)
        return sheets.sheet(cells, Layout.of("ResponsibleMaps.sheet", layout), columns=examples.columns, around=around)

    def _drawn(self, *, pixels: bool, **layout: Unpack[LayoutOptions]) -> Figure:
        return self.sheet(**layout)

    def _words(self, unit: Unit) -> str:
        """An example's map with its shares, for people."""
        channel = unit.channel or 0
        here = percent(float(self.shares[unit.image, channel]))
        return f"map {channel}: {percent(float(self.mean_shares[channel]))}; {here} in photo {self.photos[unit.image]}"

    def to_frame(self) -> Any:
        """A row for each feature map: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: layer, channel, and mean_share over all photos.
        """
        means = self.mean_shares.tolist()
        return frame({"layer": [self.layer] * len(means), "channel": [*range(len(means))], "mean_share": means})
