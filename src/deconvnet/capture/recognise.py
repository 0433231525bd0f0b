"""Recognises rectifiers, activations and normalisations among captured steps, however they are spelled.

A rectifier is known by what it computes. Where elementwise steps lead from one value to another,
the function between the two is evaluated on a few numbers; if it is max(x, 0), its last step becomes
a "relu" of that value, whatever operations it was written with. So `x * (x > 0)`, `clamp(min=0)`
and `(x + |x|) / 2` are all the same rectifier. The larger of two maps is known in the same way. Where no convolution
or other product with weights lies below, there are no feature maps yet: what keeps pixels in a range is a "limit".
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deconvnet.core.adjoint import derivative
from deconvnet.core.graph import Size, Step, Value, fill, values_in
from deconvnet.core.operations import ACTIVATION, LARGEST, LIMIT, RELU, SMALLEST, Operation, operations, row_of
from deconvnet.core.paper import response_norm

Uniform = Callable[[Value], float | None]

_FURTHEST = 4  # roots tried for each step
_PROBES = torch.tensor(
    [-1e4, -700, -7.5, -6, -3, -1, -0.3, -1e-3, 0, 1e-3, 0.3, 0.5, 1, 2.5, 3, 5.99, 6, 6.01, 20, 700, 1e4],
    dtype=torch.float64,
    device="cpu",
)
_PAIRS = torch.cartesian_prod(*[torch.tensor([-300, -2, -0.5, 0, 0.25, 1, 300], dtype=torch.float64, device="cpu")] * 2)


def recognise(steps: Sequence[Step], uniform: Uniform) -> list[Step]:
    """The same steps in the same order, each spelling of an operation replaced by the operation itself.

    Args:
        steps: those that depend on the input, in order.
        uniform: the one number that a constant value is filled with, or None.
    """
    by_name = {step.output.name: step for step in steps}
    roots: dict[str, list[Value]] = {}
    features: set[str] = set()
    firsts = _Firsts()
    meant = []
    for step in steps:
        firsts.add(step)
        step = _unexpanded(step, by_name)
        step = (
            _norm(step, by_name)
            or _elementwise(step, by_name, roots, uniform, features)
            or _of_maps(step, by_name, roots, uniform, firsts)
            or step
        )
        by_name[step.output.name] = step
        row = operations.rows.get(step.operation)
        if row is None or row.filters or any(value.name in features for value in step.inputs):
            features.add(step.output.name)
        meant.append(step)
    return meant


def _elementwise(
    step: Step, by_name: Mapping[str, Step], roots: dict[str, list[Value]], uniform: Uniform, features: set[str]
) -> Step | None:
    """The step as a rectifier, an activation or a limit of an earlier value, if it is one."""
    row = _row(step)
    if row.elementwise is None:
        return None
    steers = [value for value in step.inputs if not _is_number(value, uniform)]
    roots[step.output.name] = _common_roots(step, steers, roots)
    if row.elementwise == "linear" and len(steers) == 1:
        below = by_name.get(steers[0].name)
        if below is None or below.operation in (RELU, ACTIVATION, LIMIT) or _row(below).elementwise is None:
            return None  # a linear step alone bends nothing
    for root in roots[step.output.name]:
        try:
            result = _evaluate(step, {root.name: _PROBES}, by_name, uniform)
        except _NotOneByOne:
            continue
        if root.name not in features and _limits(result):
            return _as(step, root, LIMIT, by_name, uniform)
        cap = _rectifier_cap(result)
        if cap is not None:
            cap = None if cap == float("inf") else cap
            return _as(step, root, RELU, by_name, uniform, cap)
        if row.selects and len(steers) > 1 and _bends_like_a_rectifier(result):
            return _as(step, root, ACTIVATION, by_name, uniform)
    return None


def _common_roots(step: Step, steers: list[Value], roots: Mapping[str, list[Value]]) -> list[Value]:
    """The values of which the step may be a function one by one, nearest first."""
    ways = []
    for value in steers:
        if value.shape != step.output.shape:
            return []
        ways.append([value, *roots.get(value.name, [])])
    first, *others = ways or [[]]
    return [value for value in first if all(value in way for way in others)][:_FURTHEST]


class _NotOneByOne(Exception):
    """A step between the root and the end is not a function of the root alone, value by value."""


def _evaluate(step: Step, roots: Mapping[str, Tensor], by_name: Mapping[str, Step], uniform: Uniform) -> Tensor:
    """The step's output where values that it is made of hold these numbers."""
    results = dict(roots)
    probes = next(iter(roots.values()))

    def value_of(value: Value) -> Tensor:
        if value.name not in results:
            content = uniform(value)
            if content is not None:
                results[value.name] = torch.tensor(content, dtype=torch.float64, device="cpu")
            else:
                results[value.name] = run(by_name.get(value.name))
        return results[value.name]

    def run(inner: Step | None) -> Tensor:
        if inner is None or _row(inner).elementwise is None:
            raise _NotOneByOne
        arguments = fill(dict(inner.arguments), 1, value_of)
        if arguments.get("dtype") is not None and arguments["dtype"].is_floating_point:
            arguments["dtype"] = torch.float64
        if "memory_format" in arguments:
            arguments["memory_format"] = None  # the probes lie along one axis
        try:
            result: Tensor = inner.function(**arguments)
        except (RuntimeError, IndexError) as error:
            raise _NotOneByOne from error
        return result

    return run(step).expand_as(probes).double()


