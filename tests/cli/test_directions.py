"""Directions in a layer's maps, on every command that takes a network."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.commands import ran
from support.photo_files import folder_of

from deconvnet import Atlas

WEIGHT = torch.rand(3, 64, generator=torch.Generator().manual_seed(0)).contiguous()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file({"weight": WEIGHT, "bias": torch.full((3,), 0.1)}, tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


def test_directions_are_projected_and_listed(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    given = ("--directions", file, "--at", "relu1")
    _, listed = ran(monkeypatch, capsys, "layers", *given)
    assert "directions/conv2d" in listed
    arguments = ("sample:coffee", "--layer", "directions", "--channel", "0-2", "-o", tmp_path / "a.png", "--json")
    code, words = ran(monkeypatch, capsys, "project", *arguments, *given)
    units = json.loads(words[words.index("{") :])["photos"][0]["units"]
    assert code == 0 and [unit["channel"] for unit in units] == [0, 1, 2]


def test_an_atlas_of_other_directions_is_another_atlas(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder_of(tmp_path / "photos", "a.png", "b.png")
    arguments = ("atlas", tmp_path / "photos", "-o", tmp_path / "atlas", "-k", "1", "-q", "--workers", "0")
    given = ("--layer", "directions", "--at", "relu1", "--directions")
    assert ran(monkeypatch, capsys, *arguments, *given, file)[0] == 0
    assert Atlas.open(tmp_path / "atlas").layers["directions"].channels == 3
    other = tmp_path / "other.safetensors"
    save_file({"weight": 2 * WEIGHT}, other)
    code, words = ran(monkeypatch, capsys, *arguments, *given, other, "--resume")
    assert code == 1 and "other" in words


@pytest.mark.parametrize(
    ("tensors", "options", "match"),
    [
        ({"weight": WEIGHT}, ("--directions",), "--directions and --at go together"),
        ({"w": WEIGHT}, ("--at", "relu1", "--directions"), "holds directions as 'weight'"),
        ({"weight": WEIGHT[:, :7].contiguous()}, ("--at", "relu1", "--directions"), "with 64 numbers for the maps of"),
        ({"weight": WEIGHT}, ("--at", "relu9", "--directions"), "no layer 'relu9'"),
    ],
    ids=["alone", "names", "width", "layer"],
)
def test_what_cannot_be_directions_is_refused_in_words(
    tensors: dict[str, torch.Tensor], options: tuple[str, ...], match: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: Any,
) -> None:  # fmt: skip
    save_file(tensors, tmp_path / "d.safetensors")
    code, words = ran(monkeypatch, capsys, "layers", *options, tmp_path / "d.safetensors")
    assert code == 1 and match in " ".join(words.split())
