"""Signed signal → pictures. Pure functions: the same tensor always gives the same pixels.

Zero is mid-grey (128, 128, 128), so that what a unit wants brighter and what it wants darker can be
distinguished; colours are those of the network's input channels.
"""

import math
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from deconvnet._checks import is_one_of, real_number, short
from deconvnet._devices import in_float64
from deconvnet._errors import ArgumentError, NotFiniteError
from deconvnet._types import Box
from deconvnet.pictures.heat import heat

Scale: TypeAlias = Literal["logistic", "linear"]

_TAIL = 0.005  # share of the values that lie beyond the limit


def render(signal: Float[Tensor, "c h w"], *, scale: Scale = "logistic", limit: float | None = None) -> Image.Image:
    """The signal as an RGB picture in which zero is exactly (128, 128, 128).

    Args:
        signal: (c, h, w), signed, in any unit: grey for one channel, colour for three; of any other number the
            magnitude is shown, in grey.
        scale: "logistic" squashes outliers: `limit` becomes 0.99 of white, `-limit` 0.01. "linear"
            makes `limit` white and `-limit` black and clips what lies beyond.
        limit: in the signal's unit, for pictures that are to be compared; by default `limit_of` the
            signal, so that the picture does not change when the signal is multiplied by a
            positive number.

    Raises:
        ArgumentError: not (c, h, w) of floats, without values, an unknown scale, a limit of 0 or less.
        NotFiniteError: the signal holds NaN or infinity.

    Example:
        >>> render(torch.tensor([[[-1.0, 0.0, 1.0]]]), scale="linear").getpixel((1, 0))
        (128, 128, 128)
    """
    _check_signal(signal)
    if signal.ndim != 3 or signal.numel() == 0:
        raise ArgumentError(
            f"a signal of shape {tuple(signal.shape)} cannot be shown: it is (channels, height, width)."
        )
    if signal.shape[0] not in (1, 3):
        signal = magnitude(signal)[None]
    _check_scale(scale)
    limit = limit_of(signal, scale=scale) if limit is None else real_number("limit", limit, least=0, above=True)
    relative = signal.detach().cpu().double() / limit
    linear = (relative.clamp(-1, 1) + 1) / 2
    brightness = torch.sigmoid(relative * math.log(99)) if scale == "logistic" else linear  # log 99 becomes 0.99
    pixels = (brightness * 255 + 0.5).floor().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.expand(-1, -1, 3).contiguous().numpy())


def limit_of(signal: Float[Tensor, "*any"], *, scale: Scale = "logistic") -> float:
    """The size of signal at which `render` comes close to white, in the signal's unit.

    "logistic": minus the 0.5 % quantile, after Mahendran and Vedaldi; "linear": the 99.5 % quantile
    of the absolute values. Values that are exactly 0 do not count, so a reconstruction looks the
    same with its empty surroundings and without. Stack several signals for one scale for all.

    Returns:
        Above 0; 1.0 for a signal that is zero everywhere.

    Raises:
        ArgumentError: not a tensor of floats, or an unknown scale.
        NotFiniteError: the signal holds NaN or infinity.

    Example:
        >>> limit_of(torch.tensor([-2.0, 0.0, 2.0]), scale="linear")
        2.0
    """
    _check_signal(signal)
    _check_scale(scale)
    values = signal.detach().cpu().double().numpy()
    values = values[values != 0]
    if values.size == 0:
        return 1.0
    size = float(np.quantile(np.abs(values), 1 - _TAIL))
    low = -float(np.quantile(values, _TAIL))
    # Mahendran and Vedaldi turn to the minimum where |quantile| < 1e-5. That number has the unit of
    # their pictures; ours have any unit, so we compare with the signal's own size. A signal that is
    # all but positive would burn out on the scale of its minimum, so it gets the symmetric one.
    return low if scale == "logistic" and low > size / 4 else size


def magnitude(signal: Float[Tensor, "*signal"], *, axes: int = 2) -> Float[Tensor, "*magnitude"]:
    """The length of the signal at each position: the root of the sum of squares over channels.

    Args:
        signal: (..., c, *spatial).
        axes: number of spatial axes, 2 for images.

    Returns:
        (..., *spatial), 0 or more, in the signal's unit and dtype.

    Raises:
        ArgumentError: not a tensor of floats, or without a channel axis.

    Example:
        >>> magnitude(torch.tensor([[[3.0]], [[4.0]]]))
        tensor([[5.]])
    """
    _check_float(signal)
    if signal.ndim < axes + 1:
        raise ArgumentError(
            f"a signal of shape {tuple(signal.shape)} lacks a channel axis before {axes} spatial "
            "axes. Pass (..., c, *spatial), and axes= for signals that are not images."
        )
    # in float64, because the squares of small float32 values vanish
    length: Tensor = in_float64(signal).square().sum(-1 - axes).sqrt()
    return length.to(signal)


