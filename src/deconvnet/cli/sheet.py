"""`deconvnet sheet`: feature maps of an atlas on paper. No torch is imported."""

import re
from pathlib import Path
from typing import Annotated

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.files import in_a_name, places


@app.command()
def sheet(
    atlas: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of an atlas.", show_default=False)],
    layer: Annotated[str, typer.Option("--layer", "-l", help="A layer of the atlas.")],
    channels: Annotated[
        str | None, typer.Option("--channels", "-c", help="Feature maps: 0-15, or 3,5,8.", show_default="all")
    ] = None,
    columns: Annotated[int, typer.Option(help="Feature maps in a row.")] = 3,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file: .png for one long picture, .pdf for A4 pages.",
            show_default="./DIR.LAYER.sheet.png",
        ),
    ] = None,
    force: o.Force = False,
) -> None:
    """Draw feature maps of an atlas: what most activates each, carried down, beside the patches of the photos."""
    from deconvnet.atlas.reader import Atlas
    from deconvnet.atlas.sheet import SUFFIXES, save_sheet

    name = atlas.resolve().name
    (place,) = places([f"{name}.atlas"], output, f".{in_a_name(layer)}.sheet.png", force, SUFFIXES)
    pages = save_sheet(Atlas.open(atlas), layer, place, channels=_numbers(channels), columns=columns, force=force)
    print(f"{layer} of {atlas} -> {place}" + (f" ({pages} pages)" if pages > 1 else ""))


def _numbers(text: str | None) -> list[int] | None:
    """Feature maps, each once and in the order in which they are named.

    Raises:
        ArgumentError: they are named in another way.
    """
    if text is None:
        return None
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise ArgumentError(f"--channels takes numbers and ranges such as 0-15 or 3,5,8; got {text!r}.")
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    return list(dict.fromkeys(number for span in ends for number in range(span[0], span[-1] + 1)))
