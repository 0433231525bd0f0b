"""`Atlas`: a built atlas, read back. No torch here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack, get_args, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from deconvnet._checks import as_index, as_list, escaped, file_path, is_one_of, keywords, rows, short, text
from deconvnet._errors import ArgumentError, LayerNotFoundError
from deconvnet._frames import frame
from deconvnet._types import Box, TopActivation
from deconvnet.atlas.blocks import empty_block, gap, laid_out
from deconvnet.atlas.manifest import AtlasLayer, Manifest, read_manifest
from deconvnet.atlas.sheet import draw_sheet, map_words, sheet_title
from deconvnet.atlas.store import Kind, Signals, read_signals, read_strip
from deconvnet.atlas.tables import (
    MapStats,
    SkippedPhoto,
    check_together,
    read_skipped,
    read_stats,
    read_top,
    read_trust,
)
from deconvnet.atlas.trust_summary import AtlasTrust, trust_of
from deconvnet.pictures.arrange import arranged
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout, LayoutOptions
from deconvnet.pictures.sheets import Cell

Table = Literal["top", "stats", "skipped", "trust"]

_CORNERS = {"top": "y0", "left": "x0", "bottom": "y1", "right": "x1"}
_MOST_NAMED = 20  # layers, in a message


@dataclass(frozen=True, eq=False, repr=False)
class Atlas:
    """What every feature map of a network looks for, over a set of photos.

    `len(atlas)` is the number of feature maps, and a loop goes through all of them as `AtlasMap`s, in the order of
    layers and channels. `atlas["relu3", 8]` is one of them, `atlas["relu3"]` and `atlas[:10]` are tuples of them.

    Attributes:
        folder: its folder.
        manifest: how it was made.
    """

    folder: Path
    manifest: Manifest
    _top: pa.Table
    _map_indices: NDArray[np.int64]  # of each row's feature map, counted through all layers; they never fall
    _stats: pa.Table
    _skipped: tuple[SkippedPhoto, ...]
    _trust: tuple[pa.Table, NDArray[np.int64]] | None = None  # and of each row the index of its map

    @classmethod
    def open(cls, folder: str | Path) -> "Atlas":
        """The atlas in a folder.

        Raises:
            AtlasError: it is not an atlas, or is unfinished, damaged or newer than this package.
        """
        folder = file_path("folder", folder)
        manifest = read_manifest(folder)
        top, map_indices = read_top(folder, manifest.layers, manifest.k)
        stats = read_stats(folder, manifest.layers)
        check_together(folder, manifest, top, map_indices, stats)
        skipped = read_skipped(folder, manifest.counts.skipped)
        trust = read_trust(folder, manifest, map_indices) if manifest.trust_samples else None
        return cls(folder, manifest, top, map_indices, stats, skipped, trust)

    def __len__(self) -> int:
        """How many feature maps it has."""
        return sum(layer.channels for layer in self.manifest.layers)

    @overload
    def __getitem__(self, index: int | tuple[str, int]) -> "AtlasMap": ...

    @overload
    def __getitem__(self, index: str | slice) -> "tuple[AtlasMap, ...]": ...

    def __getitem__(self, index: int | str | slice | tuple[str, int]) -> "AtlasMap | tuple[AtlasMap, ...]":
        if isinstance(index, tuple) and len(index) == 2:
            return self._map(self._index(*index))
        if isinstance(index, str):
            first = self._index(index, 0)
            return tuple(map(self._map, range(first, first + self.layers[index].channels)))
        maps = tuple(map(self._map, range(len(self))[rows(index, len(self), "feature maps")]))
        return maps if isinstance(index, slice) else maps[0]

    def __iter__(self) -> "Iterator[AtlasMap]":
        return map(self._map, range(len(self)))

    def __repr__(self) -> str:
        manifest, layers = self.manifest, len(self.manifest.layers)
        return (
            f"<Atlas: {len(self)} feature maps in {layers} layer{'s' * (layers != 1)} of {manifest.model.spec}, "
            f"top {manifest.k} of {manifest.counts.photos} photos ({manifest.photos.name})>"
        )

    @cached_property
    def layers(self) -> Mapping[str, AtlasLayer]:
        """By name, in the network's order."""
        return {layer.name: layer for layer in self.manifest.layers}

    @cached_property
    def _rows_of_photos(self) -> Mapping[str, NDArray[np.int64]]:
        """By the name of a photo, its rows in the table."""
        named = self._top["image"].combine_chunks().dictionary_encode()
        codes = named.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        rows = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        return dict(zip(named.dictionary.to_pylist(), rows, strict=False))

    def top(self, layer: str, channel: int) -> tuple[TopActivation, ...]:
        """The strongest activations of a feature map, one of each photo, the strongest first.

        Raises:
            LayerNotFoundError, ArgumentError: an unknown layer or channel.
        """
        first, last = self._rows(self._index(layer, channel))
        return _activations(self._top.slice(first, last - first))

    def stats(self, layer: str) -> tuple[MapStats, ...]:
        """What each feature map of a layer did over all photos, in the order of channels.

        Raises:
            LayerNotFoundError: an unknown layer.
        """
        return self._stats_of(self._index(layer, 0), self.layers[layer].channels)

    def trust(self, layer: str, channel: int | None = None) -> AtlasTrust | None:
        """What the pictures of a feature map rest on, or those of all maps of a layer.

        None if it was not measured (`trust=probes.twins`), or the maps are dead.

        Raises:
            LayerNotFoundError, ArgumentError: an unknown layer or channel.
        """
        first = self._index(layer, 0 if channel is None else channel)
        rows = self._trust_rows(first, 1 if channel is not None else self.layers[layer].channels)
        return None if rows is None else trust_of(rows)

    def picture(self, layer: str, channel: int) -> Image.Image:
        """The signals of a feature map's strongest activations as a block, beside their patches as another.

        Both are empty and crossed out for a dead map.

        Raises:
            LayerNotFoundError, ArgumentError: an unknown layer or channel.
            AtlasError: a picture is missing or damaged.
        """
        signals, patches = self.blocks(layer, channel)
        picture = Image.new("RGB", (2 * signals.width + 4 * gap(self.layers[layer].tile), signals.height), "white")
        picture.paste(signals, (0, 0))
        picture.paste(patches, (picture.width - patches.width, 0))
        return picture

    def blocks(self, layer: str, channel: int) -> tuple[Image.Image, Image.Image]:
        """The two halves of `picture`: signals, and patches. In reading order, the strongest first."""
        return self._blocks(layer, channel)

    def _blocks(self, layer: str, channel: int, across: int | None = None) -> tuple[Image.Image, Image.Image]:
        """Signals, and patches, with so many in a row; in a square block by default."""
        index = self._index(layer, channel)
        channel = index - self._index(layer, 0)
        if self._stats["dead"][index].as_py():
            return (empty_block(self.manifest.k, self.layers[layer].tile, across),) * 2
        first, last = self._rows(index)
        kinds: tuple[Kind, Kind] = ("signal", "patch")
        signals, patches = (self._block(layer, channel, kind, last - first, across) for kind in kinds)
        return signals, patches

    def _block(self, layer: str, channel: int, kind: Kind, count: int, across: int | None) -> Image.Image:
        info = self.layers[layer]
        strip = read_strip(self.folder, info, channel, kind, count)
        tiles = [strip.crop((i * info.tile, 0, (i + 1) * info.tile, info.tile)) for i in range(count)]
        return laid_out(tiles, self.manifest.k, info.tile, across)

    def sheet(
        self,
        layer: str,
        *,
        channels: Sequence[int] | None = None,
        arrange: Literal["grid", "rows"] = "grid",
        **layout: Unpack[LayoutOptions],
    ) -> Figure:
        """Feature maps of a layer on pages of A4: each one's strongest activations beside their patches.

        Below them stand its index, its strongest activation, how often it is active, that is, above zero, and what its
        pictures rest on, if that was measured. Dead maps, which are never active, are crossed out. A sheet that fits
        one page is only as high as what is on it.

        Args:
            layer: of the maps.
            channels: of the maps, in this order; all by default.
            arrange: maps in a "grid", each as two blocks, or each in a row of its own ("rows").
            tile: longer side of each block, in pixels; as large as the page lets it by default.
            columns: maps side by side in a grid; 3 by default.
            dpi: pixels of an inch, 30 to 1200; 300 by default.
            title: above each page; layer and model by default.
            text: draw titles, captions and the legend.

        Raises:
            LayerNotFoundError, ArgumentError: an unknown layer or channel, or a layout that does not fit the page.
            AtlasError: a picture is missing or damaged.
        """
        keywords("Atlas.sheet", layout, LayoutOptions.__annotations__)
        if not is_one_of(arrange, ("grid", "rows")):
            raise ArgumentError(f"arrange is 'grid' or 'rows'; got {short(arrange)}.")
        stats = self.stats(layer)
        indices = range(len(stats)) if channels is None else as_list(channels)
        if not indices:
            raise ArgumentError(f"channels is a list of feature maps, at least one; got {short(channels)}.")
        merged: LayoutOptions = {"dpi": 300, "title": sheet_title(layer, self.manifest), **layout}
        chosen, across = Layout(**merged), self.manifest.k if arrange == "rows" else None
        cells = []
        for channel in indices:
            blocks = self._blocks(layer, channel, across)
            words = map_words(stats[channel], self.trust(layer, channel), has_positions=bool(self.layers[layer].size))
            cells.append(Cell(blocks, words))
        _, columns = arranged(cells, indices, arrange, chosen)
        return draw_sheet(cells, self.manifest, self.layers[layer], chosen, columns=columns)

    def signals(self, layer: str) -> Signals:
        """The signals of a layer's top activations, if they were kept, in the order of channels and ranks.

        Raises:
            LayerNotFoundError: an unknown layer.
            AtlasError: they were not kept, or the file is damaged.
        """
        index = self._index(layer, 0)
        first, last = self._rows(index)[0], self._rows(index + self.layers[layer].channels - 1)[1]
        return read_signals(self.folder, layer, last - first)

    def find(self, *, image: str) -> tuple[TopActivation, ...]:
        """Where a photo is among the strongest, in the order of layers and channels; rank 0 where it leads.

        Args:
            image: the photo's name in the set.

        Raises:
            ArgumentError: it is not among the strongest of any feature map, or not a photo of the set.
        """
        image = escaped(text("image", image))
        if image in self._rows_of_photos:
            return _activations(self._top.take(self._rows_of_photos[image]))
        skipped = [photo.reason for photo in self._skipped if photo.image == image]
        if skipped:
            raise ArgumentError(f"the photo {image!r} was skipped when the atlas was built: {skipped[0]}")
        raise ArgumentError(
            f"the photo {image!r} is not among the {self.manifest.k} strongest of any feature map, or not in the set"
            f"{_near(image, self._rows_of_photos)}. "
            "atlas.to_frame()['image'] lists those that are."
        )

    def photos(self) -> tuple[str, ...]:
        """Names of the photos that are among the strongest of any feature map, in the order of the set."""
        rows = self._rows_of_photos
        index = self._top["index"].to_numpy()
        return tuple(sorted(rows, key=lambda name: (index[rows[name][0]], name)))

    def skipped(self) -> tuple[SkippedPhoto, ...]:
        """The photos that could not be read, and why."""
        return self._skipped

    def to_frame(self, table: Table = "top", *, layer: str | None = None) -> Any:
        """A table of the atlas: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Args:
            table: "top", a row for each top activation: layer, channel, rank, activation, image (the photo's name),
                index (of the photo), y, x (position, missing without spatial axes), and y0, x0, y1, x1: what the
                pictures show, in pixels of the photo. "stats", a row for each feature map, with the columns of
                `MapStats`. "skipped", the photos that could not be read: index, image, reason. "trust", a row for each
                top activation of which it was measured what its picture rests on: layer, channel, rank, other_channel
                (whose unit was put at its position), other_unit (the cosine of the two pictures), other_photo and
                other_index (in which it was drawn as well), other_image (the cosine); missing where there is nothing.
            layer: rows of this layer alone.

        Raises:
            LayerNotFoundError, ArgumentError: an unknown layer or table; a layer for "skipped"; "trust" of an atlas in
                which it was not measured.
        """
        if not is_one_of(table, get_args(Table)) or (table == "skipped" and layer is not None):
            raise ArgumentError(f"table is 'top', 'stats', 'trust', or 'skipped' without layer=; got {short(table)}.")
        if table == "skipped":
            names = [each.name for each in fields(SkippedPhoto)]
            return frame({name: [getattr(photo, name) for photo in self._skipped] for name in names})
        first, count = (0, len(self)) if layer is None else (self._index(layer, 0), self.layers[layer].channels)
        if table == "stats":
            return frame(self._stats.slice(first, count).to_pydict())
        if table == "trust":
            rows = self._trust_rows(first, count)
            if rows is None:
                raise ArgumentError(
                    "this atlas does not say what its pictures rest on. Build it with trust=probes.twins (--trust)."
                )
            return frame(rows.to_pydict())
        start, end = np.searchsorted(self._map_indices, [first, first + count])
        columns = self._top.slice(start, end - start).to_pydict()
        return frame({_CORNERS.get(name, name): values for name, values in columns.items()})

    def _map(self, index: int) -> "AtlasMap":
        """A feature map, counted through all layers."""
        for layer in self.manifest.layers:
            if index < layer.channels:
                return AtlasMap(self, layer.name, index)
            index -= layer.channels
        raise IndexError(index)

    def _stats_of(self, index: int, count: int) -> tuple[MapStats, ...]:
        return tuple(MapStats(**row) for row in self._stats.slice(index, count).to_pylist())

    def _trust_rows(self, index: int, count: int) -> pa.Table | None:
        """Of so many feature maps from one on, what was measured of their pictures; None if nothing was."""
        if self._trust is None:
            return None
        rows, indices = self._trust
        first, last = np.searchsorted(indices, [index, index + count])
        return rows.slice(first, last - first)

    def _index(self, layer: str, channel: int) -> int:
        """Index of a feature map, counted through all layers."""
        if text("layer", layer) not in self.layers:
            raise LayerNotFoundError(
                f"layer {layer!r} is not in the atlas{_near(layer, self.layers)}. It has {_listed(list(self.layers))}."
            )
        channels = self.layers[layer].channels
        chosen = as_index(channel)
        if chosen is None or not 0 <= chosen < channels:
            raise ArgumentError(f"{layer!r} has {channels} feature maps, counted from 0; got {short(channel)}.")
        before = list(self.layers)[: list(self.layers).index(layer)]
        return sum(self.layers[name].channels for name in before) + chosen

    def _rows(self, index: int) -> tuple[int, int]:
        """The first row of a feature map and the one behind its last."""
        first, last = np.searchsorted(self._map_indices, [index, index + 1])
        return int(first), int(last)


