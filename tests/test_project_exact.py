"""The engine against the references, on the whole zoo; and the facts that the paper's procedure implies."""

from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import ACTIVATIONS, NETWORKS, SMOOTH_NETWORKS, Network, paper_layers
from reference import paper
from reference.autograd_oracle import (
    DECONVNET,
    GRADIENT,
    GUIDED,
    Oracle,
    OracleContrastNorm,
    OracleMaxPool,
    OracleParts,
    WayDown,
    layer_outputs,
)
from torch import Tensor, nn

from deconvnet import DeconvNet, DeconvNetWarning, RuleSet, UnsupportedOperationError

BY_NAME = {network.name: network for network in NETWORKS + SMOOTH_NETWORKS}

every_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small are slower on several threads, and far slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def assert_equal(ours: Tensor, truth: Tensor, tolerance: float | None = None) -> None:
    """`max|a - b| <= tolerance * max|b|`, the project's meaning of equal."""
    assert ours.shape == truth.shape
    tolerance = tolerance or TOLERANCE[ours.dtype]
    difference = (ours.to(truth.dtype) - truth).abs().max().item() if truth.numel() else 0.0
    assert difference <= tolerance * truth.abs().max().item()


@cache
def attached(name: str) -> DeconvNet:
    """One captured network per entry of the zoo, for all tests."""
    network = BY_NAME[name]
    options = {} if network.output is None else {"output": network.output}
    return DeconvNet(network.model(), network.images(2), **options)


@lru_cache(maxsize=4)
def oracle(name: str, way: WayDown, images: int = 2, seed: int = 0) -> Oracle:
    network = BY_NAME[name]
    return Oracle(network.make(OracleParts(way)), network.images(images, seed))


def rules_of(way: WayDown, smooth: str = "refuse") -> RuleSet:
    return RuleSet(
        forward_mask=way.forward_mask,
        backward_rectify=way.backward_rectify,
        unpool=way.unpool,
        overlap=way.overlap,
        lrn=way.lrn,
        gates=way.gates,
        smooth=smooth,
    )


