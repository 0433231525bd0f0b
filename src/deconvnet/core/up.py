"""Steps up, remembering what the way down will need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn, relu

from deconvnet.core.graph import Graph, Step, once, towards
from deconvnet.core.layout import maps_together, positions_together, takes_any_layout
from deconvnet.core.operations import depends_on_tensors_alone, overwritable
from deconvnet.core.replays import Tensors
from deconvnet.core.rules import Call, Memory, Rule, RuleSet
from deconvnet.core.weights import held_and_derived, tensors_of


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

    What is neither watched nor as in the model is recorded and replayed where the graph has recordings.
    """
    watch = watch or {}
    remembering = frozenset(name for name, rule in chosen.items() if rule.up is not None)
    usual = frozenset(name for name in remembering if not (chosen[name].unpools or chosen[name].masks))
    asked = wanted.union(watch), wanted, remembering, usual
    planned = once(graph.ups, asked, lambda: _planned(graph, *asked))
    remember = {name: chosen[name] for name in remembering}
    tensors = tensors_of(graph, model, len(x))
    run = partial(_run, planned, graph.input.name, wanted, rules, remember, watch, as_in_model)
    replays = None if watch or as_in_model else graph.replays()
    if replays is None or not all(depends_on_tensors_alone(s, remember.get(s.output.name)) for s, *_ in planned):
        results = run({**tensors, graph.input.name: x})
    else:
        held, given = held_and_derived(graph, tensors)
        kind = ("up", wanted, rules, *remember.items())
        results = replays.run(kind, graph, run, {**given, graph.input.name: x}, held)
    memory: dict[str, dict[str, Tensor]] = {}
    for name, key in (each for each in results if each not in wanted):
        memory.setdefault(name, {})[key] = results[name, key]
    return Trace(len(x), {name: results[name] for name in wanted if name in results}, memory, tensors)


def _run(
    planned: Sequence["_Planned"],
    images: str,
    wanted: frozenset[str],
    rules: RuleSet,
    remember: Mapping[str, Rule],
    watch: Mapping[str, Callable[[Tensor], None]],
    as_in_model: bool,
    given: Tensors,
) -> Tensors:
    """What the steps give, from images and weights: wanted values by name, memory by the step's output and a key."""
    values = dict(given)
    count, results = len(values[images]), Tensors()
    if not as_in_model:
        values[images] = positions_together(values[images])
    for step, writes_over, any_layout, last_used in planned:
        name = step.output.name
        if not any_layout:
            values.update({value.name: maps_together(values[value.name]) for value in step.inputs})
        call = Call(step, rules, count, values)
        if name in remember and (up := remember[name].up) is not None:
            values[name], remembered = up(call)
            results.update({(name, key): maps_together(tensor) for key, tensor in remembered.items()})
        elif writes_over:
            values[name] = values[step.inputs[0].name].relu_()
        else:
            values[name] = call.compute()
        if name in watch:
            watch[name](maps_together(values[name]))
        for used in last_used:
            del values[used]
    return {**results, **{name: maps_together(values[name]) for name in wanted if name in values}}


_Planned = tuple[Step, bool, bool, tuple[str, ...]]


def _planned(
    graph: Graph, sought: frozenset[str], wanted: frozenset[str], remembering: frozenset[str], usual: frozenset[str]
) -> list[_Planned]:
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
