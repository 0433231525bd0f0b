"""Is a filter a fair stand-in for what its unit responds to? The quality of signal estimators (Kindermans et al. 2018).

A unit computes y = w x of a patch x. Its signal s(x) is the part of the patch that carries y; the rest is what w has
learned to cancel. An estimator S(x) is as good as little of y can be read from what it leaves over:
quality = 1 - max over v of corr(w x, v (x - S(x))).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from deconvnet.probes.measure import Measure, Null
from deconvnet.probes.own_filter import Patches, own_filter, patches
from deconvnet.probes.pictured import Pictured

_NAME = "signal"
_QUESTION = "Is the filter, which a deconvnet draws, a fair stand-in for what the unit responds to?"
_MOST, _ROOM = 20_000, 2**26  # patches, and numbers in all of them
_LEAST = 100  # patches in each half
_PENALTIES = (1e-6, 1e-4, 1e-2, 1.0)  # of the fit, as parts of the mean variance of a patch's numbers
_SHUFFLED = 40


def signal_quality(pictured: Pictured) -> Measure:
    """The quality of the estimator that a step of a deconvnet draws, S_w(x) = w (w x) / (w w), about 0 to 1.

    It is 1 where nothing of what the unit computes can be read from the rest of the patch. `details` has the same for
    the direction in which patches vary with y, S_a, and for that with one direction where the unit is on and one where
    it is off, S_a+-. Patches are of the image and the other photos, at most 20,000. v is fitted by ridge regression on
    every other image and tried on the rest, with the best of four penalties; half of the images must have as many
    patches as a patch has numbers. The value stands beside those of the filter's own weights, shuffled.
    """
    own = own_filter(pictured)
    if own is None:
        why_not = "the unit's map is not made by a filter of its own: choose a layer right behind a convolution."
        return Measure(_NAME, _QUESTION, why_not=why_not)
    images = torch.cat([pictured.x, pictured.others.photos.to(pictured.x)])
    given = patches(pictured, own, images, min(_MOST, max(1, _ROOM // own.length)))
    halves = [given.of(given.images % 2 == half) for half in (0, 1)]
    fewest = min(len(half.values) for half in halves)
    if fewest < max(_LEAST, own.length):
        why_not = f"there are too few patches: {fewest} in half of the images, of {own.length} numbers each."
        return Measure(_NAME, _QUESTION, why_not=why_not)
    if any(np.ptp(half.values @ half.filter) == 0 for half in halves):
        return Measure(_NAME, _QUESTION, why_not="the filter gives the same everywhere.")
    generator = pictured.generator(_NAME)
    order = [torch.randperm(len(given.filter), generator=generator, device="cpu").numpy() for _ in range(_SHUFFLED)]
    estimators = [_of_filter(given.filter), *_of_patterns(halves[0]), *(_of_filter(given.filter[o]) for o in order)]
    values = qualities(halves[0], halves[1], estimators)
    null = Null("its own weights, shuffled", tuple(values[-_SHUFFLED:]))
    patterns = zip(("S_a", "S_a+-"), values[1 : len(values) - _SHUFFLED], strict=False)
    details = (*patterns, ("patches", float(len(given.values))), ("numbers of a patch", float(len(given.filter))))
    return Measure(_NAME, _QUESTION, values[0], details, (null,), _words(values[0], null))


@dataclass(frozen=True, eq=False)
class Estimator:
    """What is taken for the signal of a patch: directions, each times a number of the patch.

    Attributes:
        filter: w; y = w x.
        directions: a row for each.
        apart: whether the first direction is for patches where the unit is on, and the second for the others.
    """

    filter: Float[np.ndarray, " numbers"]
    directions: Float[np.ndarray, "k numbers"]
    apart: bool = False

    def signals(self, of: Patches) -> Float[np.ndarray, "n k"]:
        """What each direction is multiplied by."""
        y = of.values @ self.filter
        return np.stack([y * of.on, y * ~of.on], 1) if self.apart else y[:, None]


def qualities(fit: Patches, tried: Patches, estimators: Sequence[Estimator]) -> list[float]:
    """The quality of each estimator.

    Args:
        fit: v is fitted on these.
        tried: and its correlation is that on these.
        estimators: of signals in them.
    """
    moments = [_Moments(fit, each) for each in estimators]
    x = fit.values - fit.values.mean(0)
    covariance = x.T @ x / len(x)
    size, best = np.trace(covariance) / len(covariance), [0.0] * len(estimators)
    for penalty in _PENALTIES:
        factor = cho_factor(covariance + penalty * size * np.eye(len(covariance)), lower=True, check_finite=False)
        sides = np.concatenate([each.sides for each in moments], 1)
        solved = cho_solve(factor, sides, check_finite=False)
        at = 0
        for i, each in enumerate(moments):
            columns = slice(at, at + each.sides.shape[1])
            at = columns.stop
            best[i] = max(best[i], each.correlation(solved[:, columns], tried))
    return [1 - value for value in best]


class _Moments:
    """What is known of the rest x - A t(x) from the covariances of x, t(x) and y."""

    def __init__(self, fit: Patches, estimator: Estimator) -> None:
        self._estimator = estimator
        x, t = fit.values - fit.values.mean(0), estimator.signals(fit)
        y, t = fit.values @ estimator.filter, t - t.mean(0)
        y = y - y.mean()
        self._directions = estimator.directions.T
        self._with_signals, self._signals = x.T @ t / len(x), t.T @ t / len(x)
        self.target = x.T @ y / len(x) - self._directions @ (t.T @ y / len(x))

    @cached_property
    def sides(self) -> Float[np.ndarray, "numbers sides"]:
        """What the covariance of patches must be solved for: directions, their covariances with patches, the target."""
        return np.concatenate([self._directions, self._with_signals, self.target[:, None]], 1)

    def correlation(self, solved: Float[np.ndarray, "numbers sides"], tried: Patches) -> float:
        """Of y with v times the rest, for the v that fits best; by Woodbury's identity from the solved sides."""
        k = self._directions.shape[1]
        turned, goal = solved[:, :-1], solved[:, -1]
        change = np.block([[self._signals, -np.eye(k)], [-np.eye(k), np.zeros((k, k))]])
        inner = np.linalg.inv(change) + self.sides[:, :-1].T @ turned
        v = goal - turned @ np.linalg.solve(inner, self.sides[:, :-1].T @ goal)
        y = tried.values @ self._estimator.filter
        rest = tried.values @ v - self._estimator.signals(tried) @ (self._directions.T @ v)
        if np.ptp(rest) == 0 or np.ptp(y) == 0:
            return 0.0
        return float(np.corrcoef(y, rest)[0, 1])


