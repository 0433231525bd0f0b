"""The flags that say which photos of a set are meant, on every command that takes one."""

import sys
from pathlib import Path
from typing import Any

import pytest
from support.photo_files import encoded, folder_of, table_of, tar_of

from deconvnet.cli import main

ATLAS = ("--layer", "relu1", "-k", "1", "-q", "--workers", "0")
LEARN = ("--maps", "2", "--filter", "3", "--pool", "none", "--size", "24", "--iterations", "1", "-q")


def run(monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: object) -> tuple[int, str]:
    """The exit code of a command, and its words."""
    monkeypatch.setattr(sys, "argv", ["deconvnet", *map(str, arguments)])
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    done = capsys.readouterr()
    return code, done.out + done.err


@pytest.mark.parametrize(("command", "options"), [("atlas", ATLAS), ("learn", LEARN)])
def test_photos_outside_the_folder_of_a_table_need_the_flag(
    command: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder_of(tmp_path, "a.png", "set/b.png")
    rows = [{"bytes": None, "path": path} for path in ("../a.png", "b.png")]
    table = table_of(tmp_path / "set" / "t.parquet", rows)
    code, words = run(monkeypatch, capsys, command, table, "-o", tmp_path / "0", *options)
    assert code == 0 and "1 photo" in words and "could not be used" in words
    code, words = run(monkeypatch, capsys, command, table, "-o", tmp_path / "1", "--allow-outside", *options)
    assert code == 0 and "2 photos" in words and "could not be used" not in words


def test_parts_and_their_merge_take_the_flags_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    tar = tar_of(tmp_path / "s.tar", {f"{i}{end}": encoded(i) for i in range(3) for end in (".png", ".mask.png")})
    code, words = run(monkeypatch, capsys, "atlas", tar, "-o", tmp_path / "0", *ATLAS)
    assert code == 1 and "holds several photos of the name '0'" in words and "--suffix '*.png'" in words
    chosen = ("--suffix", ".png", "--allow-outside")
    assert run(monkeypatch, capsys, "atlas", tar, "-o", tmp_path / "p", "--shard", "0/1", *chosen, *ATLAS)[0] == 0
    merge = ("atlas-merge", tmp_path / "p", "--photos", tar, "-o", tmp_path / "m", "-q")
    assert run(monkeypatch, capsys, *merge)[0] == 1
    code, words = run(monkeypatch, capsys, *merge, *chosen)
    assert code == 0 and "3 photos" in words


def test_learned_refuses_a_photo_that_is_not_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder_of(tmp_path / "p", "a.png")
    assert run(monkeypatch, capsys, "learn", tmp_path / "p", "-o", tmp_path / "l", *LEARN)[0] == 0
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    code, words = run(monkeypatch, capsys, "learned", tmp_path / "l", "--photo", tmp_path / "zero.png")
    assert code == 1 and "zero.png': it is not a regular file" in words
