"""`Reconstruction`: what came down, with what is needed to show it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack, get_args

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from deconvnet._checks import as_list, index_of, instance, is_one_of, rows, short, text, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet._types import Box, Unit
from deconvnet.core.rules import RuleSet
from deconvnet.photos.photo import PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import render as pictures
from deconvnet.pictures import sheets
from deconvnet.pictures.arrange import Arrange, arranged
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.heat import heat_bar
from deconvnet.pictures.layout import Layout, LayoutOptions
from deconvnet.pictures.numbers import significant
from deconvnet.pictures.outline import outlined
from deconvnet.pictures.planes import PLANES, View, drawn, views
from deconvnet.pictures.render import Scale
from deconvnet.results.columns import box_columns, unit_columns
from deconvnet.results.facts import Facts
from deconvnet.results.saved import Savable, rows_of
from deconvnet.results.seen import Seen, pairs, seen_photos

Crop = Literal["energy", "field", "none"]

_MOST_DISPLAYED, _MOST_CHANNELS = 64, 8
_LEGEND, _LEGEND_BESIDE = (
    "Zero is grey.",
    "Left: the unit carried down; zero is grey. Right: the same part of the photo.",
)


@dataclass(frozen=True, eq=False)
class Reconstruction(Savable):
    """Units of a network as the network sees them, in input space.

    `len(r)` is the number of units. `r[i]`, a slice, and the items of a loop are `Reconstruction`s of
    these units alone.

    Attributes:
        units: what was carried down.
        activations: (m,) value of each unit on the way up; the value at the strongest position for a
            whole map.
        windows: (m, c, *spatial) the signal inside each unit's box; signed, zero outside the input.
        boxes: (m, 2, d) low and high corner of each box in input pixels, high not included; may reach
            past the border.
        input_size: of the input, or of the layer that `to` named, per spatial axis.
        rules: the rule set of the way down.
        facts: what a reader of the pictures should know; `notes` says it in words.
        masks: of a class of an output that is a map, the input pixels nearest to the positions where it started; of
            a detector's answer those that its position stands for; False all over for other units. None where there
            are no such units.
        made_with: versions of deconvnet and torch.

    Example:
        >>> from torch import nn, randn
        >>> from deconvnet import DeconvNet
        >>> x = randn(1, 3, 16, 16)
        >>> net = DeconvNet(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU()), x)
        >>> maps = net.project(x, "1", channel="all")
        >>> len(maps), maps[2].units[0].channel, [unit.channel for unit in maps[-2:].units]
        (8, 2, [6, 7])
        >>> list(maps.to_frame())
        ['layer', 'channel', 'y', 'x', 'image', 'activation', 'y0', 'x0', 'y1', 'x1']
    """

    units: tuple[Unit, ...]
    activations: Float[Tensor, " m"]
    windows: Float[Tensor, "m c *window"]
    boxes: Int[Tensor, "m 2 d"]
    input_size: tuple[int, ...]
    rules: RuleSet
    facts: Facts
    masks: Bool[Tensor, "m *size"] | None = None

    def __post_init__(self) -> None:
        activations, windows, boxes = (
            instance(name, getattr(self, name), Tensor) for name in ("activations", "windows", "boxes")
        )
        counts = [len(tensor) if tensor.ndim else None for tensor in (activations, windows, boxes)]
        if counts != [len(instance("units", self.units, tuple))] * 3:
            raise ArgumentError(f"{len(self.units)} units have activations, windows and boxes each; got {counts}.")
        lengths = [whole_number("input_size", length, least=0, most=2**31) for length in as_list(self.input_size) or ()]
        size = torch.tensor(windows.shape[2:], device="cpu")
        if (
            boxes.shape[1:] != (2, len(lengths))
            or len(size) != len(lengths)
            or (boxes[:, 1] - boxes[:, 0] != size).any()
        ):
            raise ArgumentError(f"boxes are as large as the windows, {tuple(size.tolist())}, in input_size {lengths}.")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the pictures should know, in words."""
        return self.facts.notes()

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, index: int | slice) -> "Reconstruction":
        chosen = rows(index, len(self), "units")
        facts = self.facts.of(self.units, chosen, self.activations[chosen].tolist())
        return replace(self, units=self.units[chosen], facts=facts, **rows_of(self, chosen))

    def __iter__(self) -> Iterator["Reconstruction"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        layers = ", ".join(dict.fromkeys(repr(unit.layer) for unit in self.units))
        size = "x".join(map(str, (self.windows.shape[1], *self.input_size)))
        units = "1 unit" if len(self) == 1 else f"{len(self)} units"
        return f"<Reconstruction: {units} of layer {layers} on {size}, rules: {self.rules.name}>"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows; None where nothing can be drawn, for which it shows the repr."""
        if len(self.input_size) not in (2, 3) or self.windows.shape[1] > _MOST_CHANNELS or not self.units:
            return None
        count = min(len(self), _MOST_DISPLAYED)
        title = f"the first {count} of {len(self)} units" if count < len(self) else ""
        cells = [cell for i in range(count) for cell in self._cells(i)]
        tile = 320 if len(cells) == 1 else 160
        return sheets.sheet(cells, Layout(title=title), tile=tile, columns=self.columns)._repr_png_()

    def full(self) -> Float[Tensor, "m c *size"]:
        """The signal over the whole input, zero outside each unit's box."""
        if not self.units:
            return self.windows.new_zeros(0, self.windows.shape[1], *self.input_size)
        return torch.stack([self.whole(i) for i in range(len(self))])

    def whole(self, i: int) -> Float[Tensor, "c *size"]:
        """Unit i's signal over the whole input.

        Args:
            i: index of the unit.

        Raises:
            ArgumentError: no such unit.
        """
        i = self._index(i)
        whole = self.windows.new_zeros(self.windows.shape[1], *self.input_size)
        inside, part = self.box(i, "field").overlap(self.input_size)
        whole[inside] = self.windows[i][part]
        return whole

    def magnitude(self) -> Float[Tensor, "m *size"]:
        """The root of the sum of squares over the input's channels, over the whole input."""
        return pictures.magnitude(self.full(), axes=len(self.input_size))

    def picture(self, i: int = 0, *, crop: Crop = "energy", scale: Scale = "logistic") -> Image.Image:
        """Unit i as a picture: zero is mid-grey.

        Of inputs that have neither one nor three channels, each channel has a grey picture. A volume is shown as three
        planes through the voxel where the signal is strongest, across its first axis, the second and the third;
        small ones are enlarged. `sheet` names each channel and plane.

        Args:
            i: index of the unit.
            crop: "energy" for the box that holds 99 % of the energy, "field" for the receptive field,
                "none" for the whole input.
            scale: "logistic" or "linear"; see `deconvnet.render`.

        Raises:
            ArgumentError: the input has not two or three spatial axes.
        """
        return drawn(pictures.crop(self.whole(i), self.box(i, crop)), scale=scale)

    def box(self, i: int, crop: Crop = "energy") -> Box:
        """The box of input pixels that a picture of unit i shows.

        Args:
            i: index of the unit.
            crop: as in `picture`.

        Raises:
            ArgumentError: no such unit or crop.
        """
        i = self._index(i)
        if not is_one_of(crop, get_args(Crop)):
            raise ArgumentError(f"crop is 'energy', 'field' or 'none'; got {short(crop)}.")
        if crop == "none":
            return Box((0,) * len(self.input_size), self.input_size)
        low, high = self.boxes[i].tolist()
        if crop == "field":
            return Box(tuple(low), tuple(high))
        inner = pictures.energy_box(self.windows[i])
        return Box(
            tuple(a + b for a, b in zip(low, inner.low, strict=True)),
            tuple(a + b for a, b in zip(low, inner.high, strict=True)),
        )

    def sheet(
        self,
        photos: Sequence[PhotoLike] | None = None,
        preprocess: Preprocess | None = None,
        *,
        crop: Crop = "energy",
        scale: Scale = "logistic",
        arrange: Arrange = "grid",
        **layout: Unpack[LayoutOptions],
    ) -> Figure:
        """Every unit's picture, beside its patch of the photo, captioned with map, position and activation.

        Of inputs that have neither one nor three channels each channel has a tile of its own, and of volumes each of
        three planes through the voxel where the signal is strongest; captions name them.

        Args:
            photos: those that the images were made of, in their order; without them, pictures stand alone.
            preprocess: what made them.
            crop, scale: as in `picture`; the patch shows the same box, at the photo's own resolution.
            arrange: cells in a "grid", or the units of each feature map in a row ("rows") or a column ("columns").
            tile: longer side of each picture, in pixels; 160 on a screen.
            columns: cells side by side in a grid.
            dpi: pixels of an inch, 30 to 1200; text is 9 points.
            title: above the sheet.
            text: draw titles, captions and legends.

        Raises:
            ArgumentError: fewer photos than images, or one of `photos` and `preprocess` without the other; an unknown
                `arrange`, or a layout that cannot be drawn; also as `picture`.
            PhotoError: as `load_photo`.
        """
        chosen = Layout.of("Reconstruction.sheet", layout)
        seen = None if photos is None and preprocess is None else seen_photos(photos, preprocess, self.units)
        cells, groups = list[sheets.Cell](), list[tuple[str, int | None]]()
        for i, unit in enumerate(self.units):
            cells += self._cells(i, None if seen is None else seen[unit.image], crop=crop, scale=scale)
            groups += [(unit.layer, unit.channel)] * (len(cells) - len(groups))
        placed, columns = arranged(cells, groups, arrange, chosen)
        around = sheets.Around(self._legend(_LEGEND if photos is None else _LEGEND_BESIDE), self.facts.notice)
        return sheets.sheet(placed, chosen, columns=columns or self.columns, around=around)

    def beside(
        self,
        photo: PhotoLike,
        preprocess: Preprocess,
        i: int | Sequence[int] = 0,
        *,
        words: str | Sequence[str] = "",
        **layout: Unpack[LayoutOptions],
    ) -> Figure:
        """A photo, unit i's picture over the whole input, and where in the photo that is strong, in a row.

        The last is a map in colours on the photo in grey, with its scale. A picture that is the same for every photo
        says so, and its map is on plain grey. Each channel and plane has a row of its own, as in `sheet`.

        Where a class of an output that is a map started, or an answer of a detector sits, is outlined on the photo.

        Args:
            photo: the one that the unit's image was made of.
            preprocess: what made it.
            i: index of the unit; of several of this photo, each of which has a row.
            words: caption of the picture; the unit's own by default. Of several units one for each.
            tile, columns, dpi, title, text: as in `sheet`.

        Raises:
            ArgumentError: no such unit, or not one caption for each; also as `sheet`.
            PhotoError: as `load_photo`.
        """
        listed = as_list(i)
        indices = [self._index(i)] if listed is None else [self._index(each) for each in listed]
        said = [words] * len(indices) if isinstance(words, str) else as_list(words)
        if said is None or len(said) != len(indices):
            raise ArgumentError(f"words are a text, or one for each of the {len(indices)} units; got {short(words)}.")
        seen = Seen(photo, preprocess)
        cells = [cell for row in zip(indices, said, strict=True) for cell in self._row(row[0], seen, row[1])]
        tile, around = min(max(*seen.size, 224), 512), sheets.Around(self._legend(""), self.facts.notice)
        return sheets.sheet(cells, Layout.of("Reconstruction.beside", layout), tile=tile, columns=3, around=around)

    def _row(self, i: int, seen: Seen, words: str) -> list[sheets.Cell]:
        """The photo as the network sees it, unit i's picture, and where that is strong; of each view of the signal."""
        signal, stamp, cells = self.whole(i), self.facts.stamp, list[sheets.Cell]()
        said = text("words", words) or caption(self.units[i], float(self.activations[i]))
        photo, pixels = ("volume", "voxels") if len(self.input_size) == 3 else ("photo", "pixels")
        where = f"where it is strong, in every {photo}" if stamp else f"where it lies in the {photo}"
        strength = pictures.magnitude(signal, axes=len(self.input_size))[None]
        limits = pictures.limit_of(signal), pictures.limit_of(strength, scale="linear")
        for view in views(signal):
            image = seen.whole(view)
            start, legend = self._where_it_starts(i, image, view)
            picture = pictures.render(view.of(signal), limit=limits[0])
            strong = pictures.overlay(None if stamp else image, view.plane(strength)[0], limit=limits[1])
            named = f"{view.words}: " if view.words else ""
            cells += [
                sheets.Cell((start,), f"{named}{legend}"),
                sheets.Cell((picture,), f"{named}{said}; zero is grey", stamp),
                sheets.Cell((strong,), f"{where}: strength, relative to the strongest {pixels}", stamp, heat_bar()),
            ]
        return cells

    def to_frame(self) -> Any:
        """A row for each unit: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: layer, channel, y, x (position), image (index in the batch), activation, and y0, x0, y1, x1: low and
        high corner of the box in input pixels, high not included. With one or three spatial axes x alone, or z, y, x.
        What a unit does not have is missing: channel of a signal of your own, position of a whole map. Classes and
        other answers of the network also have a column name, behind image.
        """
        columns = {**unit_columns(self.units, len(self.input_size)), "activation": self.activations.tolist()}
        return frame({**columns, **box_columns(self.boxes)})

    def _drawn(self, *, pixels: bool, **layout: Unpack[LayoutOptions]) -> Figure | Image.Image:
        """Every unit's picture, captioned; one alone without words, in a file of pixels, if no layout is given."""
        alone = len(self) == 1 and self.columns is None and len(self.input_size) == 2
        return self.picture(0) if alone and pixels and not layout else self.sheet(**layout)

    @property
    def columns(self) -> int | None:
        """How many views of a unit stand side by side; None where there is one, or too many."""
        channels = self.windows.shape[1]
        if len(self.input_size) == 3:
            return 3
        return channels if channels not in (1, 3) and channels <= _MOST_CHANNELS else None

    def _legend(self, words: str) -> str:
        return " ".join(filter(None, [words, PLANES if len(self.input_size) == 3 else ""]))

    def _where_it_starts(self, i: int, seen: Image.Image, view: View) -> tuple[Image.Image, str]:
        """The photo, with an outline around what a class or an answer starts from; its caption.

        The outline is left out where the signal was not carried down to the photo's pixels.
        """
        legend = "what the network sees"
        if self.masks is None or not bool(self.masks[i].any()):
            return seen, legend
        region = view.plane(self.masks[i][None])[0]
        if tuple(region.shape) != (seen.height, seen.width) or not bool(region.any()):
            return seen, legend
        return outlined(seen, region.numpy()), f"{legend}; {outline_words(self.units[i])}"

    def _index(self, i: object) -> int:
        return index_of(i, len(self), "units")

    def _cells(
        self, i: int, seen: Seen | None = None, *, crop: Crop = "energy", scale: Scale = "logistic"
    ) -> list[sheets.Cell]:
        """The views of unit i with their captions, beside those of the photo, if one is given."""
        words = caption(self.units[i], float(self.activations[i]))
        return [
            sheets.Cell(images, "; ".join(filter(None, [words * (m == 0), view.words])), self.facts.stamp)
            for m, (images, view) in enumerate(pairs(self.whole(i), self.box(i, crop), seen, scale=scale))
        ]


def caption(unit: Unit, activation: float) -> str:
    """A unit and its activation in a few words, for people.

    Example:
        >>> caption(Unit("conv3", 348, (2, 0), 0), 407.2)
        'map 348 at row 2, column 0: activation 407'
    """
    named, value = unit_words(unit), f"activation {significant(activation)}"
    return f"{named}: {value}" if named else value


def unit_words(unit: Unit) -> str:
    """A unit in a few words, for people; an answer of the network by its name."""
    if unit.name:
        return unit.name
    word = "unit" if unit.position == () else "map"
    parts = [] if unit.channel is None else [f"{word} {unit.channel}"]
    if unit.position:
        parts.append(f"at {position_words(unit.position)}")
    return " ".join(parts)


def outline_words(unit: Unit) -> str:
    """What the outline on a photo is, for people.

    Args:
        unit: an answer of the network, which sits in the outline.
    """
    return f"outlined: where the {'answer sits' if unit.position == () else 'class starts'}"


def position_words(position: Sequence[int]) -> str:
    """A position in a map in words: row and column of a picture, and plain numbers where there are not two axes."""
    if len(position) == 2:
        return "row {}, column {}".format(*position)
    return f"position {','.join(map(str, position))}"
