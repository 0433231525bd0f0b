"""Folders that we write into and remove from: only what we wrote is ever overwritten or removed."""

import json
import os
import re
import shutil
import socket
import time
from pathlib import Path

import pytest

from deconvnet import ArgumentError, DeconvNetError, DeconvNetWarning
from deconvnet._files import is_file, write_whole
from deconvnet._folders import UNFINISHED, Saves, check_resumed, differences, held, remove_written, result_folder

PART = ".deconvnet-0123456789abcdef.part"


def allowed(folder: str | Path) -> Path:
    return result_folder(folder, key="key.json", is_result=lambda folder: is_file(folder / "result"))


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")


@pytest.mark.parametrize(
    "names",
    [
        [], [PART], ["result", "more"], [f"{UNFINISHED}/key.json", "more"], [f"{UNFINISHED}/{PART}"],
        [f"{UNFINISHED}/lock"],
    ],
)  # fmt: skip
def test_a_folder_that_is_empty_or_ours_may_be_written(tmp_path, names):
    put(*(tmp_path / name for name in names))
    before = tree(tmp_path)
    assert allowed(tmp_path) == allowed(str(tmp_path)) == tmp_path
    assert tree(tmp_path) == before


def test_a_new_folder_may_be_written_and_so_may_the_current_one_if_it_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert allowed("new/folder") == Path("new/folder") and allowed(".") == allowed(Path()) == Path()
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["work/a.jpg"], "holds 'work'. Give a new folder"),
        ([".hidden"], "holds '.hidden'. Give"),
        (["b", "a", "e", "d", "c"], "holds 'a', 'b', 'c' and 2 more. Give"),
        ([".0123456789abcdef.part"], "holds '.0123456789abcdef.part'"),
        ([f"{UNFINISHED}/key.txt"], f"holds '{UNFINISHED}'"),
        ([UNFINISHED], f"holds '{UNFINISHED}'"),
        (["key.json"], "holds 'key.json'"),
    ],
)
def test_a_folder_with_anything_else_in_it_is_refused_by_name_of_what_lies_there(tmp_path, names, words):
    put(*(tmp_path / name for name in names))
    before = tree(tmp_path)
    with pytest.raises(ArgumentError, match=re.escape(f"{str(tmp_path)!r} is not empty: it {words}")):
        allowed(tmp_path)
    assert tree(tmp_path) == before


def test_a_link_in_place_of_our_unfinished_folder_is_refused(tmp_path):
    put(tmp_path / "elsewhere" / "key.json")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / UNFINISHED).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArgumentError, match=f"is not empty: it holds '{UNFINISHED}'"):
        allowed(tmp_path / "out")


def test_no_name_at_all_is_not_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match=r'name of the output folder is empty\. Give a path, or "\."'):
        allowed("")


def test_a_folder_that_cannot_be_looked_at_is_told(tmp_path, monkeypatch):
    stat, refused = Path.stat, PermissionError(13, "Permission denied")

    def refuses(path: Path, **options: bool) -> os.stat_result:
        if path.parent == tmp_path:
            raise refused
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuses)
    with pytest.raises(DeconvNetError, match=r"cannot read .*Permission denied"):
        allowed(tmp_path)


def test_what_differs_between_two_runs_is_named_wherever_it_lies():
    before = {"k": 9, "photos": {"name": "a", "count": 3}, "layers": (1, 2), "gone": 1, "null": None, "long": "a" * 100}
    now = {"k": 4, "photos": {"name": "a", "count": 5}, "layers": [1, 2], "long": "b" * 100}
    assert differences(before, now) == [
        "gone=1, now gone=nothing", "k=9, now k=4", f'long="{"a" * 76}..., now long="{"b" * 76}...',
        "null=null, now null=nothing",
        "photos.count=3, now photos.count=5",
    ]  # fmt: skip
    assert differences(now, now) == []


def test_a_run_is_gone_on_with_only_on_request_and_only_if_it_was_started_alike():
    check_resumed(Path("out"), None, {"k": 1}, resume=False)
    check_resumed(Path("out"), {"k": 1}, {"k": 1}, resume=True)
    with pytest.raises(ArgumentError, match=r"'out' holds an unfinished run\. Continue it"):
        check_resumed(Path("out"), {"k": 1}, {"k": 1}, resume=False)
    with pytest.raises(ArgumentError, match=r"'out' was started with k=1, now k=2\. Use the same"):
        check_resumed(Path("out"), {"k": 1}, {"k": 2}, resume=True)


def test_only_files_that_we_wrote_are_removed(tmp_path):
    folder = tmp_path / "out"
    put(folder / "scan", folder / PART, folder / ".0123456789abcdef.part", folder / "mine.jpg", folder / "key" / "mine")
    remove_written(folder, ("scan", "key", "absent"))
    assert tree(folder) == {".0123456789abcdef.part": b"mine", "mine.jpg": b"mine", "key": None, "key/mine": b"mine"}
    remove_written(tmp_path / "b", ("scan",))
    assert not (tmp_path / "b").exists()


