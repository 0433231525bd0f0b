"""Learning from photos into a folder, and what is in it."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from deconvnet._errors import ArgumentError, DeconvNetError, PhotoError
from deconvnet._files import remove_parts, write_whole
from deconvnet.learn.checkpoint import about_net, load_net, save_net
from deconvnet.learn.filters import Update
from deconvnet.learn.net import AdaptiveDeconvNet, Solver
from deconvnet.learn.photos import Batches, Photos, Prepare
from deconvnet.learn.train import Progress, checked_epochs, fit
from deconvnet.photos.photo import PhotoLike, load_photo

NET, CHECKPOINT, SKIPPED = "learned.safetensors", "checkpoint.safetensors", "skipped.csv"


@dataclass(frozen=True, eq=False)
class Learned:
    """A learned network and how photos become its input.

    Attributes:
        folder: where it lies.
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
        """What `learn_photos` learned.

        Raises:
            DeconvNetError: there is nothing, it is unfinished, damaged, or newer than this package.
        """
        folder = Path(folder)
        path = folder / NET
        if not path.is_file():
            unfinished = (folder / CHECKPOINT).is_file() or (folder / _ABOUT).is_file()
            why = (
                "learning is not finished: go on with --resume"
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
    photos: Photos,
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
    resume: bool = False,
    progress: Callable[[Progress], object] | None = None,
) -> Learned:
    """Learn from photos, layer by layer; memory does not grow with their number.

    After an interruption of any kind `resume` goes on, and the filters are those of an uninterrupted run. Photos that
    cannot be read are listed in skipped.csv.

    Args:
        photos: from `open_photos`.
        net: the network, with its first filters; changed in place.
        out: folder of the result; made if need be.
        prepare: how photos become inputs.
        epochs: for all layers, or for each.
        batch: photos in each update.
        limit: learn from so many photos, evenly taken from the set.
        seed: of the orders in which photos are gone through.
        update_by, solver, tol, max_iter, steps: as in `partial_fit`.
        resume: go on with what an interrupted run left.
        progress: called after every update.

    Returns:
        The learned network, as `Learned.open` opens it.

    Raises:
        ArgumentError: wrong arguments; `out` holds a network, or an unfinished one without `resume`, or one of
            something else.
        PhotoError: no photos, or none that can be read.
        DeconvNetError: the disk refused.
    """
    for name, value in (("batch", batch), ("limit", limit)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ArgumentError(f"{name} is a whole number, 1 or more; got {value!r}.")
    if prepare.channels != net.channels:
        raise ArgumentError(f"photos become {prepare.channels} channels, and the network takes {net.channels}.")
    net.geometries((prepare.size, prepare.size))
    if not any(checked_epochs(net, epochs)):
        raise ArgumentError(f"with epochs={epochs!r} nothing is learned. Give at least one.")
    if not len(photos):
        raise PhotoError("there are no photos.")
    folder = _started(Path(out), resume=resume)
    batches = Batches(photos, prepare, batch, min(limit or len(photos), len(photos)), seed)
    about = {
        "prepare": asdict(prepare), "batch": batch, "seed": seed,
        "photos": {"learned from": batches.count, "fingerprint": photos.fingerprint},
    }  # fmt: skip
    finished, begun = (folder / NET).is_file(), (folder / _ABOUT).is_file()
    if finished or begun:
        _check_same(folder, about_net(folder / NET) if finished else _begun(folder), about)

    def gone_through(epoch: int) -> Iterator[Tensor]:
        yield from batches(epoch)
        if batches.skipped:  # before the checkpoint that goes on behind them
            _write_skipped(folder / SKIPPED, batches)

    def tell(one: Progress) -> None:
        nonlocal begun
        if not begun:
            text = json.dumps(about, indent=2)
            write_whole(folder / _ABOUT, lambda file: file.write(text.encode()))
            begun = True
        if progress is not None:
            progress(one)

    fit(
        net, gone_through, epochs, update_by=update_by, solver=solver, tol=tol, max_iter=max_iter, steps=steps,
        checkpoint=folder / (NET if finished else CHECKPOINT), resume=resume, progress=tell,
    )  # fmt: skip
    if not finished:
        save_net(net, folder / NET, {**about_net(folder / CHECKPOINT), **about})
    for name in (CHECKPOINT, _ABOUT):
        (folder / name).unlink(missing_ok=True)
    return Learned.open(folder)


_ABOUT = "about.json"  # of an unfinished run


def _started(folder: Path, *, resume: bool) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DeconvNetError(f"cannot make the folder {str(folder)!r}: {fault}.") from fault
    remove_parts(folder)
    if (folder / NET).is_file() and not resume:
        raise ArgumentError(f"{str(folder)!r} holds a learned network already. Name another folder.")
    if (folder / _ABOUT).is_file() and not resume:
        raise ArgumentError(
            f"{str(folder)!r} holds an unfinished run. Go on with it (--resume, resume=True), or remove the folder."
        )
    return folder


def _begun(folder: Path) -> dict[str, Any]:
    """What an interrupted run learned from."""
    path = folder / _ABOUT
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as fault:
        raise DeconvNetError(f"{str(path)!r} is damaged ({fault}): remove the folder and begin again.") from fault


def _check_same(folder: Path, before: dict[str, Any], about: dict[str, Any]) -> None:
    changed = [name for name, value in about.items() if before.get(name) != json.loads(json.dumps(value))]
    if changed:
        was = "; ".join(f"{name} {json.dumps(before.get(name))}" for name in changed)
        raise ArgumentError(f"{str(folder)!r} was begun with other {', '.join(changed)} ({was}). Give the same.")


def _write_skipped(path: Path, batches: Batches) -> None:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["photo", "reason"])
    rows.writerows([batches.photos.name(i), reason] for i, reason in sorted(batches.skipped.items()))
    write_whole(path, lambda file: file.write(text.getvalue().encode()))
