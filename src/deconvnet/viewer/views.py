"""A look at a photo -> the views of a page, as many as fit."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet.viewer.images import forward_tile, photo_pictures, signal_picture, webp
from deconvnet.viewer.layer_views import MAP_BYTES, LayerUnits, as_many_as_fit, corners, extra_bytes, outline_of
from deconvnet.viewer.look import Look
from deconvnet.viewer.pages import (
    ClassView,
    LayerView,
    PageView,
    PassedView,
    PhotoView,
    ResponsibleView,
    length,
    page_html,
)
from deconvnet.viewer.passing import Passing, whole_maps
from deconvnet.viewer.select import Likely, contributing, strongest_of, units_of, with_wanted
from deconvnet.viewer.trust_lines import LONGEST, class_lines, unit_line
from deconvnet.viewer.ways import WayView, Words, layer_names, way_view
from deconvnet.ways import undone

Contributions = Mapping[str, list[tuple[int, tuple[int, ...], float]]]
"""By layer, the units that a class rests on: channel, position and share."""


@dataclass(frozen=True)
class PhotoPart:
    """A photo's part of the page.

    Attributes:
        view: what is shown.
        size: bytes that it takes.
        units: how many units it shows.
        left_out: how many there was no room for.
        missing: about how many bytes these would take.
    """

    view: PhotoView
    size: int
    units: int
    left_out: int
    missing: int


def photo_part(
    look: Look,
    page: PageView,
    maps: int,
    room: int,
    photos: int,
    elsewhere: Mapping[str, Sequence[int]],
    report_progress: Callable[[float], None],
) -> PhotoPart:
    """A photo's part of the page.

    Args:
        look: the photo.
        page: without its photos.
        maps: so many feature maps of each layer at most, without those that other photos or classes ask for.
        room: bytes for this photo and those after it.
        photos: how many these are; each may take its share.
        elsewhere: by layer, the feature maps that are strong in the other photos.
        report_progress: called with the share that is done.

    Raises:
        ArgumentError: the room does not suffice, or nothing of a layer that the user named is above zero.
    """
    words: Words = {}
    classes, rests_on = zip(*(class_view(look, likely, words) for likely in look.classes), strict=True)
    layers, notes = _layers(look, maps, rests_on, elsewhere, words)
    indexed = zip(classes, rests_on, strict=True)
    classes = tuple(replace(view, responsible=_responsible(of, list(layers))) for view, of in indexed)
    classes = tuple(replace(view, trust=line) for view, line in zip(classes, class_lines(look), strict=True))
    bare = _bare(look, classes, words, notes)
    around = len(page_html(replace(page, photos=(bare,))).encode()) - len(page_html(page).encode())
    around += LONGEST * len(layers)
    count = as_many_as_fit(list(layers.values()), room // photos - around, report_progress) if layers else 0
    if count is None:
        raise _too_small(layers, photos, around, room)
    views = tuple(replace(view, trust=unit_line(look, view)) for view in (of.view(count) for of in layers.values()))
    left_out = sum(view.left_out for view in views)
    report_progress(1.0)
    return PhotoPart(
        view=replace(bare, classes=_on_page(classes, views), layers=views),
        size=around + length(views),
        units=sum(len(shown_map.cells) for view in views for shown_map in view.maps),
        left_out=left_out,
        missing=extra_bytes(layers, count) if left_out else 0,
    )


def _layers(
    look: Look, maps: int, rests_on: Sequence[Contributions], elsewhere: Mapping[str, Sequence[int]], words: Words
) -> tuple[dict[str, LayerUnits], tuple[str, ...]]:
    """The layers that respond, and a note for each of the others.

    Raises:
        ArgumentError: a layer that the user named does not respond.
    """
    layers, notes = dict[str, LayerUnits](), list[str]()
    for name, values in look.maps.items():
        way = way_view(look, undone(look.net, name, look.x), words)
        if bool((values > 0).any()):
            layers[name] = LayerUnits(look, name, _units(values, maps, name, rests_on, elsewhere), way)
        elif look.named:
            raise ArgumentError(f"no activation of layer {name!r} is above zero in {look.name!r}: drop the layer.")
        else:
            notes.append(f"Layer {name} is not shown: none of its activations is above zero.")
    return layers, tuple(notes)


def _bare(look: Look, classes: tuple[ClassView, ...], words: Words, notes: tuple[str, ...]) -> PhotoView:
    """A photo's view without its layers."""
    image, whole, seen = photo_pictures(look.loaded.preprocess, look.photo)
    passed = tuple(PassedView(name, forward_tile(values)) for name, values in look.passed.items())
    height, width = look.loaded.preprocess.size
    size = (height, width)
    return PhotoView(look.name, look.source, image, whole, seen, size, classes, passed, tuple(words), (), notes)


