"""Learning from photos, and the folder that holds the result."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from jaxtyping import Float
from torch import Tensor

from deconvnet._arrays import read_arrays, write_arrays
from deconvnet._checks import callback, file_path, flag, instance, whole_number
from deconvnet._errors import ArgumentError, DeconvNetError, PhotoError
from deconvnet._files import damaged, is_file, read_json, write_whole
from deconvnet._folders import UNFINISHED, Held, check_resumed, has_unfinished, held, result_folder
from deconvnet._memory import check_fits
from deconvnet._workers import MOST_WORKERS
from deconvnet.learn.checkpoint import REMEDY, about_net, load_net, write_net
from deconvnet.learn.filters import Update
from deconvnet.learn.net import AdaptiveDeconvNet, Solver
from deconvnet.learn.photos import Batches, Prepare
from deconvnet.learn.train import Progress, epochs_of_layers, fit
from deconvnet.photos.digests import Digests
from deconvnet.photos.photo import PhotoLike, load_photo
from deconvnet.photos.pick import Pick
from deconvnet.photos.sets import PhotoSet

NET, SKIPPED = "learned.safetensors", "skipped.csv"
_CHECKPOINT, _ABOUT = "checkpoint.safetensors", "about.json"  # in the folder of unfinished files
_DIGESTS = "digests.safetensors"  # of the photos, there as well
_NAMES = (NET, SKIPPED)  # of all that is written
_WORKING = (_CHECKPOINT, SKIPPED, _DIGESTS, _ABOUT)  # in the order in which they are removed
_COLUMNS = ["photo", "reason"]
_NEW = "Give a new folder."


class _LearnedFrom(msgspec.Struct):
    """The photos that were learned from.

    Attributes:
        count: how many.
        fingerprint: tells their set from others.
        pick: which of the set.
    """

    count: Annotated[int, msgspec.Meta(ge=0)] = msgspec.field(name="learned from")
    fingerprint: str
    pick: Pick = msgspec.field(default_factory=Pick)


class _About(msgspec.Struct):
    """How a run was started, besides the network and the options of `fit`."""

    prepare: Prepare
    batch: Annotated[int, msgspec.Meta(ge=1)]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    photos: _LearnedFrom


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
        if not is_file(path):
            unfinished = is_file(folder / UNFINISHED / _ABOUT)
            why = (
                "learning is not finished: continue with --resume"
                if unfinished
                else f"it has no {NET}; give the folder that `deconvnet learn` made"
            )
            raise DeconvNetError(f"{str(folder)!r} holds no learned network: {why}.")
        about = about_net(path)
        try:
            prepare = msgspec.convert(about, _About).prepare
        except msgspec.ValidationError as fault:
            raise damaged(path, fault, REMEDY) from fault
        return Learned(folder, load_net(path), prepare, about)

    def skipped(self) -> dict[str, str]:
        """The photos that could not be read, by name, and why.

        Raises:
            DeconvNetError: the list is damaged.
        """
        return _read_skipped(self.folder / SKIPPED, "Remove it.")

    def images(self, photo: PhotoLike) -> Float[Tensor, "1 c side side"]:
        """A photo as the network takes it.

        Raises:
            PhotoError, ArgumentError: as `load_photo`.
        """
        return self.prepare.image(load_photo(photo, value_range=self.prepare.value_range))


def learn_photos(
    photos: PhotoSet,
    net: AdaptiveDeconvNet,
    *,
    out: str | Path,
    prepare: Prepare = Prepare(),  # noqa: B008
    epochs: int | Sequence[int] = 1,
    batch: int = 4,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    update_by: Update = "online",
    solver: Solver = "auto",
    tol: float = 1e-2,
    max_iter: int = 30,
    steps: int = 10,
    workers: int = 0,
    resume: bool = False,
    take_over: bool = False,
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
        limit: use at most this many photos, evenly spaced in the set, which often lies class by class.
        sample: use at most this many photos, drawn at random, in place of `limit`.
        seed: of the orders in which photos are gone through, and of the sample.
        update_by, solver, tol, max_iter, steps: as in `partial_fit`.
        workers: processes that decode and prepare photos; 0 does it here. The result is the same.
        resume: continue an interrupted run; what is finished is returned as it is.
        take_over: take the place of a run on another machine that has not ended properly; only where it is known to be
            gone. A killed run on this machine is recognised and replaced with a warning.
        progress: called after every update.

    Returns:
        The learned network, as `Learned.open` opens it.

    Raises:
        ArgumentError: wrong arguments; `out` holds a network, or an unfinished one without `resume`, or one that was
            started with other options, or files that are not of a learned network; or another run is at work in it.
        PhotoError: no photos, or none that can be read; or one that has changed since it was read first, when it is
            read again in a later epoch or to go on with an interrupted run.
        DeconvNetError: the disk refused, or a worker was killed.
    """
    instance("photos", photos, PhotoSet)
    instance("prepare", prepare, Prepare)
    seed, resume = whole_number("seed", seed, least=-(2**62), most=2**62), flag("resume", resume)
    callback("progress", progress)
    batch, workers = whole_number("batch", batch), whole_number("workers", workers, least=0, most=MOST_WORKERS)
    if not len(photos):
        raise PhotoError("the set of photos is empty.")
    pick = Pick(limit, sample, seed).of_set(len(photos))
    count = pick.size(len(photos))
    _check_network(net, prepare, epochs, min(batch, count))
    about = _plain(_About(prepare, batch, seed, _LearnedFrom(count, photos.fingerprint, pick)))
    folder = result_folder(out, key=_ABOUT, is_result=lambda folder: is_file(folder / NET))
    run: dict[str, Any] = {
        "update_by": update_by, "solver": solver, "tol": tol, "max_iter": max_iter, "steps": steps,
    }  # fmt: skip
    if is_file(folder / NET):
        _check_finished(folder, about, resume=resume)
        fit(net, [], epochs, **run, checkpoint=folder / NET, resume=True)  # which is done: the network is read
        _remove_working(folder, take_over=take_over)
        return Learned.open(folder)
    with held(folder, _NAMES, take_over=take_over) as held_folder:
        _start(held_folder, about, resume=resume)
        unfinished = held_folder.unfinished
        digests = _read_digests(unfinished / _DIGESTS, about)
        batches = Batches(photos, prepare, batch, pick, seed, workers, digests=digests)
        fit(
            net, batches, epochs, **run, checkpoint=unfinished / _CHECKPOINT, resume=resume, about=about,
            before_checkpoint=partial(_save_beside, held_folder, batches, about),
            progress=_recording_start(held_folder, about, progress),
        )  # fmt: skip
        _finish(held_folder, net)
    return Learned.open(folder)


