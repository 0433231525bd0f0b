"""`deconvnet project`: units of a layer, carried down."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, Arrange, FigureFlags
from deconvnet.cli.files import in_file_name, picture_paths, save_in_folder
from deconvnet.cli.network import open_network
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.cli.quick_words import TrustFlag, with_quick_trust
from deconvnet.cli.result import Result, counted, print_each

if TYPE_CHECKING:
    from deconvnet.results.reconstruction import Reconstruction


@o.with_flags
def project(
    photos: o.Photos,
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
    trust: TrustFlag = None,
    output: Annotated[str | None, o.output(f"{FORMATS} A folder for several photos.", "./NAME.LAYER.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Carry units of a layer down to the pixels: each reconstruction beside its patch of the photo.

    A photo that cannot be used is reported, and the others go on.
    """
    inputs = open_inputs(photos, reading)
    paths = picture_paths(inputs, output, f".{in_file_name(layer)}.png", force=force)
    index, channels = o.parse_numbers("--position", position, whole=True), o.feature_maps(channel)
    network = open_network(flags)

    def draw(photo: PhotoInput, path: Path) -> Result:
        loaded_photo, x = network.read(photo)
        result = network.net.project(x, layer, channel=channels, position=index)
        title = f"layer {result.units[0].layer} of {network.name} on {loaded_photo.name} ({network.net.rules.name})"
        sheet = result.sheet(
            [loaded_photo], network.loaded.preprocess, crop=crop, arrange=arrange, **figure.layout(title)
        )
        save_in_folder(sheet, path, force=force)
        done = _result(result, photo, path, network.notes(loaded_photo, result))
        return with_quick_trust(done, network, x, result, trust, photos=len(inputs))

    print_each(inputs, paths, draw, shared=network.facts, as_json=as_json, strict=reading.strict)


def _result(result: "Reconstruction", photo: PhotoInput, path: Path, notes: list[str]) -> Result:
    layer = result.units[0].layer
    units = unit_facts(result)
    facts = {"layer": layer, "units": units, "notes": notes, "file": str(path)}
    return Result(f"{photo.name}: {counted(len(units), 'unit')} of {layer} -> {path}", facts)


def unit_facts(result: "Reconstruction") -> list[dict[str, Any]]:
    """Each unit with its activation and box, for `--json`."""
    return [
        {"channel": unit.channel, "position": unit.position, "activation": activation, "box": box}
        for unit, activation, box in zip(result.units, result.activations.tolist(), result.boxes.tolist(), strict=True)
    ]
