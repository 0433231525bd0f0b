"""An image's edges: what a picture that only detects edges would show."""

import numpy as np
from jaxtyping import Float
from skimage.filters import sobel


def edges_of(image: Float[np.ndarray, "c *size"]) -> Float[np.ndarray, "*size"]:
    """The magnitude of Sobel's gradient at each pixel: the root of the sum of squares over the channels."""
    gradients = (sobel(channel) for channel in image)  # type: ignore[no-untyped-call]  # scikit-image ships no types
    strength: np.ndarray = np.sqrt(sum(gradient**2 for gradient in gradients))
    return strength
