"""The feature maps that a class rests on over many photos."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import whole_number


@dataclass(frozen=True, eq=False)
class ResponsibleMaps:
    """The feature maps of a layer that a class rests on over many photos, added up.

    Attributes:
        layer: where the maps are.
        photos: names of the photos that count.
        classes: the class of each of them.
        shares: of each photo and map, the sum of its positive contributions (activation times signal of the class)
            divided by that of all maps; a photo's add up to 1. No share of the score.
        skipped: name of each photo that does not count, and why.
        notes: what a reader should know.
    """

    layer: str
    photos: tuple[str, ...]
    classes: tuple[int | None, ...]
    shares: Float[Tensor, "n c"]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.photos)

    def __repr__(self) -> str:
        photos = "1 photo" if len(self) == 1 else f"{len(self)} photos"
        return f"<ResponsibleMaps: {self.shares.shape[1]} maps of {self.layer!r} over {photos}>"

    @property
    def mean_shares(self) -> Float[Tensor, " c"]:
        """Of each map, its shares added up over all photos and divided by their number; all together are 1."""
        return self.shares.mean(0)

    def strongest(self, k: int = 9) -> list[tuple[int, float]]:
        """The maps of largest mean share, at most k and none without any: each with this share.

        Raises:
            ArgumentError: k is not a whole number of 1 or more.
        """
        means = self.mean_shares
        order = means.sort(descending=True, stable=True).indices[: whole_number("k", k)].tolist()
        return [(channel, float(means[channel])) for channel in order if means[channel] > 0]
