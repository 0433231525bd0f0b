import json
import os
import random
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import Dim, export

from deconvnet import ArgumentError, ModelLoadError, Preprocess, TargetError, zfnet_mini
from deconvnet.models import load
from deconvnet.models.load import LoadedModel, load_model

DATA = os.environ.get("DECONVNET_DATA", "")
PHOTOS = {"size": 8, "mean": "0.5,0.4,0.3", "std": "1,1,1"}

NET = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Dropout())
"""


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.BatchNorm2d(2))


@pytest.fixture
def net_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with random weights and a card in the place of the bundled ones."""
    labels = load._labels("imagenette")
    weights = {name: value.half().contiguous() for name, value in zfnet_mini().state_dict().items()}
    save_file(weights, tmp_path / "zfnet-mini.safetensors")
    photos = {"short_side": 144, "size": 128, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    card = {"format_version": 1, "labels": labels, "preprocess": photos}
    (tmp_path / "zfnet-mini.json").write_text(json.dumps(card))
    monkeypatch.setattr(load, "_BUNDLED", tmp_path)
    return tmp_path


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


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


def test_bundled_labels_are_in_class_order():
    imagenet = load._labels("imagenet")
    assert len(imagenet) == 1000
    assert (imagenet[0], imagenet[285], imagenet[999]) == ("tench", "Egyptian cat", "toilet tissue")
    assert len(load._labels("imagenette")) == 11


# torchvision and timm


def test_torchvision_brings_photos_and_classes():
    loaded = load_model("torchvision:squeezenet1_1@random")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert loaded.preprocess == Preprocess((224, 224), 256, mean, std)
    assert loaded.labels == load._labels("imagenet")
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


@pytest.fixture
def no_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    import timm
    from torchvision.models import _api

    monkeypatch.setattr(_api, "load_state_dict_from_url", refuse)
    create = timm.create_model

    def create_offline(name: str, *, pretrained: bool) -> nn.Module:
        if pretrained:
            refuse()
        return create(name, pretrained=False)

    monkeypatch.setattr(timm, "create_model", create_offline)


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
        ("torchvision:r3d_18", r"no network 'r3d_18' for photos"),
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


# specs


@pytest.mark.parametrize(
    "spec", ["", "vgg16", "torchvision:", "timm:", "net.pth", "net.py:", ":make", "zfnet-mini@random"]
)
def test_a_spec_of_no_known_form_is_answered_with_the_forms(spec):
    with pytest.raises(ModelLoadError, match=r"is not a model spec.*torchvision:NAME.*FILE\.pt2 or FILE\.py:FUNCTION"):
        load_model(spec)


def test_a_python_file_without_a_function_is_asked_for_it():
    with pytest.raises(ModelLoadError, match=r"Name the function as well: net\.py:FUNCTION"):
        load_model("net.py")


# FILE.pt2


@pytest.fixture
def program_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    program = export(small().eval(), (torch.zeros(2, 3, 10, 12),), dynamic_shapes=({0: Dim.AUTO},))
    torch.export.save(program, tmp_path / "net.pt2")
    return tmp_path / "net.pt2"


def test_an_exported_program_brings_its_size(program_file):
    loaded = load_model(program_file, mean=(0.5, 0.4, 0.3), std=(1, 1, 1))
    assert loaded.preprocess == Preprocess((10, 12), 12, (0.5, 0.4, 0.3), (1, 1, 1))
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.model(loaded.example_input).shape == (1, 2, 8, 10)
    assert loaded.label(3) == "class 3"


def test_an_exported_program_is_asked_for_what_it_does_not_bring(program_file):
    with pytest.raises(ModelLoadError, match=r"does not say how.*mean=\(.*std=\(.* \(--mean, --std\)"):
        load_model(program_file)


def test_an_exported_program_takes_other_weights(program_file, tmp_path):
    weights = {name: torch.zeros_like(value) for name, value in small().state_dict().items()}
    save_file(weights, tmp_path / "w.safetensors")
    loaded = load_model(program_file, mean="0,0,0", std="1,1,1", weights=tmp_path / "w.safetensors")
    assert not any(weight.any() for weight in loaded.model.parameters())


def test_a_program_that_takes_no_photos_is_refused(tmp_path):
    torch.export.save(export(nn.Linear(3, 2), (torch.zeros(2, 3),)), tmp_path / "net.pt2")
    with pytest.raises(ModelLoadError, match=r"does not take one batch of photos"):
        load_model(tmp_path / "net.pt2", mean=0, std=1)


def test_a_file_that_is_no_program_is_refused(tmp_path):
    (tmp_path / "net.pt2").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelLoadError, match=r"cannot read .*net\.pt2' as an exported program"):
        load_model(tmp_path / "net.pt2")
    with pytest.raises(ModelLoadError, match=r"there is no file .*other\.pt2'"):
        load_model(tmp_path / "other.pt2")


