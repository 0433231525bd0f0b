"""The scale of batch norm folded into the filters below it, so that the way down has one step for the two.

Folded filters belong to one forward pass and are made of the weights that it read, so they are never out of date. On a
CPU folding does not pay: the filters of a network are more numbers than the maps of one image.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from deconvnet.core.down import Way
from deconvnet.core.graph import Step, Value
from deconvnet.core.rules import Call, Rule
from deconvnet.core.up import Trace


@dataclass(frozen=True, eq=False)
class Fold:
    """A scale and the filter that it is folded into.

    Attributes:
        norm: the step that scales.
        rule: of that step.
        filters: the step below it, as one step with it: from what that one reads to what `norm` gives.
        below: the weight of the step below, as it is.
    """

    norm: Step
    rule: Rule
    filters: Step
    below: Value


def folds_of(way: Way) -> dict[str, Fold]:
    """What can be folded on a way, by the name of what each norm gives."""
    return {fold.norm.output.name: fold for fold in _folds(way)}


def folded(way: Way, folds: dict[str, Fold]) -> Way:
    """The way with each norm and the filter below it as one step in the place of the norm.

    The filter's own step stays and does nothing, because nothing comes to it: the steps keep their indices.
    """
    down = (
        (folds[name].filters, way.chosen[folds[name].norm.signals[0].name]) if name in folds else (step, rule)
        for step, rule in way.down
        for name in [step.output.name]
    )
    return replace(way, down=tuple(down))


def with_filters(way: Way, trace: Trace, folds: Mapping[str, Fold]) -> Trace:
    """The forward pass with the folded filters among its tensors."""
    alike: dict[object, list[Fold]] = defaultdict(list)
    for fold in folds.values():
        alike[fold.rule.scales].append(fold)
    tensors = dict(trace.tensors)
    for group in alike.values():
        calls = [Call(fold.norm, way.rules, trace.images, trace.tensors) for fold in group]
        scales = group[0].rule.scales
        for fold, scale in zip(group, scales(calls) if scales else [], strict=True):
            filters: Tensor = trace.tensors[fold.below.name]
            tensors[_name(fold.norm)] = filters * scale.view(-1, *[1] * (filters.ndim - 1))
    return replace(trace, tensors=tensors)


def _folds(way: Way) -> Iterator[Fold]:
    steps = {step.output.name: (step, rule) for step, rule in way.down}
    uses = Counter(value.name for step, _ in way.down for value in step.signals)
    for norm, rule in way.down:
        if rule.scales is None or len(norm.signals) != 1 or norm.signals[0].name not in steps:
            continue
        below, below_rule = steps[norm.signals[0].name]
        weight = below.arguments.get("weight")
        alone = uses[below.output.name] == 1 and below.output != way.start and below.output.dtype == norm.output.dtype
        if below_rule.folds and alone and isinstance(weight, Value) and not weight.varies:
            slot = replace(weight, name=_name(norm))
            arguments = {name: slot if value == weight else value for name, value in below.arguments.items()}
            yield Fold(norm, rule, replace(below, output=norm.output, arguments=arguments), weight)


def _name(norm: Step) -> str:
    return f"{norm.output.name}/filters"
