"""An atlas → its pages as typed values, one at a time. No torch here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from deconvnet._types import TopActivation
from deconvnet.atlas.manifest import AtlasLayer
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.store import Kind, safe_name
from deconvnet.atlas.tables import MapStats
from deconvnet.atlas.trust_summary import MEANING, AtlasTrust
from deconvnet.pictures.numbers import percent, significant
from deconvnet.results.facts import SAME_FOR_ALL
from deconvnet.viewer.addresses import (
    layer_address,
    map_address,
    photo_address,
    strip_address,
)
from deconvnet.viewer.atlas_pages import (
    LayerCard,
    LayerPage,
    Link,
    MapPage,
    NetworkPage,
    PhotoCard,
    PhotoPage,
    TileView,
    TopView,
)
from deconvnet.viewer.drawings import Frame, across, bars, field_frame, input_frame, input_size_of, spread

_SAMPLES = 6  # maps of a layer on the network's page
_MOST_PHOTOS = 40  # on the network's page
_ALIKE = 8  # maps on a map's page
_SHARED = 1 / 3  # of a map's photos, at least, that a map which is alike shares
_TOGETHER = 256  # maps that are compared with all of their layer at once


@dataclass(frozen=True, eq=False)
class AtlasViews:
    """The pages of an atlas and their tables, each when it is asked for.

    Attributes:
        atlas: that they show.
    """

    atlas: Atlas

    def network(self) -> NetworkPage:
        """The network's page."""
        manifest = self.atlas.manifest
        photos = sorted(self._photo_cards.values(), key=lambda card: (-card.led, -card.ranked))
        input_bar, *layer_bars = bars(manifest.layers, self._input_size)
        rules = ", ".join(f"{name}={value}" for name, value in manifest.rules.items())
        facts = {
            "photos": f"{manifest.counts.photos} of {manifest.photos.name} ({manifest.photos.count} in all)",
            "activations": f"{manifest.k} of each map, one of each photo at most",
            "rules": rules, "computed in": manifest.precision,
            "weights": manifest.model.weights, "deconvnet": manifest.deconvnet,
        }  # fmt: skip
        return NetworkPage(
            model=manifest.model.spec,
            words=self._words(),
            facts=tuple(facts.items()),
            input_bar=input_bar,
            input_frame=input_frame(self._input_size),
            layers=tuple(map(self._card, manifest.layers, layer_bars)),
            photos=tuple(photos[:_MOST_PHOTOS]),
            photo_count=len(photos),
            skipped=tuple((photo.image, photo.reason) for photo in self.atlas.skipped()),
        )

    def layer(self, name: str) -> LayerPage:
        """A layer's page.

        Raises:
            LayerNotFoundError: an unknown layer.
        """
        dead = sum(stats.dead for stats in self.atlas.stats(name))
        layer, names = self.atlas.layers[name], list(self.atlas.layers)
        before, after = _beside(names, names.index(name))
        return LayerPage(
            address=layer_address(name),
            model=self.atlas.manifest.model.spec,
            layer=name,
            words=layer_words(layer, self._input_size) + (f"; {dead} dead" if dead else ""),
            notes=(SAME_FOR_ALL,) if layer.image_free else (),
            trust=_trust_words(self.atlas.trust(name)),
            field=field_frame(layer, self._input_size),
            input_frame=input_frame(self._input_size),
            before=None if before is None else Link(before, layer_address(before)),
            after=None if after is None else Link(after, layer_address(after)),
            first=_map_link(layer, 0),
        )

    def layer_table(self, name: str) -> dict[str, Any]:
        """The maps of a layer, for its grid: a list for each of what they are sorted by.

        Raises:
            LayerNotFoundError: an unknown layer.
        """
        stats = self.atlas.stats(name)
        table = {
            "layers": [_as_row(self.atlas.layers[name])],
            "max": [_shortened(each.max) for each in stats],
            "active": [_shortened(each.active) for each in stats],
            "dead": [each.channel for each in stats if each.dead],
        }
        if self.atlas.trust(name) is None:
            return table
        medians = (trust and trust.other_unit for trust in (each.trust for each in self.atlas[name]))
        return {**table, "otherUnit": [each and _shortened(each.median) for each in medians]}

    def feature_map(self, layer: str, channel: int) -> MapPage:
        """A feature map's page.

        Raises:
            LayerNotFoundError, ArgumentError: an unknown layer or channel.
        """
        tops, stats, info = self.atlas.top(layer, channel), self.atlas[layer, channel].stats, self.atlas.layers[layer]
        before, after = _beside(range(info.channels), channel)
        of_map = spread(stats, [top.activation for top in tops])
        return MapPage(
            address=map_address(layer, channel),
            model=self.atlas.manifest.model.spec,
            layer=Link(layer, layer_address(layer)),
            title=_map_name(info, channel),
            across=across(len(tops)),
            tops=tuple(self._top(info, top) for top in tops),
            photos=stats.photos,
            facts=_facts(info, stats),
            spread=of_map,
            ends=(significant(of_map.low), significant(of_map.high)),
            notes=(SAME_FOR_ALL,) if info.image_free else (),
            trust=_trust_words(self.atlas.trust(layer, channel)),
            input_frame=input_frame(self._input_size),
            before=None if before is None else _map_link(info, before),
            after=None if after is None else _map_link(info, after),
            alike=tuple(
                (_map_link(info, other), _tile(info, other, "signal", 0), shared)
                for other, shared in self._alike(info, channel)
            ),
        )

    def photo(self, image: str) -> PhotoPage:
        """A photo's page.

        Raises:
            ArgumentError: it is not among the strongest of any map.
        """
        card = self._photo_cards[self.atlas.find(image=image)[0].image]
        before, after = _beside(self._photos, self._photo_index[card.link.name])
        return PhotoPage(
            address=photo_address(image),
            model=self.atlas.manifest.model.spec,
            photo=image,
            words=f"It leads {_counted(card.led, 'feature map')}, and is among the "
            f"{self.atlas.manifest.k} strongest photos of {card.ranked}.",
            tile=card.tile,
            before=None if before is None else Link(before, photo_address(before)),
            after=None if after is None else Link(after, photo_address(after)),
        )

    def photo_table(self, image: str) -> dict[str, Any]:
        """The units of a photo, for its grid: layer, channel, rank and activation of each.

        Raises:
            ArgumentError: it is not among the strongest of any map.
        """
        tops = self.atlas.find(image=image)
        names = list(dict.fromkeys(top.layer for top in tops))
        index = {name: i for i, name in enumerate(names)}
        return {
            "layers": [_as_row(self.atlas.layers[name]) for name in names],
            "units": [[index[top.layer], top.channel, top.rank, _shortened(top.activation)] for top in tops],
        }

    def search_table(self) -> dict[str, Any]:
        """What can be searched: layers, and photos with what they are called in an address where that differs."""
        photos = [[name] if safe_name(name) == name else [name, safe_name(name)] for name in self._photos]
        return {"layers": [_as_row(layer) for layer in self.atlas.manifest.layers], "photos": photos}

    @cached_property
    def _input_size(self) -> tuple[int, int]:
        return input_size_of(self.atlas.manifest.preprocess)

    @cached_property
    def _photos(self) -> tuple[str, ...]:
        return self.atlas.photos()

    @cached_property
    def _photo_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self._photos)}

    @cached_property
    def _photo_cards(self) -> dict[str, PhotoCard]:
        return {name: self._photo_card(name) for name in self._photos}

    def _photo_card(self, image: str) -> PhotoCard:
        tops = self.atlas.find(image=image)
        largest = max(tops, key=lambda top: math.prod(top.box.size))
        tile = _tile(self.atlas.layers[largest.layer], largest.channel, "patch", largest.rank, f" of {image}")
        led = sum(top.rank == 0 for top in tops)
        return PhotoCard(Link(image, photo_address(image)), tile, led, len(tops))

    def _words(self) -> str:
        manifest = self.atlas.manifest
        return (
            f"{_counted(len(self.atlas), 'feature map')} of {_counted(len(manifest.layers), 'layer')} over "
            f"{_counted(manifest.counts.photos, 'photo')} ({manifest.photos.name}): the {manifest.k} strongest "
            "activations of each, all else zero, carried down to the pixels, beside their patches."
        )

    def _card(self, layer: AtlasLayer, bar: Frame) -> LayerCard:
        stats = self.atlas.stats(layer.name)
        strongest = sorted((each for each in stats if not each.dead), key=lambda each: -each.max)[:_SAMPLES]
        return LayerCard(
            link=Link(layer.name, layer_address(layer.name)),
            words=layer_words(layer, self._input_size),
            dead=sum(each.dead for each in stats),
            bar=bar,
            field=field_frame(layer, self._input_size),
            maps=tuple((_map_link(layer, each.channel), _tile(layer, each.channel, "signal", 0)) for each in strongest),
        )

    def _top(self, layer: AtlasLayer, top: TopActivation) -> TopView:
        (first_row, first_column), (last_row, last_column) = top.box.low, top.box.high
        position = f"unit at {', '.join(map(str, top.position))} of {_times(layer.size)}"
        box = f"rows {first_row} to {last_row}, columns {first_column} to {last_column} of the photo"
        return TopView(
            signal=_tile(layer, top.channel, "signal", top.rank),
            patch=_tile(layer, top.channel, "patch", top.rank, f" of {top.image}"),
            photo=Link(top.image, photo_address(top.image)),
            activation=significant(top.activation),
            where=(position, box) if top.position else (box,),
            field=field_frame(layer, self._input_size, top.position),
        )

    def _alike(self, layer: AtlasLayer, channel: int) -> list[tuple[int, int]]:
        """Maps that share photos with one, those that share the most first; none where there are few photos."""
        if self.atlas.manifest.counts.photos < 4 * self.atlas.manifest.k:
            return []
        if layer.name not in self._alike_of:
            self._alike_of[layer.name] = _alike_maps([self._indices(layer, i) for i in range(layer.channels)])
        return self._alike_of[layer.name][channel]

    @cached_property
    def _alike_of(self) -> dict[str, list[list[tuple[int, int]]]]:
        return {}

    def _indices(self, layer: AtlasLayer, channel: int) -> list[int]:
        return [top.index for top in self.atlas.top(layer.name, channel)]


