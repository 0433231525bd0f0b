"""`deconvnet steps`: one unit's way down, step by step."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.classes import check_target, class_target
from deconvnet.cli.files import in_a_name, places


@app.command()
@o.with_model_flags
def steps(
    photo: o.Photo,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer", "-l", help="A layer's name, as deconvnet layers prints it.", show_default="the classes"
        ),
    ] = None,
    channel: Annotated[
        int | None,
        typer.Option("--channel", "-c", help="A feature map of the layer.", show_default="the strongest"),
    ] = None,
    position: o.Position = None,
    target: o.Target = None,
    to: Annotated[str | None, typer.Option("--to", help="End at this layer.", show_default="the pixels")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The figure's file.", show_default="./NAME.LAYER.steps.png")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Show the mechanism: a unit's signal unpooled, rectified and filtered, step by step, beside the forward maps.

    Without a layer it is a class that is carried down.
    """
    if layer is not None and target is not None:
        raise ArgumentError("--target is a class: leave out --layer, or give a --channel of it.")
    if layer is None and (channel is not None or position is not None):
        raise ArgumentError("--channel and --position are of a layer: give --layer too, or --target alone.")
    (place,) = places([photo], output, f".{in_a_name(layer or 'class')}.steps.png", force)
    where = o.numbers("--position", position, whole=True)
    loaded = flags.load()
    chosen = None if target is None else class_target(loaded, target)
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    from deconvnet.photos.photo import load_photo
    from deconvnet.pictures.sheets import save_picture

    read = load_photo(photo)
    x = loaded.preprocess.images(read).to(loaded.example_input)
    if layer is None:
        check_target(chosen, tuple(net.scores(x).shape[2:]))
    found = net.steps(x, layer, channel=channel, position=where, target=chosen, to=to)
    save_picture(found.figure(loaded.preprocess.shown(read)), place, force=force)
    rows = [
        {"layer": step.layer, "undone": step.undone, "how": step.how, "size": tuple(step.signal.shape),
         "relative error of unpooling": step.error, "unpooled": step.pool}
        for step in found
    ]  # fmt: skip
    unit = {"layer": found.unit.layer, "channel": found.unit.channel, "position": found.unit.position}
    if as_json:
        report = {"photo": photo, "unit": unit, "activation": found.activation, "steps": rows,
                  "rules": found.rules.name, "notes": found.notes, "file": str(place)}  # fmt: skip
        print(json.dumps(report, indent=2, allow_nan=False))
        return
    print(f"{photo}: {len(found)} steps down from {found.unit.layer or 'the output'} -> {place}")
    for step in found:
        if step.error is not None:
            words = f"unpooling {step.pool} gives the forward maps back with a relative error of {step.error:.3g}"
            print(f"  {step.layer}: {words}")
    for note in found.notes:
        print(f"  note: {note}")
