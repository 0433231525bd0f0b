"""Learning from photos, and the folder that holds the result."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import callback, file_path, flag, instance, whole_number
from deconvnet._errors import ArgumentError, DeconvNetError, PhotoError
from deconvnet._files import UNFINISHED, make_folder, remove_written, result_folder, write_whole
from deconvnet.learn.checkpoint import about_net, differences, load_net, save_net
from deconvnet.learn.filters import Update
from deconvnet.learn.net import AdaptiveDeconvNet, Solver
from deconvnet.learn.photos import Batches, Prepare
from deconvnet.learn.train import Progress, epochs_of_layers, fit
from deconvnet.photos.photo import PhotoLike, load_photo
from deconvnet.photos.sets import PhotoSet

_MOST_WORKERS = 1024
NET, SKIPPED = "learned.safetensors", "skipped.csv"
_CHECKPOINT, _ABOUT = "checkpoint.safetensors", "about.json"  # in the folder of unfinished files


@dataclass(frozen=True, eq=False)
class Learned:
    """A learned network and how photos become its input.

    Attributes:
        folder: where its files are.
        net: the network.
        prepare: photos to inputs.
        about: how it was learned: options, photos, versions.
    """

    folder: Path
    net: AdaptiveDeconvNet
    prepare: Prepare
    about: dict[str, Any]

    @staticmethod
    def open(folder: str | Path) -> "Learned":
        """What `learn_photos` left in a folder.

        Raises:
            DeconvNetError: the learned network is missing, unfinished, damaged, or newer than this package.
        """
        folder = file_path("folder", folder)
        path = folder / NET
        if not path.is_file():
            unfinished = (folder / UNFINISHED / _ABOUT).is_file()
            why = (
                "learning is not finished: continue with --resume"
                if unfinished
                else f"it has no {NET}; give the folder that `deconvnet learn` made"
            )
            raise DeconvNetError(f"{str(folder)!r} holds no learned network: {why}.")
        about = about_net(path)
        try:
            prepare = Prepare(**about["prepare"])
        except (KeyError, TypeError, ArgumentError) as fault:
            raise DeconvNetError(f"{str(path)!r} is damaged, or not from `deconvnet learn`: {fault}.") from fault
        return Learned(folder, load_net(path), prepare, about)

    def skipped(self) -> dict[str, str]:
        """The photos that could not be read, by name, and why."""
        path = self.folder / SKIPPED
        if not path.is_file():
            return {}
        with path.open(encoding="utf-8", newline="") as file:
            return dict(list(csv.reader(file))[1:])

    def images(self, photo: PhotoLike) -> Float[Tensor, "1 c side side"]:
        """A photo as the network takes it.

        Raises:
            PhotoError, ArgumentError: as `load_photo`.
        """
        return self.prepare.image(load_photo(photo))


def learn_photos(
    photos: PhotoSet,
    net: AdaptiveDeconvNet,
    *,
    out: str | Path,
    prepare: Prepare = Prepare(),  # noqa: B008
    epochs: int | Sequence[int] = 1,
    batch: int = 4,
    limit: int | None = None,
    seed: int = 0,
    update_by: Update = "online",
    solver: Solver = "auto",
    tol: float = 1e-2,
    max_iter: int = 30,
    steps: int = 10,
    workers: int = 0,
    resume: bool = False,
    progress: Callable[[Progress], object] | None = None,
) -> Learned:
    """Learn from photos, layer by layer; memory does not grow with their number.

    After an interruption of any kind `resume` goes on, and the filters are those of an uninterrupted run. Photos that
    cannot be read are listed in skipped.csv.

    Args:
        photos: from `open_photos`.
        net: the network, with its first filters; changed in place.
        out: folder of the result; made if need be. One that holds anything else is refused.
        prepare: how photos become inputs.
        epochs: for all layers, or for each.
        batch: photos in each update.
        limit: use at most this many photos, evenly spaced in the set.
        seed: of the orders in which photos are gone through.
        update_by, solver, tol, max_iter, steps: as in `partial_fit`.
        workers: processes that decode and prepare photos; 0 does it here. The result is the same.
        resume: continue an interrupted run.
        progress: called after every update.

    Returns:
        The learned network, as `Learned.open` opens it.

    Raises:
        ArgumentError: wrong arguments; `out` holds a network, or an unfinished one without `resume`, or one that was
            started with other options, or files that are not of a learned network.
        PhotoError: no photos, or none that can be read.
        DeconvNetError: the disk refused, or a worker was killed.
    """
    instance("photos", photos, PhotoSet)
    instance("prepare", prepare, Prepare)
    seed, resume = whole_number("seed", seed, least=-(2**62), most=2**62), flag("resume", resume)
    callback("progress", progress)
    batch, workers = whole_number("batch", batch), whole_number("workers", workers, least=0, most=_MOST_WORKERS)
    count = _count(photos, limit)
    _check_network(net, prepare, epochs)
    batches = Batches(photos, prepare, batch, count, seed, workers)
    about = {
        "prepare": asdict(prepare), "batch": batch, "seed": seed,
        "photos": {"learned from": count, "fingerprint": photos.fingerprint},
    }  # fmt: skip
    folder = _start(file_path("the name of the output folder", out), about, resume=resume)
    unfinished, finished = folder / UNFINISHED, (folder / NET).is_file()
    fit(
        net, _listing_skipped(batches, folder / SKIPPED), epochs,
        update_by=update_by, solver=solver, tol=tol, max_iter=max_iter, steps=steps,
        checkpoint=folder / NET if finished else unfinished / _CHECKPOINT, resume=resume,
        progress=_recording_start(folder, about, progress),
    )  # fmt: skip
    if not finished:
        save_net(net, folder / NET, {**about_net(unfinished / _CHECKPOINT), **about})
    remove_written(unfinished, (_CHECKPOINT, _ABOUT), folder_too=True)
    return Learned.open(folder)


def _count(photos: PhotoSet, limit: int | None) -> int:
    """How many photos to learn from."""
    if not len(photos):
        raise PhotoError("the set of photos is empty.")
    return len(photos) if limit is None else min(whole_number("limit", limit), len(photos))


def _check_network(net: AdaptiveDeconvNet, prepare: Prepare, epochs: int | Sequence[int]) -> None:
    """Raise unless the network can learn from the prepared photos."""
    if prepare.channels != instance("net", net, AdaptiveDeconvNet).channels:
        raise ArgumentError(f"photos become {prepare.channels} channels, but the network takes {net.channels}.")
    net.geometries((prepare.size, prepare.size))
    if not any(epochs_of_layers(net, epochs)):
        raise ArgumentError(f"with epochs={epochs!r} nothing is learned. Give at least one.")


def _start(out: str | Path, about: dict[str, Any], *, resume: bool) -> Path:
    """The folder, checked to be empty or to hold a run to resume that was started with the same options."""
    folder = result_folder(out, key=_ABOUT, is_result=lambda folder: (folder / NET).is_file())
    finished, unfinished = (folder / NET).is_file(), folder / UNFINISHED
    if finished and not resume:
        raise ArgumentError(f"{str(folder)!r} already holds a learned network. Name another folder.")
    started = (unfinished / _ABOUT).is_file()
    if started and not resume:
        raise ArgumentError(
            f"{str(folder)!r} holds an unfinished run. Continue it (--resume, resume=True), or give a new folder."
        )
    make_folder(folder)
    if finished or started:
        _check_same(folder, about_net(folder / NET) if finished else _interrupted(unfinished / _ABOUT), about)
    for inside in (folder.resolve(), unfinished):
        remove_written(inside)  # what a killed run was in the middle of writing
    return folder


def _interrupted(path: Path) -> dict[str, Any]:
    """What an interrupted run was learning from."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as fault:
        raise DeconvNetError(f"{str(path)!r} is damaged ({fault}). Give a new folder.") from fault


