"""Working files: those that are damaged, of another run or have lost something are named; never a wrong atlas."""

import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.atlases import files

from deconvnet import ArgumentError, AtlasError, DeconvNetError
from deconvnet._arrays import read_arrays, write_arrays
from deconvnet._folders import UNFINISHED, held
from deconvnet._types import Box
from deconvnet.atlas import build, write
from deconvnet.atlas.build import build_atlas
from deconvnet.atlas.jobs import merge_shards, scan_shard
from deconvnet.atlas.manifest import MANIFEST
from deconvnet.atlas.store import NAMES, strip_path
from deconvnet.atlas.unfinished import Tile, Unfinished

PHOTOS = [f"sample:{name}" for name in ("chelsea", "astronaut", "coffee", "rocket")]


@pytest.fixture
def run(net, loaded) -> Callable[..., object]:
    def build_it(out: Path, **changed):
        return build_atlas(net, PHOTOS, out=out, **{"loaded": loaded, "batch": 2, "k": 2, **changed})

    return build_it


@pytest.fixture(scope="module")
def whole(net, loaded, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "atlas"
    build_atlas(net, PHOTOS, out=folder, loaded=loaded, batch=2, k=2)
    return folder


class Crash(BaseException):
    """As if the process had ended here."""


def crash(*args: object) -> None:
    raise Crash


@pytest.fixture(scope="module")
def stopped(net, loaded, tmp_path_factory) -> Path:
    """An atlas that was interrupted while it was written."""
    folder = tmp_path_factory.mktemp("stopped") / "atlas"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "write_top", crash)
        with pytest.raises(Crash):
            build_atlas(net, PHOTOS, out=folder, loaded=loaded, batch=2, k=2)
    return folder


@pytest.fixture
def folder(stopped, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(stopped, tmp_path / "a"))


def test_an_atlas_that_was_interrupted_goes_on(run, folder, whole):
    run(folder, resume=True)
    assert files(folder) == files(whole)


# One run at a time.


def test_a_second_run_is_refused_by_name_and_disturbs_nothing(run, net, loaded, folder, tmp_path):
    scan_shard(net, PHOTOS, shard=(0, 1), out=tmp_path / "part", loaded=loaded, batch=2, k=2)
    with held(folder, NAMES):
        (folder / UNFINISHED / ".deconvnet-0123456789abcdef.part").write_bytes(b"being written")
        before = files(folder)
        for second in (
            lambda: run(folder, resume=True),
            lambda: run(folder),
            lambda: scan_shard(net, PHOTOS, shard=(0, 1), out=folder, loaded=loaded, batch=2, k=2, resume=True),
            lambda: merge_shards(net, PHOTOS, [tmp_path / "part"], out=folder, loaded=loaded, resume=True),
        ):
            with pytest.raises(ArgumentError, match=r"another run is at work in '.*a' \(process \d+ on '.*', since 2"):
                second()
        assert files(folder) == before


def test_the_other_run_may_be_the_one_that_is_about_to_end(run, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "a")
    with held(tmp_path / "a", NAMES), pytest.raises(ArgumentError, match="another run is at work"):
        run(tmp_path / "a", resume=True)


# The key.


@pytest.mark.parametrize("left", ["claimed", "key.json", "scan.safetensors", "tiles.sqlite"])
def test_a_run_that_was_killed_behind_its_manifest_is_compared_too(run, whole, stopped, tmp_path, left):
    shutil.copytree(whole, tmp_path / "a")
    (tmp_path / "a" / UNFINISHED).mkdir()
    shutil.copy(stopped / UNFINISHED / left, tmp_path / "a" / UNFINISHED)
    before = files(tmp_path / "a")
    with pytest.raises(ArgumentError, match="was started with k=2, now k=1"):
        run(tmp_path / "a", resume=True, k=1)
    assert files(tmp_path / "a") == before
    run(tmp_path / "a", resume=True)
    assert files(tmp_path / "a") == files(whole)


