"""The mathematics of table 1 of the paper: signs of changes, how far they differ, and whether that is chance."""

from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor

_ROUNDING = 16  # units in the last place of the layer's largest activation
_CHUNK = 2**16  # features that are compared at once


def signs(before: Float[Tensor, "d"], after: Float[Tensor, "m d"]) -> Int8[Tensor, "m d"]:
    """The sign of what each feature loses, sign(before - after): -1, 0 or 1.

    Changes below 16 units in the last place of the largest activation are rounding: a feature that does not see what
    was covered may differ by that much, and counts as unchanged.
    """
    lost = before - after
    rounding = _ROUNDING * torch.finfo(before.dtype).eps * float(before.abs().max()) if before.numel() else 0.0
    return (torch.sign(lost) * (lost.abs() > rounding)).to(torch.int8)


def hamming(signs: Int8[Tensor, "m d"]) -> Float[np.ndarray, "m m"]:
    """The share of features in which the signs of two rows differ, for all pairs of rows: 0 to 1."""
    m, d = signs.shape
    agree = torch.zeros(m, m, dtype=torch.float64, device="cpu")
    for part in torch.split(signs, _CHUNK, 1):  # sums of so few ones are exact in float32
        for value in (-1, 0, 1):
            ones = (part == value).float()
            agree += (ones @ ones.T).cpu().double()
    result: Float[np.ndarray, "m m"] = 1 - agree.numpy() / d
    return result


def over_pairs(distances: Float[np.ndarray, "n k n k"], masks: Int[np.ndarray, " n"]) -> Float[np.ndarray, " q"]:
    """The distance of each pair of photos, each photo with the mask that is chosen for it."""
    pairs = combinations(range(len(masks)), 2)
    return np.array([distances[i, masks[i], j, masks[j]] for i, j in pairs])


def p_value(distances: Float[np.ndarray, "n k n k"], permutations: int, generator: np.random.Generator) -> float:
    """How often masks drawn at random are as consistent over photos as the part, which is mask 0 of each photo.

    Were the part like any other region, it could change places with each random mask of the same photo: each
    permutation draws one mask for each photo, the part among them, and counts if the mean distance over pairs is not
    above that of the part.

    Returns:
        (1 + permutations that count) / (1 + permutations).
    """
    photos, masks = distances.shape[:2]
    first, second = np.triu_indices(photos, 1)
    observed = distances[first, 0, second, 0].mean()
    drawn = generator.integers(0, masks, (permutations, photos))
    counting = 0
    for chosen in np.array_split(drawn, -(-permutations * len(first) // 2**20)):
        means = distances[first, chosen[:, first], second, chosen[:, second]].mean(1)
        counting += int((means <= observed + 1e-12).sum())
    return (1 + counting) / (1 + permutations)
