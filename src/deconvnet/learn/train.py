"""Training: layer by layer, batch by batch; memory does not grow with the number of images."""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import (
    as_index,
    as_list,
    callback,
    file_path,
    flag,
    instance,
    is_one_of,
    short,
)  # fmt: skip
from deconvnet._errors import ArgumentError, DeconvNetWarning
from deconvnet._folders import Saves
from deconvnet.learn.at_hand import at_hand
from deconvnet.learn.checkpoint import Position, load_checkpoint, save_checkpoint
from deconvnet.learn.convolve import check_form, check_images
from deconvnet.learn.filters import Update
from deconvnet.learn.improve import Improved, Measures, improve, read, reseeded
from deconvnet.learn.net import AdaptiveDeconvNet, Solver, checked_inference, checked_layer

Loader: TypeAlias = Iterable[Any] | Callable[[int], Iterable[Any]]
_SAVE_SECONDS, _MOST_EPOCHS = 5, 10**6
_READ_EVERY = 16  # updates on an accelerator


@dataclass(frozen=True)
class Progress:
    """One update of a layer's filters.

    Attributes:
        layer: which, from 1.
        epoch: which, from 0.
        batch: which, from 0.
        images: how many are in the batch.
        objective: mean over the images, before the update.
        error: share of the images' energy that is not painted.
        active: share of the activations that are not zero.
        reseeded: how many dead filters were given a new start.
    """

    layer: int
    epoch: int
    batch: int
    images: int
    objective: float
    error: float
    active: float
    reseeded: int


def partial_fit(
    net: AdaptiveDeconvNet,
    images: Float[Tensor, "n c h w"],
    layer: int | None = None,
    *,
    update_by: Update = "online",
    solver: Solver = "auto",
    tol: float = 1e-2,
    max_iter: int = 30,
    steps: int = 10,
) -> Progress:
    """Improve a layer's filters on one batch: infer its maps, then update the filters. Nothing of the batch is kept.

    Args:
        net: the network; changed in place.
        images: best with local contrast normalised; on the network's device. On an accelerator nothing is copied to
            the CPU before the update is done, and then a few numbers.
        layer: which to improve; the last by default. The layers below stay as they are.
        update_by: "online", or "conjugate" as in the paper; see `deconvnet.learn.filters.update`.
        solver, tol, max_iter, steps: of inference, as in `AdaptiveDeconvNet.infer`. Rough maps will do.

    Raises:
        ArgumentError, NotFiniteError: as `infer`.
    """
    layer = checked_layer(instance("net", net, AdaptiveDeconvNet), layer)
    improved = improve(net, images, layer, _checked_options(update_by, solver, tol, max_iter, steps))
    (measures,) = read([improved.measures])
    measures.check()
    return _progress(layer, 0, 0, len(images), measures, reseeded(improved, measures))


def _progress(layer: int, epoch: int, batch: int, images: int, measures: Measures, reseeded: int = 0) -> Progress:
    return Progress(layer, epoch, batch, images, measures.objective, measures.error, measures.active, reseeded)


def _checked_options(update_by: object, *inference: object) -> dict[str, Any]:
    """The options of `partial_fit` by name, checked.

    Raises:
        ArgumentError: wrong types or values.
    """
    if not is_one_of(update_by, get_args(Update)):
        raise ArgumentError(f"update_by is one of {get_args(Update)}; got {short(update_by)}.")
    return {"update_by": update_by, **checked_inference(*inference)}


