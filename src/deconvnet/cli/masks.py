"""A mask from a file: where in the photo a class of a map is carried down from."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deconvnet._errors import ArgumentError, TargetError
from deconvnet.cli.network import Network

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.photos.photo import Photo


def class_masks(network: Network, mask: Path, photo: "Photo", size: tuple[int, ...]) -> "list[Tensor]":
    """Each class that was named at all positions of the output that lie under the white of a mask.

    Args:
        network: with its targets.
        mask: a file of the photo's size; what is brighter than half of its brightest pixel is white.
        photo: prepared as the mask is.
        size: (classes, *map) of the network's output for one photo.

    Returns:
        For each class a mask of that shape, as `DeconvNet.explain` takes it.

    Raises:
        TargetError: the output is not a map, or the targets are not classes alone.
        ArgumentError: the mask has another size than the photo, or nothing white that the network sees.
        PhotoError: it cannot be read.
    """
    import torch
    from torch.nn.functional import interpolate

    if math.prod(size[1:]) == 1:
        raise TargetError("--mask chooses positions of a map of classes, and the network's output is not a map.")
    classes = [target for target in network.targets if isinstance(target, int)]
    if len(classes) < len(network.targets):
        raise TargetError("--mask goes with --target CLASS, and the positions are those of the mask.")
    own = network.loaded.preprocess
    plain = replace(own, mean=(0.0,), std=(1.0,), channels=1, scale=1.0, interpolation="nearest", value_range=None)
    drawn = plain.read(mask)
    if drawn.size != photo.size:
        sizes = [f"{width} pixels wide and {height} high" for height, width in (drawn.size, photo.size)]
        raise ArgumentError(f"the mask {str(mask)!r} is {sizes[0]}, and the photo {sizes[1]}: draw it on the photo.")
    seen = interpolate(plain.image(drawn), size=size[1:], mode="nearest-exact")[0, 0]
    white = seen > float(drawn.pixels.max()) / 2
    if not bool(white.any()):
        raise ArgumentError(f"nothing of what the network sees lies under the white of the mask {str(mask)!r}.")
    masks = torch.zeros(len(classes), *size, dtype=torch.bool, device="cpu")
    for row, index in enumerate(classes):
        masks[row, index] = white
    return list(masks)
