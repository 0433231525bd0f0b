"""Building an atlas: what it finds, and the same bytes after any interruption, in any number of parts."""

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from support.atlases import small_network
from support.crashes import Crash, crashing
from torch import nn

import deconvnet
from deconvnet import ArgumentError, DeconvNet, DeconvNetError, MemoryBudgetError, PhotoError
from deconvnet._folders import UNFINISHED
from deconvnet.atlas import build, jobs, top_pictures, unfinished, write
from deconvnet.atlas import options as options_of
from deconvnet.atlas.build import build_atlas
from deconvnet.atlas.jobs import merge_shards, scan_shard
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.scan import TopUnit
from deconvnet.atlas.top_memory import TopMemory
from deconvnet.engine import project as engine_project
from deconvnet.engine import unit_memory
from deconvnet.network import attached
from deconvnet.photos.photo import load_photo
from deconvnet.photos.pick import Pick
from deconvnet.photos.sets import PhotoSet, open_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Twenty-three photos, one of them twice, and two files that are none."""
    folder = tmp_path_factory.mktemp("photos")
    random_numbers = np.random.default_rng(5)
    samples = [load_photo(f"sample:{name}").image() for name in ("chelsea", "astronaut", "coffee", "rocket")]
    for i in range(21):
        image = samples[i % 4]
        left, top = (int(random_numbers.integers(0, length - 120)) for length in image.size)
        image.crop((left, top, left + 120, top + 100 + i)).save(folder / f"{i:02}.png")
    shutil.copy(folder / "03.png", folder / "21.png")
    (folder / "05b.png").write_bytes(b"no photo")
    (folder / "12b.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def whole(net, loaded, photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "atlas"
    build_atlas(net, photos, out=folder, loaded=loaded, batch=4, k=3)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_same(folder: Path, whole: Path) -> None:
    one, other = files(folder), files(whole)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_it_finds_the_strongest_of_all_activations_each_at_its_place_in_its_photo(whole, net, loaded, photos):
    atlas = Atlas.open(whole)
    readable = [path for path in sorted(photos.iterdir()) if path.suffix == ".png" and path.stat().st_size > 100]
    assert list(atlas.layers) == ["1", "4", "8"] and atlas.manifest.counts.photos == len(readable) == 22
    assert [one.image for one in atlas.skipped()] == ["05b.png", "12b.jpg"]
    alike = {name for name, layer in atlas.layers.items() if layer.image_free}
    assert alike == {"1"}  # below the first max-pool
    for name in atlas.layers:
        lines = " ".join(line.text for line in atlas.sheet(name, channels=[0]).pages[0].lines)
        assert ("does not depend on the image" in lines) == (name in alike)
    x = torch.cat([loaded.preprocess.images(path) for path in readable])
    for layer, values in net.activations(x, list(atlas.layers)).items():
        for channel in range(values.shape[1]):
            maps = values[:, channel].reshape(len(values), -1)
            order = sorted(range(len(maps)), key=lambda i: (-float(maps[i].max()), i))
            best = [i for i in order if maps[i].max() > 0][:3]
            top = atlas.top(layer, channel)
            assert [one.image for one in top] == [readable[i].name for i in best]
            assert [one.activation for one in top] == pytest.approx([float(maps[i].max()) for i in best], rel=1e-5)
            for one, i in zip(top, best, strict=True):
                position = np.unravel_index(int(maps[i].argmax()), values.shape[2:]) if values.ndim > 2 else ()
                assert one.position == tuple(map(int, position))
                result = net.project(x[i : i + 1], layer, channel=channel, position=one.position)
                size = load_photo(readable[i]).size
                assert one.box == loaded.preprocess.box_in_photo(result.box(0), size)
    assert atlas.stats("4")[2].dead and atlas.top("4", 2) == ()


def test_a_tile_is_the_reconstruction_and_the_patch(whole, net, loaded, photos):
    atlas = Atlas.open(whole)
    one = atlas.top("4", 0)[0]
    result = net.project(loaded.preprocess.images(photos / one.image), "4", channel=0, position=one.position)
    signals, _ = atlas.blocks("4", 0)
    side = atlas.layers["4"].tile
    shown = np.asarray(result.picture(0).resize((side, side), Image.Resampling.NEAREST)).astype(float)
    found = np.asarray(signals.crop((0, 0, side, side))).astype(float)
    inside = np.abs(found - 128).max(2) > 12  # beside it, if it is not square, lies grey
    assert np.corrcoef(shown[inside].ravel(), found[inside].ravel())[0, 1] > 0.5


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same_bytes(net, loaded, photos, whole, tmp_path, workers):
    build_atlas(net, photos, out=tmp_path / "a", loaded=loaded, batch=4, k=3, workers=workers)
    assert_same(tmp_path / "a", whole)


def test_a_process_that_draws_and_is_killed_is_told_and_the_run_goes_on(net, loaded, photos, whole, tmp_path):
    def kill(stage: str, done: int, *_: object) -> None:
        if stage == "project" and (mine := processes() - before):
            os.kill(min(mine), signal.SIGKILL)

    def processes() -> set[int]:
        return {child.pid for child in psutil.Process().children()}

    before, options = processes(), {"out": tmp_path / "a", "loaded": loaded, "batch": 4, "k": 3}
    with pytest.raises(DeconvNetError, match=r"a process that draws pictures ended with exit code -9.*fewer workers"):
        build_atlas(net, photos, workers=2, progress=kill, **options)
    assert processes() == before
    build_atlas(net, photos, workers=3, resume=True, **options)
    assert_same(tmp_path / "a", whole)


@pytest.mark.parametrize("memory", [True, False])
def test_photos_of_top_units_are_read_once_to_be_run_and_drawn(net, loaded, photos, tmp_path, monkeypatch, memory):
    read: list[int] = []
    fetch = PhotoSet.read

    def counted(self: PhotoSet, i: int, *args, **options):
        read.append(i)
        return fetch(self, i, *args, **options)

    if not memory:
        monkeypatch.setattr(TopMemory, "of", lambda *_: None)
    monkeypatch.setattr(PhotoSet, "read", counted)
    stages: list[tuple[str, int]] = []
    build_atlas(
        net, photos, ["1"], k=2, out=tmp_path, loaded=loaded, batch=4,
        progress=lambda stage, *_: stages.append((stage, len(read))),
    )  # fmt: skip
    first, last = (next(count for stage, count in stages if stage == name) for name in ("project", "write"))
    drawn = read[first:last]
    assert len(drawn) == len(set(drawn)) and set(drawn) == {
        row.index for channel in range(5) for row in Atlas.open(tmp_path).top("1", channel)
    }


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_the_canonical_batch_goes_by_the_kind_of_device_and_the_memory(net, device):
    infos = net.layers
    layers = [infos["1"], infos["4"]]
    most = {"cpu": 8}.get(device, 64)
    assert options_of._canonical_batch(infos, layers, 10**9, torch.device(device)) == most
    assert options_of._canonical_batch(infos, layers, 10**6, torch.device(device)) == 5
    assert options_of._canonical_batch(infos, layers, 1, torch.device(device)) == 1


def test_units_go_down_in_batches_whose_reconstructions_fit(monkeypatch):
    monkeypatch.setattr(top_pictures, "_MOST_BYTES", 10)
    units = [TopUnit("a", channel, 0, photo, (0, 0), 1.0) for channel, photo in enumerate([3, 3, 1, 0, 0, 0, 9, 7])]
    together = top_pictures.photo_batches(units, 3, {"a": 4})
    assert [photos for photos, _ in together] == [[0], [1], [3], [7, 9]]
    assert [[unit.channel for unit in of_photos] for _, of_photos in together] == [[3, 4, 5], [2], [0, 1], [7, 6]]
    assert [photos for photos, _ in top_pictures.photo_batches(units, 3, {"a": 0})] == [[0, 1, 3], [7, 9]]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_in_any_order_merge_to_the_same_bytes(net, loaded, photos, whole, tmp_path, order):
    for i in order:
        scan_shard(net, photos, shard=(i, 3), out=tmp_path / str(i), loaded=loaded, batch=4, k=3)
    before = files(tmp_path / "1")
    merge_shards(net, photos, [tmp_path / str(i) for i in order], out=tmp_path / "a", loaded=loaded)
    assert_same(tmp_path / "a", whole)
    assert files(tmp_path / "1") == before


@pytest.mark.parametrize(
    ("where", "name", "call"),
    [
        (unfinished.Unfinished, "start", 1), (build.Scan, "add", 1), (build.Scan, "add", 4),
        (unfinished.Unfinished, "save_scan", 1), (unfinished.Unfinished, "save_scan", 3),
        (unfinished.Tiles, "add", 1), (unfinished.Tiles, "add", 3), (write, "write_strip", 1),
        (write, "write_strip", 9), (write, "write_top", 1), (write, "write_stats", 1), (write, "write_skipped", 1),
        (write, "write_manifest", 1),
    ],
)  # fmt: skip
def test_after_a_crash_anywhere_it_goes_on_to_the_same_bytes(
    net, loaded, photos, whole, tmp_path, monkeypatch, where, name, call
):
    monkeypatch.setattr(build, "_SAVE_SECONDS", -1)
    arguments = {"out": tmp_path / "a", "loaded": loaded, "batch": 4, "k": 3}
    with monkeypatch.context() as patch:
        crashing(patch, where, name, call)
        with pytest.raises(Crash):
            build_atlas(net, photos, **arguments)
    if name != "write_manifest":  # the last file makes it an atlas
        with pytest.raises(DeconvNetError):
            Atlas.open(tmp_path / "a")
    build_atlas(net, photos, resume=True, **arguments)
    assert_same(tmp_path / "a", whole)


RUN = """
import sys
sys.path.insert(0, {tests!r})
import torch
from support.atlases import small_network
from deconvnet import DeconvNet
from deconvnet.atlas import build

