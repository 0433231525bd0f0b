"""The quick set: a few numbers that tell what each picture of a result rests on, from four more pictures of a unit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import instance, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._types import Unit
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.project import project_profiles
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.preprocess import Preprocess
from deconvnet.probes.arguments import check_activation
from deconvnet.probes.draws import generator, maps_here, other_channels
from deconvnet.probes.edges import edges_of
from deconvnet.probes.other_images import Others, other_images
from deconvnet.probes.quick_numbers import Alike, QuickTrust, quick_trust_of
from deconvnet.probes.similarity import array_of, cosine, spearman, strength_of
from deconvnet.probes.taken import nouns
from deconvnet.results.reconstruction import Reconstruction

_UNITS = 2  # other units that are looked at
_NOISE, _OTHER_IMAGE, _TWINS = 2, 3, 4  # rows of a unit's other pictures, after those of other units
_AT_ONCE = 32  # units of the result, whose pictures are held together


def quick_trust(
    net: DeconvNet,
    x: Float[Tensor, "n c *size"],
    result: Reconstruction,
    *,
    others: Float[Tensor, "others c *size"] | None = None,
    preprocess: Preprocess | None = None,
    seed: int = 0,
    memory: str | int | None = None,
) -> QuickTrust:
    """How alike each picture of a result is to what it should differ from: numbers alone, in a moment.

    A unit's picture is compared with the pictures of two other units at its position, of noise there, and of the unit
    itself in another image; and with the edges of its own image. `trust` measures more, and against
    what the numbers would be by chance.

    Args:
        net: the network that made the result.
        x: the images that it was made of.
        result: of units or classes, at one position each, in the pixels. What is not has a reason in place of numbers.
        others: other images. Without them the other images in `x` are used, else scikit-image's photos, else the image
            itself with shuffled phase.
        preprocess: what made the images; without it scikit-image's photos are not used.
        seed: of the units, noise and images that are drawn.
        memory: budget for what is worked on at a time.

    Raises:
        ArgumentError: `x` are not the images of the result, or others are not of their size.
        UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `DeconvNet.project`.

    Example:
        >>> from torch import nn, randn
        >>> from deconvnet import DeconvNet, probes
        >>> x = randn(2, 3, 16, 16)
        >>> net = DeconvNet(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2)), x)
        >>> quick = probes.quick_trust(net, x, net.project(x, "2", channel=3))
        >>> quick.other_units.shape, quick.edges.shape
        (torch.Size([2, 2]), torch.Size([2]))
    """
    used = attached(net)
    instance("result", result, Reconstruction)
    whole_number("seed", seed, least=0)
    used.graph(x)  # checks the images
    if any(not 0 <= unit.image < len(x) for unit in result.units):
        raise ArgumentError(f"the result is of images that x, which holds {len(x)}, has not: pass the images of it.")
    rows = [Alike(why_not=_why_not(result, i, tuple(x.shape[2:]))) for i in range(len(result))]
    drawing = _Drawing(replace(used, rules=result.rules), x, others, preprocess, seed, memory)
    for layer in dict.fromkeys(unit.layer for unit in result.units):
        indices = [i for i, unit in enumerate(result.units) if unit.layer == layer and not rows[i].why_not]
        for part in (indices[first : first + _AT_ONCE] for first in range(0, len(indices), _AT_ONCE)):
            for i, alike in zip(part, drawing.compared(result, part), strict=True):
                rows[i] = alike
    return quick_trust_of(result.units, rows)


def _why_not(result: Reconstruction, i: int, size: tuple[int, ...]) -> str:
    """Why a unit's picture is not looked at; "" if it is."""
    unit = result.units[i]
    if unit.channel is None or unit.position is None:
        return "it is the picture of a whole map or signal, not of a unit or class at one position"
    if tuple(result.input_size) != size:
        return "it is a picture in a layer, not in the pixels"
    return "" if bool(result.windows[i].any()) else "the picture is zero everywhere"


@dataclass(frozen=True, eq=False)
class _Drawing:
    """What other pictures are made of."""

    engine: Attachment
    x: Tensor
    given: Tensor | None
    preprocess: Preprocess | None
    seed: int
    memory: str | int | None

    def compared(self, result: Reconstruction, indices: Sequence[int]) -> Iterator[Alike]:
        """Of some units of one layer.

        Raises:
            ArgumentError: their activations in `x` are others.
        """
        units = [result.units[i] for i in indices]
        images_of_units = list(dict.fromkeys(unit.image for unit in units))
        others = {image: self._other(image) for image in images_of_units}
        images = torch.cat([self.x[images_of_units], *(other.images for other in others.values())])
        way = self.engine.costs_from(self.engine.graph(images), units[0].layer).way
        starts = [
            replace(unit, image=images_of_units.index(unit.image) + len(images_of_units) * (row == _OTHER_IMAGE))
            for unit in units
            for row in range(_TWINS)
        ]
        profiles = torch.cat([self._profiles(unit, way.start.maps) for unit in units])
        drawn = project_profiles(self.engine, images, starts, profiles, memory=self.memory)
        edges = {image: edges_of(array_of(self.x[image])) for image in images_of_units}
        for i, first in zip(indices, range(0, len(starts), _TWINS), strict=True):
            unit = result.units[i]
            check_activation(self.engine, self.x, unit, float(result.activations[i]), float(drawn.activations[first]))
            inside, part = drawn.box(first, "field").overlap(drawn.input_size)
            own = array_of(result.whole(i)[inside])  # its windows are larger where whole maps go down beside it
            alike = [
                (cosine(own, twin), spearman(own, twin))
                for twin in (array_of(drawn.windows[first + row][part]) for row in range(_TWINS))
            ]
            edge = spearman(strength_of(own), edges[unit.image][inside])
            cosines, ranks = zip(*alike, strict=True)
            yield Alike(cosines, ranks, edge, others[unit.image].words, nouns(way.of_image))

    def _other(self, image: int) -> Others:
        random = generator(self.seed, "other image", image)
        return other_images(self.x, image, 1, random, given=self.given, preprocess=self.preprocess)

    def _profiles(self, unit: Unit, maps: int) -> Float[Tensor, "4 maps"]:
        """What starts at a unit's position: two other units, noise, and the unit itself, for the other image."""
        random, here = generator(self.seed, replace(unit, name="")), maps_here(self.engine.labels, maps, unit.channel)
        profiles = torch.zeros(_TWINS, maps, dtype=torch.float64, device="cpu")
        for row, channel in enumerate(other_channels(here, unit.channel, _UNITS, random)):
            profiles[row, channel] = 1
        if len(here) > 1:  # noise on one map alone is its unit
            noise = torch.randn(len(here), generator=random, dtype=torch.float64, device="cpu")
            profiles[_NOISE, list(here)] = noise.abs()
        profiles[_OTHER_IMAGE, unit.channel or 0] = 1
        return profiles
