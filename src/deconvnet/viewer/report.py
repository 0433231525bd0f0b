"""A report: what a network sees in some photos, as one page to click through and to hand on."""

import html
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from deconvnet._errors import ArgumentError, DeconvNetError, NotFiniteError, PhotoError
from deconvnet._files import check_writable, write_whole
from deconvnet._memory import in_bytes
from deconvnet._types import Box, LayerInfo, Unit
from deconvnet._version import __version__
from deconvnet.capture.trace import unwrap
from deconvnet.engine.layers import PIXELS
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.photos.photo import Photo, PhotoLike, load_photo
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.steps import Steps
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
from deconvnet.viewer.repeat import flags, setup, source, title
from deconvnet.viewer.select import Likely, likeliest, rectified, units_of

SUFFIXES = (".html", ".htm")

_AT_ONCE = 32  # units
_TITLE = 64  # bytes that tell how many photos there are
_MAP = 80  # bytes of a map besides its image
_UNCHANGED = ("the same signal", "the same signal to both", "to each its part")


@dataclass(frozen=True, eq=False)
class Report:
    """A page about some photos.

    Attributes:
        html: the page, which needs nothing else.
        path: where it was written; None if nowhere.
        left_out: photos that could not be used, and why; the page is about the others.
        notes: what a reader of the pictures should know.
    """

    html: str
    path: Path | None
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Report of {len(self.html) / 1e6:.2g} MB{'' if self.path is None else f' in {str(self.path)!r}'}>"

    def _repr_html_(self) -> str:
        """The page in a frame of a notebook, kept apart from the notebook's own."""
        style = "width:100%;height:80vh;border:1px solid #999"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{html.escape(self.html)}"></iframe>'


