"""`deconvnet learn` and `deconvnet learned`: deconvolutional networks that learn without labels."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.progress import Tell, progress

if TYPE_CHECKING:
    from PIL.Image import Image

    from deconvnet.learn.train import Progress


@app.command()
def learn(
    photos: Annotated[
        str, typer.Argument(metavar="PHOTOS", help="A folder, a .txt list, .tar or .parquet shards, or a URL of any.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="The result's folder: new, empty, or unfinished (--resume).",
            show_default=False,
        ),
    ],
    layers: Annotated[str, typer.Option("--layers", help="Feature maps of each layer, from the lowest.")] = "15,50",
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what an interrupted run left.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
) -> None:
    """Learn filters from photos without labels: a deconvolutional network, layer by layer.

    Every layer's sparse feature maps paint the photos through the layers below. A photo that cannot be read is listed
    and does not stop the run. After an interruption, of any kind, --resume goes on, and the result is that of an
    uninterrupted run.
    """
    maps = o.numbers("--layers", layers, whole=True)
    blocks = None if pool == "none" else o.numbers("--pool", pool, whole=True)
    from deconvnet.atlas.photos import open_photos
    from deconvnet.learn.learned import learn_photos
    from deconvnet.learn.net import AdaptiveDeconvNet
    from deconvnet.learn.photos import Prepare

    channels = 3 if colour else 1
    net = AdaptiveDeconvNet.of(
        (maps,) if isinstance(maps, int) else maps,
        channels=channels,
        kernel=_one_or_several("--filter", kernel, whole=True),
        pool=blocks,
        lam=_one_or_several("--lam", lam),
        boundary=boundary,
        seed=seed,
    )
    opened = open_photos(photos)
    batches = math.ceil(min(limit or len(opened), len(opened)) / batch)
    with progress(quiet) as tell:
        found = learn_photos(
            opened, net, out=output, prepare=Prepare(size, channels),
            epochs=_one_or_several("--epochs", epochs, whole=True), batch=batch, limit=limit, seed=seed,
            update_by=update, solver=solver, max_iter=iterations, resume=resume, progress=_told(tell, batches),
        )  # fmt: skip
    skipped = len(found.skipped())
    count = found.about["photos"]["learned from"] - skipped
    print(f"{' and '.join(str(layer.maps) for layer in found.net.layers)} maps from {count} photos -> {found.folder}")
    if skipped:
        print(f"  {skipped} photos could not be read: skipped.csv says why")


@app.command()
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
    from deconvnet.cli.files import in_a_name
    from deconvnet.learn.draw import draw_filters, draw_parts, draw_reconstructions
    from deconvnet.learn.learned import Learned
    from deconvnet.saving import named_folder
    from deconvnet.sheets import save_picture

    place = folder if output is None else named_folder(output)
    found = Learned.open(folder)
    if not place.is_dir():
        raise ArgumentError(f"-o {str(place)!r}: there is no such folder. Make it first.")
    pictures: dict[str, Callable[[], Image]] = {
        f"filters-{layer}.png": partial(draw_filters, found, layer) for layer in range(1, len(found.net.layers) + 1)
    }
    if photo is not None:
        stem = in_a_name(Path(photo.removeprefix("sample:")).stem)
        pictures[f"{stem}.reconstructions.png"] = partial(draw_reconstructions, found, photo)
        pictures[f"{stem}.parts.png"] = partial(draw_parts, found, photo)
    there = [name for name in pictures if (place / name).exists()]
    if there and not force:
        raise ArgumentError(f"{str(place / there[0])!r} is there already. Pass --force to overwrite, or -o a folder.")
    for name, picture in {name: draw() for name, draw in pictures.items()}.items():
        save_picture(picture, place / name, force=force)
        print(f"-> {place / name}")


def _one_or_several(flag: str, text: str, *, whole: bool = False) -> Any:
    numbers = o.numbers(flag, text, whole=whole)
    return numbers[0] if isinstance(numbers, tuple) and len(numbers) == 1 else numbers


def _told(tell: Tell | None, batches: int) -> Callable[["Progress"], None] | None:
    """What `learn_photos` tells of its progress, in words."""
    if tell is None:
        return None

    def told(one: "Progress") -> None:
        state = f"objective {one.objective:.4g}, error {one.error:.1%}, active {one.active:.2%}"
        tell(f"batches of layer {one.layer}, epoch {one.epoch + 1}", one.batch + 1, batches, state)

    return told
