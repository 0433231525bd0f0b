"""A look at a photo -> the views of a page, as many as fit."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from deconvnet._errors import ArgumentError
from deconvnet._types import Box, Unit
from deconvnet.core.rules import Rule
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.viewer.images import Tiles, forward_tile, map_image, photo_pictures, signal_picture, webp
from deconvnet.viewer.look import Look
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
from deconvnet.viewer.select import Likely, units_of
from deconvnet.ways import undone

_UNITS_AT_ONCE = 32
_MAP_BYTES = 80  # of a map besides its image

Words = dict[tuple[str, ...], int]
"""Lists of words that a page holds once, and their indices."""


@dataclass(frozen=True)
class _Way:
    """The way down from a layer, or from a class.

    Attributes:
        down: indices of the shown layers that it passes.
        how: indices of the words for what brings the signal to each of these but the first, and to the pixels.
    """

    down: tuple[int, ...]
    how: tuple[int, ...]


def photo_view(
    look: Look, page: PageView, maps: int, room: int, photos: int, report_progress: Callable[[float], None]
) -> tuple[PhotoView, int]:
    """A photo's view, and how many bytes it takes.

    Args:
        look: the photo.
        page: without its photos.
        maps: so many feature maps of each layer at most.
        room: bytes for this photo and those after it.
        photos: how many these are; each may take its share.
        report_progress: called with the share that is done.

    Raises:
        ArgumentError: the room does not suffice, or nothing of a layer that the user named is above zero.
    """
    words: Words = {}
    passed = tuple(PassedView(name, forward_tile(look.maps[name])) for name in look.indices)
    classes = tuple(_class_view(look, likely, words) for likely in look.classes)
    ways = {name: _way(look, undone(look.net, name, look.x), words) for name in look.maps}
    image, whole, seen = photo_pictures(look.loaded.preprocess, look.photo)
    size = look.loaded.preprocess.size
    lines = tuple(words)
    bare = PhotoView(look.name, look.source, image, whole, seen, size, classes, passed, lines, (), ())
    around = len(page_html(replace(page, photos=(bare,))).encode()) - len(page_html(page).encode())
    left = room // photos - around
    layers: list[LayerView] = []
    notes: list[str] = []
    for i, (name, values) in enumerate(look.maps.items()):
        units = units_of(values, maps)
        if units:  # what a layer of small pictures leaves of its share goes to the next
            share = (left - length(layers)) // (len(look.maps) - i)
            view = _layer_view(look, name, units, ways[name], share)
            if view is None:
                raise _too_small(look, ways, photos, around, room)
            layers.append(view)
        elif look.named:
            raise ArgumentError(f"no activation of layer {name!r} is above zero in {look.name!r}: drop the layer.")
        else:
            notes.append(f"Layer {name} is not shown: none of its activations is above zero.")
            left -= length([notes[-1]])
        report_progress((i + 1) / len(look.maps))
    return replace(bare, layers=tuple(layers), notes=tuple(notes)), around + length(layers) + length(notes)


def _too_small(look: Look, ways: Mapping[str, _Way], photos: int, around: int, room: int) -> ArgumentError:
    """The error that says what does not fit on the page, and how much more would be enough."""
    firsts = [(name, units_of(maps, 1)[:1]) for name, maps in look.maps.items()]
    smallest = [_layer_view(look, name, units, ways[name], None) for name, units in firsts if units]
    need = around + len(look.maps) * max(length([view]) + 2 * _MAP_BYTES for view in smallest if view)
    more = photos * need - room
    return ArgumentError(
        f"the page size does not hold the classes and one unit of each layer: about {math.ceil(more / 1000)} kB more "
        "would be enough. Allow a larger page, or choose fewer photos or layers."
    )


def _way(look: Look, down: Mapping[str, Mapping[str, Rule]], words: Words) -> _Way:
    """The way down from a layer, or from a class.

    Args:
        look: the photo.
        down: the way, as `network.undone` gives it.
        words: those of the page so far; new ones are added.
    """
    passed = [name for name in down if name in look.maps]
    ends = [*passed[1:], list(down)[-1]] if passed and passed[0] == next(iter(down)) else [*passed, list(down)[-1]]
    how = [words.setdefault(_words_between(look, down, end), len(words)) for end in ends]
    return _Way(tuple(look.indices[name] for name in passed), tuple(how))


def _words_between(look: Look, down: Mapping[str, Mapping[str, Rule]], end: str) -> tuple[str, ...]:
    """What is undone on the way to a layer from the shown ones above it, in words."""
    wanted, lines = {end}, list[str]()
    for name, rules in reversed(list(down.items())):
        if name not in wanted:
            continue
        wanted |= {above for above in rules if above not in look.maps}
        alike: dict[str, list[str]] = {}
        for above, rule in rules.items():
            if not rule.unchanged and name not in look.unchanged:
                alike.setdefault(rule.words, []).append(above)
        unpooled = {above: look.errors[name, above] for above in rules if (name, above) in look.errors}
        errors = [f"unpooling {above} errs by {error:.2f}" for above, error in unpooled.items()]
        lines = [*(f"{', '.join(names)}: {how}" for how, names in alike.items()), *errors, *lines]
    return tuple(lines)


def _class_view(look: Look, likely: Likely, words: Words) -> ClassView:
    tiles = Tiles(look.maps)
    result = look.net.explain(look.x, likely.target, watch=tiles.watch)
    way = _way(look, undone(look.net, x=look.x), words)
    box = result.box(0, "energy" if likely.position else "none")
    return ClassView(
        index=likely.index,
        label=look.loaded.label(likely.index),
        probability=likely.probability,
        position=likely.position,
        share=likely.share,
        box=_corners(box),
        picture=webp(signal_picture(result, 0, box)),
        steps=webp(tiles.strip(0, _layer_names(look, way.down))),
        down=way.down,
        how=way.how,
        notes=result.notes,
    )


def _layer_view(
    look: Look, name: str, units: Sequence[tuple[int, tuple[int, ...]]], way: _Way, room: int | None
) -> LayerView | None:
    """As many units of a layer as fit; None if not even one does."""
    maps, info = look.maps[name], look.infos[name]
    alive = int((maps.flatten(1).amax(1) if maps.ndim > 1 else maps).gt(0).sum())
    view = LayerView(name, info.size, info.channels, alive, info.receptive_field, way.down, way.how, (), ())
    images: dict[int, str] = {}
    cells: dict[int, list[CellView]] = {}
    left = math.inf if room is None else room - length([view])
    for first in range(0, len(units), _UNITS_AT_ONCE):
        batch = [Unit(name, channel, position, 0) for channel, position in units[first : first + _UNITS_AT_ONCE]]
        tiles = Tiles(look.maps)
        result = look.net.project(look.x, name, units=batch, start="one", watch=tiles.watch)
        if not view.notes:
            view = replace(view, notes=result.notes)
            left -= length(result.notes)
        for i, unit in enumerate(batch):
            cell, channel = _cell_view(result, i, tiles.strip(i, _layer_names(look, way.down))), unit.channel or 0
            image = images.get(channel, map_image(maps[channel]))
            left -= length([cell]) + (0 if channel in images else len(image) + _MAP_BYTES)
            if left < 0:
                break
            images[channel] = image
            cells.setdefault(channel, []).append(cell)
        if left < 0:
            break
    views = tuple(MapView(channel, images[channel], tuple(units)) for channel, units in cells.items())
    return replace(view, maps=views) if views else None


def _layer_names(look: Look, indices: Collection[int]) -> list[str]:
    names = list(look.indices)
    return [names[index] for index in indices]


def _cell_view(result: Reconstruction, i: int, steps: Image.Image) -> CellView:
    box, activation = result.box(i), float(f"{float(result.activations[i]):.6g}")
    picture = webp(signal_picture(result, i, box))
    return CellView(result.units[i].position or (), activation, _corners(box), picture, webp(steps))


def _corners(box: Box) -> tuple[int, int, int, int]:
    """Top, left, bottom and right."""
    (top, left), (bottom, right) = box.low, box.high
    return top, left, bottom, right
