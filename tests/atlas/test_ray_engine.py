"""A scan on Ray Data gives the bytes of the local one, whatever is killed or interrupted."""

import contextlib
import importlib.util
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import nn

from deconvnet import ArgumentError, DeconvNet, LoadedModel, NotFiniteError, Preprocess, probes
from deconvnet.atlas.build import build_atlas

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings(r"ignore:`\w+` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves files and processes to its own end
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def loaded_model(model: nn.Module) -> LoadedModel:
    return LoadedModel(model.eval(), Preprocess((16, 16), 16, (0.5,) * 3, (0.25,) * 3), spec="small")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten()]
    return loaded_model(nn.Sequential(*layers, nn.Linear(100, 6), nn.ReLU()))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    image = skimage.data.astronaut()
    for i in range(21):
        Image.fromarray(image[i * 20 : i * 20 + 80, i * 15 : i * 15 + 90]).save(folder / f"{i:02}.png")
    (folder / "07.png").write_bytes(b"no photo")
    (folder / "20.png").write_bytes(b"")
    return folder


def built(loaded: LoadedModel, photos: object, out: Path, **options) -> Path:
    net = DeconvNet(loaded.model, loaded.example_input)
    build_atlas(net, photos, out=out, k=3, loaded=loaded, batch=4, keep_signal=True, trust=probes.twins, **options)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def local(loaded, photos, tmp_path_factory) -> dict[str, bytes]:
    return contents(built(loaded, photos, tmp_path_factory.mktemp("local") / "atlas"))


def test_a_ray_of_our_own_listens_here_alone_and_is_ended(loaded, photos, local, tmp_path):
    import psutil

    me, addresses = psutil.Process(), set()

    def look(stage: str, done: int, total: int, skipped: int) -> None:
        for process in [me, *me.children(recursive=True)] if stage == "scan" and done else []:
            with contextlib.suppress(psutil.Error):
                addresses.update(one.laddr.ip for one in process.net_connections() if one.status == "LISTEN")

    out = built(loaded, photos, tmp_path / "atlas", engine="ray", workers=1, progress=look)
    assert contents(out) == local
    assert addresses and {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
    assert not sys.modules["ray"].is_initialized()
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_two_workers_give_the_same_bytes_and_leave_a_ray_in_use(ray, loaded, photos, local, tmp_path):
    told = []
    out = built(loaded, photos, tmp_path / "atlas", engine="ray", workers=2, progress=lambda *one: told.append(one))
    assert contents(out) == local
    assert ray.is_initialized()
    assert [done for stage, done, *_ in told if stage == "scan"] == [0, 4, 8, 12, 16, 20, 21]
    assert any(name == "skipped.parquet" for name in local)


class Interrupted(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("engines", [("local", "ray"), pytest.param(("ray", "local"), marks=pytest.mark.slow)])
def test_one_engine_goes_on_with_what_the_other_began(ray, loaded, photos, local, tmp_path, engines, monkeypatch):
    monkeypatch.setattr("deconvnet.atlas.build._SAVE_SECONDS", -1)

    def interrupt(stage: str, done: int, total: int, skipped: int) -> None:
        if done == 12:
            raise Interrupted

    with pytest.raises(Interrupted):
        built(loaded, photos, tmp_path / "atlas", engine=engines[0], workers=1, progress=interrupt)
    told = []
    built(
        loaded, photos, tmp_path / "atlas", engine=engines[1], workers=1, resume=True,
        progress=lambda *one: told.append(one),
    )  # fmt: skip
    assert told[0][:3] == ("scan", 8, 21)
    assert contents(tmp_path / "atlas") == local


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_only_its_batch(ray, loaded, photos, local, tmp_path, monkeypatch):
    from deconvnet.atlas import ray_engine

    marker = str(tmp_path / "killed")

    class Dying:
        def __init__(self, sent):
            self.worker = ray_engine._Worker(sent)  # in the actor it is the real one

        def __call__(self, row):
            if row["batch"] == 2 and not os.path.exists(marker):
                open(marker, "w").close()
                os._exit(1)
            return self.worker(row)

    monkeypatch.setattr(ray_engine, "_Worker", Dying)
    out = built(loaded, photos, tmp_path / "atlas", engine="ray", workers=2)
    assert os.path.exists(marker)
    assert contents(out) == local


@pytest.mark.slow
def test_what_is_not_finite_is_told_as_ours(ray, loaded, tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    nn.init.constant_(model[0].weight, 1e9)
    large = LoadedModel(model.eval(), Preprocess((16, 16), 16, (0.5,) * 3, (1e-30,) * 3), spec="large")
    photos = [np.full((16, 16, 3), value, np.float32) for value in (0.5, 0.5, 0.5, 0.5, 0.5, 1)]
    with pytest.raises(NotFiniteError, match="layer '1' gives NaN or infinity for photo number 5") as caught:
        built(large, photos, tmp_path / "atlas", engine="ray", workers=1)
    assert "\n" not in str(caught.value)


def test_a_network_that_cannot_be_sent_is_refused(ray, loaded, photos, tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    model.lock = threading.Lock()
    with pytest.raises(ArgumentError, match="'small' cannot be sent to Ray's processes"):
        built(loaded_model(model), photos, tmp_path / "atlas", engine="ray")


@pytest.mark.slow
def test_an_actor_that_cannot_be_made_is_told_in_a_line(ray, loaded, photos, tmp_path, monkeypatch):
    from deconvnet._errors import DeconvNetError
    from deconvnet.atlas import ray_engine

    class Broken:
        def __init__(self, sent):
            raise ModuleNotFoundError("No module named 'deconvnet'")

    monkeypatch.setattr(ray_engine, "_Worker", Broken)
    with pytest.raises(DeconvNetError, match=r"Ray gave up: .*No module named 'deconvnet'") as caught:
        built(loaded, photos, tmp_path / "atlas", engine="ray")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_an_unknown_address_is_told(loaded, photos, tmp_path, address):
    with pytest.raises(ArgumentError, match=f"cannot use Ray at '{address}'"):
        built(loaded, photos, tmp_path / "atlas", engine="ray", ray_address=address)


@pytest.mark.parametrize("options", [{"engine": "dask"}, {"ray_address": "auto"}])
def test_what_is_no_engine_is_told(loaded, photos, tmp_path, options):
    with pytest.raises(ArgumentError, match="engine is one of"):
        built(loaded, photos, tmp_path / "atlas", **options)


def test_without_ray_the_extra_is_named(loaded, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ArgumentError, match=r"pip install 'deconvnet\[ray\]'"):
        built(loaded, photos, tmp_path / "atlas", engine="ray")
