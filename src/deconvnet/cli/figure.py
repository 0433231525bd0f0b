"""The flags that say how a figure looks, shared by the commands that draw one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from deconvnet.pictures.layout import LayoutOptions

PANEL = "Figure"
FORMATS = "Picture file: .png, .pdf or .svg (text stays text), .webp, .jpg, .tif, .bmp."

Arrange = Annotated[
    Literal["grid", "rows", "columns"], typer.Option(help="A grid, or a row or a column for each feature map.")
]
ArrangeRows = Annotated[Literal["grid", "rows"], typer.Option(help="A grid, or a row for each feature map.")]


@dataclass(frozen=True)
class FigureFlags:
    """The flags that say how a figure looks."""

    tile: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            help="Longer side of each picture, in pixels.",
            show_default="as suits the figure",
            rich_help_panel=PANEL,
        ),
    ] = None
    columns: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of pictures, or groups of pictures, side by side.",
            show_default="as suits the figure",
            rich_help_panel=PANEL,
        ),
    ] = None
    dpi: Annotated[
        int | None,
        typer.Option(
            help="Pixels per inch. Text is 9 points, so it grows with it.",
            show_default="96; 300 for sheet",
            rich_help_panel=PANEL,
        ),
    ] = None
    title: Annotated[
        str | None,
        typer.Option(help='Title; "" for none.', show_default="what is drawn", rich_help_panel=PANEL),
    ] = None
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Leave out title, captions and legend.", rich_help_panel=PANEL)
    ] = False

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
