"""Proximal gradient steps and half-quadratic splitting, for any linear map.

- `fista`: accelerated steps (Beck and Teboulle 2009).
- `ista`: a few plain steps, with a function that has the last word on each (Zeiler et al. 2011, algorithm 1).
- `splitting`: half-quadratic, for |z|^p (Zeiler et al. 2010, section 2.2).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deconvnet.learn.at_hand import at_hand
from deconvnet.learn.solution import (
    OBJECTIVE_EVERY,
    RESIDUALS_EVERY,
    Record,
    Solution,
    dots,
    dual,
    largest_seen,
    norms,
    objective,
    per_image,
    shrink,
)


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear map from feature maps to images, image by image.

    Attributes:
        down: feature maps to images.
        up: its adjoint.
    """

    down: Callable[[Tensor], Tensor]
    up: Callable[[Tensor], Tensor]


def _add(a: Tensor, b: Tensor, weight: float | Tensor) -> Tensor:
    """A + weight * b, with one weight for all images or one for each."""
    if isinstance(weight, float):
        return torch.add(a, b, alpha=weight)
    if not at_hand(weight):
        return torch.addcmul(a, b, per_image(weight))
    return torch.add(a, b, alpha=float(weight)) if len(weight) == 1 else a + per_image(weight) * b


def largest_square(linear: Linear, like: Float[Tensor, "n m h w"], iterations: int = 20) -> Float[Tensor, " n"]:
    """The largest eigenvalue of R'R for each image, from below, by the power method.

    Args:
        linear: R.
        like: maps of the right size; their values do not matter.
        iterations: how many.
    """
    random = torch.Generator().manual_seed(0)
    z = torch.randn(like.shape[1:], generator=random, dtype=like.dtype, device="cpu").to(like.device).expand_as(like)
    lengths = like.new_ones(len(like))
    for _ in range(iterations):
        z = linear.up(linear.down(z / per_image(norms(z).clamp(min=torch.finfo(z.dtype).tiny))))
        lengths = norms(z)
    return lengths.clamp(min=torch.finfo(like.dtype).tiny)


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
    weights: Float[Tensor, "#n #m #y #x"] | None = None,
    watched: bool = True,
) -> Solution:
    """Sparse feature maps under any linear map, by accelerated proximal gradient steps.

    A step that would be longer than the map allows is halved and tried again: at once on a CPU, and elsewhere in the
    next iteration, so that nobody waits to hear of it. Stops when the codes move by less than `tol`, relative to
    themselves, in one iteration; looks every five.

    Args:
        images: to code.
        linear: R.
        lam: weight of sparsity.
        start: maps to start from.
        largest: eigenvalue of R'R, for each image; by the power method by default.
        nonneg: maps may not be negative.
        tol: relative step at which an image is done; 0 runs `max_iter` iterations.
        max_iter: at most this many iterations.
        weights: of each coefficient in the sum that lam weighs, 0 or more, with axes of length 1 where they do not
            differ; 1 by default.
        watched: as for `Record`.
    """
    bound = 1.02 * largest_square(linear, start) if largest is None else largest
    looks = at_hand(images)
    z, painted = start, linear.down(start)
    ahead, ahead_painted = z, painted
    momentum: float | Tensor = 1.0 if looks else torch.ones_like(bound)
    rounding = 10 * torch.finfo(z.dtype).eps
    record = Record(images, tol, watched=watched)
    for i in range(1, max_iter + 1):
        residual = images - ahead_painted
        seen = linear.up(residual)
        while True:
            limit = per_image(lam / bound)
            limit = limit if weights is None else limit * weights
            new = shrink(_add(ahead, seen, 1 / bound), limit, nonneg=nonneg)
            new_painted = linear.down(new)
            length = norms(new - ahead) + rounding * norms(new)
            long = norms(new_painted - ahead_painted) ** 2 > 1.001 * bound * length**2
            if not looks or not long.any():
                break
            bound = torch.where(long, 2 * bound, bound)
        if not looks:
            new, new_painted = _unless(long, new, z), _unless(long, new_painted, painted)
            bound = torch.where(long, 2 * bound, bound)
        momentum, weight = _further(momentum, long)
        step = new - z
        ahead = _add(new, step, weight)
        ahead_painted = _add(new_painted, new_painted - painted, weight)
        z, painted = new, new_painted
        if i % RESIDUALS_EVERY and i < max_iter:
            continue
        moved = norms(step) / norms(z).clamp(min=torch.finfo(z.dtype).tiny)
        done = record.done(torch.where(long, math.inf, moved))
        if i % OBJECTIVE_EVERY == 0 or i == max_iter or record.any_done(done):
            lower = dual(residual, largest_seen(seen, nonneg=nonneg, weights=weights), images, lam)
            record.add(i, z, objective(images - painted, z, lam, weights), lower, done)
            if record.all_done:
                break
    return record.solution("fista")


