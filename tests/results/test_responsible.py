"""The units that a class rests on: against loops over all units, and against the network itself without them."""

import itertools
import re
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from reference.autograd_oracle import DECONVNET, OracleParts
from skimage import data
from support.attaching import attached, bundled
from support.choosing import CLASSIFIERS
from support.classifier import class_maps, classifier, images, network
from support.comparing import assert_equal
from support.cuts import agree_at_every_cut
from support.losses import compared_with_chance
from support.networks import BY_NAME, Network
from support.untouched import unchanged
from torch import Tensor, nn

from deconvnet import (
    ArgumentError,
    DeconvNet,
    LayerNotFoundError,
    Responsible,
    TargetError,
    Unit,
    UnsupportedOperationError,
)
from deconvnet.engine.responsible import ranked
from deconvnet.network import attached as attached_to


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return classifier()


@pytest.fixture(scope="module")
def segmenter() -> DeconvNet:
    return class_maps()


# one in five, and all of them in `make test-all`
every_classifier = pytest.mark.parametrize(
    "network",
    [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if i % 5 else []) for i, one in enumerate(CLASSIFIERS)],
)


# the slow obvious version ---------------------------------------------------------------------------


def called_once(one: Network, layer: str) -> bool:
    return layer in dict(one.model().named_modules()) and f"{layer}#2" not in attached(one.name).layers


