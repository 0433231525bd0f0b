"""The outline of a region on a picture. No torch here: viewing an atlas does not need it."""

import math

import numpy as np
from jaxtyping import Bool
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from deconvnet._errors import ArgumentError

_TILE = 512  # pixels of the longer side in most figures
_LINE, _EDGE = (255, 225, 0), (0, 0, 0)  # a light line with a dark one around it shows on any photo


def outlined(image: Image.Image, region: Bool[np.ndarray, "h w"]) -> Image.Image:
    """The image with the outline of a region: a yellow line along its inside, and a black one around that; RGB.

    The lines of a large image are as thick as it takes to see them where it is reduced to a figure's tile.

    Args:
        image: any mode.
        region: of the image's size, True inside.

    Raises:
        ArgumentError: another size than the image's.
    """
    if region.shape != (image.height, image.width):
        raise ArgumentError(f"a region of {region.shape} does not fit an image of {image.height} x {image.width}.")
    pixels = np.array(image.convert("RGB"))
    thick = math.ceil(max(image.size) / _TILE)
    pixels[binary_dilation(region, iterations=thick) & ~region] = _EDGE
    pixels[region & ~binary_erosion(region, iterations=thick)] = _LINE  # what the border cuts is closed along it
    return Image.fromarray(pixels)
