"""The files of an atlas's site by their addresses, each made when it is asked for. No torch here."""

from collections.abc import Callable, Iterator
from functools import partial

from deconvnet.atlas.manifest import AtlasLayer
from deconvnet.atlas.store import KINDS, Kind, strip_bytes
from deconvnet.viewer.addresses import (
    NETWORK,
    SEARCH,
    STATIC,
    layer_address,
    map_address,
    photo_address,
    strip_address,
    table_address,
)
from deconvnet.viewer.atlas_pages import AnyPage, page_html, static_files, table_js
from deconvnet.viewer.atlas_views import AtlasViews

Content = Callable[[], bytes | None]
"""Makes a file; None where there is none, as of the pictures of a map that no photo activates."""


def atlas_files(views: AtlasViews) -> dict[str, Content]:
    """By address, what makes each file of an atlas's site; its first page comes last."""
    return dict(_files(views))


def _files(views: AtlasViews) -> Iterator[tuple[str, Content]]:
    atlas = views.atlas
    for name, text in static_files(atlas.manifest.k).items():
        yield f"{STATIC}/{name}", text.encode
    for layer in atlas.manifest.layers:
        address = layer_address(layer.name)
        yield address, partial(_page, partial(views.layer, layer.name))
        yield table_address(address), partial(_table, partial(views.layer_table, layer.name))
        for channel in range(layer.channels):
            yield map_address(layer.name, channel), partial(_page, partial(views.feature_map, layer.name, channel))
            for kind in KINDS:
                yield strip_address(layer.name, channel, kind), partial(_strip, views, layer, channel, kind)
    for image in atlas.photos():
        address = photo_address(image)
        yield address, partial(_page, partial(views.photo, image))
        yield table_address(address), partial(_table, partial(views.photo_table, image))
    yield SEARCH, partial(_table, views.search_table)
    yield NETWORK, partial(_page, views.network)


def _page(view: Callable[[], AnyPage]) -> bytes:
    return page_html(view()).encode()


def _table(table: Callable[[], dict[str, object]]) -> bytes:
    return table_js(table()).encode()


def _strip(views: AtlasViews, layer: AtlasLayer, channel: int, kind: Kind) -> bytes | None:
    count = len(views.atlas.top(layer.name, channel))
    return strip_bytes(views.atlas.folder, layer, channel, kind, count) if count else None