def test_a_link_is_removed_and_what_it_leads_to_stays(tmp_path):
    put(tmp_path / "photos" / "scan", tmp_path / "out" / "more")
    (tmp_path / "out" / "scan").symlink_to(tmp_path / "photos" / "scan")
    (tmp_path / "out" / "tiles").symlink_to(tmp_path / "photos")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    remove_written(tmp_path / "out", ("scan", "tiles"))
    remove_written(tmp_path / "link", ("scan",))
    assert tree(tmp_path / "out") == {"more": b"mine"}
    assert tree(tmp_path / "photos") == {"scan": b"mine"} and (tmp_path / "link").is_symlink()


def test_a_disk_that_refuses_to_remove_is_told(tmp_path, monkeypatch):
    put(tmp_path / "scan")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "not permitted")))
    with pytest.raises(DeconvNetError, match=r"cannot remove .*not permitted"):
        remove_written(tmp_path, ("scan",))


def test_what_a_killed_run_leaves_has_a_name_that_is_removed(tmp_path):
    left: list[str] = []
    write_whole(tmp_path / "a", lambda file: left.extend(path.name for path in tmp_path.iterdir()))
    (name,) = left
    put(tmp_path / name)
    remove_written(tmp_path)
    assert tree(tmp_path) == {"a": b""}


NAMES = ("result", "pictures")


def test_what_a_run_needs_until_it_is_finished_goes_with_it(tmp_path):
    with held(tmp_path / "out", NAMES) as folder:
        put(folder.unfinished / "key.json", folder.unfinished / PART)
        folder.claim()
        put(tmp_path / "out" / "result")
        folder.remove_unfinished(("key.json",))
    assert tree(tmp_path / "out") == {"result": b"mine"}


def test_a_run_that_fails_leaves_an_empty_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), held(tmp_path / "out", NAMES):
        raise ZeroDivisionError
    assert tree(tmp_path) == {"out": None}


@pytest.mark.parametrize("name", ["result", "pictures/mine.jpg"])
def test_a_file_of_the_user_under_a_name_of_the_result_is_told_and_stays(tmp_path, name):
    put(tmp_path / name)
    with held(tmp_path, NAMES) as folder:
        for check in (folder.check, folder.claim):
            with pytest.raises(ArgumentError, match=f"{name.split('/')[0]}' is there already and is not from this run"):
                check()
        assert not folder.claimed
    assert tree(tmp_path)[name] == b"mine"


def test_what_was_claimed_before_an_interruption_may_be_replaced(tmp_path):
    with held(tmp_path, NAMES) as folder:
        folder.claim()
        put(tmp_path / "result")
    with held(tmp_path, NAMES) as folder:
        folder.check()
        assert folder.claimed


def test_a_folder_that_was_removed_is_told_before_the_result_is_written(tmp_path):
    with held(tmp_path / "out", NAMES) as folder:
        shutil.rmtree(tmp_path / "out")
        with pytest.raises(DeconvNetError, match=r"out' was removed, or another run has taken it over"):
            folder.claim()
        with held(tmp_path / "out", NAMES) as again:
            again.check()
            with pytest.raises(DeconvNetError, match="was removed"):
                folder.check()
    assert tree(tmp_path) == {"out": None}


def test_a_link_in_place_of_our_unfinished_folder_is_not_followed(tmp_path):
    put(tmp_path / "elsewhere" / "lock")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / UNFINISHED).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArgumentError, match="is a link"), held(tmp_path / "out", NAMES):
        pass
    assert tree(tmp_path / "elsewhere") == {"lock": b"mine"}


def test_progress_is_saved_every_few_seconds_and_never_for_more_than_a_fiftieth_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def saved(seconds: float, cost: float, until: float = 1000.0) -> int:
        saves, count, end = Saves(seconds), 0, now[0] + until
        while now[0] < end:
            now[0] += 0.5
            if saves.due:
                saves.save(lambda: now.__setitem__(0, now[0] + cost))
                count += 1
        return count

    assert saved(5, 0.0) == pytest.approx(180, abs=5)
    assert saved(5, 0.1) == pytest.approx(180, abs=5)
    assert saved(5, 2.0) * 2.0 <= 1000 * 0.02 + 2.0
    assert saved(-1, 2.0, until=10.0) == 4  # every time


def test_of_a_killed_run_is_told_when_this_one_goes_on_and_not_when_it_is_refused(tmp_path):
    lock = tmp_path / UNFINISHED / "lock"
    left = {"host": socket.gethostname(), "process": 2**31 - 1, "since": "2026-01-02 03:04:05 UTC"}
    put(lock)
    lock.write_text(json.dumps(left))
    for k, resume, words in (
        (9, False, r"holds an unfinished run\. Continue it \(--resume"),
        (4, False, r"holds an unfinished run that was started with k=9, now k=4\. Continue it with the same options"),
        (4, True, r"was started with k=9, now k=4\. Use the same options or a new folder"),
    ):
        with pytest.raises(ArgumentError, match=words), held(tmp_path, ()):
            check_resumed(tmp_path, {"k": 9}, {"k": k}, resume=resume)
    put(lock)
    lock.write_text(json.dumps(left))
    with held(tmp_path, ()) as run, pytest.warns(DeconvNetWarning, match="is gone .* takes its place") as told:
        check_resumed(tmp_path, {"k": 9}, {"k": 9}, resume=True)
        run.check()
        run.check()
    assert len(told) == 1
