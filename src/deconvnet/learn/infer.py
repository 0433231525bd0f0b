"""Inference in one layer: sparse feature maps that paint an image through its filters."""

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deconvnet._checks import flag, is_one_of, real_number, short, whole_number
from deconvnet._errors import ArgumentError, NotFiniteError
from deconvnet._memory import free_bytes
from deconvnet._precision import AS_THE_WEIGHTS
from deconvnet.learn.at_hand import at_hand
from deconvnet.learn.convolve import (
    FEW_CHANNELS,
    Boundary,
    Geometry,
    adjoint,
    check_finite,
    check_images,
    dense,
    sparsity,
    spectra,
    synthesis,
)
from deconvnet.learn.douglas_rachford import douglas_rachford
from deconvnet.learn.proximal import Linear, fista
from deconvnet.learn.solution import Solution, join

Solver: TypeAlias = Literal["auto", "dr", "fista"]
_VALUES_AT_ONCE = 2**17  # of feature maps that are solved on a CPU, so that they stay in its cache
_ARRAYS = 12  # of the size of the feature maps that a solver holds at a time


@AS_THE_WEIGHTS.held()
def sparse_code(
    images: Float[Tensor, "n c h w"],
    filters: Float[Tensor, "m c k l"],
    lam: float,
    boundary: Boundary = "circular",
    solver: Solver = "auto",
    tol: float = 1e-3,
    max_iter: int = 500,
    *,
    nonneg: bool = False,
    start: Float[Tensor, "n m y x"] | None = None,
    weights: Float[Tensor, "*weights"] | None = None,
    mask: Bool[Tensor, "*mask"] | None = None,
) -> Solution:
    """Convolutional sparse coding: feature maps z that minimise 1/2 ||sum_m z_m * f_m - image||^2 + lam ||z||_1.

    With weights and a mask, 1/2 ||mask (sum_m z_m * f_m - image)||^2 + lam ||weights z||_1.

    The cost of Zeiler et al. 2010 (equation 2) with full connectivity and p = 1; their lambda is 1 / lam. Every image
    is solved alone: a batch gives what its images would give, but for rounding.

    Args:
        images: best with local contrast normalised; see `LocalContrastNorm`.
        filters: what one activation paints, best of unit norm.
        lam: weight of sparsity. At `(filters seen of images).abs().max()` and above all codes are zero.
        boundary: "circular", "valid" (maps larger than the image) or "zero"; see `deconvnet.learn.convolve.Geometry`.
        solver: "dr", alternating directions, for a circular boundary; "fista" for any; "auto" picks.
        tol: where to stop: for "dr", both residuals below it, relative to codes and dual; for "fista", the step of
            one iteration relative to the codes. 0 runs `max_iter` iterations.
        max_iter: at most this many iterations.
        nonneg: feature maps may not be negative.
        start: maps to start from, such as those of the same images under older filters.
        weights: of each coefficient, 0 or more, of the images' type; any shape that broadcasts to the codes', such as
            (m, 1, 1) for one weight for each map. 1 by default. Where it is 0 an activation costs nothing.
        mask: which pixels count, True where they do; any shape that broadcasts to the images', such as (h, w). The
            other pixels have no influence on the codes. Only "fista", which "auto" then picks.

    Returns:
        Codes (n, m, h, w), or (n, m, h + k - 1, w + l - 1) for "valid", and how they were found.

    Raises:
        ArgumentError: wrong shapes, types or numbers; images smaller than a filter.
        NotFiniteError: NaN or infinity in images, filters or start.

    Example:
        >>> from deconvnet.learn import sparse_code
        >>> solution = sparse_code(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 1, 1), lam=0.25)
        >>> solution.codes[0, 0, 0, 0], solution.converged[0]
        (tensor(0.7500), tensor(True))
    """
    check_images(images)
    _check_filters(filters, images)
    lam, tol = sparsity(lam, images.dtype), real_number("tol", tol, least=0)
    max_iter, nonneg = whole_number("max_iter", max_iter), flag("nonneg", nonneg)
    geometry = Geometry(_two(images), _two(filters), boundary)
    shape = (len(images), len(filters), *geometry.maps)
    if start is not None:
        _check_start(start, images, shape)
    name = solver_of(solver, boundary, filters.shape[1], masked=mask is not None)
    weights = None if weights is None else _checked_weights(weights, images, shape)
    mask = None if mask is None else _checked_mask(mask, images)
    problem = Problem(filters, lam, boundary, name, nonneg=nonneg, tol=tol, max_iter=max_iter)
    return coded(images, problem, start=start, weights=weights, mask=mask)


@dataclass(frozen=True, eq=False)
class Problem:
    """How images are coded, in values that have been checked.

    Attributes:
        filters, lam, boundary, nonneg, tol, max_iter: as in `sparse_code`.
        solver: "dr" or "fista".
        watched: as for `Record`.
    """

    filters: Float[Tensor, "m c k l"]
    lam: float
    boundary: Boundary
    solver: str
    nonneg: bool
    tol: float
    max_iter: int
    watched: bool = True


