"""`deconvnet evolution`: what was seen of the features of a network while it trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, PlotFlags
from deconvnet.cli.files import output_paths, save_in_folder
from deconvnet.cli.result import Result, counted, print_result

if TYPE_CHECKING:
    from deconvnet.training.snapshots import Snapshots


@o.with_flags
def evolution(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that training.Evolution wrote.", show_default=False)
    ],
    convergence: Annotated[
        bool, typer.Option("--convergence", help="Draw how far each layer has settled, as curves over the epochs.")
    ] = False,
    columns: Annotated[
        int | None, typer.Option(metavar="N", help="Layers side by side.", show_default="as suits the figure")
    ] = None,
    output: Annotated[str | None, o.output(FORMATS, "./DIR.evolution.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: PlotFlags,
) -> None:
    """Draw the features of a network as they came to be: a row for each feature map, a column for each epoch.

    The folder is that of a training that was watched from Python, with Evolution or its callback for Lightning.
    """
    from deconvnet.opening import open
    from deconvnet.training.snapshots import Snapshots

    (path,) = output_paths([folder.resolve().name], output, ".evolution.png", force=force)
    if convergence and columns is not None:
        raise ArgumentError("--columns lays out the pictures, which --convergence does not draw: drop one of them.")
    snapshots = open(folder)
    if not isinstance(snapshots, Snapshots):
        raise ArgumentError(f"{str(folder)!r} holds no snapshots of a training, but a {type(snapshots).__name__}.")
    if convergence:
        drawn = snapshots.convergence.figure(**figure.options())
    else:
        drawn = snapshots.figure(columns=columns, **figure.options())
    save_in_folder(drawn, path, force=force)
    print_result(_result(snapshots, folder, path), as_json=as_json)


def _result(snapshots: "Snapshots", folder: Path, path: Path) -> Result:
    epochs = ", ".join(map(str, snapshots.epochs))
    words = [f"{folder}: {counted(len(snapshots), 'snapshot')}, after epochs {epochs} -> {path}"]
    rows = [_row(snapshots, i) for i in range(len(snapshots.layers))]
    for row in rows:
        cosines = ", ".join("-" if value is None else f"{value:.2f}" for value in row["filters"])
        words.append(f"  {row['layer']}: cosine between its filters and the last ones {cosines}")
    facts = {"folder": str(folder), "epochs": snapshots.epochs, "layers": rows, "missed": snapshots.missed,
             "notes": snapshots.notes, "file": str(path)}  # fmt: skip
    return Result("\n".join(words), facts)


def _row(snapshots: "Snapshots", i: int) -> dict[str, Any]:
    """How far a layer has settled at each epoch; None where nothing can be compared."""
    measures = {name: getattr(snapshots.convergence, name)[i].tolist() for name in ("changed", "pictures", "filters")}
    without_nan = {name: [None if value != value else value for value in row] for name, row in measures.items()}
    return {"layer": snapshots.layers[i], **without_nan}
