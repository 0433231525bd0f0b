"""`deconvnet explain`: a class carried down."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet._errors import NotFiniteError, PhotoError
from deconvnet.cli import options as o
from deconvnet.cli import say
from deconvnet.cli.app import app
from deconvnet.cli.classes import check_target, class_target, percent
from deconvnet.cli.files import places, progress

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
    rows: list[dict[str, Any]] = []
    for photo, place in progress(list(zip(photos, files, strict=True))):
        try:
            rows.append(explain_photo(net, loaded, photo, chosen, place, force))
        except (PhotoError, NotFiniteError) as fault:
            rows.append({"photo": photo, "error": str(fault)})
            say(fault)
        if not as_json and "error" not in rows[-1]:
            print(_explained(rows[-1]), flush=True)
    if as_json:
        print(json.dumps(rows, indent=2))
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def explain_photo(
    net: "DeconvNet",
    loaded: "LoadedModel",
    photo: str,
    target: int | tuple[int, int, int] | None,
    place: Path,
    force: bool,
) -> dict[str, Any]:
    """Explain one photo and write its picture; what there is to say of it."""
    from deconvnet.picture import save_picture
    from deconvnet.preprocess import load_photo

    read = load_photo(photo)
    x = loaded.preprocess.images(read).to(loaded.example_input)
    chances = net.probabilities(x)[0]
    check_target(target, tuple(chances.shape[1:]))
    result = net.explain(x, target)
    (unit,) = result.units
    for index in unit.position or ():
        chances = chances[:, index]
    chances = chances.flatten()
    answer, shown = int(chances.argmax()), unit.channel or 0
    label, chance = loaded.label(shown), float(chances[shown])
    title = f"{label}, {percent(chance)}"
    if shown != answer:
        title += f"; the network's answer: {loaded.label(answer)}, {percent(float(chances[answer]))}"
    picture = result.beside(read, loaded.preprocess, words=f"{label}, carried down ({net.rules.name})", title=title)
    save_picture(picture, place, force=force)
    return {
        "photo": photo,
        "class": shown,
        "label": label,
        "probability": chance,
        "answer": {"class": answer, "label": loaded.label(answer), "probability": float(chances[answer])},
        "rules": result.rules.name,
        "notes": list(result.notes),
        "file": str(place),
    }


def _explained(row: dict[str, Any]) -> str:
    words = f"{row['photo']}: {row['label']}, {percent(row['probability'])}"
    if row["class"] != row["answer"]["class"]:
        words += f" (the network's answer: {row['answer']['label']}, {percent(row['answer']['probability'])})"
    return "\n".join([f"{words} -> {row['file']}", *(f"  note: {note}" for note in row["notes"])])
