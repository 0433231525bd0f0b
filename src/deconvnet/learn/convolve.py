"""Feature maps to images and back: sums of maps convolved with filters, and the adjoint.

What a filter f paints from a map z, and what it sees of an image e, are

    (z * f)[y] = sum_j f[j] z[y - j + before]        (f' e)[u] = sum_j f[j] e[u + j - before]

with `before` and the size of the maps as the boundary has it. The paper's "valid" convolution (Zeiler et al. 2010,
section 2; 2011, section 2.1) has maps larger than the image: every filter that touches the image may paint in it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Complex, Float, Int
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from deconvnet._checks import is_one_of, real_number, short
from deconvnet._errors import ArgumentError, NotFiniteError
from deconvnet.windows import kernels

Boundary: TypeAlias = Literal["valid", "circular", "zero"]
FEW_CHANNELS = 4  # up to so many Fourier space is the faster way: a small transform back and a small matrix for each


@dataclass(frozen=True)
class Geometry:
    """Sizes of one layer.

    Attributes:
        size: (h, w) of the image, or of the maps below.
        kernel: (k, k') of the filters.
        boundary: "valid": maps are larger than the image by a filter less one; "circular": the image goes on as at
            its opposite border, maps have its size; "zero": maps have its size, and what they paint beyond it is
            not seen.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    boundary: Boundary

    def __post_init__(self) -> None:
        if not is_one_of(self.boundary, get_args(Boundary)):
            raise ArgumentError(f"boundary is one of {get_args(Boundary)}; got {short(self.boundary)}.")
        if any(length < k for length, k in zip(self.size, self.kernel, strict=True)):
            raise ArgumentError(
                f"images of {_times(self.size)} are smaller than filters of {_times(self.kernel)}: "
                "give larger images, or smaller filters."
            )

    @cached_property
    def maps(self) -> tuple[int, int]:
        """(h, w) of the feature maps."""
        (h, w), (k, kk) = self.size, self.kernel
        return (h + k - 1, w + kk - 1) if self.boundary == "valid" else (h, w)

    @cached_property
    def before(self) -> tuple[int, int]:
        """How far a map's first pixel lies before the image's, per axis."""
        (k, kk), part = self.kernel, {"valid": 1, "circular": 0, "zero": 0.5}[self.boundary]
        return int((k - 1) * part), int((kk - 1) * part)

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Sizes of a grid on which convolution may wrap around without reaching the image."""
        if self.boundary == "circular":
            return self.size
        (h, w), (k, kk) = self.size, self.kernel
        return int(next_fast_len(h + k - 1, real=True)), int(next_fast_len(w + kk - 1, real=True))


def sparsity(lam: object, dtype: torch.dtype) -> float:
    """The weight of sparsity, checked to be a number above 0 in a type.

    Raises:
        ArgumentError: it is not.
    """
    weight = real_number("lam", lam, least=0, above=True)
    limits = torch.finfo(dtype)
    if not limits.tiny <= weight <= limits.max:
        raise ArgumentError(f"lam is from {limits.tiny:g} to {limits.max:g} in {dtype}; got {weight:g}.")
    return weight


def check_images(images: object, channels: int | None = None) -> Tensor:
    """The images, checked to be (n, c, h, w), floating-point and finite.

    Args:
        images: what was given.
        channels: how many they must have; any number by default.

    Raises:
        ArgumentError: something else.
        NotFiniteError: NaN or infinity.
    """
    checked = check_form(images, channels)
    if not dense(checked).isfinite().all():
        raise not_finite(int(first_bad(checked)))
    return checked


def check_form(images: object, channels: int | None = None) -> Tensor:
    """As `check_images`, but for whether they are finite: nobody waits for the device that they are on."""
    if not isinstance(images, Tensor):
        raise ArgumentError(f"images are a tensor (n, c, h, w); got {short(images)}.")
    if images.ndim != 4 or not images.numel():
        raise ArgumentError(f"images are (n, c, h, w), none of them 0; got {tuple(images.shape)}.")
    if images.dtype not in (torch.float32, torch.float64):
        raise ArgumentError(
            f"images are float32 or float64; got {str(images.dtype).removeprefix('torch.')}. "
            "Divide by 255 if they are bytes: images.float() / 255."
        )
    if channels is not None and images.shape[1] != channels:
        raise ArgumentError(f"images have {images.shape[1]} channels, and the filters {channels}.")
    return dense(images)


def first_bad(images: Float[Tensor, "n c h w"]) -> Int[Tensor, ""]:
    """The index of the first image that holds NaN or infinity, on the images' device; -1 if none does."""
    bad = ~images.flatten(1).isfinite().all(1)
    return torch.where(bad.any(), bad.to(torch.uint8).argmax(), -1)


def not_finite(image: int) -> NotFiniteError:
    """The error of an image that holds NaN or infinity."""
    return NotFiniteError(f"image {image} holds NaN or infinity.")


def check_finite(what: str, values: Tensor) -> None:
    """Raise NotFiniteError where values hold NaN or infinity.

    Args:
        what: they are, in words.
        values: to check.
    """
    if not dense(values).isfinite().all():
        raise NotFiniteError(f"{what} hold NaN or infinity.")


def dense(tensor: Tensor) -> Tensor:
    """The tensor, unless its values are stored sparsely or not at all.

    Raises:
        ArgumentError: they are.
    """
    if tensor.layout != torch.strided or tensor.is_meta:
        raise ArgumentError(f"tensors are dense and hold values; got {tensor.layout} on {tensor.device}.")
    return tensor


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def spectra(filters: Float[Tensor, "m c k l"], geometry: Geometry) -> Complex[Tensor, "m c p q"]:
    """The filters in Fourier space, on the geometry's grid."""
    spectrum: Tensor = torch.fft.rfft2(filters, s=geometry.grid)
    return spectrum


def synthesis(
    z: Float[Tensor, "n m h w"],
    filters: Float[Tensor, "m c k l"],
    geometry: Geometry,
    spectrum: Complex[Tensor, "m c p q"] | None = None,
) -> Float[Tensor, "n c y x"]:
    """Images that the filters paint from feature maps: sum_m z_m * f_m.

    Args:
        z: feature maps, of the geometry's size.
        filters: what one activation paints, (maps, channels, k, k').
        geometry: sizes.
        spectrum: of the filters, as `spectra` gives it; computed by default.
    """
    if filters.shape[1] > FEW_CHANNELS:
        return _painted_directly(z, filters, geometry)
    if spectrum is None:
        spectrum = spectra(filters, geometry)
    return from_grid(mixed(torch.fft.rfft2(z, s=geometry.grid), spectrum), geometry)


def from_grid(image: Complex[Tensor, "n c p q"], geometry: Geometry) -> Float[Tensor, "n c y x"]:
    """The image, cut from a grid in Fourier space."""
    (top, left), (height, width) = geometry.before, geometry.size
    whole: Tensor = torch.fft.irfft2(image, s=geometry.grid)
    return whole[..., top : top + height, left : left + width]


def mixed(maps: Complex[Tensor, "n m p q"], spectrum: Complex[Tensor, "m c p q"]) -> Complex[Tensor, "n c p q"]:
    """Maps times filters in Fourier space, summed over the maps."""
    if kernels.method_on(maps.device) == "fused":
        from deconvnet.learn import fused

        return fused.mixed(maps, spectrum)
    return torch.stack([(maps * spectrum[:, c]).sum(1) for c in range(spectrum.shape[1])], 1)


def _painted_directly(
    z: Float[Tensor, "n m h w"], filters: Float[Tensor, "m c k l"], geometry: Geometry
) -> Float[Tensor, "n c y x"]:
    (height, width), (k, kk) = geometry.size, geometry.kernel
    flipped = filters.flip(2, 3).transpose(0, 1)
    if geometry.boundary == "circular":
        return F.conv2d(F.pad(z, (kk - 1, 0, k - 1, 0), mode="circular"), flipped)
    (top, left), (h, w) = geometry.before, geometry.maps
    pads = (kk - 1 - left, width + left - w, k - 1 - top, height + top - h)
    return F.conv2d(F.pad(z, pads), flipped)


def adjoint(
    image: Float[Tensor, "n c y x"], filters: Float[Tensor, "m c k l"], geometry: Geometry
) -> Float[Tensor, "n m h w"]:
    """What the filters see of images: the adjoint of `synthesis`."""
    return F.conv2d(surrounded(image, geometry), filters)


def surrounded(image: Float[Tensor, "n c y x"], geometry: Geometry) -> Float[Tensor, "n c yy xx"]:
    """The image, padded with what the filters see around it: itself again, or zeros."""
    (top, left), (k, kk) = geometry.before, geometry.kernel
    if geometry.boundary == "circular":
        return F.pad(image, (0, kk - 1, 0, k - 1), mode="circular")
    (h, w), (height, width) = geometry.maps, geometry.size
    return F.pad(image, (left, w - width + kk - 1 - left, top, h - height + k - 1 - top))


def filter_adjoint(
    image: Float[Tensor, "n c y x"], z: Float[Tensor, "n m h w"], geometry: Geometry
) -> Float[Tensor, "m c k l"]:
    """For every filter, the adjoint of painting images with it from its map: the direction in which they fit best.

    The gradient of 1/2 ||z * f - image||^2 with respect to f is this, of the residual z * f - image.
    """
    shape = (z.shape[1], image.shape[1], *geometry.kernel)
    filters: Tensor = conv2d_weight(surrounded(image, geometry), shape, z)  # type: ignore[no-untyped-call]
    return filters