def signal_of_a_class(one: Network, x: Tensor, layer: str, classes: list[int]) -> tuple[Tensor, Tensor]:
    """Activations and signal on a layer, from autograd with the paper's way down in its backward.

    Something that is zero is added to what the layer gives; its gradient is what arrives there.
    """
    twin = one.make(OracleParts(DECONVNET))
    seen: list[Tensor] = []

    def add(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        seen[:] = [output.detach().clone(), torch.zeros_like(output, requires_grad=True)]
        return output + seen[1]

    handle = twin.get_submodule(layer).register_forward_hook(add)
    scores = twin(x)
    handle.remove()
    (signal,) = torch.autograd.grad(scores[range(len(x)), classes].sum(), seen[1], allow_unused=True)
    return seen[0], torch.zeros_like(seen[0]) if signal is None else signal


def by_loops(layer: str, activations: Tensor, signal: Tensor) -> list[list[tuple[float, Unit]]]:
    """All units of each image with a contribution above zero, the largest first."""
    found = []
    for image in range(len(activations)):
        places = itertools.product(*map(range, activations.shape[1:]))
        units = [(float(activations[image][at] * signal[image][at]), Unit(layer, at[0], at[1:], image))
                 for at in places]  # fmt: skip
        found.append(sorted((one for one in units if one[0] > 0), key=lambda one: -one[0]))
    return found


@every_classifier
def test_units_contributions_and_pictures_are_those_of_a_loop_over_all_units(network: Network):
    net, x = attached(network.name), network.images()
    classes = [unit.channel for unit in net.explain(x).units]
    for layer in filter(lambda layer: called_once(network, layer), network.layers):
        activations, signal = signal_of_a_class(network, x, layer, classes)
        expected = by_loops(layer, activations, signal)
        k = min(3, *map(len, expected))
        if not signal.any() or k == 0:
            continue
        result = net.responsible(x, layer=layer, k=k, per_map=None)
        assert result.layer == layer
        assert [unit.channel for unit in result.classes] == classes
        best = [one for several in expected for one in several[:k]]
        assert_equal(result.contributions, torch.tensor([c for c, _ in best], dtype=torch.float64))
        assert_equal(result.contributions, result.signals * result.units.activations)
        totals = [sum(c for c, _ in several) for several in expected for _ in range(k)]
        assert_equal(result.shares, result.contributions / torch.tensor(totals, dtype=torch.float64))
        at = [(u.image, u.channel, *(u.position or ())) for u in result.units.units]
        assert_equal(result.signals, torch.stack([signal[i] for i in at]))
        for i, unit in enumerate(result.units.units):  # those of one contribution may have changed places
            assert unit.image == i // k
            assert any(abs(c - best[i][0]) <= 1e-10 * c and unit == u for c, u in expected[unit.image])
            position = unit.position if net.layers[layer].size else None
            alone = net.project(x, layer, channel=unit.channel, position=position)
            assert_equal(result.units.full()[i], alone.full()[unit.image])


@pytest.mark.parametrize("rules", ["guided", "gradient"])
def test_other_rules_bring_another_signal(net: DeconvNet, rules: str):
    other, x = net.with_rules(rules), images(3)
    result = other.responsible(x, 2, layer="relu1", k=4)
    signal = other.explain(x, 2, to="relu1").full()
    values = other.activations(x, "relu1")["relu1"]
    for i, unit in enumerate(result.units.units):
        place = (unit.image, unit.channel, *unit.position)
        assert_equal(result.signals[i], signal[place])
        assert_equal(result.contributions[i], signal[place] * values[place])
    assert result.units.rules == other.rules
    assert (result.contributions[:4] - net.responsible(x, 2, layer="relu1", k=4).contributions[:4]).abs().max() > 1e-6


def test_under_the_rule_set_gradient_a_fully_connected_layers_contributions_are_what_the_score_loses(net: DeconvNet):
    x, exact = images(1), net.with_rules("gradient")
    result = exact.responsible(x, layer="flatten", k=3)
    values = exact.activations(x, "flatten")["flatten"][0]
    for i, unit in enumerate(result.units.units):
        without = values.clone()
        without[unit.channel] = 0
        lost = net.model.fc(values) - net.model.fc(without)
        assert_equal(result.contributions[i], lost[result.classes[0].channel].detach())


def test_of_equal_contributions_the_first_in_order_comes_first():
    activations = torch.tensor([[[[1.0, 2.0], [2.0, 0.0]], [[2.0, 1.0], [4.0, -2.0]]]])
    signals = torch.tensor([[[[1.0, 1.0], [1.0, 9.0]], [[1.0, 2.0], [-1.0, -1.0]]]])
    found = ranked("maps", activations, signals, 5, first=7)
    at = [(unit.channel, unit.position) for unit in found.units]
    assert at == [(0, (0, 1)), (0, (1, 0)), (1, (0, 0)), (1, (0, 1)), (1, (1, 1))]
    assert {unit.image for unit in found.units} == {7}
    assert found.contributions.tolist() == [2.0] * 5
    assert found.shares.tolist() == pytest.approx([2 / 11] * 5)


def test_products_of_half_floats_do_not_overflow():
    large = torch.full((1, 2), 3e4, dtype=torch.float16)
    assert ranked("fc", large, large, 1).contributions.tolist() == [pytest.approx(9e8, rel=1e-3)]


@every_classifier
def test_a_class_stopped_at_any_cut_and_started_again_is_the_class_straight_down(network: Network):
    assert agree_at_every_cut(attached(network.name), network.images())


def test_a_class_of_the_bundled_network_may_be_stopped_at_every_layer():
    loaded, net = bundled()
    x = loaded.preprocess.images("sample:chelsea")
    assert agree_at_every_cut(net, x) == list(net.layers)


def crops(count: int, seed: int = 0) -> list[np.ndarray]:
    """Squares, of half the shorter side or more, out of scikit-image's photos."""
    random = np.random.default_rng(seed)
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    squares = []
    for photo in itertools.islice(itertools.cycle(photos), count):
        side = random.integers(min(photo.shape[:2]) // 2, min(photo.shape[:2]), endpoint=True)
        top, left = (random.integers(0, length - side, endpoint=True) for length in photo.shape[:2])
        squares.append(photo[top : top + side, left : left + side])
    return squares


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("rules", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("layer", ["relu3", "relu4", "relu5"])
def test_the_class_loses_more_without_these_units_than_without_others(layer: str, rules: str):
    loaded, net = bundled()
    share, ours, theirs = compared_with_chance(net.with_rules(rules), loaded.preprocess.images(crops(50)), layer)
    print(f"| zfnet-mini | {layer} | {rules} | {100 * share:.0f} % | {ours:.2f} | {theirs:.2f} |")
    assert share >= 0.8


# what a user gives and gets -------------------------------------------------------------------------


def test_units_come_in_order_of_images_from_strong_to_weak(net: DeconvNet):
    x = images(4)
    result = net.responsible(x, layer="relu2", k=3)
    assert isinstance(result, Responsible)
    assert [unit.image for unit in result.units.units] == [i for i in range(4) for _ in range(3)]
    assert (result.contributions.view(4, 3).diff() <= 0).all()
    assert ((result.shares > 0) & (result.shares <= 1)).all()
    assert (result.shares.view(4, 3).sum(1) <= 1 + 1e-12).all()
    assert_equal(result.scores, net.scores(x).amax(1))
    for image in range(4):
        alone = net.responsible(x[image : image + 1], layer="relu2", k=3)
        several = slice(3 * image, 3 * image + 3)
        assert [(u.channel, u.position) for u in alone.units.units] == (
            [(u.channel, u.position) for u in result.units.units[several]]
        )
        assert_equal(alone.shares, result.shares[several])
        assert_equal(alone.units.full(), result.units.full()[several])


def test_images_in_several_passes_give_what_they_give_in_one():
    loaded, net = bundled()
    x = loaded.preprocess.images(crops(12))
    result, small = net.responsible(x, k=2), net.responsible(x, k=2, memory="16MB")
    assert small.units.units == result.units.units
    assert_equal(small.shares, result.shares)


def test_a_class_may_be_chosen_by_number_or_by_a_tensor(net: DeconvNet):
    x = images(2)
    for target in (3, torch.tensor(3), np.int64(3)):
        result = net.responsible(x, target, layer="relu2", k=2)
        assert [(unit.channel, unit.image) for unit in result.classes] == [(3, 0), (3, 1)]
        assert_equal(result.scores, net.scores(x)[:, 3])


def test_a_fully_connected_layers_units_have_no_position(net: DeconvNet):
    result = net.responsible(images(2), layer="flatten", k=2)
    assert [unit.position for unit in result.units.units] == [()] * 4
    assert result.units.full().shape == (4, 3, 14, 14)


def test_the_layer_may_be_a_module_and_is_the_scores_own(net: DeconvNet):
    x = images(2)
    assert net.responsible(x, layer=net.model.relu1, k=2).layer == "relu1"
    positive = int(net.scores(x).amin(0).argmax())
    (one, other) = net.responsible(x, positive, layer="fc", k=1).units.units
    assert (one, other) == (Unit("fc", positive, (), 0), Unit("fc", positive, (), 1))


def test_where_the_input_is_a_layer_its_numbers_are_units():
    x, net = images(2), DeconvNet(nn.Sequential(OrderedDict(photo=nn.Identity(), net=network())), images())
    result = net.responsible(x, layer="photo", k=2)
    at = [(unit.image, unit.channel, *unit.position) for unit in result.units.units]
    pictures = result.units.full()
    assert [tuple(place) for place in pictures.nonzero().tolist()] == [(i, *place[1:]) for i, place in enumerate(at)]
    assert_equal(result.units.activations, torch.stack([x[place] for place in at]))


def test_a_capture_that_holds_for_one_batch_size_gives_the_same():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) if len(x) == 2 else -self.net(x)

    x = images(2)
    fixed, free = DeconvNet(Branching(), x), DeconvNet(network(), x)
    assert attached_to(fixed).captures.graph(x).images == 2
    ours, theirs = fixed.responsible(x, layer="net.relu2", k=3), free.responsible(x, layer="relu2", k=3)
    assert_equal(ours.units.full(), theirs.units.full())
    assert_equal(ours.shares, theirs.shares)


def test_a_place_of_a_map_and_a_mask(segmenter: DeconvNet):
    x = images(2)
    place = segmenter.responsible(x, (2, 1, 3), layer="1", k=2)
    assert [(unit.channel, unit.position) for unit in place.classes] == [(2, (1, 3))] * 2
    mask = torch.zeros(5, 6, 6, dtype=torch.bool)
    mask[2, 1, 3] = True
    masked = segmenter.responsible(x, mask, layer="1", k=2)
    assert masked.units.units == place.units.units
    assert [unit.channel for unit in masked.classes] == [None, None]
    assert_equal(masked.shares, place.shares)
    assert_equal(masked.scores, place.scores)


def test_notes_tell_of_the_class_and_of_the_pictures_apart(net: DeconvNet):
    headed = DeconvNet(nn.Sequential(*network(), nn.Softmax(1)).eval(), images())
    deep = headed.responsible(images(), layer="6", k=1).notes
    assert "The softmax at the output was skipped." in deep
    assert "The signal of the class that arrives at '6' is the same for every image." in deep
    assert not any("picture does not depend" in note for note in deep)
    shallow = net.responsible(images(), layer="conv1", k=1).notes
    assert any("picture does not depend" in note for note in shallow)
    assert not any("is the same for every image" in note for note in shallow)
    guided = net.with_rules("guided").responsible(images(), layer="relu2", k=1).notes
    assert guided == ()


def test_fewer_than_k_units_come_with_a_note(net: DeconvNet):
    x = images(2)
    positive = int(net.scores(x).amin(0).argmax())
    result = net.responsible(x, positive, layer="fc", k=6)
    assert len(result.units) == 2
    assert result.notes[0] == (
        "Fewer than 6 units have a contribution above 0 in 2 of 2 images; the first, image 0, has 1."
    )
    alone = net.responsible(x[:1], positive, layer="fc", k=6)
    assert alone.notes[0] == "Fewer than 6 units have a contribution above 0: 1."


def test_an_image_without_any_comes_with_a_note_beside_others_that_have_some(net: DeconvNet):
    x = images(2)
    scores = net.scores(x)
    assert scores[0].min() < 0 < scores[1].max()
    result = net.responsible(x, [int(scores[0].argmin()), int(scores[1].argmax())], layer="fc", k=1)
    assert [unit.image for unit in result.units.units] == [1]
    assert "in 1 of 2 images; the first, image 0, has 0." in result.notes[0]


@pytest.mark.parametrize("per_map", [1, 2])
def test_no_feature_map_has_more_units_than_it_may(net: DeconvNet, per_map: int):
    x = images(2)
    result = net.responsible(x, layer="relu2", k=8, per_map=per_map)
    free = net.responsible(x, layer="relu2", k=10**6, per_map=0)
    for image in range(2):
        ranked_units, kept = [unit for unit in free.units.units if unit.image == image], []
        for unit in ranked_units:  # the slow obvious version
            if sum(other.channel == unit.channel for other in kept) < per_map and len(kept) < 8:
                kept.append(unit)
        assert [unit for unit in result.units.units if unit.image == image] == kept
    assert_equal(free.shares.sum(), torch.tensor(2.0, dtype=torch.float64))


def test_a_note_says_that_other_units_of_the_maps_were_left_out(net: DeconvNet):
    x = images(1)
    result = net.responsible(x, layer="relu2", k=100)
    assert len({unit.channel for unit in result.units.units}) == len(result.units)
    assert f"{len(result.units)}, of each feature map at most 1." in result.notes[0]


# the layer where none is named ----------------------------------------------------------------------


def test_the_layer_is_the_last_rectifiers_where_none_is_named(net: DeconvNet):
    assert net.responsible(images(), k=1).layer == "relu2"
    assert bundled()[1].responsible(torch.randn(1, 3, 128, 128), k=1).layer == "relu5"


def test_class_maps_are_no_layer_to_look_at():
    def conv(below: int, maps: int) -> list[nn.Module]:
        return [nn.Conv2d(below, maps, 3), nn.ReLU()]

    torch.manual_seed(0)
    model = nn.Sequential(*conv(3, 6), *conv(6, 8), *conv(8, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert DeconvNet(model.double(), images()).responsible(images(), k=1).layer == "3"


def test_branches_that_are_rectified_one_by_one_count_as_one():
    assert attached("fire module").responsible(BY_NAME["fire module"].images(), k=1).layer == "/cat"


@pytest.mark.parametrize("options", [{"smooth": "rectify"}, {"rules": "gradient", "smooth": "gradient"}])
def test_activations_that_the_rules_admit_stand_for_rectifiers(options: Any):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.SiLU(), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(600, 4)
    ).double()
    result = DeconvNet(model, images(), **options).responsible(images(), k=1)
    assert result.layer == "3"
    assert f'smooth="{options["smooth"]}"' in result.notes[-1]


def test_without_rectified_maps_it_is_the_last_maps_and_without_maps_the_last_rectifier():
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Conv2d(3, 6, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(216, 4)).double()
    assert DeconvNet(linear, images()).responsible(images(), k=1).layer == "1"
    flat = nn.Sequential(nn.Flatten(), nn.Linear(588, 20), nn.ReLU(), nn.Linear(20, 4)).double()
    assert DeconvNet(flat, images()).responsible(images(), k=1).layer == "2"
    none = nn.Sequential(nn.Flatten(), nn.Linear(588, 4)).double()
    with pytest.raises(ArgumentError, match=r"no layer on the way .* name a layer"):
        DeconvNet(none, images()).responsible(images(), k=1)


# wrong calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "relu_2"}, LayerNotFoundError, "no layer 'relu_2'; the nearest names are 'relu2'"),
        ({"layer": 3}, ArgumentError, "a layer is a name or a module; got "),
        ({"k": 0}, ArgumentError, "k is a whole number, 1 or more; got 0"),
        ({"k": 2.0}, ArgumentError, "1 or more; got 2.0"),
        ({"k": True}, ArgumentError, "1 or more; got True"),
        ({"k": None}, ArgumentError, "1 or more; got None"),
        ({"target": [1]}, TargetError, r"there are 2 images, and the list has 1.*targets="),
        ({"target": (1, 2, 3)}, TargetError, "a tuple is a class at a position of a map"),
        ({"target": "all"}, TargetError, "names of the classes are not known"),
        ({"target": 2.5}, TargetError, "there are 5 classes, counted from 0; got 2.5"),
        ({"target": -1}, TargetError, "there are 5 classes, counted from 0; got -1"),
        ({"target": 5}, TargetError, "there are 5 classes, counted from 0; got 5"),
        ({"target": True}, TargetError, "there are 5 classes, counted from 0; got True"),
        ({"per_map": -1}, ArgumentError, "per_map is a whole number, 0 or more; got -1"),
        ({"per_map": 1.5}, ArgumentError, "per_map is a whole number, 0 or more; got 1.5"),
        ({"memory": "much"}, ArgumentError, "memory is a number of bytes"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_told_and_the_model_stays_as_it_was(net: DeconvNet, options: Any, error: Any, message: str):
    x = images(2)
    if options.get("layer") == "fc":
        options = {**options, "target": int(net.scores(x).amin(0).argmax())}
    with unchanged(net.model), pytest.raises(error, match=message):
        net.responsible(x, **options)


def test_where_nothing_contributes_another_layer_is_advised(net: DeconvNet):
    negative = int(net.scores(images(1))[0].argmin())
    with pytest.raises(ArgumentError, match=r"no unit of 'fc' has a contribution above 0: choose another layer"):
        net.responsible(images(1), negative, layer="fc", k=1)


class Sideways(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.side, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = torch.relu(self.stem(x))
        return {
            "classes": self.head(maps.mean((2, 3))).softmax(1),
            "side": self.side(maps),
            "size": maps.mean((1, 2, 3)),
        }


def test_a_layer_that_is_not_on_the_way_to_the_class_is_refused():
    net = DeconvNet(Sideways().double(), images(), output="classes")
    for layer in ("side", "/softmax", "/mean#2"):
        with pytest.raises(ArgumentError, match=re.escape(f"no signal of the class travels down to '{layer}'")):
            net.responsible(images(), layer=layer, k=1)
    sizes = DeconvNet(Sideways().double(), images(), output="size")
    with pytest.raises(ArgumentError, match="'/mean#2' gives one number for each image, not feature maps"):
        sizes.responsible(images(), 0, layer="/mean#2", k=1)
    assert sizes.responsible(images(), 0, layer="stem", k=1).layer == "stem"


def test_what_cannot_be_projected_is_refused_by_name():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(576, 3)).double()
    net = DeconvNet(model, images())
    with unchanged(model), pytest.raises(UnsupportedOperationError, match=r"cannot project through '1' \(aten.silu\)"):
        net.responsible(images(), k=1)


def test_the_model_is_left_as_it_was(net: DeconvNet):
    net.model.train()
    with unchanged(net.model):
        net.responsible(images(), layer="relu2", k=2)
    net.model.eval()


# pictures -------------------------------------------------------------------------------------------


def difference(one: Image.Image, other: Image.Image) -> float:
    """Of two pictures of one size, from 0 to 1; the last bits of sums may move a brightness by one."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean() / 255)


def test_a_photo_is_shown_beside_its_own_units():
    loaded, net = bundled()
    photos = ["sample:chelsea", "sample:rocket"]
    result = net.responsible(loaded.preprocess.images(photos), layer="relu3", k=4)
    drawn = [
        result.beside(photo, loaded.preprocess, image=i, title="a title").image() for i, photo in enumerate(photos)
    ]
    assert all(picture.mode == "RGB" and picture.width > 900 for picture in drawn)
    second = result[4:]  # knows that its units are those of image 1
    assert np.array_equal(drawn[1], second.beside(photos[1], loaded.preprocess, title="a title").image())
    alone = net.responsible(loaded.preprocess.images(photos[1:]), layer="relu3", k=4)
    same = alone.beside(photos[1], loaded.preprocess, title="a title").image()
    assert difference(drawn[1], same) < 0.01 < difference(drawn[0].resize(same.size), same)
    with pytest.raises(ArgumentError, match="there are 2 images, counted from 0; got 2"):
        result.beside(photos[0], loaded.preprocess, image=2)
    with pytest.raises(ArgumentError, match=r"the units are of images 0, 1\. Pass image=, the index of"):
        result.beside(photos[0], loaded.preprocess)
    with pytest.raises(ArgumentError, match="none of the units is of image 0; they are of 1"):
        second.beside(photos[0], loaded.preprocess, image=0)
    with pytest.raises(ArgumentError, match="there are no units to show"):
        result[:0].beside(photos[0], loaded.preprocess)


def test_its_repr_is_a_line():
    loaded, net = bundled()
    result = net.responsible(loaded.preprocess.images(["sample:chelsea", "sample:rocket"]), layer="relu3", k=2)
    words = "<Responsible: {} of layer 'relu3' that {} on, rules: deconvnet>"
    assert repr(result) == words.format("4 units", "the classes of 2 images rest")
    alone = net.responsible(loaded.preprocess.images("sample:chelsea"), layer="relu3", k=1)
    assert repr(alone) == words.format("1 unit", f"class {alone.classes[0].channel} rests")


def test_a_mistyped_option_names_the_function_and_the_nearest_option(tmp_path):
    loaded, net = bundled()
    x = loaded.preprocess.images("sample:chelsea")
    result = net.responsible(x, layer="relu3", k=1)
    said = r"{}\(\) got an unexpected keyword argument 'colums'. Did you mean 'columns'\? Its options are tile, columns"
    calls = {
        "Responsible.save": lambda **mistyped: result.save(tmp_path / "x.png", **mistyped),
        "Responsible.beside": lambda **mistyped: result.beside("sample:chelsea", loaded.preprocess, **mistyped),
        "Reconstruction.sheet": result.units.sheet,
        "Reconstruction.save": lambda **mistyped: result.units.save(tmp_path / "x", **mistyped),
        "Steps.figure": net.steps(x).figure,
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=said.format(name)):
            call(colums=3)
    with pytest.raises(TypeError, match=r"save\(\) got an unexpected keyword argument 'whole'"):  # of steps alone
        result.save(tmp_path / "x.png", whole=True)
    assert not [*tmp_path.iterdir()]


def test_an_item_is_one_unit_with_its_contribution_and_a_table_has_a_row_for_each(net: DeconvNet):
    result = net.responsible(images(2), layer="relu2", k=3)
    assert len(result) == len(list(result)) == 6
    for i, one in enumerate(result):
        assert isinstance(one, Responsible) and one.units.units == result.units.units[i : i + 1]
        assert (one.contributions, one.signals, one.shares) == tuple(
            column[i : i + 1] for column in (result.contributions, result.signals, result.shares)
        )
        assert one.classes == result.classes
    assert result[4:].units.units == result.units.units[4:] and torch.equal(result[-1].shares, result.shares[-1:])
    table = result.to_frame()
    assert table["contribution"].tolist() == result.contributions.tolist()
    assert table["target"].tolist() == [result.classes[image].channel for image in table["image"]]
    assert table["score"].tolist() == [float(result.scores[image]) for image in table["image"]]
    assert all(table["share"] == result.shares.numpy()) and not any(" " in name for name in table)
