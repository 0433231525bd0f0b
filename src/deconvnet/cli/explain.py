"""`deconvnet explain`: a class carried down."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.classes import answer_words, check_target, class_facts, class_target, class_words
from deconvnet.cli.files import places
from deconvnet.cli.photos import each_photo

if TYPE_CHECKING:
    from deconvnet.models.load import LoadedModel
    from deconvnet.network import DeconvNet


@app.command()
@o.with_model_flags
def explain(
    photos: o.Photos,
    target: o.Target = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture's file; a folder for several photos.",
            show_default="./NAME.explain.png",
        ),
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Show what of a photo a class rests on: the photo beside the class carried down to the pixels.

    A photo that cannot be read is reported, the others go on, and the exit code is 1.
    """
    files = places(photos, output, ".explain.png", force)
    loaded = flags.load()
    chosen = None if target is None else class_target(loaded, target)
    net = flags.attach(loaded, rules=rules, smooth=smooth)

    def draw(photo: str, place: Path) -> dict[str, Any]:
        return explain_photo(net, loaded, photo, chosen, place, force)

    each_photo(photos, files, draw, _explained, as_json)


def explain_photo(
    net: "DeconvNet",
    loaded: "LoadedModel",
    photo: str,
    target: int | tuple[int, int, int] | None,
    place: Path,
    force: bool,
) -> dict[str, Any]:
    """Explain one photo and write its picture; what there is to say of it."""
    from deconvnet.photos.photo import load_photo
    from deconvnet.pictures.sheets import save_picture

    read = load_photo(photo)
    x = loaded.preprocess.images(read).to(loaded.example_input)
    chances = net.probabilities(x)[0]
    check_target(target, tuple(chances.shape[1:]))
    result = net.explain(x, target)
    facts = class_facts(loaded, chances, result.units[0])
    words = f"{facts['label']}, carried down ({net.rules.name})"
    title = class_words(facts) + answer_words(facts, "; {}")
    picture = result.beside(read, loaded.preprocess, words=words, title=title)
    save_picture(picture, place, force=force)
    return {
        "photo": photo,
        **facts,
        "rules": result.rules.name,
        "notes": list(result.notes),
        "file": str(place),
    }


def _explained(row: dict[str, Any]) -> str:
    return f"{row['photo']}: {class_words(row)}{answer_words(row, ' ({})')} -> {row['file']}"
