"""`deconvnet steps`: one unit's way down, step by step."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.classes import check_target
from deconvnet.cli.figure import FORMATS, FigureFlags, with_figure_flags
from deconvnet.cli.files import in_file_name, output_paths, stem
from deconvnet.cli.network import open_network
from deconvnet.cli.result import Result, print_drawn

if TYPE_CHECKING:
    from deconvnet.results.steps import StepDown, Steps


@o.with_model_flags
@with_figure_flags
def steps(
    photo: o.Photo,
    layer: Annotated[
        str | None,
        typer.Option("--layer", "-l", help=o.LAYER_HELP, show_default="the classes"),
    ] = None,
    channel: Annotated[
        int | None,
        typer.Option(*o.CHANNEL, help="Feature map of the layer.", show_default="the strongest"),
    ] = None,
    position: o.Position = None,
    target: o.Target = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Layer to stop at, below the unit.", show_default="the pixels")
    ] = None,
    output: Annotated[str | None, o.output(FORMATS, "./NAME.LAYER.steps.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    flags: o.ModelFlags,
) -> None:
    """Show the mechanism: a unit's signal unpooled, rectified and filtered, step by step, beside the forward maps.

    Without --layer, a class is carried down.
    """
    _check_unit(layer, channel, position, target)
    (path,) = output_paths([stem(photo)], output, f".{in_file_name(layer or 'class')}.steps.png", force=force)
    index = o.parse_numbers("--position", position, whole=True)
    network = open_network(flags, target)

    def draw() -> Result:
        loaded_photo, x = network.read(photo)
        if layer is None:
            check_target(network.target, tuple(network.net.scores(x).shape[2:]))
        result = network.net.steps(x, layer, channel=channel, position=index, target=network.target, to=to)
        drawn = result.figure(network.loaded.preprocess.as_seen(loaded_photo), **figure.layout())
        drawn.save(path, force=force)
        return _result(result, photo, path)

    print_drawn(draw, as_json=as_json)


def _result(result: "Steps", photo: str, path: Path) -> Result:
    unit = {"channel": result.unit.channel, "position": result.unit.position, "activation": result.activation}
    facts = {"photo": photo, "layer": result.unit.layer, "unit": unit, "steps": [*map(_step_facts, result)],
             "rules": result.rules.name, "notes": list(result.notes), "file": str(path)}  # fmt: skip
    return Result(_words(photo, result, path), facts)


def _check_unit(layer: str | None, channel: int | None, position: str | None, target: str | None) -> None:
    """Raise unless the flags name one unit: of a layer, or a class.

    Raises:
        ArgumentError: they name both, or half a unit.
    """
    if layer is not None and target is not None:
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


def _words(photo: str, steps: "Steps", path: Path) -> str:
    lines = [f"{photo}: {len(steps)} steps down from {steps.unit.layer or 'the output'} -> {path}"]
    lines += [
        f"  {step.layer}: unpooling {step.pool} restores the forward maps with a relative error of {step.error:.3g}"
        for step in steps
        if step.error is not None
    ]
    return "\n".join(lines)
