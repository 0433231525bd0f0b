"""What a curve of distances says as numbers: how steep it starts, where it is flat, whether it is straight."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from deconvnet.probes.transforms import Kind, amount

_FLAT = 0.9  # of the largest distance
_LEAST_TURN = 45.0  # degrees: smaller turns are alike because they are small


@dataclass(frozen=True)
class Curve:
    """What one photo's distances at one layer say under one kind of transform.

    They are relative: divided by the length of the layer's activations for the photo as it is. What is not defined is
    nan.

    Attributes:
        slope: distance per pixel, per 1 of scale, or per degree, of the smallest transforms.
        saturation: the smallest translation, scale above 1 or turn at which the distance is 90 % of the largest.
        rank_correlation: of distance and amount (Spearman's); 1 where the distance never falls.
        linear_correlation: of distance and amount (Pearson's); 1 where the distance is a straight line.
        mean: of the distances.
        largest: of the distances.
        closest_angle: of a rotation, the angle of 45 degrees or more at which the distance is smallest.
        closest_ratio: that distance divided by the median of those at 45 degrees or more. A small one is an exception:
            the photo looks alike when it is turned by that angle.
    """

    slope: float
    saturation: float
    rank_correlation: float
    linear_correlation: float
    mean: float
    largest: float
    closest_angle: float
    closest_ratio: float


def curve(kind: Kind, values: Float[np.ndarray, " t"], distances: Float[np.ndarray, " t"]) -> Curve:
    """A curve as numbers.

    Args:
        kind: of transform.
        values: of the transforms.
        distances: at each of them, relative; nan where they are not defined.
    """
    if not np.isfinite(distances).all():
        return Curve(*[math.nan] * 8)
    amounts = amount(kind, values)
    turn = closest_turn(values, amounts, distances) if kind == "rotation" else (math.nan, math.nan)
    return Curve(
        slope(amounts, distances), saturation(amounts, distances), rank_correlation(amounts, distances),
        linear_correlation(amounts, distances), float(distances.mean()), float(distances.max()), *turn,
    )  # fmt: skip


def slope(amounts: Float[np.ndarray, " t"], distances: Float[np.ndarray, " t"]) -> float:
    """Distance per unit of the smallest transforms above zero, the mean of those; nan if there are none."""
    moved = amounts > 0
    if not moved.any():
        return math.nan
    nearest = np.isclose(amounts, amounts[moved].min())
    return float((distances[nearest] / amounts[nearest]).mean())


def saturation(amounts: Float[np.ndarray, " t"], distances: Float[np.ndarray, " t"]) -> float:
    """The smallest amount from which on a distance is 90 % of the largest; nan where all distances are zero."""
    largest = distances.max(initial=0)
    return float(amounts[distances >= _FLAT * largest].min()) if largest > 0 else math.nan


def rank_correlation(amounts: Float[np.ndarray, " t"], distances: Float[np.ndarray, " t"]) -> float:
    """Spearman's: 1 where the distance never falls as the amount grows; nan where one of them is constant."""
    return float(stats.spearmanr(amounts, distances).statistic) if _vary(amounts, distances) else math.nan


def linear_correlation(amounts: Float[np.ndarray, " t"], distances: Float[np.ndarray, " t"]) -> float:
    """Pearson's: 1 where the distance is a straight line; nan where one of them is constant."""
    return float(stats.pearsonr(amounts, distances).statistic) if _vary(amounts, distances) else math.nan


def closest_turn(
    angles: Float[np.ndarray, " t"], amounts: Float[np.ndarray, " t"], distances: Float[np.ndarray, " t"]
) -> tuple[float, float]:
    """The angle of 45 degrees or more at which the distance is smallest, and this distance relative to their median.

    A small ratio is an exception to the change by rotation: the object looks alike when it is turned by that angle.
    Both are nan where there are fewer than three such angles, or all distances are zero.
    """
    turned = np.flatnonzero(amounts >= _LEAST_TURN)
    if len(turned) < 3 or not distances[turned].any():
        return math.nan, math.nan
    closest = turned[distances[turned].argmin()]
    median = float(np.median(distances[turned]))
    return float(angles[closest]), float(distances[closest]) / median if median else math.nan


def _vary(amounts: Float[np.ndarray, " t"], distances: Float[np.ndarray, " t"]) -> bool:
    return len(amounts) > 1 and bool(np.ptp(amounts) > 0) and bool(np.ptp(distances) > 0)
