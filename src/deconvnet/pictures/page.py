"""A page: pictures and lines of text, each at its position. No torch here."""

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw

from deconvnet.pictures.fit import resized
from deconvnet.pictures.fonts import font_of, runs_of

INK, RED = (26, 26, 26), (176, 0, 32)

_WHITE = (255, 255, 255)
_COARSE, _FINE = 100, 200  # dots per inch: pixels that are larger than these are seen, and are drawn sharp


@dataclass(frozen=True)
class Placed:
    """A picture on a page; it is resized to its box when it is drawn.

    Attributes:
        image: RGB.
        left, top, width, height: the box, in the page's pixels.
    """

    image: Image.Image
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Line:
    """A line of text on a page.

    Attributes:
        text: as it is read; see `runs_of` for the fonts that it is drawn in.
        left, base: where its first letter stands, in the page's pixels.
        size: of the font, in pixels.
        width: of the line, in pixels.
        colour: red, green, blue.
    """

    text: str
    left: int
    base: int
    size: int
    width: int
    colour: tuple[int, int, int] = INK


@dataclass(frozen=True)
class Page:
    """One page of a figure: white, with pictures, and lines of text on them.

    Attributes:
        width, height: in pixels.
        pictures: later ones lie on earlier ones.
        lines: on top.
    """

    width: int
    height: int
    pictures: tuple[Placed, ...]
    lines: tuple[Line, ...]


def as_pixels(page: Page) -> Image.Image:
    """The page as an RGB picture."""
    canvas = Image.new("RGB", (page.width, page.height), _WHITE)
    for placed in page.pictures:
        drawn = resized(placed.image, (placed.width, placed.height), even=True)
        canvas.paste(drawn, (placed.left, placed.top))
    draw = ImageDraw.Draw(canvas)
    for line in page.lines:
        left: float = line.left
        for run in runs_of(line.text):
            font = font_of(run.face, line.size)
            draw.text((round(left), line.base), run.text, line.colour, font, anchor="ls")
            left += font.getlength(run.text)
    return canvas


def embedded(placed: Placed, dpi: int) -> Image.Image:
    """A picture as PDF and SVG hold it: its own pixels, where readers of the file would not see them one by one.

    Coarse pixels become blocks of finer ones, because many viewers would blur them.

    Args:
        placed: on a page.
        dpi: of the page.
    """
    image = placed.image
    have = dpi * max(image.size) / max(placed.width, placed.height)
    most = max(dpi, 300)
    if _COARSE <= have <= most:
        return image
    factor = most / have if have > most else math.ceil(_FINE / have)
    return resized(image, (max(1, round(image.width * factor)), max(1, round(image.height * factor))))
