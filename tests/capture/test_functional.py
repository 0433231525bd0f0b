"""A program without operations in place and composite ones: the same steps as when torch.export traces it again."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.captured import assert_layers_are_what_hooks_see, images, tiny, wired
from support.graphs import described
from support.networks import BY_NAME
from support.networks.operations import OPERATIONS
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from deconvnet.capture import trace
from deconvnet.capture.functional import functional
from deconvnet.core.graph import Graph
from deconvnet.core.rules import RuleSet
from deconvnet.core.up import forward


def _traced_again(program: ExportedProgram) -> tuple[ExportedProgram, fx.Graph]:
    again = program.run_decompositions({})
    return again, again.graph


class _Both:
    """Captures a model in both ways, and compares them, and what the steps compute with what the model does.

    Attributes:
        once: for each capture, whether it went without tracing the program again.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.once: list[bool] = []

    def __call__(self, model: nn.Module, x: Tensor) -> Graph:
        self.once.clear()
        graph = self._captured(self._noted, model, x)
        assert described(graph) == described(self._captured(_traced_again, model, x))
        output = next(iter(graph.outputs.values()))
        result = forward(graph, model, x, frozenset({output.name}), RuleSet(), {}).values[output.name]
        with torch.no_grad():
            truth = next(tensor for _, tensor in trace.named_outputs(model(x.clone())))
        torch.testing.assert_close(result, truth, rtol=1e-12, atol=1e-12)
        return graph

    def _captured(self, way: Callable[[ExportedProgram], Any], model: nn.Module, x: Tensor) -> Graph:
        self.monkeypatch.setattr(trace, "functional", way)
        return trace.capture(model, x)

    def _noted(self, program: ExportedProgram) -> tuple[ExportedProgram, fx.Graph]:
        result = functional(program)
        self.once.append(result[0] is program)
        return result


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> _Both:
    return _Both(monkeypatch)


@pytest.mark.sampled(every=16)
@pytest.mark.parametrize("name", BY_NAME)
def test_a_network_of_the_zoo_has_the_same_steps_in_both_ways(name: str, both: _Both):
    network = BY_NAME[name]
    both(network.model(), network.images())


@pytest.mark.sampled(every=60)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_has_the_same_steps_in_both_ways(operation: str, both: _Both):
    network = OPERATIONS[operation]
    both(network.make(), network.images())


# in place, where it is certain what it changes --------------------------------------------------------


def _chain(m: Any, x: Tensor) -> Tensor:
    return m.conv(x).relu_().add_(1).mul_(0.5).clamp_(max=2)


def _skip(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    z = m.other(y)
    z += y
    return z.relu_() + y


def _overwritten(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    before = y * 2
    y.relu_()
    return before + y + y.sub_(1)


def _of_itself(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return y.mul_(y).add_(y, alpha=2)


def _dropped(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return F.dropout(y, training=False).relu_() + y + F.dropout(y, inplace=True, training=False)


def _view_of_another(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    left, right = (y * 2).chunk(2, 1)
    return y.relu_() + torch.cat([left.flatten(2), right.flatten(2)], 1).view_as(y)


def _composite_in_place(m: Any, x: Tensor) -> Tensor:
    return m.conv(x).multiply_(2).subtract_(1).clip_(min=0)


def _made_inside(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return torch.zeros_like(y).fill_(2).add_(y)


CERTAIN = [
    _chain, _skip, _overwritten, _of_itself, _dropped, _view_of_another, _composite_in_place, _made_inside,
]  # fmt: skip


@pytest.mark.parametrize("wiring", CERTAIN)
def test_in_place_on_what_nothing_shares_needs_no_second_trace(wiring: Callable[..., Tensor], both: _Both):
    both(wired(wiring, other=nn.Conv2d(4, 4, 3, padding=1)), images())
    assert both.once == [True]


def test_layers_before_an_operation_in_place_hold_what_they_held():
    x = images()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.Hardtanh(inplace=True))
    assert_layers_are_what_hooks_see(model.double().eval(), x, "0", "1", "2", "3")


def test_no_second_trace_is_needed_for_an_ordinary_network(both: _Both):
    model = nn.Sequential(tiny()[0], nn.BatchNorm2d(4), nn.Dropout2d(), nn.ReLU(inplace=True), *tiny()[3:])
    both(model.double().eval(), images())
    assert both.once == [True]


# where it is not -------------------------------------------------------------------------------------


def _on_a_view(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    y[:, 1:].relu_()
    return y


def _under_a_view(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    flat = y.flatten(2)
    y.relu_()
    return flat


def _on_a_part(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    left, right = y.chunk(2, 1)
    left.relu_()
    return right + y[:, :2]


def _viewed_later(m: Any, x: Tensor) -> Tensor:
    left, right = m.conv(x).relu_().chunk(2, 1)
    return left.flatten(2) * right.flatten(2)


def _cast(m: Any, x: Tensor) -> Tensor:
    return m.conv(x).ge_(0)


def _constant(m: Any, x: Tensor) -> Tensor:
    return m.conv(x) * torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.double).view(4, 1, 1)


def _turned(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return y.transpose_(2, 3).relu_()


UNCERTAIN = [_on_a_view, _under_a_view, _on_a_part, _viewed_later, _cast, _constant, _turned]


@pytest.mark.parametrize("wiring", UNCERTAIN)
def test_where_another_tensor_may_see_a_change_the_program_is_traced_again(wiring: Callable[..., Tensor], both: _Both):
    both(wired(wiring), images())
    assert both.once == [False]


def test_a_model_that_changes_its_input_is_given_a_copy_in_both_ways(both: _Both):
    both(wired(lambda m, x: m.conv(x.relu_())), images())
    assert both.once == [False, True]  # the second is of the model that is given a copy


# any program -----------------------------------------------------------------------------------------


def _random_program(seed: int) -> Callable[[Any, Tensor], Tensor]:
    """Operations in place, views and composite ones in a random order, on whatever the model holds by then."""
    acts: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda a, b: a.relu_(), lambda a, b: a.add_(b), lambda a, b: a.mul_(0.5), lambda a, b: a * b,
        lambda a, b: a.clone(), lambda a, b: F.dropout(a, training=False), lambda a, b: a.contiguous(),
        lambda a, b: a.flatten(2).unflatten(2, a.shape[2:]), lambda a, b: torch.cat(a.chunk(2, 1), 1),
        lambda a, b: a.view_as(b), lambda a, b: a.to(b), lambda a, b: F.leaky_relu_(a, 0.1), lambda a, b: b.neg(),
    ]  # fmt: skip

    def program(m: Any, x: Tensor) -> Tensor:
        chance = random.Random(seed)
        held = [m.conv(x), m.conv(x + 1)]
        for _ in range(8):
            held.append(chance.choice(acts)(chance.choice(held), chance.choice(held)))
        return torch.cat(held, 1)

    return program


@pytest.mark.sampled(every=12)
@pytest.mark.parametrize("seed", range(36))
def test_a_random_program_has_the_same_steps_in_both_ways(seed: int, both: _Both):
    graph = both(wired(_random_program(seed)), images())
    assert not any(step.kind[-1] == "_" for step in graph.steps)
