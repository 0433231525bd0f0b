"""A bounded ranking of activations that merges: the same for one machine, many, and after an interruption.

Of each image and feature map there is one candidate, its strongest position; the k strongest over images stay.
Of equal activations the earlier image is the stronger, then the earlier position. An activation of zero or
below is not a candidate. Nothing here waits for the device that a ranking is on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

NONE = torch.iinfo(torch.int64).max  # stands for the image of an empty rank


@dataclass(frozen=True, eq=False)
class Ranking:
    """The strongest activations of some feature maps, the strongest first.

    Two rankings of any parts of the images merge to that of their union, in any order and grouping, and an
    image that is in both counts once.

    Attributes:
        activations: (c, k); minus infinity where there are fewer than k.
        images: (c, k) indices of the images; `NONE` where there are fewer.
        positions: (c, k) flat positions in the map; `NONE` where there are fewer.
    """

    activations: Float32[Tensor, "c k"]
    images: Int64[Tensor, "c k"]
    positions: Int64[Tensor, "c k"]

    @staticmethod
    def empty(channels: int, k: int, device: torch.device | str = "cpu") -> "Ranking":
        """The ranking of no images."""
        activations = torch.full((channels, k), -torch.inf, device=device)
        none = torch.full((channels, k), NONE, device=device)
        return Ranking(activations, none, none.clone())

    @property
    def k(self) -> int:
        """How many of each feature map are kept."""
        return int(self.activations.shape[1])

    @property
    def least(self) -> Float32[Tensor, " c"]:
        """An activation of each map that k images reach; minus infinity while there are fewer."""
        return self.activations[:, -1]

    def added(
        self,
        images: Int64[Tensor, " n"],
        activations: Float32[Tensor, "n c"],
        positions: Int64[Tensor, "n c"],
    ) -> "Ranking":
        """The ranking with images that are not in it yet, of each the strongest activation of every feature map.

        Args:
            images: their indices.
            activations: of each image and map, the strongest.
            positions: where it is, as a flat position.
        """
        out = ~((activations > 0) & (activations >= self.least))
        added = Ranking(
            activations.masked_fill(out, -torch.inf).T,
            images[:, None].expand_as(out).masked_fill(out, NONE).T,
            positions.masked_fill(out, NONE).T,
        )
        return _strongest([self, added], self.k)

    def merged(self, other: "Ranking") -> "Ranking":
        """The ranking of the images of both.

        Raises:
            ValueError: other feature maps, or another k.
        """
        if self.activations.shape != other.activations.shape:
            raise ValueError(
                f"rankings of {tuple(self.activations.shape)} and {tuple(other.activations.shape)} do not merge."
            )
        both = [self, Ranking(*(part.to(self.images.device) for part in vars(other).values()))]
        return _strongest([_without_repeated(both)], self.k)

    def of(self, maps: slice) -> "Ranking":
        """That of some of the feature maps."""
        return Ranking(self.activations[maps], self.images[maps], self.positions[maps])


def _strongest(rankings: Sequence[Ranking], k: int) -> Ranking:
    """The k strongest of rankings of different images."""
    together = _joined(rankings)
    by_image = _taken(together, together.images.argsort(dim=1, stable=True))
    ordered = _taken(by_image, by_image.activations.argsort(dim=1, descending=True, stable=True))
    return Ranking(*(part[:, :k] for part in vars(ordered).values()))


def _without_repeated(rankings: Sequence[Ranking]) -> Ranking:
    """All of the rankings together, of each image and map only the stronger activation, then the earlier position."""
    together = _joined(rankings)
    for order in ("positions", "activations", "images"):  # each keeps, of equals, the order of the one before
        by = getattr(together, order).argsort(dim=1, descending=order == "activations", stable=True)
        together = _taken(together, by)
    repeated = torch.zeros_like(together.images, dtype=torch.bool)
    repeated[:, 1:] = together.images[:, 1:] == together.images[:, :-1]
    return Ranking(
        together.activations.masked_fill(repeated, -torch.inf),
        together.images.masked_fill(repeated, NONE),
        together.positions.masked_fill(repeated, NONE),
    )


def _joined(rankings: Sequence[Ranking]) -> Ranking:
    return Ranking(*(torch.cat(parts, 1) for parts in zip(*(vars(each).values() for each in rankings), strict=True)))


def _taken(ranking: Ranking, order: Int64[Tensor, "c n"]) -> Ranking:
    return Ranking(*(part.gather(1, order) for part in vars(ranking).values()))
