"""`Reconstruction`: what came down, with what is needed to show it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from deconvnet._checks import as_list, index_of, instance, is_one_of, short, text
from deconvnet._errors import ArgumentError
from deconvnet._types import Box, Unit
from deconvnet.core.rules import RuleSet
from deconvnet.photos.photo import PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import render as pictures
from deconvnet.pictures import sheets
from deconvnet.pictures.outline import outlined
from deconvnet.pictures.render import Scale
from deconvnet.results.facts import Facts

Crop = Literal["energy", "field", "none"]

_MOST_DISPLAYED = 64


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Units of a network as the network sees them, in input space.

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
        masks: where a class of an output that is a map started from many positions at once, the input pixels
            nearest to these; False all over for other units. None where there are no such units.
    """

    units: tuple[Unit, ...]
    activations: Float[Tensor, " m"]
    windows: Float[Tensor, "m c *window"]
    boxes: Int[Tensor, "m 2 d"]
    input_size: tuple[int, ...]
    rules: RuleSet
    facts: Facts
    masks: Bool[Tensor, "m *size"] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the pictures should know, in words."""
        return self.facts.notes()

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        layers = ", ".join(dict.fromkeys(repr(unit.layer) for unit in self.units))
        size = "x".join(map(str, (self.windows.shape[1], *self.input_size)))
        units = "1 unit" if len(self) == 1 else f"{len(self)} units"
        return f"<Reconstruction: {units} of layer {layers} on {size}, rules: {self.rules.name}>"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows; None where nothing can be drawn, for which it shows the repr."""
        if len(self.input_size) != 2 or self.windows.shape[1] not in (1, 3) or not self.units:
            return None
        count = min(len(self), _MOST_DISPLAYED)
        title = f"the first {count} of {len(self)} units" if count < len(self) else ""
        file = io.BytesIO()
        sheets.sheet(self._cells(count), cell_size=320 if count == 1 else 128, title=title).save(file, "PNG")
        return file.getvalue()

    def full(self) -> Float[Tensor, "m c *size"]:
        """The signal over the whole input, zero outside each unit's box."""
        return torch.stack([self.whole(i) for i in range(len(self))])

    def whole(self, i: int) -> Float[Tensor, "c *size"]:
        """Unit i's signal over the whole input.

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

        Args:
            i: index of the unit.
            crop: "energy" for the box that holds 99 % of the energy, "field" for the receptive field,
                "none" for the whole input.
            scale: "logistic" or "linear"; see `deconvnet.render`.

        Raises:
            ArgumentError: the input has not two spatial axes.
        """
        return pictures.render(pictures.crop(self.whole(i), self.box(i, crop)), scale=scale)

    def box(self, i: int, crop: Crop = "energy") -> Box:
        """The box of input pixels that a picture of unit i shows; see `picture`.

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
        photos: Sequence[PhotoLike],
        preprocess: Preprocess,
        *,
        crop: Crop = "energy",
        scale: Scale = "logistic",
        title: str = "",
    ) -> Image.Image:
        """Every unit's picture beside its patch of the photo, captioned with map, position and activation.

        Args:
            photos: those that the images were made of, in their order.
            preprocess: what made them.
            crop, scale: as in `picture`; the patch shows the same box, at the photo's own resolution.
            title: above the sheet.

        Raises:
            ArgumentError: fewer photos than images; also as `picture`.
            PhotoError: as `load_photo`.
        """
        photos, cells = photos_of(photos, self.units), []
        instance("preprocess", preprocess, Preprocess)
        for i, (unit, activation) in enumerate(zip(self.units, self.activations.tolist(), strict=True)):
            patch = preprocess.patch(photos[unit.image], self.box(i, crop))
            cells.append(sheets.Cell((self.picture(i, crop=crop, scale=scale), patch), caption(unit, activation)))
        return sheets.sheet(cells, title=title)

    def beside(
        self, photo: PhotoLike, preprocess: Preprocess, i: int = 0, *, words: str = "", title: str = ""
    ) -> Image.Image:
        """A photo, unit i's picture over the whole input, and the photo where that is strong, in a row.

        Where a class of an output that is a map started from many positions, these are outlined on the photo.

        Args:
            photo: the one that the unit's image was made of.
            preprocess: what made it.
            i: index of the unit.
            words: caption of the picture; the unit's own by default.
            title: above the row.

        Raises:
            ArgumentError: no such unit; also as `picture`.
            PhotoError: as `load_photo`.
        """
        i = self._index(i)
        seen = instance("preprocess", preprocess, Preprocess).as_seen(photo)
        shown, legend = self._where_it_starts(i, seen)
        signal = self.whole(i)
        unit, activation = self.units[i], float(self.activations[i])
        return sheets.side_by_side(
            [shown, pictures.render(signal), pictures.overlay(seen, pictures.magnitude(signal))],
            [legend, text("words", words) or caption(unit, activation), "where it lies in the photo"],
            title=title,
        )

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write every unit's picture to one image file, captioned where there are several; the file's path.

        Raises:
            ArgumentError: the file is there already and `force` is not given, or its ending is unknown.
        """
        file = sheets.check_picture_path(path, force=force)
        cells = self._cells(len(self))
        image = cells[0].images[0] if len(cells) == 1 else sheets.sheet(cells)
        sheets.save_picture(image, file, force=force)
        return file

    def _where_it_starts(self, i: int, seen: Image.Image) -> tuple[Image.Image, str]:
        """The photo, with an outline around the positions that a class starts from, where these are many; its caption.

        The outline is left out where the signal was not carried down to the photo's pixels.
        """
        if self.masks is None or self.input_size != (seen.height, seen.width) or not bool(self.masks[i].any()):
            return seen, "what the network sees"
        return outlined(seen, self.masks[i].numpy()), "what the network sees; outlined: the positions it starts from"

    def _index(self, i: int) -> int:
        return index_of(i, len(self), "units")

    def _cells(self, count: int) -> list[sheets.Cell]:
        """The first units' pictures with their captions."""
        values = self.activations[:count].tolist()
        return [sheets.Cell((self.picture(i),), caption(self.units[i], value)) for i, value in enumerate(values)]


def photos_of(photos: Sequence[PhotoLike], units: Sequence[Unit]) -> list[Any]:
    """The photos that the images of these units were made of, checked to be a list that is long enough.

    Raises:
        ArgumentError: it is not.
    """
    listed, images = as_list(photos), 1 + max((unit.image for unit in units), default=-1)
    if listed is None or len(listed) < images:
        raise ArgumentError(f"photos is a list of the photos of all {images} images; got {short(photos)}.")
    return listed


def caption(unit: Unit, activation: float) -> str:
    """A unit and its activation in a few words, for people."""
    return f"{unit_words(unit)} = {activation:.3g}".lstrip()


def unit_words(unit: Unit) -> str:
    """A unit in a few words, for people."""
    word = "unit" if unit.position == () else "map"
    parts = [] if unit.channel is None else [f"{word} {unit.channel}"]
    if unit.position:
        parts.append("at " + ",".join(map(str, unit.position)))
    return " ".join(parts)
