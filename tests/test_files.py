"""Files of ours: on the disk before they have their name, and what is read again is what it should be."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta

from deconvnet import ArgumentError, AtlasError, DeconvNetError
from deconvnet._files import check_new, is_file, is_folder, read_json, sync_together, write_whole


@dataclass(frozen=True)
class Number:
    value: Annotated[int, Meta(ge=0)]


def test_a_file_is_on_the_disk_before_it_has_its_name_and_then_its_folder(tmp_path, monkeypatch):
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        steps.append("folder" if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) else "file")
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.replace", lambda *paths: (steps.append("name"), replace(*paths)))
    write_whole(tmp_path / "a", lambda file: file.write(b"x"))
    assert steps == ["file", "name", "folder"]
    steps.clear()
    write_whole(tmp_path / "a", lambda file: file.write(b"y"), sync=False)
    assert steps == ["name"] and (tmp_path / "a").read_bytes() == b"y"


def test_a_disk_that_refuses_to_keep_a_file_is_told(tmp_path, monkeypatch):
    def refuses(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    (tmp_path / "a").write_bytes(b"before")
    monkeypatch.setattr("os.fsync", refuses)
    with pytest.raises(DeconvNetError, match=r"cannot write .*a': .*Input/output error"):
        write_whole(tmp_path / "a", lambda file: file.write(b"x"))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


@pytest.mark.parametrize("disk_at_once", [True, False])
def test_many_files_are_synced_together(tmp_path, monkeypatch, disk_at_once):
    paths = [tmp_path / "b" / str(i) for i in range(3)]
    paths[0].parent.mkdir()
    for path in paths:
        write_whole(path, lambda file: file.write(b"x"), sync=False)
    if not disk_at_once:
        monkeypatch.setattr("deconvnet._files._sync_disk", lambda folder: False)
    sync_together(tmp_path, paths)
    if not disk_at_once:
        paths[1].unlink()
        with pytest.raises(DeconvNetError, match="cannot write in"):
            sync_together(tmp_path, paths)


def test_a_name_that_is_none_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeconvNetError, match="cannot write"):
        write_whole(Path(""), lambda file: file.write(b"x"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file/a", "a\0b", "a" * 300, "a" * 300 + "/b", "missing/a"])
def test_a_name_that_the_disk_cannot_have_is_told(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(DeconvNetError, match="cannot write"):
        write_whole(tmp_path / name, lambda file: file.write(b"x"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("what", [is_file, is_folder])
def test_what_cannot_be_looked_at_is_told_and_not_taken_for_missing(tmp_path, monkeypatch, what):
    (tmp_path / "file").touch()
    assert what(tmp_path / "file") == (what is is_file) and what(tmp_path) == (what is is_folder)
    assert not what(tmp_path / "missing") and not what(tmp_path / "file" / "below")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "a\0b", "a" * 300):
        with pytest.raises(DeconvNetError, match="cannot read"):
            what(tmp_path / name)
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "stat", lambda *_, **__: (_ for _ in ()).throw(refused))
    with pytest.raises(DeconvNetError, match=r"cannot read .*Permission denied"):
        what(tmp_path / "file")


def test_files_that_exist_are_named_with_their_count(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    check_new(paths)
    paths[1].touch()
    with pytest.raises(ArgumentError, match=r"b' already exists\. Replace it \(--force, force=True\), or give another"):
        check_new(paths)
    paths[2].symlink_to("nowhere")
    with pytest.raises(ArgumentError, match=r"b' and 1 more files already exist\. Replace"):
        check_new(paths)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "Input data was truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b'"x"', "got `str`"),
        (b"[" * 100_000, "got `array`"),
        (b'{"a": ' * 100_000, "it is nested too deeply"),
        (b"\xff", "JSON is malformed"),
        (b'{"value": "1"}', "Expected `int`, got `str`"),
        (b'{"value": true}', "got `bool`"),
        (b'{"value": -1}', "Expected `int` >= 0"),
        (b'{"value": NaN}', "JSON is malformed"),
        (b'{"value": 1e999}', "Number out of range"),
        (b"{}", "missing required field `value`"),
    ],
)
def test_json_of_another_kind_is_damaged(tmp_path, content, what):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(AtlasError, match=rf"a\.json' is damaged: .*{what}.* Remove it\."):
        read_json(path, Number, "Remove it.", AtlasError)


def test_json_comes_back_as_its_type(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text('{"value": 3, "more": null}')
    assert read_json(tmp_path / "a.json", Number, "") == Number(3)
    with pytest.raises(DeconvNetError, match=r"is damaged: .*No such file"):
        read_json(tmp_path / "b.json", Number, "")
    monkeypatch.setattr("deconvnet._files.LARGEST_JSON", 5)
    with pytest.raises(DeconvNetError, match="is damaged: it is larger than"):
        read_json(tmp_path / "a.json", Number, "")
