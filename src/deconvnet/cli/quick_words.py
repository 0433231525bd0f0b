"""The quick set of trust, as commands that carry units down add it to their words and JSON."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet._errors import DeconvNetError
from deconvnet.cli.network import Network
from deconvnet.cli.result import Result

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.results.reconstruction import Reconstruction

TrustFlag = Annotated[
    bool | None,
    typer.Option(
        "--trust/--no-trust",
        help="Say how alike each picture is to those of other units, of noise and of another image, and to edges.",
        show_default="of one photo, the first picture's",
    ),
]


def with_quick_trust(
    result: Result, network: Network, x: "Tensor", pictures: "Reconstruction", trust: bool | None, *, photos: int
) -> Result:
    """A command's result, with a line for each picture that is looked at; in the JSON they are under "trust".

    Args:
        result: of one photo.
        network: that was used.
        x: the photo as its input.
        pictures: what was carried down.
        trust: whether the user wants them: of all pictures if so, and of the first one of a single photo if that was
            left open.
        photos: of the command.
    """
    if trust is False or (trust is None and photos > 1) or not len(pictures):
        return result
    lines, facts = _measured(network, x, pictures if trust else pictures[:1], named=len(pictures) > 1)
    return replace(result, words="\n".join([result.words, *lines]), facts={**result.facts, "trust": facts})


def _measured(
    network: Network, x: "Tensor", pictures: "Reconstruction", *, named: bool
) -> tuple[list[str], list[dict[str, Any]]]:
    """A line for each picture, and the same in numbers. What goes wrong takes the place of numbers."""
    from deconvnet.probes.quick import quick_trust
    from deconvnet.results.reconstruction import unit_words

    units = [
        {"channel": unit.channel, "position": unit.position, "label": unit.name or None} for unit in pictures.units
    ]
    try:
        quick = quick_trust(network.net, x, pictures, preprocess=network.loaded.preprocess)
    except DeconvNetError as error:
        return [f"  trust: not measured: {error}"], [{**unit, "why_not": str(error)} for unit in units]
    words = [f", {unit_words(unit)}" if named else "" for unit in pictures.units]
    lines = [f"  trust{name}: {quick.line(i)}" for i, name in enumerate(words)]
    return lines, [{**unit, **quick.facts(i)} for i, unit in enumerate(units)]