def energy_box(signal: Float[Tensor, " c *spatial"], share: float = 0.99) -> Box:
    """The box in which at least `share` of the signal's energy (sum of squares) lies.

    Along each of d axes, lines are trimmed from both ends while what is trimmed at that end holds
    no more than (1 - share) / 2d of the energy. The whole extent for a signal that is zero.

    Args:
        signal: (c, *spatial).
        share: above 0, at most 1.

    Raises:
        ArgumentError: no spatial axis, an empty signal, or a share out of range.
        NotFiniteError: the signal holds NaN or infinity.

    Example:
        >>> signal = torch.zeros(3, 10, 10)
        >>> signal[:, 2:5, 7] = 1.0
        >>> energy_box(signal)
        Box(low=(2, 7), high=(5, 8))
    """
    _check_signal(signal)
    if signal.ndim < 2 or signal.numel() == 0:
        raise ArgumentError(f"a signal is (c, *spatial) and not empty, not {tuple(signal.shape)}.")
    if not 0 < share <= 1:
        raise ArgumentError(f"share={share!r}, but it has to be above 0 and at most 1.")
    values = signal.detach().cpu().double().numpy()
    energy = np.square(values / max(np.abs(values).max(), 1e-300)).sum(axis=0)
    if not energy.any():
        return Box((0,) * energy.ndim, energy.shape)
    tail = (1 - share) / (2 * energy.ndim) * float(energy.sum())
    others = [tuple(set(range(energy.ndim)) - {axis}) for axis in range(energy.ndim)]
    profiles = [energy.sum(axis=axes) for axes in others]
    low = tuple(_trimmed(profile, tail) for profile in profiles)
    high = tuple(len(profile) - _trimmed(profile[::-1], tail) for profile in profiles)
    return Box(low, high)


def _trimmed(profile: NDArray[np.float64], tail: float) -> int:
    """How many lines at the start hold no more than `tail` together."""
    return int(np.searchsorted(np.cumsum(profile), tail, side="right"))


def crop(signal: Float[Tensor, "*any"], box: Box) -> Float[Tensor, "*cropped"]:
    """The signal inside the box, as a new tensor, with 0 where the box leaves the signal.

    Args:
        signal: (..., *spatial), with as many spatial axes as the box has.
        box: in positions of the signal; may reach past the border.

    Raises:
        ArgumentError: the box is empty or has more axes than the signal.

    Example:
        >>> crop(torch.tensor([[1.0, 2.0]]), Box((0, 1), (1, 4)))
        tensor([[2., 0., 0.]])
    """
    if not 0 < len(box.low) <= signal.ndim or min(box.size) < 1:
        raise ArgumentError(f"{box} cannot be cut from a signal of shape {tuple(signal.shape)}.")
    lengths = signal.shape[-len(box.low) :]
    before = [max(-low, 0) for low in box.low]
    after = [max(high - length, 0) for high, length in zip(box.high, lengths, strict=True)]
    pads = [side for both in zip(reversed(before), reversed(after), strict=True) for side in both]
    cropped = pad(signal, pads)
    for i, (low, size, first) in enumerate(zip(box.low, box.size, before, strict=True)):
        cropped = cropped.narrow(i - len(before), low + first, size)
    return cropped.clone()


def overlay(photo: Image.Image | None, magnitude: Float[Tensor, "h w"], *, limit: float | None = None) -> Image.Image:
    """The magnitude in colours on the photo in grey, relative to its 99.5 % quantile: see `heat`.

    Args:
        photo: what the network saw, such as `Preprocess.as_seen` gives; None for plain grey.
        magnitude: (h, w) of the photo's size, 0 or more.
        limit: which magnitude has the strongest colour, for pictures that are to be compared; by default that quantile.

    Raises:
        ArgumentError: another shape than the photo's, or negative values.
        NotFiniteError: the magnitude holds NaN or infinity.
    """
    _check_signal(magnitude)
    height, width = magnitude.shape if photo is None else (photo.height, photo.width)
    if tuple(magnitude.shape) != (height, width) or bool((magnitude < 0).any()):
        raise ArgumentError(
            f"a magnitude of shape {tuple(magnitude.shape)} does not fit a photo of {height} x {width}: give one value "
            "of 0 or more per pixel, with magnitude(signal), and the photo as the network saw it, with "
            "Preprocess.as_seen."
        )
    limit = limit_of(magnitude, scale="linear") if limit is None else real_number("limit", limit, least=0, above=True)
    share = magnitude.detach().cpu().double() / limit
    return heat(photo, share.clamp(0, 1).numpy())


def _check_float(signal: Tensor) -> None:
    if not isinstance(signal, Tensor) or not signal.is_floating_point():
        kind = signal.dtype if isinstance(signal, Tensor) else type(signal).__name__
        raise ArgumentError(f"a signal is a tensor of floats, not {kind}.")
    if signal.layout != torch.strided or signal.is_meta:
        raise ArgumentError(f"a signal is a dense tensor that holds values, not {signal.layout} on {signal.device}.")


def _check_signal(signal: Tensor) -> None:
    _check_float(signal)
    if not bool(torch.isfinite(signal).all()):
        raise NotFiniteError("the signal holds NaN or infinity and cannot be drawn.")


def _check_scale(scale: str) -> None:
    if not is_one_of(scale, get_args(Scale)):
        raise ArgumentError(f"scale={short(scale)}, but it is 'logistic' or 'linear'.")