def _plain(about: _About) -> dict[str, Any]:
    """The same as JSON gives it back."""
    plain: dict[str, Any] = json.loads(msgspec.json.encode(about))
    return plain


def _remove_working(folder: Path, *, take_over: bool) -> None:
    """Remove what a run that had finished was killed before removing."""
    if has_unfinished(folder):
        with held(folder, _NAMES, take_over=take_over) as held_folder:
            held_folder.remove_unfinished(_WORKING)


def _finish(held_folder: Held, net: AdaptiveDeconvNet) -> None:
    """Write the result, the network last, and remove what it was made from."""
    held_folder.claim()
    folder, unfinished = held_folder.folder, held_folder.unfinished
    skipped = _read_skipped(unfinished / SKIPPED, "Remove it and continue (--resume, resume=True).")
    if skipped:
        _write_skipped(folder / SKIPPED, skipped.items())
    write_net(net, folder / NET, about_net(unfinished / _CHECKPOINT))
    held_folder.remove_unfinished(_WORKING)


def _check_network(net: AdaptiveDeconvNet, prepare: Prepare, epochs: int | Sequence[int], batch: int) -> None:
    """Raise unless the network can learn from the prepared photos, so many at a time."""
    if prepare.channels != instance("net", net, AdaptiveDeconvNet).channels:
        raise ArgumentError(f"photos become {prepare.channels} channels, but the network takes {net.channels}.")
    geometries = net.geometries((prepare.size, prepare.size))
    for layer, geometry in zip(net.layers, geometries, strict=True):
        size = layer.maps * math.prod(geometry.maps) * layer.filters.element_size()
        check_fits(
            "batch", batch, f"photo of size {prepare.size} with {layer.maps} feature maps", size, layer.filters.device
        )
    if not any(epochs_of_layers(net, epochs)):
        raise ArgumentError(f"with epochs={epochs!r} nothing is learned. Give at least one.")


