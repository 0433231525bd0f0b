"""`deconvnet site`: an atlas as a site to walk through. No torch is imported."""

from pathlib import Path
from typing import Annotated

import typer

from deconvnet._checks import file_path
from deconvnet.cli import options as o
from deconvnet.cli.progress import progress
from deconvnet.cli.result import Result, counted, print_result
from deconvnet.pictures.numbers import significant


def site(
    atlas: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an atlas.", show_default=False)],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the site: new, empty, or an older site.",
            show_default=False,
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace the site in the folder.")] = False,
    as_json: o.Json = False,
) -> None:
    """Write an atlas as a site to walk through: pages for the network, its layers, its feature maps and the photos.

    The site is a folder of plain files. Open its index.html, or copy it to any host; it loads nothing from elsewhere.
    """  # fmt: skip
    from deconvnet.atlas.reader import Atlas
    from deconvnet.viewer.site import write_site

    folder = file_path("-o", output)
    opened = Atlas.open(atlas)
    with progress() as report_progress:
        written = write_site(
            opened, folder, force=force, progress=lambda share: report_progress("site", float(share), 1.0, "")
        )
    size = f"{significant(written.bytes / 1e6)} MB"
    words = f"{atlas} -> {written.folder / 'index.html'} ({counted(written.pages, 'page')}, {size})"
    facts = {"atlas": str(atlas), "folder": str(written.folder), "pages": written.pages,
             "pictures": written.pictures, "bytes": written.bytes}  # fmt: skip
    print_result(Result(words, facts), as_json=as_json)
