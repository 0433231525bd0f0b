"""A unit's picture, and the other pictures that it is compared with: all from batched calls of the engine."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import instance
from deconvnet._errors import ArgumentError
from deconvnet._types import Box, Unit
from deconvnet.core.rules import RuleSet
from deconvnet.network import DeconvNet
from deconvnet.results.reconstruction import Reconstruction


@dataclass(frozen=True)
class Others:
    """Other images that a unit is looked at with.

    Attributes:
        images: as the model takes them.
        words: what they are, such as "the other photos of the call".
    """

    images: Float[Tensor, "n c *size"]
    words: str


@dataclass(frozen=True, eq=False)
class Pictured:
    """One unit or class of one image, with its picture.

    All pictures are of the part of the unit's receptive field that lies in the image, signed, in float64 on the CPU.

    Attributes:
        net: the network, with the rules of the picture.
        x: the unit's image, alone.
        unit: of that image, which is number 0 here.
        box: the unit's receptive field in input pixels.
        own: the unit's picture.
        activation: of the unit, or the class's score.
        others: other images.
        seed: of all that is drawn at random.
        memory: budget for what is worked on at a time.
    """

    net: DeconvNet
    x: Float[Tensor, "1 c *size"]
    unit: Unit
    box: Box
    own: Float[np.ndarray, "c *field"]
    activation: float
    others: Others
    seed: int = 0
    memory: str | int | None = None

    @staticmethod
    def of(
        net: DeconvNet,
        x: Float[Tensor, "n c *size"],
        result: Reconstruction,
        others: Others,
        *,
        seed: int = 0,
        memory: str | int | None = None,
    ) -> "Pictured":
        """The one unit of a result.

        Args:
            net: the network that made it.
            x: the images that it was made of.
            result: of one unit or class.
            others: other images.
            seed, memory: as the attributes.

        Raises:
            ArgumentError: it is not of one single unit, not in the pixels, or of no image of `x`.
        """
        instance("net", net, DeconvNet)
        if len(instance("result", result, Reconstruction)) != 1:
            raise ArgumentError(f"result holds {len(result)} units: choose one, such as result[0].")
        (unit,) = result.units
        if unit.channel is None or unit.position is None:
            raise ArgumentError(
                f"a whole map or signal of {unit.layer!r} was carried down; choose one unit with position=, and of a "
                "class of an output that is a map one position, (class, y, x)."
            )
        if unit.image >= len(x):
            raise ArgumentError(f"the unit is of image {unit.image}, and x holds {len(x)}.")
        if tuple(x.shape[2:]) != tuple(result.input_size):
            raise ArgumentError(
                f"the picture is {result.input_size}, and the images are {tuple(x.shape[2:])}: pass the images that "
                "it was made of. Pictures in a layer (to=) cannot be looked at."
            )
        box = result.box(0, "field")
        own = _numbers(result.whole(0)[box.overlap(result.input_size)[0]])
        image = x[unit.image : unit.image + 1]
        activation = float(result.activations[0])
        alone = replace(unit, image=0)
        return Pictured(net.with_rules(result.rules), image, alone, box, own, activation, others, seed, memory)

    @property
    def image(self) -> Float[np.ndarray, "c *field"]:
        """The network's input in the same part."""
        return _numbers(self.x[0][self._inside])

    def generator(self, name: str) -> torch.Generator:
        """Random numbers for what is named; the same whatever else is drawn."""
        digest = hashlib.blake2b(f"{self.seed} {name}".encode(), digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))

    def of_units(
        self, units: Sequence[Unit], images: Tensor | None = None, net: DeconvNet | None = None
    ) -> Float[np.ndarray, "m c *field"]:
        """Pictures of units at the unit's position, each with the switches of its own image.

        Args:
            units: of the unit's layer and position; `image` counts among `images`.
            images: the unit's own by default.
            net: another network of the same layers, or the same with other rules.
        """
        x = self.x if images is None else images
        drawn = (net or self.net).project(x, self.unit.layer, units=units, start="one", memory=self.memory)
        inside = self.box.overlap(self.x.shape[2:])[1]
        return _numbers(drawn.windows[inside])

    def of_signal(self, values: Float[Tensor, " maps"], net: DeconvNet | None = None) -> Float[np.ndarray, "c *field"]:
        """The picture of a signal that starts from a value on each map, at the unit's position.

        Args:
            values: of each feature map.
            net: as in `of_units`.
        """
        used = net or self.net
        like = used.activations(self.x, self.unit.layer)[self.unit.layer]
        start = torch.zeros_like(like)
        start[(0, slice(None), *(self.unit.position or ()))] = values.to(start)
        drawn = used.project(self.x, self.unit.layer, start=start, memory=self.memory)
        return _numbers(drawn.whole(0)[self._inside])

    def under(self, rules: RuleSet) -> Float[np.ndarray, "c *field"]:
        """The unit's picture under other rules."""
        (picture,) = self.of_units([self.unit], net=self.net.with_rules(rules))
        return picture

    @property
    def maps(self) -> int:
        """How many feature maps, or classes, the unit's layer has."""
        return self.net.layer(self.unit.layer).channels

    def other_channels(self, count: int, name: str) -> list[int]:
        """Some of the layer's other feature maps, or classes, drawn at random, each at most once.

        Args:
            count: how many at most.
            name: of what they are drawn for.
        """
        order = torch.randperm(self.maps, generator=self.generator(name)).tolist()
        return [channel for channel in order if channel != self.unit.channel][:count]

    @property
    def _inside(self) -> tuple[object, ...]:
        return self.box.overlap(self.x.shape[2:])[0]


def _numbers(values: Tensor) -> np.ndarray:
    numbers: np.ndarray = values.detach().cpu().double().numpy()
    return numbers
