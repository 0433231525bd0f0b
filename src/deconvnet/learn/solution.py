"""Solutions of 1/2 ||R z - y||^2 + lam ||z||_1, and what every solver of it needs.

R is linear: filters, or filters and switches through several layers. The papers write lambda/2 ||R z - y||^2 + |z|;
lam is 1 / lambda.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from deconvnet._checks import as_list, index_of, short
from deconvnet._errors import ArgumentError
from deconvnet.learn.at_hand import at_hand

OBJECTIVE_EVERY = 20  # iterations
RESIDUALS_EVERY = 5  # iterations


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
        solver: its name.
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
        """The solution for some of the images.

        Raises:
            ArgumentError: rows are not indices of images.
        """
        rows = checked_rows(rows, len(self.codes))
        return Solution(
            self.codes[rows], self.objective[rows], self.history[:, rows], self.looks, self.gap[rows],
            self.converged[rows], self.n_iter[rows], self.solver,
        )  # fmt: skip


def checked_rows(rows: object, images: int) -> Int[Tensor, " k"]:
    """Indices of images as a tensor.

    Args:
        rows: as given: indices, as a tensor, an array or a list.
        images: how many there are.

    Raises:
        ArgumentError: they are something else.
    """
    listed = as_list(rows)
    if listed is None:
        raise ArgumentError(f"rows are the indices of images; got {short(rows)}.")
    return torch.tensor([index_of(row, images, "images") for row in listed], dtype=torch.long, device="cpu")


def join(parts: Sequence[Solution]) -> Solution:
    """Join the solutions of several images; a shorter history is continued with its last value."""
    if len(parts) == 1:
        return parts[0]
    looks = torch.unique(torch.cat([part.looks for part in parts]))  # sorted
    latest = [(torch.searchsorted(part.looks, looks, right=True) - 1).clamp(min=0) for part in parts]
    history = torch.cat([part.history[row] for part, row in zip(parts, latest, strict=True)], 1)
    fields = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("codes", "objective", "gap", "converged", "n_iter")
    }
    return Solution(**fields, history=history, looks=looks, solver=parts[0].solver)


def shrink(z: Tensor, threshold: Tensor | float, *, nonneg: bool = False) -> Tensor:
    """Soft threshold: max(|z| - threshold, 0) sign(z); with `nonneg`, max(z - threshold, 0)."""
    if nonneg:
        return (z - threshold).clamp(min=0)
    if isinstance(threshold, Tensor) and not _is_at_hand(threshold):
        return z - clipped(z, threshold, nonneg=False)
    return F.softshrink(z, float(threshold))


def clipped(z: Tensor, threshold: Tensor | float, *, nonneg: bool) -> Tensor:
    """What `shrink` takes away."""
    if isinstance(threshold, Tensor) and _is_at_hand(threshold):
        threshold = float(threshold)  # three times as fast
    return z.clamp(max=threshold) if nonneg else z.clamp(-threshold, threshold)  # type: ignore[arg-type]


def _is_at_hand(value: Tensor) -> bool:
    """Whether it is a single value that is read without waiting for a device."""
    return value.numel() == 1 and at_hand(value)


def dots(a: Tensor, b: Tensor) -> Float[Tensor, " n"]:
    """Scalar products, image by image."""
    return (a * b).flatten(1).sum(1)


def norms(a: Tensor) -> Float[Tensor, " n"]:
    """Lengths, image by image."""
    lengths: Tensor = torch.linalg.vector_norm(a.flatten(1), dim=1)
    return lengths


def per_image(a: Tensor) -> Tensor:
    """A number for each image, shaped to multiply its maps."""
    return a[:, None, None, None]


def objective(residual: Tensor, z: Tensor, lam: float, weights: Tensor | None = None) -> Float[Tensor, " n"]:
    """1/2 ||residual||^2 + lam ||weights z||_1 of each image; without weights they are 1."""
    return 0.5 * norms(residual) ** 2 + lam * (z if weights is None else z * weights).flatten(1).abs().sum(1)


def largest_seen(seen: Tensor, *, nonneg: bool, weights: Tensor | None = None) -> Float[Tensor, " n"]:
    """The largest value that filters see in each image: in magnitude, or above zero where maps may not be negative.

    With weights, the largest in parts of its weight: infinite where something is seen whose weight is 0.
    """
    if weights is not None:
        seen = torch.where(seen == 0, 0, seen / weights)
    flat = seen.flatten(1)
    return flat.amax(1).clamp(min=0) if nonneg else torch.maximum(flat.amax(1), -flat.amin(1))


def dual(residual: Tensor, largest: Float[Tensor, " n"], images: Tensor, lam: float) -> Float[Tensor, " n"]:
    """A lower bound on the objective of any feature maps.

    Args:
        residual: y - R z of any maps.
        largest: `largest_seen` of R' (y - R z), in parts of the weights if there are any.
        images: y.
        lam: weight of sparsity.
    """
    scale = (lam / largest.clamp(min=torch.finfo(largest.dtype).tiny)).clamp(max=1)
    return scale * dots(residual, images) - 0.5 * (scale * norms(residual)) ** 2


def relative_gap(primal: Tensor, lower: Tensor) -> Float[Tensor, " n"]:
    """(primal - lower) / primal; 0 where the objective is 0."""
    return ((primal - lower) / primal.clamp(min=torch.finfo(primal.dtype).tiny)).clamp(min=0)


class Record:
    """The codes of each image: those at which it converged, or else the last ones.

    Args:
        images: that are coded.
        tol: below it an image has converged; 0 for never.
        watched: whether what happens on an accelerator is read while the solver runs, so that it can stop as soon as
            all images have converged. Otherwise it runs to its last iteration, and nobody waits for the accelerator.
    """

    def __init__(self, images: Tensor, tol: float, *, watched: bool = True) -> None:
        n = len(images)
        self._at_hand = at_hand(images)
        self._tol, self._watched = tol, watched or self._at_hand
        self._any_done, self._all_done = False, False  # as far as is known
        self._looks, self._values = list[int](), list[Tensor]()
        self._lower = images.new_full((n,), -math.inf)
        self._finished = torch.zeros(n, dtype=torch.bool, device=images.device)
        self._n_iter = torch.zeros(n, dtype=torch.long, device=images.device)
        self._codes = images.new_empty(0)

    def done(self, residual: Float[Tensor, " n"]) -> Bool[Tensor, " n"] | None:
        """The images that have converged now and had not before; None where the tolerance lets none converge."""
        return (residual < self._tol) & ~self._finished if self._tol else None

    def any_done(self, done: Bool[Tensor, " n"] | None) -> bool:
        """Whether codes have to be written down now, because some of these images converged, or may have."""
        return done is not None and (not self._watched or bool(done.any()))

    @property
    def all_done(self) -> bool:
        """Whether all images are known to have converged."""
        return self._all_done

    def add(self, iteration: int, codes: Tensor, value: Tensor, lower: Tensor, done: Tensor | None = None) -> None:
        """Write codes down.

        Args:
            iteration: how many iterations were run.
            codes: of all images; not copied, so they may not be changed afterwards.
            value: their objective.
            lower: a lower bound on the optimum.
            done: which images stay at these codes; none by default.
        """
        before = self._finished
        if self._any_done and not (self._at_hand and not before.any()):
            codes = torch.where(per_image(before), self._codes, codes)
            value = torch.where(before, self._values[-1], value)
        self._codes = codes
        self._looks.append(iteration)
        self._values.append(value)
        self._lower = torch.where(before, self._lower, torch.maximum(self._lower, lower))
        self._n_iter = torch.where(before, self._n_iter, iteration)
        if done is not None:
            self._finished, self._any_done = before | done, True
            self._all_done = self._watched and bool(self._finished.all())

    def solution(self, solver: str) -> Solution:
        """The codes written down, as a solution."""
        value = self._values[-1]
        return Solution(
            self._codes, value, torch.stack(self._values), torch.tensor(self._looks, device="cpu"),
            relative_gap(value, self._lower), self._finished, self._n_iter, solver,
        )  # fmt: skip
