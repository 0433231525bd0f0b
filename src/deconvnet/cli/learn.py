"""`deconvnet learn` and `deconvnet learned`: deconvolutional networks that learn without labels."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.progress import ReportProgress, progress

if TYPE_CHECKING:
    from PIL.Image import Image

    from deconvnet.learn.train import Progress


def learn(
    photos: o.PhotoSet,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the result: new, empty, or unfinished (with --resume).",
            show_default=False,
        ),
    ],
    maps: Annotated[
        str, typer.Option("--maps", help="Number of feature maps of each layer, from the lowest.")
    ] = "15,50",
    kernel: Annotated[
        str, typer.Option("--filter", help="Sides of the filters in pixels, for all layers or for each.")
    ] = "7",
    pool: Annotated[
        str, typer.Option("--pool", help="Height, width and neighbouring maps that are pooled; or none.")
    ] = "3,3,2",
    lam: Annotated[
        str, typer.Option("--lam", help="Weight of sparsity, for all layers or for each; the papers' lambda is 1/lam.")
    ] = "0.5",
    epochs: Annotated[
        str, typer.Option("--epochs", help="Times through the photos, for all layers or for each.")
    ] = "1",
    size: Annotated[
        int, typer.Option("--size", help="Photos are resized to this longer side in pixels.", min=16)
    ] = 150,
    colour: Annotated[bool, typer.Option("--colour", help="Learn from colours, not from grey.")] = False,
    boundary: Annotated[
        Literal["valid", "circular", "zero"], typer.Option("--boundary", help="How filters meet an image's border.")
    ] = "valid",
    update: Annotated[
        Literal["online", "conjugate"], typer.Option("--update", help="Of the filters; conjugate is the paper's.")
    ] = "online",
    solver: Annotated[
        Literal["auto", "dr", "fista", "ista"], typer.Option("--solver", help="Of the maps; ista is the paper's.")
    ] = "auto",
    iterations: Annotated[int, typer.Option("--iterations", help="Of the solver, at most.", min=1)] = 30,
    batch: Annotated[int, typer.Option("--batch", help="Photos in each update.", min=1)] = 4,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Learn from so many photos only, evenly taken.", min=1)
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Of the first filters, and of the order of photos.", min=0, max=2**32 - 1)
    ] = 0,
    resume: o.Resume = False,
    quiet: o.Quiet = False,
) -> None:
    """Learn filters from photos without labels: a deconvolutional network, layer by layer.

    Every layer's sparse feature maps paint the photos through the layers below. A photo that cannot be read is listed
    and does not stop the run. After an interruption, of any kind, --resume goes on, and the result is that of an
    uninterrupted run.
    """
    counts = o.numbers("--maps", maps, whole=True)
    blocks = None if pool == "none" else o.numbers("--pool", pool, whole=True)
    from deconvnet.learn.learned import learn_photos
    from deconvnet.learn.net import AdaptiveDeconvNet
    from deconvnet.learn.photos import Prepare
    from deconvnet.photos.sets import open_photos

    channels = 3 if colour else 1
    net = AdaptiveDeconvNet.of(
        (counts,) if isinstance(counts, int) else counts,
        channels=channels,
        kernel=o.numbers("--filter", kernel, whole=True),
        pool=blocks,
        lam=o.numbers("--lam", lam),
        boundary=boundary,
        seed=seed,
    )
    opened = open_photos(photos)
    batches = math.ceil(min(limit or len(opened), len(opened)) / batch)
    with progress(quiet=quiet, lines=True) as report_progress:
        found = learn_photos(
            opened, net, out=output, prepare=Prepare(size, channels),
            epochs=o.numbers("--epochs", epochs, whole=True), batch=batch, limit=limit, seed=seed,
            update_by=update, solver=solver, max_iter=iterations, resume=resume,
            progress=partial(_report_batch, report_progress, batches),
        )  # fmt: skip
    skipped = len(found.skipped())
    count = found.about["photos"]["learned from"] - skipped
    print(f"{' and '.join(str(layer.maps) for layer in found.net.layers)} maps from {count} photos -> {found.folder}")
    if skipped:
        print(f"  {skipped} photos could not be read: skipped.csv says why")


def learned(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of deconvnet learn.", show_default=False)],
    photo: Annotated[
        str | None, typer.Option("--photo", help=f"Reconstruct it as well. {o.PHOTO_HELP}", show_default=False)
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the pictures.", show_default="DIR"),
    ] = None,
    force: o.Force = False,
) -> None:
    """Draw what was learned: the filters of every layer in pixels; and a photo's reconstructions and its parts."""
    from deconvnet._files import named_folder
    from deconvnet.cli.files import check_new, in_file_name, stem
    from deconvnet.learn.draw import draw_filters, draw_parts, draw_reconstructions
    from deconvnet.learn.learned import Learned
    from deconvnet.pictures.sheets import save_picture

    place = folder if output is None else named_folder(output)
    found = Learned.open(folder)
    if not place.is_dir():
        raise ArgumentError(f"-o {str(place)!r}: there is no such folder. Make it first.")
    pictures: dict[str, Callable[[], Image]] = {
        f"filters-{layer}.png": partial(draw_filters, found, layer) for layer in range(1, len(found.net.layers) + 1)
    }
    if photo is not None:
        name = in_file_name(stem(photo))
        pictures[f"{name}.reconstructions.png"] = partial(draw_reconstructions, found, photo)
        pictures[f"{name}.parts.png"] = partial(draw_parts, found, photo)
    if not force:
        check_new([place / name for name in pictures])
    for name, picture in {name: draw() for name, draw in pictures.items()}.items():
        save_picture(picture, place / name, force=force)
        print(f"-> {place / name}")


def _report_batch(report_progress: ReportProgress, batches: int, progress: "Progress") -> None:
    """Report the progress of `learn_photos` in words."""
    state = f"objective {progress.objective:.4g}, error {progress.error:.1%}, active {progress.active:.2%}"
    what = f"batches of layer {progress.layer}, epoch {progress.epoch + 1}"
    report_progress(what, progress.batch + 1, batches, state)
