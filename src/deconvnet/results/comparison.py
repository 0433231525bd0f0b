"""Two results side by side: how alike their signals are, in numbers and in pictures."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import Tensor

from deconvnet._checks import flag, index_of, instance, short
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet._types import Box, Unit
from deconvnet.photos.photo import PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import render as pictures
from deconvnet.pictures import sheets
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout, LayoutOptions
from deconvnet.pictures.planes import PLANES, View, views
from deconvnet.pictures.render import Scale
from deconvnet.results.columns import unit_columns
from deconvnet.results.reconstruction import Crop, Reconstruction, caption, position_words
from deconvnet.results.saved import Savable
from deconvnet.results.seen import photos_of, seen_photos

_SSIM_WINDOW = 7


@dataclass(frozen=True, eq=False)
class Comparison(Savable):
    """Units of two results in pairs, and how alike the two signals of each pair are over the whole input.

    The numbers compare pictures, not units. Pictures of one photo share its switches and with them much of
    their structure, so that unlike units can have a cosine of 0.8 (Mahendran and Vedaldi 2016): set each
    number beside that of another unit at the same position, and beside that of random weights. A number that
    is not defined, as where a signal is zero everywhere, is nan, and `notes` says so.

    Attributes:
        a, b: the two results.
        names: what the two are called.
        cosine: (m,) of the angle between the signed signals, -1 to 1: 1 where one is a multiple of the
            other, -1 where with its sign turned. A few strong pixels decide it.
        rank_correlation: (m,) Spearman's, of the two magnitudes where either is above 0, -1 to 1: whether
            both are strong at the same pixels, whatever their signs and colours; below 0 where one is strong
            and the other is not. Faint pixels count as much as strong ones; pixels where both are 0, most of
            the input for a small receptive field, would only raise it and do not count.
        ssim: (m,) structural similarity, -1 to 1: whether the two look alike as pictures with linear scales
            of their own, in windows of 7 pixels; below 0 where bright and dark are exchanged. Each pixel counts
            as much as the two pictures together differ from grey there, because two faint windows always pass
            for alike.
        ratio: (m,) length of b's signal over that of a's (the root of the sum of squares): how many times
            as strong b is. A unit's signal grows with the activation that it starts from.
        notes: what a reader of the numbers and the pictures should know.
        made_with: versions of deconvnet and torch that compared.
    """

    a: Reconstruction
    b: Reconstruction
    names: tuple[str, str]
    cosine: Float[Tensor, " m"]
    rank_correlation: Float[Tensor, " m"]
    ssim: Float[Tensor, " m"]
    ratio: Float[Tensor, " m"]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.a)

    def __repr__(self) -> str:
        pairs = "1 pair" if len(self) == 1 else f"{len(self)} pairs"
        return f"<Comparison of {self.names[0]} and {self.names[1]}: {pairs} of units>"

    def words(self, i: int = 0) -> str:
        """The numbers of pair i in a line, for people.

        Args:
            i: index of the pair.

        Raises:
            ArgumentError: no such pair.
        """
        i = index_of(i, len(self), "pairs")
        named = [("cosine", self.cosine), ("rank correlation", self.rank_correlation), ("SSIM", self.ssim)]
        parts = [f"{name} {value:z.2f}" for name, values in named if not math.isnan(value := float(values[i]))]
        if not math.isnan(ratio := float(self.ratio[i])):
            parts.append(f"{self.names[1]} is {ratio:#.3g} times as strong")
        return ", ".join(parts) or "nothing to compare"

    def box(self, i: int, crop: Crop = "energy") -> Box:
        """The box of input pixels that the pictures of pair i show: what `Reconstruction.box` gives, of both.

        Args:
            i: index of the pair.
            crop: as in `Reconstruction.picture`.
        """
        a, b = self.a.box(i, crop), self.b.box(i, crop)
        return Box(tuple(map(min, a.low, b.low)), tuple(map(max, a.high, b.high)))

    def sheet(
        self,
        photos: Sequence[PhotoLike],
        preprocess: Preprocess,
        *,
        crop: Crop = "energy",
        scale: Scale = "logistic",
        common: bool = True,
        **layout: Unpack[LayoutOptions],
    ) -> Figure:
        """A row for each pair: the patch of the photo, a's picture, b's, and their difference, b less a.

        Each channel of inputs with neither one nor three, and each plane of a volume, has a row of its own.

        Args:
            photos: those that the images were made of, in their order.
            preprocess: what made them.
            crop, scale: as in `Reconstruction.picture`; all four show the same box.
            common: draw a pair on one scale, so that the stronger looks stronger, or (False) each signal on
                its own; then the difference is that of the signals divided by their scales.
            tile: longer side of each picture, in pixels; 224 on a screen.
            columns: pictures side by side; four make a row of each pair.
            dpi, title, text: as in `Reconstruction.sheet`.

        Raises:
            ArgumentError: as `Reconstruction.sheet`; also for a pair of units of two different images.
        """
        chosen = Layout.of("Comparison.sheet", layout)
        photos, cells = photos_of(photos, [*self.a.units, *self.b.units]), []
        instance("preprocess", preprocess, Preprocess)
        flag("common", common)
        seen = seen_photos(photos, preprocess, self.a.units)
        for i in range(len(self)):
            box, image = self.box(i, crop), self._image(i)
            for view, row in self._rows(i, box, scale, common):
                words = ": ".join(filter(None, [view.words, "the photo"]))
                cells += [sheets.Cell((seen[image].patch(box, view),), words), *row]
        return sheets.sheet(cells, chosen, tile=224, columns=4, around=self._around())

    def to_frame(self) -> Any:
        """A row for each pair: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: a_layer, a_channel, a_y, a_x, a_image and a_activation, the same for b, then cosine, rank_correlation,
        ssim and ratio; nan where a number is not defined.
        """
        columns: dict[str, list[Any]] = {}
        for name, r in (("a", self.a), ("b", self.b)):
            of_side = {**unit_columns(r.units, len(r.input_size)), "activation": r.activations.tolist()}
            columns |= {f"{name}_{column}": values for column, values in of_side.items()}
        measures = ("cosine", "rank_correlation", "ssim", "ratio")
        return frame({**columns, **{name: getattr(self, name).tolist() for name in measures}})

    def _drawn(self, *, pixels: bool, **layout: Unpack[LayoutOptions]) -> Figure:
        """A row for each pair: both pictures and their difference, on one scale."""
        rows = [row for i in range(len(self)) for _, row in self._rows(i, self.box(i), "logistic", True)]
        cells = [cell for row in rows for cell in row]
        return sheets.sheet(cells, Layout(**layout), tile=224, columns=3, around=self._around())

    def _rows(self, i: int, box: Box, scale: Scale, common: bool) -> Iterator[tuple[View, list[sheets.Cell]]]:
        """For each view, the pictures of pair i, and their difference."""
        a, b, difference = (pictures.crop(signal, box) for signal in self._scaled(i, scale, common))
        captions = [*self._captions(i), f"{self.names[1]} less {self.names[0]}: {self.words(i)}"]
        stamps = [self.a.facts.stamp, self.b.facts.stamp, ""]
        for view in views(a.abs() + b.abs(), box.low):
            drawings = [pictures.render(view.of(part), scale=scale, limit=1.0) for part in (a, b, difference)]
            said = [": ".join(filter(None, [view.words, words])) for words in captions]
            pictures_of = zip(drawings, said, stamps, strict=True)
            yield view, [sheets.Cell((image,), words, stamp) for image, words, stamp in pictures_of]

    def _around(self) -> sheets.Around:
        planes = PLANES if len(self.a.input_size) == 3 else ""
        return sheets.Around(f"Zero is grey. {planes}".rstrip(), self.a.facts.notice or self.b.facts.notice)

    def _image(self, i: int) -> int:
        image, other = self.a.units[i].image, self.b.units[i].image
        if image != other:
            raise ArgumentError(
                f"pair {i} holds units of images {image} and {other}, and a row shows one photo. Draw each with "
                "its own sheet."
            )
        return image

    def _scaled(self, i: int, scale: Scale, common: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Signals a, b and b less a, in parts of the limit of the scale."""
        a, b = _signals(self.a, self.b, i)
        if common:
            limits = [pictures.limit_of(torch.stack([a, b]), scale=scale)] * 2
        else:
            limits = [pictures.limit_of(signal, scale=scale) for signal in (a, b)]
        a, b = a / limits[0], b / limits[1]
        return a, b, b - a

    def _captions(self, i: int) -> list[str]:
        pair = zip(self.names, (self.a, self.b), strict=True)
        return [f"{name}: {caption(r.units[i], float(r.activations[i]))}" for name, r in pair]


