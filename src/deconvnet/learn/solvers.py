"""Sparse feature maps of images: solvers for 1/2 ||R z - y||^2 + lam ||z||_1.

R is linear: filters, or filters and switches through several layers. The paper writes lambda/2 ||R z - y||^2 + |z|;
lam is 1 / lambda.

- `douglas_rachford`: R is a circular convolution. Alternating directions in one variable; the matrix inverse is taken
  on the side of the image, where it is a number per frequency, or a small matrix for several channels.
- `fista`: any R (Beck and Teboulle 2009).
- `ista`: a few plain steps, with a function that has the last word on each (Zeiler et al. 2011, algorithm 1).
- `splitting`: half-quadratic, for |z|^p (Zeiler et al. 2010, section 2.2).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor
from torch.nn import functional as F

from deconvnet.learn.convolve import Geometry, adjoint, from_grid, mixed, spectra, surrounded, synthesis

_RELAXED = 1.8  # over-relaxation of alternating directions
_FIRST_RHO = 50  # of filters of unit norm, times lam as a share of the lam at which all codes are zero
_EVERY = 5  # iterations from one look at the residuals to the next; twice as many after four
_TOLD = 20  # iterations from one value of the objective to the next
_BLOCK = 2**18  # numbers of maps that are transformed at once, so that they stay near the processor
_SIXTEEN = 16  # maps that are convolved at once: twice as fast as 64, and many times as one


@dataclass(frozen=True, eq=False)
class Solution:
    """Feature maps, and how they were found.

    Attributes:
        codes: (n, m, h, w) sparse feature maps.
        objective: (n,) 1/2 ||R z - y||^2 + lam ||z||_1 of each image.
        history: (looks, n) the objective on the way.
        looks: (looks,) after how many iterations.
        gap: (n,) how far the objective may at most lie above the optimum, relative to it; infinite where nothing is
            known, as for |z|^p with p < 1 or where switches moved. A certificate, and a pessimistic one.
        converged: (n,) whether the solver's own criterion was met.
        n_iter: (n,) iterations that were run.
        solver: which.
    """

    codes: Float[Tensor, "n m h w"]
    objective: Float[Tensor, " n"]
    history: Float[Tensor, "looks n"]
    looks: Int[Tensor, " looks"]
    gap: Float[Tensor, " n"]
    converged: Bool[Tensor, " n"]
    n_iter: Int[Tensor, " n"]
    solver: str

    def of(self, rows: Int[Tensor, " k"]) -> "Solution":
        """Those of some of the images."""
        return Solution(
            self.codes[rows], self.objective[rows], self.history[:, rows], self.looks, self.gap[rows],
            self.converged[rows], self.n_iter[rows], self.solver,
        )  # fmt: skip


def joined(parts: Sequence[Solution]) -> Solution:
    """Solutions of several images, as one; a history that ended earlier goes on at its last value."""
    if len(parts) == 1:
        return parts[0]
    looks = torch.unique(torch.cat([one.looks for one in parts]))  # sorted
    latest = [(torch.searchsorted(one.looks, looks, right=True) - 1).clamp(min=0) for one in parts]
    history = torch.cat([one.history[row] for one, row in zip(parts, latest, strict=True)], 1)
    together = {
        name: torch.cat([getattr(one, name) for one in parts])
        for name in ("codes", "objective", "gap", "converged", "n_iter")
    }
    return Solution(**together, history=history, looks=looks, solver=parts[0].solver)


def shrink(z: Tensor, threshold: Tensor | float, *, nonneg: bool = False) -> Tensor:
    """Soft threshold: max(|z| - threshold, 0) sign(z); with `nonneg`, max(z - threshold, 0)."""
    if nonneg:
        return (z - threshold).clamp(min=0)
    if isinstance(threshold, Tensor) and threshold.numel() > 1:
        return z - clipped(z, threshold, nonneg=False)
    return F.softshrink(z, float(threshold))


def clipped(z: Tensor, threshold: Tensor | float, *, nonneg: bool) -> Tensor:
    """What `shrink` takes away."""
    if isinstance(threshold, Tensor) and threshold.numel() == 1:
        threshold = float(threshold)  # three times as fast
    return z.clamp(max=threshold) if nonneg else z.clamp(-threshold, threshold)  # type: ignore[arg-type]


def shrink_power(z: Tensor, p: float, beta: float, kappa: float = 1.0) -> Tensor:
    """argmin_x kappa |x|^p + beta/2 (x - z)^2, for 0 < p <= 1 (Zeiler et al. 2010, equation 5).

    For p < 1 all below a threshold becomes zero; above it Newton's method finds the local minimum.

    Example:
        >>> shrink_power(torch.tensor([1.3979, 1.3981]), p=0.8, beta=1.0)[0]  # just below the threshold 1.39799
        tensor(0.)
    """
    if p == 1:
        return shrink(z, kappa / beta)
    least = (2 * kappa * (1 - p) / beta) ** (1 / (2 - p))
    threshold = least + kappa * p / beta * least ** (p - 1)
    size = z.abs()
    x = size.clamp(min=least)
    for _ in range(8):
        slope = kappa * p * x ** (p - 1) + beta * (x - size)
        x = (x - slope / (kappa * p * (p - 1) * x ** (p - 2) + beta)).clamp(min=least)
    return torch.where(size > threshold, x * z.sign(), 0)


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear map from feature maps to images, image by image.

    Attributes:
        down: feature maps to images.
        up: its adjoint.
    """

    down: Callable[[Tensor], Tensor]
    up: Callable[[Tensor], Tensor]


