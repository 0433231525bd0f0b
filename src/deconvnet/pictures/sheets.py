"""Captioned pictures on sheets. No torch here: viewing an atlas does not need it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from deconvnet._errors import ArgumentError
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.files import on_white
from deconvnet.pictures.fit import fitted
from deconvnet.pictures.layout import Layout
from deconvnet.pictures.page import INK, RED, Page, Placed
from deconvnet.pictures.words import words

_LONGEST = 30000  # pixels of a picture that viewers still open
_TILE = 160  # pixels on a screen
_BAR = 10  # pixels on a screen: height of a colour bar
_CAPTION, _HEADING = 96, 320  # pixels on a screen: words are not broken into narrower lines, where there is room
_EMPTY = Page(0, 0, (), ())


@dataclass(frozen=True)
class Bar:
    """The scale of a picture in colours.

    Attributes:
        image: the colours from left to right.
        ticks: positions on it, 0 to 1, with their words.
    """

    image: Image.Image
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Cell:
    """One cell of a sheet.

    Attributes:
        images: side by side, such as a reconstruction and its patch.
        caption: the words below them.
        stamp: a warning that belongs to the first image: it stands above it, also where captions are left out.
        bar: the scale of the images.
    """

    images: tuple[Image.Image, ...]
    caption: str = ""
    stamp: str = ""
    bar: Bar | None = None

    def __post_init__(self) -> None:
        if not self.images:
            raise ArgumentError(f"the cell {self.caption!r} is without an image. Give at least one.")
        for image in self.images:
            if 0 in image.size:
                raise ArgumentError(f"the cell {self.caption!r} has an image of {image.height} x {image.width}.")


@dataclass(frozen=True)
class Around:
    """What stands above the cells of a sheet, below its title.

    Attributes:
        legend: what the pictures show.
        notice: what a reader must not overlook.
    """

    legend: str = ""
    notice: str = ""


def sheet(
    cells: Sequence[Cell | None],
    layout: Layout | None = None,
    *,
    tile: float = _TILE,
    columns: int | None = None,
    around: Around | None = None,
) -> Figure:
    """A white sheet with the cells in rows, captions below them, as one page.

    Small images are enlarged with their pixels kept square and sharp, large ones reduced with antialiasing; each fits
    a square tile. Captions wrap, and rows grow to hold them; those of a row start at the same height.

    Args:
        cells: in reading order; None leaves a place free.
        layout: what the user chose.
        tile: the figure's own choice, in pixels on a screen.
        columns: the figure's own choice; by default the sheet is about as many cells wide as high.
        around: the words above.

    Raises:
        ArgumentError: no cells, or a sheet that is too large to be opened.
    """
    layout = layout or Layout()
    side = layout.tile or layout.pixels(tile)
    columns = layout.columns or columns or math.ceil(math.sqrt(len(cells)))
    rows = _rows(cells, min(columns, len(cells)), side, layout, least=layout.pixels(_CAPTION))
    heading = _heading(layout, around or Around(), max(layout.pixels(_HEADING), *(row.width for row in rows)))
    return framed(_column([*heading, *rows], layout.margin), layout)


def pages(cells: Sequence[Cell], layout: Layout, *, columns: int, around: Around, page: tuple[int, int]) -> Figure:
    """The cells as on a `sheet`, on as many pages as they need, each with the words above; rows are kept whole.

    A sheet that fits one page is only as high as what is on it.

    Args:
        cells: in reading order.
        layout: what the user chose. Without a tile, tiles are as large as the page lets them; without columns, as many
            tiles of the user's size stand side by side as fit.
        columns: where the user chose neither.
        around: the words above.
        page: width and height in pixels.

    Raises:
        ArgumentError: no cells, a page that is too narrow for the columns, or too low for a row.
    """
    most = max((len(cell.images) for cell in cells), default=1)
    inner = page[0] - 2 * layout.margin
    columns, side = _fitting(inner, most, columns, layout)
    rows = _rows(cells, columns, side, layout)
    heading = _heading(layout, around, inner)
    free = page[1] - layout.margin - sum(block.height + layout.margin for block in heading)
    dealt = [framed(_column([*heading, *held], layout.margin), layout) for held in _dealt(rows, layout.margin, free)]
    if len(dealt) == 1:
        return dealt[0]
    return Figure(tuple(replace(of.pages[0], width=page[0], height=page[1]) for of in dealt), layout.dpi, layout.title)


def beside(left: Figure, right: Figure, layout: Layout, *, around: Around | None = None) -> Figure:
    """Two sheets of one page each side by side, below common words."""
    both = (_inside(left, layout), _inside(right, layout))
    row = _row_of(both, layout.margin)
    return framed(_column([*_heading(layout, around or Around(), row.width), row], layout.margin), layout)


def framed(block: Page, layout: Layout) -> Figure:
    """A block with a white margin around, as a figure of one page.

    Raises:
        ArgumentError: it is too large to be opened.
    """
    margin = layout.margin
    width, height = block.width + 2 * margin, block.height + 2 * margin
    if max(width, height) > _LONGEST:
        raise ArgumentError(
            f"the figure would be {width} x {height} pixels, and viewers open {_LONGEST}. Draw fewer feature maps, or "
            "smaller tiles (--tile, tile=)."
        )
    page = _placed(width, height, [(block, margin, margin)])
    return Figure((page,), layout.dpi, layout.title)


def _fitting(inner: int, most: int, columns: int, layout: Layout) -> tuple[int, int]:
    """How many cells stand side by side in `inner` pixels, and the side of their tiles."""
    gap, margin = layout.gap, layout.margin
    if layout.tile is None:
        columns = layout.columns or columns
        side = ((inner + margin) // columns - margin + gap) // most - gap
        if side < 16:
            raise ArgumentError(f"columns={columns!r} is too many for a page {inner} pixels wide. Choose fewer.")
        return columns, side
    width = most * (layout.tile + gap) - gap
    fit = (inner + margin) // (width + margin)
    if fit < (layout.columns or 1):
        raise ArgumentError(
            f"tile={layout.tile!r} makes {layout.columns or 1} columns wider than a page of {inner} pixels. Choose a "
            "smaller tile, or fewer columns."
        )
    return layout.columns or fit, layout.tile


def _heading(layout: Layout, around: Around, width: int) -> list[Page]:
    """The words above the cells, if there are any and they are wanted."""
    size = layout.size
    parts = [(layout.title, layout.margin, INK), (around.legend, size, INK), (around.notice, size, RED)]
    blocks = [words(text, width, at, colour=colour) for text, at, colour in parts if text.strip() and layout.text]
    if not blocks:
        return []
    longest = max(line.width for block in blocks for line in block.lines)
    return [replace(_column(blocks, layout.gap), width=longest)]


def _rows(cells: Sequence[Cell | None], columns: int, side: int, layout: Layout, *, least: int = 0) -> list[Page]:
    """Rows of cells; with captions, cells are at least so many pixels wide."""
    filled = [cell for cell in cells if cell is not None]
    if not filled:
        raise ArgumentError("a sheet needs at least one cell.")
    most = max(len(cell.images) for cell in filled)
    width = most * (side + layout.gap) - layout.gap
    if layout.text and any(cell.caption for cell in filled):
        width = max(width, least)
    return [_row(cells[i : i + columns], width, side, layout) for i in range(0, len(cells), columns)]


def _row(cells: Sequence[Cell | None], width: int, side: int, layout: Layout) -> Page:
    """Cells side by side: pictures stand on one line, captions start below it."""
    strips = [_EMPTY if cell is None else _strip(cell, side, layout) for cell in cells]
    tall = max(strip.height for strip in strips)
    below = [_EMPTY if cell is None else _below(cell, width, layout) for cell in cells]
    blocks = [
        _placed(width, tall + caption.height, [(strip, 0, tall - strip.height), (caption, 0, tall)])
        for strip, caption in zip(strips, below, strict=True)
    ]
    return _row_of(blocks, layout.margin)


def _strip(cell: Cell, side: int, layout: Layout) -> Page:
    """A cell's images side by side, standing on one line, with the stamp above the first."""
    sizes = [fitted(image.size, side) for image in cell.images]
    tall, left, pictures = max(height for _, height in sizes), 0, []
    for image, (width, height) in zip(cell.images, sizes, strict=True):
        pictures.append(Placed(on_white(image), left, tall - height, width, height))
        left += width + layout.gap
    strip = Page(left - layout.gap, tall, tuple(pictures), ())
    return _stamped(strip, cell.stamp, sizes[0], layout) if cell.stamp else strip


