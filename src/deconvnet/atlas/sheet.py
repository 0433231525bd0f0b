"""The paper's figure 2 from an atlas: for each feature map its strongest reconstructions beside their patches."""

from collections.abc import Sequence

from deconvnet.atlas.manifest import AtlasLayer, Manifest
from deconvnet.atlas.tables import MapStats
from deconvnet.atlas.trust_summary import MEDIANS_MEAN, AtlasTrust
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout
from deconvnet.pictures.numbers import percent, significant
from deconvnet.pictures.sheets import Around, Cell, pages
from deconvnet.results.facts import SAME_FOR_ALL

_A4 = (8.27, 11.69)  # inches
_COLUMNS = 3


def draw_sheet(
    cells: Sequence[Cell], manifest: Manifest, layer: AtlasLayer, layout: Layout, *, columns: int | None
) -> Figure:
    """Feature maps of a layer on pages of A4.

    Args:
        cells: one for each map.
        manifest: of the atlas.
        layer: whose feature maps they are.
        layout: what the user chose.
        columns: maps in a row, where the user does not say; None for three.

    Raises:
        ArgumentError: a layout that does not fit the page.
    """
    page = round(_A4[0] * layout.dpi), round(_A4[1] * layout.dpi)
    around = Around(_legend(manifest), SAME_FOR_ALL if layer.image_free else "")
    return pages(cells, layout, columns=columns or _COLUMNS, around=around, page=page)


def map_words(of_map: MapStats, trust: AtlasTrust | None, *, has_positions: bool) -> str:
    """A feature map's index, its strongest activation, how often it is active, and what its pictures rest on."""
    if of_map.dead:
        return f"map {of_map.channel}: dead, active nowhere"
    where = "positions" if has_positions else "photos"
    active = f"active at {percent(of_map.active)} of {where}"
    cosines = "" if trust is None else trust.medians()
    return f"map {of_map.channel}: activation up to {significant(of_map.max)}; {active}{cosines and '; '}{cosines}"


def sheet_title(layer: str, manifest: Manifest) -> str:
    """What a sheet is called if the user does not say."""
    return f"{layer} of {manifest.model.spec}"


def _legend(manifest: Manifest) -> str:
    legend = (
        f"Left: the {manifest.k} strongest activations of each map over {manifest.counts.photos} photos "
        f"({manifest.photos.name}), carried down; zero is grey. Right: their patches."
    )
    return f"{legend} {MEDIANS_MEAN}" if manifest.trust_samples else legend
