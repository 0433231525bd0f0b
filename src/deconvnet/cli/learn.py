"""`deconvnet learn` and `deconvnet learned`: deconvolutional networks that learn without labels."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deconvnet.cli import options as o
from deconvnet.cli.learning import NetFlags, TrainingFlags
from deconvnet.cli.progress import ReportProgress, progress, resumable
from deconvnet.cli.result import ALREADY_FINISHED, Result, counted, end, failure, print_result

if TYPE_CHECKING:
    from deconvnet.learn.learned import Learned
    from deconvnet.learn.train import Progress
    from deconvnet.pictures.figure import Figure


@o.with_flags
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
    *,
    network: NetFlags,
    training: TrainingFlags,
    limit: o.Limit = None,
    sample: o.Sample = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            help="Random seed of the first filters, the order of photos and the sample.",
            min=0,
            max=o.MOST_SEED,
        ),
    ] = 0,
    value_range: o.ValueRange = None,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that read photos; 0 reads them in this process.", min=0)
    ] = 0,
    resume: o.Resume = False,
    take_over: o.TakeOver = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    reading: o.PhotoFlags,
) -> None:
    """Learn filters from photos without labels: a deconvolutional network, layer by layer.

    Every layer's sparse feature maps paint the photos through the layers below. A photo that cannot be used is listed
    and does not stop the run. After an interruption of any kind, --resume continues, and the result is that of an
    uninterrupted run; so it is with any number of workers.
    """
    options, net = training.options, network.net(seed)
    from deconvnet._checks import file_path
    from deconvnet._files import is_file
    from deconvnet.learn.learned import NET, learn_photos
    from deconvnet.photos.pick import Pick
    from deconvnet.photos.sets import open_photos

    folder, prepare = file_path("the name of the output folder", output), network.prepare(value_range)
    with resumable():
        opened = open_photos(photos, **reading.options)
        batches = math.ceil(Pick(limit, sample).size(len(opened)) / options["batch"])
        was_finished = is_file(folder / NET)
        with progress(quiet=quiet, lines=True) as report_progress:
            result = learn_photos(
                opened, net, out=folder, prepare=prepare, **options, limit=limit, sample=sample, seed=seed,
                workers=workers, resume=resume, take_over=take_over,
                progress=partial(_report_batch, report_progress, batches),
            )  # fmt: skip
    learned_from = _result(result, photos, was_finished)
    print_result(learned_from, as_json=as_json)
    facts = learned_from.facts
    end(used=facts["used"], failed=len(facts["failed"]), named=False, strict=reading.strict)


def _result(result: "Learned", photos: str, was_finished: bool) -> Result:
    failed = [failure(name, photos, reason) for name, reason in result.skipped().items()]
    used, maps = result.about["photos"]["learned from"] - len(failed), [layer.maps for layer in result.net.layers]
    words = f"{' and '.join(map(str, maps))} maps from {counted(used, 'photo')} -> {result.folder}"
    lines = [words, *([ALREADY_FINISHED] * was_finished)]
    if failed:
        lines.append(f"  {counted(len(failed), 'photo')} could not be used: see skipped.csv")
    facts = {"maps": maps, "used": used, "failed": failed, "was_finished": was_finished,
             "folder": str(result.folder)}  # fmt: skip
    return Result("\n".join(lines), facts)


def learned(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that deconvnet learn wrote.", show_default=False)
    ],
    photo: Annotated[
        str | None,
        typer.Option("--photo", help=f"A photo to reconstruct and take apart. {o.PHOTO_HELP}", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the pictures.", show_default="DIR"),
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Draw what was learned: the filters of every layer in pixels, and the reconstructions and parts of a photo."""
    from deconvnet._checks import file_path
    from deconvnet._files import check_new
    from deconvnet.cli.files import check_folder, in_file_name, save_in_folder
    from deconvnet.cli.photos import photo_input
    from deconvnet.learn.draw import draw_filters, draw_parts, draw_reconstructions
    from deconvnet.learn.learned import Learned

    target = folder if output is None else file_path("the name of the output folder", output)
    result = Learned.open(folder)
    check_folder(target)
    pictures: dict[str, Callable[[], Figure]] = {
        f"filters-{layer}.png": partial(draw_filters, result, layer) for layer in range(1, len(result.net.layers) + 1)
    }
    if photo is not None:
        name = in_file_name(photo_input(photo).parts[-1])
        pictures[f"{name}.reconstructions.png"] = partial(draw_reconstructions, result, photo)
        pictures[f"{name}.parts.png"] = partial(draw_parts, result, photo)
    check_new([] if force else [target / name for name in pictures])
    for name, picture in {name: draw() for name, draw in pictures.items()}.items():
        save_in_folder(picture, target / name, force=force)
    files = [str(target / name) for name in pictures]
    facts = {"folder": str(folder), "photo": photo, "files": files}
    print_result(Result("\n".join(f"-> {file}" for file in files), facts), as_json=as_json)


def _report_batch(report_progress: ReportProgress, batches: int, progress: "Progress") -> None:
    """Report the progress of `learn_photos` in words."""
    state = f"objective {progress.objective:.4g}, error {progress.error:.1%}, active {progress.active:.2%}"
    what = f"batches of layer {progress.layer}, epoch {progress.epoch + 1}"
    report_progress(what, progress.batch + 1, batches, state)
