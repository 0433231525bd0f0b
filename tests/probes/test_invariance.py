"""Features and answers as photos are moved, scaled and turned."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.classifier import class_maps, classifier, close, images
from torch import Tensor, nn

import deconvnet
from deconvnet import ArgumentError, DeconvNet, DeconvNetError, LayerNotFoundError, Preprocess, TargetError
from deconvnet.probes import Invariance, Transforms, invariance
from deconvnet.probes.transforms import transformed

FEW = Transforms(translations=(-2, 0, 1.5), scales=(1, 1.3), angles=(0, 90, 200))


@pytest.fixture(scope="module")
def measured() -> Invariance:
    return invariance(classifier(), images(3), transforms=FEW, batch=3)


def the_slow_way(x: Tensor, layer: str, kind: str, value: float) -> Tensor:
    net = classifier()
    moved = transformed(x, kind, value, axis=0, fill=(0.0,) * 3)[None]  # type: ignore[arg-type]
    before, after = (net.activations(image, layer)[layer] for image in (x[None], moved))
    return (after - before).pow(2).sum().sqrt()


def test_distances_and_probabilities_are_those_of_each_transform_alone(measured):
    net, x = classifier(), images(3)
    assert measured.layers == ("relu1", "relu2") or measured.layers == ("relu1", "pool2")
    for responses in measured.responses:
        for i, image in enumerate(x):
            for t, value in enumerate(responses.values.tolist()):
                for j, layer in enumerate(measured.layers):
                    truth = the_slow_way(image, layer, responses.kind, value)
                    assert abs(responses.distances[i, j, t] - truth) <= 1e-9
                moved = transformed(image, responses.kind, value, axis=0, fill=(0.0,) * 3)[None]
                probability = net.probabilities(moved)[0, measured.classes[i]]
                assert responses.probabilities[i, t] == pytest.approx(float(probability), abs=1e-12)


def test_the_class_is_the_answer_for_the_image_as_it_is_unless_one_is_named(measured):
    probabilities = classifier().probabilities(images(3))
    assert measured.classes == tuple(probabilities.argmax(1).tolist())
    assert close(measured.before, probabilities.amax(1))
    named = invariance(classifier(), images(2), [4, 0], transforms=Transforms((0,), (), ()))
    assert named.classes == (4, 0) and named.labels == ("class 4", "class 0")


def test_what_leaves_an_image_as_it_is_gives_no_distance(measured):
    for kind, value in (("translation", 0), ("scale", 1), ("rotation", 0)):
        at = measured[kind].values == value
        assert not measured[kind].distances[..., at].any()
        assert torch.equal(measured[kind].probabilities[:, at][:, 0], measured.before)


def test_the_distance_of_the_next_photo_stands_beside():
    features = classifier().activations(images(3), "relu1")["relu1"]
    three = invariance(classifier(), images(3), layers="relu1", transforms=Transforms((0,), (), ()))
    truth = (features.roll(-1, 0) - features).flatten(1).norm(dim=1)
    assert close(three.others[:, 0], truth) and close(three.norms[:, 0], features.flatten(1).norm(dim=1))
    alone = invariance(classifier(), images(1), layers="relu1", transforms=Transforms((0,), (), ()))
    assert alone.others.isnan().all()


class Still(nn.Module):
    """Takes the largest value of each map, wherever it lies, so that moving what is on it changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.classes = nn.Conv2d(1, 4, 1, bias=False), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(torch.relu(self.filter(x)).amax((2, 3)))


def test_a_network_that_is_invariant_by_construction_gives_exactly_zero():
    torch.manual_seed(0)
    x = torch.zeros(1, 1, 17, 17)
    x[..., 5:12, 5:12] = torch.rand(7, 7)
    net = DeconvNet(Still().eval(), x)
    moves = Transforms(range(-5, 6), [1], range(0, 360, 90))
    result = invariance(net, x, layers=["filter", "/amax"], transforms=moves)
    for kind in result.kinds:
        assert not result[kind].distances[:, 1].any()
        assert torch.equal(result[kind].probabilities, result.before[:, None].expand_as(result[kind].probabilities))
    assert result["translation"].distances[:, 0].count_nonzero() == 10
    assert result.curve("translation", "/amax").largest == 0 and math.isnan(
        result.curve("translation", "/amax").saturation
    )


def test_batches_of_any_size_give_the_same(measured):
    other = invariance(classifier(), images(3), transforms=FEW, batch=2)
    for kind in measured.kinds:
        assert torch.allclose(other[kind].distances, measured[kind].distances, atol=1e-12)


def test_a_map_has_the_mean_probability_of_its_positions_or_that_of_one():
    net, x, still = class_maps(), images(1), Transforms((0,), (), ())
    probabilities = net.probabilities(x)[0]
    assert invariance(net, x, 2, layers="1", transforms=still).before[0] == pytest.approx(
        float(probabilities[2].mean())
    )
    at = invariance(net, x, (2, 1, 3), layers="1", transforms=still)
    assert at.before[0] == at["translation"].probabilities[0, 0] == pytest.approx(float(probabilities[2, 1, 3]))
    with pytest.raises(TargetError, match="a mask does not name a class"):
        invariance(net, x, torch.ones_like(probabilities, dtype=torch.bool), layers="1", transforms=still)
    with pytest.raises(TargetError, match="a tuple with None in it does not name a class"):
        invariance(net, x, (2, None, 3), layers="1", transforms=still)