def _stamped(strip: Page, stamp: str, size: tuple[int, int], layout: Layout) -> Page:
    """The stamp right above the first image; none where it would be more than a quarter as high."""
    width, height = size
    text = words(stamp, width, layout.size, colour=RED)
    if width < 3 * layout.margin or text.height > height / 4:
        return strip
    above = max(text.height - (strip.height - height), 0)  # of an image that is higher than the first
    return _placed(strip.width, strip.height + above, [(text, 0, strip.height + above - height - text.height),
                                                       (strip, 0, above)])  # fmt: skip


def _below(cell: Cell, width: int, layout: Layout) -> Page:
    """A cell's caption and scale."""
    if not layout.text:
        return _EMPTY
    blocks = [words(cell.caption, width, layout.size, clauses=True)] if cell.caption.strip() else []
    if cell.bar:
        images = fitted(cell.images[0].size, 10**6)
        blocks.append(_scale(cell.bar, min(width, round(width * images[0] / 10**6)), layout))
    if not blocks:
        return _EMPTY
    column = _column(blocks, layout.gap)
    return _placed(width, column.height + layout.gap, [(column, 0, layout.gap)])


def _scale(bar: Bar, width: int, layout: Layout) -> Page:
    """A colour bar with the words of its ticks below; those between that would touch others are left out."""
    tall = layout.pixels(_BAR)
    parts = [(Page(width, tall, (Placed(bar.image, 0, 0, width, tall),), ()), 0, 0)]
    taken: list[tuple[int, int]] = []
    for share, text in (*bar.ticks[:1], *bar.ticks[:0:-1]):
        block = words(text, 10**6, layout.size)
        wide = block.lines[0].width
        left = min(max(round(share * width - wide / 2), 0), width - wide)
        if all(left > right + layout.gap or left + wide + layout.gap < low for low, right in taken):
            taken.append((left, left + wide))
            parts.append((replace(block, width=wide), left, tall))
    return _placed(width, max(top + block.height for block, _, top in parts), parts)


