"""`deconvnet responsible`: the units that a class rests on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.classes import answer_words, check_target, class_facts, class_target, class_words, percent
from deconvnet.cli.files import places
from deconvnet.cli.photos import each_photo

if TYPE_CHECKING:
    from deconvnet.models.load import LoadedModel
    from deconvnet.network import DeconvNet
    from deconvnet.results.responsible import Responsible


@app.command()
@o.with_model_flags
def responsible(
    photos: o.Photos,
    target: o.Target = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            "-l",
            help="Whose units, as deconvnet layers prints it.",
            show_default="the last rectified maps on the way to the class",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many units.")] = 9,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture's file; a folder for several photos.",
            show_default="./NAME.responsible.png",
        ),
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Show the units of a layer that a class rests on: where they lie in the photo, and each one's picture.

    They are those of largest activation times signal of the class; a share is of all such products above
    zero on the layer. A photo that cannot be read is reported, the others go on, and the exit code is 1.
    """
    files = places(photos, output, ".responsible.png", force)
    loaded = flags.load()
    chosen = None if target is None else class_target(loaded, target)
    net = flags.attach(loaded, rules=rules, smooth=smooth)

    def draw(photo: str, place: Path) -> dict[str, Any]:
        return _drawn(net, loaded, photo, place, target=chosen, layer=layer, k=k, force=force)

    each_photo(photos, files, draw, _words, as_json)


def _drawn(
    net: "DeconvNet",
    loaded: "LoadedModel",
    photo: str,
    place: Path,
    *,
    target: int | tuple[int, int, int] | None,
    layer: str | None,
    k: int,
    force: bool,
) -> dict[str, Any]:
    """Write the picture of one photo; what there is to say of it."""
    from deconvnet.photos.photo import load_photo
    from deconvnet.pictures.sheets import save_picture

    read = load_photo(photo)
    x = loaded.preprocess.images(read).to(loaded.example_input)
    chances = net.probabilities(x)[0]
    check_target(target, tuple(chances.shape[1:]))
    result = net.responsible(x, target, layer=layer, k=k)
    facts = class_facts(loaded, chances, result.classes[0])
    title = f"{class_words(facts)}: units of {result.layer} that it rests on ({net.rules.name})"
    title += answer_words(facts, "; {}")
    save_picture(result.beside(read, loaded.preprocess, title=title), place, force=force)
    return {
        "photo": photo,
        **facts,
        "layer": result.layer,
        "units": _units(result),
        "rules": net.rules.name,
        "notes": list(result.notes),
        "file": str(place),
    }


def _units(result: "Responsible") -> list[dict[str, Any]]:
    numbers = {
        "activation": result.units.activations,
        "signal": result.signals,
        "contribution": result.contributions,
        "share": result.shares,
        "box": result.units.boxes,
    }
    columns = {name: column.tolist() for name, column in numbers.items()}
    return [
        {"channel": unit.channel, "position": unit.position, **{name: of[i] for name, of in columns.items()}}
        for i, unit in enumerate(result.units.units)
    ]


def _words(row: dict[str, Any]) -> str:
    units, share = len(row["units"]), percent(sum(unit["share"] for unit in row["units"]))
    named = f"{units} unit{'s' * (units > 1)} of {row['layer']}, {share} of its contributions"
    return f"{row['photo']}: {class_words(row)}{answer_words(row, ' ({})')}: {named} -> {row['file']}"