def report(
    net: DeconvNet,
    photos: PhotoLike | Iterable[PhotoLike],
    path: str | Path | None = None,
    *,
    loaded: LoadedModel,
    layers: Sequence[str] | str | None = None,
    maps: int = 48,
    budget: str | int = "10MB",
    force: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Report:
    """One self-contained page: of each photo the likeliest classes, and units of every layer, with their steps.

    Args:
        net: the network and the way down.
        photos: one or several, as `load_photo` takes them. One that cannot be used is left out, and told in the
            result.
        path: the page's file, .html; None to write none, as for a notebook.
        loaded: how photos become the network's input, and what its classes are called; its model is the network.
        layers: those whose units are shown; by default the rectified ones on the way to the class, sixteen of them
            if there are more, without those that do not respond.
        maps: so many feature maps of each layer are shown, the strongest, and of the strongest more units than one.
        budget: how large the page may become, such as "10MB" or a number of bytes. It is shared among the photos;
            where it does not hold all, fewer maps and units are shown.
        force: replace a file that is there already.
        progress: called with the share that is done, 0 to 1, every now and then.

    Raises:
        ArgumentError: the budget does not hold the classes and one unit of each layer, a named layer's activations
            are nowhere above zero or it lies above the classes, no photos, another network, or no place for the file.
        PhotoError, NotFiniteError: none of the photos can be used; this of the first.
        LayerNotFoundError, UnsupportedOperationError, MemoryBudgetError: as `DeconvNet.project`.
        DeconvNetError: the disk refused.
    """
    place = None if path is None else Path(path)
    if place is not None:
        check_writable(place, SUFFIXES, force=force)
    several, named = _photos(photos), _checked(net, loaded, layers, maps)
    page = PageView(title(net, loaded), net.rules.name, setup(net, loaded), flags(net, loaded), __version__, ())
    left = in_bytes(budget, "budget") - len(page_html(page).encode()) - _TITLE
    views: list[PhotoView] = []
    faults: list[tuple[str, DeconvNetError]] = []
    for i, photo in enumerate(several):

        def tell(share: float, done: int = i) -> None:
            if progress is not None:
                progress((done + share) / len(several))

        try:
            view, used = _photo(_look(net, loaded, photo, named), page, maps, left, len(several) - i, tell)
        except (PhotoError, NotFiniteError) as fault:
            faults.append((_called(photo), fault))
            tell(1.0)
            continue
        views.append(view)
        left -= used
    if not views:
        raise faults[0][1]
    page = replace(page, photos=tuple(views))
    text = page_html(page)
    if place is not None:
        write_whole(place, lambda file: file.write(text.encode()))
    return Report(text, place, tuple((name, str(fault)) for name, fault in faults), _notes(views))


def _photos(photos: PhotoLike | Iterable[PhotoLike]) -> list[PhotoLike]:
    if isinstance(photos, str | Path | Image.Image | np.ndarray | Tensor | Photo):
        return [photos]
    if not isinstance(photos, Iterable):
        raise ArgumentError(f"photos are one or several, as load_photo takes them; got {photos!r}.")
    several = list(photos)
    if not several:
        raise ArgumentError("there are no photos in the list. Give at least one.")
    return several


def _checked(net: DeconvNet, loaded: LoadedModel, layers: Sequence[str] | str | None, maps: int) -> list[str] | None:
    """The layers that were named."""
    if isinstance(maps, bool) or not isinstance(maps, int) or maps < 1:
        raise ArgumentError(f"maps is a number of feature maps, 1 or more; got {maps!r}.")
    if unwrap(loaded.model) is not net.model:
        raise ArgumentError("loaded holds another network than net: attach DeconvNet(loaded.model, ...).")
    if layers is None:
        return None
    named = [layers] if isinstance(layers, str) else list(layers)
    if not named or not all(isinstance(name, str) for name in named):
        raise ArgumentError(f"layers are names, one or more, or None for the rectified ones; got {layers!r}.")
    return named


def _called(photo: PhotoLike) -> str:
    return str(photo) if isinstance(photo, str | Path) else getattr(photo, "name", "photo")


def _notes(views: Sequence[PhotoView]) -> tuple[str, ...]:
    """Each note once, with the layers that it is about."""
    layers: dict[str, list[str]] = {}
    for view in views:
        parts: list[PhotoView | ClassView | LayerView] = [view, *view.classes, *view.layers]
        for part in parts:
            for note in part.notes:
                layers.setdefault(note, []).extend([part.name] if isinstance(part, LayerView) else [])
    return tuple(f"{', '.join(dict.fromkeys(about))}: {note}" if about else note for note, about in layers.items())


@dataclass(frozen=True, eq=False)
class _Look:
    """A look at one photo: what all its views are made from.

    Attributes:
        net: the network and the way down.
        loaded: its preprocessing and labels.
        photo: what is looked at.
        name: what others can call it.
        source: what the lines that make the pictures again call it; "" for what is no file.
        x: (1, c, h, w) of it.
        likely: the likeliest classes.
        steps: the way down of the first of them.
        infos: of all layers, for images of this size.
        maps: (c, *size) of the layers that are shown, by name, in the network's order.
        named: whether the user named these layers.
    """

    net: DeconvNet
    loaded: LoadedModel
    photo: Photo
    name: str
    source: str
    x: Tensor
    likely: Sequence[Likely]
    steps: Steps
    infos: Mapping[str, LayerInfo]
    maps: Mapping[str, Tensor]
    named: bool

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The shown layers in the order of the way down, those beside it first, and their numbers."""
        passed = [step.layer for step in self.steps if step.layer in self.maps]
        aside = [name for name in reversed(list(self.maps)) if name not in passed]
        return {name: i for i, name in enumerate([*aside, *passed])}

    @cached_property
    def errors(self) -> dict[tuple[str, str], float]:
        """Of unpooling, by the layer that is come to and the max-pool that is undone."""
        return {(s.layer, s.pool): s.error for s in self.steps if s.pool is not None and s.error is not None}

    @cached_property
    def unchanged(self) -> frozenset[str]:
        """Where nothing changes on the way: reshaping, dropout and the like."""
        return frozenset(step.layer for step in self.steps) - {step.layer for step in self.steps.shown}


def _look(net: DeconvNet, loaded: LoadedModel, photo: PhotoLike, named: Sequence[str] | None) -> _Look:
    read = load_photo(photo)
    name = _called(photo) if isinstance(photo, str | Path) else read.name
    if not name.startswith("sample:"):
        name = Path(name).name  # its folder is nobody else's
    x = loaded.preprocess.images(read).to(loaded.example_input)
    likely = likeliest(net.probabilities(x)[0])
    steps = net.steps(x, target=likely[0].target)
    infos = net.layers_of(x)
    chosen = rectified(steps, infos) if named is None else [_shown(net, x, name, steps, infos) for name in named]
    if not chosen:
        raise ArgumentError("no layer on the way to the class is rectified: name the layers to show with layers=.")
    kept = net.activations(x, chosen)
    maps = {layer: kept[layer][0] for layer in infos if layer in kept and kept[layer].ndim > 1}
    return _Look(net, loaded, read, name, source(photo), x, likely, steps, infos, maps, named is not None)


def _shown(net: DeconvNet, x: Tensor, layer: str, steps: Steps, infos: Mapping[str, LayerInfo]) -> str:
    """The name that signals pass a layer by, which may have several.

    Raises:
        ArgumentError: it lies above the classes, or cannot be shown.
    """
    name, *below = net.way_down(x, layer)
    if name == PIXELS:
        raise ArgumentError(f"layer {layer!r} is the network's input: choose one above.")
    if steps[0].layer in below:
        raise ArgumentError(f"layer {layer!r} lies above the classes, {steps[0].layer!r}: choose one below.")
    if len(infos[layer].size) > 2:
        raise ArgumentError(f"layer {layer!r} has maps of {len(infos[layer].size)} axes: choose one of two at most.")
    return name


def _photo(
    look: _Look, page: PageView, most: int, left: int, photos: int, tell: Callable[[float], None]
) -> tuple[PhotoView, int]:
    """A photo's view, and how many bytes it takes of those that are left for it and the photos behind it."""
    words: dict[tuple[str, ...], int] = {}
    passed = tuple(PassedView(name, forward_tile(look.maps[name])) for name in look.numbers)
    classes = tuple(_class(look, one, words) for one in look.likely)
    ways = {name: _way(look, look.net.way_down(look.x, name), words) for name in look.maps}
    image, whole, seen = photo_pictures(look.loaded.preprocess, look.photo)
    size = look.loaded.preprocess.size
    lines = tuple(words)
    bare = PhotoView(look.name, look.source, image, whole, seen, size, classes, passed, lines, (), ())
    around = len(page_html(replace(page, photos=(bare,))).encode()) - len(page_html(page).encode())
    room = left // photos - around
    layers: list[LayerView] = []
    notes: list[str] = []
    for i, (name, maps) in enumerate(look.maps.items()):
        units = units_of(maps, most)
        if units:  # what a layer of small pictures leaves of its share goes to the next
            share = (room - length(layers)) // (len(look.maps) - i)
            view = _layer(look, name, units, ways[name], share)
            if view is None:
                raise _too_small(look, ways, around, left, photos)
            layers.append(view)
        elif look.named:
            raise ArgumentError(f"no activation of layer {name!r} is above zero in {look.name!r}: leave the layer out.")
        else:
            notes.append(f"Layer {name} is not shown: none of its activations is above zero.")
            room -= length([notes[-1]])
        tell((i + 1) / len(look.maps))
    return replace(bare, layers=tuple(layers), notes=tuple(notes)), around + length(layers) + length(notes)


def _too_small(
    look: _Look, ways: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]], around: int, left: int, photos: int
) -> ArgumentError:
    """What the budget does not hold, and how much would be enough."""
    firsts = [(name, units_of(maps, 1)[:1]) for name, maps in look.maps.items()]
    smallest = [_layer(look, name, units, ways[name], None) for name, units in firsts if units]
    need = around + len(look.maps) * max(length([view]) + 2 * _MAP for view in smallest if view)
    more = photos * need - left
    return ArgumentError(
        f"the budget does not hold the classes and one unit of each layer: about {math.ceil(more / 1000)} kB more "
        "would be enough. Allow a larger page, or ask for fewer photos or layers."
    )


