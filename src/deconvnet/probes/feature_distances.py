"""`invariance`: the features and the answer of a network as photos are moved, scaled and turned (figure 5)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import callback, instance, whole_number
from deconvnet._devices import in_float64
from deconvnet._errors import TargetError
from deconvnet.core.graph import Graph
from deconvnet.engine.activations import with_probabilities
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.classes import output_of, strongest
from deconvnet.engine.layers import Layer, value_of
from deconvnet.engine.targets import Chosen, Target
from deconvnet.engine.usual_layers import low_and_high
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.preprocess import Preprocess
from deconvnet.pictures.numbers import percent
from deconvnet.probes.arguments import checked_layers, checked_names
from deconvnet.probes.invariance_curves import MOST_PICTURES, Invariance, Responses
from deconvnet.probes.thumbnails import pictures_of
from deconvnet.probes.transforms import Kind, Transforms, axis_of, filled, fills_of, transformed, values_of


def invariance(
    net: DeconvNet,
    x: Float[Tensor, "n c *spatial"],
    target: Target = None,
    *,
    layers: Sequence[Layer] | Layer | None = None,
    transforms: Transforms | None = None,
    preprocess: Preprocess | None = None,
    names: Sequence[str] | None = None,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Invariance:
    """How far features move, and a class's probability with them, as photos are moved, scaled and turned.

    The paper's experiment on invariance (section 4, figure 5). What is transformed is the network's input, so that it
    is the same for every network that takes it: what a transform brings in from outside is filled, with the mean pixel
    by default, and not with what the photo shows beyond a crop.

    Args:
        net: the network.
        x: images, as the model takes them.
        target: one class of each image, as in `DeconvNet.explain`; None for the one that the network finds most
            likely in the image as it is. Where the output is a map, a class without a position has the mean of its
            probabilities over all positions.
        layers: names or modules, from low to high; by default the first layer that rectifies and the last hidden layer,
            of which the last layer with weights makes the classes.
        transforms: which ones; see `Transforms`.
        preprocess: what made `x` of photos, to draw them in their own colours.
        names: of the images, for the legend.
        batch: images that are run at once, at least 2; one of them is the image as it is.
        progress: called as progress(transforms done, transforms in all).

    Raises:
        LayerNotFoundError, TargetError, NotFiniteError: as in `DeconvNet`.
        ArgumentError: wrong images, a network without hidden layers and no `layers`, or transforms that images of this
            kind do not have.

    Example:
        >>> from deconvnet import DeconvNet, load_model
        >>> loaded = load_model("zfnet-mini")
        >>> net = DeconvNet(loaded.model, loaded.example_input, labels=loaded.labels)
        >>> x = loaded.preprocess.images("sample:chelsea")
        >>> few = Transforms(translations=[-8, 0, 8], scales=[], angles=[0, 90])
        >>> invariance(net, x, transforms=few)
        <Invariance: 1 photo, translation, rotation at 'relu1', 'relu6'>
    """
    engine, size = attached(net), whole_number("batch", batch, least=2)
    chosen = Transforms() if transforms is None else instance("transforms", transforms, Transforms)
    report = callback("progress", progress)
    with engine.computing():
        graph = engine.graph(x)
        listed = low_and_high(engine, graph) if layers is None else checked_layers(engine, graph, layers)
        targets = single_classes(engine, graph, len(x), target)
        kinds, fills = values_of(chosen, graph.input.map_size), fills_of(chosen, x.shape[1])
        jobs = [(kind, value) for kind, values in kinds.items() for value in values]
        photos = checked_names(names, len(x))
        measuring = _Measuring(engine, x, listed, jobs, axis_of(chosen, x.shape[2:]), fills, size)
        measured = list[_OfImage]()
        for i, each in enumerate(targets):

            def report_image(done: int, before: int = i * len(jobs)) -> None:
                if report is not None:
                    report(before + done, len(targets) * len(jobs))

            measured.append(measuring.of_image(i, each, report_image))
    pictures, around = pictures_of(x[:MOST_PICTURES], fills, preprocess)
    classes = tuple(each.channel for each in measured)
    output = output_of(engine, graph, len(x))
    labels = tuple(output.name(channel, each.position) for channel, each in zip(classes, targets, strict=True))
    norms = torch.stack([each.norms for each in measured])
    return Invariance(
        photos, tuple(listed), classes, labels,
        torch.tensor([each.before for each in measured], dtype=torch.float64, device="cpu"),
        norms, torch.stack([each.others for each in measured]), tuple(_responses(kinds, measured)), chosen, pictures,
        around, tuple(_notes(graph, kinds, chosen, listed, norms)),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _OfImage:
    """What was measured of one image: `t` runs over all transforms of all kinds."""

    channel: int
    before: float
    norms: Float[Tensor, " l"]
    others: Float[Tensor, " l"]
    distances: Float[Tensor, "l t"]
    probabilities: Float[Tensor, " t"]


@dataclass(frozen=True, eq=False)
class _Measuring:
    """What is measured, and how.

    Attributes:
        engine: the network.
        x: all images.
        layers: where distances are measured.
        jobs: the kind and value of each transform.
        axis: of translations.
        fills: around the images, for each channel.
        batch: images that are run at once.
    """

    engine: Attachment
    x: Tensor
    layers: Sequence[str]
    jobs: Sequence[tuple[Kind, float]]
    axis: int
    fills: Sequence[float]
    batch: int

    def of_image(self, i: int, target: Chosen, report: Callable[[int], None]) -> _OfImage:
        """What becomes of one image; each pass holds the image as it is, so that rounding is the same on both sides."""
        image, step = self.x[i : i + 1], self.batch - 1
        other = self.x[(i + 1) % len(self.x)][None]
        activations, first = with_probabilities(self.engine, torch.cat([image, other]), self.layers)
        channel = strongest(mean_probabilities(first)[0], target) if target.channel is None else target.channel
        position = target.position
        norms = torch.stack([in_float64(values[0]).norm().cpu() for values in activations.values()])
        others = self._distances(activations)[:, 0] if len(self.x) > 1 else torch.full_like(norms, torch.nan)
        distances, probabilities = list[Tensor](), list[Tensor]()
        for low in range(0, len(self.jobs), step):
            part = self.jobs[low : low + step]
            moved = [transformed(image[0], *job, axis=self.axis, fill=self.fills)[None] for job in part]
            activations, all_classes = with_probabilities(self.engine, torch.cat([image, *moved]), self.layers)
            distances.append(self._distances(activations))
            probabilities.append(of_class(all_classes, channel, position)[1:])
            report(low + len(part))
        before = float(of_class(first, channel, position)[0])
        return _OfImage(channel, before, norms, others, torch.cat(distances, 1), torch.cat(probabilities))

    def _distances(self, activations: dict[str, Tensor]) -> Float[Tensor, "l t"]:
        """Of each layer, how far the activations of all images but the first are from those of the first."""
        listed = (in_float64(activations[name]).flatten(1) for name in self.layers)
        return torch.stack([(values[1:] - values[:1]).norm(dim=1).cpu() for values in listed])


def _responses(kinds: dict[Kind, tuple[float, ...]], measured: Sequence[_OfImage]) -> Iterator[Responses]:
    distances = torch.stack([each.distances for each in measured])
    probabilities, low = torch.stack([each.probabilities for each in measured]), 0
    for kind, values in kinds.items():
        rows = slice(low, low + len(values))
        low = rows.stop
        of_kind = torch.tensor(values, dtype=torch.float64, device="cpu")
        yield Responses(kind, of_kind, distances[..., rows].clone(), probabilities[..., rows].clone())


def single_classes(engine: Attachment, graph: Graph, images: int, target: Target) -> list[Chosen]:
    """The class of each image that a target names.

    Raises:
        TargetError: no such class, not one for each image, or a mask.
    """
    classes = [row[0] for row in output_of(engine, graph, images).chosen(target)]
    for each in classes:
        if each.mask is not None or each.open is not None:
            what = "a mask" if each.open is None else "a tuple with None in it"
            raise TargetError(
                f"{what} does not name a class whose probability could be followed: name the class, or one position."
            )
    return classes


def mean_probabilities(probabilities: Float[Tensor, "n *classes"]) -> Float[Tensor, "n c"]:
    """The probability of each class, the mean over all positions where the output is a map."""
    rows = probabilities[:, None] if probabilities.ndim < 2 else probabilities
    return in_float64(rows).reshape(*rows.shape[:2], -1).mean(2).cpu()


def of_class(
    probabilities: Float[Tensor, "n *classes"], channel: int, position: tuple[int, ...] | None
) -> Float[Tensor, " n"]:
    """The probability of a class for each image, at a position of a map if one is given."""
    if position is None:
        return mean_probabilities(probabilities)[:, channel]
    at: tuple[slice | int, ...] = (slice(None), channel, *position)
    return probabilities[at].cpu().double()


def _notes(
    graph: Graph,
    kinds: dict[Kind, tuple[float, ...]],
    transforms: Transforms,
    layers: Sequence[str],
    norms: Float[Tensor, "n l"],
) -> Iterator[str]:
    size = graph.input.map_size
    axis = axis_of(transforms, size)
    shares = {kind: max(filled(kind, value, size, axis) for value in values) for kind, values in kinds.items()}
    words = [f"{percent(share)} of an image ({kind})" for kind, share in shares.items() if share > 1e-6]
    if words:
        yield f"What a transform brings in from outside is filled: up to {' and '.join(words)}."
    highest = value_of(graph, layers[-1]).map_size
    if len(layers) > 1 and math.prod(highest) > 1:
        yield (
            f"{layers[-1]!r} has maps of {'x'.join(map(str, highest))} units, so that its distances also count where "
            "in the image a feature is. A layer without positions shows whether it is there."
        )
    for j, layer in enumerate(layers):
        if not norms[:, j].all():
            yield f"{layer!r} is zero everywhere for a photo as it is, so relative distances are not defined there."
