"""How far can a picture be trusted? All measures of one unit's picture."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import as_list, callback, did_you_mean, instance, short, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._types import Box, Unit
from deconvnet.engine.classes import output_of
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.preprocess import Preprocess
from deconvnet.probes.arguments import check_activation
from deconvnet.probes.draws import generator
from deconvnet.probes.edges import edges_of
from deconvnet.probes.measure import LEAST_DRAWS
from deconvnet.probes.measures import MEASURES, FromCaller
from deconvnet.probes.neighbours import neighbours, pictures_of_others
from deconvnet.probes.other_images import check_images, other_images
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.similarity import array_of, spearmans
from deconvnet.probes.taken import of_another_image
from deconvnet.probes.trust_result import Beside, Trust
from deconvnet.results.reconstruction import Reconstruction

_MOST_DRAWS = 10_000


def trust(
    net: DeconvNet,
    x: Float[Tensor, "n c *size"],
    result: Reconstruction,
    *,
    others: Float[Tensor, "others c *size"] | None = None,
    preprocess: Preprocess | None = None,
    measures: Sequence[str] | str | None = None,
    draws: int = LEAST_DRAWS,
    seed: int = 0,
    liked: Float[Tensor, "liked c *size"] | None = None,
    percentile: Callable[[Unit, float], float | None] | None = None,
    memory: str | int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trust:
    """What the picture of one unit rests on: the unit, the image, its edges, or the network's architecture.

    Each measure asks one question, and its value stands beside what it would be if the picture did not rest on what the
    question asks about: in networks with random weights, in other images, elsewhere in the image. A measure has a
    sentence only where its value lies outside of the quantiles 0.05 and 0.95 of such a null.

    Args:
        net: the network that made the result.
        x: the images that it was made of.
        result: of one unit or class at one position, in the pixels; of a longer one choose `result[i]`.
        others: other images. Without them the other images in `x` are used, else scikit-image's photos, else the image
            itself with shuffled phase.
        preprocess: what made the images; without it scikit-image's photos are not used.
        measures: the names of some; all by default. `Measure.name` has them.
        draws: random networks, and other images, that values are compared with; with fewer than 20 there are no
            sentences.
        seed: of all that is drawn. Every measure is the same whatever others are asked for.
        liked: images that the unit likes, such as an atlas's top activations of its map.
        percentile: of a unit and its activation, 0 to 100, over a set of photos, as an atlas knows it.
        memory: budget for what is worked on at a time.
        progress: called as progress(measures done, measures in all).

    Raises:
        ArgumentError: several units, a whole map, or a picture in a layer; `x` are not the images of the result; a
            measure of another name.
        UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `DeconvNet.project`.

    Example:
        >>> from torch import nn, randn
        >>> from deconvnet import DeconvNet, probes
        >>> x = randn(1, 3, 16, 16)
        >>> net = DeconvNet(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2)), x)
        >>> trust = probes.trust(net, x, net.project(x, "2", channel=3), measures=["other units", "edges"])
        >>> [measure.name for measure in trust]
        ['other units', 'edges']
    """
    names, given = _names(measures), FromCaller(liked, callback("percentile", percentile))
    draws, report = whole_number("draws", draws, most=_MOST_DRAWS), callback("progress", progress)
    whole_number("seed", seed, least=0)
    pictured = _pictured(net, x, result, others, preprocess, draws, seed, memory)
    if liked is not None:
        check_images("liked", liked, x)
    done = []
    for name in names:
        done.append(MEASURES[name](pictured, given))
        if report is not None:
            report(len(done), len(names))
    low, high = (np.clip(corner, 0, x.shape[2:]) for corner in (pictured.box.low, pictured.box.high))
    return Trust(
        unit=result.units[0],
        activation=pictured.activation,
        box=Box(tuple(low.tolist()), tuple(high.tolist())),
        rules=result.rules,
        others=_words(pictured),
        measures=tuple(done),
        beside=_beside(pictured),
        notes=result.notes,
    )


def _naming(pictured: Pictured) -> Callable[[int], str] | None:
    """What the answers at the unit's place are called, if the unit is an answer of the network."""
    if not pictured.unit.name:
        return None
    engine = attached(pictured.net)
    output = output_of(engine, engine.graph(pictured.x), 1)
    return lambda channel: output.name(channel, pictured.unit.position)


def _words(pictured: Pictured) -> str:
    """What the other images are."""
    words, count = pictured.others.words, len(pictured.others)
    more = f"; where {pictured.draws} are compared, also they shifted round and mirrored at random"
    return f"{words} ({count})" + more * (count < pictured.draws)


def _names(measures: Sequence[str] | str | None) -> list[str]:
    """Names of measures, in their order, each once.

    Raises:
        ArgumentError: not names of measures.
    """
    listed = [measures] if isinstance(measures, str) else as_list(measures)
    if measures is None:
        return list(MEASURES)
    if not listed or not all(isinstance(name, str) for name in listed):
        raise ArgumentError(f"measures are names, such as 'other units'; got {short(measures)}.")
    for name in listed:
        if name not in MEASURES:
            raise ArgumentError(
                f"no measure is called {name!r}.{did_you_mean(name, MEASURES)} There are {', '.join(MEASURES)}."
            )
    return [name for name in MEASURES if name in listed]


def _pictured(
    net: DeconvNet,
    x: Tensor,
    result: Reconstruction,
    others: Tensor | None,
    preprocess: Preprocess | None,
    draws: int,
    seed: int,
    memory: str | int | None,
) -> Pictured:
    """The result's unit, with other images.

    Raises:
        ArgumentError: as `trust`.
    """
    engine = attached(net)
    engine.graph(x)
    if len(instance("result", result, Reconstruction)) == 1 and not 0 <= result.units[0].image < len(x):
        raise ArgumentError(f"the result is of image {result.units[0].image}, and x holds {len(x)}.")
    image = result.units[0].image if len(result) else 0
    random = generator(seed, "other images")
    count = max(draws, LEAST_DRAWS) if others is None else len(check_images("others", others, x))
    beside = other_images(x, image, count, random, given=others, preprocess=preprocess)
    pictured = Pictured.of(net, x, result, beside, seed=seed, memory=memory, draws=draws)
    check_activation(replace(engine, rules=result.rules), x, result.units[0], pictured.activation)
    return pictured


def _beside(pictured: Pictured) -> Beside:
    """The unit's picture, and of each kind of other picture the one that is as alike to it as their median is."""
    names, pictures = ["the picture"], [pictured.own]
    channels = pictured.other_channels(len(neighbours(pictured).units), "other units")
    name = _naming(pictured) or "map {} at this place".format
    kinds = [
        ([*map(name, channels)], neighbours(pictured).units),
        (["noise at this place"] * len(neighbours(pictured).noise), neighbours(pictured).noise),
        ([f"the same unit {of_another_image(pictured.way.of_image)}"] * pictured.draws, pictures_of_others(pictured)),
    ]
    for words, drawn in kinds:
        alike = [-2.0 if value is None else value for value in spearmans(pictured.own, drawn)]
        if alike:
            middle = int(np.argsort(alike, kind="stable")[len(alike) // 2])
            names.append(words[middle])
            pictures.append(drawn[middle])
    edges = pictured.inside(edges_of(array_of(pictured.x[0])))
    stacked = torch.from_numpy(np.stack(pictures)).float()
    return Beside(tuple(names), stacked, torch.from_numpy(np.ascontiguousarray(edges)).float())
