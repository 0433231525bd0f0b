"""An atlas never shows the patches of photos beside the activations of other ones."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.atlases import files, small_network

from deconvnet import ArgumentError, DeconvNet, LoadedModel, PhotoError
from deconvnet.atlas import build
from deconvnet.atlas.build import build_atlas
from deconvnet.atlas.jobs import merge_shards, scan_shard
from deconvnet.photos.digests import Digests
from deconvnet.photos.sets import open_photos


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return small_network()


@pytest.fixture(scope="module")
def net(loaded: LoadedModel) -> DeconvNet:
    return DeconvNet(loaded.model, loaded.example_input)


def put(folder: Path, i: int, seed: int) -> None:
    """A photo that has as many bytes as any other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3))
    if i == 7:  # in no ranking
        pixels //= 200
    Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.bmp")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        put(folder, i, i)
    return folder


def change_unseen(folder: Path, i: int) -> None:
    """Other pixels in a file of the same size and time."""
    before = (folder / f"{i}.bmp").stat()
    put(folder, i, 100 + i)
    os.utime(folder / f"{i}.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))


def interrupt_at(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], stage: str, done: int) -> dict[str, Any]:
    """The options of a run that ends there, having saved all until then."""
    monkeypatch.setattr(build, "_SAVE_SECONDS", -1)

    def progress(here: str, number: int, total: int, skipped: int) -> None:
        if (here, number) == (stage, done):
            raise KeyboardInterrupt

    return {**options, "progress": progress}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_photo_that_changes_during_a_run_is_an_error_that_names_it(
    net: DeconvNet, loaded: LoadedModel, photos: Path, tmp_path: Path, workers: int
) -> None:
    def progress(stage: str, done: int, total: int, skipped: int) -> None:
        if (stage, done) == ("project", 0):
            change_unseen(photos, 5)

    with pytest.raises(PhotoError, match=r"'5\.bmp' has changed since it was read first\. Restore it"):
        build_atlas(net, photos, out=tmp_path / "a", loaded=loaded, batch=4, workers=workers, progress=progress)


def test_a_photo_that_changed_while_a_run_was_interrupted_is_named(
    net: DeconvNet, loaded: LoadedModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"out": tmp_path / "a", "loaded": loaded, "batch": 4}
    with pytest.raises(KeyboardInterrupt):
        build_atlas(net, photos, **interrupt_at(monkeypatch, options, "project", 0))
    change_unseen(photos, 5)
    with pytest.raises(PhotoError, match=r"'5\.bmp' has changed"):
        build_atlas(net, photos, resume=True, **options)
    put(photos, 5, 5)
    build_atlas(net, photos, resume=True, **options)
    build_atlas(net, photos, **{**options, "out": tmp_path / "b"})
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_photo_that_is_in_no_ranking_is_named_as_well_if_its_file_was_written_anew(
    net: DeconvNet, loaded: LoadedModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"out": tmp_path / "a", "loaded": loaded, "batch": 1, "k": 1}
    with pytest.raises(KeyboardInterrupt):
        build_atlas(net, photos, **interrupt_at(monkeypatch, options, "scan", 11))
    put(photos, 7, 100)
    os.utime(photos / "7.bmp", (1, 1))
    with pytest.raises(PhotoError, match=r"'7\.bmp' has changed"):
        build_atlas(net, photos, resume=True, **options)


def test_a_run_goes_on_with_photos_that_were_only_touched_or_copied(
    net: DeconvNet, loaded: LoadedModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"out": tmp_path / "a", "loaded": loaded, "batch": 4}
    with pytest.raises(KeyboardInterrupt):
        build_atlas(net, photos, **interrupt_at(monkeypatch, options, "scan", 8))
    for i in range(12):
        os.utime(photos / f"{i}.bmp", (i, i))
    build_atlas(net, photos, resume=True, **options)
    build_atlas(net, photos, **{**options, "out": tmp_path / "b"})
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_photos_that_changed_between_the_parts_and_their_merge_are_named(
    net: DeconvNet, loaded: LoadedModel, photos: Path, tmp_path: Path
) -> None:
    parts = [tmp_path / "0", tmp_path / "1"]
    for i, part in enumerate(parts):
        scan_shard(net, photos, shard=(i, 2), out=part, loaded=loaded, batch=4)
    change_unseen(photos, 5)
    with pytest.raises(PhotoError, match=r"'5\.bmp' has changed"):
        merge_shards(net, photos, parts, out=tmp_path / "a", loaded=loaded)
    put(photos, 5, 5)
    merge_shards(net, photos, parts, out=tmp_path / "b", loaded=loaded)


def test_a_photo_that_is_gone_when_its_pictures_are_made_is_named(
    net: DeconvNet, loaded: LoadedModel, photos: Path, tmp_path: Path
) -> None:
    def progress(stage: str, done: int, total: int, skipped: int) -> None:
        if (stage, done) == ("project", 0):
            (photos / "5.bmp").unlink()

    with pytest.raises(PhotoError, match=r"cannot read '5\.bmp': no such file"):
        build_atlas(net, photos, out=tmp_path / "a", loaded=loaded, batch=4, progress=progress)


def test_a_data_set_that_changes_its_photos_at_random_is_refused_before_the_scan(
    net: DeconvNet, loaded: LoadedModel, tmp_path: Path
) -> None:
    class Noise(list[int]):
        random = np.random.default_rng(0)

        def __getitem__(self, i: Any) -> Any:
            return self.random.integers(0, 256, (40, 40, 3)).astype(np.uint8)

    with pytest.raises(ArgumentError, match="'0' is another one than when the set was opened"):
        build_atlas(net, Noise([1, 2]), out=tmp_path / "a", loaded=loaded)
    assert not (tmp_path / "a").exists()


def test_digests_are_saved_merged_and_looked_up(photos: Path) -> None:
    one, two = Digests(), Digests()
    one.add([3, 0], [7, 2**64 - 1])
    two.add([], [])
    two.add([4000], np.array([9], np.uint64))
    one.check(opened := open_photos(photos))
    one.merge(two)
    again = Digests.of_arrays({name: array.copy() for name, array in one.arrays().items()})
    assert [again.of(i) for i in (0, 1, 3, 4000, 10**9)] == [2**64 - 1, 0, 7, 9, 0]
    again.check(opened)  # the same files: nothing is read
    os.utime(photos / "0.bmp", (1, 1))
    with pytest.raises(PhotoError, match=re.escape("'0.bmp' has changed")):
        again.check(open_photos(photos))
    for arrays in ({"digests": np.zeros(3, np.uint64)}, {"digests": np.zeros(3), "stamp": np.zeros(0, np.uint8)}):
        with pytest.raises((KeyError, ValueError)):
            Digests.of_arrays(arrays)
