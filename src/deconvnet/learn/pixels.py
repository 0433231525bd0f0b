"""Seeing what was learned: filters in pixels, and a picture taken apart into its parts."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from deconvnet._errors import ArgumentError
from deconvnet.learn.convolve import synthesis
from deconvnet.learn.layer import DeconvLayer
from deconvnet.learn.net import AdaptiveDeconvNet, Codes, strongest
from deconvnet.learn.pooling import Switches, unpool


@torch.no_grad()
def pixel_filters(net: AdaptiveDeconvNet, layer: int | None = None) -> Float[Tensor, "m c h w"]:
    """What one activation of each of a layer's maps paints in pixels, far from any border.

    One activation of 1 and all others zero is carried down through the filters below and, where maps are pooled,
    unpooled to the place of each block that was most often the strongest in training; before any training, to the
    first (Zeiler et al. 2010 and 2011, figures of filters). The first layer's are its filters.

    Args:
        net: the network.
        layer: its number; the last by default.

    Raises:
        ArgumentError: no such layer.

    Example:
        >>> [pixel_filters(AdaptiveDeconvNet.of([15, 50, 100, 150]), layer).shape[-1] for layer in (1, 2, 3, 4)]
        [7, 27, 87, 267]
    """
    number = len(net.layers) if layer is None else layer
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(net.layers):
        raise ArgumentError(f"layers are numbered from 1 to {len(net.layers)}; got {layer!r}.")
    maps = net.layers[number - 1].filters
    for below in reversed(net.layers[: number - 1]):
        maps = F.conv_transpose2d(_usually_unpooled(maps, below), below.filters)
    return maps.clone()


def _usually_unpooled(maps: Float[Tensor, "n k h w"], layer: DeconvLayer) -> Float[Tensor, "n m y x"]:
    if layer.pool is None:
        return maps
    (p, q, s), (n, k, h, w) = layer.pool, maps.shape
    offsets = layer.usual.argmax(1)[None, :, None, None].expand(n, k, h, w)
    return unpool(maps, Switches(offsets, layer.pool, (k * s, h * p, w * q)))[:, : layer.maps]


@torch.no_grad()
def parts(
    net: AdaptiveDeconvNet, codes: Codes, image: int = 0, layer: int | None = None, keep: Sequence[int] = (5, 25, 125)
) -> dict[int, Float[Tensor, "parts c h w"]]:
    """The strongest activation of a layer, taken apart (Zeiler et al. 2011, figure 1).

    The activation is carried down to the layer below; of what arrives there the strongest activations are its parts,
    each of which paints a picture of its own; these are carried down together, and so on.

    Args:
        net: the network.
        codes: from `infer`.
        image: number of the image.
        layer: where the one activation lies; the last by default.
        keep: how many parts in each layer below, from the top down; where there are fewer layers, the last of these,
            so that the lowest has as many as in the paper.

    Returns:
        By layer, from the top down, what each part paints, the strongest first; the first has one.

    Raises:
        ArgumentError: no such layer or image, or the layer has no activation above or below zero.
    """
    number = len(codes) if layer is None else layer
    if not 0 <= image < len(codes[number].z):
        raise ArgumentError(f"images are numbered from 0 to {len(codes[number].z) - 1}; got {image!r}.")
    geometries = net.geometries(codes.size, number)
    z = codes[number].z[image : image + 1]
    if not z.any():
        raise ArgumentError(f"nothing is active in layer {number} of image {image}.")
    found: dict[int, Tensor] = {}
    for at, count in zip(range(number, 0, -1), (1, *keep[max(len(keep) - number + 1, 0) :]), strict=False):
        z = z * strongest(z, count)
        each = _apart(z)
        filters, geometry = net.layers[at - 1].filters, geometries[at - 1]
        alike = codes.of(image, len(each))
        found[at] = net.painted(synthesis(each, filters, geometry), at, alike, geometries)
        if at > 1:
            arrived, switches = synthesis(z, filters, geometry), codes.of(image)[at - 1].switches
            z = arrived if switches is None else unpool(arrived, switches)
    return found


def _apart(z: Float[Tensor, "1 m h w"]) -> Float[Tensor, "parts m h w"]:
    """Every activation alone, the strongest first."""
    flat = z.flatten()
    places = flat.abs().argsort(descending=True, stable=True)[: int((flat != 0).sum())]
    each = z.new_zeros(len(places), len(flat))
    each[torch.arange(len(places)), places] = flat[places]
    return each.view(len(places), *z.shape[1:])
