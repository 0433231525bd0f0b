"""How alike two pictures are: the measures of Adebayo et al. (2018) and the cosine."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import Tensor

_CELL, _LEAST_CELL, _CELLS = 16, 4, 8  # pixels of a HOG cell; in pictures of less than 8 cells a side they shrink
_WINDOW = 11  # pixels of SSIM's Gaussian window, which smaller pictures do not hold

NAMES = {
    "cosine": "cosine", "spearman": "rank correlation", "spearman_abs": "rank correlation of strengths", "ssim": "SSIM",
    "hog": "HOG",
}  # fmt: skip
"""What people call the measures of `Similarity`."""


@dataclass(frozen=True)
class Similarity:
    """How alike two pictures are. 1 where they are the same up to a positive factor, about 0 where unrelated.

    Each is None where it is not defined: a picture is the same all over, or too small.

    Attributes:
        cosine: of the signed signals.
        spearman: rank correlation of the signed signals.
        spearman_abs: rank correlation of the magnitudes, summed over the input's channels.
        ssim: structural similarity of these, each scaled to 0 to 1.
        hog: rank correlation of the histograms of their gradients, in cells of 16 pixels; smaller in small pictures.
    """

    cosine: float | None
    spearman: float | None
    spearman_abs: float | None
    ssim: float | None
    hog: float | None


def similarity(a: Float[np.ndarray, "c *size"], b: Float[np.ndarray, "c *size"]) -> Similarity:
    """How alike two pictures are, by all measures.

    Args:
        a, b: signed signals.
    """
    strength = strength_of(a), strength_of(b)
    return Similarity(
        cosine(a, b), spearman(a, b), spearman(*strength), _ssim(*map(_scaled, strength)), _hog(*map(_scaled, strength))
    )


def array_of(values: Tensor) -> np.ndarray:
    """A signal as pictures are compared: in float64 on the CPU."""
    array: np.ndarray = values.detach().cpu().double().numpy()
    return array


def strength_of(picture: Float[np.ndarray, "c *size"]) -> Float[np.ndarray, "*size"]:
    """The magnitudes of a picture, summed over its channels."""
    total: np.ndarray = np.abs(picture).sum(0)
    return total


def cosine(a: np.ndarray, b: np.ndarray) -> float | None:
    """The cosine of the angle between two signals; None if one is zero."""
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return None if 0 in lengths else float(np.vdot(a / lengths[0], b / lengths[1]))


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Rank correlation; None if one side is the same all over."""
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a.ravel(), b.ravel()).statistic)


def spearmans(a: np.ndarray, others: Iterable[np.ndarray]) -> list[float | None]:
    """Rank correlation of one signal with each of several; as `spearman`."""
    own = _ranked(a)
    ranks = (_ranked(other) for other in others)
    return [None if own is None or rank is None else float(own @ rank) for rank in ranks]


def pearson(a: np.ndarray, b: np.ndarray) -> float | None:
    """Correlation; None if one side is the same all over."""
    return cosine(a - a.mean(), b - b.mean()) if a.size > 1 and np.ptp(a) and np.ptp(b) else None


def _ranked(a: np.ndarray) -> Float[np.ndarray, " n"] | None:
    """Ranks less their mean, of length 1; None if they are all the same."""
    if a.size < 2 or np.ptp(a) == 0:
        return None
    ranks: np.ndarray = rankdata(a.ravel())
    ranks -= ranks.mean()
    ranks /= np.linalg.norm(ranks)
    return ranks


def _scaled(strength: np.ndarray) -> np.ndarray:
    low, span = strength.min(initial=np.inf), np.ptp(strength) if strength.size else 0
    return (strength - low) / span if span else np.zeros_like(strength)


def _ssim(a: np.ndarray, b: np.ndarray) -> float | None:
    if not a.any() or not b.any() or min(a.shape, default=0) < _WINDOW:
        return None
    alike = structural_similarity(a, b, data_range=1.0, gaussian_weights=True)  # type: ignore[no-untyped-call]  # scikit-image ships no types
    return float(alike)


def _hog(a: np.ndarray, b: np.ndarray) -> float | None:
    if a.ndim != 2 or min(a.shape) < _LEAST_CELL:
        return None
    cell = min(_CELL, max(_LEAST_CELL, min(a.shape) // _CELLS))
    block = min(3, min(a.shape) // cell)
    if not block:
        return None
    described = [hog(each, pixels_per_cell=(cell, cell), cells_per_block=(block, block)) for each in (a, b)]
    return spearman(*described)