def _of_filter(weights: Float[np.ndarray, " numbers"]) -> Estimator:
    return Estimator(weights, (weights / (weights @ weights))[None])


def _of_patterns(of: Patches) -> list[Estimator]:
    """The direction in which patches vary with y; and one each where the unit is on and off, if it is both."""
    y = of.values @ of.filter
    estimators = [Estimator(of.filter, ((y - y.mean()) @ of.values / len(y) / y.var())[None])]
    directions = [_pattern(of.values[side], y[side], y.mean(), of.filter) for side in (of.on, ~of.on) if side.any()]
    if len(directions) == 2:
        estimators.append(Estimator(of.filter, np.stack(directions), apart=True))
    return estimators


def _pattern(x: np.ndarray, y: np.ndarray, mean: float, weights: np.ndarray) -> Float[np.ndarray, " numbers"]:
    """The direction of a side: (E[x y] - E[x] E[y]) / w (the same), where E[y] is over both sides."""
    direction: np.ndarray = x.T @ y / len(y) - x.mean(0) * mean
    scale = weights @ direction
    return direction / scale if scale else direction


def _words(value: float, null: Null) -> str:
    side = null.side(value)
    if not side or null.limits is None:
        return ""
    low, high = null.limits
    return (
        f"The filter is a {'better' if side > 0 else 'poorer'} stand-in for what the unit responds to than its own "
        f"weights, shuffled, are for theirs (quality {value:.2g}; {low:.2g} to {high:.2g})."
    )