torch.set_num_threads(1)
build._SAVE_SECONDS = -1
loaded = small_network()
net = DeconvNet(loaded.model, loaded.example_input)
print("begins", flush=True)
build.build_atlas(net, {photos!r}, out={out!r}, loaded=loaded, batch=4, k=3, resume=True)
"""


def killed_until_done(photos: Path, out: Path, moments: random.Random) -> int:
    """Run, kill at a random moment, run again, until it is done; how often it was killed."""
    code = RUN.format(tests=str(Path(__file__).parents[1]), photos=str(photos), out=str(out))
    environment = {**os.environ, "PYTHONPATH": str(Path(deconvnet.__file__).parent.parent)}
    for kills in range(100):
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        fault = process.stderr.read().decode()
        process.stdout.close()
        process.stderr.close()
        process.wait()
        if (out / "manifest.json").is_file() and not (out / UNFINISHED).exists():
            return kills
        assert "Error" not in fault, fault
    raise AssertionError("never done")


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on_to_the_same_bytes(photos, whole, tmp_path):
    moments, kills, run = random.Random(1), 0, 0
    while kills < 20:
        kills += killed_until_done(photos, tmp_path / str(run), moments)
        assert_same(tmp_path / str(run), whole)
        run += 1


@pytest.mark.parametrize("options", [{"allow_outside": True}, {"suffix": ".png"}])
def test_how_photos_are_opened_is_not_said_of_open_ones(net, loaded, photos, tmp_path, options):
    with pytest.raises(ArgumentError, match="the photos are open already"):
        build_atlas(net, open_photos(photos), out=tmp_path / "a", loaded=loaded, **options)
    with pytest.raises(ArgumentError, match="allow_outside is True or False; got 'False'"):
        build_atlas(net, photos, out=tmp_path / "a", loaded=loaded, allow_outside="False")


def test_what_is_there_is_not_overwritten(net, loaded, photos, whole, tmp_path):
    with pytest.raises(ArgumentError, match="holds an atlas already"):
        build_atlas(net, photos, out=whole, loaded=loaded)
    scan_shard(net, photos, shard=(0, 2), out=tmp_path / "a", loaded=loaded, layers=["1"], batch=4)
    with pytest.raises(ArgumentError, match="holds an unfinished run"):
        build_atlas(net, photos, out=tmp_path / "a", loaded=loaded)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "work/a.jpg", "top.parquet", "stats.parquet", "skipped.parquet", "skipped.csv", "pictures/1/0.patch.webp",
        "signals/1.safetensors", "manifest.json", "key.json", f"{UNFINISHED}/a.jpg", ".0123456789abcdef.part",
    ],
)  # fmt: skip
def test_a_folder_with_files_of_the_user_is_refused_before_anything_is_scanned(
    net, loaded, photos, tmp_path, monkeypatch, name, resume
):
    path = tmp_path / "a" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    scan_shard(net, photos, ["1"], shard=(0, 1), out=tmp_path / "part", loaded=loaded, batch=4)
    for module in (build, jobs):
        monkeypatch.setattr(module, "prepare", None)  # not even the photos are listed
    options = {"out": tmp_path / "a", "loaded": loaded, "resume": resume}
    for run in (
        lambda: build_atlas(net, photos, **options),
        lambda: scan_shard(net, photos, shard=(0, 2), **options),
        lambda: merge_shards(net, photos, [tmp_path / "part"], **options),
    ):
        words = f"a' is not empty: it holds {name.split('/')[0]!r}. Give a new folder"
        with pytest.raises(ArgumentError, match=re.escape(words)):
            run()
    assert files(tmp_path / "a") == {name: b"{}"}


def test_photos_in_a_folder_named_work_survive_an_atlas_of_them(net, loaded, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "holiday" / "work")
    before = files(tmp_path / "holiday")
    with pytest.raises(ArgumentError, match="is not empty: it holds 'work'"):
        build_atlas(net, tmp_path / "holiday", ["1"], out=tmp_path / "holiday", loaded=loaded, batch=4)
    assert files(tmp_path / "holiday") == before


def test_an_atlas_is_built_in_the_current_folder_only_if_that_is_said(net, loaded, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="name of the output folder is empty"):
        build_atlas(net, photos, ["1"], out="", loaded=loaded)
    with pytest.raises(ArgumentError, match="name of the output folder is empty"):
        scan_shard(net, photos, ["1"], shard=(0, 1), out="", loaded=loaded)
    with pytest.raises(ArgumentError, match="name of the output folder is empty"):
        merge_shards(net, photos, [], out="", loaded=loaded)
    assert list(tmp_path.iterdir()) == []
    assert build_atlas(net, photos, ["1"], out=".", loaded=loaded, batch=4).manifest.counts.photos == 22


def interrupted(net, loaded, photos, out: Path, monkeypatch: pytest.MonkeyPatch, name: str = "write_top") -> None:
    with monkeypatch.context() as patch:
        crashing(patch, write, name, 1)
        with pytest.raises(Crash):
            build_atlas(net, photos, out=out, loaded=loaded, batch=4, k=3)


def test_a_link_to_an_unfinished_atlas_is_neither_followed_nor_merged(net, loaded, photos, tmp_path):
    scan_shard(net, photos, ["1"], shard=(0, 1), out=tmp_path / "a", loaded=loaded, batch=4)
    before = files(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / UNFINISHED).symlink_to(tmp_path / "a" / UNFINISHED)
    with pytest.raises(ArgumentError, match=f"b' is not empty: it holds '{UNFINISHED}'"):
        scan_shard(net, photos, ["1"], shard=(0, 1), out=tmp_path / "b", loaded=loaded, batch=4, resume=True)
    with pytest.raises(ArgumentError, match="b' does not hold a scanned part"):
        merge_shards(net, photos, [tmp_path / "b"], out=tmp_path / "c", loaded=loaded)
    assert files(tmp_path / "a") == before and (tmp_path / "b" / UNFINISHED).is_symlink()


def test_what_a_user_put_beside_our_unfinished_files_stays(net, loaded, photos, whole, tmp_path, monkeypatch):
    interrupted(net, loaded, photos, tmp_path, monkeypatch)
    mine = {f"{UNFINISHED}/a.jpg", "pictures/b.jpg", "c.part", ".0123456789abcdef.part"}
    for name in mine:
        (tmp_path / name).write_bytes(b"mine")
    build_atlas(net, photos, out=tmp_path, loaded=loaded, batch=4, k=3, resume=True)
    assert files(tmp_path) == {**files(whole), **dict.fromkeys(mine, b"mine")}
    with pytest.raises(ArgumentError, match="holds an atlas already"):
        build_atlas(net, photos, out=tmp_path, loaded=loaded, batch=4, k=3)


def test_what_a_killed_run_was_in_the_middle_of_writing_is_removed(net, loaded, photos, whole, tmp_path, monkeypatch):
    interrupted(net, loaded, photos, tmp_path, monkeypatch)
    (tmp_path / "signals").mkdir()
    for folder in (".", UNFINISHED, "pictures/1", "signals"):
        (tmp_path / folder / ".deconvnet-0123456789abcdef.part").write_bytes(b"half")
    (tmp_path / "link").symlink_to(tmp_path)
    build_atlas(net, photos, out=tmp_path / "link", loaded=loaded, batch=4, k=3, resume=True)
    (tmp_path / "link").unlink()
    assert_same(tmp_path, whole)


@pytest.mark.parametrize("name", ["tiles.sqlite", "scan.safetensors", "key.json"])
def test_after_a_crash_while_unfinished_files_are_removed_it_goes_on(
    net, loaded, photos, whole, tmp_path, monkeypatch, name
):
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        real(path, missing_ok=missing_ok)
        if path.name == name:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(Crash):
            build_atlas(net, photos, out=tmp_path, loaded=loaded, batch=4, k=3)
    assert (tmp_path / UNFINISHED).is_dir() == (name != "key.json")  # the last of them
    build_atlas(net, photos, out=tmp_path, loaded=loaded, batch=4, k=3, resume=True)
    assert_same(tmp_path, whole)
    assert not (tmp_path / UNFINISHED).exists()


def test_a_part_that_goes_on_never_tells_of_more_photos_than_it_has(net, loaded, photos, tmp_path):
    options = {"shard": (1, 2), "out": tmp_path, "loaded": loaded, "batch": 8, "limit": 20}
    told: list[tuple[int, int]] = []
    scan_shard(net, photos, ["1"], **options)
    scan_shard(net, photos, ["1"], resume=True, progress=lambda _, *numbers: told.append(numbers[:2]), **options)
    assert told == [(12, 12)]


CHANGES = pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 4}, "k=3, now k=4"),
        ({"layers": ["4"]}, 'layers=\\["1", "4", "8"\\], now layers=\\["4"\\]'),
        ({"limit": 5}, "photos.looked_at=24, now photos.looked_at=5"),
        ({"batch": 8}, "batch=4, now batch=8"),
        ({"keep_signal": True}, "signals_kept=false, now signals_kept=true"),
    ],
)


@CHANGES
def test_going_on_with_something_else_is_refused_by_name_of_what_changed(
    net, loaded, photos, tmp_path, monkeypatch, change, words
):
    with monkeypatch.context() as patch:
        crashing(patch, unfinished.Unfinished, "start", 1)
        with pytest.raises(Crash):
            build_atlas(net, photos, out=tmp_path, loaded=loaded, batch=4, k=3)
    with pytest.raises(ArgumentError, match=words):
        build_atlas(net, photos, **{"out": tmp_path, "loaded": loaded, "batch": 4, "k": 3, "resume": True, **change})


def test_resuming_a_finished_atlas_returns_it_as_it_is(net, loaded, photos, whole, monkeypatch):
    before = files(whole)
    monkeypatch.setattr(build.Scan, "add", None)
    atlas = build_atlas(net, photos, out=whole, loaded=loaded, batch=4, k=3, resume=True)
    assert atlas.folder == whole and len(atlas) == 15
    assert files(whole) == before


@CHANGES
def test_resuming_a_finished_atlas_with_something_else_is_refused(net, loaded, photos, whole, change, words):
    before = files(whole)
    options = {"out": whole, "loaded": loaded, "batch": 4, "k": 3, "resume": True, **change}
    with pytest.raises(ArgumentError, match=f"was started with .*{words}.* Use the same options or a new folder"):
        build_atlas(net, photos, **options)
    assert files(whole) == before


def test_merging_again_into_the_finished_atlas_returns_it(net, loaded, photos, whole, tmp_path):
    for i in range(2):
        scan_shard(net, photos, shard=(i, 2), out=tmp_path / str(i), loaded=loaded, batch=4, k=3)
    before, shards = files(whole), [tmp_path / "0", tmp_path / "1"]
    assert merge_shards(net, photos, shards, out=whole, loaded=loaded, resume=True).folder == whole
    assert files(whole) == before


def test_an_unknown_option_is_a_type_error(net, loaded, photos, tmp_path):
    said = r"build_atlas\(\) got an unexpected keyword argument 'worker'. Did you mean 'workers'"
    with pytest.raises(TypeError, match=said):
        build_atlas(net, photos, out=tmp_path / "a", loaded=loaded, worker=2)


def test_other_weights_rules_or_photos_are_refused_too(net, loaded, photos, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        crashing(patch, unfinished.Unfinished, "start", 1)
        with pytest.raises(Crash):
            build_atlas(net, photos, out=tmp_path / "a", loaded=loaded, batch=4)
    other = small_network()
    nn.init.constant_(other.model[0].bias, 0.5)
    arguments = {"out": tmp_path / "a", "batch": 4, "resume": True}
    with pytest.raises(ArgumentError, match=r"model\.weights=.*, now"):
        build_atlas(DeconvNet(other.model, other.example_input), photos, loaded=other, **arguments)
    with pytest.raises(ArgumentError, match=r"rules\.forward_mask=false, now rules\.forward_mask=true"):
        build_atlas(net.with_rules("guided"), photos, loaded=loaded, **arguments)
    fewer = tmp_path / photos.name
    fewer.mkdir()
    shutil.copy(photos / "00.png", fewer)
    with pytest.raises(ArgumentError, match=r"photos\.fingerprint"):
        build_atlas(net, fewer, loaded=loaded, **arguments)


@pytest.mark.parametrize("damage", ["key.json", "scan.safetensors", "tiles.sqlite"])
def test_a_damaged_work_folder_is_told(net, loaded, photos, tmp_path, monkeypatch, damage):
    with monkeypatch.context() as patch:
        crashing(patch, unfinished.Tiles, "add", 2)
        with pytest.raises(Crash):
            build_atlas(net, photos, out=tmp_path, loaded=loaded, batch=4)
    (tmp_path / UNFINISHED / damage).write_bytes(b"x" * 5000)
    with pytest.raises(DeconvNetError, match=damage):
        build_atlas(net, photos, out=tmp_path, loaded=loaded, batch=4, resume=True)


def test_parts_that_do_not_belong_together_are_told(net, loaded, photos, tmp_path):
    def part(name: str, shard: tuple[int, int], **more) -> Path:
        scan_shard(net, photos, ["4"], out=tmp_path / name, loaded=loaded, shard=shard, **{"batch": 4, **more})
        return tmp_path / name

    first, second, other, third = part("a", (0, 2)), part("b", (1, 2)), part("c", (1, 2), k=4), part("d", (1, 3))

    def merge(*folders: Path) -> Callable[[], None]:
        merge_shards(net, photos, folders, out=tmp_path / "out", loaded=loaded)

    for folders, words in (
        ([first], "1 of 2 parts are missing: 1"),
        ([first, other], "was scanned with k=4, now k=9"),
        ([first, third], "holds part 1/3, but another folder holds one of 2"),
        ([tmp_path / "nowhere"], "does not hold a scanned part"),
        ([], "list of parts to merge is empty"),
        ([first, second, first], r"a' is listed twice\. Give the folder of each part once"),
    ):
        with pytest.raises(ArgumentError, match=words):
            merge(*folders)
    assert not (tmp_path / "out").exists()
    twice = tmp_path / "twice"
    shutil.copytree(second, twice)
    with pytest.raises(ArgumentError, match="both hold part 1/2"):
        merge(first, second, twice)
    with pytest.raises(ArgumentError, match="part i of n, i from 0"):
        part("e", (2, 2))


def test_an_unfinished_part_is_told(net, loaded, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "_SAVE_SECONDS", -1)
    with monkeypatch.context() as patch:
        crashing(patch, unfinished.Unfinished, "save_scan", 1)
        with pytest.raises(Crash):
            scan_shard(net, photos, shard=(0, 1), out=tmp_path / "a", loaded=loaded, batch=4)
    with pytest.raises(ArgumentError, match="is unfinished: run it again with --resume"):
        merge_shards(net, photos, [tmp_path / "a"], out=tmp_path / "b", loaded=loaded)


def test_signals_are_kept_in_half_precision(net, loaded, photos, tmp_path):
    atlas = build_atlas(net, photos, ["4"], k=2, out=tmp_path / "a", loaded=loaded, batch=4, keep_signal=True)
    signals, rows = atlas.signals("4"), [one for c in range(6) for one in atlas.top("4", c)]
    assert len(signals.windows) == len(rows)
    for i in (0, 5):
        x = loaded.preprocess.images(photos / rows[i].image)
        result = net.project(x, "4", channel=rows[i].channel, position=rows[i].position)
        expected = result.windows[0].numpy()
        assert np.abs(signals.window(i) - expected).max() <= 1e-3 * np.abs(expected).max()
        assert signals.low[i].tolist() == result.boxes[0, 0].tolist()


def test_photos_in_memory_and_a_limit_will_do(net, loaded, tmp_path):
    photos = ["sample:chelsea", "sample:coffee", "sample:rocket"]
    atlas = build_atlas(net, photos, ["1"], out=tmp_path / "a", loaded=loaded, limit=2)
    assert atlas.manifest.counts.photos == 2 and atlas.manifest.batch == 2
    assert {one.index for one in atlas.top("1", 0)} <= {0, 1}


@pytest.mark.parametrize(
    ("picked", "right"),
    [({"limit": 6}, [0, 4, 8, 12, 16, 20]), ({"sample": 6, "seed": 3}, Pick(sample=6, seed=3).indices(24).tolist())],
)
def test_photos_picked_evenly_or_at_random_give_the_same_bytes_in_parts_and_after_a_crash(
    net, loaded, photos, tmp_path, monkeypatch, picked, right
):
    options = {"loaded": loaded, "batch": 2, "k": 3, **picked}
    atlas = build_atlas(net, photos, ["1"], out=tmp_path / "whole", **options)
    assert atlas.manifest.counts.photos + atlas.manifest.counts.skipped == 6
    assert {row.index for channel in range(3) for row in atlas.top("1", channel)} <= set(right)
    assert {photo.index for photo in atlas.skipped()} == set(right) & {6, 14}
    for part in (1, 0):
        scan_shard(net, photos, ["1"], shard=(part, 2), out=tmp_path / str(part), **options)
    merged = merge_shards(net, photos, [tmp_path / "0", tmp_path / "1"], out=tmp_path / "merged", loaded=loaded)
    assert files(merged.folder) == files(atlas.folder)
    with monkeypatch.context() as patch:
        crashing(patch, build.Scan, "add", 2)
        with pytest.raises(Crash):
            build_atlas(net, photos, ["1"], out=tmp_path / "again", **options)
    assert files(build_atlas(net, photos, ["1"], out=tmp_path / "again", resume=True, **options).folder) == files(
        atlas.folder
    )


def test_the_manifest_says_how_it_was_made_and_no_place_or_time(whole, tmp_path):
    text = whole.joinpath("manifest.json").read_text()
    told = json.loads(text)
    assert told["k"] == 3 and told["batch"] == 4 and told["counts"] == {"photos": 22, "skipped": 2}
    assert told["model"]["spec"] == "net.py:make" and len(told["model"]["weights"]) == 64
    assert str(tmp_path.parent) not in text and "/tmp" not in text


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"k": 0}, ArgumentError, "k is a whole number, 1 or more; got 0"),
        (
            {"k": 10**4},
            ArgumentError,
            "k is at most 255 with layer '8', whose tiles are 64 .*got 10000",
        ),
        ({"k": 512, "layers": ["1"]}, ArgumentError, "k is at most 511 with layer '1'"),
        ({"workers": 10**9}, ArgumentError, "workers is a whole number, 0 to 1024; got 1000000000"),
        ({"workers": 10**9, "engine": "ray"}, ArgumentError, "workers is a whole number, 0 to 10000"),
        ({"limit": True}, ArgumentError, "limit is a whole number"),
        ({"limit": 3, "sample": 3}, ArgumentError, "give one of them"),
        ({"seed": 3}, ArgumentError, "give sample as well"),
        ({"batch": 2.5}, ArgumentError, "batch is a whole number"),
        ({"layers": ["x"]}, ArgumentError, "no layer 'x'"),
        ({"photos": "no/such/folder"}, PhotoError, "no file or folder"),
        ({"memory": "lots"}, ArgumentError, "memory is a number of bytes"),
    ],
)
def test_what_cannot_be_built_is_told_before_anything_is_written(
    net, loaded, photos, tmp_path, arguments, error, words
):
    call = {"photos": photos, "layers": "all", "out": tmp_path / "a", "loaded": loaded, **arguments}
    with pytest.raises(error, match=words):
        build_atlas(net, call.pop("photos"), call.pop("layers"), **call)
    assert list(tmp_path.iterdir()) == []


def test_photos_of_which_none_can_be_read_are_told(net, loaded, tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"none")
    with pytest.raises(PhotoError, match="none of the 3 photos can be read"):
        build_atlas(net, tmp_path, out=tmp_path / "a", loaded=loaded)


def test_a_full_disk_is_told_and_it_goes_on_when_there_is_room(net, loaded, photos, whole, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        fault = sqlite3.OperationalError("database or disk is full")
        fault.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise fault

    arguments = {"out": tmp_path / "a", "loaded": loaded, "batch": 4, "k": 3}
    with monkeypatch.context() as patch:
        patch.setattr(unfinished.Tiles, "add", full)
        with pytest.raises(DeconvNetError, match=r"cannot keep pictures .*disk is full"):
            build_atlas(net, photos, **arguments)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(DeconvNetError, match="No space left on device"):
            build_atlas(net, photos, resume=True, **arguments)
    build_atlas(net, photos, resume=True, **arguments)
    assert_same(tmp_path / "a", whole)


def test_progress_is_told_in_stages(net, loaded, photos, tmp_path):
    told: list[tuple[str, int, int, int]] = []
    build_atlas(
        net, photos, ["1"], out=tmp_path / "a", loaded=loaded, batch=8, progress=lambda *told_of: told.append(told_of)
    )
    assert list(dict.fromkeys(stage for stage, *_ in told)) == ["scan", "project", "write"]
    assert [skipped for stage, *_, skipped in told if stage == "scan"][-1] == 2
    for stage in ("scan", "project", "write"):
        numbers = [done for name, done, *_ in told if name == stage]
        assert numbers == sorted(numbers) and numbers[-1] == next(total for name, _, total, _ in told if name == stage)


# ---- top units whose way down is kept beside the scan


@pytest.fixture
def two_batches_together(monkeypatch):
    monkeypatch.setattr(top_pictures, "_TOGETHER", 8)


@pytest.fixture(scope="module")
def kept_folder(net, loaded, photos, tmp_path_factory) -> Path:
    """An atlas for which not one photo was run again."""
    folder = tmp_path_factory.mktemp("kept") / "atlas"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TopMemory, "pays", lambda self, photos: True)
        patch.setattr(top_pictures, "_inputs", None)
        patch.setattr(top_pictures, "_TOGETHER", 8)
        build_atlas(net, photos, ["1", "4"], out=folder, loaded=loaded, batch=4, k=3, keep_signal=True)
    return folder


@pytest.mark.usefixtures("two_batches_together")
def test_top_units_in_memory_have_the_bytes_of_those_that_are_run_again(
    net, loaded, photos, kept_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(TopMemory, "pays", lambda self, photos: False)
    options = {"loaded": loaded, "batch": 4, "k": 3, "keep_signal": True}
    build_atlas(net, photos, ["1", "4"], out=tmp_path / "a", **options)
    assert_same(tmp_path / "a", kept_folder)
    for i in (1, 0):
        scan_shard(net, photos, ["1", "4"], shard=(i, 2), out=tmp_path / str(i), **options)
    merge_shards(net, photos, [tmp_path / "0", tmp_path / "1"], out=tmp_path / "b", loaded=loaded)
    assert_same(tmp_path / "b", kept_folder)


@pytest.mark.usefixtures("two_batches_together")
@pytest.mark.parametrize(
    ("where", "name", "call"),
    [(build.Scan, "add", 1), (build.Scan, "add", 4), (unfinished.Tiles, "add", 2), (write, "write_top", 1)],
)
def test_top_units_that_were_lost_in_a_crash_are_run_again(
    net, loaded, photos, kept_folder, tmp_path, monkeypatch, where, name, call
):
    monkeypatch.setattr(build, "_SAVE_SECONDS", -1)
    monkeypatch.setattr(TopMemory, "pays", lambda self, photos: True)
    arguments = {"out": tmp_path / "a", "loaded": loaded, "batch": 4, "k": 3, "keep_signal": True}
    with monkeypatch.context() as patch:
        crashing(patch, where, name, call)
        with pytest.raises(Crash):
            build_atlas(net, photos, ["1", "4"], **arguments)
    build_atlas(net, photos, ["1", "4"], resume=True, **arguments)
    assert_same(tmp_path / "a", kept_folder)


@pytest.mark.usefixtures("two_batches_together")
def test_top_units_in_memory_look_like_those_of_whole_passes(net, loaded, photos, kept_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(TopMemory, "of", lambda *_: None)
    whole = build_atlas(
        net, photos, ["1", "4"], out=tmp_path / "a", loaded=loaded, batch=4, k=3, keep_signal=True
    )  # fmt: skip
    kept = Atlas.open(kept_folder)
    for layer in ("1", "4"):
        one, other = kept.signals(layer), whole.signals(layer)
        assert np.array_equal(one.low, other.low)
        assert np.abs(one.windows.astype(np.float32) - other.windows).max() <= 2e-3
    assert {one: kept.top("4", one) for one in range(6)} == {one: whole.top("4", one) for one in range(6)}


def test_a_memory_pays_while_photos_are_few_and_not_at_all_for_little_networks(net):
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(64, 64, 3), nn.ReLU())
    wide_net = DeconvNet(wide, torch.zeros(1, 3, 128, 128))

    def pays(network: DeconvNet, layer: str, photos: int) -> bool:
        memory = TopMemory.of(attached(network), [network.layers[layer]], 9, 10**9)
        assert memory is not None
        return memory.pays(photos)

    assert pays(wide_net, "4", 500) and not pays(wide_net, "4", 10**6) and not pays(net, "4", 500)
    assert TopMemory.of(attached(wide_net), [wide_net.layers["4"]], 9, 10**4) is None


# ---- reconstructions that are larger than memory


def assert_alike(folder: Path, whole: Path) -> None:
    """The same tables and manifest, byte for byte; signals to half precision, pictures to what WebP keeps."""
    contents, expected = files(folder), files(whole)
    assert contents.keys() == expected.keys()
    for name in contents:
        if not name.startswith(("pictures", "signals")):
            assert contents[name] == expected[name], name
        elif name.endswith(".webp"):
            images = [np.asarray(Image.open(one / name).convert("RGB")).astype(int) for one in (folder, whole)]
            assert np.abs(images[0] - images[1]).max() <= 2, name
    atlas, other = Atlas.open(folder), Atlas.open(whole)
    for layer in atlas.layers:
        signals, truth = atlas.signals(layer), other.signals(layer)
        assert np.array_equal(signals.low, truth.low)
        assert np.abs(signals.windows.astype(np.float32) - truth.windows).max() <= 2e-3


@pytest.mark.parametrize(
    ("layers", "budget"),
    [(["1", "4"], 2_000), (["4", "8"], 4 * 3 * 32 * 32)],  # bytes of one picture at least; "8" sees the whole photo
    ids=["in memory", "run again"],
)
def test_reconstructions_that_do_not_fit_together_go_down_in_groups(
    net, loaded, photos, tmp_path, monkeypatch, layers, budget
):
    options = {"k": 3, "loaded": loaded, "batch": 4, "keep_signal": True}
    monkeypatch.setattr(TopMemory, "pays", lambda self, photos: True)
    whole = build_atlas(net, photos, layers, out=tmp_path / "whole", **options)
    monkeypatch.setattr(engine_project, "free_bytes", lambda device: budget // 4)
    with pytest.raises(MemoryBudgetError, match="project fewer units at a time"):
        build_atlas(net, photos, layers, out=tmp_path / "a", **options)
    sizes: list[int] = []
    collected = engine_project.collected

    def collect(*args, **kwargs):
        result = collected(*args, **kwargs)
        sizes.append(result.windows.nbytes)
        return result

    for module in (engine_project, unit_memory):
        monkeypatch.setattr(module, "collected", collect)
    monkeypatch.setattr(top_pictures, "_MOST_BYTES", budget)
    monkeypatch.setattr(unit_memory, "_BUDGET", budget)
    build_atlas(net, photos, layers, out=tmp_path / "a", resume=True, **options)
    assert_alike(tmp_path / "a", tmp_path / "whole")
    signals = sum(3 * 4 * whole.signals(layer).windows[:, 0].size for layer in layers)
    assert max(sizes) <= budget and sum(sizes) == signals


def test_a_batch_that_is_larger_than_memory_is_refused_with_the_largest(net, loaded, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("deconvnet._memory.free_bytes", lambda device: 100_000)
    words = r"batch is at most \d+ here, as each photo takes .* kB and 400.0 kB of memory are free; got 24"
    with pytest.raises(ArgumentError, match=words):
        build_atlas(net, photos, out=tmp_path / "a", loaded=loaded, batch=10**9)


@pytest.mark.parametrize("shard", [(0, 10**9), (2, 2), (-1, 2), (0, 0), (0,), "0/2", (0.5, 2), None])
def test_a_shard_that_is_none_is_told(net, loaded, photos, tmp_path, shard):
    with pytest.raises(
        ArgumentError, match=r"a shard is part i of n, (i from 0 to n - 1|each of nine digits at most); got"
    ):
        scan_shard(net, photos, shard=shard, out=tmp_path / "a", loaded=loaded)


def test_many_missing_parts_are_counted_and_not_all_listed(net, loaded, photos, tmp_path):
    scan_shard(net, photos, ["1"], shard=(0, 10**8), out=tmp_path / "a", loaded=loaded, batch=4)
    words = r"99999999 of 100000000 parts are missing: 1, 2, .*, 20, \.\.\."
    with pytest.raises(ArgumentError, match=words):
        merge_shards(net, photos, [tmp_path / "a"], out=tmp_path / "b", loaded=loaded)
