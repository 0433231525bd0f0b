"""The feature maps that a network infers, layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deconvnet._checks import as_index, index_of, short, whole_number
from deconvnet._errors import ArgumentError
from deconvnet.learn.convolve import dense
from deconvnet.learn.pooling import Block, Switches, pool
from deconvnet.learn.solution import Solution, checked_rows, join

_MOST_COPIES = 1_000_000


@dataclass(frozen=True, eq=False)
class LayerCodes:
    """What inference gives for one layer.

    Attributes:
        z: (n, m, h, w) its sparse feature maps.
        pooled: (n, m', h', w') what pooling leaves of them for the next layer; `z` where nothing is pooled.
        switches: where in the blocks it was; None where nothing is pooled.
        solution: how the solver came to z.
    """

    z: Float[Tensor, "n m h w"]
    pooled: Float[Tensor, "n maps y x"]
    switches: Switches | None
    solution: Solution

    def of(self, rows: Int[Tensor, " k"]) -> "LayerCodes":
        """The codes of some of the images.

        Raises:
            ArgumentError: rows are not indices of images.
        """
        rows = checked_rows(rows, len(self.z))
        switches = None if self.switches is None else self.switches.of(rows)
        return LayerCodes(self.z[rows], self.pooled[rows], switches, self.solution.of(rows))


@dataclass(frozen=True, eq=False)
class Codes:
    """What inference gives for all layers, numbered from 1.

    Attributes:
        layers: from the lowest.
        size: (h, w) of the images.
    """

    layers: tuple[LayerCodes, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, layer: int) -> LayerCodes:
        index = as_index(layer)
        if index is None or not 1 <= index <= len(self.layers):
            raise ArgumentError(f"layers 1 to {len(self.layers)} were inferred; got {short(layer)}.")
        return self.layers[index - 1]

    def of(self, image: int, count: int = 1) -> "Codes":
        """The codes of one image, `count` times.

        Raises:
            ArgumentError: no such image, or a count below 0.
        """
        image = index_of(image, len(self[1].z), "images")
        rows = torch.full((whole_number("count", count, least=0, most=_MOST_COPIES),), image, device="cpu")
        return Codes(tuple(layer.of(rows) for layer in self.layers), self.size)


def join_codes(parts: Sequence[LayerCodes]) -> LayerCodes:
    """The codes of several batches in one layer, as one."""
    if len(parts) == 1:
        return parts[0]
    solution = join([part.solution for part in parts])
    first = parts[0].switches
    if first is None:
        return LayerCodes(solution.codes, solution.codes, None, solution)
    offsets = torch.cat([part.switches.offsets for part in parts if part.switches is not None])
    switches = Switches(offsets, first.block, first.size)
    return LayerCodes(solution.codes, torch.cat([part.pooled for part in parts]), switches, solution)


def pooled_codes(solution: Solution, block: Block | None) -> LayerCodes:
    """The codes of a layer whose maps a solver found, pooled in blocks; as they are where block is None."""
    if block is None:
        return LayerCodes(solution.codes, solution.codes, None, solution)
    pooled, switches = pool(solution.codes, block)
    return LayerCodes(solution.codes, pooled, switches, solution)


def strongest(z: Float[Tensor, "n m h w"], count: int) -> Bool[Tensor, "n m h w"]:
    """A mask of the `count` activations of largest magnitude of each image, zeros left out."""
    flat = z.flatten(1).abs()
    indices = flat.topk(min(count, flat.shape[1]), dim=1).indices
    mask = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, indices, True)
    return (mask & (flat > 0)).view_as(z)


def mask_of(z: Float[Tensor, "n m h w"], keep: object) -> Bool[Tensor, "n m h w"]:
    """The mask of the activations to keep: given as it is, or by how many of the strongest of each image.

    Raises:
        ArgumentError: neither, or a mask of another shape.
    """
    count = as_index(keep)
    if count is not None and count > 0:
        return strongest(z, count)
    mask = torch.from_numpy(keep) if isinstance(keep, np.ndarray) and keep.dtype == np.bool_ else keep
    if isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == z.shape:
        return dense(mask)
    raise ArgumentError(
        f"keep is a number of activations, or a bool mask of shape {tuple(z.shape)}; got {short(keep)}."
    )
