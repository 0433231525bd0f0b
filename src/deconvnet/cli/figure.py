"""The flags that say how a figure looks, shared by the commands that draw one."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from deconvnet.pictures.layout import LayoutOptions
    from deconvnet.pictures.plot import PlotOptions

PANEL = "Figure"
FORMATS = "Picture file: .png, .pdf or .svg (text stays text), .webp, .jpg, .tif, .bmp."

Arrange = Annotated[
    Literal["grid", "rows", "columns"], typer.Option(help="A grid, or a row or a column for each feature map.")
]
ArrangeRows = Annotated[Literal["grid", "rows"], typer.Option(help="A grid, or a row for each feature map.")]

_flag = partial(typer.Option, rich_help_panel=PANEL)
_SUITS = "as suits the figure"


@dataclass(frozen=True)
class FigureFlags:
    """The flags that say how a figure looks."""

    tile: Annotated[
        int | None, _flag(metavar="PX", help="Longer side of each picture, in pixels.", show_default=_SUITS)
    ] = None
    columns: Annotated[
        int | None,
        _flag(metavar="N", help="Number of pictures, or groups of pictures, side by side.", show_default=_SUITS),
    ] = None
    dpi: Annotated[
        int | None,
        _flag(help="Pixels per inch. Text is 9 points, so it grows with it.", show_default="96; 300 for sheet"),
    ] = None
    title: Annotated[str | None, _flag(help='Title; "" for none.', show_default="what is drawn")] = None
    no_text: Annotated[bool, _flag("--no-text", help="Leave out title, captions and legend.")] = False

    def layout(self, title: str | None = None) -> "LayoutOptions":
        """The flags as the library takes them.

        Args:
            title: where the user gives none; None for the figure's own.
        """
        layout: LayoutOptions = {"tile": self.tile, "columns": self.columns, "text": not self.no_text}
        if self.dpi is not None:
            layout["dpi"] = self.dpi
        chosen = title if self.title is None else self.title
        if chosen is not None:
            layout["title"] = chosen
        return layout


@dataclass(frozen=True)
class PlotFlags:
    """The flags that say how a plot looks."""

    dpi: Annotated[
        int | None, _flag(help="Pixels per inch. Text is 9 points, so it grows with it.", show_default="200")
    ] = None
    title: Annotated[str | None, _flag(help='Title; "" for none.', show_default="what is drawn")] = None

    def options(self) -> "PlotOptions":
        """The flags as the library takes them."""
        options: PlotOptions = {}
        if self.dpi is not None:
            options["dpi"] = self.dpi
        if self.title is not None:
            options["title"] = self.title
        return options