def _check_finished(folder: Path, about: dict[str, Any], *, resume: bool) -> None:
    """Raise unless a finished run is resumed that was started like this one."""
    if not resume:
        raise ArgumentError(f"{str(folder)!r} already holds a learned network. Name another folder.")
    before = about_net(folder / NET)
    check_resumed(folder, {name: before.get(name) for name in about}, about, resume=True)


def _start(held_folder: Held, about: dict[str, Any], *, resume: bool) -> None:
    """Raise unless the folder holds nothing, or a run to resume that was started like this one."""
    path = held_folder.unfinished / _ABOUT
    before = _plain(read_json(path, _About, _NEW)) if is_file(path) else None
    check_resumed(held_folder.folder, before, about, resume=resume)
    held_folder.check()


def _save_beside(held_folder: Held, batches: Batches, about: dict[str, Any]) -> None:
    """Save what a run that goes on with a checkpoint has to know of the photos, before that is written."""
    held_folder.check()
    if batches.skipped:
        skipped = sorted(batches.skipped.items())
        _write_skipped(held_folder.unfinished / SKIPPED, [(batches.photos.name(i), reason) for i, reason in skipped])
    write_arrays(held_folder.unfinished / _DIGESTS, json.dumps(about), batches.digests.arrays())


def _read_digests(path: Path, about: dict[str, Any]) -> Digests:
    """The digests of the photos that an interrupted run has read; none if it has saved none.

    Raises:
        DeconvNetError: the file is damaged.
    """
    if not is_file(path):
        return Digests()
    try:
        text, arrays = read_arrays(path)
        if text != json.dumps(about):
            raise ValueError("it belongs to another run")
        return Digests.of_arrays(arrays)
    except (OSError, ValueError, KeyError) as fault:
        raise damaged(path, fault, _NEW) from fault


def _recording_start(
    held_folder: Held, about: dict[str, Any], progress: Callable[[Progress], object] | None
) -> Callable[[Progress], None]:
    """The progress function, which first saves the options for resuming the run."""
    path = held_folder.unfinished / _ABOUT
    started = is_file(path)

    def report_progress(report: Progress) -> None:
        nonlocal started
        if not started:
            held_folder.check()
            text = json.dumps(about, indent=2)
            write_whole(path, lambda file: file.write(text.encode()))
            started = True
        if progress is not None:
            progress(report)

    return report_progress


def _write_skipped(path: Path, skipped: Iterable[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(_COLUMNS)
    rows.writerows(skipped)
    write_whole(path, lambda file: file.write(text.getvalue().encode(errors="backslashreplace")))


def _read_skipped(path: Path, remedy: str) -> dict[str, str]:
    """The photos that could not be read, by name, and why; none if there is no list."""
    if not is_file(path):
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file, strict=True)
            if head != _COLUMNS or any(len(row) != len(_COLUMNS) for row in rows):
                raise ValueError(f"its columns are not {' and '.join(_COLUMNS)}")
            return dict(rows)
    except (OSError, ValueError, csv.Error) as fault:
        raise damaged(path, fault, remedy) from fault
