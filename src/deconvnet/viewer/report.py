"""A report: what a network sees in some photos, as one page to click through and to hand on."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet._types import Box, LayerInfo, Unit
from deconvnet._version import __version__
from deconvnet.budget import in_bytes
from deconvnet.mechanism import Steps
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.preprocess import Photo, PhotoLike, load_photo
from deconvnet.reconstruction import Reconstruction
from deconvnet.saving import check_place, write_whole
from deconvnet.viewer.again import flags, setup, title
from deconvnet.viewer.images import Tiles, forward_tile, map_image, photo_pictures, signal_picture, webp
from deconvnet.viewer.pages import (
    CellView,
    ClassView,
    LayerView,
    MapView,
    PageView,
    PassedView,
    PhotoView,
    length,
    page_html,
)

SUFFIXES = (".html", ".htm")

_CLASSES = 5
_LAYERS = 16
_AT_ONCE = 32  # units
_OVERHEAD = 40_000  # bytes of a page without photos, at least
_MAP = 80  # bytes of a map besides its image


@dataclass(frozen=True, eq=False)
class Report:
    """A page about some photos.

    Attributes:
        html: the page, which needs nothing else.
        path: where it was written; None if nowhere.
    """

    html: str
    path: Path | None

    def __repr__(self) -> str:
        return f"<Report of {len(self.html) / 1e6:.2g} MB{'' if self.path is None else f' in {str(self.path)!r}'}>"

    def _repr_html_(self) -> str:
        """The page in a frame of a notebook, kept apart from the notebook's own."""
        style = "width:100%;height:80vh;border:1px solid #999"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{html.escape(self.html)}"></iframe>'