@torch.no_grad()
def coded(
    images: Float[Tensor, "n c h w"],
    problem: Problem,
    *,
    start: Float[Tensor, "n m y x"] | None = None,
    weights: Float[Tensor, "#n #m #y #x"] | None = None,
    mask: Float[Tensor, "#n #c #h #w"] | None = None,
) -> Solution:
    """As `sparse_code`, which checks what is given; nothing is checked here, because that would wait for the device."""
    filters, lam = problem.filters, problem.lam
    geometry = Geometry(_two(images), _two(filters), problem.boundary)
    shape = (len(filters), *geometry.maps)
    at_once = images_at_once(images, math.prod(shape), _VALUES_AT_ONCE)
    spectrum = spectra(filters, geometry)
    linear = Linear(lambda z: synthesis(z, filters, geometry, spectrum), lambda e: adjoint(e, filters, geometry))
    parts = []
    for first in range(0, len(images), at_once):
        batch, initial, weighed, counted = (_part(values, first, at_once) for values in (images, start, weights, mask))
        options: dict[str, Any] = {
            "nonneg": problem.nonneg, "tol": problem.tol, "max_iter": problem.max_iter, "weights": weighed,
            "watched": problem.watched,
        }  # fmt: skip
        if problem.solver == "dr":
            parts.append(douglas_rachford(batch, filters, lam, start=initial, **options))
            continue
        initial = batch.new_zeros(len(batch), *shape) if initial is None else initial
        if counted is None:
            parts.append(fista(batch, linear, lam, initial, **options))
        else:
            parts.append(fista(batch * counted, _masked(linear, counted), lam, initial, **options))
    return join(parts)


def images_at_once(images: Tensor, values: int, in_cache: int) -> int:
    """How many images are solved together: on a CPU so that they stay in its cache, elsewhere as many as memory holds.

    Args:
        images: what is solved, where it lies.
        values: of the feature maps of one image.
        in_cache: how many of these a CPU works on.
    """
    if at_hand(images):
        return max(1, in_cache // values)
    return max(1, free_bytes(images.device) // (_ARRAYS * values * images.element_size()))


def _part(values: Any, first: int, count: int) -> Any:
    """The values of some images; those that are the same for all have a single row."""
    return values if values is None or len(values) == 1 else values[first : first + count]


def _masked(linear: Linear, mask: Tensor) -> Linear:
    """The same map to images, of which some pixels are 0."""
    return Linear(lambda z: linear.down(z) * mask, lambda image: linear.up(image * mask))


def _two(x: Tensor) -> tuple[int, int]:
    return x.shape[2], x.shape[3]


def _check_filters(filters: object, images: Tensor) -> None:
    if not isinstance(filters, Tensor) or filters.ndim != 4 or not filters.numel():
        shape = tuple(filters.shape) if isinstance(filters, Tensor) else type(filters).__name__
        raise ArgumentError(f"filters are a tensor (maps, channels, k, k'); got {shape}.")
    if filters.dtype != images.dtype or filters.device != images.device:
        raise ArgumentError(
            f"filters are {filters.dtype} on {filters.device}, and images {images.dtype} on {images.device}: "
            "convert one of them, for example filters.to(images)."
        )
    if filters.shape[1] != images.shape[1]:
        raise ArgumentError(f"images have {images.shape[1]} channels, and the filters {filters.shape[1]}.")
    check_finite("the filters", filters)


def _checked_weights(weights: object, images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The weights with four axes."""
    if not isinstance(weights, Tensor) or weights.dtype != images.dtype or weights.device != images.device:
        raise ArgumentError(
            f"weights are a tensor of the images' type, {images.dtype} on {images.device}; got {short(weights)}."
        )
    aligned = _aligned("weights", weights, shape)
    if not bool((aligned >= 0).all()) or not bool(aligned.isfinite().all()):
        raise ArgumentError("weights are 0 or more and finite.")
    return aligned


def _checked_mask(mask: object, images: Tensor) -> Tensor:
    """The mask with four axes, as 1 where a pixel counts and 0 elsewhere."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.device != images.device:
        raise ArgumentError(f"mask is a tensor of bool on {images.device}; got {short(mask)}.")
    return _aligned("mask", mask, tuple(images.shape)).to(images.dtype)


def _aligned(name: str, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tensor that broadcasts to a shape of four axes, with four axes itself."""
    lengths = (1,) * (4 - values.ndim) + tuple(values.shape)
    if len(lengths) != 4 or any(own not in (1, length) for own, length in zip(lengths, shape, strict=True)):
        raise ArgumentError(f"{name} has a shape that broadcasts to {shape}; got {tuple(values.shape)}.")
    return dense(values).view(lengths)


def _check_start(start: object, images: Tensor, shape: tuple[int, ...]) -> None:
    if not isinstance(start, Tensor) or start.dtype != images.dtype or start.device != images.device:
        got = f"{start.dtype} on {start.device}" if isinstance(start, Tensor) else type(start).__name__
        raise ArgumentError(f"start is a tensor of the images' type, {images.dtype} on {images.device}; got {got}.")
    if tuple(start.shape) != shape:
        raise ArgumentError(f"start has the shape of the codes, {shape}; got {tuple(start.shape)}.")
    if not dense(start).isfinite().all():
        raise NotFiniteError("start holds NaN or infinity.")


def solver_of(solver: str, boundary: str, channels: int, *, masked: bool = False) -> str:
    """The solver that is taken, "dr" or "fista".

    Args:
        solver: as given.
        boundary: of the convolution.
        channels: of the images.
        masked: whether only some pixels count.

    Raises:
        ArgumentError: it cannot solve this, or is not one.
    """
    if not is_one_of(solver, get_args(Solver)):
        raise ArgumentError(f"solver is one of {get_args(Solver)}; got {short(solver)}.")
    if solver == "dr" and masked:
        raise ArgumentError("solver 'dr' needs all pixels to count: drop mask=, or use 'fista' or 'auto'.")
    fits = boundary == "circular" and channels <= FEW_CHANNELS and not masked
    if solver == "dr" and boundary != "circular":
        raise ArgumentError(f"solver 'dr' needs boundary='circular'; got {boundary!r}. Use 'fista' or 'auto'.")
    return solver if solver != "auto" else "dr" if fits else "fista"
