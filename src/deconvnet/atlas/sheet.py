"""The paper's figure 2 from an atlas: for each feature map its strongest reconstructions beside their patches."""

from collections.abc import Sequence
from pathlib import Path

from PIL import ImageOps

from deconvnet._errors import ArgumentError
from deconvnet._files import check_writable, write_whole
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.tables import MapStats
from deconvnet.pictures.sheets import Cell, pages, percent, save_picture

SUFFIXES = (".png", ".pdf")

_BORDER = 60  # pixels: 5 millimetres that printers leave white
_PAGE = (2480 - 2 * _BORDER, 3508 - 2 * _BORDER)  # pixels of A4 at 300 dots per inch
_TEXT = 33  # pixels: 8 points
# the bytes depend on the pixels alone: no time
_PDF = {"save_all": True, "resolution": 300, "quality": 92, "creationDate": None, "modDate": None}
_LONGEST = 30000  # pixels of a PNG that viewers still open
_MOST_COLUMNS = 6  # on so narrow a page


def save_sheet(
    atlas: Atlas,
    layer: str,
    path: str | Path,
    *,
    channels: Sequence[int] | None = None,
    columns: int = 3,
    force: bool = False,
) -> int:
    """Write feature maps of a layer, as wide as an A4 page at 300 dots per inch; how many pages it became.

    Each map is a block of its strongest reconstructions beside a block of their patches, above its number, its
    strongest activation and how often it is active, above zero. Dead maps, which never are, are crossed out.

    Args:
        atlas: to draw from.
        layer: of the maps.
        path: ends in .png for one long picture, or .pdf for pages.
        channels: of the maps, in this order; all by default.
        columns: maps in a row.
        force: replace a file that is there already.

    Raises:
        LayerNotFoundError, ArgumentError: an unknown layer or channel, or the file cannot be written there.
        AtlasError: a picture is missing or damaged.
        DeconvNetError: the disk refused.
    """
    path = Path(path)
    check_writable(path, SUFFIXES, force=force)
    if not 1 <= columns <= _MOST_COLUMNS:
        raise ArgumentError(f"columns={columns!r}, but 1 to {_MOST_COLUMNS} fit a page.")
    cells = _cells(atlas, layer, channels)
    as_pdf = path.suffix.lower() == ".pdf"
    title = _title(atlas, layer)
    page = (_PAGE[0], _PAGE[1] if as_pdf else None)
    drawn = pages(cells, columns=columns, text=_TEXT, title=title, page=page)
    if as_pdf:
        first, *rest = (ImageOps.expand(image, _BORDER, "white") for image in drawn)
        write_whole(path, lambda file: first.save(file, "PDF", append_images=rest, title=title, **_PDF))
    else:
        _check_height(drawn[0].height, len(cells))
        save_picture(drawn[0], path, force=force)
    return len(drawn)


def _check_height(height: int, maps: int) -> None:
    if height > _LONGEST:
        raise ArgumentError(
            f"{maps} feature maps make a picture {height} pixels high, and {_LONGEST} is what viewers open. "
            "Choose fewer channels, more columns, or a .pdf."
        )


def _cells(atlas: Atlas, layer: str, channels: Sequence[int] | None) -> list[Cell]:
    stats = atlas.stats(layer)
    indices = range(len(stats)) if channels is None else channels
    if not len(indices):
        raise ArgumentError("the list of feature maps is empty. Give at least one (--channel, channels=).")
    return [Cell(atlas.blocks(layer, channel), _caption(atlas, stats[channel])) for channel in indices]


def _caption(atlas: Atlas, of_map: MapStats) -> str:
    if of_map.dead:
        return f"map {of_map.channel}: dead,\nactive nowhere"
    where = "positions" if atlas.layers[of_map.layer].size else "photos"
    return f"map {of_map.channel}: up to {of_map.max:.3g},\nactive at {percent(of_map.active)} of {where}"


def _title(atlas: Atlas, layer: str) -> str:
    manifest = atlas.manifest
    return (
        f"{layer} of {manifest.model.spec}: the {manifest.k} strongest activations of each feature map over "
        f"{manifest.counts.photos} photos ({manifest.photos.name}), and their patches"
    )
