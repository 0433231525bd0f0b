"""Which classes are carried down from each image: one or one for each, several, at a position or where they win."""

from typing import Any

import numpy as np
import pytest
import torch
from support.classifier import class_maps, close, images, maps, network
from torch import Tensor, nn

from deconvnet import ArgumentError, DeconvNet, TargetError, Unit

NAMES = ["ant", "bee", "cat", "dog", "elk"]


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return DeconvNet(network(), images(), labels=NAMES)


@pytest.fixture(scope="module")
def segmenter() -> DeconvNet:
    return class_maps()


def classes(result: Any) -> list[tuple[int, Any]]:
    return [(unit.image, unit.channel) for unit in result.units]


# one class of each image ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [[3, 1], range(3, 0, -2), np.array([3, 1]), torch.tensor([3, 1]), ["dog", "bee"], [3, "BEE"], [np.int64(3), 1]],
    ids=repr,
)
def test_a_list_holds_one_class_for_each_image(net: DeconvNet, target: Any):
    x = images()
    result = net.explain(x, target)
    assert classes(result) == [(0, 3), (1, 1)]
    for i, c in enumerate((3, 1)):
        assert close(result.full()[i], net.explain(x[i : i + 1], c).full()[0])
    rests = net.responsible(x, target, layer="relu2", k=2)
    assert [unit.channel for unit in rests.classes] == [3, 1]


def test_none_in_a_list_is_the_answer_for_that_image(net: DeconvNet):
    x = images(3)
    answers = net.scores(x).argmax(1).tolist()
    assert classes(net.explain(x, [None, 2, None])) == [(0, answers[0]), (1, 2), (2, answers[2])]


def test_one_image_has_a_list_of_one_class(net: DeconvNet):
    assert classes(net.explain(images(1), [4])) == [(0, 4)]
    assert net.steps(images(1), target=["cat"]).unit.channel == 2


def test_a_name_is_the_class_of_every_image(net: DeconvNet):
    assert classes(net.explain(images(), "cat")) == [(0, 2), (1, 2)]
    assert net.steps(images(1), target="cat").unit.channel == 2
    assert {unit.channel for unit in net.responsible(images(), "cat", k=1).classes} == {2}
    with pytest.raises(TargetError, match=r"no class 'cut' among the 5 .* Did you mean 'cat'"):
        net.explain(images(), "cut")


@pytest.mark.parametrize("target", [[3], [1, 2, 3], torch.tensor([1, 2, 3]), [], np.arange(5)], ids=repr)
def test_a_list_of_another_length_is_refused_with_both_numbers_and_what_to_use(net: DeconvNet, target: Any):
    message = rf"one class for each image: there are 2 images, and the list has {len(target)}\..* use targets=\[...\]"
    for call in (net.explain, net.responsible):
        with pytest.raises(TargetError, match=message):
            call(images(), target)
    with pytest.raises(TargetError, match="there is 1 image, and the list has 2"):
        net.steps(images(1), target=[1, 2])


def test_a_tuple_is_never_a_list_of_classes(net: DeconvNet):
    for target in ((1, 2), (3,), (1, 2, 3)):
        with pytest.raises(TargetError, match=r"a tuple is a class at a position of a map, .* use|targets=\[...\]"):
            net.explain(images(), target)
    with pytest.raises(TargetError, match="A tuple is one class at a position: put it into a list"):
        net.explain(images(), targets=(1, 2))


# several classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [[3, 4], torch.tensor([3, 4]), np.array([3, 4]), ["dog", "elk"], range(3, 5)])
def test_several_classes_of_every_image(net: DeconvNet, targets: Any):
    assert classes(net.explain(images(), targets=targets)) == [(0, 3), (0, 4), (1, 3), (1, 4)]


def test_several_classes_of_each_image_as_many_as_are_named(net: DeconvNet):
    x = images(3)
    result = net.explain(x, targets=[[3, 1], ["cat"], [0, None, 4]])
    answer = int(net.scores(x)[2].argmax())
    assert classes(result) == [(0, 3), (0, 1), (1, 2), (2, 0), (2, answer), (2, 4)]
    for i, unit in enumerate(result.units):
        assert close(result.full()[i], net.explain(x[unit.image : unit.image + 1], unit.channel).full()[0])
    assert classes(net.explain(x, targets=torch.tensor([[1, 2]] * 3)))[:3] == [(0, 1), (0, 2), (1, 1)]


def test_several_classes_come_out_the_same_in_small_passes(net: DeconvNet):
    x, targets = images(9), [[i % 5] * (1 + i % 3) for i in range(9)]
    result = net.explain(x, targets=targets)
    small = net.explain(x, targets=targets, memory=90_000)
    assert small.units == result.units and close(small.full(), result.full())