def test_progress_counts_every_transform_of_every_photo():
    seen: list[tuple[int, int]] = []
    invariance(
        classifier(),
        images(2),
        transforms=Transforms(range(5), (), ()),
        batch=4,
        progress=lambda *each: seen.append(each),
    )
    assert seen == [(3, 10), (5, 10), (8, 10), (10, 10)]


def test_numbers_and_curves_are_tables(measured):
    numbers, curves = measured.to_frame(), measured.to_frame("curves")
    assert len(numbers["kind"]) == 3 * 2 * 3 and len(curves["kind"]) == 8 * 2 * 3
    first = measured.curve("translation", measured.layers[0], 0)
    assert numbers["largest"][0] == first.largest == pytest.approx(float(measured.relative("translation")[0, 0].max()))
    with pytest.raises(ArgumentError, match="table is 'numbers' or 'curves'; got 'x'"):
        measured.to_frame("x")


def test_a_class_is_kept_where_it_has_half_of_its_probability(measured):
    shares = measured["scale"].probabilities / measured.before[:, None]
    assert torch.equal(measured.share_kept("scale"), (shares >= 0.5).double().mean(1))


def test_it_is_saved_and_drawn(measured, tmp_path: Path):
    back = deconvnet.open(measured.save(tmp_path / "folder"))
    assert repr(back) == repr(measured) and back.transforms == measured.transforms
    assert back.to_frame()["largest"].tolist() == measured.to_frame()["largest"].tolist()
    measured.save(tmp_path / "a.png", dpi=40)
    back.save(tmp_path / "b.png", dpi=40)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_pictures_have_the_photo_s_colours_where_the_preprocessing_is_known():
    preprocess = Preprocess((14, 14), None, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    photo = np.random.default_rng(0).integers(0, 256, (14, 14, 3), np.uint8)
    x, still = preprocess.images(photo).double(), Transforms((0,), (), ())
    drawn = invariance(classifier(), x, preprocess=preprocess, transforms=still)
    assert torch.allclose(drawn.pictures[0], torch.from_numpy(photo).movedim(-1, 0) / 255, atol=1e-6)
    assert drawn.around == pytest.approx((0.5, 0.4, 0.3))
    stretched = invariance(classifier(), x, transforms=still)
    assert stretched.pictures.min() == 0 and stretched.pictures.max() == 1


@pytest.mark.parametrize("axes", [1, 3])
def test_images_with_one_axis_and_volumes_are_moved_and_scaled(axes, tmp_path: Path):
    torch.manual_seed(0)
    convolution = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    size = (8,) * axes
    model = nn.Sequential(
        convolution(2, 3, 3), nn.ReLU(), convolution(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4**axes, 3)
    )
    x = torch.randn(2, 2, *size)
    result = invariance(DeconvNet(model.eval(), x), x, transforms=Transforms(range(-1, 2), (1, 1.2)))
    assert result.kinds == (("translation", "scale") if axes == 1 else ("translation", "scale", "rotation"))
    result.save(tmp_path / "a.png", dpi=40)


def test_many_photos_are_drawn_in_grey_with_their_mean(tmp_path: Path):
    result = invariance(classifier(), images(9), transforms=Transforms((0, 1), (), ()))
    assert len(result.pictures) == 5
    result.save(tmp_path / "a.svg")
    assert "mean of 9 photos" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_a_layer_that_is_silent_has_no_relative_distances():
    x = images(1)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)).double().eval()
    nn.init.constant_(model[0].bias, -1e3)
    result = invariance(DeconvNet(model, x), x, layers="1", transforms=Transforms((0, 1), (), ()))
    assert result.relative("translation").isnan().all() and "zero everywhere" in result.notes[-1]
    assert math.isnan(result.curve("translation", "1").largest)
    result.figure(dpi=40).image()


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"layers": "no"}, LayerNotFoundError, "no layer 'no'"),
        ({"layers": []}, ArgumentError, "name at least one layer"),
        ({"target": 9}, TargetError, "there are 5 classes"),
        ({"names": ["a"]}, ArgumentError, "names is a list of 2 texts"),
        ({"batch": 1}, ArgumentError, "batch is a whole number, 2 or more"),
        ({"transforms": Transforms(direction="depth")}, ArgumentError, "only volumes"),
        ({"preprocess": Preprocess((14, 14), None, (0.5,), (0.5,), channels=1)}, ArgumentError, "of 1 channels"),
        ({"x": images(1)[:0]}, DeconvNetError, "image"),
        ({"x": images(1) * math.nan}, DeconvNetError, "holds nan"),
    ],
)
def test_what_cannot_be_is_said(wrong, error, words):
    with pytest.raises(error, match=words):
        invariance(**{"net": classifier(), "x": images(2), **wrong})


def test_what_was_not_measured_is_said(measured):
    with pytest.raises(ArgumentError, match=r"the layers are 'relu1', .* here; got 'x'"):
        measured.curve("scale", "x")
    with pytest.raises(ArgumentError, match="kinds of transform are translation, scale, rotation here; got 'shear'"):
        measured["shear"]
