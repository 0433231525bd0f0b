"""Single units in windows: the same pictures as on whole maps, at borders too, whatever lies between."""

from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import NETWORKS, Network
from test_project_exact import assert_equal, attached, one_thread, silent_units_are_fine
from test_receptive_field import built, convolutions, others, pools, random_networks
from torch import Tensor, nn

from deconvnet import ArgumentError, DeconvNet, RuleSet, Unit, load_model

__all__ = ["one_thread"]

EXAMPLES = Path(__file__).parents[1] / "examples"
RULES = [
    RuleSet(),
    RuleSet(forward_mask=True),
    RuleSet(forward_mask=True, backward_rectify=False, lrn="gradient", gates="product", smooth="gradient"),
    RuleSet(overlap="max"),
    RuleSet(unpool="centre"),
    RuleSet(unpool="average"),
    RuleSet(lrn="divisor"),
]


def corners(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The first place of a map, its last, and one in between."""
    return list(dict.fromkeys([tuple(0 for _ in size), tuple(n - 1 for n in size), tuple(n // 2 for n in size)]))


def same_on_both_paths(net: DeconvNet, x: Tensor, layer: str, position: tuple[int, ...] | None) -> None:
    windowed, dense = (
        net.project(x, layer, channel="all", position=position, start="one", path=path)
        for path in ("windowed", "dense")
    )
    assert windowed.units == dense.units
    assert torch.equal(windowed.boxes, dense.boxes)
    assert_equal(windowed.windows, dense.windows)


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.name)
@pytest.mark.parametrize("network", [n for n in NETWORKS if not n.name.startswith(("relu as", "output is"))],
                         ids=lambda network: network.name)  # fmt: skip
def test_windows_give_what_whole_maps_give(network: Network, rules: RuleSet):
    net, x = attached(network.name).with_rules(rules), network.images()
    for layer in network.layers:
        size = net.layers[layer].size
        for position in corners(size) if size else []:
            same_on_both_paths(net, x, layer, position)


@given(st.lists(st.one_of(convolutions(), pools(), others()), min_size=2, max_size=5), st.data())
@random_networks
def test_windows_whole_maps_and_autograd_agree_on_any_stack(builds, data):
    model, x = built(builds)
    x = torch.cat([x, x.flip(2)])
    net = DeconvNet(model, x, rules="gradient", smooth="gradient")
    leaf = x.clone().requires_grad_()
    top = model(leaf)
    position = tuple(data.draw(st.integers(0, n - 1)) for n in top.shape[2:])
    layer = str(len(model) - 1)
    (truth,) = torch.autograd.grad(top[(slice(None), 1, *position)].sum(), leaf)
    for path in ("windowed", "dense"):
        picture = net.project(x, layer, channel=1, position=position, start="one", path=path).full()
        assert_equal(picture, truth)
    units = [Unit(layer, 1, position, image) for image in range(2)]
    with mock.patch("deconvnet.engine.plan.Plan.sees_little", lambda self, units, images: True):
        assert_equal(net.project(x, layer, units=units, start="one").full(), truth)


SPREADING = {
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "nearest, one axis": lambda: nn.Upsample(scale_factor=(1, 3)),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
    "transposed with gaps": lambda: nn.ConvTranspose2d(4, 4, 1, 2),
    "transposed, stride 1": lambda: nn.ConvTranspose2d(4, 4, 3, 1, 1, dilation=2),
    "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)),
}


@pytest.mark.parametrize("kind", SPREADING)
def test_a_step_that_enlarges_the_map_runs_in_windows_at_every_phase(kind: str):
    torch.manual_seed(0)
    between = SPREADING[kind]()
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2), between,
        nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 3, 2),
    ).double()  # fmt: skip
    x = torch.randn(2, 2, 33, 37, dtype=torch.float64)
    net = DeconvNet(model, x)
    _, way = net._way(net._captured.graph(x), "6", None)
    assert (len(way.routes["windowed"].local) == len(way.down)) == (kind != "transposed with gaps")
    _, _, height, width = model(x).shape
    for y in range(height):
        for position in {(y, 0), (y, y % width), (y, width - 1)}:
            same_on_both_paths(net, x, "6", position)


def test_each_image_keeps_its_own_switches_also_where_units_are_mixed_and_split():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    x = torch.randn(3, 3, 48, 56)
    net = DeconvNet(model, x)
    dense = net.project(x, "7", channel="all", path="dense")
    for memory in ("1GB", "6MB"):
        windowed = net.project(x, "7", channel="all", path="windowed", memory=memory)
        assert windowed.units == dense.units
        assert_equal(windowed.windows, dense.windows)


# forward passes on what the units see ----------------------------------------------------------------


def some_units(net: DeconvNet, layer: str, images: int, count: int = 12) -> list[Unit]:
    """Units of any map, position and image, corners among them, in no order."""
    random = torch.Generator().manual_seed(0)
    info = net.layers[layer]
    drawn = [
        Unit(layer, draw(random, info.channels), tuple(draw(random, n) for n in info.size), draw(random, images))
        for _ in range(count)
    ]
    return [*drawn, *(Unit(layer, 0, position, images - 1) for position in corners(info.size))]


def draw(random: torch.Generator, below: int) -> int:
    return int(torch.randint(0, below, (), generator=random))


def alone(net: DeconvNet, x: Tensor, layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed units from a pass over what each sees equal those from whole images, whatever is thought to pay."""
    units = some_units(net, layer, len(x))
    whole = net.project(x, layer, units=units, path="dense")
    with monkeypatch.context() as patch:
        patch.setattr("deconvnet.engine.plan.Plan.sees_little", lambda self, units, images: True)
        patch.setattr("deconvnet.engine.passes.finite_forward", None)  # no pass over a whole image
        seen = net.project(x, layer, units=units)
    assert seen.units == whole.units == tuple(units)
    assert_equal(seen.activations, whole.activations)
    assert_equal(seen.windows, whole.windows)


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.name)
def test_a_pass_over_what_a_unit_sees_gives_what_the_whole_image_gives(rules: RuleSet, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(3),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.BatchNorm2d(8).eval(), nn.ReLU6(), nn.MaxPool2d(2, 2, 1),
        nn.Conv2d(8, 8, (1, 3), padding=(0, 1)), nn.ReLU(), nn.AvgPool2d(2, 1),
        nn.Conv2d(8, 6, 2, padding=1), nn.ReLU(),
    ).double()  # fmt: skip
    x = torch.randn(3, 3, 61, 53, dtype=torch.float64)
    net = DeconvNet(model, x, rules=rules)
    for layer in ("3", "6", "12"):
        if rules.unpool == "switches":
            alone(net, x, layer, monkeypatch)
        else:  # the middle of a pooling window at the border is another one
            units = some_units(net, layer, len(x))
            assert_equal(*(net.project(x, layer, units=units, path=path).windows for path in ("auto", "dense")))


