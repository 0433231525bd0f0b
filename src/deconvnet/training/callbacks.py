"""The same for a trainer of Lightning, which is imported with this module and nowhere else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from deconvnet._checks import did_you_mean, file_path, flag, keywords, text
from deconvnet._errors import ArgumentError
from deconvnet.training.evolution import Evolution, Watching
from deconvnet.training.loggers import Loggers
from deconvnet.training.radius import renormalise

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as fault:
    raise ArgumentError(
        f"callbacks need Lightning ({fault}): install it with pip install 'deconvnet[lightning]'."
    ) from (fault)


class RenormaliseCallback(Callback):
    """`renormalise` after every batch, once the optimiser has stepped.

    Args:
        radius: as in `renormalise`, with the names of layers in `module`.
        module: name of the network in the LightningModule, such as "model"; "" for the LightningModule itself.

    Attributes:
        scaled: by the name of each convolution, how many filters were scaled after the latest batch.

    Raises:
        ArgumentError: module is not a text; and as `renormalise`, when the first batch is done.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[RenormaliseCallback(5.7)], accelerator="cpu", logger=False, barebones=True)
    """

    def __init__(self, radius: float | Mapping[str, float] = 0.1, *, module: str = "") -> None:
        self._radius, self._module = radius, text("module", module)
        self.scaled: dict[str, int] = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Scale the filters that are above the radius, in every process alike."""
        self.scaled = renormalise(_network(pl_module, self._module), self._radius)


class EvolutionCallback(Callback):
    """`Evolution` in a Lightning training: a snapshot at the end of the epochs that are asked for, on rank zero only.

    Snapshots go to the folder; pictures go to the loggers that take them, TensorBoard's and W&B's, a key for each
    layer, and the measures of `Convergence` against the snapshot before to all loggers. Sanity checks do not count, and
    with `fast_dev_run` nothing is written. What is wrong with the arguments is said before the training begins.

    Args:
        photos: as in `Evolution`; a DataLoader of your own, without shuffling or random changes.
        folder: for the snapshots.
        module: name of the network in the LightningModule, such as "model", whose layers are meant; "" for the
            LightningModule itself.
        resume: go on with the evolution in the folder; None if the trainer goes on from a checkpoint.
        layers, maps, seed, epochs, preprocess: as in `Evolution`.

    Attributes:
        evolution: the `Evolution`, from the start of the training on and on rank zero.

    Raises:
        ArgumentError: a wrong argument; and as `Evolution`, when the training starts.

    Example:
        >>> from torch import zeros
        >>> from lightning.pytorch import Trainer
        >>> callback = EvolutionCallback(zeros(4, 3, 32, 32), folder="evolution", layers={"relu1": [0, 5]})
        >>> trainer = Trainer(callbacks=[callback], accelerator="cpu", logger=False, enable_checkpointing=False)
    """

    def __init__(
        self,
        photos: Any,
        *,
        folder: str | Path,
        module: str = "",
        resume: bool | None = None,
        **watching: Unpack[Watching],
    ) -> None:
        keywords("EvolutionCallback", watching, Watching.__annotations__)
        self._photos, self._folder, self._watching = photos, file_path("folder", folder), watching
        self._module, self._resume = text("module", module), None if resume is None else flag("resume", resume)
        self.evolution: Evolution | None = None
        self._loggers: Loggers | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the network and open the folder; what is wrong is raised in every process, so that none waits."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # a property that Lightning defines at run time
            return
        fault: Exception | None = None
        if trainer.is_global_zero:
            try:
                self._begin(trainer, pl_module)
            except Exception as error:  # any, for the other processes wait for word of it
                fault = error
        words = trainer.strategy.broadcast(None if fault is None else f"{type(fault).__name__}: {fault}")
        if fault is not None:
            raise fault
        if words is not None:
            raise ArgumentError(f"the process of rank zero cannot watch the training: {words}")

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        resume = trainer.ckpt_path is not None if self._resume is None else self._resume
        network = _network(pl_module, self._module)
        self.evolution = Evolution(network, self._photos, folder=self._folder, resume=resume, **self._watching)
        self._loggers = Loggers(trainer.loggers, self._folder)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the snapshot of epoch 0, before the training, if it is asked for."""
        asked = self.evolution is not None and 0 in (self.evolution.epochs or ())
        if asked and trainer.current_epoch == 0:
            self._after(0, trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the snapshot of the epoch, if it is asked for."""
        self._after(trainer.current_epoch + 1, trainer.global_step)

    def _after(self, epoch: int, step: int) -> None:
        if self.evolution is None or self._loggers is None:
            return
        snapshot = self.evolution.after(epoch, step=step)
        if snapshot is not None:
            self._loggers.log(self.evolution.latest(before=epoch), snapshot, step)


def _network(pl_module: LightningModule, name: str) -> nn.Module:
    try:
        return pl_module.get_submodule(name)
    except AttributeError:
        names = [each for each, _ in pl_module.named_modules() if each]
        raise ArgumentError(
            f"module={name!r} is not a module of the {type(pl_module).__name__}.{did_you_mean(name, names)}"
        ) from None
