import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.specs import PHOTOS, same_weights
from torch import nn

from deconvnet import ArgumentError, ModelLoadError, Preprocess, TargetError, zfnet_mini
from deconvnet.models import load
from deconvnet.models.class_names import read_class_names
from deconvnet.models.load import LoadedModel, load_model

DATA = os.environ.get("DECONVNET_DATA", "")


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with random weights and a card in the place of the bundled ones."""
    labels = read_class_names("imagenette")
    weights = {name: value.half().contiguous() for name, value in zfnet_mini().state_dict().items()}
    save_file(weights, tmp_path / "zfnet-mini.safetensors")
    photos = {"short_side": 144, "size": 128, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    card = {"format_version": 1, "labels": labels, "preprocess": photos}
    (tmp_path / "zfnet-mini.json").write_text(json.dumps(card))
    monkeypatch.setattr(load, "_BUNDLED", tmp_path)
    return tmp_path


# zfnet-mini


def test_the_bundled_network_comes_with_its_card_in_float32(bundled):
    loaded = load_model()
    assert loaded.spec == "zfnet-mini"
    assert loaded.preprocess == Preprocess((128, 128), 144, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (loaded.label(2), loaded.label(10)) == ("domestic cat", "parachute")
    assert loaded.example_input.shape == (1, 3, 128, 128)
    assert not loaded.model.training
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.float32}
    assert loaded.model(loaded.example_input).shape == (1, 11)


def test_other_weights_replace_the_bundled_ones(bundled, tmp_path):
    other = zfnet_mini()
    torch.save(other.state_dict(), tmp_path / "other.pt")
    (bundled / "zfnet-mini.safetensors").unlink()
    assert same_weights(load_model("zfnet-mini", weights=tmp_path / "other.pt").model, other)


def test_an_installation_without_the_bundled_network_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "_BUNDLED", tmp_path)
    with pytest.raises(ModelLoadError, match=r"zfnet-mini is not in this installation\. Install"):
        load_model()


# specs


@pytest.mark.parametrize(
    "spec", ["", "vgg16", "torchvision:", "timm:", "net.pth", "net.py:", ":make", "zfnet-mini@random"]
)
def test_a_spec_of_no_known_form_is_answered_with_the_forms(spec):
    with pytest.raises(
        ModelLoadError, match=r"is not a model spec.*torchvision:NAME.*FILE\.pt2, FILE\.py:FUNCTION or P"
    ):
        load_model(spec)


def test_a_python_file_without_a_function_is_asked_for_it():
    with pytest.raises(ModelLoadError, match=r"Name the function as well: net\.py:FUNCTION"):
        load_model("net.py")


# size, mean, std, channels


def test_what_is_given_replaces_what_the_spec_brings():
    loaded = load_model("torchvision:squeezenet1_1@random", size="112,96", mean=[0.5] * 3, std="0.2,0.2,0.2")
    assert loaded.preprocess == Preprocess((112, 96), 128, (0.5,) * 3, (0.2,) * 3)
    assert load_model("torchvision:squeezenet1_1@random", size=224).preprocess.short_side == 256


def test_channels_follow_the_means_if_nothing_else_tells(net_file):
    assert load_model(f"{net_file}:make", size="8", mean="0.5", std="1").preprocess.channels == 1
    assert load_model(f"{net_file}:make", **PHOTOS).preprocess.channels == 3
    with pytest.raises(ArgumentError, match=r"mean has 3 values, but the input has 1 channel\."):
        load_model(f"{net_file}:make", channels=1, **PHOTOS)
    with pytest.raises(ArgumentError, match=r"mean has 1 value, but the input has 3 channels\. .*\(--mean "):
        load_model("torchvision:squeezenet1_1@random", mean=0.5)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"size": "big"}, r"size='big', but it is a whole number"),
        ({"size": 8.5}, r"size=8\.5, but it is a whole number"),
        ({"size": (1, 2, 3, 4)}, r"size is \(height, width\)"),
        ({"size": 0}, r"size is \(height, width\)"),
        ({"mean": "0.5;0.5"}, r"mean='0\.5;0\.5', but it is a number"),
        ({"mean": ()}, r"mean=\(\), but it is a number"),
        ({"std": "1,0,1"}, r"std=\(1\.0, 0\.0, 1\.0\), but it has to be finite and above 0"),
        ({"channels": 2}, "the input has 2 channels"),
    ],
)
def test_wrong_numbers_are_told(argument, words, net_file):
    with pytest.raises(ArgumentError, match=words):
        load_model(f"{net_file}:make", **{**PHOTOS, **argument})


# labels


def test_labels_come_from_a_list_a_file_or_by_name(net_file, tmp_path):
    (tmp_path / "labels.txt").write_text("\ufeffone\n two \n\n", encoding="utf-8")
    spec = f"{net_file}:make"
    assert load_model(spec, labels=["one", "two"], **PHOTOS).labels == ("one", "two")
    assert load_model(spec, labels=tmp_path / "labels.txt", **PHOTOS).labels == ("one", "two")
    with pytest.raises(ArgumentError, match="11 names for 2 classes"):
        load_model(spec, labels="imagenette", **PHOTOS)
    assert load_model(labels="imagenette").label(0) == "tench"


def test_labels_of_another_network_are_refused():
    with pytest.raises(ArgumentError, match=r"1,000 names for 11 classes; they begin with 'tench', 'goldfish'"):
        load_model(labels="imagenet")
    photos = Preprocess((8, 8), 8, (0.5,) * 3, (1.0,) * 3)
    for model in (nn.Conv2d(3, 5, 3), nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten())):
        with pytest.raises(ArgumentError, match=r"2 names for 5 classes"):
            LoadedModel(model, photos, ("cat", "dog"))
        assert LoadedModel(model, photos, list("abcde")).labels == tuple("abcde")


def test_labels_may_be_those_of_any_output():
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"a": x.mean((2, 3)), "b": x.flatten(1)[:, :7]}

    photos = Preprocess((8, 8), 8, (0.5,) * 3, (1.0,) * 3)
    assert LoadedModel(Two(), photos, tuple("abc")).label(2) == "c"
    with pytest.raises(ArgumentError, match="4 names for 3 or 7 classes"):
        LoadedModel(Two(), photos, tuple("abcd"))


def test_counting_the_classes_leaves_the_network_as_it_was():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.norm = 0, nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.norm(x).mean((2, 3)) + torch.rand(3)

    model, seen = Counting(), []
    photos, random = Preprocess((8, 8), 8, (0.5,) * 3, (1.0,) * 3), torch.get_rng_state()
    with pytest.raises(ArgumentError, match="2 names for 3 classes"):
        LoadedModel(model, photos, ("a", "b"))
    assert model.calls == 0 and model.training and int(model.norm.num_batches_tracked) == 0
    assert model.norm.weight.device.type == "cpu" and torch.equal(torch.get_rng_state(), random)
    model.register_forward_hook(lambda *given: seen.append(given))
    with pytest.raises(ArgumentError, match="2 names for 3 classes"):
        LoadedModel(model, photos, ("a", "b"))
    assert not seen


def named(*labels: str) -> LoadedModel:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, len(labels) or 5))
    return LoadedModel(model, Preprocess((8, 8), 8, (0.5,), (1.0,), channels=1), labels or None)


ANIMALS = named("tabby cat", "Persian cat", "catamaran", "Cardigan", "cardigan", "7")


@pytest.mark.parametrize(
    ("sought", "index"),
    [
        (0, 0), ("0", 0), ("tabby cat", 0), ("PERSIAN CAT", 1), ("tabby", 0), ("sian c", 1), (" catam ", 2),
        ("cardigan", 4), ("Cardigan", 3), ("7", 5), (5, 5),
    ],
)  # fmt: skip
def test_a_class_is_found_by_index_name_or_part_of_its_name(sought, index):
    assert ANIMALS.class_index(sought) == index


@pytest.mark.parametrize(
    ("sought", "words"),
    [
        ("cat", r"'cat' could be 0 'tabby cat', 1 'Persian cat', 2 'catamaran'\. Give the whole name or the"),
        ("CARDIGAN", r"could be 3 'Cardigan', 4 'cardigan'"),
        ("tabby cta", r"no class 'tabby cta' among the 6 \(0 to 5\)\. Did you mean 'tabby cat'"),
        ("zebra", r"no class 'zebra' .*Give a name or an index"),
        ("", r"no class ''"),
        (6, r"no class 6 among the 6 \(0 to 5\)"),
        (-1, r"no class -1"),
        ("6", r"no class '6'"),
    ],
)
def test_a_class_that_is_not_there_or_not_alone_is_told(sought, words):
    with pytest.raises(TargetError, match=words):
        ANIMALS.class_index(sought)


def test_many_classes_of_one_name_are_counted():
    with pytest.raises(TargetError, match=r"5 'cat 5' and 3 more"):
        named(*(f"cat {index}" for index in range(9))).class_index("cat")


def test_without_names_a_class_is_its_index():
    assert named().label(3) == "class 3"
    assert named().class_index("12") == 12
    with pytest.raises(TargetError, match=r"cannot find class 'cat': the network comes without class names.*labels="):
        named().class_index("cat")
    with pytest.raises(TargetError, match=r"counted from 0"):
        named().class_index(-1)


def test_a_class_beyond_the_names_has_none():
    assert ANIMALS.label(17) == "class 17"
    assert ANIMALS.label(-1) == "class -1"


# device, dtype


@pytest.mark.parametrize("device", ["nonsense", "meta", "cuda:99", "mps:7"])
def test_a_device_that_is_not_there_is_told(device, net_file):
    with pytest.raises(ArgumentError, match=rf"device='{device}' cannot be used here: .* Try 'cpu'"):
        load_model(f"{net_file}:make", device=device, **PHOTOS)


def test_a_device_is_given_by_name_or_as_an_object(net_file):
    for device in ("cpu", torch.device("cpu")):
        assert load_model(f"{net_file}:make", device=device, **PHOTOS).device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_is_put_on_the_device(program_file):
    for spec in (program_file, "torchvision:squeezenet1_1@random"):
        loaded = load_model(spec, device="cuda", mean=(0, 0, 0), std=(1, 1, 1))
        assert loaded.example_input.device == loaded.device == torch.device("cuda", 0)
        loaded.model(loaded.example_input)


def test_the_example_has_the_models_dtype(tmp_path):
    (tmp_path / "net.py").write_text("from torch import nn\ndef make(): return nn.Conv2d(3, 2, 3).double()")
    loaded = load_model(f"{tmp_path / 'net.py'}:make", **PHOTOS)
    assert loaded.example_input.dtype == torch.float64
    assert named().example_input.dtype == torch.float32


# real weights


@pytest.mark.skipif(not DATA, reason="DECONVNET_DATA is not set: no real weights to load")
def test_real_weights_name_what_a_photo_shows():
    weights = Path(DATA) / "weights" / "squeezenet1_1_caffe.fp16.safetensors"
    loaded = load_model("torchvision:squeezenet1_1@random", weights=weights)
    with torch.inference_mode():
        logits = loaded.model(loaded.preprocess.images(["sample:chelsea", "sample:coffee"]))
    names = [loaded.label(int(index)) for index in logits.argmax(1)]
    assert names[0] in ("Egyptian cat", "tabby", "tiger cat")
    assert names[1] in ("espresso", "cup", "coffee mug")