@pytest.mark.parametrize("network", [n for n in NETWORKS if not n.name.startswith(("relu as", "output is"))],
                         ids=lambda network: network.name)  # fmt: skip
@silent_units_are_fine
def test_listed_units_are_the_same_from_any_network(network: Network, monkeypatch):
    net, x = attached(network.name), network.images()
    for layer in network.layers:
        if not net.layers[layer].size:
            continue
        if net._way(net._captured.graph(x), layer, None)[1].up:
            alone(net, x, layer, monkeypatch)
        else:
            units = some_units(net, layer, len(x))
            whole, windowed = (net.project(x, layer, units=units, path=path) for path in ("dense", "auto"))
            assert_equal(windowed.windows, whole.windows)


@pytest.mark.parametrize("kind", [kind for kind in SPREADING if kind != "transposed with gaps"])
def test_a_pass_over_what_a_unit_sees_goes_through_steps_that_enlarge(kind: str, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2), SPREADING[kind](), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()
    ).double()  # fmt: skip
    x = torch.randn(2, 2, 33, 37, dtype=torch.float64)
    alone(DeconvNet(model, x), x, "5", monkeypatch)


@silent_units_are_fine
@pytest.mark.parametrize("size", [127, 128, 150])
@pytest.mark.parametrize(
    ("spec", "layer"),
    [("torchvision:squeezenet1_1@random", "features.7"), (f"{EXAMPLES / 'googlenet.py'}:googlenet", "i4a")],
)
def test_networks_with_pools_in_ceil_mode_see_the_same_at_any_size(spec: str, layer: str, size: int, monkeypatch):
    torch.manual_seed(0)
    model = load_model(spec, size=size, mean=(0, 0, 0), std=(1, 1, 1)).model.double()
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    alone(DeconvNet(model, x), x, layer, monkeypatch)


def deep() -> tuple[DeconvNet, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    x = torch.randn(4, 3, 96, 96)
    return DeconvNet(model, x), x


def test_few_units_of_many_images_run_on_what_they_see_and_many_of_one_on_the_image(monkeypatch):
    net, x = deep()
    few = [Unit("4", c, (20, 20), image) for image in range(4) for c in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr("deconvnet.engine.passes.finite_forward", None)
        net.project(x, "4", units=few)
    many = [Unit("4", c, (y, y), 0) for c in range(16) for y in range(48)]
    monkeypatch.setattr("deconvnet.engine.passes.forward_in_windows", None)
    net.project(x, "4", units=many)
    with pytest.raises(TypeError):
        net.project(x, "4", units=few)


def test_a_plan_says_how_units_go_down_and_what_that_saves():
    net, _ = deep()
    words = net.plan("4")
    assert "4: 16 maps of 48x48" in words
    assert "5 of 5 steps in windows of 1 pixel to 8x8" in words
    assert "times as much" in words
    assert "on the 8x8 pixels" in words
    assert "way down: all 8 steps on whole maps" in net.plan("7")


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([], "not empty"),
        ([(0, 1)], "units is a list of Unit"),
        ([Unit("3", 0, (0, 0), 0)], "the units are of layer '4'; got Unit\\(layer='3'"),
        ([Unit("4", 16, (0, 0), 0)], "there are 16 feature maps in '4'"),
        ([Unit("4", 0, (0, 48), 0)], "lies outside the maps"),
        ([Unit("4", 0, None, 0)], "a position in '4' has 2 numbers"),
        ([Unit("4", 0, (0, 0), 4)], "there are 4 images"),
    ],
)
def test_units_that_are_not_there_are_refused(units, message: str):
    net, x = deep()
    with pytest.raises(ArgumentError, match=message):
        net.project(x, "4", units=units)


def test_units_leave_no_choice_to_channel_or_position():
    net, x = deep()
    with pytest.raises(ArgumentError, match="units say all"):
        net.project(x, "4", units=[Unit("4", 0, (0, 0), 0)], channel=1)