def fit(
    net: AdaptiveDeconvNet,
    loader: Loader,
    epochs: int | Sequence[int] = 1,
    *,
    update_by: Update = "online",
    solver: Solver = "auto",
    tol: float = 1e-2,
    max_iter: int = 30,
    steps: int = 10,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    about: Mapping[str, Any] | None = None,
    before_checkpoint: Callable[[], object] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> AdaptiveDeconvNet:
    """Learn all layers, one after the other from the lowest.

    Args:
        net: the network; changed in place.
        loader: batches (n, c, h, w), or tuples that begin with one, as a `DataLoader` gives; it is gone through once
            for every epoch of every layer. Or a function of the epoch, counted over all layers, that returns such
            batches: with it, and a checkpoint, an interrupted run goes on as if it had not been interrupted. Batches
            are moved to the network's device.
        epochs: for all layers, or for each.
        update_by, solver, tol, max_iter, steps: as in `partial_fit`.
        checkpoint: a safetensors file, written every few seconds and after every epoch, completely or not at all.
        resume: continue from the checkpoint, if there is one; batches that the epoch has learned from are passed over.
        about: what else a checkpoint says of the run, as JSON; it has to say the same when the run is resumed.
        before_checkpoint: called before each checkpoint is written, to save what a resumed run needs beside it.
        progress: called for every update: after it on a CPU, and elsewhere after every 16th for the last 16, because
            nothing is copied to the CPU in between. Dead filters are given a new start then, and a batch on the device
            that is not finite is told of; the network is as it was before that batch.

    Returns:
        The network.

    Raises:
        ArgumentError: a loader that gives nothing, or no images; a checkpoint of another network, or one that is
            there without `resume`.
        NotFiniteError: NaN or infinity in a batch.
        DeconvNetError: the checkpoint is damaged, or the disk refused.

    Example:
        >>> import torch
        >>> net = AdaptiveDeconvNet.of([4], kernel=5, pool=None)
        >>> images = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> errors = []
        >>> _ = fit(net, images.split(1), epochs=5, progress=lambda report: errors.append(report.error))
        >>> errors[-1] < errors[0]
        True
    """
    counts = epochs_of_layers(instance("net", net, AdaptiveDeconvNet), epochs)
    callback("progress", progress)
    callback("before_checkpoint", before_checkpoint)
    options, resume = _checked_options(update_by, solver, tol, max_iter, steps), flag("resume", resume)
    if solver == "dr" and net.target == "input" and any(counts[1:]):
        raise ArgumentError("solver 'dr' is for a circular convolution; upper layers have switches below them.")
    path = None if checkpoint is None else file_path("checkpoint", checkpoint)
    if not (about is None or isinstance(about, Mapping)):
        raise ArgumentError(f"about is a dictionary; got {short(about)}.")
    writer = _Checkpoints(net, path, {**options, "epochs": counts}, about or {}, before_checkpoint)
    start = writer.start(resume=resume)
    turns = [layer for layer, count in enumerate(counts, 1) for _ in range(count)]
    for turn in range(start.turn, len(turns)):
        passed = start.batches if turn == start.turn else 0
        pixels, alive = 0, False
        with closing(_batches(loader, turn)) as batches:
            for reports in _epoch(net, batches, turns, turn, passed, options):
                for report, count in reports:
                    pixels, alive = pixels + count, alive or report.active > 0
                    if progress is not None:
                        progress(report)
                writer.write_now_and_then(Position(turn, reports[-1][0].batch + 1))
        if pixels:
            _warn(net, turns[turn], pixels if turn == 0 and not passed else None, alive=alive)
        writer.write(Position(turn + 1, 0))
    return net


def _epoch(
    net: AdaptiveDeconvNet,
    batches: Iterator[Tensor],
    turns: Sequence[int],
    turn: int,
    passed: int,
    options: dict[str, Any],
) -> Iterator[list[tuple[Progress, int]]]:
    """One epoch of one layer; the first `passed` batches are skipped.

    Yields:
        What was read of updates, and how many pixels the images of each have: after every update on a CPU; elsewhere
        after several, so that the CPU does not wait for each. Which these are, and thereby when dead filters are
        looked for, depends only on how often the filters were updated.
    """
    layer, epoch = turns[turn], turns[:turn].count(turns[turn])
    own, index = net.layers[layer - 1], -1
    device = own.filters.device
    every, updates = 1 if at_hand(own.filters) else _READ_EVERY, int(own.updates)
    sound: Tensor | None = None
    waiting: list[_Update] = []
    for index, images in enumerate(batches):
        if index < passed:
            continue
        net.geometries((images.shape[2], images.shape[3]), turns[-1])  # the last layer's fault is raised now
        improved = improve(net, images.to(device, non_blocking=True), layer, options, sound)
        sound, updates = improved.sound, updates + 1
        waiting.append(_Update(index, len(images), images.numel(), improved.measures))
        if updates % every == 0:
            yield from _reports(waiting, layer, epoch, improved)
            waiting = []
        del improved  # with its maps, before the next ones are inferred
    if waiting:
        yield from _reports(waiting, layer, epoch)
    if index < 0:
        raise ArgumentError(
            f"the loader gives no batch in epoch {turn}. Give one that can be iterated again, such as a list or a "
            "DataLoader, not a generator."
        )


class _Update(NamedTuple):
    """An update of which nothing has been read.

    Attributes:
        batch: index of the batch.
        images: how many are in it.
        pixels: how many these have.
        measures: what is to be read.
    """

    batch: int
    images: int
    pixels: int
    measures: Tensor


def _reports(
    updates: Sequence[_Update], layer: int, epoch: int, improved: Improved | None = None
) -> Iterator[list[tuple[Progress, int]]]:
    """What is read of updates, up to the first that was not made, which is then told.

    Args:
        updates: made one after the other.
        layer, epoch: where.
        improved: the last of them, if dead filters are to be looked for.
    """
    reports: list[tuple[Progress, int]] = []
    try:
        for update, measures in zip(updates, read([update.measures for update in updates]), strict=True):
            measures.check()
            last = improved is not None and update is updates[-1]
            fresh = reseeded(improved, measures) if improved is not None and last else 0
            reports.append((_progress(layer, epoch, update.batch, update.images, measures, fresh), update.pixels))
    finally:
        if reports:
            yield reports


class _Checkpoints:
    """Writes checkpoints of a network in training, if a path is given."""

    def __init__(
        self,
        net: AdaptiveDeconvNet,
        path: Path | None,
        options: dict[str, Any],
        about: Mapping[str, Any],
        before: Callable[[], object] | None,
    ) -> None:
        self._net, self._path, self._options, self._about, self._before = net, path, options, about, before
        self._saves = Saves(_SAVE_SECONDS)

    def start(self, *, resume: bool) -> Position:
        """Where training starts: at the checkpoint, or else at the first batch."""
        if self._path is None or not self._path.exists():
            return Position(0, 0)
        if not resume:
            raise ArgumentError(
                f"{str(self._path)!r} is there already. Continue from it with resume=True, or name another file."
            )
        return load_checkpoint(self._path, self._net, self._options, self._about)

    def write_now_and_then(self, position: Position) -> None:
        if self._saves.due:
            self._saves.save(lambda: self.write(position))

    def write(self, position: Position) -> None:
        if self._path is None:
            return
        if self._before is not None:
            self._before()
        save_checkpoint(self._path, self._net, self._options, position, self._about)


def epochs_of_layers(net: AdaptiveDeconvNet, epochs: object) -> list[int]:
    """How often each layer goes through the images.

    Raises:
        ArgumentError: neither a whole number nor one for each layer, or too many.
    """
    listed = as_list(epochs)
    counts = [as_index(count) for count in ([epochs] * len(net.layers) if listed is None else listed)]
    if len(counts) != len(net.layers) or any(count is None or count < 0 for count in counts):
        raise ArgumentError(
            f"epochs is a whole number, or one for each of {len(net.layers)} layers; got {short(epochs)}."
        )
    result = [count for count in counts if count is not None]
    if sum(result) > _MOST_EPOCHS:
        raise ArgumentError(f"epochs is at most {_MOST_EPOCHS} for all layers together; got {short(epochs)}.")
    return result


def _batches(loader: Loader, turn: int) -> Generator[Tensor, None, None]:
    source = loader(turn) if callable(loader) else loader
    iterable = isinstance(source, Iterable) or hasattr(source, "__getitem__")
    if not iterable or getattr(source, "ndim", 1) == 0:
        raise ArgumentError(f"a loader gives batches, one after the other; {short(loader)} gives none.")
    for batch in source:
        images = batch[0] if isinstance(batch, tuple | list) and batch else batch
        if not isinstance(images, Tensor):
            raise ArgumentError(f"the loader gives {type(images).__name__}, not tensors (n, c, h, w).")
        yield check_images(images) if at_hand(images) else check_form(images)


def _warn(net: AdaptiveDeconvNet, layer: int, pixels: int | None, *, alive: bool) -> None:
    """Warn about an epoch that cannot have been useful."""
    weights = max(layer.filters.numel() for layer in net.layers)
    if not alive:
        words = (
            f"no map of layer {layer} was active: lam={net.layers[layer - 1].lam:g} is too large for these images. "
            "Use a smaller one."
        )
    elif pixels is not None and pixels < weights:
        words = (
            f"the filters of a layer have {weights} weights, but all images together only {pixels} pixels: the filters "
            "will overfit these images. Use more images, or fewer maps."
        )
    else:
        return
    warnings.warn(words, DeconvNetWarning, stacklevel=3)
