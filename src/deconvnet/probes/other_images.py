"""Other images that a unit is looked at with, beside its own."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import instance, short
from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos.photo import SAMPLES
from deconvnet.photos.preprocess import Preprocess

PHASES = "the same pixels with shuffled phase"


@dataclass(frozen=True)
class Others:
    """Other images that a unit is looked at with.

    Attributes:
        images: as the model takes them.
        words: what they are, such as "other photos of the call".
        shuffled: whether they are only the unit's own image with shuffled phase.
    """

    images: Float[Tensor, "n c *size"]
    words: str
    shuffled: bool = False

    def __len__(self) -> int:
        return len(self.images)

    @property
    def photos(self) -> Float[Tensor, "photos c *size"]:
        """The images; none where they are shuffled."""
        return self.images[:0] if self.shuffled else self.images


def other_images(
    x: Float[Tensor, "n c *size"],
    image: int,
    count: int,
    generator: torch.Generator,
    *,
    given: Float[Tensor, "others c *size"] | None = None,
    preprocess: Preprocess | None = None,
) -> Others:
    """Images other than one of a call.

    They are the images that are given, else the others of the call, else scikit-image's photos, else the image itself
    with shuffled phase.

    Args:
        x: the images of the call.
        image: index of the one.
        count: how many at most.
        generator: random numbers that choose.
        given: others, as the model takes them.
        preprocess: what makes inputs of photos; scikit-image's are used only with it.

    Raises:
        ArgumentError: those given, or those that `preprocess` makes, are not of the size of the call's.
    """
    own = x[image]
    if given is not None:
        check_images("others", given, x)
        return _others(given, own, count, generator, "other images given") or _shuffled(own, count, generator)
    others = _others(x, own, count, generator, "other photos of the call")
    if others is None and preprocess is not None:
        others = _samples(own, count, generator, preprocess)
    return others or _shuffled(own, count, generator)


def shuffled_phase(
    image: Float[Tensor, "c *size"], count: int, generator: torch.Generator
) -> Float[Tensor, "count c *size"]:
    """An image with the amplitudes of its spectrum, and phases of white noise: the same for all of its channels.

    Args:
        image: to be shuffled.
        count: how many there will be.
        generator: random numbers.
    """
    axes = tuple(range(1, image.ndim))
    noise = torch.randn(count, 1, *image.shape[1:], generator=generator, dtype=torch.float64, device="cpu")
    turned = torch.fft.fftn(noise, dim=tuple(axis + 1 for axis in axes))
    turned = torch.where(turned == 0, 1, turned / turned.abs())
    turned.flatten(1)[:, 0] = 1  # the mean stays
    spectrum = torch.fft.fftn(image.detach().cpu().double(), dim=axes)
    shuffled: Tensor = torch.fft.ifftn(spectrum * turned, dim=tuple(axis + 1 for axis in axes)).real
    return shuffled.to(image)


def _others(images: Tensor, own: Tensor, count: int, generator: torch.Generator, words: str) -> Others | None:
    """At most so many of the images that differ from the unit's own; None if none does."""
    differ = [i for i in range(len(images)) if not torch.equal(images[i].to(own), own)]
    if not differ:
        return None
    chosen = [differ[i] for i in torch.randperm(len(differ), generator=generator, device="cpu")[:count].tolist()]
    return Others(images[chosen].to(own), words)


def _shuffled(own: Tensor, count: int, generator: torch.Generator) -> Others:
    return Others(shuffled_phase(own, count, generator), PHASES, shuffled=True)


def _samples(own: Tensor, count: int, generator: torch.Generator, preprocess: Preprocess) -> Others | None:
    """Some of scikit-image's photos; None where the network does not take such.

    Raises:
        ArgumentError: they are not of the size of the call's images.
    """
    shape = instance("preprocess", preprocess, Preprocess).shape
    if shape != tuple(own.shape):
        raise ArgumentError(f"preprocess makes inputs of {shape}, and the images are {tuple(own.shape)}.")
    images: list[Tensor] = []
    for i in torch.randperm(len(SAMPLES), generator=generator, device="cpu").tolist():
        if len(images) == count:
            break
        try:
            image = preprocess.images(f"sample:{SAMPLES[i]}")[0].to(own)
        except PhotoError:  # the network takes volumes, or another number of channels
            return None
        images += [] if torch.equal(image, own) else [image]
    return Others(torch.stack(images), "scikit-image's photos")


def check_images(name: str, given: object, x: Tensor) -> Tensor:
    """Images that were given as an argument.

    Args:
        name: the argument's.
        given: to be checked.
        x: images that they have to be like.

    Raises:
        ArgumentError: they are of another kind or size.
    """
    if not isinstance(given, Tensor) or given.layout != torch.strided or given.is_meta or given.is_complex():
        raise ArgumentError(f"{name} are a dense tensor of images, as the model takes them; got {short(given)}.")
    if given.shape[1:] != x.shape[1:] or not len(given):
        raise ArgumentError(
            f"{name} are one image or more of shape {tuple(x.shape[1:])}; got a tensor of shape {tuple(given.shape)}."
        )
    if not bool(torch.isfinite(given).all()):
        raise ArgumentError(f"{name} hold NaN or infinity.")
    return given