def test_a_part_that_is_finished_is_not_scanned_again(net, loaded, tmp_path, monkeypatch):
    options = {"shard": (0, 2), "out": tmp_path, "loaded": loaded, "batch": 2, "k": 2}
    first = scan_shard(net, PHOTOS, **options)
    assert not first.was_finished and first.photos + len(first.skipped) > 0
    before = files(tmp_path)
    monkeypatch.setattr(build.Scan, "add", None)
    assert scan_shard(net, PHOTOS, resume=True, **options) == replace(first, was_finished=True)
    with pytest.raises(ArgumentError, match='shard="0/2", now shard="1/2"'):
        scan_shard(net, PHOTOS, resume=True, **{**options, "shard": (1, 2)})
    assert files(tmp_path) == before


@pytest.mark.parametrize("shard", ['"x"', "3", '"1/0"', '"2/2"', '"-1/2"', '"1/9999999999"', "null", '["0/1"]'])
def test_a_part_whose_key_says_something_else_is_told(net, loaded, tmp_path, shard):
    scan_shard(net, PHOTOS, shard=(0, 1), out=tmp_path / "a", loaded=loaded, batch=2, k=2)
    path = tmp_path / "a" / UNFINISHED / "key.json"
    path.write_text(path.read_text().replace('"0/1"', shard))
    with pytest.raises(DeconvNetError, match=r"key\.json' is damaged: |does not hold a scanned part"):
        merge_shards(net, PHOTOS, [tmp_path / "a"], out=tmp_path / "b", loaded=loaded)
    assert not (tmp_path / "b").exists()


# A user's own files.


@pytest.mark.parametrize("name", ["top.parquet", "stats.parquet", "skipped.parquet", "pictures/1/0.patch.webp"])
def test_a_file_of_the_user_beside_an_unfinished_atlas_is_not_overwritten(run, net, loaded, tmp_path, name):
    folder = tmp_path / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "scan_photos", crash)
        with pytest.raises(Crash):
            run(folder)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"mine")
    before = files(folder)
    words = re.escape(f"{name.split('/')[0]}' is there already and is not from this run. Move it elsewhere")
    for resumed in (
        lambda: run(folder, resume=True),
        lambda: scan_shard(net, PHOTOS, shard=(0, 1), out=folder, loaded=loaded, batch=2, k=2, resume=True),
    ):
        with pytest.raises(ArgumentError, match=f"{words}|was started with shard"):
            resumed()
    assert files(folder) == before


def test_a_file_of_the_user_that_comes_while_photos_are_scanned_is_not_overwritten(run, tmp_path, monkeypatch, whole):
    folder = tmp_path / "a"

    def put(stage: str, *_: object) -> None:
        if stage == "project":
            (folder / "top.parquet").write_bytes(b"mine")

    with pytest.raises(ArgumentError, match=r"top\.parquet' is there already"):
        run(folder, progress=put)
    assert (folder / "top.parquet").read_bytes() == b"mine" and not (folder / "pictures").exists()
    (folder / "top.parquet").unlink()
    run(folder, resume=True)
    assert files(folder) == files(whole)


# What is lost on the way.


@pytest.mark.parametrize("lost", ["a picture", "pictures", "everything"])
def test_a_folder_that_is_removed_while_it_is_written_does_not_become_an_atlas(run, tmp_path, monkeypatch, lost, whole):
    folder, write_stats = tmp_path / "a", write.write_stats

    def remove(*args: object) -> None:
        write_stats(*args)
        if lost == "a picture":
            strip_path(folder, "4", 1, "patch").unlink()
        else:
            shutil.rmtree(folder / "pictures" if lost == "pictures" else folder)

    with monkeypatch.context() as patch:
        patch.setattr(write, "write_stats", remove)
        with pytest.raises(DeconvNetError, match=r"was removed while|cannot write"):
            run(folder)
    assert not (folder / MANIFEST).exists()
    run(folder, resume=True)
    assert files(folder) == files(whole)


