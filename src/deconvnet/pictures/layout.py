"""How a figure is laid out: what a user may choose. No torch here."""

from dataclasses import dataclass
from typing import TypedDict

from deconvnet import _checks
from deconvnet._checks import flag, keywords, whole_number

SCREEN = 96  # dots per inch
_POINTS = 9  # size of captions


class LayoutOptions(TypedDict, total=False):
    """What a user may choose of a figure's layout; see `Layout`."""

    tile: int | None
    columns: int | None
    dpi: int
    title: str
    text: bool


@dataclass(frozen=True)
class Layout:
    """What a user may choose of a figure's layout.

    Attributes:
        tile: longer side of each picture, in pixels; None for the figure's own choice.
        columns: of tiles, or of groups of tiles that belong together; None for the figure's own choice.
        dpi: pixels of an inch, 30 to 1200. Text is 9 points, so its size in pixels goes with it, and so do margins and
            the figure's own choice of a tile.
        title: above all.
        text: draw titles, captions and legends.
    """

    tile: int | None = None
    columns: int | None = None
    dpi: int = SCREEN
    title: str = ""
    text: bool = True

    def __post_init__(self) -> None:
        checked = {
            "tile": None if self.tile is None else whole_number("tile", self.tile, 16, 8192),
            "columns": None if self.columns is None else whole_number("columns", self.columns, 1, 1000),
            "dpi": whole_number("dpi", self.dpi, 30, 1200),
            "title": _checks.text("title", self.title),
            "text": flag("text", self.text),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # whole numbers of NumPy and PyTorch become Python's

    @classmethod
    def of(cls, function: str, layout: LayoutOptions) -> "Layout":
        """What a user chose, checked.

        Args:
            function: the public function that it was given to, for messages.
            layout: its options.

        Raises:
            ArgumentError: a wrong value.
            TypeError: an option of another name.
        """
        keywords(function, layout, LayoutOptions.__annotations__)
        return cls(**layout)

    @property
    def size(self) -> int:
        """Of the captions' font, in pixels."""
        return self.pixels(_POINTS * SCREEN / 72)

    @property
    def margin(self) -> int:
        """Around a figure and between its cells, and the size of the title's font, in pixels."""
        return 4 * self.size // 3

    @property
    def gap(self) -> int:
        """Between the pictures of a cell, in pixels."""
        return max(1, self.size // 3)

    def pixels(self, on_screen: float) -> int:
        """A length in pixels, of one in pixels of a screen of 96 dots per inch."""
        return round(on_screen * self.dpi / SCREEN)
