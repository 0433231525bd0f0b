"""Occlusion (section 4.2 of the paper): parts of an image are covered, and what the network then gives is noted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._checks import callback, flag, instance
from deconvnet._devices import in_float64
from deconvnet._errors import ArgumentError, TargetError
from deconvnet.capture.untouched import ordinary
from deconvnet.core.finite import finite_forward
from deconvnet.core.graph import Graph, Value
from deconvnet.engine.activations import as_probabilities
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.classes import output_of, strongest
from deconvnet.engine.layers import ClassScores, Layer, class_scores, maps_of
from deconvnet.engine.project import check_route
from deconvnet.engine.responsible import layer_of
from deconvnet.engine.seeds import checked_indices
from deconvnet.engine.targets import Targets
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.preprocess import Preprocess
from deconvnet.probes.covered_images import Covered
from deconvnet.probes.evidence import evidence
from deconvnet.probes.occluders import Fill, Occluders, filling, occluders
from deconvnet.probes.occlusion import Occlusion
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.windows.cost import RouteName


def occlude(
    net: DeconvNet,
    x: Float[Tensor, "1 c *spatial"],
    *,
    size: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    mask: Any = None,
    partial: bool = False,
    fill: Fill = "mean",
    preprocess: Preprocess | None = None,
    layer: Layer | None = None,
    channel: int | Sequence[int] | None = None,
    targets: Targets = None,
    memory: str | int | None = None,
    route: RouteName = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Occlusion:
    """What a network gives when parts of an image are covered, one after the other (figure 7 of the paper).

    All of it is as if each covered image had run through the network. But only what the covered part reaches in
    each layer is computed, where that is less work.

    Args:
        net: the network.
        x: one image, as the model takes it.
        size: of the square that is slid over the image, in pixels, or of each side; 50 for images of 224.
        stride: by which it moves, or along each axis; 10 for images of 224.
        mask: a shape of your own in place of a square. An array of bools smaller than the image is slid over it.
            Parts at places of their own are a list of such arrays, each as large as the image; or whole numbers as
            large as the image, one for each part, as superpixels are.
        partial: let the last squares reach past the border, so that they begin at the border and cover everything;
            otherwise they stay inside, as far from one border as from the other.
        fill: what stands in the covered part: "mean" (0 in the network's input, the mean pixel), "grey", "blur" (the
            image itself, blurred), a number in the network's input, or one for each channel.
        preprocess: what made the input of the photo; only "grey" needs it.
        layer: name or module, of feature maps; by default as in `DeconvNet.responsible`.
        channel: a feature map of it, or several; by default the one of largest activity, the sum over its positions.
        targets: classes of the image, as in `DeconvNet.explain`; by default the one that the network finds most
            likely.
        memory: budget for what is worked on at a time.
        route: "windowed" computes no more than what the covered part reaches wherever a step can run so, "dense" all
            of every image; "auto" counts the work and picks. The results are the same up to the order of sums.
        progress: called as progress(positions done, positions in all).

    Raises:
        ArgumentError: several images; a square larger than the image; a mask, stride or fill that cannot be used; a
            layer without positions.
        LayerNotFoundError, TargetError: no such layer or class; the output is a map.
        UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `DeconvNet.project`.

    Example:
        >>> from torch import nn, randn
        >>> from deconvnet import DeconvNet
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 12 * 12, 4))
        >>> x = randn(1, 3, 16, 16)
        >>> result = occlude(DeconvNet(model, x), x, size=4, stride=4, layer="1")
        >>> result
        <Occlusion: 4x4 at 4x4 positions on 16x16, 1 map of layer '1', 1 class>
        >>> result.on_grid(result.probabilities).shape
        torch.Size([4, 4, 1])
    """
    engine, report = attached(net), callback("progress", progress)
    check_route(route)
    graph = engine.graph(x)
    if len(x) != 1:
        raise ArgumentError(f"parts of one image are covered at a time; got {len(x)} images.")
    if preprocess is not None:
        instance("preprocess", preprocess, Preprocess)
    given = occluders(tuple(x.shape[2:]), size, stride, mask, partial=flag("partial", partial))
    with engine.computing():
        image = ordinary(x, graph.input.dtype)
        filled, words = filling(fill, image, preprocess)
        asked = _asked(engine, graph, image, layer, channel, targets)
        pictures = net.project(x, asked.layer, channel=list(asked.channels), position="all", memory=memory)
        covered = Covered(engine, graph, image, filled, given, asked.wanted, asked.values, route)
        before, after = asked.before, asked.none(len(given))
        done = 0
        for indices, values in covered.values(engine.budget(memory)):
            for all_of_it, part in zip(after, asked.read(values), strict=True):
                all_of_it[torch.from_numpy(indices)] = part.cpu()
            done += len(indices)
            if report is not None:
                report(done, len(given))
    return _result(asked, given, words, image, pictures, before, after)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked for of each covered image.

    Attributes:
        layer: the layer's name.
        maps: what it gives.
        channels: its maps whose activity is noted.
        scores: where the classes are.
        classes: those that are noted.
        labels: names of all classes, where they are known.
        values: by name, what the image gives as it is.
    """

    layer: str
    maps: Value
    channels: tuple[int, ...]
    scores: ClassScores
    classes: tuple[int, ...]
    labels: Sequence[str] | None
    values: Mapping[str, Tensor]

    @property
    def wanted(self) -> dict[str, Int[Tensor, " maps"] | None]:
        """By name, the values that are needed, and which maps of them."""
        return {
            self.maps.name: torch.tensor(self.channels, device="cpu"),
            self.scores.value.name: None,
            self.scores.output.name: None,
        }

    @property
    def before(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `read`, of the image as it is."""
        channels, maps = self.wanted[self.maps.name], self.values[self.maps.name]
        chosen = maps if channels is None else maps[:, channels.to(maps.device)]
        return self.read({**self.values, self.maps.name: chosen})

    def read(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each image activities, scores and probabilities of the classes, and its most probable class."""
        maps = values[self.maps.name]
        if self.wanted[self.maps.name] is None:  # the maps are the scores as well
            maps = maps[:, self.channels]
        scores = _by_class(values[self.scores.value.name])
        last = self.scores.output if self.scores.skipped else self.scores.value
        probabilities = _by_class(as_probabilities(self.scores, values[last.name]))
        of_classes = in_float64(scores[:, self.classes]), in_float64(probabilities[:, self.classes])
        return in_float64(maps.flatten(2)).sum(2), *of_classes, scores.argmax(1)

    def none(self, count: int) -> tuple[Tensor, ...]:
        """Room for what is read of so many images."""
        kinds = [(len(self.channels),), (len(self.classes),), (len(self.classes),), ()]
        types = [torch.float64] * 3 + [torch.int64]
        return tuple(torch.empty(count, *k, dtype=t, device="cpu") for k, t in zip(kinds, types, strict=True))


def _asked(engine: Attachment, graph: Graph, x: Tensor, layer: Layer | None, channel: Any, targets: Targets) -> _Asked:
    """What is asked for, checked and with what was left open chosen by the image as it is.

    Raises:
        ArgumentError, LayerNotFoundError, TargetError: the network does not have such a layer, map or class.
    """
    name = layer_of(engine, x, None) if layer is None else engine.layer_name(layer)
    maps = maps_of(graph, name)
    if not maps.map_size:
        raise ArgumentError(
            f"{name!r} does not have positions to sum over. Choose feature maps; classes are named by targets=."
        )
    scores = class_scores(graph, engine.output, engine.operations.rows)
    output = output_of(engine, graph, 1)
    if output.is_map:
        raise TargetError("the network's output is a map, not one score for each class: occlusion needs a classifier.")
    (chosen,) = output.chosen(None, targets)
    names = frozenset({maps.name, scores.value.name, scores.output.name})
    values = finite_forward(graph, engine.model, x, names, engine.rules, {}).values
    of_classes = _by_class(values[scores.value.name])[0]
    sums = in_float64(values[maps.name][0]).flatten(1).sum(1)
    channels = (
        [int(sums.argmax())]
        if channel is None
        else checked_indices(channel, maps.maps, f"feature maps in {name!r}", ArgumentError)
    )
    named = [strongest(of_classes, each) if each.channel is None else each.channel for each in chosen]
    return _Asked(
        name, maps, tuple(dict.fromkeys(channels)), scores, tuple(dict.fromkeys(named)), engine.labels, values
    )


def _by_class(scores: Tensor) -> Float[Tensor, "n classes"]:
    return scores[:, None] if scores.ndim == 1 else scores.flatten(1)


def _result(
    asked: _Asked, given: Occluders, fill: str, x: Tensor, pictures: Reconstruction, before: Sequence[Tensor],
    after: Sequence[Tensor],
) -> Occlusion:  # fmt: skip
    activity, scores, probabilities, answer = (each[0].cpu() for each in before)
    drops = (activity - after[0]).numpy()
    image = x[0].cpu()
    seen = {int(answer), *asked.classes, *after[3].tolist()}
    return Occlusion(
        image=image,
        occluders=given,
        fill=fill,
        layer=asked.layer,
        channels=asked.channels,
        activity=activity,
        activities=after[0],
        classes=asked.classes,
        score=scores,
        scores=after[1],
        probability=probabilities,
        probabilities=after[2],
        answer=int(answer),
        answers=after[3],
        labels=tuple((i, asked.labels[i]) for i in sorted(seen)) if asked.labels else (),
        pictures=pictures,
        evidence=evidence(drops, pictures.magnitude().cpu().double().numpy(), image.double().numpy(), given),
    )