def start_on(values: Tensor, seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(values.shape, generator=random, dtype=values.dtype)


def live_channels(values: Tensor) -> list[int]:
    """The first and last map that are not silent in any image."""
    maxima = values.detach().flatten(2).amax(-1) if values.dim() > 2 else values.detach()
    live = [c for c in range(values.shape[1]) if maxima[:, c].all()]
    return sorted({live[0], live[-1]}) if live else []


# a silent unit's picture may be all zero, which the engine says in a warning
silent_units_are_fine = pytest.mark.filterwarnings("ignore:.* units have activation 0")


def one_hot(values: Tensor, place: tuple[int, ...], value: float | Tensor = 1.0) -> Tensor:
    """A signal that is `value` at one place of every image and zero elsewhere."""
    signal = torch.zeros_like(values)
    signal[(slice(None), *place)] = value
    return signal


# every network, every layer, every rule set ---------------------------------------------------------


@every_network
@pytest.mark.parametrize(
    ("rules", "way"),
    [("deconvnet", DECONVNET), ("guided", GUIDED), ("gradient", GRADIENT)],
    ids=["deconvnet", "guided", "gradient"],
)
def test_any_signal_goes_down_as_the_oracle_says(network: Network, rules: str, way: WayDown):
    if rules == "gradient" and not network.exact_gradient:
        rules = rules_of(way, smooth="gradient")
    net = attached(network.name).with_rules(rules)
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


def _has(network: Network, part: type) -> bool:
    return any(isinstance(m, part) for m in network.make(OracleParts(DECONVNET)).modules())


POOLED = [network for network in NETWORKS if _has(network, OracleMaxPool)]
FEW_SPELLINGS = [n for n in POOLED if not n.name.startswith(("relu as", "relu6 as", "output is"))]
NORMED = [network for network in NETWORKS if _has(network, OracleContrastNorm)]
GATED = [network for network in NETWORKS if "excite" in network.name]
VARIANTS = (
    [(network, WayDown(overlap="max")) for network in FEW_SPELLINGS]
    + [(network, WayDown(unpool="centre")) for network in FEW_SPELLINGS]
    + [(network, WayDown(unpool="average")) for network in FEW_SPELLINGS]
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


@pytest.mark.parametrize(("network", "way"), VARIANTS, ids=_told)
def test_every_choice_of_a_rule_set_does_what_the_oracle_says(network: Network, way: WayDown):
    smooth = "refuse" if network.exact_gradient or way.gates == "constant" else "gradient"
    net = attached(network.name).with_rules(rules_of(way, smooth))
    truth = oracle(network.name, way)
    for layer in network.layers:
        signal = start_on(truth.outputs[layer])
        picture = net.project(network.images(), layer, start=signal).full()
        assert_equal(picture, truth.picture(layer, signal))


@every_network
def test_the_strongest_unit_of_a_map_goes_down_as_the_oracle_says(network: Network):
    net, x = attached(network.name), network.images()
    truth = oracle(network.name, DECONVNET)
    for layer in network.layers:
        values = truth.outputs[layer].detach()
        for channel in live_channels(values):
            result = net.project(x, layer, channel=channel)
            assert [unit.image for unit in result.units] == [0, 1]
            signal = torch.zeros_like(values)
            for unit in result.units:
                place = (unit.image, channel, *unit.position)
                assert values[place] == values[unit.image, channel].max()
                assert_equal(result.activations[unit.image], values[place])
                signal[place] = values[place].abs()
            assert_equal(result.full(), truth.picture(layer, signal))


@every_network
@silent_units_are_fine
def test_units_at_the_corners_go_down_as_the_oracle_says(network: Network):
    net, x = attached(network.name), network.images()
    truth = oracle(network.name, DECONVNET)
    layer = network.layers[len(network.layers) // 2]
    values = truth.outputs[layer].detach()
    size = values.shape[2:]
    for position in {
        tuple(0 for _ in size),
        tuple(n - 1 for n in size),
        tuple(n // 2 for n in size),
    }:
        result = net.project(x, layer, channel=1, position=position, start="one")
        signal = one_hot(values, (1, *position))
        assert_equal(result.full(), truth.picture(layer, signal))


@every_network
@silent_units_are_fine
def test_with_start_one_the_rule_set_gradient_is_autograd_of_the_users_model(network: Network):
    rules = rules_of(GRADIENT, "refuse" if network.exact_gradient else "gradient")
    net, x = attached(network.name).with_rules(rules), network.images()
    truth = Oracle(network.model(), x)
    for layer in network.layers:
        result = net.project(x, layer, channel=1, start="one")
        signal = torch.zeros_like(truth.outputs[layer])
        for unit in result.units:
            signal[(unit.image, 1, *unit.position)] = 1
        assert_equal(result.full(), truth.picture(layer, signal))


CLASSIFIERS = [
    network
    for network in NETWORKS
    if network.output is None and network.images().dim() > 1 and network.model()(network.images()).dim() == 2
]  # fmt: skip


@pytest.mark.parametrize("network", CLASSIFIERS, ids=lambda n: n.name)
def test_a_class_starts_from_one_at_its_logit(network: Network):
    truth = oracle(network.name, DECONVNET)
    signal = one_hot(truth.outputs[""], (2,))
    result = attached(network.name).explain(network.images(), target=2)
    assert_equal(result.full(), truth.picture("", signal))


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.output is not None], ids=lambda n: n.name)
def test_a_class_is_found_in_any_kind_of_output(network: Network):
    truth = oracle(network.name, DECONVNET)
    signal = one_hot(truth.outputs["head"], (3,))
    result = attached(network.name).explain(network.images(), target=3)
    assert_equal(result.full(), truth.picture("head", signal))


@pytest.mark.parametrize("network", NETWORKS[::15], ids=lambda n: n.name)
def test_float32_agrees_with_the_oracle_to_a_hundred_thousandth(network: Network):
    options = {} if network.output is None else {"output": network.output}
    x = network.images().float()
    net = DeconvNet(network.model().float(), x, **options)
    # same switches for both: the oracle runs in float32 too
    truth = Oracle(network.make(OracleParts(DECONVNET)).float(), x)
    for layer in network.layers:
        signal = start_on(truth.outputs[layer])
        picture = net.project(x, layer, start=signal).full()
        assert picture.dtype == torch.float32
        assert_equal(picture, truth.picture(layer, signal))


@every_network
def test_a_whole_feature_map_goes_down_at_once_as_the_oracle_says(network: Network):
    net, x = attached(network.name), network.images()
    truth = oracle(network.name, DECONVNET)
    layer = network.layers[-1]
    values = truth.outputs[layer].detach()
    for channel in live_channels(values)[:1] if values.dim() > 2 else []:
        result = net.project(x, layer, channel=channel, position="all")
        signal = torch.zeros_like(values)
        signal[:, channel] = values[:, channel]
        assert [unit.position for unit in result.units] == [None, None]
        assert_equal(result.full(), truth.picture(layer, signal))


# the paper itself, loop by loop ---------------------------------------------------------------------


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.sequential], ids=lambda n: n.name)
def test_one_unit_is_projected_as_section_two_of_the_paper_says(network: Network):
    net, x = attached(network.name), network.images()
    layers = paper_layers(network.model())
    for layer in network.layers[1::3]:
        values = oracle(network.name, DECONVNET).outputs[layer].detach()
        result = net.project(x, layer, channel=live_channels(values)[-1])
        unit = result.units[1]
        signal = np.zeros(values.shape[1:])
        signal[(unit.channel, *unit.position)] = result.activations[1].abs()
        picture = paper.project_signal(layers, x[1].numpy(), int(layer), signal)
        assert_equal(result.full()[1], torch.tensor(picture))