def _dealt(rows: list[Page], margin: int, free: int) -> list[list[Page]]:
    """The rows of each page."""
    of_pages: list[list[Page]] = []
    left = 0
    for row in rows:
        needed = row.height + margin
        if needed > free:
            raise ArgumentError(
                f"a row of {row.height} pixels is higher than a page. Choose more columns, or a smaller tile."
            )
        if needed > left:
            of_pages.append([])
            left = free
        of_pages[-1].append(row)
        left -= needed
    return of_pages


def _inside(figure: Figure, layout: Layout) -> Page:
    """A figure's page without its margin."""
    page, margin = figure.pages[0], layout.margin
    return _placed(page.width - 2 * margin, page.height - 2 * margin, [(page, -margin, -margin)])


def _column(blocks: Sequence[Page], gap: int) -> Page:
    parts, top = [], 0
    for block in blocks:
        parts.append((block, 0, top))
        top += block.height + gap
    return _placed(max(block.width for block in blocks), top - gap, parts)


def _row_of(blocks: Sequence[Page], gap: int) -> Page:
    parts, left = [], 0
    for block in blocks:
        parts.append((block, left, 0))
        left += block.width + gap
    return _placed(left - gap, max(block.height for block in blocks), parts)


def _placed(width: int, height: int, parts: Sequence[tuple[Page, int, int]]) -> Page:
    """A block of the size, with each part at its (left, top)."""
    pictures = [
        replace(placed, left=placed.left + left, top=placed.top + top)
        for block, left, top in parts
        for placed in block.pictures
    ]
    lines = [
        replace(line, left=line.left + left, base=line.base + top) for block, left, top in parts for line in block.lines
    ]
    return Page(width, height, tuple(pictures), tuple(lines))
