"""Pictures and measures of snapshots for the loggers of a Lightning trainer."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from deconvnet._errors import DeconvNetWarning
from deconvnet.training.convergence import changed_photos, cosines_of_filters, cosines_of_pictures, mean
from deconvnet.training.drawing import tile
from deconvnet.training.layer_snapshot import LayerSnapshot
from deconvnet.training.snapshots import Snapshot

_GAP = 4  # pixels between two pictures


class Loggers:
    """Gives each logger what it can take; one that fails, or cannot take pictures, is spoken of once.

    Args:
        loggers: of the trainer.
        folder: where the pictures lie in any case, for messages.
    """

    def __init__(self, loggers: Iterable[Any], folder: object) -> None:
        self._loggers, self._folder = list(loggers), folder
        self._warned: set[int] = set()

    def log(self, before: Snapshot | None, now: Snapshot, step: int) -> None:
        """Log a snapshot: of each layer a picture, and how far it has settled since the one before.

        Warns:
            DeconvNetWarning: a logger cannot take pictures, or fails.
        """
        pictures = {_key(layer): strip(layer) for layer in now.layers} if self._loggers else {}
        measures = {} if before is None else _measures(before, now)
        for logger in self._loggers:
            try:
                if measures:
                    logger.log_metrics(measures, step)
                if not _take_pictures(logger, pictures, step):
                    self._warn(logger, f"takes no pictures: they lie in {str(self._folder)!r}.")
            except Exception as fault:  # whatever a logger raises: the training goes on
                self._warn(logger, f"failed: {type(fault).__name__}: {fault}")

    def _warn(self, logger: object, words: str) -> None:
        if id(logger) not in self._warned:
            self._warned.add(id(logger))
            warnings.warn(f"the logger {type(logger).__name__} {words}", DeconvNetWarning, stacklevel=4)


def strip(layer: LayerSnapshot) -> Image.Image:
    """The pictures of a layer's maps side by side; grey for those that are silent."""
    tiles = [tile(layer.picture(m)) for m in range(len(layer.channels))]
    side = tiles[0].width
    image = Image.new("RGB", (len(tiles) * (side + _GAP) - _GAP, side), "white")
    for m, picture in enumerate(tiles):
        image.paste(picture, (m * (side + _GAP), 0))
    return image


def _take_pictures(logger: Any, pictures: Mapping[str, Image.Image], step: int) -> bool:
    """Give a logger pictures by key, as W&B's or as TensorBoard's takes them; False if it does not."""
    if hasattr(logger, "log_image"):
        for key, picture in pictures.items():
            logger.log_image(key=key, images=[picture], step=step)
        return True
    experiment: Any = getattr(logger, "experiment", None)
    if not hasattr(experiment, "add_image"):
        return False
    for key, picture in pictures.items():
        experiment.add_image(key, np.asarray(picture), step, dataformats="HWC")
    return True


def _measures(before: Snapshot, now: Snapshot) -> dict[str, float]:
    """How far each layer has settled since the snapshot before, by key; what cannot be compared is left out."""
    measures: dict[str, float] = {}
    for old, new in zip(before.layers, now.layers, strict=True):
        values = {
            "changed": mean(changed_photos(old, new)),
            "pictures": mean(cosines_of_pictures(old, new)),
            "filters": mean(cosines_of_filters(old, new)),
        }
        measures |= {f"{_key(new)}/{name}": value for name, value in values.items() if value == value}
    return measures


def _key(layer: LayerSnapshot) -> str:
    return f"evolution/{layer.layer}"
