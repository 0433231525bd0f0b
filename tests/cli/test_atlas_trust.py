"""`deconvnet atlas --trust`: what pictures rest on, in words, in JSON, in parts, and refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import ran
from support.photo_files import folder_of

from deconvnet import Atlas


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """Runs `deconvnet atlas` on three photos, with the options."""
    folder_of(tmp_path / "photos", "a.png", "b.png", "c.png")

    def run(*options: object, name: str = "atlas") -> tuple[int, str]:
        photos = ("--photos", tmp_path / "photos") if name == "atlas-merge" else (tmp_path / "photos",)
        return ran(monkeypatch, capsys, name, *photos, "-q", "--workers", "0", *options)

    return run


def test_the_medians_of_each_layer_are_printed_and_in_the_json(command: Any, tmp_path: Path) -> None:
    options = ("-o", tmp_path / "atlas", "--layer", "relu1", "-k", "2", "--trust", "1")
    code, words = command(*options)
    assert code == 0
    atlas = Atlas.open(tmp_path / "atlas")
    assert f"  relu1: {atlas.trust('relu1').line()}\n" in words and atlas.manifest.trust_samples == 1
    code, words = command(*options, "--resume", "--json")
    (layer,) = json.loads(words[words.index("{") :])["layers"]
    assert layer["trust"] == atlas.trust("relu1").facts()
    assert set(layer["trust"]["other_unit"]) == {"count", "median", "low", "high"}
    code, words = command(*options[:-1], "2", "--resume")
    assert code == 1 and "was started with trust_samples=1, now trust_samples=2" in words


def test_without_it_nothing_is_measured(command: Any, tmp_path: Path) -> None:
    code, words = command("-o", tmp_path / "atlas", "--layer", "relu1", "-k", "1", "--json")
    assert code == 0 and json.loads(words[words.index("{") :])["layers"][0]["trust"] is None
    assert not (tmp_path / "atlas" / "trust.parquet").exists()


def test_parts_are_merged_with_it(command: Any, tmp_path: Path) -> None:
    options = ("--layer", "relu1", "-k", "1", "--trust", "1")
    assert command("-o", tmp_path / "whole", *options)[0] == 0
    assert command("-o", tmp_path / "part", "--shard", "0/1", *options)[0] == 0
    code, words = command(tmp_path / "part", "-o", tmp_path / "merged", name="atlas-merge")
    assert code == 0 and "cosine with" in words
    whole, merged = ((tmp_path / name / "trust.parquet").read_bytes() for name in ("whole", "merged"))
    assert whole == merged


def test_a_count_that_is_none_is_refused(command: Any, tmp_path: Path) -> None:
    assert command("-o", tmp_path / "atlas", "--trust", "0")[0] == 2
