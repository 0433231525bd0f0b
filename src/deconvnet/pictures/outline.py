"""The outline of a region on a picture. No torch here: viewing an atlas does not need it."""

import numpy as np
from jaxtyping import Bool
from PIL import Image
from skimage.segmentation import find_boundaries

from deconvnet._errors import ArgumentError

_LINE, _EDGE = (255, 225, 0), (0, 0, 0)  # a light line with a dark one around it shows on any photo


def outlined(image: Image.Image, region: Bool[np.ndarray, "h w"]) -> Image.Image:
    """The image with the outline of a region: a yellow line along its inside, and a black one around that; RGB.

    Args:
        image: any mode.
        region: of the image's size, True inside.

    Raises:
        ArgumentError: another size than the image's.
    """
    if region.shape != (image.height, image.width):
        raise ArgumentError(f"a region of {region.shape} does not fit an image of {image.height} x {image.width}.")
    pixels = np.array(image.convert("RGB"))
    padded = np.pad(region, 1)  # a region that the border cuts is closed along it
    pixels[find_boundaries(padded, mode="outer")[1:-1, 1:-1]] = _EDGE
    pixels[find_boundaries(padded, mode="inner")[1:-1, 1:-1]] = _LINE
    return Image.fromarray(pixels)