def _dots(a: Tensor, b: Tensor) -> Float[Tensor, " n"]:
    return (a * b).flatten(1).sum(1)


def _norms(a: Tensor) -> Float[Tensor, " n"]:
    found: Tensor = torch.linalg.vector_norm(a.flatten(1), dim=1)
    return found


def _wide(a: Tensor) -> Tensor:
    return a[:, None, None, None]


def _added(a: Tensor, b: Tensor, weight: Float[Tensor, " n"]) -> Tensor:
    """A + weight * b, with a weight for each image."""
    return torch.add(a, b, alpha=float(weight)) if len(weight) == 1 else a + _wide(weight) * b


def objective(residual: Tensor, z: Tensor, lam: float) -> Float[Tensor, " n"]:
    """1/2 ||residual||^2 + lam ||z||_1 of each image."""
    return 0.5 * _norms(residual) ** 2 + lam * z.flatten(1).abs().sum(1)


def most(seen: Tensor, *, nonneg: bool) -> Float[Tensor, " n"]:
    """The largest that filters see: in magnitude, or where maps may not be negative, above zero."""
    flat = seen.flatten(1)
    return flat.amax(1).clamp(min=0) if nonneg else torch.maximum(flat.amax(1), -flat.amin(1))


def dual(residual: Tensor, largest: Float[Tensor, " n"], images: Tensor, lam: float) -> Float[Tensor, " n"]:
    """A value that the objective of no feature maps lies below.

    Args:
        residual: y - R z of any maps.
        largest: what the filters see of it, at most: `most` of R' (y - R z).
        images: y.
        lam: weight of sparsity.
    """
    scale = (lam / largest.clamp(min=torch.finfo(largest.dtype).tiny)).clamp(max=1)
    return scale * _dots(residual, images) - 0.5 * (scale * _norms(residual)) ** 2


def relative_gap(primal: Tensor, lower: Tensor) -> Float[Tensor, " n"]:
    """(primal - lower) / primal; 0 where the objective is 0."""
    return ((primal - lower) / primal.clamp(min=torch.finfo(primal.dtype).tiny)).clamp(min=0)


