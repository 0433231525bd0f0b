"""`deconvnet report`: a page to click through and to hand on."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from deconvnet.cli import options as o
from deconvnet.cli import say
from deconvnet.cli.app import app
from deconvnet.cli.files import places


@app.command()
@o.with_model_flags
def report(
    photos: o.Photos,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", "-l", help="A layer to show; may be given again.", show_default="up to 16 rectified"),
    ] = None,
    maps: Annotated[int, typer.Option("--maps", help="Feature maps of each layer, at most.", min=1)] = 48,
    budget: Annotated[str, typer.Option("--budget", help="How large the page may become.")] = "10MB",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page's file.", show_default="./NAME.report.html")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Write one page to click through and hand on: a photo's classes, layers, feature maps and units, with their steps.

    The page holds all that it shows and loads nothing, so it can be sent by mail and opened anywhere. A photo that
    cannot be used is reported and left out, and the exit code is 1.
    """
    (place,) = places(photos[:1], output, ".report.html", force, (".html", ".htm"))
    from rich.console import Console
    from rich.progress import Progress

    from deconvnet.viewer.report import report as write_report

    loaded = flags.load()
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("looking", total=1.0)
        made = write_report(
            net, photos, place, loaded=loaded, layers=layer or None, maps=maps, budget=budget, force=force,
            progress=lambda share: bar.update(task, completed=share),
        )  # fmt: skip
    faults = dict(made.left_out)
    for fault in faults.values():
        say(fault)
    shown, size = [photo for photo in photos if photo not in faults], len(made.html.encode())
    if as_json:
        told = {"photos": shown, "left out": faults, "bytes": size, "rules": net.rules.name, "notes": made.notes,
                "file": str(place)}  # fmt: skip
        print(json.dumps(told, indent=2, allow_nan=False))
    else:
        print(f"{', '.join(shown)} -> {place} ({size / 1e6:.2g} MB)")
        for note in made.notes:
            print(f"  note: {note}")
    if faults:
        raise typer.Exit(1)