def layer_words(layer: AtlasLayer, input_size: tuple[int, int]) -> str:
    """A layer's maps, their size and what a unit sees, in words."""
    size = f" of {_times(layer.size)}" if layer.size else ""
    maps = _counted(layer.channels, _map_word(layer)) + size
    field, whole = layer.receptive_field, _times(input_size)
    if all(length >= side for length, side in zip(field, input_size, strict=False)):
        larger = "" if field == input_size else f" (its field is {_times(field)})"
        return f"{maps}; a unit sees all {whole} pixels{larger}"
    return f"{maps}; a unit sees {_times(field)} of {whole} pixels"


def _alike_maps(photos: Sequence[Sequence[int]]) -> list[list[tuple[int, int]]]:
    """For each map, by the photos of its top activations: the maps that share most of them, and how many."""
    lengths = [len(of_map) for of_map in photos]
    columns = np.unique(np.concatenate([np.array(of_map, np.int64) for of_map in photos]), return_inverse=True)[1]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ranked = csr_array((np.ones(len(columns), np.int32), columns, starts), (len(photos), columns.max(initial=0) + 1))
    alike = []
    for first in range(0, len(photos), _TOGETHER):
        shared = (ranked[first : first + _TOGETHER] @ ranked.T).toarray()
        for i, counts in enumerate(shared, start=first):
            counts[i] = 0
            best = np.argsort(-counts, kind="stable")[:_ALIKE]
            alike.append([(int(j), int(counts[j])) for j in best if counts[j] >= max(_SHARED * lengths[i], 1)])
    return alike


