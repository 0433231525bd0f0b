"""`deconvnet occlude`: a part of a photo covered, and what becomes of a feature map and of the answer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, PlotFlags
from deconvnet.cli.files import picture_paths, save_in_folder
from deconvnet.cli.network import open_network
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.cli.result import Result, counted, print_each
from deconvnet.pictures.numbers import percent

if TYPE_CHECKING:
    from deconvnet.probes.occluders import Fill
    from deconvnet.probes.occlusion import Occlusion


@o.with_flags
def occlude(
    photos: o.Photos,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer", "-l", help=o.LAYER_HELP, show_default="the last rectified maps on the way to the class"
        ),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(*o.CHANNEL, help="Feature maps: 3, 0-5 or 3,5,8.", show_default="the one of largest activity"),
    ] = None,
    target: o.Targets = None,
    square: Annotated[
        str | None,
        typer.Option(
            "--square", metavar="PX", help="Side of the square: 50; or 50,30 (height, width).", show_default="50 of 224"
        ),
    ] = None,
    stride: Annotated[
        str | None,
        typer.Option(
            "--stride", metavar="PX", help="By how much the square moves: 10; or 10,5.", show_default="10 of 224"
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Begin at the border, and let the last squares reach past it.")
    ] = False,
    fill: Annotated[
        str,
        typer.Option(
            "--fill",
            help="What stands in the square: mean (the mean pixel), grey, blur (the photo, blurred), or a number, or "
            "one for each channel, in the network's input.",
        ),
    ] = "grey",
    output: Annotated[str | None, o.output(f"{FORMATS} A folder for several photos.", "./NAME.occlude.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: PlotFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Cover a part of a photo, position by position: activity of a feature map, probability, most probable class.

    A drop of activity where the map's picture is bright is evidence for the picture. The rank correlation says how
    close the two go together; beside it stand those with the edges of the photo, and with its centre, which know
    nothing of the network. A photo that cannot be used is reported, and the others go on.
    """
    inputs = open_inputs(photos, reading)
    paths = picture_paths(inputs, output, ".occlude.png", force=force)
    channels, filled = None if channel is None else o.feature_maps(channel), _fill(fill)
    if isinstance(channels, str):
        raise ArgumentError(f"--channel takes indices of feature maps here, such as 3,5,8; got {channel!r}.")
    side = o.parse_numbers("--square", square, whole=True)
    steps = o.parse_numbers("--stride", stride, whole=True)
    network = open_network(flags, target)

    def draw(photo: PhotoInput, path: Path) -> Result:
        from deconvnet.probes.covered_positions import occlude

        loaded_photo, x = network.read(photo)
        result = occlude(
            network.net, x, size=side, stride=steps, partial=partial, fill=filled, layer=layer, channel=channels,
            preprocess=network.loaded.preprocess, targets=list(network.targets),
        )  # fmt: skip
        drawn = result.figure(
            None if loaded_photo.is_volume else network.loaded.preprocess.as_seen(loaded_photo), **figure.options()
        )
        save_in_folder(drawn, path, force=force)
        facts = {**_facts(result), "notes": network.notes(loaded_photo, result), "file": str(path)}
        return Result(_words(photo.name, result, path), facts)

    print_each(inputs, paths, draw, shared=network.facts, as_json=as_json, strict=reading.strict)


def _fill(text: str) -> "Fill":
    names: dict[str, Literal["mean", "grey", "blur"]] = {"mean": "mean", "grey": "grey", "blur": "blur"}
    if text in names:
        return names[text]
    try:
        values: float | tuple[float, ...] = o.parse_numbers("--fill", text)
    except ArgumentError:
        raise ArgumentError(f"--fill is mean, grey, blur, or numbers separated by commas; got {text!r}.") from None
    return values


def _facts(result: "Occlusion") -> dict[str, Any]:
    occluders = result.occluders
    maps = [
        {
            "channel": channel,
            "activity": float(result.activity[i]),
            "activities": result.activities[:, i].tolist(),
            "rank_correlation": {"picture": evidence.picture, "edges": evidence.edges, "centre": evidence.centre},
            "margin": evidence.margin,
        }
        for i, (channel, evidence) in enumerate(zip(result.channels, result.evidence, strict=True))
    ]
    classes = [
        {
            "class": index,
            "label": result.label(index),
            "probability": float(result.probability[i]),
            "probabilities": result.probabilities[:, i].tolist(),
        }
        for i, index in enumerate(result.classes)
    ]
    return {
        "layer": result.layer, "fill": result.fill, "grid": occluders.grid, "boxes": occluders.boxes.tolist(),
        "maps": maps, "classes": classes, "answer": result.answer, "answers": result.answers.tolist(),
        "labels": dict(result.labels),
    }  # fmt: skip


def _words(photo: str, result: "Occlusion", path: Path) -> str:
    lines = [f"{photo}: {counted(len(result), 'position')} covered -> {path}"]
    for i, (channel, evidence) in enumerate(zip(result.channels, result.evidence, strict=True)):
        fall = float(result.drops[:, i].max())
        lines.append(
            f"  {result.layer} map {channel}: activity falls by up to {percent(max(fall, 0))}; rank correlation with "
            f"its picture {_correlation(evidence.picture)}, with edges {_correlation(evidence.edges)}, with the centre "
            f"{_correlation(evidence.centre)}"
        )
    for i, index in enumerate(result.classes):
        least = float(result.probabilities[:, i].min())
        whole = percent(float(result.probability[i]))
        lines.append(f"  {result.label(index)}: {whole}, with a part covered down to {percent(least)}")
    others = int((result.answers != result.answer).sum())
    lines.append(f"  the answer is {result.label(result.answer)}, and another at {counted(others, 'position')}")
    return "\n".join(lines)


def _correlation(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