def _limits(result: Tensor) -> bool:
    """Whether a function keeps numbers in a range and leaves those in it as they are."""
    low, high = float(result[0]), float(result[-1])
    bends = low > float(_PROBES[0]) or high < float(_PROBES[-1])
    return bends and low < high and torch.equal(result, _PROBES.clamp(low, high))


# The largest or the smallest of several maps.


class _Firsts:
    """For each value the first that was made in the same way, as where a model writes `x[:, :2]` twice."""

    def __init__(self) -> None:
        self._firsts: dict[str, Value] = {}
        self._by_making: dict[Any, Value] = {}

    def add(self, step: Step) -> None:
        """Note a step, after those that it needs."""
        written = {name: self._written(argument) for name, argument in step.arguments.items()}
        self._firsts[step.output.name] = self._by_making.setdefault((step.function, str(written)), step.output)

    def of(self, value: Value) -> Value:
        """The first value that is the same."""
        return self._firsts.get(value.name, value)

    def _written(self, argument: Any) -> Any:
        if isinstance(argument, Value):
            return self.of(argument).name
        return [self._written(inner) for inner in argument] if isinstance(argument, list | tuple) else argument


def _of_maps(
    step: Step, by_name: Mapping[str, Step], roots: Mapping[str, list[Value]], uniform: Uniform, firsts: _Firsts
) -> Step | None:
    """The step as the largest or the smallest of several maps, if it is that and no function of a single value."""
    of_maps = _along_a_stack(step, by_name) or _of_two(step, by_name, uniform, firsts)
    if of_maps is None:
        return None
    operation, maps, function = of_maps
    for root in roots.get(step.output.name, []):
        try:
            _evaluate(step, {root.name: _PROBES}, by_name, uniform)
        except _NotOneByOne:
            continue
        return None
    return replace(step, operation=operation, function=function, arguments={"maps": list(maps)}, inputs=tuple(maps))


_OfMaps = tuple[str, Sequence[Value], Callable[..., Tensor]]  # operation, maps, and what it computes of them


def _along_a_stack(step: Step, by_name: Mapping[str, Step]) -> _OfMaps | None:
    extreme, below = _row(step).extreme, by_name.get(step.inputs[0].name) if len(step.inputs) == 1 else None
    if extreme is None or below is None or not _row(below).stacks or step.arguments.get("keepdim"):
        return None
    given, maps = step.arguments.get("dim"), below.arguments["tensors"]
    axes = [given] if isinstance(given, int) else given or []
    alone = [axis % len(below.output.shape) for axis in axes] == [below.arguments["dim"] % len(below.output.shape)]
    if not alone or not step.output.signal or not all(value.signal for value in maps):
        return None
    return extreme, maps, partial(_of_stack, step, below)