def _unless(refused: Bool[Tensor, " n"], new: Tensor, old: Tensor) -> Tensor:
    """The new values of each image, or the old ones where they are refused."""
    return torch.where(per_image(refused), old, new)


def _further(momentum: float | Tensor, refused: Bool[Tensor, " n"]) -> tuple[float | Tensor, float | Tensor]:
    """The momentum of the next iteration, and how far to go ahead, as a share of this iteration's step.

    On a CPU a number for all images, because no step is refused there; elsewhere one for each, which begins anew where
    the step was refused.
    """
    if isinstance(momentum, float):
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        return following, (momentum - 1) / following
    grown = (1 + (1 + 4 * momentum**2).sqrt()) / 2
    return torch.where(refused, 1, grown), (momentum - 1) / grown


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
    """Feature maps after a fixed number of plain proximal gradient steps (Zeiler et al. 2011, algorithm 1).

    Args:
        images, linear, lam, start, largest, nonneg: as for `fista`.
        steps: how many; `converged` is false, because convergence is not tested.
        then: what becomes of the maps after each step: pooled and unpooled, in the paper, which leaves one
            activation in each block. It makes the problem non-convex, and the objective may rise.
    """
    bound = 1.02 * largest_square(linear, start) if largest is None else largest
    z, record = start, Record(images, 0)
    nothing = images.new_full((len(images),), -math.inf)
    for i in range(1, steps + 1):
        residual = images - linear.down(z)
        z = then(shrink(_add(z, linear.up(residual), 1 / bound), per_image(lam / bound), nonneg=nonneg))
        record.add(i, z, objective(images - linear.down(z), z, lam), nothing)
    return record.solution("ista")


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
    z, record = start, Record(images, 0)
    seen = linear.up(images) / lam
    nothing = images.new_full((len(images),), -math.inf)
    for i, beta in enumerate(betas, 1):

        def product(v: Tensor, beta: float = beta) -> Tensor:
            return linear.up(linear.down(v)) / lam + beta * v

        z = conjugate_gradient(product, seen + beta * shrink_power(z, p, beta), z, cg_steps)
        x = shrink_power(z, p, beta)
        value = 0.5 * norms(images - linear.down(x)) ** 2 + lam * x.flatten(1).abs().pow(p).sum(1)
        record.add(i, x, value, nothing)
    return record.solution("splitting")


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


def conjugate_gradient(product: Callable[[Tensor], Tensor], right: Tensor, start: Tensor, steps: int) -> Tensor:
    """A few steps towards the solution of product(x) = right, for each member of a batch alone.

    Args:
        product: multiplies by a symmetric positive matrix.
        right: right-hand side.
        start: x to start from.
        steps: how many.
    """
    x = start
    r = right - product(x)
    d, square = r, dots(r, r)
    for _ in range(steps):
        image = product(d)
        curve = dots(d, image)
        length = torch.where(curve > 0, square / curve.clamp(min=torch.finfo(x.dtype).tiny), 0)
        x, r = x + per_image(length) * d, r - per_image(length) * image
        following = dots(r, r)
        turn = torch.where(square > 0, following / square.clamp(min=torch.finfo(x.dtype).tiny), 0)
        d, square = r + per_image(turn) * d, following
    return x
