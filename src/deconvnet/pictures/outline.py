"""The outline of a region on a picture. No torch here: viewing an atlas does not need it."""

import numpy as np
from jaxtyping import Bool
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

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
    pixels[binary_dilation(region) & ~region] = _EDGE
    pixels[region & ~binary_erosion(region)] = _LINE  # a region that the border cuts is closed along it
    return Image.fromarray(pixels)
