"""`deconvnet demo`: a first look."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.classes import percent
from deconvnet.cli.explain import explain_photo
from deconvnet.cli.files import places

DEMO = Path("deconvnet-demo.png")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture's file.")] = DEMO,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Explain a photo of a cat with the bundled network: a first look that fetches nothing."""
    again = force or output == DEMO  # the demo's own picture may be made anew
    (place,) = places(["sample:chelsea"], output, ".explain.png", again)
    flags = o.ModelFlags()
    loaded = flags.load()
    row = explain_photo(flags.attach(loaded), loaded, "sample:chelsea", None, place, again)
    if as_json:
        print(json.dumps(row, indent=2, allow_nan=False))
        return
    print(
        f"The bundled network takes scikit-image's photo of a cat for: {row['label']}, "
        f"{percent(row['probability'])}.\n"
        f"The picture is {place.resolve()}: left the photo as the network sees it, in the middle the class\n"
        "carried down to the pixels through the network's own filters, right the places in the photo\n"
        "where that signal is strong."
    )
