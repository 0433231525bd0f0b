"""What was learned, in pixels: the filters of a layer, and one activation taken apart into its parts."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from deconvnet._checks import as_index, as_list, instance, short, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._precision import AS_THE_WEIGHTS
from deconvnet.learn.codes import Codes, strongest
from deconvnet.learn.convolve import synthesis
from deconvnet.learn.layer import DeconvLayer
from deconvnet.learn.net import AdaptiveDeconvNet, checked_layer
from deconvnet.learn.pooling import Switches, unpool


@torch.no_grad()
@AS_THE_WEIGHTS.held()
def pixel_filters(net: AdaptiveDeconvNet, layer: int | None = None) -> Float[Tensor, "m c h w"]:
    """What one activation of each of a layer's maps paints in pixels, far from any border.

    One activation of 1 and all others zero is carried down through the filters below and, where maps are pooled,
    unpooled to the position of each block that was most often the strongest in training; before any training, to the
    first (Zeiler et al. 2010 and 2011, figures of filters). The first layer's are its filters.

    Args:
        net: the network.
        layer: which, from 1; the last by default.

    Raises:
        ArgumentError: no such layer.

    Example:
        >>> [pixel_filters(AdaptiveDeconvNet.of([15, 50, 100]), layer).shape[-1] for layer in (1, 2, 3)]
        [7, 27, 87]
    """
    layer = checked_layer(instance("net", net, AdaptiveDeconvNet), layer)
    maps = net.layers[layer - 1].filters
    for below in reversed(net.layers[: layer - 1]):
        maps = F.conv_transpose2d(_usually_unpooled(maps, below), below.filters)
    return maps.clone()


def _usually_unpooled(maps: Float[Tensor, "n k h w"], layer: DeconvLayer) -> Float[Tensor, "n m y x"]:
    if layer.pool is None:
        return maps
    (p, q, s), (n, k, h, w) = layer.pool, maps.shape
    offsets = layer.usual.argmax(1)[None, :, None, None].expand(n, k, h, w)
    return unpool(maps, Switches(offsets, layer.pool, (k * s, h * p, w * q)))[:, : layer.maps]


@torch.no_grad()
@AS_THE_WEIGHTS.held()
def parts(
    net: AdaptiveDeconvNet, codes: Codes, image: int = 0, layer: int | None = None, keep: Sequence[int] = (5, 25, 125)
) -> dict[int, Float[Tensor, "parts c h w"]]:
    """The strongest activation of a layer, taken apart (Zeiler et al. 2011, figure 1).

    The activation is carried down to the layer below. The strongest activations that arrive there are its parts, each
    of which paints a picture of its own; together they are carried down further, and so on.

    Args:
        net: the network.
        codes: from `infer`.
        image: index of the image.
        layer: the layer of the activation; the last by default.
        keep: how many parts in each layer below, from the top down; with fewer layers the last of these count, so
            that the lowest has as many as in the paper.

    Returns:
        By layer, from the top down, what each part paints, the strongest first; the top layer has one.

    Raises:
        ArgumentError: no such layer or image, or all activations of the layer are zero.
    """
    instance("codes", codes, Codes)
    codes[top := len(codes) if layer is None else layer]  # or it says which were inferred
    top = checked_layer(instance("net", net, AdaptiveDeconvNet), top)
    counts = as_list(keep)
    if counts is None:
        raise ArgumentError(f"keep is how many parts each layer below has, from the top down; got {short(keep)}.")
    counts = [whole_number("a count in keep", count) for count in counts]
    index = as_index(image)
    if index is None or not 0 <= index < len(codes[top].z):
        raise ArgumentError(f"images are numbered from 0 to {len(codes[top].z) - 1}; got {short(image)}.")
    image = index
    geometries = net.geometries(codes.size, top)
    z = codes[top].z[image : image + 1]
    if not z.any():
        raise ArgumentError(f"nothing is active in layer {top} of image {image}.")
    pictures: dict[int, Tensor] = {}
    for i, count in zip(range(top, 0, -1), (1, *counts[max(len(counts) - top + 1, 0) :]), strict=False):
        z = z * strongest(z, count)
        alone = _one_by_one(z)
        filters, geometry = net.layers[i - 1].filters, geometries[i - 1]
        repeated = codes.of(image, len(alone))
        pictures[i] = net.painted(synthesis(alone, filters, geometry), i, repeated, geometries)
        if i > 1:
            maps, switches = synthesis(z, filters, geometry), codes.of(image)[i - 1].switches
            z = maps if switches is None else unpool(maps, switches)
    return pictures


def _one_by_one(z: Float[Tensor, "1 m h w"]) -> Float[Tensor, "parts m h w"]:
    """Every activation alone, the strongest first."""
    flat = z.flatten()
    indices = flat.abs().argsort(descending=True, stable=True)[: int((flat != 0).sum())]
    maps = z.new_zeros(len(indices), len(flat))
    maps[torch.arange(len(indices), device=z.device), indices] = flat[indices]
    return maps.view(len(indices), *z.shape[1:])