def test_all_classes(net: DeconvNet):
    assert [unit.channel for unit in net.explain(images(1), targets="all").units] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "an empty list chooses none of the 5 classes"),
        ([[1], []], "an empty list chooses none of the 5 classes"),
        ([[1], [2], [3]], "there are 2 images, and 3 of the 3 items are lists"),
        ([[1], 2], "there are 2 images, and 1 of the 2 items are lists"),
        ([1, 9], "there are 5 classes, counted from 0; got 9"),
        ("cat", "targets= is a list of classes, one list for each image, or 'all'; got 'cat'"),
        (3, "targets= is a list of classes"),
        ([[[1]], [2]], "there are 5 classes"),
    ],
    ids=repr,
)
def test_wrong_lists_of_several_classes_are_refused(net: DeconvNet, targets: Any, message: str):
    with pytest.raises(TargetError, match=message):
        net.explain(images(), targets=targets)


def test_one_class_and_several_at_once_are_refused(net: DeconvNet):
    with pytest.raises(TargetError, match="drop one of them"):
        net.explain(images(), 1, targets=[2])


# outputs that are maps ------------------------------------------------------------------------------


def test_a_class_at_a_place_of_an_output_that_is_a_map(segmenter: DeconvNet):
    x = images()
    result = segmenter.explain(x, (2, 3, -1))
    assert all((unit.channel, unit.position) == (2, (3, 5)) for unit in result.units)
    same = segmenter.project(x, "3", channel=2, position=(3, 5), start="one")
    assert torch.equal(result.full(), same.full())


