"""Batch norm's scale folded into the filters below it: the same pictures in fewer steps."""

import pytest
import torch
from support.comparing import assert_equal
from support.signals import start_on
from torch import Tensor, nn

from deconvnet import OperationTable
from deconvnet.capture import trace as tracing
from deconvnet.core.down import Way, carry_down, way_down
from deconvnet.core.folding import folded, folds_of, with_filters
from deconvnet.core.graph import Graph
from deconvnet.core.operations import operations
from deconvnet.core.rules import RULE_SETS, RuleSet
from deconvnet.core.up import Trace, forward


class Block(nn.Module):
    """A residual block with a grouped filter, a norm without weights, and one whose filter is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.grouped, self.bare_norm = nn.Conv2d(4, 4, 3, 2, 1, groups=2), nn.BatchNorm2d(4, affine=False)
        self.skip, self.twice_norm = nn.Conv2d(4, 4, 1, 2), nn.BatchNorm2d(4)
        self.alone = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_norm(self.first(x)).relu()
        y, twice = self.bare_norm(self.grouped(x)), self.skip(x)
        return self.alone((y + self.twice_norm(twice) + twice).relu())


def block() -> Block:
    torch.manual_seed(0)
    model = Block().double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight)
    return model


def on_block(model: nn.Module, rules: RuleSet) -> tuple[Way, Trace, dict[str, Tensor], Graph]:
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    graph = tracing.capture(model, x)
    (start,) = graph.outputs.values()
    way = way_down(graph, start, graph.input, rules, operations.rows)
    trace = forward(graph, model, x, frozenset([start.name]), rules, way.chosen)
    return way, trace, {start.name: start_on(trace.values[start.name])}, graph


@pytest.mark.parametrize("rules", RULE_SETS.values(), ids=RULE_SETS.keys())
def test_folded_and_unfolded_ways_give_the_same(rules: RuleSet):
    way, trace, start, graph = on_block(block(), rules)
    folds, plain, fewer = folds_of(way), dict(start), dict(start)
    assert sorted(fold.norm.module for fold in folds.values()) == ["bare_norm", "first_norm"]
    carry_down(way, trace, plain)
    carry_down(folded(way, folds), with_filters(way, trace, folds), fewer)
    assert plain.keys() == fewer.keys() == {graph.input.name}
    assert_equal(fewer[graph.input.name], plain[graph.input.name])


def test_a_folded_way_can_be_taken_in_parts():
    way, trace, start, graph = on_block(block(), RuleSet())
    folds, whole = folds_of(way), dict(start)
    carry_down(way, trace, whole)
    fewer, filters = folded(way, folds), with_filters(way, trace, folds)
    assert len(fewer.down) == len(way.down)
    for middle in range(len(way.down)):
        parts = dict(start)
        carry_down(way, trace, parts, slice(0, middle))
        carry_down(fewer, filters, parts, slice(middle, None))
        assert_equal(parts[graph.input.name], whole[graph.input.name])


def test_a_rule_of_ones_own_is_not_folded_away():
    table = OperationTable()

    @table.rule("aten.conv2d")
    def down(call, signal):
        return signal.new_zeros(call.sizes())

    way, _, _, graph = on_block(block(), RuleSet())
    assert folds_of(way)
    assert not folds_of(way_down(graph, way.start, way.stop, way.rules, table.rows))
