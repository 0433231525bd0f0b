"""Images resized to fit a cell, a tile or a figure. No torch here: viewing an atlas does not need it."""

import math

from PIL import Image


def fit(image: Image.Image, side: int, *, even: bool = False) -> Image.Image:
    """The image with its longer side `side` long: reduced with antialiasing, or enlarged with sharp pixels.

    Args:
        image: any mode that Pillow can resize; the mode stays.
        side: in pixels.
        even: enlarge all pixels alike, with blended edges where `side` is not a multiple of the image's; otherwise
            colours stay as they are, and some pixels become larger than others by one.

    Example:
        >>> fit(Image.new("RGB", (30, 20)), 120).size
        (120, 80)
    """
    return resized(image, fitted(image.size, side), even=even)


def resized(image: Image.Image, size: tuple[int, int], *, even: bool = False) -> Image.Image:
    """The image in another size (width, height): reduced with antialiasing, or enlarged with sharp pixels.

    Args:
        image, even: as in `fit`.
        size: width and height in pixels.
    """
    if size == image.size:
        return image
    if size[0] < image.width or size[1] < image.height:
        return image.resize(size, Image.Resampling.LANCZOS)
    if not even:
        return image.resize(size, Image.Resampling.NEAREST)
    whole = math.ceil(max(size[0] / image.width, size[1] / image.height))  # whole pixels first, the rest by averaging
    enlarged = image.resize((image.width * whole, image.height * whole), Image.Resampling.NEAREST)
    return enlarged.resize(size, Image.Resampling.BOX)


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """A size (width, height) of the same shape with its longer side `side` long, all in pixels."""
    factor = side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
