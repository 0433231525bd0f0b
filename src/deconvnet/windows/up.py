"""Steps up for single units, each on no more of its image than it sees."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int
from torch import Tensor, nn

from deconvnet._types import Unit
from deconvnet.core.finite import Overflows, all_finite, check_finite
from deconvnet.core.graph import Graph, Value
from deconvnet.core.rules import Call, Memory, Rule, RuleSet
from deconvnet.core.up import Trace
from deconvnet.core.weights import tensors_of
from deconvnet.windows.frames import Frames, united, whole_maps
from deconvnet.windows.kernels import moved
from deconvnet.windows.steps import LocalStep, frames_of_steps


def forward_in_windows(
    steps: Sequence[LocalStep],
    graph: Graph,
    model: nn.Module,
    x: Tensor,
    units: Sequence[Unit],
    rules: RuleSet,
    chosen: Mapping[str, Rule],
) -> tuple[Trace, Mapping[str, Frames]]:
    """Run the steps for single units, each on no more of its image than it sees.

    A step in windows is given what lies around a window, and its padding only where the image ends, so
    every unit gets what it gets in the whole image, up to the order of sums.

    Args:
        steps: those that lead to the units, from the top down.
        graph: captured from `model` for images of this size.
        model: its weights are read as they are now.
        x: (n, c, *spatial).
        units: single ones of the layer that the first of `steps` makes.
        rules: the rule set of the way down.
        chosen: the rule of each step that will be undone, by the name of its output.

    Returns:
        A pass with one row for each unit; and by step, where the windows lie that it remembers.

    Raises:
        NotFiniteError: names the layer where NaN or infinity first appears.
    """
    tensors = tensors_of(graph, model, len(units))
    source, top = graph.input.name, steps[0].step.output.name
    positions, rows = (np.array([getattr(unit, name) for unit in units]) for name in ("position", "image"))
    frames, rest = frames_of_steps(steps, {top: [_points(positions)]})
    at = {name: of.at for name, of in frames.items()} | {source: united(rest[source], graph.input.map_size)}
    values = {source: moved(x, whole_maps(len(x), graph.input.map_size), at[source], rows)}
    memory: dict[str, Memory] = {}
    remembered_at: dict[str, Frames] = {}
    overflows = Overflows(graph)
    last_use = {value.name: i for i, local in reversed(list(enumerate(steps))) for value in local.below}
    for i, local in reversed(list(enumerate(steps))):
        name = local.step.output.name
        below, above = frames[name].below, frames[name].above
        inputs = {
            value.name: moved(values[value.name], at[value.name], below, fill=local.border) for value in local.below
        }
        call = Call(local.sized(above.size, below.size), rules, len(units), {**tensors, **inputs})
        rule = chosen.get(name)
        if rule is not None and rule.up is not None:
            output, memory[name] = rule.up(call)
            remembered_at[name] = above
        else:
            output = call.compute()
        overflows.look(local.step, output)
        values[name] = moved(output, above, at[name])
        for value in local.below:
            if last_use[value.name] == i:
                values.pop(value.name, None)
    overflows.check()
    if not all_finite(values[top]):
        check_finite(graph, model, x, frozenset([top]))
    return Trace(len(units), {top: values[top]}, memory, tensors), remembered_at


def windows_seen(steps: Sequence[LocalStep], source: Value, positions: Int[np.ndarray, "m axes"]) -> dict[str, Frames]:
    """By the name of a value, the windows of it that units at these positions see.

    Of fewer of these units none sees a larger window: each of theirs lies in its own here.

    Args:
        steps: those that lead from `source` to the units, from the top down.
        source: the lowest value.
        positions: of the units, on the output of the first of `steps`.
    """
    frames, rest = frames_of_steps(steps, {steps[0].step.output.name: [_points(positions)]})
    return {name: of.at for name, of in frames.items()} | {source.name: united(rest[source.name], source.map_size)}


def _points(positions: Int[np.ndarray, "m axes"]) -> Frames:
    return Frames(positions, (1,) * positions.shape[1])
