"""One function opens whatever was saved."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.atlases import small_network

import deconvnet
from deconvnet import ArgumentError, Atlas, AtlasError, DeconvNet, DeconvNetError, build_atlas, learn, opening
from deconvnet.results.saved import MANIFEST, Savable

PHOTOS = [np.random.default_rng(i).random((40, 40, 3)).astype(np.float32) for i in range(2)]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    loaded, folder = small_network(), tmp_path_factory.mktemp("built") / "atlas"
    build_atlas(DeconvNet(loaded.model, loaded.example_input), PHOTOS, ["1"], 1, out=folder, loaded=loaded)
    return folder


def test_an_atlas_and_a_learned_network_are_opened_too(atlas: Path, tmp_path: Path):
    assert repr(deconvnet.open(atlas)) == repr(Atlas.open(atlas))
    net = learn.AdaptiveDeconvNet.of([2], kernel=3, pool=None)
    made = learn.learn_photos(
        deconvnet.open_photos(PHOTOS), net, out=tmp_path / "learned", prepare=learn.Prepare(16), max_iter=1
    )
    assert deconvnet.open(str(tmp_path / "learned")).about == made.about


def test_opening_an_atlas_imports_no_torch(atlas: Path):
    code = f"import sys, deconvnet; print(len(deconvnet.open({str(atlas)!r})), 'torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(deconvnet.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("5 False\n", "")


def test_every_kind_of_result_has_its_line():
    for name, home in opening._KINDS.items():
        kind = opening._class_of(name)
        assert issubclass(kind, Savable) and kind.__module__ == f"deconvnet.{home}"
    assert {kind.__name__ for kind in Savable.__subclasses__() if kind.__module__.startswith("deconvnet.")} == {
        *opening._KINDS
    }
    assert MANIFEST in opening._READERS


def test_what_is_not_there_is_told_apart(atlas: Path, tmp_path: Path):
    for path, words in (
        (tmp_path / "nowhere", r"nowhere' does not exist"),
        (atlas / "manifest.json", r"manifest\.json' is a file. Open its folder, '.*atlas'"),
        (
            tmp_path,
            r"nothing that deconvnet saved: result\.json, manifest\.json, learned\.safetensors, evolution\.json are",
        ),
    ):
        with pytest.raises(DeconvNetError, match=words):
            deconvnet.open(path)
    with pytest.raises(ArgumentError, match="folder is a path; got 3"):
        deconvnet.open(3)


def test_an_unfinished_run_and_a_damaged_atlas_are_told(tmp_path: Path):
    (tmp_path / ".deconvnet-unfinished").mkdir()
    with pytest.raises(DeconvNetError, match=r"holds an unfinished run\. Finish it first \(--resume"):
        deconvnet.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(AtlasError, match=r"manifest\.json' is damaged"):
        deconvnet.open(tmp_path)
