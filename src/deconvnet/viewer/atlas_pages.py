"""The pages of an atlas: typed values → HTML and tables. Nothing is written to a disk here, and no torch is imported.

A page loads styles, scripts, strips and its table from addresses beneath its `root`, and nothing from anywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deconvnet._checks import escaped
from deconvnet._version import __version__
from deconvnet.viewer.addresses import NETWORK, SEARCH, STATIC, root_from, table_address
from deconvnet.viewer.drawings import HIGH, LONG, WIDE, Frame, Spread, across
from deconvnet.viewer.pages import as_json
from deconvnet.viewer.rendering import render, static_text

STYLES = ("base.css", "site.css")
SCRIPTS = ("words.js", "dom.js", "tables.js", "search.js")
"""Of all pages, in the order in which they are read."""
OF_GRIDS, OF_MAPS = ("grid.js",), ("turn.js",)


@dataclass(frozen=True)
class Link:
    """Another page: its name, and its address from the root."""

    name: str
    address: str


@dataclass(frozen=True)
class TileView:
    """A tile of a strip.

    Attributes:
        strip: its address from the root.
        rank: which tile of it.
        words: what it shows.
    """

    strip: str
    rank: int
    words: str


@dataclass(frozen=True)
class LayerCard:
    """A layer on the network's page.

    Attributes:
        link: to its page.
        words: its maps, their size and what a unit sees.
        dead: how many maps are.
        bar: in the drawing of the network.
        field: what a unit sees, in the frame of the input.
        maps: its strongest feature maps, each with a tile.
    """

    link: Link
    words: str
    dead: int
    bar: Frame
    field: Frame
    maps: tuple[tuple[Link, TileView], ...]


@dataclass(frozen=True)
class PhotoCard:
    """A photo on the network's page.

    Attributes:
        link: to its page.
        tile: its largest patch.
        led: how many feature maps it leads.
        ranked: of how many it is among the strongest photos.
    """

    link: Link
    tile: TileView
    led: int
    ranked: int


@dataclass(frozen=True)
class NetworkPage:
    """The page of a network.

    Attributes:
        model: its name.
        words: what the atlas is of.
        facts: how it was made, by name.
        input_bar: its input in the drawing of the network.
        input_frame: its input beside what a unit sees.
        layers: in its order.
        photos: those that lead the most maps.
        photo_count: how many photos rank anywhere.
        skipped: photos that could not be read, with the reason.
    """

    model: str
    words: str
    facts: tuple[tuple[str, str], ...]
    input_bar: Frame
    input_frame: Frame
    layers: tuple[LayerCard, ...]
    photos: tuple[PhotoCard, ...]
    photo_count: int
    skipped: tuple[tuple[str, str], ...]
    address: str = NETWORK


@dataclass(frozen=True)
class LayerPage:
    """The page of a layer, whose maps stand in its table.

    Attributes:
        address: from the root.
        model: the network's name.
        layer: its name.
        words: as in `LayerCard`.
        notes: what a reader of the pictures should know.
        trust: what the pictures of its maps rest on, in numbers, and what these mean; empty if it was not measured.
        field, input_frame: as in `LayerCard` and `NetworkPage`.
        before, after: the layers beside it.
        first: its first map.
    """

    address: str
    model: str
    layer: str
    words: str
    notes: tuple[str, ...]
    trust: tuple[str, ...]
    field: Frame
    input_frame: Frame
    before: Link | None
    after: Link | None
    first: Link


@dataclass(frozen=True)
class TopView:
    """A top activation of a feature map.

    Attributes:
        signal, patch: its two pictures.
        photo: its photo.
        activation: in words.
        where: position and box, in words.
        field: what the unit sees, in the frame of the input.
    """

    signal: TileView
    patch: TileView
    photo: Link
    activation: str
    where: tuple[str, ...]
    field: Frame


@dataclass(frozen=True)
class MapPage:
    """The page of a feature map.

    Attributes:
        address: from the root.
        model: the network's name.
        layer: the page of its layer.
        title: its name.
        across: pictures in a row of a block.
        tops: its top activations, the strongest first; empty for a dead map.
        photos: how many photos were looked at.
        facts: its statistics, by name.
        spread: of the photos' strongest activations.
        ends: the ends of its axis, in words.
        notes: what a reader of the pictures should know.
        trust: as in `LayerPage`, of its pictures.
        input_frame: of the network's input.
        before, after: the maps beside it.
        alike: maps of the layer that the same photos activate most, each with a tile and how many photos they share.
    """

    address: str
    model: str
    layer: Link
    title: str
    across: int
    tops: tuple[TopView, ...]
    photos: int
    facts: tuple[tuple[str, str], ...]
    spread: Spread
    ends: tuple[str, str]
    notes: tuple[str, ...]
    trust: tuple[str, ...]
    input_frame: Frame
    before: Link | None
    after: Link | None
    alike: tuple[tuple[Link, TileView, int], ...]


@dataclass(frozen=True)
class PhotoPage:
    """The page of a photo, whose units stand in its table.

    Attributes:
        address: from the root.
        model: the network's name.
        photo: its name.
        words: how many maps it leads, and in how many it ranks.
        tile: its largest patch.
        before, after: the photos beside it.
    """

    address: str
    model: str
    photo: str
    words: str
    tile: TileView
    before: Link | None
    after: Link | None


_TILES = "tiles.css"

AnyPage = NetworkPage | LayerPage | MapPage | PhotoPage

_TEMPLATES: dict[type, tuple[str, tuple[str, ...]]] = {
    NetworkPage: ("network.html", ()),
    LayerPage: ("layer.html", OF_GRIDS),
    MapPage: ("map.html", OF_MAPS),
    PhotoPage: ("photo.html", OF_GRIDS),
}


def page_html(page: AnyPage) -> str:
    """A page of an atlas as HTML."""
    template, scripts = _TEMPLATES[type(page)]
    table = [table_address(page.address)] if scripts == OF_GRIDS else []
    text = render(
        f"atlas/{template}",
        page=page,
        root=root_from(page.address),
        styles=_static((*STYLES, _TILES)),
        scripts=[*_static(SCRIPTS), *table, *_static(scripts)],
        network=NETWORK,
        search=SEARCH,
        version=__version__,
        wide=WIDE, high=HIGH, long=LONG,
    )  # fmt: skip
    return escaped(text)


def table_js(table: dict[str, Any]) -> str:
    """A table as a script that hands it over, which pages may load from a disk as well."""
    return f"handOver({as_json(table)});\n"


def static_files(k: int) -> dict[str, str]:
    """By name, the styles and scripts that the pages of an atlas load; `k` tiles are in a strip, at most."""
    names = (*STYLES, *SCRIPTS, *OF_GRIDS, *OF_MAPS)
    return {**{name: static_text(name) for name in names}, _TILES: _tiles_css(k)}


def _static(names: Sequence[str]) -> list[str]:
    """Addresses of styles and scripts."""
    return [f"{STATIC}/{name}" for name in names]


def _tiles_css(k: int) -> str:
    """Rules that need a tile's rank: how far a strip is moved to show it; and blocks of so many in a row."""
    moved = [f".tile .at-{rank} {{ object-position: {-100 * rank}cqw 0; }}" for rank in range(1, k)]
    blocks = [f".across-{n} {{ grid-template-columns: repeat({n}, minmax(0, 1fr)); }}" for n in range(1, across(k) + 1)]
    return "\n".join([*moved, *blocks, ""])
