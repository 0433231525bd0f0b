"""The units that a class rests on: a layer's activations times the signal of the class, the largest first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from deconvnet._errors import ArgumentError, TargetError
from deconvnet._types import Box, Unit, Value
from deconvnet.engine.layers import has_rows, maps_of, value_of
from deconvnet.engine.plan import Plan
from deconvnet.photos.photo import PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures.numbered_boxes import numbered
from deconvnet.pictures.sheets import Cell, percent, sheet
from deconvnet.results.reconstruction import Reconstruction, unit_words

_PHOTO_SIZE, _CELL_SIZE = 480, 124  # of a drawing, in pixels


@dataclass(frozen=True, eq=False)
class Ranking:
    """The strongest contributions of each image, k each, in order of images, then rank.

    Attributes:
        units: (n * k) where they are.
        signals: (n * k) of the class, as it arrives there.
        contributions: (n * k) activation times signal, above 0, from strong to weak.
        shares: (n * k) of all positive contributions of the same image on the layer, above 0, 1 at most.
    """

    units: tuple[Unit, ...]
    signals: Float[Tensor, " m"]
    contributions: Float[Tensor, " m"]
    shares: Float[Tensor, " m"]


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

    def beside(self, photo: PhotoLike, preprocess: Preprocess, i: int = 0, *, title: str = "") -> Image.Image:
        """A photo with a numbered box where each unit's picture lies, beside these pictures and their patches.

        Args:
            photo: the one that image i was made of.
            preprocess: what made it.
            i: number of the image.
            title: above all, such as the class and its probability.

        Raises:
            ArgumentError: no such image, or an input that has not one or three channels and two spatial axes.
        """
        if not 0 <= i < len(self.classes):
            raise ArgumentError(f"there are {len(self.classes)} images, numbered from 0; got {i!r}.")
        cells, boxes = [], []
        of_image = [m for m, unit in enumerate(self.units.units) if unit.image == i]
        for number, m in enumerate(of_image, 1):
            boxes.append(self.units.shown(m))
            words = f"{number}: {unit_words(self.units.units[m])} ({percent(float(self.shares[m]))})"
            cells.append(Cell((self.units.picture(m), preprocess.patch(photo, boxes[-1])), words))
        words = "boxes: where the units' pictures lie; %: share of the layer's contributions"
        left = sheet([Cell((_with_boxes(photo, preprocess, boxes),), words)], cell_size=_PHOTO_SIZE)
        right = sheet(cells, cell_size=_CELL_SIZE)
        both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
        both.paste(left, (0, 0))
        both.paste(right, (left.width, 0))
        return sheet([Cell((both,), "")], cell_size=max(both.size), title=title)


def _with_boxes(photo: PhotoLike, preprocess: Preprocess, boxes: list[Box]) -> Image.Image:
    """What the network sees of the photo, enlarged, with boxes of input pixels on it."""
    grown = _PHOTO_SIZE / max(preprocess.size)
    height, width = (round(grown * side) for side in preprocess.size)
    seen = preprocess.patch(photo, Box((0, 0), preprocess.size)).resize((width, height), Image.Resampling.LANCZOS)

    def corner(place: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(round(grown * at) for at in place)

    return numbered(seen, [Box(corner(box.low), corner(box.high)) for box in boxes])


def ranked(
    layer: str,
    activations: Float[Tensor, "n c *spatial"],
    signals: Float[Tensor, "n c *spatial"],
    k: int,
    first: int = 0,
) -> Ranking:
    """The k units of each image whose activation times signal is largest; of equal ones the first in order.

    Args:
        layer: the layer's name.
        activations: on the way up.
        signals: on the way down.
        k: how many of each image.
        first: number of the first image.

    Raises:
        ArgumentError: fewer than k units of an image have a product above 0.

    Example:
        >>> ranking = ranked("fc", torch.tensor([[2.0, 3.0, 1.0]]), torch.tensor([[1.0, 1.0, -1.0]]), 2)
        >>> [unit.channel for unit in ranking.units], ranking.shares
        ([1, 0], tensor([0.6000, 0.4000]))
    """
    wide = torch.promote_types(activations.dtype, torch.float32)  # products of half floats overflow soon
    arrived = signals.flatten(1).to(wide)
    products = activations.flatten(1).to(wide) * arrived
    for image, alive in enumerate((products > 0).sum(1).tolist(), first):
        if alive < k:
            raise ArgumentError(
                f"k={k}, but of the units of {layer!r} only {alive} have a contribution above 0 in image {image}: "
                + (f"ask for k={alive} or less." if alive else "choose another layer or another class.")
            )
    order = products.sort(dim=1, descending=True, stable=True).indices[:, :k]
    places = np.stack(np.unravel_index(order.cpu().numpy(), activations.shape[1:]), -1).tolist()
    units = [Unit(layer, c, tuple(at), image) for image, rows in enumerate(places, first) for c, *at in rows]
    chosen = products.gather(1, order)
    shares = chosen / products.clamp(min=0).sum(1, keepdim=True)
    return Ranking(tuple(units), arrived.gather(1, order).flatten(), chosen.flatten(), shares.flatten())


def joined(
    layer: str, explained: Reconstruction, units: Reconstruction, rankings: Sequence[Ranking], notes: Sequence[str]
) -> Responsible:
    """What was found in several forward passes, as one.

    Args:
        layer: where the units are.
        explained: the classes.
        units: the units, carried down.
        rankings: in order of images.
        notes: each is kept once.
    """
    return Responsible(
        layer=layer,
        classes=explained.units,
        scores=explained.activations,
        units=units,
        signals=torch.cat([ranking.signals for ranking in rankings]),
        contributions=torch.cat([ranking.contributions for ranking in rankings]),
        shares=torch.cat([ranking.shares for ranking in rankings]),
        notes=tuple(dict.fromkeys(notes)),
    )


def check_asked(target: Any, k: Any, scores: Value) -> None:
    """Whether it is one class for each image, and a number of units.

    Raises:
        TargetError: several classes; what is wrong with one alone, the seeds tell.
        ArgumentError: k is no whole number above 0.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ArgumentError(f"k is the number of units of each image, 1 or more; got {k!r}.")
    single = isinstance(target, Tensor) and target.ndim == 0
    if len(scores.shape) <= 2 and target is not None and not isinstance(target.item() if single else target, int):
        raise TargetError(f"target is one class, or None for the network's answer in each image; got {target!r}.")