@pytest.mark.parametrize("with_batch", [False, True])
def test_a_class_all_over_a_mask(segmenter: DeconvNet, with_batch: bool):
    x = images()
    mask = torch.rand(2, 5, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.5
    mask = mask if with_batch else mask[0]
    result = segmenter.explain(x, mask)
    signal = mask.expand(2, 5, 6, 6).double()
    assert close(result.full(), segmenter.project(x, "3", start=signal).full())
    assert close(result.activations, (segmenter.scores(x) * signal).sum((1, 2, 3)))
    values = segmenter.explain(x, mask, start="activation").full()
    signal = signal * segmenter.scores(x)
    assert close(values, segmenter.project(x, "3", start=signal).full())


def where_it_wins(scores: Tensor, c: int) -> Tensor:
    """The slow obvious version, position by position."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    for image in range(len(scores)):
        for y in range(scores.shape[2]):
            for x in range(scores.shape[3]):
                mask[image, c, y, x] = all(scores[image, c, y, x] >= other for other in scores[image, :, y, x])
    return mask


def most_common(scores: Tensor) -> list[int]:
    return [int(torch.bincount(one.argmax(0).flatten()).argmax()) for one in scores]


def test_a_class_of_maps_alone_starts_from_all_positions_where_it_wins(segmenter: DeconvNet):
    x = images()
    c = most_common(segmenter.scores(x))[0]
    mask = where_it_wins(segmenter.scores(x), c)
    result = segmenter.explain(x, c)
    assert result.units == (Unit("3", c, None, 0), Unit("3", c, None, 1))
    assert close(result.full(), segmenter.explain(x, mask).full())
    assert close(result.activations, (mask * segmenter.scores(x)).sum((1, 2, 3)))
    counts = ", ".join(str(int(one.sum())) for one in mask)
    assert f"A class without a position starts from all positions where it wins: {counts}." in result.notes


def test_the_answer_of_maps_is_the_class_that_wins_most_positions(segmenter: DeconvNet):
    x = images(3)
    result = segmenter.explain(x)
    assert [unit.channel for unit in result.units] == most_common(segmenter.scores(x))
    assert [unit.position for unit in result.units] == [None] * 3
    rests = segmenter.responsible(x, layer="1", k=2)
    assert [unit.channel for unit in rests.classes] == most_common(segmenter.scores(x))


def test_of_several_classes_one_that_wins_nowhere_keeps_the_pictures_of_the_others():
    net = class_maps()
    x = images()
    wins = net.scores(x).argmax(1).flatten(1)
    nowhere = next(c for c in range(5) for image in (0, 1) if not (wins[image] == c).any())
    image = next(image for image in (0, 1) if not (wins[image] == nowhere).any())
    there = int(wins[image][0])
    for start in ("one", "activation"):
        result = net.explain(x[image : image + 1], targets=[there, nowhere], start=start)
        assert [unit.channel for unit in result.units] == [there, nowhere]
        assert close(result[0].full(), net.explain(x[image : image + 1], there, start=start).full())
        assert not result[1].full().any() and result.masks is not None and not result.masks[1].any()
        (note,) = [note for note in result.notes if "wins at none" in note]
        at = np.unravel_index(int(net.scores(x)[image, nowhere].argmax()), (6, 6))
        assert f"class {nowhere} wins at none of the positions" in note and f"({nowhere}, {at[0]}, {at[1]})" in note
        assert not any("activation 0" in note for note in result.notes)
        assert note in result[1].notes and note not in result[0].notes
    with pytest.raises(ArgumentError, match=f"class {nowhere} wins at none"):
        net.explain(x[image : image + 1], targets=[nowhere, nowhere])


def test_a_class_that_wins_nowhere_is_refused_and_its_strongest_position_named():
    model = maps()
    model[3].bias.data[4] = -100.0
    net, x = DeconvNet(model, images()), images()
    at = np.unravel_index(int(net.scores(x)[0, 4].argmax()), (6, 6))
    message = rf"class 4 wins at none of the 36 positions of the output for image 0. .*target=\(4, {at[0]}, {at[1]}\)"
    for call in (net.explain, net.responsible):
        with pytest.raises(ArgumentError, match=message) as raised:
            call(x, 4)
        assert not isinstance(raised.value, TargetError)  # another image may have the class


@pytest.mark.parametrize("ends", ["one map", "sigmoid"])
def test_classes_that_do_not_compete_win_where_their_scores_are_above_zero(ends: str):
    body = [*maps()][:3]
    torch.manual_seed(0)
    head = [nn.Conv2d(6, 1, 1)] if ends == "one map" else [nn.Conv2d(6, 3, 1), nn.Sigmoid()]
    x = images()
    head[0].double().bias.data[0] -= nn.Sequential(*body, head[0])(x)[:, 0].median().item()
    net = DeconvNet(nn.Sequential(*body, *head), x)
    mask = net.scores(x) > 0
    mask[:, 1:] = False
    assert mask.any() and not mask[:, 0].all()
    assert close(net.explain(x, 0).full(), net.explain(x, mask).full())


def test_a_position_is_a_tuple_and_a_list_one_class_for_each_image(segmenter: DeconvNet):
    x = images(3)
    wins = [sorted(set(one.argmax(0).flatten().tolist())) for one in segmenter.scores(x)]
    each = [row[-1] for row in wins]
    assert [(unit.channel, unit.position) for unit in segmenter.explain(x, each).units] == [(c, None) for c in each]
    places = [(2, 3, 1), (0, 0, 0), (1, -1, 5)]
    result = segmenter.explain(x, places)
    assert [(unit.channel, unit.position) for unit in result.units] == [(2, (3, 1)), (0, (0, 0)), (1, (5, 5))]
    several = segmenter.explain(
        x, targets=[(2, 3, 1), each[0]] if each[0] in set.intersection(*map(set, wins)) else [(2, 3, 1)]
    )
    assert several.units[0] == Unit("3", 2, (3, 1), 0)
    with pytest.raises(TargetError, match=r"there are 2 images, and the list has 3. A class at a position is a tuple"):
        segmenter.explain(images(2), [2, 3, 1])


@pytest.mark.parametrize(
    "up",
    [nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(4, 4, 2, 2)],
    ids=["nearest", "bilinear", "transposed"],
)
def test_masks_of_maps_that_were_enlarged_lie_on_their_own_pixels(up: nn.Module):
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), up, nn.Conv2d(4, 3, 3, padding=1)
    model, x = nn.Sequential(*parts).double().eval(), images(1)
    wins = model(x).argmax(1) == 1
    assert 0 < int(wins.sum()) < wins.numel()
    assert torch.equal(DeconvNet(model, x).explain(x, 1).masks, wins)


def test_masks_lie_on_the_pixels_nearest_to_their_positions(segmenter: DeconvNet):
    mask = torch.zeros(5, 6, 6, dtype=torch.bool)
    mask[2, 1, 3] = True
    on_pixels = segmenter.explain(images(1), mask).masks
    assert on_pixels.shape == (1, 14, 14)
    (row, column) = (sorted(set(axis.tolist())) for axis in on_pixels[0].nonzero(as_tuple=True))
    box = segmenter.project(images(1), "3", channel=2, position=(1, 3)).box(0, "field")  # pixels that the unit sees
    middle = [(low + high - 1) / 2 for low, high in zip(box.low, box.high, strict=True)]
    assert [np.mean(row), np.mean(column)] == pytest.approx(middle, abs=0.5)
    assert len(row) == len(column) == 2  # the stride
    assert segmenter.explain(images(1), (2, 1, 3)).masks.sum() > 0
    assert segmenter.explain(images(1), mask, to="0").masks.shape == (1, 12, 12)


def test_none_in_a_tuple_stands_for_any_class_or_position_and_the_strongest_is_taken(segmenter: DeconvNet):
    x = images()
    scores = segmenter.scores(x)
    for target in ((2, None, None), (None, 3, 1), (1, None, 2), (None, None, None)):
        result = segmenter.explain(x, target)
        at = tuple(slice(None) if index is None else index for index in target)
        for unit in result.units:
            assert scores[(unit.image, unit.channel, *unit.position)] == scores[unit.image][at].max()
        again = segmenter.explain(x, [(unit.channel, *unit.position) for unit in result.units])
        assert close(result.full(), again.full())
    with pytest.raises(TargetError, match="classes, counted from 0; got 9"):
        segmenter.explain(x, (9, None, None))
    with pytest.raises(ArgumentError, match="lies outside the maps of 'the output'"):
        segmenter.explain(x, (1, None, 99))


def test_names_of_classes_go_with_positions():
    net = DeconvNet(maps(), images(), labels=NAMES)
    assert net.explain(images(), ("cat", 3, 1)).units == net.explain(images(), (2, 3, 1)).units


def ends_in_one_position() -> tuple[DeconvNet, DeconvNet]:
    """Two deconvnets on one network of 1x1 convolution and global pooling: scores (n, 5, 1, 1), and flattened."""
    torch.manual_seed(0)
    head = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(1)]
    maps, flat = nn.Sequential(*head).double(), nn.Sequential(*head, nn.Flatten()).double()
    return DeconvNet(maps, images()), DeconvNet(flat, images())


@pytest.mark.parametrize(
    "target", [None, 3, 4, [1, 4], range(2), np.int64(3), np.array([1, 4]), torch.tensor(3)], ids=repr
)
def test_scores_of_one_position_are_classes(target: Any):
    maps, flat = ends_in_one_position()
    x = images()
    result, same = maps.explain(x, target), flat.explain(x, target)
    assert [unit.channel for unit in result.units] == [unit.channel for unit in same.units]
    assert close(result.full(), same.full()) and close(result.activations, same.activations)
    assert {unit.position for unit in result.units} == {(0, 0)}


def test_scores_of_one_position_take_a_position_and_a_mask_as_well():
    maps, flat = ends_in_one_position()
    x = images()
    mask = torch.zeros(5, 1, 1, dtype=torch.bool)
    mask[2] = True
    for target in ((2, 0, 0), (2, -1, 0), mask, mask.numpy()):
        assert close(maps.explain(x, target).full(), flat.explain(x, 2).full())
    with pytest.raises(TargetError, match="there are 5 classes, counted from 0; got 5"):
        maps.explain(x, 5)


def test_a_class_rests_on_the_same_units_whether_scores_have_one_position_or_none():
    maps, flat = ends_in_one_position()
    x = images()
    assert maps.responsible(x, 3, k=2).units.units == flat.responsible(x, 3, k=2).units.units
    assert maps.steps(x[:1], target=3).unit.position == (0, 0)
    assert maps.responsible(x, [1, 2], k=2).units.units == flat.responsible(x, [1, 2], k=2).units.units


# wrong ones -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, "there are 5 classes, counted from 0; got 5"),
        (-6, "there are 5 classes, counted from 0; got -6"),
        (-1, "there are 5 classes, counted from 0; got -1"),
        ([1, -1], "there are 5 classes, counted from 0; got -1"),
        (True, "there are 5 classes, counted from 0; got True"),
        (1.0, "there are 5 classes, counted from 0; got 1.0"),
        ([1, 9], "there are 5 classes, counted from 0; got 9"),
        ("9", r"no class '9' among the 5 \(0 to 4\)"),
        (torch.tensor(1.5), "there are 5 classes"),
    ],
    ids=repr,
)
def test_a_wrong_class_is_refused(net: DeconvNet, target: Any, message: str):
    with pytest.raises(TargetError, match=message):
        net.explain(images(), target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ((2, 3), r"the output has 5 maps of 6x6: a tuple is \(class, y, x\); got \(2, 3\)"),
        (2.5, r"a target is a class, \(class, y, x\), or a mask of its shape \(bool\); got 2.5"),
        ("cat", r"names of the classes are not known: give an index in place of 'cat', or .* labels="),
        ((7, 3, 3), "there are 5 classes"),
        ((2, 6, 0), "lies outside the maps"),
        (torch.ones(5, 6, 5, dtype=torch.bool), r"a mask has shape \(5, 6, 6\) or \(2, 5, 6, 6\); got"),
        (torch.ones(5, 6, 6), "or a mask of its shape"),
    ],
    ids=["short", "half", "name", "no class", "outside", "mask", "no mask"],
)
def test_a_wrong_place_or_mask_is_refused(segmenter: DeconvNet, target: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        segmenter.explain(images(), target)
