"""`Plot`: curves, bars, maps and pictures in one figure, drawn by Matplotlib. No torch here."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from textwrap import wrap
from typing import Any, TypedDict

from PIL import Image

from deconvnet import _checks
from deconvnet._checks import flag, real_number, whole_number
from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet._files import check_new, write_whole
from deconvnet.pictures import files
from deconvnet.pictures.figure import SUFFIXES
from deconvnet.pictures.fonts import runs_of

PRINT = 200  # dots per inch
_LARGEST = 100  # inches

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#8a8a8a")
"""Colours of curves, told apart by the colour-blind too: Paul Tol's "bright"."""

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#1a1a1a", "axes.grid": True, "axes.labelsize": 9, "axes.linewidth": 0.6,
    "axes.spines.right": False, "axes.spines.top": False, "axes.titlesize": 9, "figure.constrained_layout.use": True,
    "figure.titlesize": 11, "font.size": 9, "grid.color": "#dddddd", "grid.linewidth": 0.5,
    "image.interpolation": "nearest", "legend.fontsize": 8, "legend.frameon": False, "lines.linewidth": 1.2,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "deconvnet", "text.parse_math": False,
    "xtick.labelsize": 8, "ytick.labelsize": 8,
}  # fmt: skip
_NO_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}

_lock = threading.RLock()  # Matplotlib's settings belong to the whole process


class PlotOptions(TypedDict, total=False):
    """What a user may choose of a plot; see `Plot`."""

    dpi: int
    title: str


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure with axes, drawn anew for each format.

    It looks the same whatever Matplotlib's settings are, which are put back afterwards, and the same numbers give the
    same bytes.

    Attributes:
        draw: given an empty Matplotlib figure with a constrained layout, in the style of this package.
        width, height: in inches, at most 100.
        dpi: pixels of an inch, in formats that have pixels: 30 to 1200.
        title: above all, and of the document.

    Raises:
        ArgumentError: a wrong value.
    """

    draw: Callable[[Any], None]
    width: float
    height: float
    dpi: int = PRINT
    title: str = ""

    def __post_init__(self) -> None:
        if not callable(self.draw):
            raise ArgumentError(f"draw is not a function but {_checks.short(self.draw)}.")
        checked = {
            "width": _inches("width", self.width),
            "height": _inches("height", self.height),
            "dpi": whole_number("dpi", self.dpi, 30, 1200),
            "title": _checks.escaped(_checks.text("title", self.title)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<Plot: {self.width:g}x{self.height:g} inches>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self._content("png")

    def image(self) -> Image.Image:
        """The figure as pixels, RGB."""
        with Image.open(io.BytesIO(self._content("png"))) as opened:
            return files.on_white(opened)

    def save(self, path: str | Path, *, force: bool = False) -> tuple[Path, ...]:
        """Write the figure; the path of its file, as `Figure.save` gives those of its files.

        In a PDF text is text in embedded fonts, in an SVG in the reader's own.

        Args:
            path: ends in .pdf, .svg, .png, .webp, .jpg, .jpeg, .tif, .tiff or .bmp.
            force: replace a file that is there already.

        Raises:
            ArgumentError: an unknown suffix, a missing folder, or a file that is there already.
            DeconvNetError: the disk refused, or the figure cannot be drawn.
        """
        path = files.check_picture_path(path, force=force, formats=SUFFIXES)
        suffix = path.suffix.lower()[1:]
        if suffix in ("pdf", "svg"):
            content = self._content(suffix)
            check_new([] if flag("force", force) else [path])
            write_whole(path, methodcaller("write", content))
        else:
            files.save_picture(self.image(), path, dpi=self.dpi, force=force)
        return (path,)

    def _content(self, kind: str) -> bytes:
        with _styled():
            from matplotlib.figure import Figure

            figure = Figure((self.width, self.height), dpi=self.dpi)
            self.draw(figure)
            if self.title:
                figure.suptitle(self.title)
            _set_fonts(figure)
            file = io.BytesIO()
            try:
                titled = {"Title": self.title} if self.title else {}
                figure.savefig(file, format=kind, metadata={**_NO_METADATA[kind], **titled})
            except MemoryError as fault:
                raise DeconvNetError(f"there is not enough memory to draw the figure with {self.dpi} dpi.") from fault
            return file.getvalue()


def in_lines(text: str, letters: int, lines: int = 2) -> str:
    """Text in lines of so many letters at most; of what needs more lines the middle is left out."""
    length = len(text)
    while len(wrapped := wrap(_without_middle(text, length), letters, break_on_hyphens=False)) > lines:
        length = min(length, letters * lines) - 1
    return "\n".join(wrapped)


def _without_middle(text: str, letters: int) -> str:
    """Text of which that many letters are left, as many at its beginning as at its end."""
    return text if letters >= len(text) else f"{text[: letters - letters // 2]}…{text[len(text) - letters // 2 :]}"


def _inches(name: str, value: float) -> float:
    length = real_number(name, value, least=0, above=True)
    if length > _LARGEST:
        raise ArgumentError(f"{name} is {length:g} inches. Give at most {_LARGEST}.")
    return length


@contextmanager
def _styled() -> Iterator[None]:
    """Matplotlib in the style of this package, in one thread at a time, and as it was afterwards."""
    import matplotlib as mpl
    from cycler import cycler

    with _lock, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "axes.prop_cycle": cycler(color=COLOURS)})
        yield


def _set_fonts(figure: Any) -> None:
    """Give each text whose letters Matplotlib's own font lacks a font of the system that has them."""
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.text import Text

    own = {"\n", *map(chr, get_font(findfont(FontProperties())).get_charmap())}
    for artist in figure.findobj(Text):
        text = artist.get_text()
        if own.issuperset(text):
            continue
        lines = [runs_of(line) for line in text.split("\n")]
        artist.set_text("\n".join("".join(run.text for run in runs) for runs in lines))
        face = next((run.face for runs in lines for run in runs if run.face.path is not None), None)
        if face is not None:
            artist.set_fontproperties(FontProperties(fname=str(face.path), size=artist.get_fontsize()))
