"""The same part covered in several photos, beside a naive version, on a small network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from reference.correspondence import mean_distance
from torch import nn

import deconvnet
from deconvnet import ArgumentError, Box, DeconvNet, LoadedModel, Preprocess
from deconvnet.probes import Correspondence, Part, correspondence

NAMES = ("a", "b", "c")


def photo(seed: int, height: int = 16, width: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def loaded(preprocess: Preprocess | None = None) -> LoadedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 49, 9), nn.ReLU(),
            nn.Linear(9, 3),
        )  # fmt: skip
    return LoadedModel(model.double().eval(), preprocess or Preprocess((16, 16), None, (0.5,) * 3, (0.25,) * 3))


LOADED = loaded()
NET = DeconvNet(LOADED.model, LOADED.example_input)
PARTS = [Part(name, "eye", 2 + i, 3, 6 + i, 8) for i, name in enumerate(NAMES)]
PARTS += [Part(name, "nose", 9, 9 - i, 13, 12) for i, name in enumerate(NAMES[:2])]


@pytest.fixture(scope="module")
def measured() -> Correspondence:
    return correspondence(NET, [photo(i) for i in range(3)], PARTS, loaded=LOADED, names=NAMES, placements=17)


def test_distances_are_those_of_the_naive_version(measured):
    assert measured.layers == ("2", "5") and measured.photos == NAMES
    for each in measured.parts:
        images = LOADED.preprocess.images([photo(i) for i in each.photos]).double()
        for boxes, ours in ((each.boxes, each.distances), (each.random_boxes, each.random[:, 0])):
            covered = images.clone()
            for row, box in enumerate(boxes):
                covered[row, :, box.low[0] : box.high[0], box.low[1] : box.high[1]] = 0
            for j, layer in enumerate(measured.layers):
                before, after = (NET.activations(x, layer)[layer].flatten(1) for x in (images, covered))
                rounding = (16 * 2.0**-52 * before.abs().amax(1)).tolist()
                assert float(ours[j].mean()) == pytest.approx(mean_distance(before.tolist(), after.tolist(), rounding))


def test_boxes_and_random_ones_have_one_size_in_the_input(measured):
    eye, nose = measured.parts
    assert eye.boxes == (Box((3, 2), (8, 6)), Box((3, 3), (8, 7)), Box((3, 4), (8, 8)))
    assert nose.photos == (0, 1) and [box.size for box in nose.random_boxes] == [box.size for box in nose.boxes]
    assert eye.distances.shape == (2, 3) and eye.random.shape == (2, 17, 3) and nose.random.shape == (2, 17, 1)


def test_identical_photos_differ_in_nothing_where_the_part_is_covered():
    parts = [Part(name, "eye", 2, 3, 6, 8) for name in "ab"]
    twice = correspondence(NET, [photo(0)] * 2, parts, loaded=LOADED, names=["a", "b"])
    assert not twice.parts[0].distances.any() and twice.parts[0].random.any()
    assert (twice.parts[0].p_values < 0.5).all() and (twice.parts[0].changed > 0).all()


def test_the_same_seed_gives_the_same_and_another_one_other_random_regions(measured):
    again = correspondence(NET, [photo(i) for i in range(3)], PARTS, loaded=LOADED, names=NAMES, placements=17)
    assert torch.equal(again.parts[0].random, measured.parts[0].random)
    assert torch.equal(again.parts[1].p_values, measured.parts[1].p_values)
    other = correspondence(NET, [photo(i) for i in range(3)], PARTS, loaded=LOADED, names=NAMES, placements=17, seed=1)
    assert torch.equal(other.parts[0].distances, measured.parts[0].distances)
    assert not torch.equal(other.parts[0].random, measured.parts[0].random)


def test_the_table_has_a_line_for_each_part(measured):
    lines = measured.table().splitlines()
    assert lines[0].split() == ["part", "2", "random", "p", "5", "random", "p"] and len(lines) == 3
    assert lines[1].startswith("eye ") and "±" in lines[1]
    rows = measured.to_frame()
    assert list(rows["part"]) == ["eye", "eye", "nose", "nose"] and list(rows["photos"]) == [3, 3, 2, 2]
    assert np.isnan(rows["spread"][2]) and rows["distance"][0] == pytest.approx(
        float(measured.parts[0].distances[0].mean())
    )


def test_it_is_saved_and_drawn(measured, tmp_path: Path):
    back = deconvnet.open(measured.save(tmp_path / "folder"))
    assert repr(back) == repr(measured) and back.table() == measured.table()
    measured.save(tmp_path / "a.png", dpi=40)
    back.save(tmp_path / "b.png", dpi=40)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_boxes_go_through_the_crop_and_what_is_cut_off_is_said():
    preprocess = Preprocess((16, 16), 16, (0.5,) * 3, (0.25,) * 3)
    photos = [photo(i, 32, 64) for i in range(2)]  # the network sees columns 16 to 48
    parts = [Part(name, "eye", 12, 4, 24, 10) for name in "ab"]
    result = correspondence(NET, photos, parts, loaded=loaded(preprocess), names=["a", "b"])
    assert result.parts[0].boxes == (Box((2, 0), (5, 4)),) * 2
    assert result.notes == ("The network sees only some of 'eye' in 'a', 'b'.",)
    with pytest.raises(
        ArgumentError, match=r"does not see 'eye' of 'a': of the photo it is given rows 0 to 32 and col"
    ):
        correspondence(
            NET, photos, [Part(n, "eye", 1, 4, 9, 9) for n in "ab"], loaded=loaded(preprocess), names=["a", "b"]
        )


def test_a_photo_without_parts_is_not_used_and_need_not_be_readable():
    result = correspondence(NET, [photo(0), "no.jpg", photo(1)], PARTS[3:], loaded=LOADED, names=["a", "x", "b"])
    assert result.photos == ("a", "b") and result.parts[0].photos == (0, 1)
    assert result.notes == ("No part is named in 1 of the photos, such as 'x': they were not used.",)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"parts": PARTS[:1]}, "'eye' is named in one photo alone, 'a', and pairs of photos are compared"),
        ({"parts": [Part(n, "all", 0, 0, 16, 16) for n in NAMES]}, "'all' of 'a' is all that the network sees"),
        ({"parts": [Part(n, "eye", 0, 0, 17, 16) for n in NAMES]}, "lies outside the photo"),
        ({"parts": [Part("z", "eye", 0, 0, 1, 1)]}, "'z', which is not among the photos"),
        ({"photos": "a.jpg"}, "photos is a list of photos"),
        ({"names": ["a"]}, "names is a list of 3 texts"),
        ({"placements": 0}, "placements is a whole number"),
        ({"seed": -1}, "seed is a whole number"),
        ({"layers": []}, "name at least one layer"),
    ],
)
def test_what_cannot_be_is_said(wrong, words):
    good = {"net": NET, "photos": [photo(i) for i in range(3)], "parts": PARTS, "loaded": LOADED, "names": NAMES}
    with pytest.raises(ArgumentError, match=words):
        correspondence(**{**good, **wrong})


def test_progress_counts_every_region():
    seen: list[tuple[int, int]] = []
    correspondence(
        NET, [photo(0), photo(1)], PARTS[3:], loaded=LOADED, names=NAMES[:2], placements=4,
        progress=lambda *each: seen.append(each),
    )  # fmt: skip
    assert seen == [(5, 10), (10, 10)]
