"""Images that an experiment runs over, a batch at a time, and again by index: a tensor, or photos and their reader."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deconvnet._checks import instance, short, whole_number
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.models.load import LoadedModel
from deconvnet.photos.batches import batches
from deconvnet.photos.pick import Pick
from deconvnet.photos.sets import PhotoSet, open_photos


class Inputs:
    """A network's inputs.

    Args:
        images: (n, c, *spatial) as the model takes them, or photos as `open_photos` takes them.
        loaded: what reads photos.
        batch: images that are run at once, at most.
        limit: use at most this many images, evenly spaced.

    Attributes:
        skipped: name of each photo that could not be read, and why.

    Raises:
        ArgumentError: photos without `loaded`; no images.
        PhotoError: as `open_photos`.
    """

    def __init__(self, images: Any, loaded: LoadedModel | None, batch: int, limit: int | None = None) -> None:
        self.skipped: dict[str, str] = {}
        self._batch, self._loaded = whole_number("batch", batch), None
        self._photos: PhotoSet | None = None
        pick = Pick(limit)
        if isinstance(images, Tensor):
            if not images.ndim or not len(images):
                raise ArgumentError(f"photos are one image or more; got a tensor of shape {tuple(images.shape)}.")
            if images.layout != torch.strided or images.is_meta:
                raise ArgumentError("photos are a dense tensor that holds values; the one given is not.")
            self._images, self._order = images, pick.indices(len(images))
            return
        if loaded is None:
            raise ArgumentError(
                f"photos={short(images)} is not a tensor of inputs, so loaded= is needed, which reads photos: the "
                "LoadedModel that load_model gives."
            )
        self._loaded = instance("loaded", loaded, LoadedModel)
        self._photos = open_photos(images)
        self._order = pick.indices(len(self._photos))

    def __len__(self) -> int:
        return len(self._order)

    def batches(self, indices: Sequence[int] | None = None) -> Iterator[tuple[list[int], Tensor]]:
        """Batches of inputs, each with the indices of its images; those that cannot be read are left out.

        Args:
            indices: of the images; all that are used by default.
        """
        order = self._order.tolist() if indices is None else list(indices)
        if self._photos is None or self._loaded is None:
            for first in range(0, len(order), self._batch):
                part = order[first : first + self._batch]
                yield part, self._images[part]
            return
        like, size = self._loaded.example_input, min(self._batch, len(order))
        for part in batches(self._photos, np.asarray(order), self._loaded.preprocess, size, device=like.device):
            self.skipped.update((self._photos.name(i), words) for i, words in part.skipped)
            if len(part.indices):
                yield part.indices.tolist(), part.images[torch.from_numpy(part.slots)].to(like)

    def of(self, indices: Sequence[int]) -> Tensor:
        """The inputs of these images, which were read before.

        Raises:
            PhotoError: one cannot be read any more.
        """
        parts = list(self.batches(indices))
        if sum(len(part) for part, _ in parts) < len(indices):
            name, why = next(iter(self.skipped.items()))
            raise PhotoError(f"{name!r} could be read, and cannot any more: {why}")
        return torch.cat([images for _, images in parts])
