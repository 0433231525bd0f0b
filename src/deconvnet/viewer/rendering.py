"""Files of this package → pages: templates, styles and scripts. No torch here."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

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
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: str) -> Markup:
    """A long name, which may be broken behind a sign that parts its words."""
    return Markup(re.sub(r"[._/-]", r"\g<0><wbr>", str(escape(name))))


def _text(name: str) -> str:
    return (_VIEWER / name).read_text(encoding="utf-8")
