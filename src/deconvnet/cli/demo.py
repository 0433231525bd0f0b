"""`deconvnet demo`: a first look."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from deconvnet.cli import options as o
from deconvnet.cli.classes import class_words
from deconvnet.cli.explain import explain_photo
from deconvnet.cli.figure import FigureFlags
from deconvnet.cli.files import output_paths
from deconvnet.cli.network import open_network
from deconvnet.cli.photos import PhotoInput, photo_input
from deconvnet.cli.result import Result, print_each

_PICTURE = "deconvnet-demo.png"


def demo(
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="Picture file.")] = _PICTURE,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Explain a photo of a cat with the bundled network: a first look that needs no download."""
    replaces = force or output == _PICTURE  # the demo may replace its own picture
    (path,) = output_paths(["chelsea"], output, ".explain.png", force=replaces)
    network = open_network(o.ModelFlags())

    def draw(photo: PhotoInput, path: Path) -> Result:
        result, _, _ = explain_photo(network, photo, path, FigureFlags(), force=replaces)
        return replace(result, words=_words(result.facts, path))

    photos = [photo_input("sample:chelsea")]
    print_each(photos, [path], draw, shared=network.facts, as_json=as_json, strict=True)


def _words(facts: dict[str, Any], path: Path) -> str:
    return (
        f"The bundled network takes scikit-image's photo of a cat for: {class_words(facts)}.\n"
        f"The picture is {path.resolve()}. Left: the photo as the network sees it. Middle: the class\n"
        "carried down to the pixels through the network's own filters. Right: where in the photo\n"
        "that signal is strong."
    )