def _of_two(step: Step, by_name: Mapping[str, Step], uniform: Uniform, firsts: _Firsts) -> _OfMaps | None:
    """By what it computes, as a rectifier, of the two that it chooses from and whatever it makes of them to choose."""
    row, maps = _row(step), tuple(dict.fromkeys(map(firsts.of, step.signals)))
    if not row.selects or row.elementwise is None or len(maps) != 2:
        return None
    makers = [*step.inputs]
    for value in makers:
        maker = by_name.get(value.name)
        if firsts.of(value) not in maps and maker is not None and _row(maker).elementwise is not None:
            makers += [inner for inner in maker.inputs if inner not in makers]
    leaves = {value.name: maps.index(firsts.of(value)) for value in makers if firsts.of(value) in maps}

    def chosen(*values: Tensor) -> Tensor:
        return _evaluate(step, {name: values[i] for name, i in leaves.items()}, by_name, uniform)

    try:
        result = chosen(*_PAIRS.unbind(1))
        share = derivative(chosen, [torch.ones(1, dtype=torch.float64, device="cpu")] * 2, _PAIRS.new_ones(1))[0]
    except _NotOneByOne:
        return None
    of_first = 0.0 if share is None else float(share)
    for operation, extreme in ((LARGEST, _PAIRS.amax(1)), (SMALLEST, _PAIRS.amin(1))):
        if torch.equal(result, extreme):
            return operation, maps, partial(_of_pair, largest=operation == LARGEST, of_equals=of_first)
    return None


def _of_pair(maps: Sequence[Tensor], *, largest: bool, of_equals: float) -> Tensor:
    """The larger or the smaller of two maps; `of_equals`: the share of the first in the derivative of equals."""
    a, b = maps
    if of_equals == 0.5:
        return torch.maximum(a, b) if largest else torch.minimum(a, b)
    first = (a >= b if of_equals else a > b) if largest else (a <= b if of_equals else a < b)
    return torch.where(first, a, b)


def _of_stack(step: Step, stack: Step, maps: Sequence[Tensor]) -> Tensor:
    """An extreme over an axis along which maps are stacked."""
    stacked = torch.stack([*maps], stack.arguments["dim"])
    of = {name: stacked if value is stack.output else value for name, value in step.arguments.items()}
    result: Tensor = step.function(**of)
    return result


def _rectifier_cap(result: Tensor) -> float | None:
    """The bound of the rectifier that gave this result; infinity for none; None if it is not a rectifier."""
    cap = float(result[-1])
    if cap <= 0:
        return None
    bound = float("inf") if cap == float(_PROBES[-1]) else cap
    return bound if torch.equal(result, _PROBES.clamp(0, bound)) else None


def _bends_like_a_rectifier(result: Tensor) -> bool:
    """Whether a function is the identity far above zero and at most half of it far below, as SiLU is."""
    return bool((result[-1] / _PROBES[-1] - 1).abs() < 1e-3 and (result[0] / _PROBES[0]).abs() < 0.5)


def _as(
    step: Step, root: Value, operation: str, by_name: Mapping[str, Step], uniform: Uniform,
    cap: float | None = None,
) -> Step:  # fmt: skip
    """The step as one function of the root."""
    function: Callable[..., Any] = _Chain(root, _between(step, root, by_name, uniform), uniform)
    if operation == RELU and root.dtype == step.output.dtype:  # else a cast lies between the two
        function = torch.relu if cap is None else _Capped(cap)
    return replace(step, operation=operation, function=function, arguments={"input": root}, inputs=(root,), cap=cap)


class _Capped:
    """x -> min(max(x, 0), cap)."""

    def __init__(self, cap: float | None) -> None:
        self.cap = cap

    def __call__(self, input: Tensor) -> Tensor:
        return input.clamp(0, self.cap)


class _Chain:
    """Several elementwise steps as one function of the value that they start from."""

    def __init__(self, root: Value, steps: list[Step], uniform: Uniform) -> None:
        self.root, self.steps, self.uniform = root, steps, uniform

    def __call__(self, input: Tensor) -> Tensor:
        results: dict[str, Any] = {self.root.name: input}

        def value_of(value: Value) -> Any:
            if value.name in results:
                return results[value.name]
            return torch.tensor(self.uniform(value), dtype=input.dtype, device=input.device)

        for step in self.steps:
            results[step.output.name] = step.function(**fill(dict(step.arguments), 1, value_of))
        result: Tensor = results[self.steps[-1].output.name]
        return result


