"""Small runs that write what is read again: atlases, their parts, and learned networks; each takes a moment."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from PIL import Image
from torch import nn

import deconvnet
from deconvnet import Atlas, DeconvNet, LoadedModel, Preprocess, probes
from deconvnet.learn import AdaptiveDeconvNet, Learned, Prepare, learn_photos

Progress = Callable[..., object] | None


class Interrupted(Exception):
    """Raised by a progress function, in the middle of a run."""


def interrupting(calls: int) -> Callable[..., None]:
    """A progress function that ends the run at that call."""
    left = calls

    def progress(*report: object) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Interrupted

    return progress


@cache
def network() -> tuple[DeconvNet, LoadedModel]:
    """Two small layers; for photos of any size."""
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 3), nn.ReLU()).eval()
    loaded = LoadedModel(model, Preprocess((16, 16), 18, (0.5,) * 3, (0.25,) * 3), None, "net.py:make")
    return DeconvNet(model, loaded.example_input), loaded


def write_photos(folder: Path, seed: int) -> Path:
    """Noise, and a file that is not a photo."""
    folder.mkdir()
    pixels = torch.rand(6, 21, 25, 3, generator=torch.Generator().manual_seed(seed)).mul(255).byte().numpy()
    for i, photo in enumerate(pixels):
        Image.fromarray(photo).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"not a photo")
    return folder


def build_atlas(photos: Path, out: Path, *, resume: bool = False, progress: Progress = None) -> Atlas:
    net, loaded = network()
    return deconvnet.build_atlas(
        net, photos, "all", 2, out=out, loaded=loaded, resume=resume, batch=2, keep_signal=True, trust=probes.twins,
        progress=progress,
    )  # fmt: skip


def scan_part(photos: Path, out: Path, part: int, *, resume: bool = False, progress: Progress = None) -> None:
    net, loaded = network()
    deconvnet.scan_shard(
        net, photos, "all", 2, shard=(part, 2), out=out, loaded=loaded, resume=resume, batch=2, keep_signal=True,
        trust=probes.twins, progress=progress,
    )  # fmt: skip


def merge(photos: Path, parts: list[Path], out: Path, *, resume: bool = False, progress: Progress = None) -> Atlas:
    net, loaded = network()
    return deconvnet.merge_shards(
        net, photos, parts, out=out, loaded=loaded, resume=resume, trust=probes.twins, progress=progress
    )


def learn(photos: Path, out: Path, *, resume: bool = False, progress: Progress = None) -> Learned:
    net = AdaptiveDeconvNet.of((2, 2), kernel=3, pool=(2, 2, 2), lam=0.1)
    return learn_photos(
        deconvnet.open_photos(photos), net, out=out, prepare=Prepare(24), epochs=2, batch=2, max_iter=3, resume=resume,
        progress=progress,
    )  # fmt: skip


def save_result(photos: Path, out: Path) -> Path:
    net, loaded = network()
    x = loaded.preprocess.images([photos / "0.png", photos / "1.png"])
    return net.project(x, "4", channel="all").save(out)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@cache
def base() -> Path:
    """A folder with one of each run, finished and interrupted, and of each another one, over other photos."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    photos, others = write_photos(folder / "photos", 5), write_photos(folder / "other-photos", 6)
    for name, source in (("this", photos), ("other", others)):
        here = folder / name
        here.mkdir()
        build_atlas(source, here / "atlas")
        learn(source, here / "learned")
        save_result(source, here / "saved")
        for part in (0, 1):
            scan_part(source, here / f"part{part}", part)
        merge(source, [here / "part0", here / "part1"], here / "merged")
        _until(lambda progress: build_atlas(source, here / "unfinished-atlas", progress=progress), here)  # noqa: B023
        _until(lambda progress: learn(source, here / "unfinished-learned", progress=progress), here)  # noqa: B023
    return folder


def _until(run: Callable[[Progress], object], here: Path) -> None:
    """Run to the middle of what is reported."""
    calls = 0

    def count(*report: object) -> None:
        nonlocal calls
        calls += 1

    before = set(here.iterdir())
    run(count)
    for path in set(here.iterdir()) - before:  # the same run again, to where it is interrupted
        shutil.rmtree(path)
    try:
        run(interrupting(calls * 2 // 3))
    except Interrupted:
        return
    raise AssertionError("the run was not interrupted")
