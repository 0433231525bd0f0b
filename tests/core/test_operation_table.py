"""A table of operations can be extended, for one network or for all, and a change is seen at once."""

from collections.abc import Iterator

import pytest
import torch
from support.comparing import assert_equal
from torch import Tensor, nn

from deconvnet import ArgumentError, DeconvNet, OperationTable, UnsupportedOperationError, operations, rule


@pytest.fixture(autouse=True)
def own_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test adds to the shared table is gone after it."""
    before = operations.rows
    yield
    for name in set(operations._own):
        operations.remove(name)
    assert operations.rows == before


def softplus_net(**options: OperationTable) -> tuple[DeconvNet, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 12, 12)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Conv2d(4, 2, 3)).eval()
    return DeconvNet(model, x, smooth="rectify", **options), x


def test_a_rule_that_is_registered_late_is_used_by_networks_that_have_projected():
    net, x = softplus_net()
    before = net.project(x, "2", channel=0).full()
    assert before.any()
    rule("aten.softplus", words="nothing passes")(lambda call, signal: signal * 0)
    assert net.layers["1"].way_down == "nothing passes"
    assert not net.project(x, "2", channel=0).full().any()
    operations.remove("aten.softplus")
    assert_equal(net.project(x, "2", channel=0).full(), before)


def test_a_rule_of_a_table_of_its_own_holds_for_the_networks_that_hold_the_table():
    table = OperationTable()
    mine, x = softplus_net(operations=table)
    others, _ = softplus_net()
    table.rule("aten.softplus", words="nothing passes")(lambda call, signal: signal * 0)
    assert not mine.project(x, "2", channel=0).full().any()
    assert not mine.with_rules("guided").project(x, "2", channel=0).full().any()
    assert others.project(x, "2", channel=0).full().any()


def test_a_table_of_its_own_sees_what_is_added_to_the_shared_one():
    net, x = softplus_net(operations=OperationTable())
    assert net.project(x, "2", channel=0).full().any()
    rule("aten.softplus", words="nothing passes")(lambda call, signal: signal * 0)
    assert not net.project(x, "2", channel=0).full().any()


def test_only_rules_of_ones_own_can_be_removed():
    with pytest.raises(ArgumentError, match=r"rule of its own for 'aten\.relu'; it has none"):
        operations.remove("aten.relu")


def test_a_rule_keeps_what_is_known_of_the_operation_besides_it():
    before = operations.rows["aten.softplus"]
    rule("aten.softplus", words="nothing passes")(lambda call, signal: signal * 0)
    after = operations.rows["aten.softplus"]
    assert (after.sees, after.windowed, after.rectifies) == (before.sees, before.windowed, before.rectifies)
    assert after.rule is not before.rule


@torch.library.custom_op("tabletests::shifted", mutates_args=())
def shifted(maps: Tensor) -> Tensor:
    return torch.roll(maps, 1, -1).contiguous()


@shifted.register_fake
def _(maps: Tensor) -> Tensor:
    return torch.empty_like(maps)


class Shifting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.below, self.above = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(shifted(self.below(x)))


def test_a_new_operation_sees_the_whole_input_unless_its_rule_says_what_it_sees():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 20, 20)
    net = DeconvNet(Shifting().eval(), x)
    with pytest.raises(UnsupportedOperationError, match=r"tabletests\.shifted"):
        net.project(x, "above", channel=0)
    down = lambda call, signal: torch.roll(signal, -1, -1)  # noqa: E731
    rule("tabletests::shifted")(down)
    assert net.layers["above"].receptive_field == (20, 20)
    whole = net.project(x, "above", channel=0, position=(8, 8)).full()
    rule("tabletests::shifted", sees=lambda step: [(1, 0, 0), (1, -1, -1)])(down)
    assert net.layers["above"].receptive_field == (5, 5)
    seen = net.project(x, "above", channel=0, position=(8, 8))
    assert seen.boxes[0].tolist() == [[8, 7], [13, 12]]
    assert_equal(seen.full(), whole)


def test_an_operation_that_works_value_by_value_runs_in_windows():
    torch.manual_seed(0)
    net, x = softplus_net()
    rule("aten.softplus", pointwise=False)(lambda call, signal: signal.clamp(min=0))
    assert net.layers["2"].receptive_field == (12, 12)
    whole = net.project(x, "2", channel=0, position=(3, 3), route="dense").full()
    rule("aten.softplus", pointwise=True)(lambda call, signal: signal.clamp(min=0))
    assert net.layers["2"].receptive_field == (5, 5)
    assert_equal(net.project(x, "2", channel=0, position=(3, 3), route="windowed").full(), whole)


def test_a_rule_that_looks_farther_than_its_step_goes_down_on_whole_maps():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 21, 23)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 2, 3))

    def everywhere(call, signal):
        return torch.nn.functional.interpolate(signal, call.sizes()[2:], mode="bilinear")

    table = OperationTable()
    table.rule("aten.max_pool2d")(everywhere)
    net = DeconvNet(model, x, operations=table)
    routes = [net.project(x, "3", channel=1, route=route).full() for route in ("dense", "windowed", "auto")]
    assert_equal(routes[1], routes[0])
    assert_equal(routes[2], routes[0])


def test_a_table_over_rows_of_ones_own_keeps_them():
    rows = {"aten.relu": operations.rows["relu"]}
    table = OperationTable(rows)
    assert table.rows is table.rows
    rows.clear()
    assert "aten.relu" in table.rows and OperationTable({}).rows == {}