def _between(step: Step, root: Value, by_name: Mapping[str, Step], uniform: Uniform) -> list[Step]:
    """The steps from the root to the step, in order."""
    steps: dict[str, Step] = {}

    def visit(current: Step) -> None:
        for value in current.inputs:
            if not (value == root or value.name in steps or _is_number(value, uniform)):
                visit(by_name[value.name])
        steps[current.output.name] = current

    visit(step)
    return list(steps.values())


def _is_number(value: Value, uniform: Uniform) -> bool:
    return uniform(value) is not None


def _unexpanded(step: Step, by_name: Mapping[str, Step]) -> Step:
    """A product with a gate that was expanded to maps first, as the product with the gate itself."""
    row = _row(step)
    if not row.selects or row.elementwise != "linear" or len(step.signals) != 2:
        return step
    plain = {value.name: gate for value in step.signals if (gate := _expanded_from(value, by_name)) is not None}
    arguments = {
        name: plain.get(argument.name, argument) if isinstance(argument, Value) else argument
        for name, argument in step.arguments.items()
    }
    return replace(step, arguments=arguments, inputs=tuple(plain.get(v.name, v) for v in step.inputs))


def _expanded_from(value: Value, by_name: Mapping[str, Step]) -> Value | None:
    """The smaller value that one is a repetition of, axis by axis; None if it is not."""
    maker = by_name.get(value.name)
    if maker is None or not _row(maker).copies or len(maker.signals) != 1:
        return None
    (gate,) = maker.signals
    if gate.shape == value.shape or len(gate.shape) != len(value.shape):
        return None
    return gate if all(a in (b, Size(1)) for a, b in zip(gate.shape, value.shape, strict=True)) else None


# Local response normalisation: x / (k + alpha * mean of x² over neighbouring maps)^beta.


def _norm(step: Step, by_name: Mapping[str, Step]) -> Step | None:
    """A division that ends a local response normalisation, as one step of the input alone."""
    if not _row(step).selects or len(step.signals) != 2:
        return None
    below, divisor = step.signals
    way = list(_walk_down(divisor, below, by_name))
    computing = [inner.arguments for inner in way if not (_row(inner).copies or _row(inner).pads)]
    if len(computing) != 5:
        return None
    power, shifted, scaled, pool, _ = computing
    constants = {
        "size": (pool.get("kernel_size") or [None])[0],
        "alpha": scaled.get("other"),
        "beta": power.get("exponent"),
        "k": shifted.get("other"),
    }
    if not all(isinstance(constant, int | float) for constant in constants.values()):
        return None
    folded = replace(
        step,
        operation="local_response_norm",
        function=response_norm,
        arguments={"input": below, **constants},
        inputs=(below,),
    )
    return folded if _same(folded, [*reversed(way), step], below) else None


def _walk_down(value: Value, below: Value, by_name: Mapping[str, Step]) -> Iterator[Step]:
    """The steps that made a value from `below`, last first, as long as each has one signal."""
    while value.name in by_name:
        step = by_name[value.name]
        yield step
        if below in step.signals or len(step.signals) != 1:
            return
        value = step.signals[0]


def _same(folded: Step, steps: list[Step], below: Value) -> bool:
    """Whether the folded step gives what the steps gave, on a ramp of numbers."""
    shape = below.sizes(2)
    ramp = torch.linspace(-50, 50, math.prod(shape), dtype=torch.float64, device="cpu").view(shape)
    results: dict[str, Any] = {below.name: ramp}
    for step in steps:
        if any(value.name not in results for value in values_in(step.arguments)):
            return False
        arguments = fill(dict(step.arguments), 2, lambda value: results[value.name])
        results[step.output.name] = step.function(**arguments)
    norm = folded.function(**fill(dict(folded.arguments), 2, lambda value: ramp))
    return torch.allclose(results[steps[-1].output.name], norm, rtol=1e-10)


def _row(step: Step) -> Operation:
    return row_of(step, operations.rows)
