"""`Figure`: pages, drawn as pixels, PDF or SVG. No torch here."""

import io
import re
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path

from PIL import Image

from deconvnet._checks import flag, index_of
from deconvnet._errors import ArgumentError
from deconvnet._files import check_new, write_whole
from deconvnet._folders import names_in
from deconvnet.pictures import files
from deconvnet.pictures.page import Page, as_pixels

SUFFIXES = (*files.SUFFIXES, ".pdf", ".svg")


@dataclass(frozen=True, eq=False)
class Figure:
    """Pictures with captions, on one page or several, which any format is drawn from.

    Attributes:
        pages: at least one.
        dpi: pixels of an inch.
        title: of the document; it stands on the pages as well.
    """

    pages: tuple[Page, ...]
    dpi: int
    title: str = ""

    def __len__(self) -> int:
        """How many pages it has."""
        return len(self.pages)

    def __repr__(self) -> str:
        first = self.pages[0]
        pages = "1 page" if len(self) == 1 else f"{len(self)} pages"
        return f"<Figure: {pages} of {first.width}x{first.height} pixels at {self.dpi} dpi>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the first page."""
        file = io.BytesIO()
        self.image().save(file, "PNG", dpi=(self.dpi, self.dpi))
        return file.getvalue()

    def image(self, page: int = 0) -> Image.Image:
        """A page as pixels, RGB.

        Raises:
            ArgumentError: no such page.
        """
        return as_pixels(self.pages[index_of(page, len(self), "pages")])

    def save(self, path: str | Path, *, force: bool = False) -> tuple[Path, ...]:
        """Write the figure; the paths of its files.

        A PDF holds all pages, with text as text in embedded fonts. In other formats several pages become several
        files: sheet.png becomes sheet-1.png, sheet-2.png and so on. In an SVG text is text as well, in the reader's own
        fonts.

        Nothing is ever removed. Beside several new pages, a file that would pass for one more of them, such as
        sheet-4.png of an older sheet, is an error, also with `force`.

        Args:
            path: ends in .pdf, .svg, .png, .webp, .jpg, .jpeg, .tif, .tiff or .bmp.
            force: replace files that are there already.

        Raises:
            ArgumentError: an unknown suffix, a missing folder, a file that is there already, or one that would pass for
                another page.
            DeconvNetError: the disk refused, or the format cannot hold a picture of this size.
        """
        path = files.check_picture_path(path, force=flag("force", force) or len(self) > 1, formats=SUFFIXES)
        suffix = path.suffix.lower()
        if suffix == ".pdf":
            from deconvnet.pictures.pdf import as_pdf

            check_new([] if force else [path])
            write_whole(path, methodcaller("write", as_pdf(self.pages, self.dpi, self.title)))
            return (path,)
        paths = _paths(path, len(self))
        check_new([] if force else paths)
        _check_other_pages(path, paths)
        for i, of_page in enumerate(paths):
            if suffix == ".svg":
                from deconvnet.pictures.svg import as_svg

                content = as_svg(self.pages[i], self.dpi, self.title).encode()
                write_whole(of_page, methodcaller("write", content))
            else:
                files.save_picture(self.image(i), of_page, dpi=self.dpi, force=force)
        return tuple(paths)


def _check_other_pages(path: Path, paths: list[Path]) -> None:
    """Raise if a file in the folder would pass for one more page.

    Raises:
        ArgumentError: it would; it may be of an older figure, or the user's own, so it is not removed.
    """
    if len(paths) == 1:
        return
    named = re.compile(rf"{re.escape(path.stem)}-\d{{1,3}}{re.escape(path.suffix)}", re.IGNORECASE)
    ours = {each.name.casefold() for each in paths}
    others = sorted(each for each in names_in(path.parent) if named.fullmatch(each) and each.casefold() not in ours)
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ArgumentError(
            f"{str(path.with_name(others[0]))!r}{more} would pass for another page beside the {len(paths)} of this "
            "figure. Move it elsewhere, or give another name."
        )


def _paths(path: Path, pages: int) -> list[Path]:
    """One for each page; their names sort in the order of the pages."""
    if pages == 1:
        return [path]
    digits = len(str(pages))
    return [path.with_name(f"{path.stem}-{i:0{digits}}{path.suffix}") for i in range(1, pages + 1)]