def _way(
    look: _Look, down: Mapping[str, Mapping[str, str]], words: dict[tuple[str, ...], int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shown layers that a way passes, numbered, and what brings the signal to each but the first and to the pixels.

    Args:
        look: the look.
        down: the way, as `DeconvNet.way_down` gives it.
        words: lists of words that are known, and their numbers; new ones are added.
    """
    passed = [name for name in down if name in look.maps]
    ends = [*passed[1:], list(down)[-1]] if passed and passed[0] == next(iter(down)) else [*passed, list(down)[-1]]
    numbers = [words.setdefault(_between(look, down, end), len(words)) for end in ends]
    return tuple(look.numbers[name] for name in passed), tuple(numbers)


def _between(look: _Look, down: Mapping[str, Mapping[str, str]], end: str) -> tuple[str, ...]:
    """What is undone to come to a layer from the shown ones above it, in words."""
    wanted, lines = {end}, list[str]()
    for name, undone in reversed(list(down.items())):
        if name not in wanted:
            continue
        wanted |= {above for above in undone if above not in look.maps}
        alike: dict[str, list[str]] = {}
        for above, how in undone.items():
            alike.setdefault(how, []).append(above)
        here = [] if name in look.unchanged else [h for h in alike.items() if h[0] not in _UNCHANGED]
        erring = {above: look.errors[name, above] for above in undone if (name, above) in look.errors}
        errors = [f"unpooling {above} errs by {error:.2f}" for above, error in erring.items()]
        lines = [*(f"{', '.join(names)}: {how}" for how, names in here), *errors, *lines]
    return tuple(lines)


def _class(look: _Look, likely: Likely, words: dict[tuple[str, ...], int]) -> ClassView:
    tiles = Tiles(look.maps)
    result = look.net.explain(look.x, likely.target, watch=tiles.watch)
    down, how = _way(look, look.net.way_down(look.x), words)
    box = result.shown(0, "energy" if likely.place else "none")
    return ClassView(
        number=likely.number,
        label=look.loaded.label(likely.number),
        probability=likely.probability,
        place=likely.place,
        share=likely.share,
        box=_corners(box),
        picture=webp(signal_picture(result, 0, box)),
        steps=webp(tiles.strip(0, _names(look, down))),
        down=down,
        how=how,
        notes=result.notes,
    )


def _layer(
    look: _Look,
    name: str,
    units: Sequence[tuple[int, tuple[int, ...]]],
    way: tuple[tuple[int, ...], tuple[int, ...]],
    room: int | None,
) -> LayerView | None:
    """As many units of a layer as there is room for; None if there is none for one."""
    maps, info = look.maps[name], look.infos[name]
    alive = int((maps.flatten(1).amax(1) if maps.ndim > 1 else maps).gt(0).sum())
    view = LayerView(name, info.size, info.channels, alive, info.receptive_field, *way, (), ())
    images: dict[int, str] = {}
    cells: dict[int, list[CellView]] = {}
    left = math.inf if room is None else room - length([view])
    for first in range(0, len(units), _AT_ONCE):
        some = [Unit(name, channel, place, 0) for channel, place in units[first : first + _AT_ONCE]]
        tiles = Tiles(look.maps)
        result = look.net.project(look.x, name, units=some, start="one", watch=tiles.watch)
        if not view.notes:
            view = replace(view, notes=result.notes)
            left -= length(result.notes)
        for i, unit in enumerate(some):
            cell, channel = _cell(result, i, tiles.strip(i, _names(look, way[0]))), unit.channel or 0
            image = images.get(channel, map_image(maps[channel]))
            left -= length([cell]) + (0 if channel in images else len(image) + _MAP)
            if left < 0:
                break
            images[channel] = image
            cells.setdefault(channel, []).append(cell)
        if left < 0:
            break
    shown = tuple(MapView(channel, images[channel], tuple(found)) for channel, found in cells.items())
    return replace(view, maps=shown) if shown else None


def _names(look: _Look, numbers: Collection[int]) -> list[str]:
    names = list(look.numbers)
    return [names[number] for number in numbers]


def _cell(result: Reconstruction, i: int, steps: Image.Image) -> CellView:
    box, activation = result.shown(i), float(f"{float(result.activations[i]):.6g}")
    picture = webp(signal_picture(result, i, box))
    return CellView(result.units[i].position or (), activation, _corners(box), picture, webp(steps))


def _corners(box: Box) -> tuple[int, int, int, int]:
    """Top, left, bottom and right."""
    (top, left), (bottom, right) = box.low, box.high
    return top, left, bottom, right
