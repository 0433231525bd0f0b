"""Steps up, remembering what the way down will need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn, relu

from deconvnet.core.graph import Graph, towards
from deconvnet.core.layout import maps_together, positions_together, takes_any_layout
from deconvnet.core.operations import overwritable
from deconvnet.core.rules import Call, Memory, Rule, RuleSet
from deconvnet.core.weights import tensors_of


@dataclass(frozen=True)
class Trace:
    """One forward pass, as far as it was needed.

    Attributes:
        images: batch size.
        values: the values that were asked for, by name.
        memory: what each rule remembered, by the name of its step's output.
        tensors: the weights and what is computed of weights alone, by name.
    """

    images: int
    values: Mapping[str, Tensor]
    memory: Mapping[str, Memory]
    tensors: Mapping[str, Tensor]


def forward(
    graph: Graph,
    model: nn.Module,
    x: Tensor,
    wanted: frozenset[str],
    rules: RuleSet,
    chosen: Mapping[str, Rule],
    watch: Mapping[str, Callable[[Tensor], None]] | None = None,
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
    watch = watch or {}
    tensors = tensors_of(graph, model, len(x))
    values: dict[str, Tensor] = {graph.input.name: positions_together(x)}
    memory: dict[str, Memory] = {}
    steps = towards(graph.steps, wanted | watch.keys())
    last_use = {value.name: i for i, step in enumerate(steps) for value in step.inputs}
    own = overwritable(steps, chosen) - wanted
    for i, step in enumerate(steps):
        name, below = step.output.name, step.inputs[0].name
        rule = chosen.get(name)
        inputs = {value.name: values[value.name] for value in step.inputs}
        if not takes_any_layout(step, rule):
            inputs = {name: maps_together(tensor) for name, tensor in inputs.items()}
        call = Call(step, rules, len(x), {**tensors, **inputs})
        if rule is not None and rule.up is not None:
            values[name], remembered = rule.up(call)
            memory[name] = {key: maps_together(tensor) for key, tensor in remembered.items()}
        elif step.function is relu and below in own:
            values[name] = values[below].relu_()
        else:
            values[name] = call.compute()
        if name in watch:
            watch[name](maps_together(values[name]))
        for used in (*inputs, name):
            if last_use.get(used, i) == i and used not in wanted:
                del values[used]
    asked = {name: maps_together(tensor) for name, tensor in values.items() if name in wanted}
    return Trace(len(x), asked, memory, tensors)
