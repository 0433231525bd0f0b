"""Alternating directions, for circular convolutions: Douglas-Rachford splitting in one variable.

    U = clip(V, -lam/rho, lam/rho), and V - U, shrunk, are the codes
    z = (rho + A A')^-1 (y - A (V - 2U))
    V += 1.8 (A'z - U)

The inverse is taken on the side of the image, where it is a number per frequency, or a small matrix for several
channels. The residual of V - 2U + A'z is rho z, and A'z is at hand, so that a bound on the optimum costs no
convolution.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from deconvnet.learn.at_hand import at_hand
from deconvnet.learn.convolve import Geometry, adjoint, from_grid, mixed, spectra, surrounded, synthesis
from deconvnet.learn.solution import (
    OBJECTIVE_EVERY,
    RESIDUALS_EVERY,
    Record,
    Solution,
    clipped,
    dual,
    largest_seen,
    norms,
    objective,
    per_image,
    shrink,
)  # fmt: skip
from deconvnet.windows import kernels

_OVER_RELAXATION = 1.8
_LEAST_DUAL = 1e-2  # share of what is seen of the images
_FIRST_RHO = 50  # of filters of unit norm, times lam as a share of the lam at which all codes are zero
_VALUES_AT_ONCE = 2**18  # of maps that are transformed to Fourier space, so that they stay in the processor's cache
_MAPS_AT_ONCE = 16  # that are convolved: twice as fast as 64, and many times as fast as one


@dataclass(frozen=True, eq=False)
class _Inverse:
    """(rho + A A')^-1 for every frequency."""

    gram: Complex[Tensor, "c c p q"]

    @classmethod
    def of(cls, spectrum: Complex[Tensor, "m c p q"]) -> "_Inverse":
        channels = range(spectrum.shape[1])
        rows = [[(spectrum[:, a] * spectrum[:, b].conj()).sum(0) for b in channels] for a in channels]
        return cls(torch.stack([torch.stack(row) for row in rows]))

    def at(self, rho: Float[Tensor, " n"]) -> Tensor:
        """For each image's rho: a number per frequency, or a matrix."""
        c = len(self.gram)
        if c == 1:
            return 1 / (self.gram[0].real + rho[:, None, None, None])
        eye = torch.eye(c, dtype=self.gram.dtype, device=self.gram.device)
        matrices = self.gram.permute(2, 3, 0, 1) + rho[:, None, None, None, None] * eye
        inverse: Tensor = torch.linalg.inv_ex(matrices).inverse  # they have one, and nobody waits to hear it
        return inverse.permute(0, 3, 4, 1, 2).contiguous()

    def times(self, inverse: Tensor, image: Complex[Tensor, "n c p q"]) -> Complex[Tensor, "n c p q"]:
        if len(self.gram) == 1:
            return image * inverse
        return (inverse * image[:, None]).sum(2)


def douglas_rachford(
    images: Float[Tensor, "n c h w"],
    filters: Float[Tensor, "m c k l"],
    lam: float,
    *,
    nonneg: bool = False,
    tol: float = 1e-3,
    max_iter: int = 500,
    start: Float[Tensor, "n m h w"] | None = None,
    weights: Float[Tensor, "#n #m #h #w"] | None = None,
    watched: bool = True,
) -> Solution:
    """Sparse feature maps under a circular boundary.

    Every iteration costs one transform of the maps to Fourier space, one of an image back, and one convolution. rho,
    which weighs the two halves of an iteration, follows the ratio of their residuals, for each image alone. Stops
    when both are below `tol`, relative to the codes and to their dual.

    Args:
        images: to code.
        filters: (maps, channels, k, k').
        lam: weight of sparsity.
        nonneg: maps may not be negative.
        tol: relative residuals at which an image is done; 0 runs `max_iter` iterations.
        max_iter: at most this many iterations.
        start: maps to start from.
        weights: as for `fista`.
        watched: as for `Record`.
    """
    (n, _, h, w), m = images.shape, len(filters)
    geometry = Geometry((h, w), (filters.shape[2], filters.shape[3]), "circular")
    spectrum = spectra(filters, geometry)
    inverse, target = _Inverse.of(spectrum), torch.fft.rfft2(images)
    seen = adjoint(images, filters, geometry)
    largest = largest_seen(seen, nonneg=nonneg)
    rho = _FIRST_RHO * filters.square().sum() / m * lam / largest.clamp(min=lam)
    v = images.new_zeros(n, m, h, w) if start is None else _at_rest(start, images, filters, geometry, rho)
    inverted = inverse.at(rho)
    least = torch.zeros_like(rho)
    if weights is not None:
        largest, least = largest_seen(seen, nonneg=nonneg, weights=weights), _LEAST_DUAL * norms(seen)
    record = Record(images, tol, watched=watched)
    record.add(0, torch.zeros_like(v), 0.5 * norms(images) ** 2, dual(images, largest, images, lam), largest <= lam)
    if record.all_done:
        return record.solution("dr")
    for i in range(1, max_iter + 1):
        limit = _limit(lam, rho, weights)
        seen = _reflected(v, limit, spectrum, nonneg=nonneg)
        z = from_grid(inverse.times(inverted, target - seen), geometry)
        if i % (RESIDUALS_EVERY if i <= 4 * RESIDUALS_EVERY else 2 * RESIDUALS_EVERY) and i < max_iter:
            _move(v, surrounded(z, geometry), filters, limit, nonneg=nonneg)
            continue
        primal, dual_residual, highest = _move_and_look(
            v, surrounded(z, geometry), filters, limit, nonneg=nonneg, weights=weights, least=least / rho
        )
        done = record.done(primal.maximum(dual_residual))
        if i % OBJECTIVE_EVERY == 0 or i == max_iter or record.any_done(done):
            codes = shrink(v, limit, nonneg=nonneg)
            value = objective(images - synthesis(codes, filters, geometry, spectrum), codes, lam, weights)
            record.add(i, codes, value, dual(per_image(rho) * z, rho * highest, images, lam), done)
            if record.all_done:
                break
        rho = _balanced(v, rho, primal, dual_residual, limit, nonneg=nonneg)
        inverted = inverse.at(rho)
    return record.solution("dr")


def _reflected(v: Tensor, limit: Tensor, spectrum: Tensor, *, nonneg: bool) -> Tensor:
    """A (V - 2U) in Fourier space, where U is what shrinking takes from the state V."""
    n, _, h, w = v.shape
    if kernels.method_on(v.device) == "fused":
        from deconvnet.learn import fused

        return mixed(torch.fft.rfft2(fused.reflected(v, limit, nonneg=nonneg)), spectrum)
    painted = torch.zeros((), dtype=spectrum.dtype, device=v.device)
    for maps in _slices(v, _VALUES_AT_ONCE // (n * h * w)):
        part = v[:, maps]
        reflected = part.sub(clipped(part, _of(limit, maps), nonneg=nonneg), alpha=2)
        painted = painted + mixed(torch.fft.rfft2(reflected), spectrum[maps])
    return painted


def _move(v: Tensor, around: Tensor, filters: Tensor, limit: Tensor, *, nonneg: bool) -> None:
    """V += 1.8 (A'z - U)."""
    if kernels.method_on(v.device) == "fused":
        from deconvnet.learn import fused

        return fused.move(v, F.conv2d(around, filters), limit, _OVER_RELAXATION, nonneg=nonneg)
    for maps in _slices(v, _MAPS_AT_ONCE):
        part = v[:, maps]
        step = F.conv2d(around, filters[maps]).sub_(clipped(part, _of(limit, maps), nonneg=nonneg))
        part.add_(step, alpha=_OVER_RELAXATION)


def _move_and_look(
    v: Tensor,
    around: Tensor,
    filters: Tensor,
    limit: Tensor,
    *,
    nonneg: bool,
    weights: Tensor | None,
    least: Float[Tensor, " n"],
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Move as `_move` does; the two residuals, and the largest value of A'z, in parts of the weights."""
    if kernels.method_on(v.device) == "fused":
        from deconvnet.learn import fused

        seen = F.conv2d(around, filters)
        sums, highest = fused.move_and_look(v, seen, limit, _OVER_RELAXATION, nonneg=nonneg)
        if weights is not None:
            highest = largest_seen(seen, nonneg=nonneg, weights=weights)
        return *_residuals(sums, least), highest
    sums, highest = v.new_zeros(5, len(v)), v.new_zeros(len(v))
    for maps in _slices(v, _MAPS_AT_ONCE):
        part, seen, at_most = v[:, maps], F.conv2d(around, filters[maps]), _of(limit, maps)
        u = clipped(part, at_most, nonneg=nonneg)
        codes, step = part - u, seen - u
        part.add_(step, alpha=_OVER_RELAXATION)
        moved = part - clipped(part, at_most, nonneg=nonneg) - codes
        sums += torch.stack([norms(x) ** 2 for x in (step, codes, codes + step, moved, u)])
        of_maps = None if weights is None else _of(weights, maps)
        highest = torch.maximum(highest, largest_seen(seen, nonneg=nonneg, weights=of_maps))
    return *_residuals(sums, least), highest


def _limit(lam: float, rho: Float[Tensor, " n"], weights: Tensor | None) -> Tensor:
    """What shrinking takes at most from each image's maps, or from each of their values."""
    limit = per_image(lam / rho)
    return limit if weights is None else limit * weights


def _of(values: Tensor, maps: slice) -> Tensor:
    """The values of some maps; those that are the same for all maps have a single one."""
    return values if values.shape[1] == 1 else values[:, maps]


def _slices(v: Tensor, at_once: int) -> list[slice]:
    """The maps that are worked on together: so many on a CPU, all elsewhere."""
    count = v.shape[1]
    step = max(1, at_once) if at_hand(v) else count
    return [slice(first, min(first + step, count)) for first in range(0, count, step)]


def _at_rest(start: Tensor, images: Tensor, filters: Tensor, geometry: Geometry, rho: Tensor) -> Tensor:
    """The state from which shrinking gives these maps; a fixed point if they are optimal."""
    residual = images - synthesis(start, filters, geometry)
    return (start + adjoint(residual, filters, geometry) / per_image(rho)).contiguous()


def _residuals(
    sums: Float[Tensor, "5 n"], least: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """How far the two halves are apart, and how far the codes moved, relative to the codes and to their dual.

    Where all codes are zero, both relative to the dual; which counts as no smaller than `least`, because with weights
    of 0 it may vanish.
    """
    step, codes, other, moved, u = sums.sqrt()
    tiny, u = torch.finfo(sums.dtype).tiny, u.maximum(least)
    size = torch.where(codes > 0, codes.maximum(other), u)
    return step / size.clamp(min=tiny), moved / u.clamp(min=tiny)


def _balanced(v: Tensor, rho: Tensor, primal: Tensor, dual_residual: Tensor, limit: Tensor, *, nonneg: bool) -> Tensor:
    """A rho that brings the two residuals closer together; the state is moved with it."""
    ratio = (primal / dual_residual.clamp(min=1e-12)).sqrt().clamp(0.1, 10).nan_to_num(1.0)
    ratio = torch.where(((ratio > 1.2) | (ratio < 1 / 1.2)) & (dual_residual > 0), ratio, 1.0)
    if not at_hand(v):
        v.addcmul_(clipped(v, limit, nonneg=nonneg), per_image(1 / ratio - 1))
    elif (ratio != 1).any():
        v.add_(clipped(v, limit, nonneg=nonneg) * per_image(1 / ratio - 1))
    return rho * ratio
