"""Commands on photos take files, folders, lists, patterns and shards, and give each photo a picture of its own."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.commands import captured_once
from support.photo_files import encoded, folder_of, table_of, tar_of

from deconvnet.capture import trace
from deconvnet.cli import main
from deconvnet.cli.files import picture_paths
from deconvnet.cli.options import PhotoFlags
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.photos.preprocess import Preprocess

PREPARE = Preprocess((8, 8), 8, (0.5,) * 3, (0.25,) * 3)
MODEL = """
from torch import nn
from deconvnet import LoadedModel, Preprocess

def make():
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    return LoadedModel(net, Preprocess((8, 8), 8, (0.5,) * 3, (0.25,) * 3))
"""
COMMANDS = {
    "explain": ["explain"],
    "responsible": ["responsible", "-k", "1"],
    "project": ["project", "--layer", "0", "-c", "0-1"],
    "steps": ["steps", "--layer", "0", "-c", "1"],
    "compare": ["compare", "deconvnet", "guided", "--layer", "0", "-c", "0"],
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command in an empty folder: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["deconvnet", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    (tmp_path / "net.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.setattr(trace, "capture", captured_once)
    monkeypatch.chdir(tmp_path)
    return run


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).rglob("*"))


def inputs(*arguments: str, **flags: Any) -> list[PhotoInput]:
    return open_inputs(arguments, PhotoFlags(**flags))


def pictures(*arguments: str) -> list[str]:
    return [path.name for path in picture_paths(inputs(*arguments), None, ".png", force=False)]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- which photos


def test_an_argument_is_a_photo_or_a_source_of_photos(here: Path) -> None:
    folder_of(here, "a.png", "set/x/1.png", "set/y/1.png", "noending", "[red].png")
    Path("list.txt").write_text("set/y/1.png\nset/x/1.png\n", encoding="utf-8")
    tar_of(here / "s.tar", {"0.png": encoded(0), "1.png": encoded(1)})
    table_of(here / "t.parquet", [{"bytes": encoded(0), "path": "p.png"}])
    for argument, photos, named in (
        ("a.png", ["a.png"], True),
        ("noending", ["noending"], True),
        ("[red].png", ["[red].png"], True),
        ("gone.png", ["gone.png"], True),
        ("sample:chelsea", ["sample:chelsea"], True),
        ("set", ["x/1.png", "y/1.png"], False),
        ("list.txt", ["y/1.png", "x/1.png"], False),
        ("set/*/1.png", ["x/1.png", "y/1.png"], False),
        ("set/{y,x}/1.png", ["y/1.png", "x/1.png"], False),
        ("s.tar", ["0.png", "1.png"], False),
        ("t.parquet", ["p.png"], False),
    ):
        opened = inputs(argument)
        assert [photo.name for photo in opened] == photos, argument
        assert {(photo.source, photo.named) for photo in opened} == {(argument, named)}
        assert argument == "gone.png" or opened[-1].load(PREPARE).levels.size


def test_a_source_that_cannot_be_opened_is_one_photo_that_cannot_be_read(here: Path) -> None:
    (here / "empty").mkdir()
    for argument in ("empty", "gone.txt", "none/*.png", "nosuch://x"):
        (photo,) = inputs(argument)
        assert photo.named and photo.name == argument
        with pytest.raises(Exception, match=argument.partition("/")[0].partition(":")[0]):
            photo.load(PREPARE)


def test_a_suffix_chooses_among_the_photos_in_shards(here: Path) -> None:
    tar_of(here / "s.tar", {f"{i}{end}": encoded(i) for i in range(2) for end in (".png", ".mask.png")})
    assert [photo.name for photo in inputs("s.tar", suffix=".mask.png")] == ["0.mask.png", "1.mask.png"]
    (photo,) = inputs("s.tar")
    with pytest.raises(Exception, match="holds several photos"):
        photo.load(PREPARE)


# ---- names of pictures


def test_a_picture_has_the_folders_that_tell_its_photo_from_others(here: Path) -> None:
    folder_of(here, "cats/1.png", "dogs/1.png", "dogs/2.png", "far/cats/1.png")
    assert pictures("cats/1.png", "dogs/1.png", "dogs/2.png") == ["cats-1.png", "dogs-1.png", "2.png"]
    assert pictures("cats", "dogs") == ["cats-1.png", "dogs-1.png", "2.png"]
    assert pictures("./cats/1.png", str(here / "far/cats/1.png")) == ["cats-1.png", "far-cats-1.png"]


def test_photos_that_no_folder_tells_apart_are_counted(here: Path) -> None:
    folder_of(here, "a/x.png", "a/x.jpg", "a/X.png", "b/x.png", "c/x.png")
    assert pictures("a/x.png", "a/x.jpg", "a/X.png") == ["x.png", "x-2.png", "X-3.png"]
    assert pictures("a/x.png", "b/x.png", "b/x.png", "c-x.png") == ["a-x.png", "b-x.png", "b-x-2.png", "c-x.png"]


def test_names_out_of_a_table_stay_in_the_folder_of_the_pictures(here: Path) -> None:
    table_of(
        here / "t.parquet", [{"bytes": encoded(i), "path": path} for i, path in enumerate(["../../p.png", "/p.png"])]
    )
    assert all("/" not in name and ".." not in name for name in pictures("t.parquet"))


# ---- commands


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_folder_of_photos_becomes_a_folder_of_pictures(run: Run, tmp_path: Path, command: list[str]) -> None:
    folder_of(tmp_path / "set", "x/1.png", "y/1.png")
    code, out, err = run(*command, "set", "-m", "net.py:make", "-o", "new/pictures", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert [(row["photo"], row["source"]) for row in facts["photos"]] == [("x/1.png", "set"), ("y/1.png", "set")]
    assert sorted(row["file"] for row in facts["photos"]) == sorted(
        f"new/pictures/{name}" for name in names("new/pictures")
    )
    assert [name.partition(".")[0] for name in names("new/pictures")] == ["x-1", "y-1"]
    assert facts["failed"] == []


@pytest.mark.parametrize(
    "command", [*COMMANDS.values(), ["report", "--layer", "1", "--maps", "1"]], ids=[*COMMANDS, "report"]
)
def test_a_photo_in_a_folder_may_fail_unless_strict_and_one_that_is_named_may_not(
    run: Run, tmp_path: Path, command: list[str]
) -> None:
    folder_of(tmp_path / "set", "1.png")
    (tmp_path / "set" / "bad.png").write_bytes(b"no picture")
    model = ["-m", "net.py:make", "-o", "out", "--force", "--json"]
    for photos, expected in ((["set"], 0), (["set", "--strict"], 1), (["set/1.png", "set/bad.png"], 1)):
        code, out, err = run(*command, *photos, *model)
        (failed,) = json.loads(out)["failed"]
        assert code == expected and list(failed) == ["photo", "source", "error"]
        assert failed["photo"].endswith("bad.png") and f"deconvnet: {failed['error']}\n" == err
    assert run(*command, "set/1.png", *model, "--strict")[0] == 0


def test_a_folder_without_a_photo_that_can_be_read_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "bad.png").write_bytes(b"no picture")
    assert run("explain", "set", "-m", "net.py:make", "-o", "out")[0] == 1
    assert not Path("out").exists()


def test_one_photo_goes_into_the_folder_that_is_named_and_made(run: Run, tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    for output, file in (("dir", "dir/a.explain.png"), ("v1.2/", "v1.2/a.explain.png"), ("sub/b.png", "sub/b.png")):
        code, out, _ = run("explain", "a.png", "-m", "net.py:make", "-o", output)
        assert code == 0 and f"-> {file}\n" in out and Path(file).is_file()


def test_nothing_is_made_where_the_photos_cannot_be_used(run: Run, tmp_path: Path) -> None:
    shutil.rmtree("out", ignore_errors=True)
    assert run("explain", "gone.png", "-m", "net.py:make", "-o", "out")[0] == 1
    assert run("explain", "sample:coffee", "-m", "net.py:nosuch", "-o", "out")[0] == 1
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["atlas", "-m", "net.py:make", "--layer", "1", "-k", "1", "--workers", "0"],
        ["atlas", "-m", "net.py:make", "--layer", "1", "-k", "1", "--workers", "0", "--shard", "0/1"],
        ["learn", "--maps", "2", "--filter", "3", "--pool", "none", "--size", "24", "--iterations", "1"],
    ],
    ids=["atlas", "part", "learn"],
)
def test_a_data_set_with_a_bad_photo_ends_with_1_only_if_strict(run: Run, tmp_path: Path, command: list[str]) -> None:
    folder_of(tmp_path / "set", "1.png")
    (tmp_path / "set" / "bad.png").write_bytes(b"no picture")
    code, out, _ = run(*command, "set", "-o", "out", "-q")
    assert code == 0 and "  1 photo could not be used" in out
    code, out, _ = run(*command, "set", "-o", "out", "-q", "--resume", "--strict", "--json")
    facts = json.loads(out)
    assert (code, facts["used"], facts["was_finished"]) == (1, 1, True)
    (failed,) = facts["failed"]
    assert (failed["photo"], failed["source"]) == ("bad.png", "set") and "not an image" in failed["error"]
