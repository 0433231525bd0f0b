"""Is a picture an edge map, or the image itself? What a picture shares with its image beside what it would anyway."""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from deconvnet.probes.edges import edges_of
from deconvnet.probes.measure import Measure, Null, outside
from deconvnet.probes.neighbours import in_other_images, in_random_networks, null_of
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.similarity import array_of, pearson, spearman, strength_of

_NAME, _QUESTION = "edges", "Is the picture a map of the image's edges?"
_BLUR = 3.0  # pixels: standard deviation of the neighbourhood that a pixel is normalised by


def edges(pictured: Pictured) -> Measure:
    """The rank correlation of the picture's strength with the image's edges (Sobel), where the picture lies.

    `details` has the correlation of the signed picture with the image, and with the image whose pixels are normalised
    by the mean and deviation around them. The value stands beside that of random networks' pictures, which do not know
    more than edges, and of this picture with the edges of other places in the image and of other images.
    """
    if not pictured.own.any():
        return Measure(_NAME, _QUESTION, why_not="the picture is zero everywhere.")
    strength, all_edges = strength_of(pictured.own), edges_of(array_of(pictured.x[0]))
    value = spearman(strength, pictured.inside(all_edges))
    if value is None:
        what = "the image" if np.ptp(strength) else "the strength of the picture"
        return Measure(_NAME, _QUESTION, why_not=f"{what} is the same all over, or too small.")
    normalised = pictured.inside(_normalised(array_of(pictured.x[0])))
    correlations = (
        ("correlation with the image", pearson(pictured.own, pictured.image)),
        ("correlation with the normalised image", pearson(pictured.own, normalised)),
    )
    nulls = (
        *null_of("random networks", (draw.edges for draw in in_random_networks(pictured))),
        *null_of("other places in the image", _elsewhere(pictured, strength, all_edges)),
        *null_of("other images", (draw.edges for draw in in_other_images(pictured))),
    )
    details = tuple((name, each) for name, each in correlations if each is not None)
    return Measure(_NAME, _QUESTION, value, details, nulls, _words(value, nulls))


def _elsewhere(
    pictured: Pictured, strength: Float[np.ndarray, "*field"], all_edges: Float[np.ndarray, "*size"]
) -> list[float | None]:
    """The rank correlations with the edges at other places in the image; none if there are not enough places."""
    rooms = [size - length for size, length in zip(all_edges.shape, strength.shape, strict=True)]
    if math.prod(room + 1 for room in rooms) <= 2 * pictured.draws:
        return []
    own = tuple(max(0, low) for low in pictured.box.low)
    random, correlations = pictured.generator(_NAME), list[float | None]()
    while len(correlations) < pictured.draws:
        low = tuple(int(torch.randint(room + 1, (1,), generator=random, device="cpu")) for room in rooms)
        if low != own:
            part = tuple(slice(first, first + length) for first, length in zip(low, strength.shape, strict=True))
            correlations.append(spearman(strength, all_edges[part]))
    return correlations


def _normalised(image: Float[np.ndarray, "c *size"]) -> Float[np.ndarray, "c *size"]:
    """An image less the mean around each pixel, divided by the deviation there."""
    blur = [0.0, *[_BLUR] * (image.ndim - 1)]
    centred = image - gaussian_filter(image, blur)
    deviation = np.sqrt(gaussian_filter(centred**2, blur))
    normalised: np.ndarray = centred / (deviation + np.std(centred) / 100 + np.finfo(float).tiny)
    return normalised


def _words(value: float, nulls: tuple[Null, ...]) -> str:
    subject = {"random networks": "the pictures of random networks follow them"}
    said = [
        f"{more} than {subject.get(null.name, f'those of {null.name}')} ({between})"
        for null, more, between in outside(value, nulls)
    ]
    if not said:
        return ""
    if round(value, 2) <= 0:
        return (
            f"The picture's strength does not follow the image's edges: its rank correlation with them is {value:.2f}, "
            f"{', and '.join(said)}."
        )
    return f"The picture's strength follows the image's edges (rank correlation {value:.2f}) {', and '.join(said)}."
