"""Captioned pictures, on sheets and in files. No torch here: viewing an atlas does not need it."""

import itertools
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont, ImageOps

from deconvnet import _checks
from deconvnet._checks import file_path, flag
from deconvnet._errors import ArgumentError
from deconvnet._files import check_writable, write_whole
from deconvnet.pictures.fit import fit

SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

_BEST = {"quality": 95, "subsampling": 0, "lossless": True}  # of JPEG and WebP; others ignore it
_WHITE, _INK = (255, 255, 255), (26, 26, 26)
_TEXT, _LEADING = 12, 1.3
_SPELLINGS = str.maketrans(
    {"×": "x", "–": "-", "—": "-", "−": "-", "→": "->", "•": "·", "µ": "u", "μ": "u", "ß": "ss"}
    | {"æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L"}
)
_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Cell:
    """One cell of a sheet.

    Attributes:
        images: side by side, such as a reconstruction and its patch.
        caption: the words below them.
    """

    images: tuple[Image.Image, ...]
    caption: str

    def __post_init__(self) -> None:
        if not self.images:
            raise ArgumentError(f"the cell {self.caption!r} is without an image. Give at least one.")
        for image in self.images:
            if 0 in image.size:
                raise ArgumentError(f"the cell {self.caption!r} has an image of {image.height} x {image.width}.")


def sheet(cells: Sequence[Cell], *, columns: int | None = None, cell_size: int = 160, title: str = "") -> Image.Image:
    """A white sheet with the cells in rows, captions below them, RGB.

    Small images are enlarged with their pixels kept square and sharp, large ones reduced with
    antialiasing; each fits a square of `cell_size`. Captions wrap, and rows grow to hold them.

    Args:
        cells: in reading order.
        columns: cells in a row; by default the sheet is about as many cells wide as high.
        cell_size: in pixels, at least 16.
        title: above the cells; none if empty.

    Raises:
        ArgumentError: no cells, fewer than one column, or a cell_size below 16.
    """
    heading, rows = _laid_out(cells, columns, cell_size, _TEXT, title)
    return _stacked([*heading, *rows], _TEXT)


