"""The way down on whole maps, recorded the second time and replayed from then on; see `core.replays`."""

from collections import defaultdict
from collections.abc import Mapping

from torch import Tensor

from deconvnet.core.down import carry_down
from deconvnet.core.folding import Fold, with_filters
from deconvnet.core.kernels import without_repeats
from deconvnet.core.operations import depends_on_tensors_alone
from deconvnet.core.replays import Replays, Tensors
from deconvnet.core.up import Trace
from deconvnet.core.weights import held_and_derived
from deconvnet.engine.costs import Costs

MOST_SIGNALS = 64  # of more, each operation is so much work that the device need not wait for the next one


def carried_down(
    replays: Replays,
    costs: Costs,
    folds: Mapping[str, Fold],
    trace: Trace,
    arrived: Mapping[str, Tensor],
    steps: slice,
) -> dict[str, Tensor] | None:
    """What arrives when signals are carried through steps of a way, as by `core.down.carry_down`.

    Args:
        replays: the recordings.
        costs: of the way.
        folds: what is folded into filters, as a part of what is recorded, so that changed weights are seen.
        trace: the forward pass whose switches are used; one image of it for each signal.
        arrived: the signal that has come to each value.
        steps: of the way.

    Returns:
        None where it cannot be recorded.
    """
    way, down = costs.way, costs.way.down[steps]
    if not arrived or not all(depends_on_tensors_alone(step, rule) for step, rule in down):
        return None
    names = (step.output.name for step, _ in down)
    memory = {(name, key): tensor for name in names for key, tensor in trace.memory.get(name, {}).items()}
    lengths = {of: len(tensor) for of, tensor in memory.items()}

    def run(tensors: Tensors) -> Tensors:
        remembered: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for (name, key), length in lengths.items():
            tensor = tensors[name, key]
            remembered[name][key] = tensor.expand(length, *tensor.shape[1:])
        here = Trace(trace.images, {}, remembered, {name: tensors[name] for name in trace.tensors})
        signals = {name: tensors[name] for name in arrived}
        carry_down(costs.folded if folds else way, with_filters(way, here, folds), signals, steps)
        return signals

    held, derived = held_and_derived(way.graph, trace.tensors)
    given: Tensors = {**arrived, **derived}
    given |= {of: without_repeats(tensor) for of, tensor in memory.items()}
    kind = ("down", way, steps.start, steps.stop, bool(folds), *lengths.items())
    return replays.run(kind, way.graph, run, given, held)
