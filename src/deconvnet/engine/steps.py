"""One unit's way down, step by step: what comes to each layer, beside what the forward pass had there."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet.core import ops, pooling
from deconvnet.core.down import Way
from deconvnet.core.finite import check_signal
from deconvnet.core.graph import Step, Value
from deconvnet.core.operations import row_of
from deconvnet.core.pooling import PoolWindows
from deconvnet.core.rules import Call, Rule
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.carry import boxes_of, carry_seeds
from deconvnet.engine.classes import class_seeds, each_alone, output_of
from deconvnet.engine.costs import Costs
from deconvnet.engine.layers import ClassScores, Layer, names_of, rectified_values
from deconvnet.engine.passes import Pass, by_images
from deconvnet.engine.project import facts_of
from deconvnet.engine.seeds import Seeds, unit_seeds
from deconvnet.engine.targets import Target
from deconvnet.results.steps import StepDown, Steps
from deconvnet.windows.frames import Frames, whole_maps
from deconvnet.windows.kernels import moved

Undone = tuple[Step, Rule]


@dataclass(frozen=True)
class Undoing:
    """How a layer is undone.

    Attributes:
        kind: which of the paper's operations this is; "other" if none of them.
        rule: what is done.
    """

    kind: Literal["unpool", "rectify", "filter", "other"]
    rule: Rule


def steps_down(
    attached: Attachment,
    x: Float[Tensor, "1 c *spatial"],
    layer: Layer | None,
    *,
    channel: int | str | None,
    position: tuple[int, ...] | int | Literal["all"] | None,
    target: Target,
    to: Layer | None,
    memory: str | int | None,
) -> Steps:
    """One unit's way down, step by step; see `DeconvNet.steps`."""
    graph = attached.graph(x)
    if len(x) != 1:
        raise ArgumentError(f"steps are those of one image; got {len(x)}: give x[i : i + 1].")
    if layer is not None and target is not None:
        raise ArgumentError("target= is a class; drop layer=, or name a channel of the layer with channel=.")
    if layer is None and (channel is not None or position is not None):
        raise ArgumentError("channel= and position= are of a layer; name the layer, or give target= alone.")
    scores: ClassScores | None = None
    if layer is None:
        costs, scores = attached.costs_of_classes(graph, to)
    else:
        costs = attached.costs(graph, layer, to)
    output = output_of(attached, graph, 1) if layer is None else None
    chosen = [] if output is None else output.chosen(target)

    def choose(values: Tensor, first: int) -> Seeds:
        if scores is not None and output is not None:
            return class_seeds(costs.layer, values, chosen, "one", first, each_alone(scores), output.name)
        top = "top:1" if channel is None else channel
        return unit_seeds(costs.layer, values, top, position, "activation", first)

    values = [value for step, _ in costs.way.down for value in (step.output, *step.signals)]
    budget = attached.budget(memory)
    (pass_,) = by_images(costs, attached.model, x, choose, budget, values)
    if len(pass_.seeds.units) != 1:
        raise ArgumentError(f"steps are those of one unit; {len(pass_.seeds.units)} were asked for.")
    steps = _carried(costs, pass_, budget)
    (unit,), activation = pass_.seeds.units, float(pass_.seeds.activations)
    skipped = () if scores is None else scores.words
    return Steps(unit, activation, steps, costs.way.rules, facts_of(costs.way, [pass_.seeds], skipped))


def _carried(costs: Costs, pass_: Pass, budget: int) -> tuple[StepDown, ...]:
    """The one seed of a pass, carried down on whole maps, and what comes to each layer."""
    way, names = costs.way, names_of(costs.way.graph)
    above, rectified = _above(way, names), rectified_values(way)
    steps: list[StepDown] = []

    def watch(value: Value, indices: np.ndarray, signal: Tensor, frames: Frames) -> None:
        if value.name in names:
            rows = signal[:, None] if signal.ndim == 1 else signal  # one number for each image is one unit
            (whole,) = moved(rows, frames, whole_maps(1, value.map_size))
            check_signal(whole, repr(names[value.name]))
            step = _step(way, pass_, value, whole, names, [*above[value.name].values()])
            steps.append(replace(step, rectified=value.name in rectified))

    box = boxes_of(costs, pass_.seeds.units)
    pixels = pass_.seeds.values.new_zeros(1, way.stop.maps, *box[0].size, dtype=way.stop.dtype)
    carry_seeds(costs, pass_, box, pixels, budget, "dense", watch)
    return tuple(steps)


def _step(
    way: Way, pass_: Pass, value: Value, signal: Tensor, names: Mapping[str, str], above: Sequence[Undone]
) -> StepDown:
    forward = pass_.trace.values[value.name]
    row = forward[pass_.seeds.rows[0]].reshape(signal.shape)
    undone = tuple(dict.fromkeys(names[step.output.name] for step, _ in above if step.output.name in names))
    how = ", ".join(dict.fromkeys(rule.words for _, rule in above))
    step = StepDown(names[value.name], undone, how, signal, row)
    pools = ((over, rule) for over, rule in above if row_of(over, way.rows).max_pools and value in over.signals)
    for over, rule in pools:
        switches, windows, error = _unpooling(way, pass_, over, rule, forward)
        return replace(step, switches=switches, windows=windows, error=error, pool=names[over.output.name])
    return step


def undone_by_layer(way: Way) -> dict[str, dict[str, Undoing]]:
    """The layers on a way in the order in which they are come to, and how those above are undone to come to each."""
    names = names_of(way.graph)
    above = _above(way, names)
    values = [step.output for step, _ in way.down] + [way.stop]
    return {
        names[value.name]: {
            names.get(name, f"{step.module}/{step.kind}"): _undoing(way, step, rule)
            for name, (step, rule) in above[value.name].items()
        }
        for value in values
        if value.name in names
    }


def _undoing(way: Way, step: Step, rule: Rule) -> Undoing:
    row = row_of(step, way.rows)
    return Undoing(
        "unpool" if row.max_pools else "rectify" if row.rectifies else "filter" if row.filters else "other", rule
    )


def _above(way: Way, names: Mapping[str, str]) -> dict[str, dict[str, Undone]]:
    """What is undone to come to each value from the nearest named ones above it, by the names of values."""
    above: dict[str, dict[str, Undone]] = defaultdict(dict)
    for step, rule in way.down:
        name = step.output.name
        undone = {} if name in names else above[name]
        for value in {value.name for value in rule.open_signals(step)}:
            above[value].update({**undone, name: (step, rule)})
    return above


def _unpooling(
    way: Way, pass_: Pass, step: Step, rule: Rule, below: Tensor
) -> tuple[Tensor | None, tuple[PoolWindows, ...], float]:
    """A max-pool's switches, its windows, and the relative error of what unpooling its output gives back."""
    row, trace = int(pass_.seeds.rows[0]), pass_.trace
    remembered = trace.memory.get(step.output.name, {})
    call = Call(step, way.rules, trace.images, trace.tensors, remembered)
    unpooled = rule.down(call, trace.values[step.output.name])
    windows = call.once(pooling.windows_of)
    switches = None
    if "switches" in remembered:
        switches = ops.switched_to(remembered["switches"], windows)[row]
    if not isinstance(unpooled, Tensor):
        (unpooled,) = (part for part in unpooled if part is not None)
    forward, back = below[row].cpu().double(), unpooled[row].cpu().double()  # squares of half floats overflow
    length = float(torch.linalg.vector_norm(forward))
    distance = float(torch.linalg.vector_norm(forward - back))
    return switches, windows, distance / length if length else 0.0
