"""The photos that a network is watched on: a tensor, photos of any kind, or batches such as a DataLoader gives."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._arrays import tensor_content
from deconvnet._checks import instance, short
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._files import digest
from deconvnet.photos.batches import batches
from deconvnet.photos.preprocess import Preprocess
from deconvnet.photos.sets import open_photos

_AT_ONCE = 32  # images of a batch, where the user does not give batches himself


@dataclass(frozen=True, eq=False)
class Images:
    """A batch of images as the model takes them.

    Attributes:
        x: the images.
        name: what identifies the photo of a row, whatever batch it comes in.
        skipped: name of each photo that could not be read, and why.
    """

    x: Float[Tensor, "n c *spatial"]
    name: Callable[[int], str]
    skipped: tuple[tuple[str, str], ...] = ()


Source: TypeAlias = Callable[[], Iterator[Images]]
"""Gives all batches, anew at each call."""


def source_of(photos: Any, preprocess: Preprocess | None) -> tuple[Source, str]:
    """What gives the images, and what identifies all of them, "" where that is not known.

    Args:
        photos: (n, c, *spatial) as the model takes them; with `preprocess`, photos as `open_photos` takes them; else
            batches of images that can be looped over again and again.
        preprocess: what makes the images.

    Raises:
        ArgumentError: neither.
        PhotoError: no photos.
    """
    if preprocess is not None:
        opened = open_photos(photos)
        prepare = instance("preprocess", preprocess, Preprocess)

        def read() -> Iterator[Images]:
            for part in batches(opened, np.arange(len(opened)), prepare, min(_AT_ONCE, len(opened))):
                names = [opened.name(i) for i in part.indices.tolist()]
                skipped = tuple((opened.name(i), why) for i, why in part.skipped)
                yield Images(part.images[torch.from_numpy(part.slots)], names.__getitem__, skipped)

        return read, opened.fingerprint
    if isinstance(photos, Tensor):
        x = _checked(photos, "photos")
        return lambda: _of_tensor(x), digest([str(tuple(x.shape)), tensor_content(x.detach().cpu().contiguous())])
    if isinstance(photos, str) or not isinstance(photos, Iterable) or isinstance(photos, Mapping):
        raise ArgumentError(
            "photos are a tensor of images, batches of them such as a DataLoader gives, or, with preprocess=, a folder "
            f"or anything else that open_photos takes; got {short(photos)}."
        )
    if isinstance(photos, Iterator):
        raise ArgumentError("photos can be looped over only once. Give what makes the batches anew, such as a list.")
    return lambda: _of_batches(photos), ""


def _of_tensor(x: Tensor) -> Iterator[Images]:
    for first in range(0, len(x), _AT_ONCE):
        yield Images(x[first : first + _AT_ONCE], lambda row, first=first: str(first + row))  # type: ignore[misc]


def _of_batches(loader: Iterable[Any]) -> Iterator[Images]:
    with _own_random_state(loader):
        for batch in loader:
            images = batch[0] if isinstance(batch, tuple | list) and len(batch) else batch
            x = _checked(images, "a batch of photos")
            yield Images(x, lambda row, x=x: _content_of(x[row]))  # type: ignore[misc]


def _content_of(image: Tensor) -> str:
    """What identifies an image wherever it stands: batches may come in another order each time."""
    return digest([tensor_content(image.detach().cpu().contiguous())])[:16]


def _checked(images: object, what: str) -> Tensor:
    if (
        not isinstance(images, Tensor)
        or not 3 <= images.ndim <= 5
        or not images.is_floating_point()
        or images.layout != torch.strided
        or images.is_meta
    ):
        raise ArgumentError(
            f"{what}: a tensor of images is (n, c, *spatial), of floats, as the model takes it, alone or first in a "
            f"tuple; got {short(images)}."
        )
    if not images.numel():
        raise PhotoError(f"{what}: the tensor of shape {tuple(images.shape)} holds no image.")
    return images


@contextmanager
def _own_random_state(loader: Any) -> Iterator[None]:
    """Loop over batches; whatever they draw at random, the training draws afterwards what it would have drawn."""
    parts = (loader, *(getattr(loader, name, None) for name in ("sampler", "batch_sampler", "dataset")))
    generators = {id(g): g for part in parts if isinstance(g := getattr(part, "generator", None), torch.Generator)}
    states = [(generator, generator.get_state()) for generator in generators.values()]
    python, numpy = random.getstate(), np.random.get_state()
    initialised: Any = torch.cuda.is_initialized  # asked first, for asking for a state would begin with CUDA
    devices = [*range(torch.cuda.device_count())] if initialised() else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.callback(np.random.set_state, numpy)
        stack.callback(random.setstate, python)
        for generator, state in states:
            stack.callback(generator.set_state, state)
        yield
