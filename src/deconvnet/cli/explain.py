"""`deconvnet explain`: a class carried down."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.classes import answer_words, check_targets, class_facts, class_words
from deconvnet.cli.figure import FORMATS, FigureFlags
from deconvnet.cli.files import picture_paths, save_in_folder
from deconvnet.cli.masks import class_masks
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.cli.quick_words import TrustFlag, with_quick_trust
from deconvnet.cli.result import Result, print_each

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.results.reconstruction import Reconstruction


@o.with_flags
def explain(
    photos: o.Photos,
    target: o.Targets = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            help="Picture of the photo's size: where the network outputs a map, each class starts from all positions "
            "under its white, whether it wins there or not.",
            show_default="where they win",
        ),
    ] = None,
    trust: TrustFlag = None,
    output: Annotated[str | None, o.output(f"{FORMATS} A folder for several photos.", "./NAME.explain.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Show what a class rests on in a photo: the photo beside the class carried down to the pixels.

    Each of several classes has a row of its own. Where the network outputs a map, the photo has an outline around the
    positions where the class wins.
    Of several classes, one that wins nowhere has an empty row, and a note.
    A photo that cannot be used is reported, and the others go on.
    """
    inputs = open_inputs(photos, reading)
    paths = picture_paths(inputs, output, ".explain.png", force=force)
    if mask is not None and len(inputs) > 1:
        raise ArgumentError(f"--mask is for one photo, and there are {len(inputs)}.")
    network = open_network(flags, target)

    def draw(photo: PhotoInput, path: Path) -> Result:
        explained, x, pictures = explain_photo(network, photo, path, figure, mask=mask, force=force)
        return with_quick_trust(explained, network, x, pictures, trust, photos=len(inputs))

    print_each(inputs, paths, draw, shared=network.facts, as_json=as_json, strict=reading.strict)


def explain_photo(
    network: Network, photo: PhotoInput, path: Path, figure: FigureFlags, *, mask: Path | None = None, force: bool
) -> tuple[Result, "Tensor", "Reconstruction"]:
    """Explain one photo and write its picture; also its input, and what was carried down."""
    loaded, net = network.loaded, network.net
    loaded_photo, x = network.read(photo)
    probabilities = net.probabilities(x)[0]
    check_targets(network.targets, tuple(probabilities.shape[1:]))
    masks = None if mask is None else class_masks(network, mask, loaded_photo, tuple(probabilities.shape))
    result = net.explain(x, targets=list(network.targets) if masks is None else masks)
    facts = class_facts(loaded, probabilities, result.units, alone=network.classes_alone, masks=masks)
    below = [_row_words(each, net.rules.name) for each in facts["classes"]]
    title = class_words(facts) + answer_words(facts, "; {}")
    picture = result.beside(loaded_photo, loaded.preprocess, range(len(result)), words=below, **figure.layout(title))
    save_in_folder(picture, path, force=force)
    words = f"{photo.name}: {class_words(facts)}{answer_words(facts, ' ({})')} -> {path}"
    return Result(words, {**facts, "notes": network.notes(loaded_photo, result), "file": str(path)}), x, result


def _row_words(facts: dict[str, Any], rules: str) -> str:
    """What stands below a class's picture."""
    if facts.get("positions") == 0:
        return f"{facts['label']} wins at no position, so nothing was carried down"
    return f"{facts['label']}, carried down ({rules})"
