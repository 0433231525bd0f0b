"""Units, maps and classes go down as the oracle says, on the whole zoo; and what the paper's procedure implies."""

import pytest
import torch
from reference.autograd_oracle import (
    DECONVNET,
    Oracle,
    OracleParts,
)
from support.attaching import attached, oracle, silent_units_are_fine
from support.choosing import CLASSIFIERS, GATED, POOLED, every_network
from support.comparing import assert_equal
from support.networks import BY_NAME, NETWORKS, Network
from support.signals import live_channels, one_hot, start_on
from torch import Tensor

from deconvnet import DeconvNet


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


@pytest.mark.sampled(every=2)
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


@pytest.mark.sampled(every=3)
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
    truth = oracle(network.name, None)
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


@pytest.mark.sampled(every=2)
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