@dataclass(frozen=True)
class AtlasMap:
    """A feature map of an atlas.

    Attributes:
        atlas: that holds it.
        layer, channel: which map.
    """

    atlas: Atlas
    layer: str
    channel: int

    @property
    def top(self) -> tuple[TopActivation, ...]:
        """Its strongest activations, as `Atlas.top` gives them."""
        return self.atlas.top(self.layer, self.channel)

    @property
    def stats(self) -> MapStats:
        """What it did over all photos."""
        (stats,) = self.atlas._stats_of(self.atlas._index(self.layer, self.channel), 1)
        return stats

    @property
    def trust(self) -> AtlasTrust | None:
        """What its pictures rest on, as `Atlas.trust` gives it."""
        return self.atlas.trust(self.layer, self.channel)

    def picture(self) -> Image.Image:
        """Its strongest activations beside their patches, as `Atlas.picture` draws them."""
        return self.atlas.picture(self.layer, self.channel)


def _activations(rows: pa.Table) -> tuple[TopActivation, ...]:
    return tuple(_activation(**row) for row in rows.to_pylist())


def _activation(
    y: int | None, x: int | None, top: int, left: int, bottom: int, right: int, **row: Any
) -> TopActivation:
    position = () if y is None or x is None else (y, x)
    return TopActivation(position=position, box=Box((top, left), (bottom, right)), **row)


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=3, cutoff=0.3)
    return f"; the nearest names are {', '.join(map(repr, near))}" if near else ""


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(repr, names[:_MOST_NAMED])) + more