SAME_FOR_ALL = "does not depend on the image"

# facts ----------------------------------------------------------------------------------------------


@every_network
def test_pictures_are_positively_homogeneous_but_not_additive(network: Network):
    net, x = attached(network.name), network.images()
    layer = network.layers[-1]
    signal = start_on(oracle(network.name, DECONVNET).outputs[layer])

    def picture(start: Tensor) -> Tensor:
        return net.project(x, layer, start=start).full()

    assert_equal(picture(2.5 * signal), 2.5 * picture(signal), 1e-10)
    if network.name == "zfnet in small":
        together = picture(signal) + picture(signal.flip(1))
        assert (picture(signal + signal.flip(1)) - together).abs().max() > 1e-3


@pytest.mark.parametrize("layer", ["0", "1"])
def test_a_first_layer_picture_is_the_filter_times_the_activation(layer: str):
    network = BY_NAME["convolutions and rectifiers only"]
    net, x = attached(network.name), network.images()
    filters = network.model()[0].weight.detach()
    for channel in range(len(filters)):
        result = net.project(x, layer, channel=channel)
        for picture, unit, activation in zip(result.full(), result.units, result.activations, strict=True):
            truth = torch.zeros_like(picture)
            row, column = unit.position
            truth[:, row : row + 3, column : column + 3] = activation.abs() * filters[channel]
            assert truth.any()
            assert_equal(picture, truth)


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.rectifiers_only], ids=lambda n: n.name)
def test_without_switches_the_picture_is_the_same_for_every_image_and_the_notes_say_so(network):
    net = attached(network.name)
    one, other = network.images(seed=1), network.images(seed=2)
    layer = network.layers[-1]
    signal = start_on(oracle(network.name, DECONVNET).outputs[layer])
    pictures = [net.project(x, layer, start=signal).full() for x in (one, other)]
    assert_equal(pictures[0], pictures[1])
    assert any(SAME_FOR_ALL in note for note in net.project(one, layer, start=signal).notes)
    guided = net.with_rules("guided").project(one, layer, start=signal)
    assert not any(SAME_FOR_ALL in note for note in guided.notes)


@pytest.mark.parametrize("network", POOLED[::5], ids=lambda n: n.name)
@silent_units_are_fine
def test_the_notes_do_not_call_a_picture_with_switches_the_same_for_every_image(network: Network):
    result = attached(network.name).project(network.images(), network.layers[-1], channel=0)
    assert not any(SAME_FOR_ALL in note for note in result.notes)


@every_network
@silent_units_are_fine
def test_a_picture_lies_in_its_units_box_and_so_does_everything_the_unit_saw(network: Network):
    net, x = attached(network.name), network.images()
    truth = Oracle(network.model(), x)
    for layer in network.layers:
        result = net.project(x, layer, channel=1, start="one")
        signal = torch.zeros_like(truth.outputs[layer])
        for unit in result.units:
            signal[(unit.image, 1, *unit.position)] = 1
        seen = truth.picture(layer, signal)
        field = net.layers[layer].receptive_field
        for i, picture in enumerate(result.full()):
            low, high = (corner.tolist() for corner in torch.as_tensor(result.boxes[i]))
            inside = torch.zeros(picture.shape[1:], dtype=torch.bool)
            inside[tuple(slice(max(a, 0), max(b, 0)) for a, b in zip(low, high, strict=True))] = True
            assert not picture[:, ~inside].any()
            if network not in GATED:  # a gate looks at everything, but is a constant on the way down
                assert not seen[result.units[i].image][:, ~inside].any()
            lengths = [b - a for a, b in zip(low, high, strict=True)]
            assert all(length <= limit for length, limit in zip(lengths, field, strict=True))


