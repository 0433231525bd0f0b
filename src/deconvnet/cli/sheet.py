"""`deconvnet sheet`: feature maps of an atlas on paper. No torch is imported."""

from pathlib import Path
from typing import Annotated

import typer

from deconvnet._errors import ArgumentError
from deconvnet._folders import make_folder
from deconvnet.cli import options as o
from deconvnet.cli.files import in_file_name, output_paths
from deconvnet.cli.result import Result, print_result


def sheet(
    atlas: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an atlas.", show_default=False)],
    layer: Annotated[str, typer.Option("--layer", "-l", help="Layer of the atlas.")],
    channel: Annotated[str, typer.Option(*o.CHANNEL, help="Feature maps: 3,5,8, or 0-15; or all.")] = "all",
    columns: Annotated[int, typer.Option(help="Number of feature maps side by side.")] = 3,
    output: Annotated[
        str | None, o.output("Picture file: .png for one long picture, .pdf for A4 pages.", "./DIR.LAYER.sheet.png")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Draw feature maps of an atlas: the strongest activations of each, carried down, beside their patches."""
    from deconvnet.atlas.reader import Atlas
    from deconvnet.atlas.sheet import SUFFIXES, save_sheet

    suffix = f".{in_file_name(layer)}.sheet.png"
    (path,) = output_paths([atlas.resolve().name], output, suffix, force=force, formats=SUFFIXES)
    channels = _channels(channel)
    make_folder(path.parent)
    pages = save_sheet(Atlas.open(atlas), layer, path, channels=channels, columns=columns, force=force)
    words = f"{layer} of {atlas} -> {path}" + (f" ({pages} pages)" if pages > 1 else "")
    facts = {"folder": str(atlas), "layer": layer, "pages": pages, "file": str(path)}
    print_result(Result(words, facts), as_json=as_json)


def _channels(text: str) -> list[int] | None:
    """Feature maps of an atlas; None for all.

    Raises:
        ArgumentError: the text names none.
    """
    channels = o.feature_maps(text)
    if isinstance(channels, str):
        if channels == "all":
            return None
        raise ArgumentError(f"--channel takes numbers and ranges such as 0-15 or 3,5,8, or all; got {text!r}.")
    return [channels] if isinstance(channels, int) else channels
