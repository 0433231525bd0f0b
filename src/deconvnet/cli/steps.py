"""`deconvnet steps`: one unit's way down, step by step."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.classes import check_single, check_targets
from deconvnet.cli.figure import FORMATS, FigureFlags
from deconvnet.cli.files import in_file_name, picture_paths, save_in_folder
from deconvnet.cli.network import open_network
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.cli.result import Result, counted, print_each

if TYPE_CHECKING:
    from deconvnet.results.steps import StepDown, Steps


@o.with_flags
def steps(
    photos: o.Photos,
    layer: Annotated[
        str | None,
        typer.Option("--layer", "-l", help=o.LAYER_HELP, show_default="the classes"),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(*o.CHANNEL, help="Feature map of the layer.", show_default="the strongest"),
    ] = None,
    position: o.Position = None,
    target: o.Target = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Layer to stop at, below the unit.", show_default="the pixels")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Draw every step, also those on the branches of a block.")
    ] = False,
    output: Annotated[str | None, o.output(f"{FORMATS} A folder for several photos.", "./NAME.LAYER.steps.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Show the mechanism: a unit's signal unpooled, rectified and filtered, step by step, beside the forward maps.

    Without --layer, a class is carried down. A block that branches, such as an inception module, is one step, unless
    --whole is given. A photo that cannot be used is reported, and the others go on.
    """
    check_unit(layer, channel, position, target)
    inputs = open_inputs(photos, reading)
    paths = picture_paths(inputs, output, f".{in_file_name(layer or 'class')}.steps.png", force=force)
    index, single = o.parse_numbers("--position", position, whole=True), o.feature_map(channel)
    network = open_network(flags, target)

    def draw(photo: PhotoInput, path: Path) -> Result:
        loaded_photo, x = network.read(photo)
        if layer is None:
            check_targets(network.targets, tuple(network.net.scores(x).shape[2:]))
        result = network.net.steps(x, layer, channel=single, position=index, target=network.target, to=to)
        seen = None if loaded_photo.is_volume else network.loaded.preprocess.as_seen(loaded_photo)
        save_in_folder(result.figure(seen, whole=whole, **figure.layout()), path, force=force)
        return _result(result, photo, path, network.notes(loaded_photo, result), whole=whole)

    print_each(inputs, paths, draw, shared=network.facts, as_json=as_json, strict=reading.strict)


def _result(result: "Steps", photo: PhotoInput, path: Path, notes: list[str], *, whole: bool) -> Result:
    unit = {"channel": result.unit.channel, "position": result.unit.position, "label": result.unit.name or None,
            "activation": result.activation}  # fmt: skip
    facts = {"layer": result.unit.layer, "unit": unit, "steps": [*map(_step_facts, result)],
             "notes": notes, "file": str(path)}  # fmt: skip
    return Result(_words(photo.name, result, path, whole=whole), facts)


def check_unit(layer: str | None, channel: str | None, position: str | None, target: Sequence[str] | None) -> None:
    """Raise unless the flags name one unit: of a layer, or a class.

    Raises:
        ArgumentError: they name both, or half a unit.
    """
    check_single(target)
    if layer is not None and target:
        raise ArgumentError("--target names a class and --layer a layer: drop one of them.")
    if layer is None and (channel is not None or position is not None):
        raise ArgumentError("--channel and --position need --layer: add it, or drop them.")


def _step_facts(step: "StepDown") -> dict[str, Any]:
    channels, *size = step.signal.shape
    return {
        "layer": step.layer,
        "undone": step.undone,
        "how": step.how,
        "channels": channels,
        "size": size,
        "unpooled": step.pool,
        "unpooling_error": step.error,
    }


def _words(photo: str, steps: "Steps", path: Path, *, whole: bool) -> str:
    blocks = len(steps.blocks)
    hidden = "" if whole or blocks == len(steps.changing) else f", drawn as {counted(blocks, 'block')}"
    start = steps.unit.name or steps.unit.layer or "the output"
    lines = [f"{photo}: {counted(len(steps), 'step')} down from {start}{hidden} -> {path}"]
    lines += [
        f"  {step.layer}: unpooling {step.pool} restores the forward maps with a relative error of {step.error:.3g}"
        for step in steps
        if step.error is not None
    ]
    return "\n".join(lines)
