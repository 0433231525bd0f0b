"""A unit's picture, and the other pictures that it is compared with: all from batched calls of the engine."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import instance
from deconvnet._errors import ArgumentError
from deconvnet._types import Box, Unit
from deconvnet.core.down import Way
from deconvnet.core.rules import RuleSet
from deconvnet.engine.project import project_profiles
from deconvnet.network import DeconvNet, attached
from deconvnet.probes.draws import generator, maps_here, other_channels
from deconvnet.probes.measure import LEAST_DRAWS
from deconvnet.probes.other_images import Others
from deconvnet.probes.similarity import array_of
from deconvnet.results.reconstruction import Reconstruction

T = TypeVar("T")
Array = TypeVar("Array", Tensor, np.ndarray)


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
        draws: how many random networks, and other images, numbers are compared with.
        worked_out: what several measures need, by name.
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
    draws: int = LEAST_DRAWS
    worked_out: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(
        net: DeconvNet,
        x: Float[Tensor, "n c *size"],
        result: Reconstruction,
        others: Others,
        *,
        seed: int = 0,
        memory: str | int | None = None,
        draws: int = LEAST_DRAWS,
    ) -> "Pictured":
        """The one unit of a result. If it is silent its picture starts from 1, and is not zero.

        Args:
            net: the network that made it.
            x: the images that it was made of.
            result: of one unit or class.
            others: other images.
            seed, memory, draws: as the attributes.

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
        own = array_of(result.whole(0)[box.overlap(result.input_size)[0]])
        image = x[unit.image : unit.image + 1]
        activation = float(result.activations[0])
        alone = replace(unit, image=0)
        pictured = Pictured(
            net.with_rules(result.rules), image, alone, box, own, activation, others, seed, memory, draws
        )
        return pictured if own.any() else replace(pictured, own=pictured.of_units([alone])[0])

    @property
    def image(self) -> Float[np.ndarray, "c *field"]:
        """The network's input in the same part."""
        return array_of(self.inside(self.x[0]))

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """What several measures need, made when it is needed first."""
        if name not in self.worked_out:
            self.worked_out[name] = make()
        result: T = self.worked_out[name]
        return result

    def generator(self, name: str) -> torch.Generator:
        """Random numbers for what is named; the same whatever else is drawn."""
        return generator(self.seed, name)

    def of_units(
        self, units: Sequence[Unit], images: Tensor | None = None, net: DeconvNet | None = None
    ) -> Float[np.ndarray, "m c *field"]:
        """Pictures of units at the unit's position, each with the switches and the like of its own image.

        Args:
            units: of the unit's layer and position; `image` counts among `images`.
            images: the unit's own by default.
            net: another network of the same layers, or the same with other rules.
        """
        profiles = torch.zeros(len(units), self.maps, dtype=torch.float64, device="cpu")
        profiles[range(len(units)), [unit.channel or 0 for unit in units]] = 1
        return self.of_profiles(profiles, units, images, net)

    def of_profiles(
        self,
        profiles: Float[Tensor, "m maps"],
        units: Sequence[Unit] | None = None,
        images: Tensor | None = None,
        net: DeconvNet | None = None,
    ) -> Float[np.ndarray, "m c *field"]:
        """Pictures of signals that start at the unit's position on all maps at once.

        Args:
            profiles: what each signal is on every map; nowhere all zero.
            units: from whose image each one takes its switches and the like; the unit itself by default.
            images, net: as in `of_units`.
        """
        x, used = self.x if images is None else images, attached(net or self.net)
        at = [self.unit] * len(profiles) if units is None else units
        drawn = project_profiles(used, x, at, profiles, memory=self.memory)
        return array_of(drawn.windows[self.box.overlap(self.x.shape[2:])[1]])

    def under(self, rules: RuleSet) -> Float[np.ndarray, "c *field"]:
        """The unit's picture under other rules."""
        picture: np.ndarray = self.of_units([self.unit], net=self.net.with_rules(rules))[0]
        return picture

    @property
    def way(self) -> Way:
        """The way down from the unit's layer."""
        engine = attached(self.net)
        return engine.costs_from(engine.graph(self.x), self.unit.layer).way

    @property
    def maps(self) -> int:
        """How many feature maps, or classes, the unit's layer has."""
        return self.way.start.maps

    def other_channels(self, count: int, name: str) -> list[int]:
        """Some of the layer's other feature maps, or classes, drawn at random, each at most once.

        Args:
            count: how many at most.
            name: of what they are drawn for.
        """
        return other_channels(self.here, self.unit.channel, count, self.generator(name))

    @property
    def here(self) -> Sequence[int]:
        """The feature maps, or classes, that have a unit at the unit's place."""
        return maps_here(attached(self.net).labels, self.maps, self.unit.channel)

    @property
    def named_layer(self) -> str | None:
        """The unit's layer; None for classes whose scores are not the feature maps of a layer."""
        value = attached(self.net).graph(self.x).layers.get(self.unit.layer)
        return None if value is None or len(value.shape) < 2 else self.unit.layer

    def inside(self, values: Array) -> Array:
        """The part of an image's values, whose last axes are its own, where the picture lies."""
        part: Array = values[self.box.overlap(self.x.shape[2:])[0]]
        return part