def test_a_folder_that_another_run_took_over_gets_no_manifest_of_the_first(run, tmp_path):
    folder = tmp_path / "a"

    def take(stage: str, *_: object) -> None:
        if stage == "write":
            (folder / UNFINISHED / "lock").unlink(missing_ok=True)

    with pytest.raises(DeconvNetError, match="another run has taken it over"):
        run(folder, progress=take)
    assert not (folder / MANIFEST).exists()


@pytest.mark.parametrize("saved", ["scan", "pictures"])
def test_a_run_whose_place_was_taken_saves_nothing_more(run, tmp_path, monkeypatch, saved):
    folder, before = tmp_path / "a", {}
    monkeypatch.setattr(build, "_SAVE_SECONDS", -1)
    working = {"scan": "scan.safetensors", "pictures": "tiles.sqlite"}[saved]

    def take(stage: str, done: int, *_: object) -> None:
        if (stage, done) == (("scan", 4) if saved == "scan" else ("project", 0)):
            (folder / UNFINISHED / "lock").unlink()
            (folder / UNFINISHED / "lock").write_bytes(b"another run's")
            before.update(files(folder))

    with pytest.raises(DeconvNetError, match="another run has taken it over"):
        run(folder, progress=take)
    assert files(folder) == before and (saved == "pictures" or f"{UNFINISHED}/{working}" in before)


def test_pictures_of_a_batch_that_are_kept_twice_do_no_harm(tmp_path):
    with held(tmp_path, NAMES) as folder, Unfinished(tmp_path).tiles(folder) as tiles:
        tile = Tile(0, Box((0, 0), (4, 4)), b"signal", b"patch", None)
        for _ in range(2):
            tiles.add(0, [(0, 0, tile)])
        assert tiles.done() == {0} and tiles.of_map(0, 0, 1) == [tile]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM tiles", "it has 0 pictures for map 0 of layer 0, which should have 2"),
        ("DELETE FROM tiles WHERE layer = 2 AND rank = 1", "it has 1 pictures for map"),
        ("UPDATE tiles SET rank = 5 WHERE rank = 1", "which should have"),
        ("UPDATE tiles SET top = top + 1 WHERE layer = 1", "is not what was written"),
        ("UPDATE tiles SET patch = signal", "is not what was written"),
        ("UPDATE tiles SET patch = 'text'", "is not what was written"),
        ("UPDATE tiles SET patch = NULL, digest = NULL", "is not what was written"),
        ("UPDATE run SET key = 'x'", "it belongs to another run"),
        ("DROP TABLE tiles; CREATE TABLE tiles (layer INTEGER)", "no such column"),
        ("DROP TABLE done; CREATE TABLE done (other TEXT)", "no such column"),
    ],
)
def test_pictures_that_are_lost_or_others_are_told_and_made_again(run, folder, whole, statement, what):
    path = folder / UNFINISHED / "tiles.sqlite"
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(statement)
    database.close()
    with pytest.raises(AtlasError, match=rf"tiles\.sqlite' is damaged: .*{what}.* Remove it and continue"):
        run(folder, resume=True)
    path.unlink()
    run(folder, resume=True)
    assert files(folder) == files(whole)


@pytest.mark.parametrize("name", ["scan.safetensors", "tiles.sqlite"])
def test_working_files_of_another_run_are_told(run, folder, tmp_path, name, whole):
    other = tmp_path / "other"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "write_top", crash)
        with pytest.raises(Crash):
            run(other, k=1)
    shutil.copy(other / UNFINISHED / name, folder / UNFINISHED)
    with pytest.raises(AtlasError, match=rf"{name}' is damaged: it belongs to another run\. Remove it and continue"):
        run(folder, resume=True)
    (folder / UNFINISHED / name).unlink()
    run(folder, resume=True)
    assert files(folder) == files(whole)


# A scan that cannot be, with a hash that says that it was written.


