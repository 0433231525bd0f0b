"""`deconvnet explain`: a class carried down."""

from pathlib import Path
from typing import Annotated

from deconvnet.cli import options as o
from deconvnet.cli.classes import answer_words, check_target, class_facts, class_labels, class_words
from deconvnet.cli.files import picture_paths, save_in_folder
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.cli.result import Result, print_each


@o.with_flags
def explain(
    photos: o.Photos,
    target: o.Target = None,
    output: Annotated[str | None, o.output("Picture file; a folder for several photos.", "./NAME.explain.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Show what a class rests on in a photo: the photo beside the class carried down to the pixels.

    A photo that cannot be used is reported, and the others go on.
    """
    inputs = open_inputs(photos, reading)
    paths = picture_paths(inputs, output, ".explain.png", force=force)
    network = open_network(flags, target)

    def draw(photo: PhotoInput, path: Path) -> Result:
        return explain_photo(network, photo, path, force=force)

    print_each(inputs, paths, draw, shared=network.facts, as_json=as_json, strict=reading.strict)


def explain_photo(network: Network, photo: PhotoInput, path: Path, *, force: bool) -> Result:
    """Explain one photo and write its picture."""
    loaded, net = network.loaded, network.net
    loaded_photo, x = network.read(photo)
    probabilities = net.probabilities(x)[0]
    check_target(network.target, tuple(probabilities.shape[1:]))
    result = net.explain(x, network.target)
    facts = class_facts(loaded, probabilities, result.units)
    words = f"{class_labels(facts)}, carried down ({net.rules.name})"
    title = class_words(facts) + answer_words(facts, "; {}")
    picture = result.beside(loaded_photo, loaded.preprocess, words=words, title=title)
    save_in_folder(picture, path, force=force)
    return Result(
        f"{photo.name}: {class_words(facts)}{answer_words(facts, ' ({})')} -> {path}",
        {**facts, "notes": list(result.notes), "file": str(path)},
    )