# FILE.py:FUNCTION


def test_a_module_from_a_python_file_is_put_in_eval(net_file):
    loaded = load_model(f"{net_file}:make", **PHOTOS)
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.preprocess == Preprocess((8, 8), 8, (0.5, 0.4, 0.3), (1, 1, 1))
    assert loaded.labels is None


def test_a_bare_module_is_asked_for_size_mean_and_std(net_file):
    with pytest.raises(ModelLoadError, match=r"size=224, mean=.*, std=.*\(--size, --mean, --std\)"):
        load_model(f"{net_file}:make")
    with pytest.raises(ModelLoadError, match=r"for example std=\(0\.229, 0\.224, 0\.225\) \(--std\)"):
        load_model(f"{net_file}:make", size=(8, 8), mean=(0, 0, 0))


def test_a_loaded_model_from_a_python_file_keeps_what_it_says(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "from deconvnet import LoadedModel, Preprocess\n"
        "def make():\n"
        "    photos = Preprocess((8, 6), None, (9.0,), (2.0,), channels=1, scale=255.0)\n"
        "    return LoadedModel(nn.Conv2d(1, 2, 3), photos, labels=('a', 'b'))\n"
    )
    spec = f"{tmp_path / 'net.py'}:make"
    loaded = load_model(spec)
    assert loaded.preprocess == Preprocess((8, 6), None, (9.0,), (2.0,), channels=1, scale=255.0)
    assert (loaded.labels, loaded.spec) == (("a", "b"), spec)
    assert load_model(spec, size=16, mean=1, labels=["c"]).preprocess.mean == (1,)
    assert load_model(spec, labels=["c"]).labels == ("c",)


def test_a_python_file_can_import_its_neighbours_and_leaves_no_trace(tmp_path):
    (tmp_path / "neighbour_of_net.py").write_text("import dataclasses\nWIDTH = 5\n")
    (tmp_path / "net.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from neighbour_of_net import WIDTH\n"
        "from torch import nn\n"
        "@dataclass\nclass Options:\n    width: int = WIDTH\n"
        "def make():\n    return nn.Conv2d(3, Options().width, 1)\n"
    )
    before, path = set(sys.modules), list(sys.path)
    loaded = load_model(f"{tmp_path / 'net.py'}:make", **PHOTOS)
    assert loaded.model.out_channels == 5
    assert set(sys.modules) == before
    assert sys.path == path
    assert not list(tmp_path.glob("__pycache__/net.*"))