def report(
    net: DeconvNet,
    photos: PhotoLike | Sequence[PhotoLike],
    path: str | Path | None = None,
    *,
    loaded: LoadedModel,
    layers: Sequence[str] | None = None,
    maps: int = 48,
    budget: str | int = "10MB",
    force: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Report:
    """One self-contained page: of each photo the likeliest classes, and units of every layer, with their steps.

    Args:
        net: the network and the way down.
        photos: one or several, as `load_photo` takes them.
        path: the page's file, .html; None to write none, as for a notebook.
        loaded: how photos become the network's input, and what its classes are called.
        layers: those whose units are shown; by default the rectified ones on the way to the class, sixteen of them
            if there are more.
        maps: so many feature maps of each layer are shown, the strongest, and of the strongest more units than one.
        budget: how large the page may become, such as "10MB" or a number of bytes. It is shared among the photos;
            where it does not hold all, fewer maps and units are shown.
        force: replace a file that is there already.
        progress: called with the share that is done, 0 to 1, every now and then.

    Raises:
        ArgumentError: the budget does not hold the classes and one unit of each layer, a layer's activations are
            nowhere above zero, no photos, or no place for the file.
        PhotoError: a photo cannot be read.
        LayerNotFoundError, UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as `DeconvNet.project`.
        DeconvNetError: the disk refused.
    """
    place = None if path is None else Path(path)
    if place is not None:
        check_place(place, SUFFIXES, force=force)
    if isinstance(maps, bool) or not isinstance(maps, int) or maps < 1:
        raise ArgumentError(f"maps is a number of feature maps, 1 or more; got {maps!r}.")
    one = isinstance(photos, str | Path | Image.Image | np.ndarray | Tensor | Photo)
    several: list[PhotoLike] = [photos] if one else list(photos)  # type: ignore[list-item, arg-type]
    if not several:
        raise ArgumentError("there are no photos in the list. Give at least one.")
    room = (in_bytes(budget, "budget") - _OVERHEAD) // len(several)
    views: list[PhotoView] = []
    for photo in several:

        def tell(share: float) -> None:
            if progress is not None:
                progress((len(views) + share) / len(several))

        views.append(_photo(_look(net, loaded, photo, layers), maps, room, tell))
    again = setup(net, loaded), flags(net, loaded)
    page = page_html(PageView(title(net, loaded), net.rules.name, *again, __version__, tuple(views)))
    if place is not None:
        write_whole(place, lambda file: file.write(page.encode()))
    return Report(page, place)


@dataclass(frozen=True, eq=False)
class _Look:
    """A look at one photo: what all its views are made from.

    Attributes:
        net: the network and the way down.
        loaded: its preprocessing and labels.
        photo: what is looked at.
        name: what others can call it.
        x: (1, c, h, w) of it.
        steps: the way down of the likeliest class.
        infos: of all layers, for images of this size.
        maps: (c, *size) of the layers that are shown, by name, in the network's order.
    """

    net: DeconvNet
    loaded: LoadedModel
    photo: Photo
    name: str
    x: Tensor
    steps: Steps
    infos: Mapping[str, LayerInfo]
    maps: Mapping[str, Tensor]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The shown layers in the order of the way down, those beside it first, and their numbers."""
        passed = [step.layer for step in self.steps if step.layer in self.maps]
        aside = [name for name in reversed(list(self.maps)) if name not in passed]
        return {name: i for i, name in enumerate([*aside, *passed])}


def _look(net: DeconvNet, loaded: LoadedModel, photo: PhotoLike, layers: Sequence[str] | None) -> _Look:
    read = load_photo(photo)
    name = read.name if not isinstance(photo, str | Path) else str(photo)
    if not name.startswith("sample:"):
        name = Path(name).name  # its folder is nobody else's
    x = loaded.preprocess.images(read).to(loaded.example_input)
    steps = net.steps(x, target=_likeliest(net.probabilities(x)[0])[0].target)
    infos = net.layers_of(x)
    kept = net.activations(x, _rectified(steps, infos) if layers is None else list(layers))
    maps = {layer: kept[layer][0] for layer in infos if layer in kept}
    return _Look(net, loaded, read, name, x, steps, infos, maps)


def _rectified(steps: Steps, infos: Mapping[str, LayerInfo]) -> list[str]:
    """Rectified layers on the way of the likeliest class, in the network's order, at most `_LAYERS` of them.

    A concatenation of rectifiers stands for all of them; of more layers, some evenly along the way.
    """
    relus = {step.layer: step.undone for step in steps if step.layer in infos and infos[step.layer].kind == "relu"}
    joined = {layer: above for layer, above in relus.items() if {infos[name].kind for name in above} == {"cat"}}
    chosen = (relus.keys() - joined.keys()).union(*joined.values())
    rectified = [name for name in infos if name in chosen]
    last = len(rectified) - 1
    if last < _LAYERS:
        return rectified
    return [rectified[round(i * last / (_LAYERS - 1))] for i in range(_LAYERS)]


def _photo(look: _Look, most: int, room: int, tell: Callable[[float], None]) -> PhotoView:
    classes = tuple(_class(look, one) for one in _likeliest(look.net.probabilities(look.x)[0]))
    passed, last = _passed(look)
    image, whole, seen = photo_pictures(look.loaded.preprocess, look.photo)
    size = look.loaded.preprocess.size
    bare = PhotoView(look.name, image, whole, seen, size, classes, passed, last, (), look.steps.notes)
    layers: list[LayerView] = []
    for i, name in enumerate(look.maps):  # what a layer of small pictures leaves of its share goes to the next
        share = (room - length([bare]) - length(layers)) // (len(look.maps) - i)
        layers.append(_layer(look, name, most, share))
        tell((i + 1) / len(look.maps))
    return replace(bare, layers=tuple(layers))


def _passed(look: _Look) -> tuple[tuple[PassedView, ...], tuple[str, ...]]:
    """The shown layers in the order of the way down, and what brings a signal from the last to the pixels."""
    how: dict[str, tuple[str, ...]] = {}
    ways: list[str] = []
    for step in look.steps:
        if step.undone and step in look.steps.shown:
            ways.append(f"{', '.join(step.undone)}: {step.how}")
        if step.layer in look.maps:
            how[step.layer], ways = tuple(ways), []
    errors = {step.layer: step.error for step in look.steps}
    views = tuple(
        PassedView(name, how.get(name, ()), forward_tile(look.maps[name]), errors.get(name)) for name in look.numbers
    )
    return views, tuple(ways)


# Classes.


@dataclass(frozen=True)
class _Likely:
    """A class that the network finds likely; for networks that answer with a map, at the place where it is so most."""

    number: int
    place: tuple[int, ...]
    probability: float
    share: float | None

    @property
    def target(self) -> int | tuple[int, ...]:
        """As `DeconvNet.explain` takes it."""
        return (self.number, *self.place) if self.place else self.number


def _likeliest(chances: Float[Tensor, "*classes"]) -> list[_Likely]:
    """The likeliest classes; of a map, those that win most of its places."""
    flat = chances.reshape(-1 if chances.ndim < 2 else len(chances), math.prod(chances.shape[1:])).double().cpu()
    wins = torch.bincount(flat.argmax(0), minlength=len(flat)) / flat.shape[1]
    best = flat.amax(1)
    order = np.lexsort((np.arange(len(flat)), -best.numpy(), -(wins if flat.shape[1] > 1 else best).numpy()))
    found = []
    for c in order[:_CLASSES].tolist():
        place = np.unravel_index(int(flat[c].argmax()), tuple(chances.shape[1:])) if chances.ndim > 1 else ()
        share = float(wins[c]) if chances.ndim > 1 else None
        found.append(_Likely(c, tuple(map(int, place)), float(best[c]), share))
    return found


def _class(look: _Look, likely: _Likely) -> ClassView:
    tiles = Tiles(look.maps)
    result = look.net.explain(look.x, likely.target, watch=tiles.watch)
    down = tiles.passed(look.numbers)
    box = result.shown(0, "energy" if likely.place else "none")
    return ClassView(
        number=likely.number,
        label=look.loaded.label(likely.number),
        probability=likely.probability,
        place=likely.place,
        share=likely.share,
        box=_corners(box),
        picture=webp(signal_picture(result, 0, box)),
        steps=webp(tiles.strip(0, down)),
        down=tuple(look.numbers[layer] for layer in down),
    )


# Layers, maps and units.


def _layer(look: _Look, name: str, most: int, room: int) -> LayerView:
    """As many units of a layer as there is room for."""
    maps, info = look.maps[name], look.infos[name]
    order = _order(maps, most)
    if not order:
        raise ArgumentError(f"no activation of layer {name!r} is above zero in {look.name!r}: leave the layer out.")
    alive = int((maps.flatten(1).amax(1) if maps.ndim > 1 else maps).gt(0).sum())
    view = LayerView(name, info.size, info.channels, alive, info.receptive_field, (), ())
    down: list[str] = []
    images: dict[int, str] = {}
    cells: dict[int, list[CellView]] = {}
    left = room - length([view]) - _MAP
    for first in range(0, len(order), _AT_ONCE):
        units = [Unit(name, channel, place, 0) for channel, place in order[first : first + _AT_ONCE]]
        tiles = Tiles(look.maps)
        result = look.net.project(look.x, name, units=units, watch=tiles.watch)
        down = down or tiles.passed(look.numbers)
        for i, (channel, _) in enumerate(order[first : first + _AT_ONCE]):
            cell = _cell(result, i, tiles.strip(i, down))
            image = images.get(channel, map_image(maps[channel]))
            left -= length([cell]) + (0 if channel in images else len(image) + _MAP)
            if left < 0:
                break
            images[channel] = image
            cells.setdefault(channel, []).append(cell)
        if left < 0:
            break
    if not cells:
        raise ArgumentError(
            f"the budget holds not one unit of layer {name!r}, whose share is {max(room, 0) / 1e3:.3g} kB: "
            "allow a larger page, or ask for fewer photos or layers."
        )
    shown = tuple(MapView(channel, images[channel], tuple(found)) for channel, found in cells.items())
    return replace(view, down=tuple(look.numbers[layer] for layer in down), maps=shown)


def _order(maps: Float[Tensor, "c *size"], most: int) -> list[tuple[int, tuple[int, ...]]]:
    """Units above zero in the order in which they are shown: strong maps before weak, and of strong ones more units.

    The k-th unit of the m-th map comes where m * k**1.5 does, as far as `most`; of a map first come its peaks.
    """
    flat = maps.flatten(1).double().cpu() if maps.ndim > 1 else maps[:, None].double().cpu()
    size = tuple(maps.shape[1:])
    ranked = torch.sort(flat.amax(1), descending=True, stable=True).indices.tolist()[:most]
    found = []
    for m, channel in enumerate(ranked, start=1):
        values = flat[channel].view(size or (1,)).numpy()
        for k, place in enumerate(_places(values), start=1):
            if m * k**1.5 > most:
                break
            found.append((m * k**1.5, m, channel, place if size else ()))
    return [(channel, place) for _, _, channel, place in sorted(found)]


def _places(values: np.ndarray) -> list[tuple[int, ...]]:
    """Places above zero: first those that no neighbour exceeds, the strongest first, then the others."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(values, 1, constant_values=-np.inf), (3,) * values.ndim)
    peaks = values >= around.max(axis=tuple(range(values.ndim, 2 * values.ndim)))
    order = np.lexsort((np.arange(values.size), -values.ravel(), ~peaks.ravel()))
    return [tuple(map(int, np.unravel_index(i, values.shape))) for i in order if values.flat[i] > 0]


def _cell(result: Reconstruction, i: int, steps: Image.Image) -> CellView:
    box, activation = result.shown(i), float(f"{float(result.activations[i]):.6g}")
    picture = webp(signal_picture(result, i, box))
    return CellView(result.units[i].position or (), activation, _corners(box), picture, webp(steps))


def _corners(box: Box) -> tuple[int, int, int, int]:
    """Top, left, bottom and right."""
    (top, left), (bottom, right) = box.low, box.high
    return top, left, bottom, right