@pytest.mark.parametrize(
    ("name", "middle", "top"),
    [
        ("zfnet in small", "5", "8"),
        ("zfnet in small", "2", "12"),
        ("zfnet in small", "0", "7"),
        ("relu as F.relu", "first", "third"),
        ("resnet, post-activation", "pool", "head"),
        ("fire module", "squeeze", "head"),
        ("three axes", "bn", "c"),
        ("linear layers only", "first", "third"),
    ],
)
def test_stopping_at_a_middle_layer_and_starting_there_again_is_going_straight_down(name, middle, top):
    network = BY_NAME[name]
    net, x = attached(name), network.images()
    channel = live_channels(oracle(name, DECONVNET).outputs[top])[0]
    straight = net.project(x, top, channel=channel)
    stopped = net.project(x, top, channel=channel, to=middle).full()
    assert stopped.shape == oracle(name, DECONVNET).outputs[middle].shape
    assert_equal(net.project(x, middle, start=stopped).full(), straight.full())


# networks that are not made of rectifiers -----------------------------------------------------------

every_smooth = pytest.mark.parametrize("network", SMOOTH_NETWORKS, ids=lambda n: n.name)


def top_of(network: Network) -> str:
    return network.layers[-1]


@every_smooth
@pytest.mark.parametrize("rules", ["deconvnet", "guided", "gradient"])
def test_what_is_no_rectifier_is_refused_by_default(network: Network, rules: str):
    with pytest.raises(UnsupportedOperationError, match="cannot project through"):
        net = attached(network.name).with_rules(rules)
        net.project(network.images(), top_of(network), channel=0)


@every_smooth
def test_with_smooth_gradient_the_rule_set_gradient_is_autograd(network: Network):
    x = network.images()
    net = attached(network.name).with_rules("gradient", smooth="gradient")
    truth = Oracle(network.model(), x)
    signal = start_on(truth.outputs[top_of(network)])
    result = net.project(x, top_of(network), start=signal)
    assert_equal(result.full(), truth.picture(top_of(network), signal))
    assert result.rules.smooth == "gradient"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_with_smooth_rectify_an_activation_is_a_rectifier_on_the_way_down(name: str):
    network = BY_NAME[name]
    x = network.images()
    net = attached(network.name).with_rules("deconvnet", smooth="rectify")
    way = WayDown(activations_rectify=True)
    truth = Oracle(network.make(OracleParts(way)), x)
    signal = start_on(truth.outputs[top_of(network)])
    result = net.project(x, top_of(network), start=signal)
    assert_equal(result.full(), truth.picture(top_of(network), signal))
    assert result.rules.smooth == "rectify"


# the traps of public code ---------------------------------------------------------------------------


def small(*between: nn.Module, relu: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), relu or nn.ReLU(), *between, nn.MaxPool2d(2), nn.Conv2d(4, 3, 2)
    ).double()  # fmt: skip


def photo(n: int = 2, seed: int = 5) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 10, 10, generator=random, dtype=torch.float64)


def test_no_bias_forward_or_random_reaches_the_picture():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2), nn.Linear(9, 2)
    ).double()  # fmt: skip
    x = photo()
    net = DeconvNet(model, x)
    signal = start_on(model(x))
    pictures, states = [], []
    for bias in (0.0, 100.0):
        with torch.no_grad():
            for layer in (0, 2, 3):
                model[layer].bias.fill_(bias)
        states.append(torch.get_rng_state())
        pictures.append(net.project(x, "3", start=signal).full())
    assert torch.equal(*pictures)
    assert torch.equal(states[0], states[1])
    with pytest.warns(DeconvNetWarning, match="activation 0"):
        assert not net.project(x, "3", start=torch.zeros_like(signal)).full().any()


def test_the_rectifier_on_the_way_down_is_not_forgotten():
    model, x = small(), photo()
    net = DeconvNet(model, x)
    signal = start_on(model(x))
    plus, minus = (net.project(x, "3", start=sign * signal).full() for sign in (1, -1))
    assert (plus + minus).abs().max() > 1e-2  # linear if the ReLU were forgotten
    linear = net.with_rules(RuleSet(forward_mask=False, backward_rectify=False))
    plus, minus = (linear.project(x, "3", start=sign * signal).full() for sign in (1, -1))
    assert (plus + minus).abs().max() < 1e-10