def _check_same(folder: Path, before: dict[str, Any], about: dict[str, Any]) -> None:
    """Raise unless a run was started like this one."""
    changed = differences(before, about)
    if changed:
        raise ArgumentError(
            f"{str(folder)!r} was started with {'; '.join(changed)}. Use the same options or a new folder."
        )


def _listing_skipped(batches: Batches, path: Path) -> Callable[[int], Iterator[Tensor]]:
    """The batches of an epoch, after which the photos that could not be read are written down."""

    def epoch_of(epoch: int) -> Iterator[Tensor]:
        yield from batches(epoch)
        if batches.skipped:  # before the checkpoint that goes on behind them
            _write_skipped(path, batches)

    return epoch_of


def _recording_start(
    folder: Path, about: dict[str, Any], progress: Callable[[Progress], object] | None
) -> Callable[[Progress], None]:
    """The progress function, which first saves the options for resuming the run."""
    unfinished = folder / UNFINISHED
    started = (folder / NET).is_file() or (unfinished / _ABOUT).is_file()

    def report_progress(report: Progress) -> None:
        nonlocal started
        if not started:
            make_folder(unfinished)
            text = json.dumps(about, indent=2)
            write_whole(unfinished / _ABOUT, lambda file: file.write(text.encode()))
            started = True
        if progress is not None:
            progress(report)

    return report_progress


def _write_skipped(path: Path, batches: Batches) -> None:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["photo", "reason"])
    rows.writerows([batches.photos.name(i), reason] for i, reason in sorted(batches.skipped.items()))
    write_whole(path, lambda file: file.write(text.getvalue().encode()))
