"""A page as SVG: text as text, pictures embedded as PNG. No torch here."""

import base64
import io
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from deconvnet.pictures.page import Page, Placed, embedded


def as_svg(page: Page, dpi: int, title: str) -> str:
    """A page as an SVG document that loads nothing; the same text each time.

    Each line of text is stretched to the width that it was laid out with, because readers may lack its font.
    """
    pictures = [(placed, _data(placed, dpi)) for placed in page.pictures]
    return _template().render(page=page, dpi=dpi, title=title, pictures=pictures)


@cache
def _template() -> Template:
    text = resources.files(__package__).joinpath("figure.svg.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def _data(placed: Placed, dpi: int) -> str:
    file = io.BytesIO()
    embedded(placed, dpi).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
