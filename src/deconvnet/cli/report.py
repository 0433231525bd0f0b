"""`deconvnet report`: a page to click through and to hand on."""

from typing import Annotated

import typer

from deconvnet._checks import escaped
from deconvnet.cli import options as o
from deconvnet.cli.files import output_paths, stem
from deconvnet.cli.network import open_network
from deconvnet.cli.progress import progress
from deconvnet.cli.result import Result, print_result
from deconvnet.cli.stderr import prints_on_stderr, say


@o.with_model_flags
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
    output: Annotated[str | None, o.output("Page file, .html.", "./NAME.report.html")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    flags: o.ModelFlags,
) -> None:
    """Write one page to click through and hand on: a photo's classes, layers, feature maps and units, with their steps.

    The page contains all that it shows and loads nothing, so it can be sent by mail, opened anywhere and printed. What
    did not fit its size is said. A photo that cannot be used is reported and left out, and the exit code is 1.
    """
    (path,) = output_paths([stem(photos[0])], output, ".report.html", force=force, formats=(".html", ".htm"))
    from deconvnet.viewer.report import report as write_report

    network = open_network(flags)
    with progress() as report_progress, prints_on_stderr():
        page = write_report(
            network.net, photos, path, loaded=network.loaded, layers=layer or None, maps=maps, page_size=page_size,
            force=force, progress=lambda share: report_progress("page", float(share), 1.0, ""),
        )  # fmt: skip
    left_out = dict(page.left_out)
    for error in left_out.values():
        say(error)
    used, size = [photo for photo in photos if escaped(photo) not in left_out], len(page.html.encode())
    facts = {"photos": used, "left_out": left_out, "bytes": size, "units": page.units,
             "units_left_out": page.units_left_out, "rules": network.net.rules.name, "notes": list(page.notes),
             "file": str(path)}  # fmt: skip
    words = f"{', '.join(used)} -> {path} ({size / 1e6:.2g} MB, {page.units:,} units)"
    print_result(Result(words, facts, failed=bool(left_out)), as_json=as_json)