def test_what_is_called_deconvnet_is_not_guided_backpropagation():
    model, x = small(), photo()
    net = DeconvNet(model, x)
    signal = start_on(model(x))
    pictures = {
        rules: net.with_rules(rules).project(x, "3", start=signal).full()
        for rules in ("deconvnet", "guided", "gradient")
    }
    assert (pictures["deconvnet"] - pictures["guided"]).abs().max() > 1e-2
    # a dead rectifier lets DeconvNet's signal through, and no other
    with torch.no_grad():
        model[0].bias.fill_(-1e3)
    dead = {
        rules: net.with_rules(rules).project(x, "3", start=signal).full()
        for rules in ("deconvnet", "guided", "gradient")
    }
    assert dead["deconvnet"].any()
    assert not dead["guided"].any() and not dead["gradient"].any()


def test_the_contrast_norm_is_not_applied_again_on_the_way_down():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.LocalResponseNorm(5, 10.0, 0.75, 2.0)
    ).double()  # fmt: skip
    x = photo()
    net = DeconvNet(model, x)
    signal = start_on(model(x))
    above = net.project(x, "2", start=signal).full()
    assert_equal(above, net.project(x, "1", start=signal).full())


def test_no_colour_mean_is_added_to_the_signed_picture():
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.full((3, 1, 1), 120.0, dtype=torch.float64))
            self.body = small()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x - self.mean)

    model, x = Centred(), 50 * photo() + 120
    result = DeconvNet(model, x).project(x, "body.3", channel=0)
    assert result.full().is_floating_point()
    assert (result.full() < 0).any() and (result.full() > 0).any()
    plain = DeconvNet(model.body, x).project(x - 120.0, "3", channel=0)
    assert_equal(result.full(), plain.full())
    assert (result.full() == 0).any()  # outside of the unit's box: nothing, not the mean


def test_windows_that_share_a_switch_are_summed_where_max_unpool_overwrites():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.MaxPool2d(2, 1)).double()
    nn.init.ones_(model[0].weight)
    x = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    x[:, :, 1, 1] = 9
    signal = torch.tensor([[1.0, 2], [-4, 3]], dtype=torch.float64).expand(2, 1, 2, 2)
    net = DeconvNet(model, x)
    assert net.project(x, "1", start=signal).full()[0, 0, 1, 1] == 2
    largest = net.with_rules(rules_of(WayDown(overlap="max")))
    assert largest.project(x, "1", start=signal).full()[0, 0, 1, 1] == -4
    pooled, indices = F.max_pool2d(x, 2, 1, return_indices=True)
    overwritten = F.max_unpool2d(signal.contiguous(), indices, 2, 1, output_size=(3, 3))
    assert overwritten.abs().sum() < signal.abs().sum()
    assert pooled.unique().tolist() == [9]


def test_reused_functional_and_in_place_relus_give_one_and_the_same_picture():
    class Spelled(nn.Module):
        def __init__(self, relus: tuple) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.body, self.relus = small(nn.Conv2d(4, 4, 3, padding=1)), relus

        def forward(self, x: Tensor) -> Tensor:
            conv, _, second, pool, last = self.body
            one, two = self.relus
            return last(pool(two(second(one(conv(x))))))

    module = nn.ReLU()
    spellings = [
        (nn.ReLU(), nn.ReLU()),
        (module, module),
        (F.relu, torch.relu_),
        (nn.ReLU(inplace=True), lambda x: x * (x > 0)),
    ]
    x = photo()
    pictures = [DeconvNet(Spelled(relus), x).project(x, "body.4", channel=1).full() for relus in spellings]
    for picture in pictures[1:]:
        assert_equal(picture, pictures[0])


def test_an_in_place_relu_on_the_input_leaves_the_users_photo_alone():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3)).double()
    x = photo()
    before = x.clone()
    net = DeconvNet(model, x)
    net.project(x, "1", channel=0)
    net.activations(x, ["1"])
    assert torch.equal(x, before)


def test_a_model_left_in_training_mode_gives_the_picture_of_eval_and_stays_as_it_was():
    model, x = small(nn.Dropout(0.5), nn.BatchNorm2d(4)), photo()
    model[3].running_mean.normal_()
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    truth = DeconvNet(model, x).project(x, "5", channel=0).full()
    model.train()
    model[2].eval()
    net = DeconvNet(model, x)
    flags = [module.training for module in model.modules()]
    for _ in range(2):
        assert torch.equal(net.project(x, "5", channel=0).full(), truth)
    assert flags == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["zfnet in small", "resnet, post-activation", "densenet block"])
