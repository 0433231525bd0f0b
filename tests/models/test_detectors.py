"""Detectors of torchvision, attached to: their own scores, their own derivatives, and each answer by name."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from support.detectors import KINDS, NAMES, own_scores, small_detector
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.ssd import SSD

from deconvnet import ArgumentError, DeconvNet, LoadedModel, ModelLoadError, TargetError, load_model, probes
from deconvnet.engine.project import project_profiles
from deconvnet.models._detectors import is_detector
from deconvnet.probes import pictured, quick


def attach(loaded: LoadedModel, rules: str = "gradient") -> DeconvNet:
    return DeconvNet(loaded.model, loaded.example_input, rules=rules, smooth="gradient", labels=loaded.labels)


def prepared(loaded: LoadedModel, n: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.randn(n, *loaded.example_input.shape[1:], generator=random, dtype=loaded.example_input.dtype)


def check_derivative(detector: Any, tolerance: float, **options: Any) -> None:
    """Raise unless the strongest answer goes down as it does by autograd in the detector itself."""
    loaded = load_model(detector, **options)
    net, x = attach(loaded), prepared(loaded)
    result, scores = net.explain(x), net.probabilities(x)[0]
    (unit,), pixels = result.units, x.clone().requires_grad_()
    row, column = divmod(unit.channel, own_scores(detector, x).shape[1] - loaded.model.first)
    (expected,) = torch.autograd.grad(own_scores(detector, pixels)[row, column + loaded.model.first], pixels)
    assert float((result.full() - expected).abs().max()) <= tolerance * float(expected.abs().max())
    detected = detector(list(x))[0]
    answer = loaded.labels.at(unit.channel)
    assert torch.allclose(detected["scores"][0], scores.max(), rtol=1e-5)
    assert int(detected["labels"][0]) == answer.channel
    assert unit.channel == int(scores.argmax())


@pytest.mark.parametrize("kind", KINDS)
def test_the_strongest_answer_goes_down_as_its_derivative_in_the_detector_itself(kind: str):
    check_derivative(small_detector(kind).double(), 1e-10)


def test_an_input_that_the_detector_would_fill_up_is_filled_up():
    detector = small_detector("RetinaNet", size=40)
    loaded = load_model(detector)
    assert loaded.labels.sizes == ((16, 16), (8, 8))
    x = prepared(loaded)
    assert torch.allclose(loaded.model(x), own_scores(detector, x).sigmoid().view(1, -1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2", "fcos_resnet50_fpn"])
def test_pyramids_of_torchvision_go_down_as_their_derivative(name: str):
    torch.manual_seed(0)
    detector = getattr(detection, name)(weights=None, weights_backbone=None, min_size=96, max_size=96, score_thresh=0.0)
    nn.init.normal_(detector.head.classification_head.cls_logits.weight, std=0.05)
    check_derivative(detector.eval().double(), 1e-7)


@pytest.mark.slow
def test_ssd_of_torchvision_goes_down_as_its_derivative():
    torch.manual_seed(0)
    detector = detection.ssd300_vgg16(weights=None, weights_backbone=None, score_thresh=0.0)
    check_derivative(detector.eval().double(), 1e-7)


@pytest.mark.slow
def test_ssdlite_of_torchvision_goes_down_as_its_derivative():
    torch.manual_seed(0)
    detector = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.2, 0.5)
    detector.transform.fixed_size = (96, 96)
    check_derivative(detector.eval().double(), 1e-7)


# answers by name --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(small_detector("SSD"), labels=NAMES)


@pytest.fixture(scope="module")
def net(loaded: LoadedModel) -> DeconvNet:
    return attach(loaded, "deconvnet")


def test_a_class_is_its_strongest_answer_in_each_image(loaded: LoadedModel, net: DeconvNet):
    x = prepared(loaded, 2)
    scores, dogs = net.scores(x), loaded.labels.chosen("dog")
    best = dogs[scores[:, dogs].argmax(1)].tolist()
    assert [unit.channel for unit in net.explain(x, "dog").units] == best
    assert [unit.channel for unit in net.explain(x, ["dog", None]).units] == [best[0], int(scores[1].argmax())]
    assert [unit.channel for unit in net.responsible(x, "dog", k=1).classes] == best
    assert net.steps(x[:1], target="2").unit.channel == best[0]
    level = loaded.labels.chosen((1, None, "dog", None, None))
    strongest = net.explain(x[:1], targets=[(1, None, "dog", None, None)]).units[0].channel
    assert strongest == int(level[scores[0, level].argmax()])


def test_a_tuple_or_an_index_is_one_answer(loaded: LoadedModel, net: DeconvNet):
    x, index = prepared(loaded), loaded.labels.index("elk, level 1, anchor 2, at (3, 1)")
    for target in ((1, 2, "elk", 3, 1), (1, 2, 3, 3, 1), "1,2,elk,3,1", "elk, level 1, anchor 2, at (3, 1)", index):
        assert net.explain(x, target).units[0].channel == index
    assert loaded.label(index) == "elk, level 1, anchor 2, at (3, 1)"
    assert loaded.class_index("1,2,elk,3,1") == index


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": [1, 2, "elk", 3, 1]}, r"the list has 5\. One answer of a detector is a tuple: \(level, anchor,"),
        ({"targets": "all"}, "a detector has 1,056 answers, too many for 'all': name some of them"),
        ({"target": (1, 2, "elk", 8, 1)}, "there are 4 rows in level 1, counted from 0; got 8"),
        ({"target": "nothing"}, "class 0, stands for what is not an object"),
        ({"target": 5000}, "there are 1056 answers, counted from 0; got 5000"),
        ({"target": -1}, "there are 1056 answers, counted from 0; got -1"),
    ],
)
def test_other_targets_are_refused(loaded: LoadedModel, net: DeconvNet, arguments: dict[str, Any], words: str):
    with pytest.raises(TargetError, match=words):
        net.explain(prepared(loaded), **arguments)


def test_a_class_of_many_answers_is_not_one_index(loaded: LoadedModel):
    with pytest.raises(TargetError, match=r"'dog' is 352 answers: .*\(level, anchor, 'dog', y, x\)"):
        loaded.class_index("dog")


def test_names_are_for_images_of_one_size(loaded: LoadedModel, net: DeconvNet):
    with pytest.raises(TargetError, match=r"for images of 32x32, 1056 answers, .* load it for their size"):
        net.explain(torch.zeros(1, 3, 48, 48), (1, 2, "elk", 3, 1))


def test_units_that_a_class_rests_on_are_where_all_levels_come_from(loaded: LoadedModel, net: DeconvNet):
    for level in (0, 1):
        rests_on = net.responsible(prepared(loaded), (level, 0, "dog", 1, 1), k=2)
        assert rests_on.layer == "backbone.relu"
        assert len(rests_on.units) == 2


def test_bodies_and_heads_of_torchvision_are_no_detectors():
    body = detection.backbone_utils.resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    assert not is_detector(body) and not is_detector(small_detector("SSD").head)
    assert is_detector(small_detector("SSD"))


# what is loaded ---------------------------------------------------------------------------------------


def test_a_detector_brings_its_photos_and_stays_as_it_is():
    detector = small_detector("FCOS").train()
    detector.head.requires_grad_(False)
    loaded = load_model(detector, size=(40, 48), labels=NAMES)
    assert (loaded.preprocess.size, loaded.preprocess.short_side) == ((40, 48), None)
    assert loaded.preprocess.mean == (0.485, 0.456, 0.406)
    assert loaded.labels.input_size == (64, 64)
    assert detector.training and detector.head.training
    assert loaded.spec == ""
    assert loaded.model.backbone is detector.backbone
    assert {name for name, _ in loaded.model.named_parameters()} == {name for name, _ in detector.named_parameters()}


def test_a_plain_module_is_loaded_with_what_it_does_not_bring():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    loaded = load_model(model, size=4, mean=0.5, std=0.5, labels=list("abcdefgh"))
    assert loaded.model is model
    assert loaded.example_input.shape == (1, 1, 4, 4)
    with pytest.raises(ModelLoadError, match="'Sequential' does not say how its photos are prepared"):
        load_model(model)
    for change in ({"weights": "w.pt"}, {"device": "cpu"}):
        with pytest.raises(ArgumentError, match=f"{next(iter(change))}= would change the module"):
            load_model(model, **change)


class WithItsOwnForward(SSD):
    def forward(self, images: Any, targets: Any = None) -> Any:
        return super().forward(images, targets)


class Headless(nn.Module):
    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        return {"logits": maps[0]}


class FewerAnchors(nn.Module):
    def forward(self, maps: list[Tensor]) -> OrderedDict[str, Tensor]:
        return OrderedDict(cls_logits=torch.zeros(len(maps[0]), 7, 4, device=maps[0].device))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: setattr(d, "__class__", WithItsOwnForward), "its class has a forward of its own"),
        (lambda d: setattr(d, "transform", None), "it lacks transform"),
        (lambda d: setattr(d, "head", Headless()), "KeyError: 'cls_logits'"),
        (lambda d: setattr(d, "head", FewerAnchors()), "7 rows of scores for 352 anchors on 2 levels"),
    ],
)
def test_a_detector_that_is_built_otherwise_is_refused(change: Any, words: str):
    detector = small_detector("SSD")
    change(detector)
    with pytest.raises(ModelLoadError, match=rf"not a detector as torchvision builds them: {words}\. Give a module"):
        load_model(detector)


def test_other_faults_are_told_apart():
    with pytest.raises(ModelLoadError, match=r"'SSD' has 4 classes, and labels hold 3 names: .* The first is that"):
        load_model(small_detector("SSD"), labels=["cat", "dog", "elk"])
    detector = small_detector("SSD")
    detector.backbone.second = nn.Conv2d(32, 32, 11)
    with pytest.raises(ModelLoadError, match=r"'SSD' does not run on images of 32x32: .*\. Give another size"):
        load_model(detector)


def test_detectors_of_two_stages_are_refused_with_what_to_take():
    spec = "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn@random"
    with pytest.raises(ModelLoadError, match=r"is a detector of two stages: .* single stage \(retina.*FILE.py:FUNC"):
        load_model(spec)


def test_a_checkpoint_of_a_users_own_classes_makes_the_detector_anew(tmp_path: Path):
    """As any network of torchvision; what a head has for each class it has once for each anchor."""
    spec = "torchvision:ssdlite320_mobilenet_v3_large"
    trained = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    torch.save({"model": trained.state_dict()}, tmp_path / "run.pth")
    loaded = load_model(spec, weights=tmp_path / "run.pth", size=64, labels=["background", "cat", "dog"])
    assert repr(loaded.labels) == "<DetectorAnswers: 2 classes at 144 anchors of 6 levels>"
    assert loaded.model(loaded.example_input).shape == (1, 288)
    assert (loaded.preprocess.mean, loaded.preprocess.short_side) == ((0.5,) * 3, None)
    weights, name = trained.state_dict(), "head.classification_head.module_list.0.1.weight"
    assert torch.equal(loaded.model.state_dict()[name], weights[name])


@pytest.mark.parametrize("kind", ["RetinaNet", "SSD"])
def test_the_other_units_and_noise_of_trust_are_the_answers_at_the_same_place(kind: str, monkeypatch):
    loaded = load_model(small_detector(kind))
    net, x, answers = attach(loaded), prepared(loaded, 2), loaded.labels
    result = net.explain(x[:1])
    there = answers.at(result.units[0].channel)
    started: list[Tensor] = []

    def noting(engine: Any, images: Tensor, units: Any, profiles: Tensor, **options: Any) -> Any:
        started.append(profiles)
        return project_profiles(engine, images, units, profiles, **options)

    for module in (quick, pictured):
        monkeypatch.setattr(module, "project_profiles", noting)
    probes.quick_trust(net, x[:1], result, others=x[1:])
    probes.trust(net, x[:1], result, others=x[1:], measures=["other units", "noise"], draws=20)
    cells = [[answers.at(int(i)) for i in row.nonzero()] for profiles in started for row in profiles]
    assert sum(len(cell) for cell in cells) > 20
    assert {(each.level, each.position) for cell in cells for each in cell} == {(there.level, there.position)}
    assert len({each.anchor for cell in cells for each in cell}) == answers.anchors[there.level]
