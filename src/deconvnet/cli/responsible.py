"""`deconvnet responsible`: the units that a class rests on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet.cli import options as o
from deconvnet.cli.classes import answer_words, check_target, class_facts, class_words, percent
from deconvnet.cli.files import picture_paths, save_in_folder
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.cli.project import unit_facts
from deconvnet.cli.result import Result, counted, print_each

if TYPE_CHECKING:
    from deconvnet.results.responsible import Responsible


@o.with_flags
def responsible(
    photos: o.Photos,
    target: o.Target = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            "-l",
            help=o.LAYER_HELP,
            show_default="the last rectified maps on the way to the class",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of units.")] = 9,
    output: Annotated[
        str | None, o.output("Picture file; a folder for several photos.", "./NAME.responsible.png")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Show the units of a layer that a class rests on: where they lie in the photo, and the picture of each.

    They are the units with the largest product of activation and signal of the class. A share is relative to the sum
    of all products above zero on the layer. A photo that cannot be used is reported, and the others go on.
    """
    inputs = open_inputs(photos, reading)
    paths = picture_paths(inputs, output, ".responsible.png", force=force)
    network = open_network(flags, target)

    def draw(photo: PhotoInput, path: Path) -> Result:
        return _draw(network, photo, path, layer=layer, k=k, force=force)

    print_each(inputs, paths, draw, shared=network.facts, as_json=as_json, strict=reading.strict)


def _draw(network: Network, photo: PhotoInput, path: Path, *, layer: str | None, k: int, force: bool) -> Result:
    """Write the picture of one photo."""
    loaded, net = network.loaded, network.net
    loaded_photo, x = network.read(photo)
    probabilities = net.probabilities(x)[0]
    check_target(network.target, tuple(probabilities.shape[1:]))
    result = net.responsible(x, network.target, layer=layer, k=k)
    facts = class_facts(loaded, probabilities, result.classes)
    title = f"{class_words(facts)}: units of {result.layer} that it rests on ({net.rules.name})"
    title += answer_words(facts, "; {}")
    save_in_folder(result.beside(loaded_photo, loaded.preprocess, title=title), path, force=force)
    units = _unit_facts(result)
    return Result(
        f"{photo.name}: {class_words(facts)}{answer_words(facts, ' ({})')}: {_words(units, result.layer)} -> {path}",
        {**facts, "layer": result.layer, "units": units, "notes": list(result.notes), "file": str(path)},
    )


def _unit_facts(result: "Responsible") -> list[dict[str, Any]]:
    columns = zip(result.signals.tolist(), result.contributions.tolist(), result.shares.tolist(), strict=True)
    return [
        {**facts, "signal": signal, "contribution": contribution, "share": share}
        for facts, (signal, contribution, share) in zip(unit_facts(result.units), columns, strict=True)
    ]


def _words(units: list[dict[str, Any]], layer: str) -> str:
    share = percent(sum(unit["share"] for unit in units))
    return f"{counted(len(units), 'unit')} of {layer}, {share} of its contributions"
