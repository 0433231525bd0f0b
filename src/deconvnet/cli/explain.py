"""`deconvnet explain`: a class carried down."""

from pathlib import Path
from typing import Annotated

from deconvnet.cli import options as o
from deconvnet.cli.classes import answer_words, check_target, class_facts, class_words
from deconvnet.cli.figure import FORMATS, FigureFlags, with_figure_flags
from deconvnet.cli.files import output_paths, stem
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.result import Result, print_each


@o.with_model_flags
@with_figure_flags
def explain(
    photos: o.Photos,
    target: o.Target = None,
    output: Annotated[str | None, o.output(f"{FORMATS} A folder for several photos.", "./NAME.explain.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    flags: o.ModelFlags,
) -> None:
    """Show what a class rests on in a photo: the photo beside the class carried down to the pixels.

    A photo that cannot be read is reported, the others go on, and the exit code is 1.
    """
    paths = output_paths([stem(photo) for photo in photos], output, ".explain.png", force=force)
    network = open_network(flags, target)

    def draw(photo: str, path: Path) -> Result:
        return explain_photo(network, photo, path, figure, force=force)

    print_each(photos, paths, draw, as_json=as_json)


def explain_photo(network: Network, photo: str, path: Path, figure: FigureFlags, *, force: bool) -> Result:
    """Explain one photo and write its picture."""
    loaded, net = network.loaded, network.net
    loaded_photo, x = network.read(photo)
    probabilities = net.probabilities(x)[0]
    check_target(network.target, tuple(probabilities.shape[1:]))
    result = net.explain(x, network.target)
    facts = class_facts(loaded, probabilities, result.units[0])
    words = f"{facts['label']}, carried down ({net.rules.name})"
    title = class_words(facts) + answer_words(facts, "; {}")
    drawn = result.beside(loaded_photo, loaded.preprocess, words=words, **figure.layout(title))
    drawn.save(path, force=force)
    return Result(
        f"{photo}: {class_words(facts)}{answer_words(facts, ' ({})')} -> {path}",
        {"photo": photo, **facts, "rules": net.rules.name, "notes": list(result.notes), "file": str(path)},
    )
