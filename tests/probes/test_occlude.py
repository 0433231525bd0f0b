"""Occlusion: what the network gives for every covered image, and what covering says about the picture of a map."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import Occlusion as CaptumOcclusion
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from torch import Tensor, nn

import deconvnet
from deconvnet import ArgumentError, DeconvNet, LayerNotFoundError, NotFiniteError, Preprocess, TargetError
from deconvnet.probes import Occlusion, occlude

LABELS = ("cat", "dog", "owl", "fox")


def small() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(5 * 10 * 8, 4),
    )  # fmt: skip
    return model.eval(), torch.randn(1, 3, 24, 20)


MODEL, X = small()
NET = DeconvNet(MODEL, X, labels=LABELS)


@pytest.fixture(scope="module")
def result() -> Occlusion:
    return occlude(NET, X, size=(6, 5), stride=4, layer="4", channel=[1, 3], targets=[0, "owl"])


def covered(result: Occlusion, fill: float = 0) -> Tensor:
    """Every covered image, pixel by pixel."""
    images = X.repeat(len(result), 1, 1, 1)
    for image, box in zip(images, result.occluders.boxes.tolist(), strict=True):
        (top, left), (bottom, right) = box
        for y in range(max(top, 0), min(bottom, 24)):
            for x in range(max(left, 0), min(right, 20)):
                image[:, y, x] = fill
    return images


def same(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-5 * b.abs().max())


def test_all_is_what_the_network_gives_for_each_covered_image(result: Occlusion) -> None:
    images = covered(result)
    assert same(result.activities, NET.activations(images, "4")["4"][:, [1, 3]].sum((2, 3)))
    assert same(result.scores, NET.scores(images)[:, [0, 2]])
    assert same(result.probabilities, NET.probabilities(images)[:, [0, 2]])
    assert torch.equal(result.answers, NET.scores(images).argmax(1))
    assert same(result.activity, NET.activations(X, "4")["4"][0, [1, 3]].sum((1, 2)))
    assert same(result.score, NET.scores(X)[0, [0, 2]])
    assert result.answer == int(NET.scores(X).argmax())


@pytest.mark.parametrize("route", ["windowed", "dense"])
def test_both_routes_give_the_same(route: Any) -> None:
    first = occlude(NET, X, size=5, stride=4, layer="4", targets=[1])
    other = occlude(NET, X, size=5, stride=4, layer="4", targets=[1], route=route, memory="1MB")
    assert same(other.activities, first.activities) and same(other.scores, first.scores)


def test_squares_stay_inside_as_far_from_one_border_as_from_the_other(result: Occlusion) -> None:
    assert result.occluders.grid == (5, 4)
    low, high = result.occluders.boxes.unbind(1)
    assert low.amin(0).tolist() == [1, 1] and high.amax(0).tolist() == [23, 18]
    assert (high - low == torch.tensor([6, 5])).all()


def test_partial_squares_cover_every_pixel() -> None:
    result = occlude(NET, X, size=7, stride=5, layer="4", partial=True)
    assert result.occluders.boxes.amin(0)[0].tolist() == [0, 0]
    assert not result.on_pixels(result.activities[:, 0]).isnan().any()
    assert same(result.scores, NET.scores(covered(result))[:, [result.answer]])


def test_scores_are_those_of_captum() -> None:
    result = occlude(NET, X, size=6, stride=4, layer="4", targets=[1], partial=True)
    ours = result.on_pixels(result.score[0] - result.scores[:, 0])
    theirs = CaptumOcclusion(MODEL).attribute(X, (3, 6, 6), (3, 4, 4), target=1)[0, 0].detach()
    assert same(ours, theirs)


def test_maps_come_in_the_order_in_which_they_are_asked_for() -> None:
    result = occlude(NET, X, size=9, stride=9, layer="4", channel=[4, 3, 2, 1, 0])
    assert same(result.activity, NET.activations(X, "4")["4"][0].sum((1, 2)).flip(0))
    assert same(result.activities, NET.activations(covered(result), "4")["4"].sum((2, 3)).flip(1))


def test_left_alone_it_takes_the_map_of_largest_activity_and_the_answer() -> None:
    result = occlude(NET, X)
    sums = NET.activations(X, result.layer)[result.layer][0].sum((1, 2))
    assert result.layer == "4" and result.channels == (int(sums.argmax()),)
    assert result.classes == (result.answer,) == (int(NET.scores(X).argmax()),)
    assert result.occluders.shapes.shape == (1, 5, 4)  # 50 of 224, by 10 of 224
    assert len(result) == 20 * 17


def test_a_shape_is_slid_and_only_what_is_true_of_it_is_covered() -> None:
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
    result = occlude(NET, X, mask=cross, stride=9, layer="4", targets=[2], fill=2.5)
    images = X.repeat(len(result), 1, 1, 1)
    for image, (top, left) in zip(images, result.occluders.boxes[:, 0].tolist(), strict=True):
        image[:, top : top + 3, left : left + 3][:, torch.from_numpy(cross)] = 2.5
    assert same(result.scores, NET.scores(images)[:, [2]])


def test_masks_and_segments_are_covered_where_they_are() -> None:
    labels = torch.arange(24 * 20).view(24, 20) // 100
    masks = [labels == i for i in range(5)]
    result, of_segments = (occlude(NET, X, mask=mask, layer="4", targets=[0]) for mask in (masks, labels))
    images = torch.cat([X.masked_fill(labels == i, 0) for i in range(5)])
    assert same(result.scores, NET.scores(images)[:, [0]])
    assert torch.equal(result.scores, of_segments.scores)
    assert result.on_pixels(result.scores[:, 0])[0, 0] == result.scores[0, 0]
    result.figure(dpi=30).image()


def test_every_fill_is_what_stands_in_the_square() -> None:
    prepare = Preprocess((24, 20), None, (0.4, 0.5, 0.6), (0.2, 0.2, 0.5))
    fills = {"grey": torch.tensor([0.5, 0.0, -0.2]), (1, 2, 3): torch.tensor([1.0, 2, 3]), "mean": torch.zeros(3)}
    for fill, values in fills.items():
        result = occlude(NET, X, size=6, stride=8, layer="4", targets=[0], fill=fill, preprocess=prepare)  # type: ignore[arg-type]
        images = X.repeat(len(result), 1, 1, 1)
        for image, ((top, left), (bottom, right)) in zip(images, result.occluders.boxes.tolist(), strict=True):
            image[:, top:bottom, left:right] = values[:, None, None]
        assert same(result.scores, NET.scores(images)[:, [0]])
    blurred = occlude(NET, X, size=6, stride=8, layer="4", targets=[0], fill="blur")
    flat = occlude(NET, torch.ones_like(X), size=6, stride=8, layer="4", targets=[0], fill="blur")
    assert not same(blurred.scores, result.scores)
    assert same(flat.scores, flat.score.expand(len(flat), 1))  # of a plain image nothing changes


def bright() -> tuple[DeconvNet, Tensor]:
    """A map that adds up one corner of the image, and a bright edge elsewhere."""
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)

    class Corner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv
            self.relu = nn.ReLU()
            self.register_buffer("corner", torch.zeros(1, 1, 20, 20))
            self.corner[..., :8, :8] = 1

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.conv(x) * self.corner).flatten(1)

    x = torch.ones(1, 1, 20, 20)
    x[..., 14:, 10:] = 5
    return DeconvNet(Corner(), x), x


def test_covering_what_the_picture_shows_is_what_silences_the_map() -> None:
    net, x = bright()
    (evidence,) = occlude(net, x, size=4, stride=2, layer="relu").evidence
    assert evidence.picture == pytest.approx(1)
    assert evidence.edges is not None and evidence.centre is not None and evidence.margin is not None
    assert evidence.edges < 0.1 and evidence.margin > 0.5


def test_a_correlation_with_what_is_the_same_everywhere_is_not_defined() -> None:
    net, x = bright()
    (evidence,) = occlude(net, x, size=4, stride=2, layer="relu", fill=1.0, mask=None).evidence
    assert evidence.edges is None or evidence.picture is not None
    (constant,) = occlude(net, x * 0 + 1, size=4, stride=2, layer="relu", fill=1.0).evidence
    assert (constant.picture, constant.edges, constant.centre, constant.margin) == (None, None, None, None)


@pytest.mark.parametrize("axes", [1, 3])
def test_signals_and_volumes_are_covered_and_drawn(axes: int) -> None:
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    torch.manual_seed(1)
    model = nn.Sequential(conv(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 8**axes, 2))
    x = torch.randn(1, 1, *(10,) * axes)
    net = DeconvNet(model, x)
    result = occlude(net, x, size=4, stride=3, layer="1", targets=[0, 1])
    assert result.on_grid(result.scores).shape == (*(3,) * axes, 2)
    image = x.clone()
    image[(0, 0, *(slice(0, 4),) * axes)] = 0
    assert same(result.scores[0], net.scores(image)[0])
    assert result.figure(dpi=30).image().width > 100


def test_it_is_saved_and_opened_as_it_was(result: Occlusion, tmp_path: Path) -> None:
    opened = deconvnet.open(result.save(tmp_path / "saved"))
    assert repr(opened) == repr(result) == "<Occlusion: 6x5 at 5x4 positions on 24x20, 2 maps of layer '4', 2 classes>"
    assert torch.equal(opened.activities, result.activities) and opened.evidence == result.evidence
    assert opened.label(2) == "owl" and opened.figure(dpi=30).image() == result.figure(dpi=30).image()


def test_the_table_has_a_row_for_each_position(result: Occlusion) -> None:
    table = result.to_frame()
    assert list(table) == [
        "y", "x", "y_end", "x_end", "activity_1", "activity_3", "score_0", "score_2", "probability_0", "probability_2",
        "answer",
    ]  # fmt: skip
    assert len(table["y"]) == 20 and list(table["x_end"][:2]) == [6, 10]


def test_the_figure_has_real_words_and_is_saved_in_every_form(result: Occlusion, tmp_path: Path) -> None:
    result.save(tmp_path / "a.svg", title="covered")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert all(words in text for words in ("covered", "map 3", "owl", "rank correlation", "most probable class"))
    photo = Image.new("RGB", (40, 48), "white")
    assert result.figure(photo, dpi=30).save(tmp_path / "a.png")


def test_of_many_classes_and_large_numbers_no_words_are_cut_off(result: Occlusion) -> None:
    answers = torch.arange(len(result)) % 12
    names = tuple((i, f"class {i}, with a name as WordNet has them, of {'many ' * i}words") for i in range(12))
    large = replace(result, answers=answers, activity=1e5 * result.activity, activities=1e5 * result.activities)
    plot = replace(large, labels=names).figure()
    page = Figure((plot.width, plot.height), layout="constrained")
    plot.draw(page)
    page.draw_without_rendering()
    words = [text for text in page.findobj(Text) if text.get_visible() and text.get_text()]
    assert any("6 others" in text.get_text() for text in words)
    boxes = [text.get_window_extent() for text in words]
    assert all(box.y0 >= 0 and box.x0 >= 0 and box.x1 <= page.bbox.x1 for box in boxes)
    titles = [axes.title.get_window_extent() for axes in page.axes if axes.title.get_text()]
    assert not any(one.overlaps(other) for one, other in combinations(titles, 2))


def test_progress_is_told_up_to_the_last_position() -> None:
    seen: list[tuple[int, int]] = []
    occlude(NET, X, size=6, stride=6, layer="4", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12) and all(a <= b for a, b in seen)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size": 21}, ArgumentError, "covers the image is 21x21, larger than the image, which is 24x20"),
        ({"size": 0}, ArgumentError, "size is a whole number, 1 or more; got 0"),
        ({"stride": 0}, ArgumentError, "stride is a whole number, 1 or more; got 0"),
        ({"size": (3, 3, 3)}, ArgumentError, r"size is a number of pixels, or 2 of them; got \(3, 3, 3\)"),
        ({"fill": "grey"}, ArgumentError, 'fill="grey" needs preprocess='),
        ({"fill": "red"}, ArgumentError, "one for each of the 3 channels; got 'red'"),
        ({"fill": (1, 2)}, ArgumentError, "one for each of the 3 channels"),
        ({"fill": float("nan")}, ArgumentError, "a finite number"),
        ({"mask": np.zeros((3, 3), bool)}, ArgumentError, "mask covers nothing"),
        ({"mask": np.ones((2, 9, 9), bool)}, ArgumentError, "masks are as large as the image, 24x20"),
        ({"mask": np.ones((3, 3))}, ArgumentError, "mask is an array of bools"),
        ({"mask": np.ones((3, 3), bool), "size": 3}, ArgumentError, "drop one of them"),
        ({"mask": np.ones((1, 24, 20), bool), "stride": 3}, ArgumentError, "stride= is of a shape that is slid"),
        ({"layer": "6"}, ArgumentError, "'6' does not have positions to sum over"),
        ({"layer": "nosuch"}, LayerNotFoundError, "no layer 'nosuch'"),
        ({"channel": 5}, ArgumentError, "there are 5 feature maps in '4', counted from 0; got 5"),
        ({"targets": [4]}, TargetError, "there are 4 classes"),
        ({"targets": ["wolf"]}, TargetError, "wolf"),
        ({"route": "fast"}, ArgumentError, "route is one of"),
    ],
)
def test_what_cannot_be_covered_is_said(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        occlude(NET, X, **{"layer": "4", **options})


def test_several_images_and_outputs_that_are_maps_are_refused() -> None:
    with pytest.raises(ArgumentError, match="one image are covered at a time; got 2 images"):
        occlude(NET, X.repeat(2, 1, 1, 1), layer="4")
    maps = DeconvNet(MODEL[:5], X)
    with pytest.raises(TargetError, match="the network's output is a map"):
        occlude(maps, X, layer="1")


def test_a_covered_part_that_makes_numbers_infinite_is_told_with_its_layer() -> None:
    class Divides(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (1 / x.abs().amin((2, 3))).relu()

    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Sequential(Divides()), nn.Linear(2, 2))
    nn.init.ones_(model[0].weight)
    x = torch.ones(1, 1, 8, 8)
    with pytest.raises(NotFiniteError, match="NaN or infinity first appears at layer '2"):
        occlude(DeconvNet(model, x, smooth="gradient"), x, size=3, stride=3, layer="1")
