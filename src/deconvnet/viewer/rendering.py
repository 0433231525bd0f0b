"""Files of this package → pages: templates, styles and scripts. No torch here."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

_VIEWER = files("deconvnet.viewer")


def static_text(name: str) -> str:
    """A style or script."""
    return _text(f"static/{name}")


def render(template: str, **values: Any) -> str:
    """A template filled in; text in it is escaped, `Markup` is not."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    loader = FunctionLoader(lambda name: _text(f"templates/{name}"))
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _text(name: str) -> str:
    return (_VIEWER / name).read_text(encoding="utf-8")
