"""Models of torchvision and timm."""

import random
import sys

import numpy as np
import pytest
import torch
from support.specs import same_weights

from deconvnet import ArgumentError, ModelLoadError, Preprocess
from deconvnet.models.class_names import read_class_names
from deconvnet.models.load import load_model


def test_torchvision_brings_photos_and_classes():
    loaded = load_model("torchvision:squeezenet1_1@random")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert loaded.preprocess == Preprocess((224, 224), 256, mean, std)
    assert loaded.labels == read_class_names("imagenet")
    assert loaded.device == torch.device("cpu")
    assert loaded.spec == "torchvision:squeezenet1_1@random"


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_with_training_heads_give_one_tensor_and_start_quickly(name):
    loaded = load_model(f"torchvision:{name}@random", size=80)
    with torch.inference_mode():
        assert loaded.model(loaded.example_input).shape == (1, 1000)


def test_segmentation_networks_load_without_fetching_a_backbone(no_fetching):
    loaded = load_model("torchvision:lraspp_mobilenet_v3_large@random")
    assert (loaded.preprocess.size, loaded.labels[8]) == ((520, 520), "cat")


def test_networks_of_clips_take_volumes_of_as_many_frames_as_they_were_trained_on():
    loaded = load_model("torchvision:r3d_18@random")
    assert (loaded.preprocess.size, loaded.preprocess.channels) == ((16, 112, 112), 3)
    assert loaded.preprocess.mean == (0.43216, 0.394666, 0.37645)
    assert loaded.label(1) == "air drumming"


@pytest.mark.parametrize(("size", "volume"), [(32, (16, 32, 32)), ("32,40", (16, 32, 40)), ((4, 32, 40), (4, 32, 40))])
def test_the_size_of_a_frame_keeps_their_number(size, volume: tuple[int, ...]):
    loaded = load_model("torchvision:r3d_18@random", size=size)
    assert loaded.preprocess.size == volume and loaded.example_input.shape == (1, 3, *volume)


def test_a_network_of_photos_takes_no_size_of_a_volume():
    with pytest.raises(ArgumentError, match=r"size=8,64,64, but 'torchvision:squeezenet1_1@random' takes photos"):
        load_model("torchvision:squeezenet1_1@random", size=(8, 64, 64))


def test_timm_brings_photos_and_classes():
    loaded = load_model("timm:resnet10t@random")
    assert loaded.preprocess.size == (176, 176)
    assert loaded.preprocess.short_side == 201  # 176 / 0.875, rounded down
    assert loaded.preprocess.interpolation == "bicubic"
    assert loaded.label(285) == "Egyptian cat"


def test_a_way_of_cropping_that_we_have_not_is_asked_for():
    from deconvnet.models._zoo import _timm_photos

    config = {"input_size": (3, 8, 8), "mean": (0,) * 3, "std": (1,) * 3, "interpolation": "bicubic"}
    assert _timm_photos({**config, "crop_mode": "border", "crop_pct": 1.0}) == {}
    assert _timm_photos({**config, "crop_mode": "squash", "crop_pct": 0.9}) == {}
    assert _timm_photos({**config, "crop_mode": "squash", "crop_pct": 1.0})["short_side"] is None
    assert _timm_photos({**config, "crop_mode": "center", "crop_pct": 1.0})["short_side"] == 8


@pytest.mark.parametrize("spec", ["torchvision:squeezenet1_1@random", "timm:resnet10t@random"])
def test_random_weights_are_always_the_same_and_leave_random_states_alone(spec):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    first = load_model(spec)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    torch.rand(3)
    assert same_weights(first.model, load_model(spec).model)


@pytest.mark.parametrize("spec", ["torchvision:squeezenet1_1", "timm:resnet10t"])
def test_weights_that_cannot_be_fetched_leave_three_ways_on(spec, no_fetching):
    words = rf"weights of '{spec}': .*no route.*--weights FILE.*{spec}@random.*'zfnet-mini'"
    before = torch.get_rng_state()
    with pytest.raises(ModelLoadError, match=words):
        load_model(spec)
    assert torch.equal(before, torch.get_rng_state())


