"""Which layers a reader wants to see first: rectified ones, and of a block its output rather than its insides."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from deconvnet.core import geometry
from deconvnet.core.down import Way
from deconvnet.core.graph import Step
from deconvnet.core.operations import row_of
from deconvnet.engine.layers import names_of, rectified_values

_IN_PLACE = (geometry.point_by_point, geometry.map_by_map)


def main_layers(way: Way) -> tuple[str, ...]:
    """The rectified layers on a way that are not inside a block, and the rectified outputs of blocks.

    A block is a module whose output joins branches, by adding or by concatenating them; what comes out of it may be
    normalised and rectified after the join, as in residual networks, also in the module behind it. Of a block with a
    rectified output nothing else is shown.

    Args:
        way: from the classes to the input.

    Returns:
        Names in the order in which the network computes them.
    """
    names, steps = names_of(way.graph), {step.output.name: step for step, _ in way.down}
    rectified = rectified_values(way)
    outputs, blocks = set[str](), set[str]()
    for name in rectified:
        for block in _blocks_of(way, name, steps, rectified):
            outputs.add(name)
            blocks.add(block)
    branches = _ends_of_branches(way, rectified)
    main = {
        name
        for name in rectified
        if name in outputs or not (name in branches or any(_inside(steps[name].module, block) for block in blocks))
    }
    order = [value.name for value in way.graph.layers.values()]
    return tuple(names[name] for name in dict.fromkeys(order) if name in main and name in names)


def _blocks_of(way: Way, name: str, steps: Mapping[str, Step], rectified: frozenset[str]) -> Iterator[str]:
    """The module whose joined branches a rectified value is, if there is one."""
    chain = [name]
    while (step := steps.get(chain[-1])) is not None:
        signals, row = list(way.chosen[step.output.name].open_signals(step)), row_of(step, way.rows)
        if len(signals) > 1:
            break
        if not signals or row.windowed not in _IN_PLACE:
            return
        chain.append(signals[0].name)
    if step is None or not (row.concatenates or row.elementwise == "linear"):
        return
    parts = step.module.split(".")
    for module in (".".join(parts[:depth]) for depth in range(len(parts), 0, -1)):
        given = way.graph.layers.get(module)
        within = any(_inside(steps[other].module, module) for other in rectified if other not in chain)
        if module and given is not None and given.name in chain and within:
            yield module
            return


def _ends_of_branches(way: Way, rectified: frozenset[str]) -> set[str]:
    """Rectified values that go nowhere but into a concatenation of rectified ones, which stands for all of them."""
    above: dict[str, list[Step]] = defaultdict(list)
    for step, rule in way.down:
        for value in rule.open_signals(step):
            above[value.name].append(step)
    return {
        name
        for name in rectified
        if above[name]
        and all(row_of(step, way.rows).concatenates and step.output.name in rectified for step in above[name])
    }


def _inside(module: str, block: str) -> bool:
    return module == block or module.startswith(block + ".")