def test_images_of_a_batch_do_not_mix_their_switches(name: str):
    network = BY_NAME[name]
    net, x = attached(name), network.images(5)
    layer = network.layers[-1]
    channel = live_channels(net.activations(x, [layer])[layer])[0]
    together = net.project(x, layer, channel=channel)
    assert [unit.image for unit in together.units] == list(range(5))
    for i in range(5):
        alone = net.project(x[i : i + 1], layer, channel=channel)
        assert alone.units[0].position == together.units[i].position
        assert_equal(together.full()[i], alone.full()[0])


# any geometry ---------------------------------------------------------------------------------------

geometry = settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def conv_options(draw: st.DrawFn, axes: int, groups: int) -> dict:
    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    return {
        "kernel_size": each(1, 3),
        "stride": each(1, 2),
        "padding": each(0, 2),
        "dilation": each(1, 2),
        "groups": draw(st.sampled_from([1, groups])),
    }


@st.composite
def pool_options(draw: st.DrawFn, axes: int) -> dict:
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    return {
        "kernel_size": kernel,
        "stride": tuple(draw(st.integers(1, 4)) for _ in range(axes)),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "dilation": tuple(draw(st.integers(1, 2)) for _ in range(axes)),
        "ceil_mode": draw(st.booleans()),
    }


def _agrees_with_the_paper(model: nn.Sequential, x: Tensor, way: WayDown) -> None:
    try:
        values = model(x)
    except RuntimeError:
        assume(False)
    net = DeconvNet(model, x, rules=rules_of(way))
    layers = paper_layers(model)
    for layer in (len(model) - 1, len(model) - 2):
        values = layer_outputs(model, x)[str(layer)].detach()
        signal = start_on(values)
        pictures = net.project(x, str(layer), start=signal).full()
        choices = {"placement": way.unpool, "overlap": way.overlap}
        for i in range(len(x)):
            truth = paper.project_signal(layers, x[i].numpy(), layer, signal[i].numpy(), **choices)
            assert_equal(pictures[i], torch.tensor(truth))
        if not values.any():
            continue
        channel = int(values.flatten(2).amax(-1).amax(0).argmax())
        result = net.project(x, str(layer), channel=channel)
        for i, unit in enumerate(result.units):
            alone = np.zeros(values.shape[1:])
            alone[(unit.channel, *unit.position)] = result.activations[i].abs()
            truth = paper.project_signal(layers, x[i].numpy(), layer, alone, **choices)
            if truth.any():
                assert_equal(result.full()[i], torch.tensor(truth))
            else:
                assert not result.full()[i].any()


@given(
    size=st.tuples(st.integers(5, 11), st.integers(5, 11)),
    first=conv_options(2, 2),
    pool=pool_options(2),
    second=conv_options(2, 4),
    way=st.sampled_from([DECONVNET, WayDown(overlap="max"), WayDown(unpool="centre"), WayDown(unpool="average")]),
)
@geometry
def test_any_convolution_and_any_pool_in_the_plane(size, first, pool, second, way):
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 4, **first), nn.ReLU(), nn.MaxPool2d(**pool), nn.Conv2d(4, 4, **second)
    ).double()  # fmt: skip
    _agrees_with_the_paper(model, torch.randn(2, 2, *size, dtype=torch.float64), way)


@given(
    size=st.tuples(st.integers(8, 20)),
    first=conv_options(1, 2),
    pool=pool_options(1),
    second=conv_options(1, 4),
    way=st.sampled_from([DECONVNET, WayDown(overlap="max"), WayDown(unpool="average")]),
)
@geometry
def test_any_convolution_and_any_pool_along_a_line(size, first, pool, second, way):
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv1d(2, 4, **first), nn.ReLU(), nn.MaxPool1d(**pool), nn.Conv1d(4, 4, **second)
    ).double()  # fmt: skip
    _agrees_with_the_paper(model, torch.randn(2, 2, *size, dtype=torch.float64), way)


@given(
    size=st.tuples(*[st.integers(4, 6)] * 3),
    first=conv_options(3, 1),
    pool=pool_options(3),
)
@settings(geometry, max_examples=3)
def test_any_convolution_and_any_pool_in_space(size, first, pool):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv3d(1, 2, **first), nn.ReLU(), nn.MaxPool3d(**pool)).double()
    _agrees_with_the_paper(model, torch.randn(2, 1, *size, dtype=torch.float64), DECONVNET)