class _Record:
    """The best-known codes of each image: those at which it was done, or else the last ones."""

    def __init__(self, images: Tensor, tol: float) -> None:
        n = len(images)
        self._tol, self._looks = tol, list[int]()
        self._values, self._lower = list[Tensor](), images.new_full((n,), -math.inf)
        self._finished = torch.zeros(n, dtype=torch.bool, device=images.device)
        self._n_iter = torch.zeros(n, dtype=torch.long, device=images.device)
        self._codes = images.new_empty(0)

    def done(self, residual: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """The images that are done now and were not before."""
        return (residual < self._tol) & ~self._finished

    @property
    def all_done(self) -> bool:
        return bool(self._finished.all())

    def add(self, iteration: int, codes: Tensor, value: Tensor, lower: Tensor, done: Tensor) -> None:
        """Look at codes.

        Args:
            iteration: how many were run.
            codes: of all images; kept, so no longer to be changed.
            value: their objective.
            lower: what the optimum does not lie below.
            done: images that stay at these codes.
        """
        before = self._finished
        if before.any():
            codes = torch.where(_wide(before), self._codes, codes)
            value = torch.where(before, self._values[-1], value)
        self._codes = codes
        self._looks.append(iteration)
        self._values.append(value)
        self._lower = torch.where(before, self._lower, torch.maximum(self._lower, lower))
        self._n_iter = torch.where(before, self._n_iter, iteration)
        self._finished = before | done

    def solution(self, solver: str) -> Solution:
        value = self._values[-1]
        return Solution(
            self._codes, value, torch.stack(self._values), torch.tensor(self._looks),
            relative_gap(value, self._lower), self._finished, self._n_iter, solver,
        )  # fmt: skip


# Alternating directions, for circular convolutions.


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
        inverse: Tensor = torch.linalg.inv(matrices)
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
) -> Solution:
    """Sparse feature maps under a circular boundary.

    Every iteration costs one transform of the maps to Fourier space, one of an image back, and one convolution. rho,
    which weighs the two halves of an iteration, follows the ratio of their residuals, for each image alone. Stops
    when both are below `tol`, relative to the codes and to their dual.

    Args:
        images: to be coded.
        filters: (maps, channels, k, k').
        lam: weight of sparsity.
        nonneg: maps may not be negative.
        tol: relative residuals at which an image is done; 0 runs `max_iter` iterations.
        max_iter: at most.
        start: maps to begin with.
    """
    (n, _, h, w), m = images.shape, len(filters)
    geometry = Geometry((h, w), (filters.shape[2], filters.shape[3]), "circular")
    spectrum = spectra(filters, geometry)
    inverse, target = _Inverse.of(spectrum), torch.fft.rfft2(images)
    few, sixteen = _slices(m, max(1, _BLOCK // (n * h * w))), _slices(m, _SIXTEEN)
    largest = most(adjoint(images, filters, geometry), nonneg=nonneg)
    rho = _FIRST_RHO * filters.square().sum() / m * lam / largest.clamp(min=lam)
    v = images.new_zeros(n, m, h, w) if start is None else _at_rest(start, images, filters, geometry, rho)
    inverted = inverse.at(rho)
    best = _Record(images, tol)
    best.add(0, torch.zeros_like(v), 0.5 * _norms(images) ** 2, dual(images, largest, images, lam), largest <= lam)
    if best.all_done:
        return best.solution("dr")

    for i in range(1, max_iter + 1):
        every = _EVERY if i <= 4 * _EVERY else 2 * _EVERY
        limit, look = _wide(lam / rho), i % every == 0 or i == max_iter
        seen = torch.zeros_like(target)
        for maps in few:
            part = v[:, maps]
            seen += mixed(torch.fft.rfft2(part.sub(clipped(part, limit, nonneg=nonneg), alpha=2)), spectrum[maps])
        z = from_grid(inverse.times(inverted, target - seen), geometry)
        around = surrounded(z, geometry)
        sums, highest = images.new_zeros(5, n) if look else None, images.new_zeros(n)
        for maps in sixteen:
            part, a = v[:, maps], F.conv2d(around, filters[maps])
            u = clipped(part, limit, nonneg=nonneg)
            if sums is None:
                part.add_(a.sub_(u), alpha=_RELAXED)
                continue
            highest = torch.maximum(highest, most(a, nonneg=nonneg))
            codes, step = part - u, a - u
            part.add_(step, alpha=_RELAXED)
            after = part - clipped(part, limit, nonneg=nonneg)
            new = torch.stack([_norms(x) ** 2 for x in (step, codes, codes + step, after - codes, u)])
            sums += new
        if sums is None:
            continue
        primal, dual_residual = _residuals(sums)
        done = best.done(primal.maximum(dual_residual))
        if i % _TOLD == 0 or i == max_iter or done.any():
            codes = shrink(v, limit, nonneg=nonneg)
            value = objective(images - synthesis(codes, filters, geometry, spectrum), codes, lam)
            best.add(i, codes, value, dual(_wide(rho) * z, rho * highest, images, lam), done)
            if best.all_done:
                break
        rho = _balanced(v, rho, primal, dual_residual, lam, nonneg=nonneg)
        inverted = inverse.at(rho)
    return best.solution("dr")


def _slices(count: int, at_once: int) -> list[slice]:
    return [slice(first, min(first + at_once, count)) for first in range(0, count, at_once)]


def _at_rest(start: Tensor, images: Tensor, filters: Tensor, geometry: Geometry, rho: Tensor) -> Tensor:
    """The state of which the maps are a part; it stays as it is if they are the optimum."""
    residual = images - synthesis(start, filters, geometry)
    return start + adjoint(residual, filters, geometry) / _wide(rho)


def _residuals(sums: Float[Tensor, "5 n"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """How far the two halves are apart, and how far the codes moved, relative to the codes and to their dual.

    Where all codes are zero, both relative to the dual.
    """
    step, codes, other, moved, u = sums.sqrt()
    tiny = torch.finfo(sums.dtype).tiny
    size = torch.where(codes > 0, codes.maximum(other), u)
    return step / size.clamp(min=tiny), moved / u.clamp(min=tiny)


def _balanced(v: Tensor, rho: Tensor, primal: Tensor, dual_residual: Tensor, lam: float, *, nonneg: bool) -> Tensor:
    """A rho under which the two residuals would be more alike; the state is moved with it."""
    ratio = (primal / dual_residual.clamp(min=1e-12)).sqrt().clamp(0.1, 10).nan_to_num(1.0)
    ratio = torch.where(((ratio > 1.2) | (ratio < 1 / 1.2)) & (dual_residual > 0), ratio, 1.0)
    if (ratio != 1).any():
        u = clipped(v, _wide(lam / rho), nonneg=nonneg)
        v.add_(u * _wide(1 / ratio - 1))
    return rho * ratio


# Proximal gradient, for any linear map.


def largest_square(linear: Linear, like: Float[Tensor, "n m h w"], iterations: int = 20) -> Float[Tensor, " n"]:
    """The largest eigenvalue of R'R for each image, from below, by the power method.

    Args:
        linear: R.
        like: maps of the right size, from which none of the values is taken.
        iterations: of the method.
    """
    random = torch.Generator().manual_seed(0)
    z = torch.randn(like.shape[1:], generator=random, dtype=like.dtype).to(like.device).expand_as(like)
    found = like.new_ones(len(like))
    for _ in range(iterations):
        z = linear.up(linear.down(z / _wide(_norms(z).clamp(min=torch.finfo(z.dtype).tiny))))
        found = _norms(z)
    return found.clamp(min=torch.finfo(like.dtype).tiny)


def fista(
    images: Float[Tensor, "n c h w"],
    linear: Linear,
    lam: float,
    start: Float[Tensor, "n m y x"],
    *,
    largest: Float[Tensor, " n"] | None = None,
    nonneg: bool = False,
    tol: float = 1e-3,
    max_iter: int = 500,
) -> Solution:
    """Sparse feature maps under any linear map, by accelerated proximal gradient steps.

    A step that would be longer than the map allows is halved and tried again. Stops when the codes move by less than
    `tol`, relative to themselves, in one iteration; looks every five.

    Args:
        images: to be coded.
        linear: R.
        lam: weight of sparsity.
        start: maps to begin with.
        largest: eigenvalue of R'R, for each image; by the power method where it is not known.
        nonneg: maps may not be negative.
        tol: relative step at which an image is done; 0 runs `max_iter` iterations.
        max_iter: at most.
    """
    bound = 1.02 * largest_square(linear, start) if largest is None else largest
    z, painted = start, linear.down(start)
    ahead, ahead_painted, momentum = z, painted, 1.0
    rounding = 10 * torch.finfo(z.dtype).eps
    best = _Record(images, tol)
    for i in range(1, max_iter + 1):
        residual = images - ahead_painted
        seen = linear.up(residual)
        while True:
            new = shrink(_added(ahead, seen, 1 / bound), _wide(lam / bound), nonneg=nonneg)
            new_painted = linear.down(new)
            length = _norms(new - ahead) + rounding * _norms(new)
            long = _norms(new_painted - ahead_painted) ** 2 > 1.001 * bound * length**2
            if not long.any():
                break
            bound = torch.where(long, 2 * bound, bound)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        weight = (momentum - 1) / following
        step = new - z
        ahead = torch.add(new, step, alpha=weight)
        ahead_painted = torch.add(new_painted, new_painted - painted, alpha=weight)
        z, painted, momentum = new, new_painted, following
        if i % _EVERY and i < max_iter:
            continue
        done = best.done(_norms(step) / _norms(z).clamp(min=torch.finfo(z.dtype).tiny))
        if i % _TOLD == 0 or i == max_iter or done.any():
            lower = dual(residual, most(seen, nonneg=nonneg), images, lam)
            best.add(i, z, objective(images - painted, z, lam), lower, done)
            if best.all_done:
                break
    return best.solution("fista")


def ista(
    images: Float[Tensor, "n c h w"],
    linear: Linear,
    lam: float,
    start: Float[Tensor, "n m y x"],
    *,
    largest: Float[Tensor, " n"] | None = None,
    nonneg: bool = False,
    steps: int = 10,
    then: Callable[[Tensor], Tensor] = lambda z: z,
) -> Solution:
    """Feature maps after so many plain proximal gradient steps (Zeiler et al. 2011, algorithm 1).

    Args:
        images, linear, lam, start, largest, nonneg: as for `fista`.
        steps: how many; `converged` is false, because none are tested.
        then: what becomes of the maps after each step: pooled and unpooled, in the paper, which leaves one
            activation in each block. It makes the problem non-convex, and the objective may rise.
    """
    bound = 1.02 * largest_square(linear, start) if largest is None else largest
    z, best = start, _Record(images, 0)
    nothing = images.new_full((len(images),), -math.inf)
    none = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for i in range(1, steps + 1):
        residual = images - linear.down(z)
        z = then(shrink(_added(z, linear.up(residual), 1 / bound), _wide(lam / bound), nonneg=nonneg))
        best.add(i, z, objective(images - linear.down(z), z, lam), nothing, none)
    return best.solution("ista")


# Half-quadratic splitting, for |z|^p.


def splitting(
    images: Float[Tensor, "n c h w"],
    linear: Linear,
    lam: float,
    start: Float[Tensor, "n m y x"],
    *,
    p: float = 1.0,
    betas: Sequence[float] = (1, 10, 100, 1e3, 1e4, 1e5),
    cg_steps: int = 2,
) -> Solution:
    """Feature maps by half-quadratic splitting with continuation (Zeiler et al. 2010, section 2.2).

    For each beta first x = argmin |x|^p + beta/2 (x - z)^2, element by element, then some conjugate gradient steps on
    (R'R / lam + beta) z = R'y / lam + beta x. The maps are x: zero where they are zero, which z only nearly is.

    Args:
        images, linear, lam, start: as for `fista`. lam weighs |x|^p.
        p: exponent of sparsity, above 0 and at most 1.
        betas: weights of the coupling, rising.
        cg_steps: for each beta.
    """
    z, best = start, _Record(images, 0)
    seen = linear.up(images) / lam
    nothing = images.new_full((len(images),), -math.inf)
    none = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for i, beta in enumerate(betas, 1):

        def product(v: Tensor, beta: float = beta) -> Tensor:
            return linear.up(linear.down(v)) / lam + beta * v

        z = conjugate_gradient(product, seen + beta * shrink_power(z, p, beta), z, cg_steps)
        x = shrink_power(z, p, beta)
        value = 0.5 * _norms(images - linear.down(x)) ** 2 + lam * x.flatten(1).abs().pow(p).sum(1)
        best.add(i, x, value, nothing, none)
    return best.solution("splitting")


def conjugate_gradient(product: Callable[[Tensor], Tensor], right: Tensor, start: Tensor, steps: int) -> Tensor:
    """Some steps towards the solution of product(x) = right, for each of a batch alone.

    Args:
        product: with a symmetric positive matrix.
        right: of the equations.
        start: x to begin with.
        steps: how many.
    """
    x = start
    r = right - product(x)
    d, square = r, _dots(r, r)
    for _ in range(steps):
        image = product(d)
        curve = _dots(d, image)
        length = torch.where(curve > 0, square / curve.clamp(min=torch.finfo(x.dtype).tiny), 0)
        x, r = x + _wide(length) * d, r - _wide(length) * image
        following = _dots(r, r)
        turn = torch.where(square > 0, following / square.clamp(min=torch.finfo(x.dtype).tiny), 0)
        d, square = r + _wide(turn) * d, following
    return x
