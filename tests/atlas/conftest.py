"""A network that atlases are made of; one small atlas to look at, and copies of it to spoil."""

import shutil
from pathlib import Path

import pytest
from support.atlases import little_atlas, small_network

from deconvnet import DeconvNet, LoadedModel
from deconvnet.atlas.manifest import Manifest
from deconvnet.atlas.reader import Atlas


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return small_network()


@pytest.fixture(scope="module")
def net(loaded) -> DeconvNet:
    return DeconvNet(loaded.model, loaded.example_input)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("made") / "atlas"
    return folder, little_atlas(folder, keep_signal=True)


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(made[0], tmp_path / "atlas"))


@pytest.fixture(scope="session")
def atlas(made) -> Atlas:
    return Atlas.open(made[0])
