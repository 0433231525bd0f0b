"""`deconvnet sheet`: feature maps of an atlas on paper. No torch is imported."""

from pathlib import Path
from typing import Annotated

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, ArrangeRows, FigureFlags
from deconvnet.cli.files import in_file_name, output_paths, save_in_folder
from deconvnet.cli.result import Result, print_result


@o.with_flags
def sheet(
    atlas: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an atlas.", show_default=False)],
    layer: Annotated[str, typer.Option("--layer", "-l", help="Layer of the atlas.")],
    channel: Annotated[str, typer.Option(*o.CHANNEL, help="Feature maps: 3,5,8, or 0-15; or all.")] = "all",
    arrange: ArrangeRows = "grid",
    output: Annotated[
        str | None,
        o.output(
            f"{FORMATS} Pages are A4; a .pdf holds all of them, and in other formats they become numbered files.",
            "./DIR.LAYER.sheet.pdf",
        ),
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
) -> None:
    """Draw feature maps of an atlas: the strongest activations of each, carried down, beside their patches."""
    from deconvnet.atlas.reader import Atlas

    suffix = f".{in_file_name(layer)}.sheet.pdf"
    paged = output is not None and Path(output).suffix.lower() not in (
        "",
        ".pdf",
    )  # several files, if it has several pages
    (path,) = output_paths([atlas.resolve().name], output, suffix, force=force or paged)
    drawn = Atlas.open(atlas).sheet(layer, channels=_channels(channel), arrange=arrange, **figure.layout())
    files, pages = save_in_folder(drawn, path, force=force), len(drawn)
    words = f"{layer} of {atlas} -> {files[0]}" + (f" to {files[-1]}" if len(files) > 1 else "")
    facts = {"folder": str(atlas), "layer": layer, "pages": pages, "files": [str(file) for file in files]}
    print_result(Result(words + (f" ({pages} pages)" if pages > 1 else ""), facts), as_json=as_json)


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
