"""`deconvnet trust`: how far the picture of a unit or class can be trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet._checks import file_path
from deconvnet.cli import options as o
from deconvnet.cli.classes import check_single, check_targets
from deconvnet.cli.figure import FigureFlags
from deconvnet.cli.files import output_paths, save_in_folder
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.other_photos import other_photos
from deconvnet.cli.photos import photo_input
from deconvnet.cli.progress import progress
from deconvnet.cli.result import Result, print_result
from deconvnet.cli.stderr import prints_on_stderr
from deconvnet.cli.steps import check_unit

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.photos.photo import Photo
    from deconvnet.probes.measure import Measure
    from deconvnet.probes.trust_result import Trust
    from deconvnet.results.reconstruction import Reconstruction


@o.with_flags
def trust(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help=o.PHOTO_HELP, show_default=False)],
    layer: Annotated[str | None, typer.Option("--layer", "-l", help=o.LAYER_HELP, show_default="the classes")] = None,
    channel: Annotated[
        str | None, typer.Option(*o.CHANNEL, help="Feature map of the layer.", show_default="the strongest")
    ] = None,
    position: o.Position = None,
    target: o.Target = None,
    others: Annotated[
        str | None,
        typer.Option(
            "--others",
            metavar="PHOTOS",
            help="Other photos, of which 64 at most are used, evenly spaced: a folder, a .txt list, a quoted pattern, "
            ".tar or .parquet shards, or a URL of any of these. Some measures need 20.",
            show_default="scikit-image's",
        ),
    ] = None,
    atlas: Annotated[
        Path | None,
        typer.Option(
            "--atlas",
            metavar="DIR",
            help="Atlas of the network: it knows how strong the unit is. With its own photos as --others, also which "
            "of them the unit likes.",
        ),
    ] = None,
    measures: Annotated[
        str | None,
        typer.Option("--measures", help='Names of measures, such as "other units,edges".', show_default="all"),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(help="Number of random networks, and of other images, that values are compared with.", min=1),
    ] = 20,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.", min=0, max=o.MOST_SEED)] = 0,
    output: Annotated[
        str | None,
        o.output("Picture file: .png, .pdf, .svg ...; or a folder for all of the result.", "no file"),
    ] = None,
    force: o.Force = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Say how far a picture can be trusted: what it rests on, question by question, in words and numbers.

    Each value stands beside what it would be by chance: in networks with random weights, in other images, elsewhere in
    the photo. There is a sentence only where it lies outside of that. With -o the picture is drawn beside those of
    another unit, of noise, and of the same unit in another image, and beside the photo's edges.
    """
    check_single(target)
    check_unit(layer, channel, position, target)
    path = None if output is None else _checked_path(output, force=force)
    index, single = o.parse_numbers("--position", position, whole=True), o.feature_map(channel)
    names = None if measures is None else [name.strip() for name in measures.split(",")]
    network = open_network(flags, target)
    with progress(quiet=quiet, lines=True) as report_progress, prints_on_stderr():
        from deconvnet.probes.trusting import trust as trusted

        loaded_photo, x = network.read(photo_input(photo))
        picture = _picture(network, x, layer, "top:1" if single is None else single, index)
        given = other_photos(network, others, atlas, picture.units[0], x, reading)
        result = trusted(
            network.net, x, picture, others=given.images, preprocess=network.loaded.preprocess, measures=names,
            draws=draws, seed=seed, liked=given.liked, percentile=given.percentile,
            progress=lambda done, total: report_progress("measures", done, total, ""),
        )  # fmt: skip
        _save(result, path, loaded_photo, network, figure, force=force)
    notes = [*network.notes(loaded_photo, result), *given.notes]
    facts = {**network.facts, "photo": photo, **_facts(result), "notes": notes, "file": path and str(path)}
    print_result(Result(_words(result, photo, path), facts), as_json=as_json)


def _picture(network: Network, x: "Tensor", layer: str | None, channel: int | str, position: Any) -> "Reconstruction":
    if layer is not None:
        return network.net.project(x, layer, channel=channel, position=position)
    check_targets(network.targets, tuple(network.net.scores(x).shape[2:]))
    return network.net.explain(x, network.target)


def _checked_path(output: str, *, force: bool) -> Path:
    """Where the figure goes, or the folder of the result, checked before any work.

    Raises:
        ArgumentError: nothing can be written there.
    """
    from deconvnet.pictures.figure import SUFFIXES
    from deconvnet.results.saved import check_result_folder

    path = file_path("-o", output)
    if path.suffix.lower() in SUFFIXES:
        (path,) = output_paths([path.stem], output, path.suffix, force=force)
        return path
    return check_result_folder(path, force=force)


def _save(
    result: "Trust", path: Path | None, photo: "Photo", network: Network, figure: FigureFlags, *, force: bool
) -> None:
    from deconvnet.pictures.figure import SUFFIXES

    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        result.save(path, force=force)
        return
    drawn = result.figure(photo, network.loaded.preprocess, **figure.layout())
    save_in_folder(drawn, path, force=force)


def _facts(result: "Trust") -> dict[str, Any]:
    unit = {"layer": result.unit.layer, "channel": result.unit.channel, "position": result.unit.position,
            "label": result.unit.name or None, "activation": result.activation}  # fmt: skip
    return {"unit": unit, "others": result.others, "measures": [*map(_measure_facts, result)],
            "verdict": result.verdict}  # fmt: skip


def _measure_facts(measure: "Measure") -> dict[str, Any]:
    details = [{"name": name, "value": value} for name, value in measure.details]
    nulls = [{"name": null.name, "limits": null.limits, "draws": null.draws} for null in measure.nulls]
    return {
        "name": measure.name, "question": measure.question, "value": measure.value, "details": details,
        "nulls": nulls, "words": measure.words, "why_not": measure.why_not,
    }  # fmt: skip


def _words(result: "Trust", photo: str, path: Path | None) -> str:
    page = f"{photo}: {result.text()}"
    return page if path is None else f"{page}\n-> {path}"
