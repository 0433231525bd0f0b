"""Local contrast normalisation, as the images were prepared in 2010 and 2011, with a way back."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from deconvnet._checks import instance, is_one_of, short
from deconvnet._devices import knows_float64, sent
from deconvnet._errors import ArgumentError
from deconvnet.learn.convolve import check_images

Form: TypeAlias = Literal["2011", "2010"]
_WINDOWS = {"2011": (13, 3 * 1.591), "2010": (5, 1.591)}  # pixels, and standard deviation of the Gaussian
_FLAT = 1e-5  # local deviations below this share of the largest magnitude are rounding


@dataclass(frozen=True, eq=False)
class Contrast:
    """What was taken from images: image = normalised * scale + mean.

    Attributes:
        mean: (n, c, h, w).
        scale: (n, c, h, w), above zero.
    """

    mean: Float[Tensor, "n c h w"]
    scale: Float[Tensor, "n c h w"]


class LocalContrastNorm(nn.Module):
    """Subtracts the mean around each pixel and divides by the deviation around it.

    Mean and deviation are those of the pixels in one window, weighted: the deviation is the root of the mean square
    less the squared mean. "2011" (Zeiler et al. 2011, section 3): a Gaussian window of 13 pixels, reflected borders,
    the deviation not below its median in the image. "2010": a window of 5 pixels, the deviation not below 1, which
    binds for images from 0 to 1 and leaves the means alone to be taken away; two pixels along the border become 0.
    Then the mean of what is left is taken away. Channel by channel.

    Args:
        form: which paper's.

    Example:
        >>> x = torch.rand(1, 1, 64, 64)
        >>> norm = LocalContrastNorm()
        >>> y, contrast = norm.normalise(x)
        >>> torch.allclose(norm.inverse(y, contrast), x, atol=1e-6)
        True
    """

    def __init__(self, form: Form = "2011") -> None:
        super().__init__()
        if not is_one_of(form, get_args(Form)):
            raise ArgumentError(f"form is one of {get_args(Form)}; got {short(form)}.")
        self.form = form
        length, sigma = _WINDOWS[form]
        bell = torch.exp(
            -((torch.arange(length, dtype=torch.float64, device="cpu") - length // 2) ** 2) / (2 * sigma**2)
        )
        self.window = bell / bell.sum()

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The normalised images."""
        return self.normalise(images)[0]

    def normalise(self, images: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n c h w"], Contrast]:
        """The normalised images, and what was taken from them.

        Args:
            images: of any range; larger than half a window.

        Raises:
            ArgumentError: not four axes, not floating point, empty, or too small.
            NotFiniteError: NaN or infinity.
        """
        check_images(images)
        reach = len(self.window) // 2
        if min(images.shape[2:]) <= 2 * reach:
            raise ArgumentError(
                f"images of {images.shape[2]}x{images.shape[3]} are smaller than the window of contrast normalisation, "
                f"{len(self.window)} pixels. Use larger images."
            )
        wide = images.double() if knows_float64(images.device) else images  # squares cancel
        mean = self._around(wide)
        scale = (self._around(wide**2) - mean**2).clamp(min=0).sqrt()
        scale = torch.where(scale <= _FLAT * wide.abs().amax((2, 3), keepdim=True), 0, scale)
        if self.form == "2010":
            scale = scale.clamp(min=1)
            inside = torch.zeros_like(wide, dtype=torch.bool)
            inside[..., reach:-reach, reach:-reach] = True
            mean, scale = torch.where(inside, mean, wide), torch.where(inside, scale, 1)
        else:
            scale, inside = scale.maximum(_median(scale)), torch.ones_like(wide, dtype=torch.bool)
        offset = ((wide - mean) / scale).sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True)
        mean = mean + torch.where(inside, offset * scale, 0)
        return ((wide - mean) / scale).to(images), Contrast(mean.to(images), scale.to(images))

    def inverse(self, normalised: Float[Tensor, "n c h w"], contrast: Contrast) -> Float[Tensor, "n c h w"]:
        """The images before normalisation; for reconstructions, what they would have been.

        Raises:
            ArgumentError, NotFiniteError: as `normalise`; images of another shape than those of `contrast`.
        """
        instance("contrast", contrast, Contrast)
        if check_images(normalised).shape[1:] != contrast.scale.shape[1:]:
            raise ArgumentError(
                f"images have the shape of those that were normalised, {tuple(contrast.scale.shape)}; got "
                f"{tuple(normalised.shape)}."
            )
        return normalised * contrast.scale + contrast.mean

    def _around(self, images: Tensor) -> Tensor:
        c, window = images.shape[1], sent(self.window.to(images.dtype), images.device)
        padded = F.pad(images, (len(window) // 2,) * 4, mode="reflect")
        rows = F.conv2d(padded, window[None, None, :, None].expand(c, 1, -1, 1), groups=c)
        return F.conv2d(rows, window[None, None, None, :].expand(c, 1, 1, -1), groups=c)


def _median(scale: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c 1 1"]:
    """The median of each channel; where it is zero, of what is not zero; 1 where all is zero."""
    values = scale.flatten(2)
    median = values.median(2).values
    other = torch.where(values > 0, values, math.nan).nanmedian(2).values.nan_to_num(1.0)
    return torch.where(median > 0, median, other)[..., None, None]
