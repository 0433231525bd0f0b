"""Steps up, remembering what the way down will need."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from deconvnet._errors import NotFiniteError
from deconvnet._types import Step, Unit, Value
from deconvnet.capture.trace import Graph, weights_of
from deconvnet.core.rules import Call, Memory, Rule, RuleSet
from deconvnet.windows.steps import Frames, LocalStep, map_size, moved, united, whole_maps


@dataclass(frozen=True)
class Trace:
    """One forward pass, as far as it was needed.

    Attributes:
        images: batch size.
        values: the values that were asked for, by name.
        memory: what each rule remembered, by the name of its step's output.
        tensors: the weights and what is computed of weights alone, by name.
        frames: by the name of a value, where the windows lie in which it was computed; whole maps elsewhere.
    """

    images: int
    values: Mapping[str, Tensor]
    memory: Mapping[str, Memory]
    tensors: Mapping[str, Tensor]
    frames: Mapping[str, Frames] = field(default_factory=dict)


_MAKES_ITS_OWN = {
    "aten.conv1d",
    "aten.conv2d",
    "aten.conv3d",
    "aten.linear",
    "batch_norm",
}  # no view of anything


def steps_towards(graph: Graph, wanted: Iterable[str]) -> list[Step]:
    """The steps, in order, that lead to any of the named values."""
    names, needed = set(wanted), []
    for step in reversed(graph.steps):
        if step.output.name in names:
            needed.append(step)
            names.update(value.name for value in step.inputs)
    return needed[::-1]


def forward(
    graph: Graph,
    model: nn.Module,
    x: Tensor,
    wanted: frozenset[str],
    rules: RuleSet,
    chosen: Mapping[str, Rule],
    watch: Mapping[str, Callable[[Tensor], None]] = {},
) -> Trace:
    """Run the steps up to the wanted and the watched values, and no further.

    Args:
        graph: captured from `model` for images of this size.
        model: its weights are read as they are now.
        x: (n, c, *spatial).
        wanted: names of values to keep.
        rules: the rule set of the way down.
        chosen: the rule of each step that will be undone, by the name of its output.
        watch: by the name of a value, what is called with it once it is there; it is not kept for that.
    """
    tensors = tensors_of(graph, model, len(x))
    values: dict[str, Tensor] = {graph.input.name: x}
    memory: dict[str, Memory] = {}
    steps = steps_towards(graph, wanted | watch.keys())
    last_use = {value.name: i for i, step in enumerate(steps) for value in step.inputs}
    own = {step.output.name for step in steps if step.operation in _MAKES_ITS_OWN} - wanted
    for i, step in enumerate(steps):
        below = step.inputs[0].name
        inputs = {value.name: values[value.name] for value in step.inputs}
        call = Call(step, rules, len(x), {**tensors, **inputs})
        rule = chosen.get(step.output.name)
        if rule is not None and rule.up is not None:
            values[step.output.name], memory[step.output.name] = rule.up(call)
        elif step.operation == "relu" and step.cap is None and below in own and last_use[below] == i:
            values[step.output.name] = values[below].relu_()
        else:
            values[step.output.name] = call.compute()
        if step.output.name in watch:
            watch[step.output.name](values[step.output.name])
        for name in (*inputs, step.output.name):
            if last_use.get(name, i) == i and name not in wanted:
                del values[name]
    kept = {name: tensor for name, tensor in values.items() if name in wanted}
    return Trace(len(x), kept, memory, tensors)


def finite_forward(
    graph: Graph, model: nn.Module, x: Tensor, wanted: frozenset[str], rules: RuleSet, chosen: Mapping[str, Rule]
) -> Trace:
    """As `forward`, and the wanted values are finite.

    Raises:
        NotFiniteError: names the layer where NaN or infinity first appears.
    """
    trace = forward(graph, model, x, wanted, rules, chosen)
    if not all(map(all_finite, trace.values.values())):
        check_finite(graph, model, x, wanted)
    return trace


def forward_in_windows(
    steps: Sequence[LocalStep],
    graph: Graph,
    model: nn.Module,
    x: Tensor,
    units: Sequence[Unit],
    rules: RuleSet,
    chosen: Mapping[str, Rule],
) -> Trace:
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
        One row for each unit.

    Raises:
        NotFiniteError: names the layer where NaN or infinity first appears.
    """
    tensors = tensors_of(graph, model, len(units))
    at = seen(steps, graph.input, np.array([unit.position for unit in units]))
    source, top = graph.input.name, steps[0].step.output.name
    rows = np.array([unit.image for unit in units])
    values = {source: moved(x, whole_maps(len(x), map_size(graph.input)), at[source], rows)}
    memory: dict[str, Memory] = {}
    remembered_at: dict[str, Frames] = {}
    last_use = {value.name: i for i, local in reversed(list(enumerate(steps))) for value in local.below}
    for i, local in reversed(list(enumerate(steps))):
        name = local.step.output.name
        below, above = local.reached(at[name])
        inputs = {
            value.name: moved(values[value.name], at[value.name], below, fill=local.fill) for value in local.below
        }
        call = Call(local.sized(above.size, below.size), rules, len(units), {**tensors, **inputs})
        rule = chosen.get(name)
        if rule is not None and rule.up is not None:
            output, memory[name] = rule.up(call)
            remembered_at[name] = above
        else:
            output = call.compute()
        values[name] = moved(output, above, at[name])
        for value in local.below:
            if last_use[value.name] == i:
                values.pop(value.name, None)
    if not all_finite(values[top]):
        check_finite(graph, model, x, frozenset([top]))
    return Trace(len(units), {top: values[top]}, memory, tensors, remembered_at)


