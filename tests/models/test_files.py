"""Models from files: exported programs and Python files."""

import sys

import pytest
import torch
from safetensors.torch import save_file
from support.specs import NET, PHOTOS, small
from torch import nn
from torch.export import export

from deconvnet import ModelLoadError, Preprocess
from deconvnet.models.load import load_model


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
    with pytest.raises(ModelLoadError, match=r"the file .*other\.pt2' does not exist"):
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
    assert load_model(spec, size=16, mean=1, labels=["c", "d"]).preprocess.mean == (1,)
    assert load_model(spec, labels=["c", "d"]).labels == ("c", "d")


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
    with pytest.raises(ModelLoadError, match=r"the file .*net\.py' does not exist"):
        load_model(f"{tmp_path / 'net.py'}:make")