def rewritten(path: Path, change: Callable[[dict], object], words: Callable[[str], str] = str) -> None:
    text, arrays = read_arrays(path)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays)
    write_arrays(path, words(text), arrays)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda a: a.pop("bins"), "instead of activations, images"),
        (lambda a: a.update({"bins": a["bins"].astype(np.int32)}), "bins is int32 of shape"),
        (lambda a: a.update({"activations": np.zeros((5, 9), np.float32)}), r"of shape \(5, 9\) instead of"),
        (lambda a: a["photos"].fill(3), "it does not count the 4 photos that it has seen"),
        (lambda a: a["bins"].fill(0), "it does not count the 4 photos"),
        (lambda a: a["positive"].fill(10**9), "more active positions than there are"),
        (lambda a: a["largest"].fill(np.nan), "the largest activations are not finite"),
        (lambda a: a["images"][:5].fill(99), "ranks photos that it has not seen"),
        (lambda a: a["places"].fill(-1), "ranks positions outside of the feature maps"),
        (lambda a: a["activations"].fill(np.nan), "are not above zero"),
        (lambda a: a.update({"activations": a["activations"][:, ::-1].copy()}), "not in order"),
        (lambda a: a["images"][5:].fill(np.iinfo(np.int64).max), "does not rank as many photos"),
    ],
)
def test_a_scan_that_cannot_be_is_told(run, folder, change, what):
    rewritten(folder / UNFINISHED / "scan.safetensors", change)
    with pytest.raises(AtlasError, match=rf"scan\.safetensors' is damaged: .*{what}"):
        run(folder, resume=True)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('"done": 2', '"done": 1', "it does not count the 2 photos"),
        ('"done": 2', '"done": 9', "it holds 9 batches of 2 photos, but there are 4"),
        ('"done": 2', '"done": -1', "Expected `int` >= 0"),
        ('"skipped": []', '"skipped": [{"index": 7, "image": "a", "reason": "b"}]', "are not among those"),
        ('"skipped": []', '"skipped": [{"index": 0, "image": "a", "reason": "b"}]', "it does not count the 3 photos"),
        ('"skipped": []', '"skipped": {}', "Expected `array`, got `object`"),
    ],
)
def test_a_scan_that_says_something_else_of_itself_is_told(run, folder, before, after, what):
    rewritten(folder / UNFINISHED / "scan.safetensors", lambda _: None, lambda text: text.replace(before, after))
    with pytest.raises(AtlasError, match=rf"scan\.safetensors' is damaged: .*{what}"):
        run(folder, resume=True)


# Anything.

KINDS = (b"", b"[]", b'"x"', b"3", b"null", b"{}", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"\0" * 5000)


def spoilt(data: bytes, numbers: random.Random) -> bytes:
    changed, at = bytearray(data), numbers.randrange(len(data))
    how = numbers.choice(("cut", "flip", "set", "remove", "add", "zeros"))
    if how == "cut":
        del changed[at:]
    elif how in ("flip", "set"):
        changed[at] = changed[at] ^ 1 << numbers.randrange(8) if how == "flip" else numbers.randrange(256)
    elif how == "remove":
        del changed[at : at + numbers.randrange(1, 50)]
    else:
        changed[at : at + 64 * (how == "zeros")] = bytes(numbers.randrange(1, 64))
    return bytes(changed)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("name", ["key.json", "scan.safetensors", "tiles.sqlite", "claimed"])
def test_no_damage_gives_a_foreign_error_or_another_atlas(run, stopped, whole, tmp_path, name):
    numbers = random.Random(7)
    data = (stopped / UNFINISHED / name).read_bytes() or b" "
    for i, content in enumerate((*KINDS, *(spoilt(data, numbers) for _ in range(12)))):
        folder = shutil.copytree(stopped, tmp_path / str(i))
        (folder / UNFINISHED / name).write_bytes(content)
        try:
            run(folder, resume=True)
        except DeconvNetError as fault:
            assert name in str(fault) or "was started with" in str(fault)
            assert not (folder / MANIFEST).exists()
        else:
            assert files(folder) == files(whole)
