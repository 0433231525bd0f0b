"""Learning from photos into a folder: what lies there, and the same after any interruption."""

import csv
import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from deconvnet import ArgumentError, DeconvNetError, PhotoError
from deconvnet._folders import UNFINISHED, held
from deconvnet.learn import (
    AdaptiveDeconvNet,
    Codes,
    Learned,
    Prepare,
    Progress,
    learn_photos,
    learned,
    load_net,
    save_net,
    train,
)
from deconvnet.learn.proximal import fista
from deconvnet.photos.photo import load_photo
from deconvnet.photos.sets import PhotoSet, open_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Six photos, two files that are none, and one photo that is too thin."""
    folder = tmp_path_factory.mktemp("photos")
    for i, name in enumerate(("chelsea", "astronaut", "coffee") * 2):
        load_photo(f"sample:{name}").image().crop((60 * i, 40, 60 * i + 90, 120)).resize((30, 24)).save(
            folder / f"{i}.png"
        )
    (folder / "2b.png").write_bytes(b"no photo")
    (folder / "4b.png").write_bytes(b"")
    Image.new("RGB", (300, 4)).save(folder / "5b.png")
    return folder


def network(seed: int = 1, **options) -> AdaptiveDeconvNet:
    return AdaptiveDeconvNet.of([3, 4], **{"kernel": 3, "pool": (2, 2, 2), "lam": 0.3, "seed": seed, **options})


def run(photos: Path, out: Path | str, net: AdaptiveDeconvNet | None = None, **options) -> Learned:
    options = {"prepare": Prepare(24), "epochs": [2, 1], "batch": 2, "max_iter": 5, **options}
    return learn_photos(open_photos(photos), network() if net is None else net, out=out, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "a" / "b"
    run(photos, folder)
    return folder


class Crash(BaseException):
    """As if the process had ended here."""


def crash_at(update: int) -> Callable[[Progress], None]:
    told: list[Progress] = []

    def tell(one: Progress) -> None:
        told.append(one)
        if len(told) == update + 1:
            raise Crash

    return tell


# What lies there.


def test_the_folder_holds_the_network_and_the_photos_that_could_not_be_read(whole, photos):
    assert list(files(whole)) == ["learned.safetensors", "skipped.csv"]
    with (whole / "skipped.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["photo", "reason"] and [name for name, _ in rows[1:]] == ["2b.png", "4b.png", "5b.png"]
    assert "not an image" in rows[1][1] and "empty" in rows[2][1] and "4 x 300 pixels" in rows[3][1]
    found = Learned.open(whole)
    assert found.skipped() == dict(rows[1:])
    assert found.prepare == Prepare(24) and str(found.net) == str(network())
    assert found.about["photos"] == {
        "learned from": 9,
        "fingerprint": open_photos(photos).fingerprint,
        "pick": {"limit": None, "sample": None, "seed": 0},
    }
    assert (found.about["batch"], found.about["seed"]) == (2, 0)
    assert found.about["options"] == {
        "update_by": "online", "solver": "auto", "tol": 1e-2, "max_iter": 5, "steps": 10, "epochs": [2, 1],
    }  # fmt: skip


def test_it_is_what_fit_learns_from_the_photos(whole, photos):
    readable = [load_photo(path) for path in sorted(photos.iterdir()) if len(path.stem) == 1]
    numbers = [0, 1, 2, None, 3, 4, None, 5, None]  # with those that cannot be read between them

    def loader(epoch: int):
        order = torch.randperm(9, generator=torch.Generator().manual_seed(epoch)).tolist()
        for first in range(0, 9, 2):
            kept = [readable[number] for i in order[first : first + 2] if (number := numbers[i]) is not None]
            if kept:
                yield torch.cat([Prepare(24).image(photo) for photo in kept])

    net = train.fit(network(), loader, [2, 1], max_iter=5)
    for name, tensor in Learned.open(str(whole)).net.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name])


def test_the_network_that_was_given_is_the_one_that_learned(photos, tmp_path):
    net = network()
    found = run(photos, tmp_path, net, epochs=1, limit=2)
    assert found.folder == tmp_path and found.about["photos"]["learned from"] == 2
    assert torch.equal(found.net.layers[1].filters, net.layers[1].filters)
    assert found.skipped() == {} and list(files(tmp_path)) == ["learned.safetensors"]


def test_a_photo_becomes_what_the_network_takes(whole):
    found = Learned.open(whole)
    assert torch.equal(found.images("sample:chelsea"), Prepare(24).image(load_photo("sample:chelsea")))
    with pytest.raises(PhotoError, match="no such file"):
        found.images("no.png")


def test_names_and_reasons_of_any_kind_are_listed(photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    for name in ('a,"b".png', "c\nd.png", "é→.png"):
        (folder / name).write_bytes(b"none")
    found = run(folder, tmp_path / "out", epochs=1)
    assert {'a,"b".png', "c\nd.png", "é→.png", "2b.png"} <= set(found.skipped())
    assert len(found.skipped()) == 6


# Interruptions.


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("update", [0, 1, 4, 5, 7, 10])
@pytest.mark.parametrize("seconds", [-1, 60])
def test_after_a_crash_anywhere_it_goes_on_to_the_same_bytes(photos, whole, tmp_path, monkeypatch, update, seconds):
    monkeypatch.setattr(train, "_SAVE_SECONDS", seconds)
    with pytest.raises(Crash):
        run(photos, tmp_path, progress=crash_at(update))
    assert json.loads((tmp_path / UNFINISHED / "about.json").read_text())["batch"] == 2
    with pytest.raises(DeconvNetError, match="no learned network: learning is not finished: continue with --resume"):
        Learned.open(tmp_path)
    run(photos, tmp_path, resume=True)
    assert files(tmp_path) == files(whole)


@pytest.mark.parametrize(
    ("where", "name", "call"),
    [
        (train, "save_checkpoint", 1), (train, "save_checkpoint", 3), (learned, "_write_skipped", 1),
        (learned, "_write_skipped", 3), (learned, "write_net", 1), (Path, "unlink", -2), (Path, "unlink", -1),
    ],
)  # fmt: skip
def test_after_a_crash_between_two_files_it_goes_on_to_the_same_files(
    photos, whole, tmp_path, monkeypatch, where, name, call
):
    """The last calls of unlink, from the end, are those that remove unfinished files."""
    original, calls = getattr(where, name), [0]
    clears = {-2: "checkpoint.safetensors", -1: "about.json"}

    def wrapped(*args, **kwargs):
        result = original(*args, **kwargs)
        calls[0] += 1
        if calls[0] == call or (call < 0 and args[0].name == clears[call]):
            raise Crash
        return result

    with monkeypatch.context() as patch:
        patch.setattr(where, name, wrapped)
        with pytest.raises(Crash):
            run(photos, tmp_path)
    net = network(seed=1)
    found = run(photos, tmp_path, net, resume=True)
    assert files(tmp_path) == files(whole)
    assert torch.equal(found.net.layers[0].filters, net.layers[0].filters)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_files_are_the_same_for_any_number_of_workers(photos, whole, tmp_path, workers):
    run(photos, tmp_path, workers=workers)
    assert files(tmp_path) == files(whole)


def test_an_interrupted_run_goes_on_with_another_number_of_workers(photos, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    for workers, update in ((2, 1), (0, 4), (1, 3)):
        with pytest.raises(Crash):
            run(photos, tmp_path, workers=workers, resume=True, progress=crash_at(update))
        assert multiprocessing.active_children() == []
    run(photos, tmp_path, workers=2, resume=True)
    assert files(tmp_path) == files(whole)


def test_a_worker_that_is_killed_is_told_and_the_run_goes_on(photos, whole, tmp_path):
    def kill(_: Progress) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(DeconvNetError, match=r"ended with exit code -9.*out of memory.*Use fewer workers"):
        run(photos, tmp_path, workers=2, progress=kill)
    assert multiprocessing.active_children() == []
    run(photos, tmp_path, resume=True)
    assert files(tmp_path) == files(whole)


def test_what_a_killed_run_was_in_the_middle_of_writing_is_removed(photos, whole, tmp_path):
    (tmp_path / ".deconvnet-0123456789abcdef.part").write_bytes(b"half")
    with pytest.raises(Crash):
        run(photos, tmp_path, progress=crash_at(1))
    for folder in (tmp_path, tmp_path / UNFINISHED):
        (folder / ".deconvnet-0123456789abcdef.part").write_bytes(b"half")
    run(photos, tmp_path, resume=True)
    assert files(tmp_path) == files(whole) and not (tmp_path / UNFINISHED).exists()


def test_what_a_user_put_beside_our_unfinished_files_stays(photos, whole, tmp_path):
    with pytest.raises(Crash):
        run(photos, tmp_path, progress=crash_at(1))
    mine = {f"{UNFINISHED}/a.jpg", "about.json", "checkpoint.safetensors", ".0123456789abcdef.part"}
    for name in mine:
        (tmp_path / name).write_bytes(b"mine")
    run(photos, tmp_path, resume=True)
    assert files(tmp_path) == {**files(whole), **dict.fromkeys(mine, b"mine")}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "name",
    ["about.json", "checkpoint.safetensors", "skipped.csv", f"{UNFINISHED}/key.json", ".0123456789abcdef.part"],
)
def test_a_folder_with_files_of_the_user_is_refused(photos, tmp_path, name, resume):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"{}")
    words = f"is not empty: it holds {name.split('/')[0]!r}. Give a new folder"
    with pytest.raises(ArgumentError, match=re.escape(words)):
        run(photos, tmp_path, resume=resume)
    assert files(tmp_path) == {name: b"{}"}


def test_a_link_to_an_unfinished_run_is_not_followed(photos, tmp_path):
    with pytest.raises(Crash):
        run(photos, tmp_path / "a", progress=crash_at(1))
    before = files(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / UNFINISHED).symlink_to(tmp_path / "a" / UNFINISHED)
    with pytest.raises(ArgumentError, match=f"b' is not empty: it holds '{UNFINISHED}'"):
        run(photos, tmp_path / "b", resume=True)
    assert files(tmp_path / "a") == before


def test_a_network_of_the_user_is_not_overwritten(photos, tmp_path):
    (tmp_path / "learned.safetensors").write_bytes(b"mine")
    for resume, error in (
        (False, "already holds a learned network"),
        (True, "is damaged: .* Give what deconvnet.learn wrote"),
    ):
        with pytest.raises(DeconvNetError, match=error):
            run(photos, tmp_path, resume=resume)
    assert files(tmp_path) == {"learned.safetensors": b"mine"}


def test_no_name_at_all_is_not_the_current_folder(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="name of the output folder is empty"):
        run(photos, "")
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_not_gone_through_again(photos, whole):
    before, told, net = files(whole), [], network(seed=5)
    found = run(photos, whole, net, resume=True, progress=told.append)
    assert told == [] and files(whole) == before
    assert torch.equal(net.layers[0].filters, found.net.layers[0].filters)  # changed in place all the same


CHANGES = [
    ({"prepare": Prepare(25)}, r"was started with prepare\.size=24, now prepare\.size=25"),
    ({"seed": 1}, r"was started with seed=0, now seed=1\. Use the same options or a new folder"),
    ({"batch": 3}, "batch=2, now batch=3"),
    ({"limit": 2}, "photos.learned from=9, now photos.learned from=2"),
    ({"epochs": 3}, r"was started with epochs=\[2, 1\], now epochs=\[3, 3\]"),
    ({"max_iter": 6}, "max_iter=5, now max_iter=6"),
    ({"net": network(lam=0.1)}, '"lam": 0.3.*, now .*"lam": 0.1'),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
@pytest.mark.parametrize("finished", [False, True])
def test_going_on_with_something_else_is_refused_by_name(photos, whole, tmp_path, monkeypatch, change, words, finished):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    if finished:
        shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    else:
        with pytest.raises(Crash):
            run(photos, tmp_path, progress=crash_at(1))
    before = files(tmp_path)
    with pytest.raises(ArgumentError, match=words):
        run(photos, tmp_path, resume=True, **change)
    assert files(tmp_path) == before


def test_other_photos_are_refused(photos, tmp_path):
    with pytest.raises(Crash):
        run(photos, tmp_path / "out", progress=crash_at(1))
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "0.png").unlink()
    with pytest.raises(ArgumentError, match=r"was started with photos\..*, now photos\."):
        run(tmp_path / "photos", tmp_path / "out", resume=True)


def test_what_is_there_is_not_overwritten(photos, whole, tmp_path):
    before = files(whole)
    with pytest.raises(ArgumentError, match=r"already holds a learned network. Name another folder"):
        run(photos, whole)
    assert files(whole) == before
    with pytest.raises(Crash):
        run(photos, tmp_path, progress=crash_at(1))
    with pytest.raises(
        ArgumentError, match=r"holds an unfinished run. Continue it .*resume=True.*or give a new folder"
    ):
        run(photos, tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", "", '"x"', "[" * 100_000, '{"prepare": ' * 100_000, '{"batch": 2}'])
def test_a_damaged_list_of_what_was_begun_is_told(photos, tmp_path, text):
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / "about.json").write_text(text)
    with pytest.raises(DeconvNetError, match=r"about.json' is damaged: .*\. Give a new folder"):
        run(photos, tmp_path, resume=True)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("finished", [False, True])
def test_a_second_run_is_refused_by_name_and_disturbs_nothing(photos, whole, tmp_path, resume, finished):
    if finished and not resume:
        pytest.skip("refused before the lock is tried")
    if finished:
        shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    with held(tmp_path, ("learned.safetensors", "skipped.csv")):
        (tmp_path / UNFINISHED / ".deconvnet-0123456789abcdef.part").write_bytes(b"being written")
        before = files(tmp_path)
        with pytest.raises(ArgumentError, match=r"another run is at work in .* \(process \d+ on '.*', since 2"):
            run(photos, tmp_path, resume=resume)
        assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["skipped.csv", "learned.safetensors"])
def test_a_file_of_the_user_that_comes_while_it_learns_is_not_overwritten(photos, tmp_path, name, whole):
    def put(_: Progress) -> None:
        (tmp_path / name).write_bytes(b"mine")

    with pytest.raises(ArgumentError, match=f"{name}' is there already and is not from this run. Move it elsewhere"):
        run(photos, tmp_path, progress=put)
    assert (tmp_path / name).read_bytes() == b"mine"
    (tmp_path / name).unlink()
    run(photos, tmp_path, resume=True)
    assert files(tmp_path) == files(whole)


def test_a_folder_that_is_removed_while_it_learns_is_told(photos, tmp_path):
    with pytest.raises(DeconvNetError, match=r"cannot write|was removed"):
        run(photos, tmp_path / "out", progress=lambda _: shutil.rmtree(tmp_path / "out", ignore_errors=True))
    assert not (tmp_path / "out" / "learned.safetensors").exists()


def test_a_run_whose_place_was_taken_saves_nothing_more(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    before = {}

    def take(progress: Progress) -> None:
        if progress.batch == 2:
            (tmp_path / UNFINISHED / "lock").unlink()
            (tmp_path / UNFINISHED / "lock").write_bytes(b"another run's")
            before.update(files(tmp_path))

    with pytest.raises(DeconvNetError, match="another run has taken it over"):
        run(photos, tmp_path, progress=take)
    assert files(tmp_path) == before and f"{UNFINISHED}/checkpoint.safetensors" in before


# Photos that change.


def change_unseen(photo: Path) -> None:
    """Other pixels in a file of the same size and time."""
    before = photo.stat()
    data = photo.read_bytes()
    Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photo, "bmp")
    assert len(photo.read_bytes()) == len(data) and photo.read_bytes() != data
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def bitmaps(photos, tmp_path) -> Path:
    folder = tmp_path / "bitmaps"
    folder.mkdir()
    for i in range(6):
        Image.open(photos / f"{i}.png").save(folder / f"{i}.bmp")
    return folder


def test_a_photo_that_changes_between_two_epochs_is_named(bitmaps, tmp_path):
    def change(progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (0, 2):
            change_unseen(bitmaps / "1.bmp")

    with pytest.raises(PhotoError, match=r"'1\.bmp' has changed since it was read first\. Restore it, or start again"):
        run(bitmaps, tmp_path / "out", progress=change)
    change_unseen(bitmaps / "1.bmp")
    run(bitmaps, tmp_path / "out", resume=True)
    run(bitmaps, tmp_path / "again")
    assert files(tmp_path / "out") == files(tmp_path / "again")


@pytest.mark.parametrize("update", [2, 4, 7])  # in the first epoch, of three batches, and in later ones
def test_a_photo_that_changed_while_a_run_was_interrupted_is_named(bitmaps, tmp_path, monkeypatch, update):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    with pytest.raises(Crash):
        run(bitmaps, tmp_path / "out", progress=crash_at(update - 1))
    first = torch.randperm(6, generator=torch.Generator().manual_seed(0)).tolist()[0]
    change_unseen(bitmaps / f"{first}.bmp")
    with pytest.raises(PhotoError, match=rf"'{first}\.bmp' has changed since it was read first"):
        run(bitmaps, tmp_path / "out", resume=True)


@pytest.mark.parametrize("change", ["cut off", "another run's"])
def test_damaged_digests_of_photos_are_told(bitmaps, tmp_path, change):
    with pytest.raises(Crash):
        run(bitmaps, tmp_path / "out", progress=crash_at(4))
    path = tmp_path / "out" / UNFINISHED / "digests.safetensors"
    if change == "cut off":
        path.write_bytes(path.read_bytes()[:-8])
    else:
        with pytest.raises(Crash):
            run(bitmaps, tmp_path / "other", seed=1, progress=crash_at(4))
        shutil.copy(tmp_path / "other" / UNFINISHED / path.name, path)
    with pytest.raises(DeconvNetError, match=r"digests\.safetensors' is damaged: .*\. Give a new folder"):
        run(bitmaps, tmp_path / "out", resume=True)


def test_a_checkpoint_of_a_run_from_other_photos_is_refused(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "0.png").unlink()
    with pytest.raises(Crash):
        run(tmp_path / "photos", tmp_path / "a", progress=crash_at(5))
    with pytest.raises(Crash):
        run(photos, tmp_path / "b", progress=crash_at(5))
    shutil.copy(*(tmp_path / name / UNFINISHED / "checkpoint.safetensors" for name in "ab"))
    with pytest.raises(ArgumentError, match=r"was started with photos\..*, now photos\."):
        run(photos, tmp_path / "b", resume=True)


@pytest.mark.parametrize("content", [b"", b"photo", b"photo,reason\na", b"a,b\nc,d", b"\xff", b'photo,reason\n"a'])
def test_a_damaged_list_of_skipped_photos_is_told(whole, tmp_path, content):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "skipped.csv").write_bytes(content)
    with pytest.raises(DeconvNetError, match=r"skipped\.csv' is damaged: .* Remove it\."):
        Learned.open(tmp_path).skipped()


# What goes wrong.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 0}, "batch is a whole number, 1 or more; got 0"),
        ({"limit": True}, "limit is a whole number"),
        ({"workers": -1}, "workers is a whole number, 0 or more; got -1"),
        ({"prepare": Prepare(24, 3)}, "photos become 3 channels, but the network takes 1"),
        ({"net": network(kernel=25)}, "layer 1: images of 24x24 are smaller than filters of 25x25"),
        ({"epochs": 0}, "with epochs=0 nothing is learned"),
        ({"epochs": 10**12}, "epochs is at most 1000000 for all layers together"),
        ({"workers": 10**6}, "workers is a whole number, 0 to 1024; got 1000000"),
        ({"epochs": [1, 1, 1]}, "one for each of 2 layers"),
        ({"solver": "dr"}, "solver 'dr' is for"),
        ({"update_by": "magic"}, "update_by is one of"),
        ({"max_iter": 0}, "max_iter is a whole number"),
    ],
)
def test_what_cannot_be_learned_is_told_and_no_file_is_written(photos, tmp_path, options, words):
    for _ in range(2):  # and the next try is not told of an unfinished run
        with pytest.raises(ArgumentError, match=words):
            run(photos, tmp_path / "out", **options)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_no_photo_that_can_be_read_is_told_and_no_file_is_written(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"none")
    for _ in range(2):
        with pytest.raises(PhotoError, match=r"none of 1 photos can be read; the first: cannot read 'a.png'"):
            run(folder, tmp_path / "out")
    assert files(tmp_path / "out") == {}
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(folder / "b.png")
    assert list(run(folder, tmp_path / "out", epochs=1).skipped()) == ["a.png"]  # after that it goes on as it should


def test_no_photos_are_told(tmp_path):
    none = PhotoSet(pa.array([], pa.large_string()), "", lambda i: None)
    with pytest.raises(PhotoError, match="the set of photos is empty"):
        learn_photos(none, network(), out=tmp_path / "out", prepare=Prepare(24))
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_folder_s_place_is_told(photos, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DeconvNetError, match=r"cannot make the folder .*out'"):
        run(photos, tmp_path / "out")


def test_a_disk_that_refuses_is_told_and_it_goes_on_when_there_is_room(photos, whole, tmp_path, monkeypatch):
    def refuses(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    for real_ones in (0, 1, 2, 3):
        with monkeypatch.context() as patch:
            calls, real = [0], os.replace

            def fails(part: str, place: str, calls=calls, real=real, real_ones=real_ones) -> None:
                calls[0] += 1
                real(part, place) if calls[0] <= real_ones else refuses()

            patch.setattr("os.replace", fails)
            with pytest.raises(DeconvNetError, match=r"cannot write .*Permission denied"):
                run(photos, tmp_path, resume=True)
        assert not any(path.suffix == ".part" for path in tmp_path.iterdir())
    run(photos, tmp_path, resume=True)
    assert files(tmp_path) == files(whole)


# Opening.


def test_what_holds_no_learned_network_is_told(whole, tmp_path):
    with pytest.raises(DeconvNetError, match=r"holds no learned network: it has no learned.safetensors"):
        Learned.open(tmp_path)
    with pytest.raises(DeconvNetError, match="holds no learned network"):
        Learned.open(tmp_path / "nowhere")
    path = tmp_path / "learned.safetensors"
    save_net(network(), path)
    with pytest.raises(DeconvNetError, match=r"is damaged: .*missing required field `prepare`. Give what"):
        Learned.open(tmp_path)
    for prepare in ({"size": 2}, {"colour": 1}, None):
        save_net(network(), path, {"prepare": prepare})
        with pytest.raises(DeconvNetError, match=r"is damaged: .* Give what deconvnet\.learn wrote"):
            Learned.open(tmp_path)
    path.write_bytes((whole / "learned.safetensors").read_bytes()[:-9])
    with pytest.raises(DeconvNetError, match="is damaged"):
        Learned.open(tmp_path)


def test_the_network_can_be_had_without_the_folder(whole):
    net = load_net(whole / "learned.safetensors")
    assert torch.equal(net.layers[0].filters, Learned.open(whole).net.layers[0].filters)


def test_what_photos_taught_paints_another_photo_best_through_its_own_switches():
    """Zeiler et al. 2011: upper layers still paint the input; switches of the image paint it better than fixed ones."""
    found = Learned.open(Path(__file__).parents[2] / "examples" / "learned")
    net, images = found.net, found.images("sample:chelsea")
    codes = net.infer(images, max_iter=30)

    def error(painted: torch.Tensor) -> float:
        return float((painted - images).square().sum() / images.square().sum())

    first, second = (error(net.reconstruct(codes, layer)) for layer in (1, 2))
    assert first < 0.1 and second < 0.12
    switches = codes[1].switches
    fixed = replace(switches, offsets=torch.full_like(switches.offsets, 4))  # the middle, of the first map
    below = Codes((replace(codes[1], switches=fixed),), codes.size)
    geometries = net.geometries(codes.size)
    with torch.no_grad():
        linear = net.linear(2, below, geometries)
        solved = fista(images, linear, net.layers[1].lam, torch.zeros_like(codes[2].z), max_iter=30)
        assert error(linear.down(solved.codes)) > 2 * second
