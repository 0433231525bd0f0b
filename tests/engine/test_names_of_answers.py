"""What an answer of the network is called: the same wherever a result speaks of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.detectors import KINDS, NAMES, small_detector
from support.heads import Levels
from torch import Tensor, nn

import deconvnet
from deconvnet import CaptureError, DeconvNet, LoadedModel, TargetError, Unit, load_model, probes

CLASSES = ("owl", "cat", "dog")


def x(size: int = 8) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))


def classifier(labels: tuple[str, ...] | None = CLASSES) -> DeconvNet:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))
    return DeconvNet(model, x(), labels=labels)


def segmenter() -> DeconvNet:
    torch.manual_seed(0)
    return DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 3, 1)), x(), labels=CLASSES)


@pytest.fixture(scope="module")
def detector() -> LoadedModel:
    return load_model(small_detector("SSD"), labels=NAMES)


def attached(loaded: LoadedModel) -> DeconvNet:
    return DeconvNet(loaded.model, loaded.example_input, smooth="gradient", labels=loaded.labels)


@pytest.mark.parametrize(
    ("net", "target", "name"),
    [
        (classifier(), 2, "dog"),
        (classifier(None), 2, "class 2"),
        (segmenter(), ("cat", 3, 5), "cat at row 3, column 5"),
        (segmenter(), torch.ones(3, 8, 8, dtype=torch.bool), "the mask"),
        (DeconvNet(Levels(nn.ReLU), x(32).double(), output=1), (1, 2, 3, 6), "number (1, 2, 3, 6)"),
    ],
    ids=["a name", "no names", "a position", "a mask", "other axes"],
)
def test_results_call_an_answer_by_its_name(net: DeconvNet, target: Any, name: str):
    images = x(32).double() if name.startswith("number") else x()
    assert net.explain(images, target).units[0].name == name
    assert f"that {name} rests on" in repr(net.responsible(images, target, k=1))
    assert repr(net.steps(images, target=target)).startswith(f"<Steps of {name}: activation ")


def test_an_answer_of_a_detector_is_called_by_its_name_everywhere(detector: LoadedModel):
    net, images, name = attached(detector), x(32), "elk, level 1, anchor 2, at (3, 1)"
    result = net.explain(images, name)
    assert result.units[0].name == name and list(result.to_frame()["name"]) == [name]
    rests_on = net.responsible(images, name, k=1)
    assert f"that {name} rests on" in repr(rests_on) and list(rests_on.to_frame()["target_name"]) == [name]
    assert repr(net.steps(images, target=name)).startswith(f"<Steps of {name}: ")
    trust = probes.trust(net, images, result, measures="edges")
    assert trust.title.startswith(f"{name} of answers, ")
    assert ", level 1, anchor " in trust.beside.names[1]
    assert repr(result.units[0]).endswith(f"name={name!r})")


def test_a_class_that_starts_all_over_a_map_is_called_by_its_name_alone():
    net = segmenter()
    wins = int(net.scores(x())[0].argmax(0).flatten().mode().values)
    assert net.explain(x(), wins).units[0].name == CLASSES[wins]


def test_units_that_differ_in_their_names_alone_are_equal():
    unit = Unit("fc", 2, (), 0)
    assert replace(unit, name="dog") == unit and len({replace(unit, name="dog"), unit}) == 1
    assert repr(unit) == "Unit(layer='fc', channel=2, position=(), image=0)"


def test_names_change_nothing_that_is_drawn_at_random():
    both = [probes.quick_trust(net, x(), net.explain(x(), 2)) for net in (classifier(), classifier(None))]
    assert torch.equal(both[0].other_units, both[1].other_units)


def test_units_of_layers_have_no_name():
    result = classifier().project(x(), "0", channel=1)
    assert result.units[0].name == "" and "name" not in result.to_frame()


def test_names_are_saved(tmp_path: Path):
    saved = classifier().explain(x(), 2).save(tmp_path / "dog")
    assert deconvnet.open(saved).units[0].name == "dog"


# what they start from -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "words"), [
    ("RetinaNet", "The sigmoid at the output was skipped."),
    ("FCOS", "The centerness and the sigmoid at the output were skipped."),
    ("SSD", "The softmax at the output was skipped."),
])  # fmt: skip
def test_a_note_says_what_makes_the_detectors_own_score(kind: str, words: str):
    assert words in attached(load_model(small_detector(kind))).explain(x(32)).notes


@pytest.mark.parametrize("kind", KINDS)
def test_a_detector_itself_is_refused_with_what_to_do(kind: str):
    with pytest.raises(CaptureError, match=rf"{kind} is a detector of torchvision: .* loaded = load_model\(model\)"):
        DeconvNet(nn.DataParallel(small_detector(kind)), x(32))


def test_the_place_of_a_detectors_answer_is_outlined(detector: LoadedModel):
    net, images = attached(detector), x(32)
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[24:32, 8:16] = True  # row 3 and column 1 of a map of 4x4
    target = (1, 2, "elk", 3, 1)
    assert detector.labels.at(detector.labels.single("1,2,elk,3,1")).cell.low == (24, 8)
    assert torch.equal(net.explain(images, target).masks[0], expected)
    assert torch.equal(net.responsible(images, target, k=1).masks[0], expected)
    assert net.explain(images, target, to="backbone.relu").masks is None


def test_cells_of_a_detector_that_fills_its_images_up_end_where_these_do():
    loaded = load_model(small_detector("RetinaNet", size=40))
    mask = attached(loaded).explain(x(40), (1, 0, 1, 4, 4)).masks[0]
    assert mask[32:, 32:].all() and int(mask.sum()) == 64


def test_the_position_of_a_class_is_outlined():
    mask = segmenter().explain(x(), ("cat", 3, 5)).masks[0]
    assert mask.nonzero().tolist() == [[3, 5]]


# what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["explain", "responsible", "steps"])
def test_a_class_below_0_is_refused(method: str, detector: LoadedModel):
    for net, images in ((classifier(), x()), (attached(detector), x(32))):
        with pytest.raises(TargetError, match=r"counted from 0; got -1\."):
            getattr(net, method)(images, target=-1)
    with pytest.raises(TargetError, match=r"there are 3 classes, counted from 0; got -1\."):
        getattr(segmenter(), method)(x(), target=(-1, 0, 0))


def test_a_tuple_is_checked_axis_by_axis():
    net, images = DeconvNet(Levels(nn.ReLU), x(32).double(), output=1), x(32).double()
    for target, words in (
        ((0, 9, 0, 0), r"there are 4 indices on axis 1 of \(2, 4, 4, 8\), counted from 0; got 9"),
        ((None, None, None, 8), r"there are 8 indices on axis 3 of"),
        ((-1, 0, 0, 0), r"there are 2 indices on axis 0 of .*; got -1"),
        (6, r'last axis is \(None, None, None, 7\), --target "\*,\*,\*,7"\.$'),
        ((0, 6), r'--target "\*,\*,\*,7"\.$'),
    ):
        with pytest.raises(TargetError, match=words):
            net.explain(images, target)


def test_a_mask_that_chooses_nothing_is_refused():
    nothing = torch.zeros(3, 8, 8, dtype=torch.bool)
    with pytest.raises(TargetError, match="the mask is False everywhere"):
        segmenter().explain(x(), nothing)
    two, some = torch.cat([x(), x()]), torch.ones(3, 8, 8, dtype=torch.bool)
    with pytest.raises(TargetError, match="the mask of image 1 is False everywhere"):
        segmenter().explain(two, torch.stack([some, nothing]))
