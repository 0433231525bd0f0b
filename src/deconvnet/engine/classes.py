"""A class carried down: where it starts, and what comes of it."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet._types import Unit
from deconvnet.core.graph import Graph, Value
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.costs import Costs
from deconvnet.engine.layers import ClassScores, Layer, class_scores
from deconvnet.engine.passes import Pass, by_images
from deconvnet.engine.project import Watch, collected
from deconvnet.engine.seeds import Seeds, Start, check_start
from deconvnet.engine.targets import Chosen, Output, Target, Targets
from deconvnet.models.detector_answers import DetectorAnswers
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.windows.receptive_field import Field


def output_of(attached: Attachment, graph: Graph, images: int) -> Output:
    """What targets of a network are checked against."""
    scores = class_scores(graph, attached.output, attached.operations.rows).value
    classes, *size = scores.sizes(1)[1:] or (1,)
    return Output(classes, tuple(size), images, attached.labels, len(graph.input.map_size))


def explained(
    attached: Attachment,
    x: Float[Tensor, "n c *spatial"],
    target: Target,
    targets: Targets,
    *,
    start: Start,
    to: Layer | None,
    memory: str | int | None,
    watch: Watch | None,
) -> Reconstruction:
    """Classes carried down; see `DeconvNet.explain`."""
    check_start(start, "'activation' or 'one'")
    graph = attached.graph(x)
    down = ClassesDown(attached, graph, x, output_of(attached, graph, len(x)).chosen(target, targets), start, to)
    result = down.collected(memory, watch=watch)
    return replace(result, masks=down.masks(down.costs))


class ClassesDown:
    """The way down from classes of images.

    Attributes:
        costs: of the way.
        scores: where the classes are.
    """

    def __init__(
        self,
        attached: Attachment,
        graph: Graph,
        x: Tensor,
        chosen: Sequence[Sequence[Chosen]],
        start: Start,
        to: Layer | None,
    ) -> None:
        self._attached, self._x, self._chosen, self._start = attached, x, chosen, start
        self.costs, self.scores = attached.costs_of_classes(graph, to)
        self._output = output_of(attached, graph, len(x))
        self._started: list[Seeds] = []

    def collected(
        self,
        memory: str | int | None,
        *,
        keep: Sequence[Value] = (),
        look: Callable[[Pass], object] | None = None,
        watch: Watch | None = None,
    ) -> Reconstruction:
        """What comes down; `look` is called with each pass, whose trace holds the values to keep."""
        budget, counts = self._attached.budget(memory), [len(row) for row in self._chosen]
        passes = by_images(self.costs, self._attached.model, self._x, self._seeds, budget, keep, counts)
        return collected(self.costs, self._looked_at(passes, look), budget, skipped=self.scores.words, watch=watch)

    def masks(self, costs: Costs) -> Bool[Tensor, "m *size"] | None:
        """Where each class that came down starts, in pixels; None where this is not known of any.

        Args:
            costs: of the way to these pixels.
        """
        if len(costs.size) != len(costs.way.start.map_size) and not isinstance(self._output.labels, DetectorAnswers):
            return None
        outlines = [self._outline(part, i, costs) for part in self._started for i in range(len(part.units))]
        nowhere = torch.zeros(costs.size, dtype=torch.bool, device="cpu")
        has_outline = any(outline is not None for outline in outlines)
        return torch.stack([nowhere if outline is None else outline for outline in outlines]) if has_outline else None

    def _outline(self, part: Seeds, i: int, costs: Costs) -> Bool[Tensor, "*size"] | None:
        """The pixels that one class starts from, or None."""
        unit, labels = part.units[i], self._output.labels
        if isinstance(labels, DetectorAnswers):
            return _cell(labels, unit, costs) if costs.way.stop == costs.way.graph.input else None
        mask = part.masks.get(i)
        if mask is None and self._output.is_map and unit.position is not None:
            mask = torch.zeros(1, *self._output.size, dtype=torch.bool, device="cpu")
            mask[(0, *unit.position)] = True
        return None if mask is None else on_input(mask, costs)

    def _looked_at(self, passes: Iterable[Pass], look: Callable[[Pass], object] | None) -> Iterator[Pass]:
        for pass_ in passes:
            self._started.append(pass_.seeds)
            if look is not None:
                look(pass_)
            yield pass_

    def _seeds(self, values: Tensor, first: int) -> Seeds:
        chosen = self._chosen[first : first + len(values)]
        return class_seeds(
            self.costs.layer, values, chosen, self._start, first, each_alone(self.scores), self._output.name
        )


def each_alone(scores: ClassScores) -> bool:
    """Whether classes of a map do not compete: there is only one, or the network ends in a sigmoid."""
    return scores.value.maps == 1 or "sigmoid" in scores.skipped


def winning(scores: Float[Tensor, "n classes *size"], *, alone: bool) -> Bool[Tensor, "n classes *size"]:
    """The positions of a map where each class wins: where its score is the largest, or above 0 if each is alone."""
    if alone:
        return scores > 0
    wins = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    return wins.scatter_(1, scores.argmax(1, keepdim=True), True)


def class_seeds(
    layer: str,
    values: Tensor,
    chosen: Sequence[Sequence[Chosen]],
    start: Start,
    first: int,
    alone: bool,
    name: Callable[[int | None, tuple[int, ...] | None], str],
) -> Seeds:
    """One seed for each chosen class of each image.

    Args:
        layer: the layer's name.
        values: of some images.
        chosen: for each of them.
        start: what single positions start from.
        first: index of the first of these images.
        alone: as in `winning`.
        name: what each of them is called, as `Output.name`.

    Raises:
        ArgumentError: the classes of a map win nowhere in an image: the only one, or all of several.
    """
    scores = values[:, None] if values.ndim == 1 else values
    is_map = math.prod(scores.shape[2:]) > 1
    wins = winning(scores, alone=alone) if is_map else torch.empty(0, device="cpu")
    units: list[Unit] = []
    activations, masks = [], {}
    for row, classes in enumerate(chosen):
        nowhere: list[int] = []
        for each in map(partial(_named, scores[row]), classes):
            channel = each.channel
            if channel is None and each.mask is None:
                channel = strongest(wins[row] if is_map else scores[row], each)
            mask = each.mask
            if is_map and mask is None and each.position is None and channel is not None:
                mask = _of_class(wins[row], channel)
                if not bool(mask.any()):
                    nowhere.append(channel)
            position = each.position or (None if mask is not None else (0,) * (scores.ndim - 2))
            if mask is None:
                activations.append(scores[(row, channel, *(position or ()))])
            else:
                masks[len(units)] = mask.to(values.device)
                activations.append((masks[len(units)] * values[row]).sum())
            units.append(Unit(layer, channel, position, first + row, name(channel, position)))
        if len(nowhere) == len(classes):
            which = f" for image {first + row}" if first + len(scores) > 1 else ""
            raise ArgumentError(_nowhere(scores[row], nowhere[0], name(nowhere[0], None), which))
    rows: Int[np.ndarray, " m"] = np.array([unit.image - first for unit in units])
    return Seeds(tuple(units), torch.stack(activations), start, values, rows, masks)


def _named(scores: Tensor, chosen: Chosen) -> Chosen:
    """The class and position that are meant in an image where some were left open."""
    if chosen.open is None:
        return chosen
    part = scores[tuple(slice(None) if index is None else slice(index, index + 1) for index in chosen.open)]
    at = np.unravel_index(int(part.argmax()), tuple(part.shape))
    channel, *position = (int(i) if index is None else index for index, i in zip(chosen.open, at, strict=True))
    return Chosen(channel, tuple(position))


def strongest(scores: Tensor, chosen: Chosen) -> int:
    """The likeliest class of an image, of all or of those it is among; of a map the one that wins most positions.

    Args:
        scores: (classes, *size) for one image; of a map where each class wins, as `winning`.
        chosen: it does not name a single class.
    """
    of_classes = scores.flatten(1).sum(1) if scores.dtype == torch.bool else scores.flatten()
    if chosen.among is None:
        return int(of_classes.argmax())
    among = chosen.among.to(of_classes.device)
    return int(among[of_classes[among].argmax()])


def _of_class(wins: Bool[Tensor, "classes *size"], channel: int) -> Bool[Tensor, "classes *size"]:
    mask = torch.zeros_like(wins)
    mask[channel] = wins[channel]
    return mask


def _nowhere(scores: Float[Tensor, "classes *size"], channel: int, name: str, which: str) -> str:
    at = np.unravel_index(int(scores[channel].argmax()), tuple(scores.shape[1:]))
    named = ", ".join(str(index) for index in [channel, *map(int, at)])
    return (
        f"{name} wins at none of the {scores[channel].numel()} positions of the output{which}. "
        f"Its score is the largest at target=({named}), --target {named.replace(', ', ',')}: name that position, or "
        "another class."
    )


def _cell(answers: DetectorAnswers, unit: Unit, costs: Costs) -> Bool[Tensor, "*size"]:
    """The pixels that the position of a detector's answer stands for."""
    cell = torch.zeros(costs.size, dtype=torch.bool, device="cpu")
    inside, _ = answers.at(unit.channel or 0).cell.overlap(costs.size)
    cell[inside] = True
    return cell