def test_the_last_colon_splits_file_and_function(tmp_path):
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    assert isinstance(load_model(f"{folder / 'net.py'}:make", **PHOTOS).model, nn.Sequential)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def other(): ...", r"no function 'make' in .*net\.py'\. It has other\."),
        ("make = 3", r"no function 'make' in .*net\.py'\. It has none\."),
        ("def make(:", r"net\.py' does not run: SyntaxError"),
        ("\nimport no_such_module", r"does not run: ModuleNotFoundError: .*no_such_module' \(line 2\)"),
        ("raise SystemExit(3)", r"does not run: SystemExit: 3"),
        (
            "def make():\n    return 1 / 0",
            r"make\(\) of .* raised ZeroDivisionError: division by zero \(line 2\)",
        ),
        ("def make(width): ...", r"raised TypeError: make\(\) missing 1 required"),
        ("def make(): return {}", r"returned dict, but a torch\.nn\.Module or a LoadedModel is needed"),
    ],
)
def test_a_python_file_that_gives_no_model_is_told_why(code, words, tmp_path):
    (tmp_path / "net.py").write_text(code)
    before, path = set(sys.modules), list(sys.path)
    with pytest.raises(ModelLoadError, match=words):
        load_model(f"{tmp_path / 'net.py'}:make", **PHOTOS)
    assert (set(sys.modules), sys.path) == (before, path)


def test_a_python_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ModelLoadError, match=r"there is no file .*net\.py'"):
        load_model(f"{tmp_path / 'net.py'}:make")


# weights


WRAPPINGS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": state, "optimizer": {}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "both": lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
}


@pytest.fixture
def normed_file(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.BatchNorm2d(2))\n"
    )
    return tmp_path / "net.py"


def load_small(file: Path, weights: Path) -> nn.Module:
    return load_model(f"{file}:make", weights=weights, **PHOTOS).model


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_checkpoints_are_read_however_they_were_wrapped(wrapping, normed_file, tmp_path):
    model = small()
    torch.save(WRAPPINGS[wrapping](model.state_dict()), tmp_path / "w.pth")
    assert same_weights(load_small(normed_file, tmp_path / "w.pth"), model)


def test_half_weights_become_the_models_dtype(normed_file, tmp_path):
    state = {name: value.half() if value.is_floating_point() else value for name, value in small().state_dict().items()}
    save_file(state, tmp_path / "w.fp16.safetensors")
    model = load_small(normed_file, tmp_path / "w.fp16.safetensors")
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model[0].weight, state["0.weight"].float())


def test_counters_of_batch_norm_may_be_missing(normed_file, tmp_path):
    state = small().state_dict()
    del state["2.num_batches_tracked"]
    save_file(state, tmp_path / "w.safetensors")
    load_small(normed_file, tmp_path / "w.safetensors")


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    state = {**small().state_dict(), **{name.replace("_", ".", 1): value for name, value in changes.items()}}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (changed(**{"0_bias": None}), r"missing in the file: 0\.bias\. Give"),
        (changed(**{"7_bias": torch.zeros(1)}), r"unknown to the network: 7\.bias\. Give"),
        (
            changed(**{"0_bias": torch.zeros(5)}),
            r"shapes differ: 0\.bias is \(2,\) in the network and \(5,\) in the file",
        ),
        (
            changed(**{"0_bias": torch.zeros(2, dtype=torch.int64)}),
            r"0\.bias is \(2,\) .* and \(2,\) of int64 in",
        ),
        (
            {f"layer{i}": torch.zeros(1) for i in range(9)},
            r"missing in the file: .* and 2 more; unknown to the network: .*layer3 and 5 more\. Give",
        ),
    ],
)
def test_weights_that_do_not_fit_are_told_by_name(state, words, normed_file, tmp_path):
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelLoadError, match=words):
        load_small(normed_file, tmp_path / "w.safetensors")


def test_weights_that_do_not_fit_change_nothing():
    from deconvnet.models._weights import fit

    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ModelLoadError, match=r"these do not fit"):
        fit(model, {name: value + 1 for name, value in before.items() if name != "2.bias"}, "these")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_pickled_objects_are_never_loaded(normed_file, tmp_path):
    torch.save(small(), tmp_path / "w.pt")
    with pytest.raises(ModelLoadError, match=r"pickled objects, which are not loaded because they can run code"):
        load_small(normed_file, tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"hello", b"garbage of some length" * 9, b"PK\x03\x04 half a zip"])