def _on_page(classes: Sequence[ClassView], layers: Sequence[LayerView]) -> tuple[ClassView, ...]:
    """Classes that lead only to units that the page shows."""
    units = {(i, m.channel, c.position) for i, layer in enumerate(layers) for m in layer.maps for c in m.cells}
    return tuple(
        replace(view, responsible=tuple(r for r in view.responsible if (r.layer, r.channel, r.position) in units))
        for view in classes
    )


def _units(
    values: Tensor, maps: int, name: str, rests_on: Sequence[Contributions], elsewhere: Mapping[str, Sequence[int]]
) -> list[tuple[int, tuple[int, ...]]]:
    """The units of a layer in the order in which they are shown, with those that classes and other photos ask for."""
    ranked = [[(channel, position) for channel, position, _ in of.get(name, [])] for of in rests_on]
    wanted = [units[rank] for rank in range(max(map(len, ranked))) for units in ranked if rank < len(units)]
    return with_wanted(units_of(values, maps), [*wanted, *strongest_of(values, elsewhere.get(name, ()))])


def _too_small(layers: Mapping[str, LayerUnits], photos: int, around: int, room: int) -> ArgumentError:
    """The error that says what does not fit on the page, and how much more would be enough."""
    need = around + sum(layer.cost(1) + 2 * MAP_BYTES for layer in layers.values())
    more = photos * need - room
    return ArgumentError(
        f"the page size does not hold the classes and one unit of each layer: about {math.ceil(more / 1000)} kB more "
        "would be enough. Allow a larger page, or choose fewer photos or layers."
    )


def class_view(look: Look, likely: Likely, words: Words) -> tuple[ClassView, Contributions]:
    """A class, without the units that it rests on, and these."""
    passing, rests_on = Passing(look.passed, look.unpooled), dict[str, list[tuple[int, tuple[int, ...], float]]]()

    def watch(layer: str, indices: Tensor, signal: Tensor, low: Tensor) -> None:
        passing.watch(layer, indices, signal, low)
        if layer in look.maps:
            (whole,) = whole_maps(signal, low, tuple(look.maps[layer].shape[1:]))
            rests_on[layer] = contributing(look.maps[layer], whole)

    result = look.net.explain(look.x, likely.target, watch=watch)
    way: WayView = way_view(look, undone(look.net, x=look.x), words)
    names = layer_names(look, way.down)
    box = result.box(0, "energy" if likely.position else "none")
    view = ClassView(
        **likely.facts(look.loaded),
        box=corners(box),
        outline=outline_of(result, 0),
        picture=webp(signal_picture(result, 0, box)),
        steps=webp(passing.strip(0, names), quality=92),
        switches=passing.switches(0, names),
        down=way.down,
        how=way.how,
        notes=result.notes,
        responsible=(),
    )
    return view, rests_on


def _responsible(rests_on: Contributions, layers: Sequence[str]) -> tuple[ResponsibleView, ...]:
    return tuple(
        ResponsibleView(i, channel, position, float(f"{share:.3g}"))
        for i, name in enumerate(layers)
        for channel, position, share in rests_on.get(name, ())
    )
