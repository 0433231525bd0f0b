"""Steps up, remembering what the way down will need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn, relu

from deconvnet.core.graph import Graph, Step, once, towards
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
    *,
    as_in_model: bool = False,
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
        as_in_model: maps lie in memory as in the model, so that sums round as there, in place of what is fastest.
    """
    watch = watch or {}
    remembering = frozenset(name for name, rule in chosen.items() if rule.up is not None)
    usual = frozenset(name for name in remembering if not (chosen[name].unpools or chosen[name].masks))
    asked = wanted.union(watch), wanted, remembering, usual
    planned = once(graph.ups, asked, lambda: _planned(graph, *asked))
    tensors = tensors_of(graph, model, len(x))
    values: dict[str, Tensor] = {**tensors, graph.input.name: x if as_in_model else positions_together(x)}
    memory: dict[str, Memory] = {}
    for step, writes_over, any_layout, last_used in planned:
        name = step.output.name
        if not any_layout:
            values.update({value.name: maps_together(values[value.name]) for value in step.inputs})
        call = Call(step, rules, len(x), values)
        if name in remembering and (up := chosen[name].up) is not None:
            values[name], remembered = up(call)
            memory[name] = {key: maps_together(tensor) for key, tensor in remembered.items()}
        elif writes_over:
            values[name] = values[step.inputs[0].name].relu_()
        else:
            values[name] = call.compute()
        if name in watch:
            watch[name](maps_together(values[name]))
        for used in last_used:
            del values[used]
    results = {name: maps_together(values[name]) for name in wanted if name in values}
    return Trace(len(x), results, memory, tensors)


def _planned(
    graph: Graph, sought: frozenset[str], wanted: frozenset[str], remembering: frozenset[str], usual: frozenset[str]
) -> list[tuple[Step, bool, bool, tuple[str, ...]]]:
    """The steps up to the values that are sought.

    Beside each stand whether it writes over its input, whether it takes maps in any layout, which the rules of those in
    `usual` do not, and the values that no later step needs.
    """
    steps = towards(graph.steps, sought)
    last_use = {value.name: i for i, step in enumerate(steps) for value in (*step.inputs, step.output)}
    own = overwritable(steps, remembering) - wanted
    return [
        (
            step,
            step.function is relu and step.inputs[0].name in own,
            takes_any_layout(step) and step.output.name not in usual,
            tuple({v.name for v in (*step.inputs, step.output) if last_use[v.name] == i and v.name not in wanted}),
        )
        for i, step in enumerate(steps)
    ]
