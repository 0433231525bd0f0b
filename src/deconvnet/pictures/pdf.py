"""Pages as PDF: text as text, in subsets of its fonts. No torch here."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from fpdf import FPDF
from PIL import Image

from deconvnet.pictures.fonts import Face, own_font_file, runs_of
from deconvnet.pictures.page import Line, Page, embedded

_LOSSLESS = 6_000_000  # pixels of all pictures of a figure; with more, they are JPEGs
_QUALITY = 88
_LARGEST = 22_000_000  # bytes of all JPEGs together; with more, their quality goes down
_LOWER = (80, 70, 55)
_BASE = 0.8  # of a cell as high as its text is large: from its top to the base line, as fpdf2 sets it


class _Document(FPDF):
    """Without a time: the same figure gives the same bytes."""

    def __init__(self, title: str) -> None:
        super().__init__(unit="pt")
        self.set_auto_page_break(False)
        self.set_margin(0)
        self.c_margin = 0.0
        self.set_title(title)
        self.set_creation_date(datetime(2000, 1, 1, tzinfo=UTC))
        self.set_text_shaping(True)  # without it, letters that join, or run from right to left, come out wrong


def as_pdf(pages: Sequence[Page], dpi: int, title: str) -> bytes:
    """Pages as a PDF file, 72 points for each `dpi` pixels; the same bytes each time.

    Pictures are lossless where they are few, and JPEGs where they are many.
    """
    with TemporaryDirectory() as folder:
        return _written(_Document(title), pages, dpi, Path(folder))


def _written(document: FPDF, pages: Sequence[Page], dpi: int, folder: Path) -> bytes:
    """The file, with a folder for the file of Pillow's own font."""
    points = 72 / dpi
    images = _encoded([[embedded(placed, dpi) for placed in page.pictures] for page in pages])
    fonts = _Fonts(document, folder)
    for page, of_page in zip(pages, images, strict=True):
        document.add_page(format=(page.width * points, page.height * points))
        for placed, image in zip(page.pictures, of_page, strict=True):
            left, top, width, height = (points * x for x in (placed.left, placed.top, placed.width, placed.height))
            document.image(image, left, top, width, height)
        for line in page.lines:
            _write(document, line, points, fonts)
    return bytes(document.output())


class _Fonts:
    """The fonts of a document, each added when it is first used."""

    def __init__(self, document: FPDF, folder: Path) -> None:
        self._document = document
        self._folder = folder
        self._names: dict[Face, str] = {}

    def name(self, face: Face) -> str:
        """What the document calls the font."""
        if face not in self._names:
            path = face.path
            if path is None:
                path = self._folder / "own.ttf"
                path.write_bytes(own_font_file())
            self._names[face] = f"font{len(self._names)}"
            self._document.add_font(self._names[face], fname=path, collection_font_number=face.index)
        return self._names[face]


def _write(document: FPDF, line: Line, points: float, fonts: _Fonts) -> None:
    left = line.left * points
    document.set_text_color(*line.colour)
    for run in runs_of(line.text):
        size = line.size * points
        document.set_font(fonts.name(run.face), size=size)
        document.set_xy(left, line.base * points - _BASE * size)
        width = document.get_string_width(run.text)
        document.cell(width, size, run.text)  # `text` would not let letters join, nor run from right to left
        left += width


def _encoded(pages: list[list[Image.Image]]) -> list[list[Image.Image | io.BytesIO]]:
    """Each picture as it is, or as a JPEG."""
    pixels = sum(image.width * image.height for images in pages for image in images)
    if pixels <= _LOSSLESS:
        return [[*images] for images in pages]
    for quality in (_QUALITY, *_LOWER):
        jpegs = [[_jpeg(image, quality) for image in images] for images in pages]
        if sum(len(file.getvalue()) for files in jpegs for file in files) <= _LARGEST:
            break
    return [[*files] for files in jpegs]


def _jpeg(image: Image.Image, quality: int) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file
