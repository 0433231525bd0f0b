"""Models from the user's own Python: a function, a class or a module, in a file or in a package."""

import sys
from pathlib import Path

import pytest
from support.specs import NET, PHOTOS
from torch import nn

from deconvnet import ModelLoadError, Preprocess
from deconvnet.models.load import load_model

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


# what may be named


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a repository whose package of networks has no __init__.py."""
    (tmp_path / "nets_of_mine").mkdir()
    (tmp_path / "nets_of_mine" / "blocks.py").write_text(
        "from torch import nn\nWIDTH = 4\ndef block(): return nn.ReLU()\n"
    )
    (tmp_path / "nets_of_mine" / "net.py").write_text(
        "from torch import nn\n"
        "from nets_of_mine.blocks import WIDTH, block\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, width=WIDTH): super().__init__(nn.Conv2d(3, width, 1), block())\n"
        "    @classmethod\n"
        "    def wide(cls): return cls(9)\n"
        "net = Net()\n"
    )
    (tmp_path / "tool.py").write_text("from pathlib import Path\nfrom nets_of_mine.net import Net\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", str(tmp_path))])
    return tmp_path


@pytest.mark.parametrize("spec", ["nets_of_mine/net.py", "nets_of_mine.net"])
@pytest.mark.parametrize(("name", "width"), [("Net", 4), ("net", 4), ("Net.wide", 9)])
def test_a_class_a_module_or_a_function_is_found_from_the_root_of_a_repository(spec, name, width, repository):
    before, path = set(sys.modules), list(sys.path)
    loaded = load_model(f"{spec}:{name}", **PHOTOS)
    assert loaded.model[0].out_channels == width
    assert not loaded.model.training
    assert sys.path == path
    assert set(sys.modules) == before, "what lies in a folder that Python does not know would hide that of another one"


def test_a_module_that_python_finds_by_itself_stays_imported(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository))
    before = set(sys.modules)
    loaded = load_model("nets_of_mine.net:Net", **PHOTOS)
    assert isinstance(loaded.model, sys.modules["nets_of_mine.net"].Net)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_current_folder_comes_first_as_in_a_program_of_its_own(repository):
    (repository / "timm.py").write_text("raise RuntimeError('that of the repository')")
    (repository / "maker.py").write_text("import timm_of_mine\n")
    (repository / "timm_of_mine.py").write_text("raise RuntimeError('that of the repository')")
    with pytest.raises(ModelLoadError, match=r"cannot import 'maker': RuntimeError: that of the repository\."):
        load_model("maker:make", **PHOTOS)


def test_a_module_of_an_installed_package_is_found():
    assert load_model("deconvnet.models.zfnet:zfnet_mini", **PHOTOS | {"size": 128}).model[0].out_channels == 64


def test_networks_that_were_imported_are_named_and_what_is_no_network_is_not(repository):
    with pytest.raises(ModelLoadError, match=r"no function 'Nat' in 'tool\.py'\. It has Net\. Did you mean 'Net'\?"):
        load_model("tool.py:Nat", **PHOTOS)
    with pytest.raises(ModelLoadError, match=r"no function 'made' in 'nets_of_mine\.net'\. It has block, Net, net\."):
        load_model("nets_of_mine.net:made", **PHOTOS)


def test_an_import_that_fails_says_where_it_was_sought(repository, monkeypatch):
    monkeypatch.chdir(repository / "nets_of_mine")
    with pytest.raises(
        ModelLoadError, match=r"No module named 'nets_of_mine' \(line 2\)\. Start from .*'.*/nets_of_mine'\."
    ):
        load_model("net.py:Net", **PHOTOS)
    with pytest.raises(ModelLoadError, match=r"cannot import 'nets_of_mine\.net': .*Start from .* holds 'nets_of"):
        load_model("nets_of_mine.net:Net", **PHOTOS)


def test_a_file_that_imports_from_its_package_is_named_as_a_module(repository):
    (repository / "nets_of_mine" / "inner.py").write_text("from .net import Net\n")
    with pytest.raises(ModelLoadError, match=r"relative import .* as a module, such as nets_of_mine\.inner:NAME\."):
        load_model("nets_of_mine/inner.py:Net", **PHOTOS)
    assert load_model("nets_of_mine.inner:Net", **PHOTOS).model[0].out_channels == 4


def test_a_misspelt_library_is_asked_about():
    with pytest.raises(ModelLoadError, match=r"cannot import 'torchvison'.* Did you mean 'torchvision'\?"):
        load_model("torchvison:vgg16")