def check_layer(way: Plan, layer: str) -> None:
    """Whether the signal of the classes passes through a layer's maps.

    Args:
        way: from the class scores to the input.
        layer: the layer's name.

    Raises:
        LayerNotFoundError: there is no such layer.
        ArgumentError: it does not, or the layer has no feature maps of each image.
    """
    value = value_of(way.graph, layer)
    if value.name not in way.chosen and value != way.graph.input:
        raise ArgumentError(
            f"no signal of the class travels down to {layer!r}: choose a layer between the input and the classes."
        )
    maps_of(way.graph, layer)


def last_maps(way: Plan) -> str:
    """The layer whose units are taken where none is named: the last rectified maps on the way to the class.

    Smooth activations that the rules admit count as rectifiers. Branches of a block that are rectified
    one by one and then joined count as one. Maps have more than one position, and there is not just one
    for each class. Where there are none, the last maps of any kind; else the last rectified layer.

    Args:
        way: from the class scores to the input.

    Raises:
        ArgumentError: there is no such layer.
    """
    classes = way.start.sizes(1)[1:2]
    known = [
        (layer, value)
        for layer, value in way.graph.layers.items()
        if value.name in way.chosen
        and has_rows(way.graph, value)
        and len(value.shape) > 1
        and value.sizes(1)[1:2] != classes
    ]
    maps = [(layer, value) for layer, value in known if math.prod(value.sizes(1)[2:]) > 1]
    bent = [(layer, value) for layer, value in known if value.name in way.rectified]
    for several in ([one for one in maps if one in bent], maps, bent):
        if several:
            return next(layer for layer, value in several if value == several[-1][1])
    raise ArgumentError("no layer on the way to the class has feature maps of its own: say which with layer=.")
