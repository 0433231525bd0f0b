"""Inference in one layer: sparse feature maps that paint an image through its filters."""

import math
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import flag, is_one_of, real_number, short, whole_number
from deconvnet._errors import ArgumentError, NotFiniteError
from deconvnet.learn.convolve import FEW_CHANNELS, Boundary, Geometry, adjoint, check_images, dense, spectra, synthesis
from deconvnet.learn.douglas_rachford import douglas_rachford
from deconvnet.learn.proximal import Linear, fista
from deconvnet.learn.solution import Solution, join

Solver: TypeAlias = Literal["auto", "dr", "fista"]
_VALUES_AT_ONCE = 2**17  # of feature maps that are solved on a CPU, so that they stay in its cache


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
) -> Solution:
    """Convolutional sparse coding: feature maps z that minimise 1/2 ||sum_m z_m * f_m - image||^2 + lam ||z||_1.

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
    lam, tol = real_number("lam", lam, least=0, above=True), real_number("tol", tol, least=0)
    max_iter, nonneg = whole_number("max_iter", max_iter), flag("nonneg", nonneg)
    geometry = Geometry(_two(images), _two(filters), boundary)
    shape = (len(images), len(filters), *geometry.maps)
    if start is not None:
        _check_start(start, images, shape)
    name = _solver(solver, boundary, filters.shape[1])
    with torch.no_grad():
        at_once = len(images) if images.is_cuda else max(1, _VALUES_AT_ONCE // math.prod(shape[1:]))
        spectrum = spectra(filters, geometry)
        linear = Linear(lambda z: synthesis(z, filters, geometry, spectrum), lambda e: adjoint(e, filters, geometry))
        parts = []
        for first in range(0, len(images), at_once):
            batch = images[first : first + at_once]
            initial = None if start is None else start[first : first + at_once]
            if name == "dr":
                parts.append(
                    douglas_rachford(batch, filters, lam, nonneg=nonneg, tol=tol, max_iter=max_iter, start=initial)
                )
                continue
            initial = batch.new_zeros(len(batch), *shape[1:]) if initial is None else initial
            parts.append(fista(batch, linear, lam, initial, nonneg=nonneg, tol=tol, max_iter=max_iter))
        return join(parts)


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
    if not dense(filters).isfinite().all():
        raise NotFiniteError("the filters hold NaN or infinity.")


def _check_start(start: object, images: Tensor, shape: tuple[int, ...]) -> None:
    if not isinstance(start, Tensor) or start.dtype != images.dtype or start.device != images.device:
        got = f"{start.dtype} on {start.device}" if isinstance(start, Tensor) else type(start).__name__
        raise ArgumentError(f"start is a tensor of the images' type, {images.dtype} on {images.device}; got {got}.")
    if tuple(start.shape) != shape:
        raise ArgumentError(f"start has the shape of the codes, {shape}; got {tuple(start.shape)}.")
    if not dense(start).isfinite().all():
        raise NotFiniteError("start holds NaN or infinity.")


def _solver(solver: str, boundary: str, channels: int) -> str:
    if not is_one_of(solver, get_args(Solver)):
        raise ArgumentError(f"solver is one of {get_args(Solver)}; got {short(solver)}.")
    fits = boundary == "circular" and channels <= FEW_CHANNELS
    if solver == "dr" and boundary != "circular":
        raise ArgumentError(f"solver 'dr' needs boundary='circular'; got {boundary!r}. Use 'fista' or 'auto'.")
    return solver if solver != "auto" else "dr" if fits else "fista"