def compare(a: Reconstruction, b: Reconstruction, *, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """How alike two results are, unit by unit.

    Args:
        a, b: of the same size of input: of two networks, two states of one, two rule sets, two units. Unit i
            of the one is compared with unit i of the other, at whatever positions they are.
        names: what to call the two.

    Raises:
        ArgumentError: inputs of different sizes or channels, or different numbers of units.

    Example:
        >>> from torch import nn, randn
        >>> from deconvnet import DeconvNet
        >>> x = randn(1, 3, 16, 16)
        >>> net = DeconvNet(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU()), x)
        >>> same = compare(net.project(x, "1", channel=2), net.project(x, "1", channel=2, start="one"))
        >>> round(float(same.cosine[0]), 3), round(float(same.ssim[0]), 3)
        (1.0, 1.0)
    """
    _check(a, b, names)
    measures: list[tuple[float, ...]] = []
    notes: list[str] = []
    for i in range(len(a)):
        signals = _signals(a, b, i)
        measures.append(_measures(*signals))
        remarks = (*_why_undefined(names, signals, measures[-1]), *_different_positions(a.units[i], b.units[i]))
        notes += [f"Pair {i}: {words}." for words in remarks]
    cosine, ranks, ssim, ratio = torch.tensor(measures, dtype=torch.float64, device="cpu").reshape(-1, 4).unbind(1)
    return Comparison(a, b, (names[0], names[1]), cosine, ranks, ssim, ratio, (*notes, *_inherited(a, b, names)))


def _check(a: Reconstruction, b: Reconstruction, names: tuple[str, str]) -> None:
    instance("a", a, Reconstruction)
    instance("b", b, Reconstruction)
    if not isinstance(names, tuple | list) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"names is two texts, of a and of b; got {short(names)}.")
    first, second = names
    if a.input_size != b.input_size:
        sizes = ["x".join(map(str, r.input_size)) for r in (a, b)]
        raise ArgumentError(
            f"{first} is on an input of {sizes[0]} and {second} on one of {sizes[1]}, so their pixels do not "
            "correspond. Give both the same size of input: --size, or load_model(..., size=...)."
        )
    if a.windows.shape[1] != b.windows.shape[1]:
        raise ArgumentError(
            f"{first} is on an input of {a.windows.shape[1]} channels and {second} on one of {b.windows.shape[1]}. "
            "Compare networks that take the same channels."
        )
    if len(a) != len(b):
        raise ArgumentError(
            f"{first} has {len(a)} units and {second} has {len(b)}, and they are compared in pairs. Project the "
            "same images and channels for both."
        )


