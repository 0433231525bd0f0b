"""The twins of many units' pictures: two of the pictures of the quick set, for atlases, which have many units."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import as_list, index_of, short, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._types import Twins as Twins
from deconvnet._types import Unit
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.project import project_units
from deconvnet.engine.seeds import checked_units
from deconvnet.network import DeconvNet, attached
from deconvnet.probes.draws import generator, other_channels
from deconvnet.probes.similarity import array_of, cosine

_MOST_BYTES = 10**9  # of the pictures that are held together


def twins(
    net: DeconvNet,
    x: Float[Tensor, "n c *size"],
    units: Sequence[Unit],
    others: Sequence[int | None],
    *,
    seed: int = 0,
    memory: str | int | None = None,
) -> tuple[Twins, ...]:
    """How alike the picture of each unit is to another unit's at its position, and to its own in another image.

    The two cosines are those that `quick_trust` gives of a unit for its image alone: the first of its `other_units`,
    and `other_image` for the other image that is named here. One forward pass serves all units.

    Args:
        net: the network.
        x: images, as the model takes them.
        units: of any layers, each at one position of one of the images.
        others: of each unit, the index in `x` of the image in which its picture is drawn as well; None for none.
        seed: of the other units that are drawn, of which each is the same whatever other units are asked about.
        memory: budget for what is worked on at a time.

    Raises:
        ArgumentError: a unit or an image that does not exist.
        LayerNotFoundError, UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `DeconvNet.project`.

    Example:
        >>> from torch import nn, randn
        >>> from deconvnet import DeconvNet, Unit, probes
        >>> x = randn(2, 3, 16, 16)
        >>> net = DeconvNet(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2)), x)
        >>> (unit,) = probes.twins(net, x, [Unit("2", 3, (1, 4), image=0)], others=[1])
        >>> -1 <= unit.other_image <= 1
        True
    """
    engine, seed = attached(net), whole_number("seed", seed, least=0)
    listed, maps_of_units, images = _checked(engine, x, units, others)
    channels = [_other_channel(unit, maps, seed) for unit, maps in zip(listed, maps_of_units, strict=True)]
    pictures: list[list[Unit]] = []  # of each unit its own, then those that it is compared with
    for unit, channel, image in zip(listed, channels, images, strict=True):
        pictures.append([unit, *([] if channel is None else [replace(unit, channel=channel)])])
        pictures[-1] += [] if image is None else [replace(unit, image=image)]
    cosines = _cosines(engine, x, pictures, memory)
    return tuple(
        Twins(channel, None if channel is None else of_unit[0], None if image is None else of_unit[-1])
        for channel, image, of_unit in zip(channels, images, cosines, strict=True)
    )


def _checked(
    engine: Attachment, x: Tensor, units: Sequence[Unit], others: Sequence[int | None]
) -> tuple[list[Unit], list[int], list[int | None]]:
    """Units with all indices counted from zero; of each how many maps its layer has, and the index of the other image.

    Raises:
        ArgumentError: a unit or an image that does not exist; or not one image for each unit.
    """
    graph, listed, images = engine.graph(x), as_list(units), as_list(others)
    if not listed or not all(isinstance(unit, Unit) and isinstance(unit.layer, str) for unit in listed):
        raise ArgumentError(f"units is a list of Unit(layer, channel, position, image), not empty; got {short(units)}.")
    if images is None or len(images) != len(listed):
        raise ArgumentError(f"others is a list of {len(listed)} images, one for each unit; got {short(others)}.")
    starts = {layer: engine.costs(graph, layer).way.start for layer in {unit.layer for unit in listed}}
    shapes = {layer: start.sizes(1)[1:] for layer, start in starts.items()}
    in_range = [checked_units([unit], unit.layer, shapes[unit.layer], len(x))[0] for unit in listed]
    maps = [starts[unit.layer].maps for unit in in_range]
    return in_range, maps, [None if image is None else index_of(image, len(x), "images") for image in images]


def _other_channel(unit: Unit, maps: int, seed: int) -> int | None:
    """The first of the other feature maps that `quick_trust` draws of a unit for its image alone."""
    return next(iter(other_channels(range(maps), unit.channel, 1, generator(seed, replace(unit, image=0)))), None)


def _cosines(
    engine: Attachment, x: Tensor, pictures: Sequence[Sequence[Unit]], memory: str | int | None
) -> list[list[float | None]]:
    """Of each row of units, the cosines of the first one's picture with those of the others."""
    owners = [row for row, of_row in enumerate(pictures) for _ in of_row]
    starts = [unit for of_row in pictures for unit in of_row]
    cosines: list[list[float | None]] = [[] for _ in pictures]
    own: dict[int, np.ndarray] = {}  # of rows whose pictures have not all come
    for indices, result in project_units(engine, x, starts, most=_MOST_BYTES, start="one", memory=memory):
        for i, index in enumerate(indices):
            row = owners[index]
            picture = array_of(result.windows[i][result.box(i, "field").overlap(result.input_size)[1]])
            if row not in own:
                own[row] = picture
            else:
                cosines[row].append(cosine(own[row], picture))
            if len(cosines[row]) + 1 == len(pictures[row]):
                del own[row]
    return cosines
