"""`deconvnet project`: units of a layer, carried down."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, Arrange, FigureFlags, with_figure_flags
from deconvnet.cli.files import in_file_name, output_paths, stem
from deconvnet.cli.network import open_network
from deconvnet.cli.result import Result, print_drawn

if TYPE_CHECKING:
    from deconvnet.results.reconstruction import Reconstruction


@o.with_model_flags
@with_figure_flags
def project(
    photo: o.Photo,
    layer: o.Layer,
    channel: Annotated[
        str, typer.Option(*o.CHANNEL, help="Feature maps: 3,5,8, or 0-15; all; or top:16 for the strongest.")
    ] = "top:9",
    position: o.Position = None,
    crop: Annotated[
        Literal["energy", "field", "none"],
        typer.Option(help="Part of the input in each picture: 99 % of the energy, the receptive field, or everything."),
    ] = "energy",
    arrange: Arrange = "grid",
    output: Annotated[str | None, o.output(FORMATS, "./NAME.LAYER.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    flags: o.ModelFlags,
) -> None:
    """Carry units of a layer down to the pixels: each reconstruction beside its patch of the photo."""
    (path,) = output_paths([stem(photo)], output, f".{in_file_name(layer)}.png", force=force)
    index = o.parse_numbers("--position", position, whole=True)
    network = open_network(flags)

    def draw() -> Result:
        result = network.net.project(x, layer, channel=o.feature_maps(channel), position=index)
        title = f"layer {result.units[0].layer} of {network.name} on {loaded_photo.name} ({network.net.rules.name})"
        sheet = result.sheet(
            [loaded_photo], network.loaded.preprocess, crop=crop, arrange=arrange, **figure.layout(title)
        )
        sheet.save(path, force=force)
        return _result(result, photo, path)

    loaded_photo, x = network.read(photo)
    print_drawn(draw, as_json=as_json)


def _result(result: "Reconstruction", photo: str, path: Path) -> Result:
    units, layer = unit_facts(result), result.units[0].layer
    facts = {"photo": photo, "layer": layer, "units": units, "rules": result.rules.name,
             "notes": list(result.notes), "file": str(path)}  # fmt: skip
    return Result(f"{photo}: {len(units)} units of {layer} -> {path}", facts)


def unit_facts(result: "Reconstruction") -> list[dict[str, Any]]:
    """Each unit with its activation and box, for `--json`."""
    return [
        {"channel": unit.channel, "position": unit.position, "activation": activation, "box": box}
        for unit, activation, box in zip(result.units, result.activations.tolist(), result.boxes.tolist(), strict=True)
    ]
