"""`deconvnet report`: a page to click through and to hand on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from deconvnet._errors import PhotoError
from deconvnet._folders import make_folder
from deconvnet.cli import options as o
from deconvnet.cli.files import output_paths
from deconvnet.cli.network import open_network
from deconvnet.cli.photos import PhotoInput, open_inputs, source_parts
from deconvnet.cli.progress import progress
from deconvnet.cli.result import Result, end, failure, print_result
from deconvnet.cli.stderr import prints_on_stderr, say

if TYPE_CHECKING:
    from deconvnet.photos.photo import PhotoLike
    from deconvnet.photos.preprocess import Preprocess


@o.with_flags
def report(
    photos: o.Photos,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "-l",
            help=f"{o.LAYER_HELP} Repeat the flag for several layers.",
            show_default="up to 16 rectified layers, of blocks the output",
        ),
    ] = None,
    maps: Annotated[int, typer.Option("--maps", help="Maximum number of feature maps of each layer.", min=1)] = 48,
    page_size: Annotated[str, typer.Option("--page-size", help="Maximum size of the page's file.")] = "10MB",
    output: Annotated[str | None, o.output("Page file, .html, or a folder for it.", "./NAME.report.html")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Write one page to click through and hand on: a photo's classes, layers, feature maps and units, with their steps.

    The page contains all that it shows and loads nothing, so it can be sent by mail, opened anywhere and printed. What
    did not fit its size is said. A photo that cannot be used is reported and left out.
    """
    inputs = open_inputs(photos, reading)
    first = inputs[0].parts if inputs[0].named else source_parts(inputs[0].source) or inputs[0].parts
    (path,) = output_paths([first[-1]], output, ".report.html", force=force, formats=(".html", ".htm"))
    from deconvnet.viewer.report import report as write_report

    network = open_network(flags)
    with progress() as report_progress, prints_on_stderr():
        usable, failed = _loaded(inputs, network.loaded.preprocess)
        make_folder(path.parent)
        page = write_report(
            network.net, [photo for _, photo in usable], path, loaded=network.loaded, layers=layer or None, maps=maps,
            page_size=page_size, force=force, progress=lambda share: report_progress("page", float(share), 1.0, ""),
        )  # fmt: skip
    left_out = dict(zip(page.left_out_indices, [reason for _, reason in page.left_out], strict=True))
    failed += [(usable[i][0], reason) for i, reason in left_out.items()]
    for _, error in failed:
        say(error)
    used = [photo for i, (photo, _) in enumerate(usable) if i not in left_out]
    failures = [failure(**photo.facts(), error=error) for photo, error in failed]
    size = len(page.html.encode())
    facts = {**network.facts, "photos": [photo.facts() for photo in used], "failed": failures, "bytes": size,
             "units": page.units, "units_left_out": page.units_left_out, "notes": list(page.notes),
             "file": str(path)}  # fmt: skip
    words = f"{', '.join(photo.name for photo in used)} -> {path} ({size / 1e6:.2g} MB, {page.units:,} units)"
    print_result(Result(words, facts), as_json=as_json)
    end(used=len(used), failed=len(failed), named=any(photo.named for photo, _ in failed), strict=reading.strict)


def _loaded(
    inputs: Sequence[PhotoInput], preprocess: "Preprocess"
) -> tuple[list[tuple[PhotoInput, "PhotoLike"]], list[tuple[PhotoInput, str]]]:
    """The photos as the report takes them, and those that cannot be read, with the reason.

    Raises:
        PhotoError: none can be read.
    """
    usable: list[tuple[PhotoInput, PhotoLike]] = []
    failed: list[tuple[PhotoInput, str]] = []
    for photo in inputs:
        try:
            usable.append((photo, photo.path or photo.load(preprocess)))
        except PhotoError as error:
            failed.append((photo, str(error)))
    if not usable:
        raise PhotoError(failed[0][1])
    return usable, failed
