"""`deconvnet project`: units of a layer, carried down."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.files import in_a_name, places

if TYPE_CHECKING:
    from deconvnet.results.reconstruction import Reconstruction


@app.command()
@o.with_model_flags
def project(
    photo: o.Photo,
    layer: o.Layer,
    channel: Annotated[
        str, typer.Option("--channel", "-c", help="Feature maps: a number, 3,5,8, all, or top:16.")
    ] = "top:9",
    position: o.Position = None,
    crop: Annotated[
        Literal["energy", "field", "none"],
        typer.Option(help="What a picture shows: where 99 % of its energy lies, the receptive field, or all."),
    ] = "energy",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The sheet's file.", show_default="./NAME.LAYER.png")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Carry units of a layer down to the pixels: each reconstruction beside its patch of the photo."""
    (place,) = places([photo], output, f".{in_a_name(layer)}.png", force)
    chosen = o.channels(channel)
    where = o.numbers("--position", position, whole=True)
    loaded = flags.load()
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    from deconvnet.photos.photo import load_photo
    from deconvnet.pictures.sheets import save_picture

    read = load_photo(photo)
    x = loaded.preprocess.images(read).to(loaded.example_input)
    result = net.project(x, layer, channel=chosen, position=where)
    title = f"layer {layer} of {Path(loaded.spec).name} on {read.name} ({net.rules.name})"
    sheet = result.sheet([read], loaded.preprocess, crop=crop, title=title)
    save_picture(sheet, place, force=force)
    units = unit_rows(result)
    report = {"photo": photo, "layer": layer, "units": units, "rules": result.rules.name,
              "notes": list(result.notes), "file": str(place)}  # fmt: skip
    if as_json:
        print(json.dumps(report, indent=2, allow_nan=False))
        return
    print(f"{photo}: {len(units)} units of {layer} -> {place}")
    for note in result.notes:
        print(f"  note: {note}")


def unit_rows(result: "Reconstruction") -> list[dict[str, Any]]:
    """What there is to say of each unit."""
    return [
        {"channel": unit.channel, "position": unit.position, "activation": activation, "box": box}
        for unit, activation, box in zip(result.units, result.activations.tolist(), result.boxes.tolist(), strict=True)
    ]
