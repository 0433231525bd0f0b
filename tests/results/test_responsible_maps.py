"""The feature maps that a class rests on over many photos: what `responsible` says of each, added up."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.comparing import assert_equal
from torch import nn

from deconvnet import ArgumentError, DeconvNet, LoadedModel, Preprocess, TargetError, responsible_maps
from deconvnet import open as deconvnet_open

NAMES = ("ant", "bee", "cat", "dog")


def network(*head: nn.Module) -> LoadedModel:
    torch.manual_seed(0)
    body = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    model = nn.Sequential(*body, *(head or (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)))).eval()
    return LoadedModel(model, Preprocess((12, 12), 12, (0.5,) * 3, (0.25,) * 3), None if head else NAMES)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return network()


@pytest.fixture(scope="module")
def net(loaded: LoadedModel) -> DeconvNet:
    return DeconvNet(loaded.model, loaded.example_input, labels=NAMES)


def photos(count: int = 5) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (12, 14, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize("target", [None, "cat", 2, [0, 1, 2, 3, "ant"]], ids=repr)
def test_shares_are_those_of_all_units_added_up(net: DeconvNet, loaded: LoadedModel, target: Any):
    result = responsible_maps(net, photos(), target, loaded=loaded, batch=2)
    x = loaded.preprocess.images(photos())
    truth = torch.zeros(5, 8)
    units = net.responsible(x, target, k=10**6, per_map=None)
    for unit, share in zip(units.units.units, units.shares.tolist(), strict=True):
        truth[unit.image, unit.channel] += share
    assert_equal(result.shares, truth)
    assert_equal(result.mean_shares, truth.mean(0))
    assert result.layer == units.layer and len(result) == 5 and result.skipped == ()
    assert result.classes == tuple(unit.channel for unit in units.classes)
    assert result.answers == tuple(unit.name for unit in units.classes)
    best = result.strongest(3)
    assert [channel for channel, _ in best] == truth.mean(0).argsort(descending=True)[:3].tolist()
    assert len(result.strongest(100)) == int((truth.mean(0) > 0).sum())


def test_photos_that_cannot_be_used_are_skipped_and_named(net: DeconvNet, loaded: LoadedModel, tmp_path):
    for i, photo in enumerate(photos(3)):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    seen: list[tuple[int, int]] = []
    result = responsible_maps(net, tmp_path, 1, loaded=loaded, progress=lambda *done: seen.append(done))
    assert result.photos == ("0.png", "1.png", "2.png")
    assert [name for name, _ in result.skipped] == ["broken.png"]
    assert seen[-1] == (4, 4)


def test_a_photo_in_which_a_class_of_maps_wins_nowhere_is_skipped():
    loaded = network(nn.Conv2d(8, 2, 1))
    with torch.no_grad():
        loaded.model[-1].weight[1] = -loaded.model[-1].weight[0]
        loaded.model[-1].bias.zero_()
    net = DeconvNet(loaded.model, loaded.example_input)
    flat = [np.full((12, 12, 3), value, np.uint8) for value in (0, 128, 255)]
    scores = net.scores(loaded.preprocess.images(flat))
    wins = [bool((one.argmax(0) == 1).any()) for one in scores]
    result = responsible_maps(net, [*flat, *photos(2)], 1, loaded=loaded)
    assert len(result) + len(result.skipped) == 5
    assert len(result.skipped) >= wins.count(False)
    for name, why in result.skipped:
        assert "wins at none of the 36 positions" in why or "contributes" in why, name


def test_what_holds_for_all_photos_is_an_error(net: DeconvNet, loaded: LoadedModel):
    with pytest.raises(TargetError, match="there are 4 classes, counted from 0; got 7"):
        responsible_maps(net, photos(), 7, loaded=loaded)
    with pytest.raises(TargetError, match="there are 5 images, and the list has 2"):
        responsible_maps(net, photos(), [1, 2], loaded=loaded)
    with pytest.raises(ArgumentError, match="no layer '9'"):
        responsible_maps(net, photos(), 1, "9", loaded=loaded)
    with pytest.raises(ArgumentError, match="loaded is a LoadedModel"):
        responsible_maps(net, photos(), 1, loaded=None)


def test_the_strongest_maps_are_drawn_by_a_unit_of_the_photo_where_their_share_is_largest(
    net: DeconvNet, loaded: LoadedModel, tmp_path
):
    result = responsible_maps(net, photos(), 1, loaded=loaded, batch=2, examples=3)
    assert result.examples is not None
    for unit, (channel, _), i in zip(result.examples.units, result.strongest(3), range(3), strict=True):
        assert unit.channel == channel and unit.image == int(result.shares[:, channel].argmax())
        alone = net.project(loaded.preprocess.images(photos()[unit.image]), result.layer, channel=channel)
        assert alone.units[0].position == unit.position
        assert_equal(alone.full()[0], result.examples.whole(i))
    result.sheet(photos(), loaded.preprocess).save(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert f"map {result.strongest(1)[0][0]}: " in text and "same part of the photo" in text
    assert result.save(tmp_path / "b.png").is_file()
    again = deconvnet_open(result.save(tmp_path / "saved"))
    assert again.examples is not None and again.examples.units == result.examples.units
    with pytest.raises(ArgumentError, match=r"was made without examples.*: responsible_maps\(\.\.\., examples=9\)"):
        responsible_maps(net, photos(2), 1, loaded=loaded).sheet()