def seen(steps: Sequence[LocalStep], source: Value, positions: Int[np.ndarray, "m axes"]) -> dict[str, Frames]:
    """By the name of a value, the windows of it that units at these positions see.

    Of fewer of these units none sees a larger window: each of theirs lies in its own here.

    Args:
        steps: those that lead from `source` to the units, from the top down.
        source: the lowest value.
        positions: of the units, on the output of the first of `steps`.
    """
    wanted = {steps[0].step.output.name: [Frames(positions, (1,) * positions.shape[1])]}
    at: dict[str, Frames] = {}
    for local in steps:
        name = local.step.output.name
        at[name] = united(wanted[name], map_size(local.step.output))
        for value in local.below:
            wanted.setdefault(value.name, []).append(local.reached(at[name])[0])
    return {**at, source.name: united(wanted[source.name], map_size(source))}


def tensors_of(graph: Graph, model: nn.Module, images: int) -> dict[str, Tensor]:
    """The weights as they are now, and what is computed of weights alone."""
    tensors = {**graph.tensors, **weights_of(model, graph.weights)}
    for step in graph.constants:
        tensors[step.output.name] = Call(step, RuleSet(), images, tensors).compute()
    return tensors


def assumptions_hold(graph: Graph, model: nn.Module) -> bool:
    """Whether the buffers by which a rectifier was recognised still hold the number they did."""
    named = {name: graph.weights[name] for name in graph.assumed}
    return all(bool((tensor == graph.assumed[name]).all()) for name, tensor in weights_of(model, named).items())


def all_finite(tensor: Tensor) -> bool:
    """Whether there is neither NaN nor infinity in a tensor; takes no memory of its size."""
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return not parts.numel() or bool(torch.isfinite(torch.stack(parts.aminmax())).all())


def check_finite(graph: Graph, model: nn.Module, x: Tensor, wanted: frozenset[str]) -> None:
    """Find where NaN or infinity first appears on the way to the wanted values, from finite input and weights.

    Raises:
        NotFiniteError: names the layer.
    """
    steps = steps_towards(graph, wanted)
    names = frozenset(step.output.name for step in steps if step.output.signal)
    trace = forward(graph, model, x, names, RuleSet(), {})
    layer_of = {value.name: layer for layer, value in graph.layers.items()}
    for step in steps:
        value = trace.values.get(step.output.name)
        if value is not None and not all_finite(value):
            where = layer_of.get(step.output.name, step.module)
            raise NotFiniteError(
                f"NaN or infinity first appears at layer '{where}' ({step.operation}), from finite input "
                f"and weights in {value.dtype}; try a wider floating-point type or smaller input values."
            )
