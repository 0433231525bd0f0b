"""Max-pooling over space and neighbouring feature maps, with switches (Zeiler et al. 2011, section 2.2).

Blocks do not overlap. The activation of largest magnitude in each is kept with its sign, and the *switch* says where
in the block it was. With the switches fixed, pooling and unpooling are linear and each other's adjoint.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.nn import functional as F

Block = tuple[int, int, int]  # height, width, neighbouring maps


@dataclass(frozen=True, eq=False)
class Switches:
    """Where in each block the pooled activation was.

    Attributes:
        offsets: (n, m', h', w') index in the block: maps first, then rows, then columns.
        block: height, width and maps of a block.
        size: (m, h, w) of what was pooled.
    """

    offsets: Integer[Tensor, "n maps y x"]
    block: Block
    size: tuple[int, int, int]

    def of(self, rows: Integer[Tensor, " k"]) -> "Switches":
        """The switches of some of the images."""
        return Switches(self.offsets[rows], self.block, self.size)

    @cached_property
    def indices(self) -> Int[Tensor, "n count"]:
        """Index of each pooled activation in its image's maps, flattened."""
        (p, q, s), (_, h, w), offsets = self.block, self.size, self.offsets.long()
        maps, rows, columns = (torch.arange(length, device=offsets.device) for length in offsets.shape[1:])
        map_ = maps[:, None, None] * s + offsets // (p * q)
        y, x = rows[:, None] * p + offsets % (p * q) // q, columns * q + offsets % q
        return ((map_ * h + y) * w + x).flatten(1)


def pooled_size(maps: tuple[int, int, int], block: Block) -> tuple[int, int, int]:
    """(m', h', w') of pooled maps (m, h, w); blocks that reach past the end count.

    Example:
        >>> pooled_size((15, 156, 156), (3, 3, 2))
        (8, 52, 52)
    """
    p, q, s = block
    return math.ceil(maps[0] / s), math.ceil(maps[1] / p), math.ceil(maps[2] / q)


def pool(z: Float[Tensor, "n m h w"], block: Block) -> tuple[Float[Tensor, "n maps y x"], Switches]:
    """The activation of largest magnitude in each block, with its sign, and where it was; the first of several."""
    blocks = _blocks(z, block)
    offsets = blocks.abs().argmax(-1)
    pooled = blocks.gather(-1, offsets[..., None])[..., 0]
    dtype = torch.uint8 if math.prod(block) <= 256 else torch.int64
    return pooled, Switches(offsets.to(dtype), block, (z.shape[1], z.shape[2], z.shape[3]))


def pool_at(z: Float[Tensor, "n m h w"], switches: Switches) -> Float[Tensor, "n maps y x"]:
    """The activation at the switch of each block: the adjoint of `unpool`."""
    return z.flatten(1).gather(1, switches.indices).view(switches.offsets.shape)


def unpool(pooled: Float[Tensor, "n maps y x"], switches: Switches) -> Float[Tensor, "n m h w"]:
    """Every activation back at its switch, zeros elsewhere."""
    whole = pooled.new_zeros(len(pooled), math.prod(switches.size))
    return whole.scatter_(1, switches.indices, pooled.flatten(1)).view(-1, *switches.size)


def _blocks(z: Float[Tensor, "n m h w"], block: Block) -> Float[Tensor, "n maps y x positions"]:
    p, q, s = block
    m, h, w = (-length % size for length, size in zip(z.shape[1:], (s, p, q), strict=True))
    n, k, height, width = (whole := F.pad(z, (0, w, 0, h, 0, m))).shape
    parts = whole.view(n, k // s, s, height // p, p, width // q, q)
    return parts.permute(0, 1, 3, 5, 2, 4, 6).flatten(4)