def on_input(mask: Bool[Tensor, "classes *map"], costs: Costs) -> Bool[Tensor, "*size"]:
    """The pixels that lie nearest to the positions of a mask."""
    seen, size = mask.any(0).cpu(), costs.size
    fields = costs.field or (None,) * len(size)
    for axis, (field, pixels) in enumerate(zip(fields, size, strict=True)):
        nearest, inside = _nearest(field, seen.shape[axis], pixels)
        seen = seen.index_select(axis, nearest)
        seen = seen & inside.view(-1, *[1] * (seen.ndim - axis - 1))
    return seen


def _nearest(field: Field | None, length: int, pixels: int) -> tuple[Int[Tensor, " p"], Bool[Tensor, " p"]]:
    """Along one axis, for each pixel the nearest of the positions, and whether that is near enough to hold it."""
    at = np.arange(pixels)
    centres = np.array([] if field is None else [sum(field.span(y)) / 2 for y in range(length)])
    if field is None or len(np.unique(centres)) < length:  # above a step that enlarges, neighbours see the same
        indices = np.clip(((at + 0.5) * length / pixels).astype(int), 0, length - 1)
        return torch.from_numpy(indices), torch.ones(pixels, dtype=torch.bool, device="cpu")
    away = np.abs(at[:, None] - centres)
    indices = away.argmin(1)
    inside = away[at, indices] <= max(float(field.scale), 1) / 2
    return torch.from_numpy(indices), torch.from_numpy(inside)