def test_a_weights_file_is_enough_without_fetching(no_fetching, tmp_path):
    random_net = load_model("torchvision:squeezenet1_1@random").model
    with torch.no_grad():
        for weight in random_net.parameters():
            weight.add_(1)
    torch.save(random_net.state_dict(), tmp_path / "w.pt")
    loaded = load_model("torchvision:squeezenet1_1", weights=tmp_path / "w.pt")
    assert same_weights(loaded.model, random_net)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("torchvision:vgg61", r"torchvision has no network 'vgg61'.*Did you mean .*vgg16"),
        ("torchvision:raft_large", r"no network 'raft_large' for photos or clips"),
        ("timm:resnet5", r"timm has no network 'resnet5'\. Did you mean .*resnet50"),
        (
            "timm:resnet18.a1_in1",
            r"timm has no weights 'resnet18\.a1_in1'\. Did you mean .*resnet18\.a1_in1k",
        ),
        ("timm:hf-hub:some/thing", r"timm has no network 'hf-hub:some/thing'"),
    ],
)
def test_unknown_names_are_answered_with_near_ones(spec, words):
    with pytest.raises(ModelLoadError, match=words):
        load_model(spec)


@pytest.mark.parametrize(("spec", "module"), [("torchvision:vgg16", "torchvision.models"), ("timm:vgg16", "timm")])
def test_a_missing_library_names_the_extra(spec, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    words = rf"'{spec}' needs {module.split('.')[0]}.*pip install \"deconvnet\[zoo\]\""
    with pytest.raises(ModelLoadError, match=words):
        load_model(spec)


def test_training_heads_of_torchvision_may_be_in_the_file(tmp_path):
    state = load_model("torchvision:googlenet@random").model.state_dict()
    state = {**state, "aux1.fc1.weight": torch.zeros(2, 2)}
    torch.save(state, tmp_path / "w.pt")
    load_model("torchvision:googlenet", weights=tmp_path / "w.pt")


# other numbers of classes


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("spec", ["torchvision:squeezenet1_1", "timm:resnet10t", "torchvision:googlenet"])
def test_a_network_gets_as_many_classes_as_its_weights_have(spec, no_fetching, tmp_path):
    own = load_model(f"{spec}?num_classes=3@random", size=80)
    assert own.model(own.example_input).shape == (1, 3) and own.labels is None
    file = tmp_path / "w.ckpt"
    torch.save({"state_dict": {f"model.{name}": value for name, value in own.model.state_dict().items()}}, file)
    for name in (spec, f"{spec}@random", f"{spec}?num_classes=3"):
        loaded = load_model(name, weights=file, labels=["a", "b", "c"], size=80)
        assert same_weights(loaded.model, own.model)
        assert loaded.label(2) == "c" and not loaded.model.training
    with pytest.raises(ArgumentError, match=r"2 names for 3 classes"):
        load_model(spec, weights=file, labels=["a", "b"], size=80)
    with pytest.raises(ModelLoadError, match=r"shapes differ: .* or a function that makes theirs: FILE\.py:FUNCTION"):
        load_model(f"{spec}?num_classes=4", weights=file)


def test_a_segmentation_network_gets_as_many_classes(no_fetching, tmp_path):
    spec = "torchvision:lraspp_mobilenet_v3_large"
    own = load_model(f"{spec}@random?num_classes=2", size=64)
    torch.save(own.model.state_dict(), tmp_path / "w.pt")
    loaded = load_model(spec, weights=tmp_path / "w.pt", labels=["rest", "lesion"], size=64)
    assert loaded.class_index("lesion") == 1


def test_as_many_classes_as_a_network_has_anyway_keep_their_names():
    assert load_model("torchvision:squeezenet1_1@random?num_classes=1000").label(285) == "Egyptian cat"


def test_weights_that_differ_in_more_than_the_classes_are_not_taken(tmp_path):
    state = load_model("torchvision:squeezenet1_1?num_classes=3@random").model.state_dict()
    state["features.0.weight"] = state["features.0.weight"][:3]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(
        ModelLoadError,
        match=r"shapes differ: features\.0\.weight is \(64, .* and \(3, 3, 3, 3\) in the file\. Give",
    ):
        load_model("torchvision:squeezenet1_1", weights=tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("timm:resnet10t?num_classes=0@random", r"behind the question mark stands num_classes=N, such as"),
        ("timm:resnet10t?", r"behind the question mark stands num_classes=N"),
        ("timm:resnet10t@random?num_classes=100001", r"num_classes=N, such as num_classes=11, at most 100,000"),
        ("timm:resnet10t?classes=3", r"behind the question mark stands num_classes=N"),
        ("torchvision:squeezenet1_1?num_classes=9999999", r"behind the question mark stands num_classes=N"),
        ("timm:resnet10t?num_classes=3", r"the weights of timm are for its own classes\. Give yours .*--weights FILE"),
    ],
)
def test_a_number_of_classes_that_cannot_be_had_is_told(spec, words):
    with pytest.raises(ModelLoadError, match=words):
        load_model(spec)