def _signals(a: Reconstruction, b: Reconstruction, i: int) -> tuple[Tensor, Tensor]:
    """The two signals of pair i over the whole input."""
    return a.whole(i).cpu().double(), b.whole(i).cpu().double()


def _measures(a: Float[Tensor, "c *size"], b: Float[Tensor, "c *size"]) -> tuple[float, ...]:
    """Cosine, rank correlation, SSIM and ratio of two signals; nan where they are undefined."""
    if not (bool(a.any()) and bool(b.any())):
        return (math.nan,) * 4
    largest = a.abs().max(), b.abs().max()
    a, b = a / largest[0], b / largest[1]  # or the squares of small values vanish
    lengths = a.norm(), b.norm()
    cosine = float((a * b).sum() / (lengths[0] * lengths[1]))
    ratio = float(largest[1] / largest[0] * (lengths[1] / lengths[0]))
    return min(max(cosine, -1.0), 1.0), _rank_correlation(a, b), _ssim(a, b), ratio


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    sizes = torch.stack([signal.square().sum(0).flatten() for signal in (a, b)])  # their roots rank alike
    sizes = sizes[:, sizes.any(0)]
    if bool((sizes == sizes[:, :1]).all(1).any()):
        return math.nan
    return float(spearmanr(*sizes.numpy()).statistic)


def _ssim(a: Tensor, b: Tensor) -> float:
    if min(a.shape[1:], default=0) < _SSIM_WINDOW:
        return math.nan
    # brightnesses from 0 to 1: SSIM multiplies means, so among signed values two differences would make a likeness
    brightness = [(s / pictures.limit_of(s, scale="linear") / 2 + 0.5).clamp(0, 1).numpy() for s in (a, b)]
    _, local = structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image ships no types
        *brightness, win_size=_SSIM_WINDOW, data_range=1.0, channel_axis=0, full=True
    )
    return float(np.average(local, weights=sum(np.abs(picture - 0.5) for picture in brightness)))


def _why_undefined(
    names: tuple[str, str], signals: tuple[Tensor, Tensor], measures: tuple[float, ...]
) -> Iterator[str]:
    empty = [name for name, signal in zip(names, signals, strict=True) if not bool(signal.any())]
    if empty:
        yield f"the signal of {' and of '.join(empty)} is zero everywhere, so there is nothing to compare"
        return
    _, rank, ssim, _ = map(math.isnan, measures)
    if rank:
        yield "the rank correlation is not defined, because a magnitude is the same at every position"
    if ssim:
        yield f"SSIM is not defined below {_SSIM_WINDOW} pixels along an axis"


def _different_positions(a: Unit, b: Unit) -> Iterator[str]:
    if a.position and b.position and a.position != b.position:
        first, second = (position_words(unit.position or ()) for unit in (a, b))
        yield f"the units are at {first} and at {second}; the numbers compare the whole input"


def _inherited(a: Reconstruction, b: Reconstruction, names: tuple[str, str]) -> list[str]:
    """The notes of both results, with the name of the result where only one has it."""
    both = [note for note in a.notes if note in b.notes]
    own = [(name, note) for name, r in zip(names, (a, b), strict=True) for note in r.notes if note not in both]
    return [*both, *(f"{name}: {note}" for name, note in own)]
