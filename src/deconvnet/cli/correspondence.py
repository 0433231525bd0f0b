"""`deconvnet correspondence`: the same part covered in several photos, and how alike features change."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, PlotFlags
from deconvnet.cli.files import output_paths, save_in_folder
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.photos import open_inputs
from deconvnet.cli.progress import progress
from deconvnet.cli.reading import read_batch, without_nan
from deconvnet.cli.result import Result, counted, print_result
from deconvnet.cli.stderr import prints_on_stderr

if TYPE_CHECKING:
    from deconvnet.cli.reading import Batch
    from deconvnet.probes.correspondence_table import Correspondence


@o.with_flags
def correspondence(
    photos: o.Photos,
    parts: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="CSV or JSON file that says where parts lie: photo, part, left, top, right, bottom, in pixels.",
            show_default=False,
        ),
    ],
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "-l",
            help=f"{o.LAYER_HELP} Repeat the flag for several layers.",
            show_default="the last with maps and the last hidden one",
        ),
    ] = None,
    placements: Annotated[int, typer.Option(help="Number of random regions in each photo.", min=1, max=1000)] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the random regions.", min=0, max=o.MOST_SEED)] = 0,
    output: Annotated[str | None, o.output(FORMATS, "./correspondence.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: PlotFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Cover the same part in several photos and measure how alike features change, as in table 1 of the paper.

    The table has the share of features in which the signs of the changes differ, the mean over pairs of photos with its
    standard deviation; the same for random regions of the same size; and how often those are as consistent (p). Photos
    that the file does not name are not read.
    """
    from deconvnet.probes.part_boxes import matched, read_parts

    (path,) = output_paths(["correspondence"], output, ".png", force=force)
    inputs = open_inputs(photos, reading)
    matches = matched(read_parts(parts), [photo.name for photo in inputs])
    named = sorted({i for of_part in matches.values() for i in of_part})
    network = open_network(flags)
    network.loaded.preprocess.check_images("correspondence")
    batch = read_batch(network, [inputs[i] for i in named])
    read = {named[i] for i in batch.indices}
    usable = [part for of_part in matches.values() for i, part in of_part.items() if i in read]
    result = _measured(network, batch, usable, layer, placements, seed)
    save_in_folder(result.figure(**figure.options()), path, force=force)
    rows = [without_nan(asdict(row)) for row in result.rows()]
    unused = len(inputs) - len(named)
    notes = [f"The file does not name {counted(unused, 'photo')}: not used."] * bool(unused)
    facts = {**network.facts, **batch.facts, "layers": result.layers, "parts": rows, "placements": placements,
             "seed": seed, "notes": [*notes, *result.notes], "file": str(path)}  # fmt: skip
    table = "\n".join(f"  {line}" for line in result.table().splitlines())
    first = f"{counted(len(result.photos), 'photo')}, {counted(len(result), 'part')}: distance of signs -> {path}"
    print_result(Result(f"{first}\n{table}", facts), as_json=as_json)
    batch.end(strict=reading.strict)


@prints_on_stderr()
def _measured(
    network: Network, batch: "Batch", parts: Any, layers: list[str] | None, placements: int, seed: int
) -> "Correspondence":
    """The parts of all photos that could be read."""
    from deconvnet.probes.covered_parts import correspondence as measure

    with progress(quiet=False) as report_progress:
        return measure(
            network.net, batch.photos, parts, loaded=network.loaded, layers=layers or None,
            names=[photo.name for photo in batch.inputs], placements=placements, seed=seed,
            progress=lambda done, total: report_progress("regions", done, total, ""),
        )  # fmt: skip
