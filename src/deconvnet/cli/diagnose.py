"""`deconvnet diagnose`: the first layer's filters, the second layer's pictures and effective receptive fields."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, PlotFlags
from deconvnet.cli.files import output_paths, save_in_folder
from deconvnet.cli.network import open_network
from deconvnet.cli.photos import is_source
from deconvnet.cli.progress import progress
from deconvnet.cli.result import Result, end, failure, print_result
from deconvnet.cli.stderr import prints_on_stderr, say

if TYPE_CHECKING:
    from deconvnet.photos.sets import PhotoSet
    from deconvnet.pictures.plot import PlotOptions
    from deconvnet.probes.diagnosis import Diagnosis


@o.with_flags
def diagnose(
    photos: Annotated[
        str | None,
        typer.Option("--photos", metavar="PHOTOS", help=o.PHOTOS_HELP, show_default="look at the filters alone"),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "-l",
            help="First layer; give the flag again for the second.",
            show_default="the first convolution, and the first above it that sees several positions",
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            help="Layer whose effective receptive field is measured. Repeat the flag for several.",
            show_default="4 of the main layers",
        ),
    ] = None,
    limit: o.Limit = None,
    output: Annotated[str | None, o.output(FORMATS, "no figure")] = None,
    force: o.Force = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    *,
    figure: PlotFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Show how a network's first layers came out: dominant, dead and aliased filters, and effective receptive fields.

    Without --photos the filters alone are looked at. With -o the numbers are drawn as in the paper's figure 6. A photo
    that cannot be used is reported, and the others go on.
    """
    path = None if output is None else output_paths(["diagnosis"], output, ".png", force=force)[0]
    with prints_on_stderr():
        opened = None if photos is None else _open(photos, reading)
    network = open_network(flags)
    from deconvnet.probes.first_layer import diagnose as diagnosed

    with progress(quiet=quiet or opened is None, lines=True) as report_progress, prints_on_stderr():
        result = diagnosed(
            network.net, opened, loaded=network.loaded, layers=layer, fields=field, limit=limit,
            progress=lambda done, total: report_progress("photos", done, total, ""),
        )  # fmt: skip
    for name, why in result.skipped:
        say(why if name in why else f"{name}: {why}")
    if path is not None:
        title = f"{network.name}: {result.layer}" + (f" and {result.second}" if result.pictures is not None else "")
        drawing: PlotOptions = {"title": title, **figure.options()}
        save_in_folder(result.figure(**drawing), path, force=force)
    facts = {**network.facts, **_facts(result, photos or ""), "file": None if path is None else str(path)}
    print_result(Result(_words(result, path), facts), as_json=as_json)
    end(used=max(result.photos, opened is None), failed=len(result.skipped), named=False, strict=reading.strict)


def _open(photos: str, reading: o.PhotoFlags) -> "PhotoSet":
    """The photos of a source, or one photo."""
    from deconvnet.photos.sets import open_photos

    is_set = is_source(photos) or reading.suffix is not None
    return open_photos(photos, **reading.options) if is_set else open_photos([photos])


def _words(result: "Diagnosis", path: Path | None) -> str:
    return result.words if path is None else f"{result.words}\n-> {path}"


def _facts(result: "Diagnosis", source: str) -> dict[str, Any]:
    grid, bands = result.aliasing(), result.bands
    dead = {"first": result.dead_by_data, "second": result.second_dead_by_data}
    return {
        "layer": result.layer,
        "second": result.second,
        "filters": len(result.filters),
        "stride": result.stride,
        "used": result.photos,
        "dominance": result.dominance,
        "largest_share": result.largest_share,
        "dead_by_weight": result.dead_by_weight.nonzero()[:, 0].tolist(),
        "dead_by_data": {name: None if maps is None else maps.nonzero()[:, 0].tolist() for name, maps in dead.items()},
        "bands": None if bands is None else dict(zip(("low", "mid", "high"), bands, strict=True)),
        "aliasing": None if grid is None else {"share": grid.share, "smooth": grid.smooth},
        "fields": [
            {
                "layer": field.layer,
                "theoretical": field.theoretical,
                "width": field.width,
                "deviation": field.deviation,
                "units": field.units,
            }
            for field in result.fields or ()
        ],
        "failed": [failure(name, source, why) for name, why in result.skipped],
        "notes": list(result.notes),
    }
