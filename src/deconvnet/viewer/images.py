"""The small pictures of a page: signals, maps and photos as WebP, compact enough for a mail attachment."""

import base64
import io
import math

import numpy as np
import torch
from jaxtyping import Float, Integer
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from deconvnet._types import Box
from deconvnet.photos.photo import Photo
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures import render as pictures
from deconvnet.results.reconstruction import Reconstruction

_EXACT = 576  # pixels of a picture that is stored without loss
TILE = 48  # pixels of a step's picture
_SEEN, _WHOLE = 640, 240  # pixels of the photo's longer side: what the network sees, and the whole photo


def forward_tile(maps: Float[Tensor, "c *size"]) -> str:
    """A layer's forward maps, all together, as a tile."""
    values = strength(maps, 0) if maps.ndim > 1 else maps
    return webp(Image.fromarray(tiles(values[None])[0].numpy()))


def strength(maps: Tensor, axis: int) -> Tensor:
    """The strength of all maps together at each position, at least in float32: squares of half floats overflow."""
    strength: Tensor = torch.linalg.vector_norm(maps.to(torch.promote_types(maps.dtype, torch.float32)), dim=axis)
    return strength


def tiles(values: Float[Tensor, "m *size"]) -> Integer[Tensor, "m side side"]:
    """Maps as small grey squares, zero in mid-grey, each on its own scale; what does not have two axes row by row."""
    if values.ndim != 3:
        values = values.flatten(1)
        side = math.isqrt(max(values.shape[1] - 1, 0)) + 1
        values = pad(values, (0, side * side - values.shape[1])).view(len(values), side, side)
    largest = values.abs().flatten(1).amax(1).clamp(min=torch.finfo(values.dtype).tiny)
    relative = (values / largest[:, None, None]).float()[:, None]
    small = max(values.shape[1:]) <= TILE
    mode = "nearest-exact" if small else "area"
    return (interpolate(relative, (TILE, TILE), mode=mode)[:, 0] * 127 + 128).round().byte().cpu()


def signal_map(values: Float[np.ndarray, "h w"]) -> str:
    """A part of one map of a signal, a pixel for each position, zero in mid-grey; exact."""
    levels = np.round(values / max(float(np.abs(values).max()), 1e-30) * 127 + 128).astype(np.uint8)
    return webp(Image.fromarray(levels), lossless=True)


def map_image(values: Float[Tensor, "*size"]) -> str:
    """A feature map, a pixel for each unit: black at zero and below, white at its strongest; "" without axes."""
    if values.ndim != 2:
        return ""
    values = values.cpu().double()
    levels = (values.clamp(min=0) / values.max().clamp(min=1e-30) * 255).round().byte()
    return webp(Image.fromarray(levels.numpy()), lossless=True)


def signal_picture(result: Reconstruction, i: int, box: Box) -> Image.Image:
    """A unit's picture; the signal's magnitude for a network whose input is neither grey nor coloured."""
    return pictures.render(pictures.crop(result.whole(i), box))


def photo_pictures(preprocess: Preprocess, photo: Photo) -> tuple[str, str, tuple[float, float, float, float]]:
    """What the network sees of a photo, the whole photo if that is more, and where in it the former lies."""
    region = preprocess.box_in_photo(Box((0, 0), preprocess.size), photo.size)
    height, width = photo.size
    (top, left), (bottom, right) = region.low, region.high
    seen = (top / height, left / width, bottom / height, right / width)
    aspect = preprocess.size[1] / preprocess.size[0]
    long = min(_SEEN, max(region.size))
    sides = (long, max(1, round(long / aspect))) if aspect >= 1 else (max(1, round(long * aspect)), long)
    part = photo.cut(region).resize(sides, Image.Resampling.LANCZOS)
    if preprocess.channels == 1:
        part = part.convert("L")
    whole = ""
    if min(seen[2] - seen[0], seen[3] - seen[1]) < 0.98:
        small = photo.image()
        small.thumbnail((_WHOLE, _WHOLE), Image.Resampling.LANCZOS)
        whole = webp(small)
    return webp(part), whole, seen


def webp(image: Image.Image, *, lossless: bool = False, quality: int = 80) -> str:
    """An image as base64 of WebP, `quality` 0 to 100; a very small one, such as a filter, is stored exactly."""
    lossless = lossless or image.width * image.height <= _EXACT
    file = io.BytesIO()
    image.save(
        file, "WEBP", lossless=lossless, quality=quality, method=0 if lossless else 2
    )  # more takes twice as long, for 2 % less
    return base64.b64encode(file.getvalue()).decode("ascii")