def _facts(layer: AtlasLayer, stats: MapStats) -> tuple[tuple[str, str], ...]:
    where = "positions" if layer.size else "photos"
    named = {
        "strongest activation": significant(stats.max),
        "mean": significant(stats.mean),
        "active": f"at {percent(stats.active)} of {where}",
        "median of the photos' strongest": significant(stats.q50),
        "strongest 10 % of photos": f"above {significant(stats.q90)}",
        "strongest 1 % of photos": f"above {significant(stats.q99)}",
    }
    return tuple(named.items())


def _trust_words(trust: AtlasTrust | None) -> tuple[str, ...]:
    """What pictures rest on, in numbers, and what these mean; nothing if it was not measured."""
    return () if trust is None else (f"What the pictures rest on: {trust.line()}.", MEANING)


def _tile(layer: AtlasLayer, channel: int, kind: Kind, rank: int, more: str = "") -> TileView:
    what = "reconstruction" if kind == "signal" else "patch"
    words = f"{what} {rank + 1} of {_map_name(layer, channel)} of {layer.name}{more}"
    return TileView(strip_address(layer.name, channel, kind), rank, words)


def _as_row(layer: AtlasLayer) -> list[Any]:
    """A layer in a table: its name, what it is called in an address, what its maps are called, and how many."""
    return [layer.name, safe_name(layer.name), _map_word(layer), layer.channels]


def _map_word(layer: AtlasLayer) -> str:
    return "map" if layer.size else "unit"


def _map_name(layer: AtlasLayer, channel: int) -> str:
    return f"{_map_word(layer)} {channel}"


def _map_link(layer: AtlasLayer, channel: int) -> Link:
    return Link(_map_name(layer, channel), map_address(layer.name, channel))


def _beside(items: Sequence[Any], index: int) -> tuple[Any, Any]:
    """The items before and after that of an index; None at the ends."""
    return items[index - 1] if index else None, items[index + 1] if index + 1 < len(items) else None


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _times(lengths: Sequence[int]) -> str:
    return "×".join(map(str, lengths))


def _shortened(value: float) -> float:
    """A value with the digits that a grid needs."""
    return float(f"{value:.4g}")
