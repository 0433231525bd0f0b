"""Every rule set against the oracle, on the whole zoo, and what is no rectifier."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from reference.autograd_oracle import (
    DECONVNET,
    GRADIENT,
    GUIDED,
    Oracle,
    OracleParts,
    WayDown,
)
from support.attaching import attached, oracle, rules_of, silent_units_are_fine
from support.choosing import GATED, NORMED, POOLED, every_network
from support.comparing import assert_equal
from support.networks import ACTIVATIONS, BY_NAME, SMOOTH_NETWORKS, Network
from support.signals import start_on
from torch import Tensor, nn

from deconvnet import DeconvNet, UnsupportedOperationError

# every network, every layer, every rule set ---------------------------------------------------------


@pytest.mark.sampled(every=6)
@every_network
@pytest.mark.parametrize(
    ("rules", "way"),
    [("deconvnet", DECONVNET), ("guided", GUIDED), ("gradient", GRADIENT)],
    ids=["deconvnet", "guided", "gradient"],
)
def test_any_signal_goes_down_as_the_oracle_says(network: Network, rules: str, way: WayDown):
    if rules == "gradient" and not network.exact_gradient:
        rules = rules_of(way, smooth="gradient")
    net = attached(network.name, rules)
    truth = oracle(network.name, way)
    for layer in network.layers:
        signal = start_on(truth.outputs[layer])
        picture = net.project(network.images(), layer, start=signal).full()
        assert_equal(picture, truth.picture(layer, signal))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
@every_network
def test_any_weights_and_images_go_down_as_the_oracle_says(network: Network, seed: int):
    torch.manual_seed(seed)
    model, twin = network.model(), network.make(OracleParts(DECONVNET))
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        ours.data = theirs.data = ours.data * (1 + 0.5 * torch.randn_like(ours))
    options = {} if network.output is None else {"output": network.output}
    x = network.images(2, seed)
    net, truth = DeconvNet(model, x, **options), Oracle(twin, x)
    for layer in network.layers:
        signal = start_on(truth.outputs[layer], seed)
        assert_equal(net.project(x, layer, start=signal).full(), truth.picture(layer, signal))


POOLED_ONCE = [network for network in POOLED if not network.repeats]
VARIANTS = (
    [(network, WayDown(overlap="max")) for network in POOLED_ONCE]
    + [(network, WayDown(unpool="centre")) for network in POOLED_ONCE]
    + [(network, WayDown(unpool="average")) for network in POOLED_ONCE]
    + [(network, WayDown(lrn="divisor")) for network in NORMED]
    + [(network, WayDown(lrn="gradient")) for network in NORMED]
    + [(network, WayDown(gates="product")) for network in GATED]
    + [
        (network, WayDown(forward_mask=mask, backward_rectify=rectify, unpool=unpool))
        for network in [BY_NAME["zfnet in small"], BY_NAME["resnet, post-activation"]]
        for mask in (False, True)
        for rectify in (False, True)
        for unpool in ("switches", "centre")
    ]
)


def _told(value: object) -> str:
    if isinstance(value, Network):
        return value.name
    assert isinstance(value, WayDown)
    changed = [f"{k}={v}" for k, v in vars(value).items() if v != vars(DECONVNET)[k]]
    return ",".join(changed) or "deconvnet"


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(("network", "way"), VARIANTS, ids=_told)
def test_every_choice_of_a_rule_set_does_what_the_oracle_says(network: Network, way: WayDown):
    smooth = "refuse" if network.exact_gradient or way.gates == "constant" else "gradient"
    net = attached(network.name, rules_of(way, smooth))
    truth = oracle(network.name, way)
    for layer in network.layers:
        signal = start_on(truth.outputs[layer])
        picture = net.project(network.images(), layer, start=signal).full()
        assert_equal(picture, truth.picture(layer, signal))


@pytest.mark.sampled(every=2)
@every_network
@silent_units_are_fine
def test_with_start_one_the_rule_set_gradient_is_autograd_of_the_users_model(network: Network):
    rules = rules_of(GRADIENT, "refuse" if network.exact_gradient else "gradient")
    net, x = attached(network.name, rules), network.images()
    truth = oracle(network.name, None)
    for layer in network.layers:
        result = net.project(x, layer, channel=1, start="one")
        signal = torch.zeros_like(truth.outputs[layer])
        for unit in result.units:
            signal[(unit.image, 1, *unit.position)] = 1
        assert_equal(result.full(), truth.picture(layer, signal))


# networks that are not made of rectifiers -----------------------------------------------------------


every_smooth = pytest.mark.parametrize("network", SMOOTH_NETWORKS, ids=lambda n: n.name)


def top_of(network: Network) -> str:
    return network.layers[-1]


@pytest.mark.sampled(every=3)
@every_smooth
@pytest.mark.parametrize("rules", ["deconvnet", "guided"])
def test_what_is_no_rectifier_is_refused_by_default(network: Network, rules: str):
    with pytest.raises(UnsupportedOperationError, match="cannot project through"):
        net = attached(network.name, rules)
        net.project(network.images(), top_of(network), channel=0)


@every_smooth
def test_the_rule_set_gradient_is_autograd(network: Network):
    x = network.images()
    net = attached(network.name, "gradient")
    truth = oracle(network.name, None)
    signal = start_on(truth.outputs[top_of(network)])
    result = net.project(x, top_of(network), start=signal)
    assert_equal(result.full(), truth.picture(top_of(network), signal))
    assert result.rules.smooth == "gradient"


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(("rules", "way"), [("gradient", GRADIENT), ("deconvnet", DECONVNET), ("guided", GUIDED)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_with_smooth_rectify_an_activation_is_a_rectifier_on_the_way_down(name: str, rules: str, way: WayDown):
    network = BY_NAME[name]
    x = network.images()
    net = attached(network.name, rules, smooth="rectify")
    truth = oracle(name, replace(way, activations_rectify=True))
    signal = start_on(truth.outputs[top_of(network)])
    result = net.project(x, top_of(network), start=signal)
    assert_equal(result.full(), truth.picture(top_of(network), signal))
    assert result.rules.smooth == "rectify"


class Shaded(nn.Module):
    """Pixels times a constant, which is written for one image or repeated for each."""

    def __init__(self, shade: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.shade = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3), shade
        self.register_buffer("of_one", torch.linspace(0.5, 1.5, 12 * 12).view(1, 1, 12, 12))

    def forward(self, x):
        maps = self.first(x * self.shade(x, self.of_one)).relu()
        return self.second(nn.functional.max_pool2d(maps, 2))


@pytest.mark.parametrize(
    "shade",
    [
        lambda x, of_one: of_one.expand(x.shape[0], 2, 12, 12),
        lambda x, of_one: of_one.repeat(x.shape[0], 1, 1, 1),
        lambda x, of_one: of_one * x.new_ones(x.shape[0], 1, 1, 1),
        lambda x, of_one: of_one * torch.ones_like(x),
    ],
    ids=["expanded", "repeated", "times ones", "times ones of its shape"],
)
def test_a_constant_that_is_repeated_for_each_image_is_a_constant(shade: Callable[[Tensor, Tensor], Tensor]):
    torch.manual_seed(0)
    x = torch.randn(2, 2, 12, 12, dtype=torch.float64)
    plain = Shaded(lambda x, of_one: of_one).double()
    repeated = Shaded(shade).double()
    repeated.load_state_dict(plain.state_dict())
    for route in ("dense", "windowed"):
        ours, truth = (
            DeconvNet(model, x).project(x, "second", channel=1, position=(1, 2), route=route)
            for model in (repeated, plain)
        )
        assert_equal(ours.full(), truth.full())
        assert not ours.notes


def test_a_factor_that_is_computed_from_the_image_is_refused_though_no_signal_goes_down_to_it():
    model = Shaded(lambda x, of_one: of_one * (x > 0.3)).double()
    x = torch.randn(2, 2, 12, 12, dtype=torch.float64)
    with pytest.raises(UnsupportedOperationError, match="a product of two signals"):
        DeconvNet(model, x).project(x, "second", channel=1)
