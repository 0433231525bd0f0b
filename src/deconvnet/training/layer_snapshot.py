"""`LayerSnapshot`: the chosen feature maps of a layer at one time of a training."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import index_of
from deconvnet.results.reconstruction import Reconstruction


@dataclass(frozen=True, eq=False)
class LayerSnapshot:
    """The chosen feature maps of a layer at one time.

    Attributes:
        layer: its name.
        channels: the maps.
        photos: of each map, what identifies the photo of its strongest activation; None of a map that is silent: no
            photo activates it.
        activations: the strongest activation of each map; 0 of a silent one.
        pictures: of those that are not silent, in order, their units carried down, each from its own photo; None where
            that could not be done.
        filters: the weights that make each map, where the layer has a convolution or a fully connected layer below it.
    """

    layer: str
    channels: tuple[int, ...]
    photos: tuple[str | None, ...]
    activations: Float[Tensor, " m"]
    pictures: Reconstruction | None
    filters: Float[Tensor, "m weights"] | None

    def __repr__(self) -> str:
        return f"<LayerSnapshot of {len(self.channels)} maps of {self.layer!r}>"

    def picture(self, m: int) -> Reconstruction | None:
        """The unit of one of the maps, carried down; None if it is silent, or could not be carried down.

        Args:
            m: index among `channels`.

        Raises:
            ArgumentError: there are not so many.
        """
        m = index_of(m, len(self.channels), "maps")
        if self.pictures is None or self.photos[m] is None:
            return None
        return self.pictures[sum(photo is not None for photo in self.photos[:m])]
