"""Parts of a photo covered by hand: in the network's input, and in the picture of it."""

import base64
import io
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from deconvnet.photos.preprocess import Preprocess
from deconvnet.probes.occluders import filling
from deconvnet.viewer.asks import Dab
from deconvnet.viewer.images import webp


def covered(size: Sequence[int], dabs: Sequence[Dab]) -> Bool[Tensor, "h w"]:
    """The pixels of the network's input that the brush covers: those whose middle lies in one of its discs."""
    mask = torch.zeros(*size, dtype=torch.bool, device="cpu")
    middles = [torch.arange(length, dtype=torch.float64, device="cpu") + 0.5 for length in size]
    for dab in dabs:
        ends = [(at - dab.radius, at + dab.radius) for at in (dab.row, dab.column)]
        rows, columns = (axis[(axis >= low) & (axis <= high)] for axis, (low, high) in zip(middles, ends, strict=True))
        if len(rows) and len(columns):
            inside = (rows[:, None] - dab.row) ** 2 + (columns - dab.column) ** 2 <= dab.radius**2
            mask[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1] |= inside
    return mask


def covered_x(x: Float[Tensor, "1 c h w"], mask: Bool[Tensor, "h w"]) -> tuple[Float[Tensor, "1 c h w"], str]:
    """The input with what the mask covers filled, and with what, in words."""
    fill, words = filling("mean", x, None)
    return torch.where(mask.to(x.device), fill, x), words


def covered_picture(picture: str, dabs: Sequence[Dab], size: Sequence[int], preprocess: Preprocess) -> str:
    """A photo's picture, base64 of WebP, with the same parts covered in the colour of the mean pixel."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as opened:
        image = opened.convert("RGB")
    levels = [round(255 * min(max(mean / preprocess.scale, 0), 1)) for mean in preprocess.mean]
    colour = (levels[0], levels[len(levels) // 2], levels[-1])
    draw, (height, width) = ImageDraw.Draw(image), size
    for dab in dabs:
        (y, x), (down, right) = (dab.row, dab.column), (image.height / height, image.width / width)
        draw.ellipse(
            ((x - dab.radius) * right, (y - dab.radius) * down, (x + dab.radius) * right, (y + dab.radius) * down),
            fill=colour,
        )
    return webp(image)
