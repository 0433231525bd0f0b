"""Arguments of learning, checked where they enter."""

import torch
from torch import Tensor

from deconvnet._errors import ArgumentError, NotFiniteError


def checked_images(images: object, channels: int | None = None) -> Tensor:
    """The images, if they are what layers can code.

    Args:
        images: (n, c, h, w), floating point.
        channels: that they must have.

    Raises:
        ArgumentError: something else.
        NotFiniteError: NaN or infinity.
    """
    if not isinstance(images, Tensor):
        raise ArgumentError(f"images are a tensor (n, c, h, w); got {type(images).__name__}.")
    if images.ndim != 4 or not images.numel():
        raise ArgumentError(f"images are (n, c, h, w), none of them 0; got {tuple(images.shape)}.")
    if images.dtype not in (torch.float32, torch.float64):
        raise ArgumentError(
            f"images are float32 or float64; got {str(images.dtype).removeprefix('torch.')}. "
            "Divide by 255 if they are bytes: images.float() / 255."
        )
    if channels is not None and images.shape[1] != channels:
        raise ArgumentError(f"images have {images.shape[1]} channels, and the filters {channels}.")
    if not images.isfinite().all():
        bad = int((~images.flatten(1).isfinite().all(1)).nonzero()[0])
        raise NotFiniteError(f"image {bad} holds NaN or infinity.")
    return images


def checked_number(name: str, value: object, *, least: float, above: bool = False) -> float:
    """The number, if it is at least, or above, `least`.

    Raises:
        ArgumentError: it is not, or is no number.
    """
    good = (
        isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < float("inf")
    )
    if not good or value < least or (above and value == least):  # type: ignore[operator]
        raise ArgumentError(f"{name} is a number {'above' if above else 'of at least'} {least:g}; got {value!r}.")
    return float(value)  # type: ignore[arg-type]
