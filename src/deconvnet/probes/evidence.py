"""Whether covering what a picture shows silences the map: the paper's causal check, beside two that know less."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr
from skimage.filters import sobel

from deconvnet.probes.occluders import Occluders

_WIDTH = 0.25  # of each side of the image: the standard deviation of the centred Gaussian


@dataclass(frozen=True)
class Evidence:
    """How the drop of a map's activity goes with what is covered: Spearman's rank correlations over all positions.

    Each is -1 to 1; None where it is not defined, because one side is the same everywhere.

    Attributes:
        picture: with the energy of the map's picture that is covered.
        edges: with the Sobel energy of the image that is covered, which knows nothing of the network.
        centre: with a Gaussian in the centre of the image, which knows nothing of the image.
    """

    picture: float | None
    edges: float | None
    centre: float | None

    @property
    def margin(self) -> float | None:
        """By how much the picture tells more than the better of the other two; 0 or less says nothing for it."""
        others = [value for value in (self.edges, self.centre) if value is not None]
        return None if self.picture is None or not others else self.picture - max(others)


def evidence(
    drops: Float[np.ndarray, "p m"],
    pictures: Float[np.ndarray, "m *size"],
    image: Float[np.ndarray, "c *size"],
    occluders: Occluders,
) -> tuple[Evidence, ...]:
    """For each map, how its drops go with what is covered.

    Args:
        drops: of each map's activity, at each position.
        pictures: the magnitude of each map carried down.
        image: the network's input.
        occluders: what is covered.
    """
    edges = sobel(image.mean(0))  # type: ignore[no-untyped-call]  # scikit-image ships no types
    edge_sums, centre_sums = occluders.sums(edges), occluders.sums(gaussian_in_centre(occluders.size))
    return tuple(
        Evidence(
            picture=_correlation(drop, sums),
            edges=_correlation(drop, edge_sums),
            centre=_correlation(drop, centre_sums),
        )
        for drop, sums in zip(drops.T, occluders.sums(pictures), strict=True)
    )


def gaussian_in_centre(size: tuple[int, ...]) -> Float[np.ndarray, "*size"]:
    """A Gaussian in the centre, which knows nothing of an image."""
    axes = [np.exp(-(((np.arange(n) - (n - 1) / 2) / (_WIDTH * n)) ** 2) / 2) for n in size]
    return np.asarray(np.prod(np.meshgrid(*axes, indexing="ij"), axis=0))


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < 2 or (a == a[0]).all() or (b == b[0]).all():
        return None
    return float(spearmanr(a, b).statistic)