def pages(
    cells: Sequence[Cell], *, columns: int, text: int, title: str, page: tuple[int, int | None]
) -> list[Image.Image]:
    """The cells as on a `sheet`, on as many pages as they need, each with the title; rows are kept whole.

    Args:
        cells: in reading order.
        columns: that share the width of a page; cells are as large as that lets them.
        text: size of the captions in pixels; title, margins and gaps go with it.
        title: above the cells; none if empty.
        page: width and height in pixels; a height of None makes one page as high and wide as the cells.

    Raises:
        ArgumentError: no cells, fewer than one column, so many that nothing can be seen, or rows higher than a page.
    """
    width, height = page
    most = max((len(cell.images) for cell in cells), default=1)
    cell_size = ((width - _margin(text)) // max(columns, 1) - _margin(text) + _gap(text)) // most - _gap(text)
    heading, rows = _laid_out(cells, columns, cell_size, text, title)
    if height is None:
        return [_stacked([*heading, *rows], text)]
    sheets = [_stacked([*heading, *held], text) for held in _dealt(rows, heading, text, height)]
    return [_pasted(width, height, [sheet], [(0, 0)]) for sheet in sheets]


def side_by_side(images: Sequence[Image.Image], captions: Sequence[str], *, title: str = "") -> Image.Image:
    """The images in one row, each with its caption, such as "photo" and "projection"; RGB.

    Raises:
        ArgumentError: no images, or not one caption for each.
    """
    if len(images) != len(captions):
        raise ArgumentError(f"{len(images)} images came with {len(captions)} captions. Give one for each.")
    cells = [Cell((image,), caption) for image, caption in zip(images, captions, strict=True)]
    longest = max((max(image.size) for image in images), default=0)
    return sheet(cells, columns=len(cells) or 1, cell_size=min(max(longest, 224), 512), title=title)


def save_picture(image: Image.Image, path: str | Path, *, force: bool = False) -> None:
    """Write the picture, completely or not at all, in the format that the suffix names.

    The bytes depend on the pixels alone: no time, place or other metadata. WebP is lossless.

    Args:
        image: any mode; transparency becomes white.
        path: ends in .png, .webp, .jpg, .jpeg, .tif, .tiff or .bmp.
        force: replace a file that is there already.

    Raises:
        ArgumentError: an unknown suffix, a missing folder, or a file that is there already.
        DeconvNetError: the disk refused, or the format cannot hold a picture of this size.
    """
    path = check_picture_path(path, force=force)
    kind = Image.registered_extensions()[path.suffix.lower()]
    write_whole(path, lambda file: on_white(image).save(file, kind, **_BEST))


def check_picture_path(path: str | Path, *, force: bool) -> Path:
    """The path, if a picture may be written there; what is drawn for it is drawn after this.

    Raises:
        ArgumentError: as `save_picture`.
    """
    picture = file_path("path", path)
    check_writable(picture, SUFFIXES, force=flag("force", force))
    return picture


def on_white(image: Image.Image) -> Image.Image:
    """RGB without metadata."""
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (*_WHITE, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def percent(share: float) -> str:
    """A share as text for a caption, with two significant digits.

    Example:
        >>> [percent(share) for share in (0.996, 0.1, 0.0123, 0.000123, 0.0000012)]
        ['100 %', '10 %', '1.2 %', '0.012 %', 'under 0.001 %']
    """
    if 0 < share < 1e-5:
        return "under 0.001 %"
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"


def _pasted(width: int, height: int, images: Iterable[Image.Image], corners: Iterable[tuple[int, int]]) -> Image.Image:
    """White, with each image at its (left, top)."""
    canvas = Image.new("RGB", (width, height), _WHITE)
    for image, corner in zip(images, corners, strict=True):
        canvas.paste(image, corner)
    return canvas


def _margin(text: int) -> int:
    """Around a sheet and between its cells; also the size of its title."""
    return 4 * text // 3


def _gap(text: int) -> int:
    """Between the images of a cell."""
    return text // 3


def _laid_out(
    cells: Sequence[Cell], columns: int | None, cell_size: int, text: int, title: str
) -> tuple[list[Image.Image], list[Image.Image]]:
    """The title, if there is one, and the rows of a sheet."""
    title = _checks.text("title", title)
    if not cells:
        raise ArgumentError("a sheet needs at least one cell.")
    if cell_size < 16 or (columns is not None and columns < 1):
        raise ArgumentError(f"cell_size={cell_size!r} and columns={columns!r}, but at least 16 and 1 are needed.")
    across = min(len(cells), columns or math.ceil(math.sqrt(len(cells))))
    most = max(len(cell.images) for cell in cells)
    width = most * cell_size + (most - 1) * _gap(text)
    strips = [_strip(cell, width, cell_size, text) for cell in cells]
    rows = [_row(strips[i : i + across], width, text) for i in range(0, len(strips), across)]
    total = across * (width + _margin(text)) - _margin(text)
    heading = [_words(title, total, _margin(text), centred=False)] if title.strip() else []
    return heading, rows


def _dealt(rows: list[Image.Image], heading: list[Image.Image], text: int, height: int) -> list[list[Image.Image]]:
    """The rows of each page."""
    free = height - _margin(text) - sum(image.height + _margin(text) for image in heading)
    of_pages: list[list[Image.Image]] = []
    left = 0
    for row in rows:
        needed = row.height + _margin(text)
        if needed > free:
            raise ArgumentError(f"a row of {row.height} pixels is higher than a page. Choose more columns.")
        if needed > left:
            of_pages.append([])
            left = free
        of_pages[-1].append(row)
        left -= needed
    return of_pages


def _strip(cell: Cell, width: int, cell_size: int, text: int) -> Image.Image:
    """A cell's images beside each other, in the middle of `width`, above its caption."""
    images = [fit(on_white(image), cell_size, even=True) for image in cell.images]
    tall = max(image.height for image in images)
    steps = [image.width + _gap(text) for image in images]
    start = (width - sum(steps) + _gap(text)) // 2
    lefts = itertools.accumulate(steps[:-1], initial=start)
    tops = [(tall - image.height) // 2 for image in images]
    strip = _pasted(width, tall, images, zip(lefts, tops, strict=True))
    if not cell.caption.strip():
        return strip
    return _column([strip, _words(cell.caption, width, text, centred=True)], _gap(text))


def _row(strips: Sequence[Image.Image], width: int, text: int) -> Image.Image:
    lefts = [i * (width + _margin(text)) for i in range(len(strips))]
    tall = max(strip.height for strip in strips)
    return _pasted(lefts[-1] + width, tall, strips, [(left, 0) for left in lefts])


def _stacked(images: Sequence[Image.Image], text: int) -> Image.Image:
    """Parts of a sheet below each other, with white around."""
    return ImageOps.expand(_column(images, _margin(text)), _margin(text), _WHITE)


def _column(images: Sequence[Image.Image], gap: int) -> Image.Image:
    bottoms = list(itertools.accumulate(image.height + gap for image in images))
    tops = [0, *bottoms[:-1]]
    wide = max(image.width for image in images)
    return _pasted(wide, bottoms[-1] - gap, images, [(0, top) for top in tops])


def _words(text: str, width: int, size: int, *, centred: bool) -> Image.Image:
    """The text, broken into lines that fit into `width`."""
    font = ImageFont.load_default(size)
    paragraphs = _spelt(text, font).splitlines()
    lines = [line for part in paragraphs for line in _wrapped(part, width, font)]
    leading = round(size * _LEADING)
    canvas = Image.new("RGB", (width, leading * len(lines) + size // 4), _WHITE)
    draw = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        spare = width - font.getlength(line)
        draw.text((spare // 2 if centred else 0, i * leading), line, _INK, font)
    return canvas


def _spelt(text: str, font: _Font) -> str:
    """The text in letters that Pillow's own font has: it knows ASCII and little more."""
    text = unicodedata.normalize("NFKD", text.strip().translate(_SPELLINGS))
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    unknown = bytes(font.getmask("\uffff"))
    letters = {x: x.isspace() or bytes(font.getmask(x)) != unknown for x in set(text)}
    return "".join(letter if letters[letter] else "?" for letter in text)


def _wrapped(text: str, width: int, font: _Font) -> Iterator[str]:
    line = ""
    for piece in (piece for word in text.split() for piece in _pieces(word, width, font)):
        longer = f"{line} {piece}".strip()
        if line and font.getlength(longer) > width:
            yield line
            longer = piece
        line = longer
    yield line


def _pieces(word: str, width: int, font: _Font) -> Iterator[str]:
    """The word, broken where it would not fit a line of its own."""
    start = 0
    for end in range(2, len(word) + 1):
        if font.getlength(word[start:end]) > width:
            yield word[start : end - 1]
            start = end - 1
    yield word[start:]