def test_damaged_weights_are_refused(name, content, normed_file, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelLoadError, match=rf"cannot read the weights .*{name}': the file is damaged or of another"):
        load_small(normed_file, tmp_path / name)


@pytest.mark.parametrize("held", [[1, 2], {}, {"a": 1}, torch.zeros(3)])
def test_a_file_without_weights_by_name_is_refused(held, normed_file, tmp_path):
    torch.save(held, tmp_path / "w.pt")
    with pytest.raises(ModelLoadError, match=r"w\.pt' does not hold weights by name"):
        load_small(normed_file, tmp_path / "w.pt")


def test_a_weights_file_that_is_not_there_is_told(normed_file, tmp_path):
    with pytest.raises(ModelLoadError, match=r"there is no weights file .*w\.pt'"):
        load_small(normed_file, tmp_path / "w.pt")


def test_training_heads_of_torchvision_may_be_in_the_file(tmp_path):
    state = load_model("torchvision:googlenet@random").model.state_dict()
    state = {**state, "aux1.fc1.weight": torch.zeros(2, 2)}
    torch.save(state, tmp_path / "w.pt")
    load_model("torchvision:googlenet", weights=tmp_path / "w.pt")


# size, mean, std, channels


def test_what_is_given_replaces_what_the_spec_brings():
    loaded = load_model("torchvision:squeezenet1_1@random", size="112,96", mean=[0.5] * 3, std="0.2,0.2,0.2")
    assert loaded.preprocess == Preprocess((112, 96), 128, (0.5,) * 3, (0.2,) * 3)
    assert load_model("torchvision:squeezenet1_1@random", size=224).preprocess.short_side == 256


def test_channels_follow_the_means_if_nothing_else_tells(net_file):
    assert load_model(f"{net_file}:make", size="8", mean="0.5", std="1").preprocess.channels == 1
    assert load_model(f"{net_file}:make", **PHOTOS).preprocess.channels == 3
    with pytest.raises(ArgumentError, match=r"mean has 3 values for channels=1"):
        load_model(f"{net_file}:make", channels=1, **PHOTOS)
    with pytest.raises(ArgumentError, match=r"mean has 1 values for channels=3"):
        load_model("torchvision:squeezenet1_1@random", mean=0.5)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"size": "big"}, r"size='big', but it is a whole number"),
        ({"size": 8.5}, r"size=8\.5, but it is a whole number"),
        ({"size": (1, 2, 3)}, r"size is \(height, width\)"),
        ({"size": 0}, r"size is \(height, width\)"),
        ({"mean": "0.5;0.5"}, r"mean='0\.5;0\.5', but it is a number"),
        ({"mean": ()}, r"mean=\(\), but it is a number"),
        ({"std": "1,0,1"}, r"std=\(1\.0, 0\.0, 1\.0\), but it has to be finite and above 0"),
        ({"channels": 2}, r"channels=2"),
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
    assert load_model(spec, labels="imagenette", **PHOTOS).label(0) == "tench"


def test_labels_that_cannot_be_read_are_told(net_file, tmp_path):
    spec = f"{net_file}:make"
    with pytest.raises(ArgumentError, match=r"cannot read labels='none\.txt'.*one of imagenet, imagenette"):
        load_model(spec, labels="none.txt", **PHOTOS)
    (tmp_path / "labels.txt").write_text("one\n\ntwo")
    with pytest.raises(ArgumentError, match=r"labels\.txt': line 2 is empty, but every class needs a name"):
        load_model(spec, labels=tmp_path / "labels.txt", **PHOTOS)
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(ArgumentError, match=r"it is empty"):
        load_model(spec, labels=tmp_path / "labels.txt", **PHOTOS)


def named(*labels: str) -> LoadedModel:
    return LoadedModel(nn.Flatten(), Preprocess((8, 8), 8, (0.5,), (1.0,), channels=1), labels or None)


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
    with pytest.raises(TargetError, match=r"no class names to find 'cat' among.*labels="):
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
