"""Volumes on the command line: networks of three spatial axes, from a `.npy` or NIfTI file to a picture."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from support.commands import ran

NETWORK = """
import torch
from torch import nn

def classes():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(256, 3))

def maps():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 2, 1))
"""
FLAGS = ("--size", "8,8,8", "--mean", "0.5", "--std", "0.25", "--range=-1000,400")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK)
    values = np.random.default_rng(0).integers(-1000, 400, (8, 8, 8)).astype(np.int16)
    np.save("ct.npy", values)
    nibabel.save(nibabel.Nifti1Image(values[:, ::-1, ::-1].T, np.eye(4)), "ct.nii.gz")
    np.save("larger.npy", np.repeat(values, 2, 0))


def run(monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: object, function: str = "classes") -> tuple[int, str]:
    """The exit code of a command on a network, and its words."""
    return ran(monkeypatch, capsys, *arguments, "-m", f"net.py:{function}", *FLAGS)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("project", "ct.npy", "-l", "1", "-c", "top:2"), ("map ", "depth ", "row ", "column ", "three planes")),
        (("explain", "ct.npy"), ("what the network sees", "where it lies in the volume", "column ")),
        (("steps", "ct.npy"), ("the pixels", " of 8", "one plane")),
        (("responsible", "ct.npy", "-l", "1", "-k", "2"), ("boxes:", "1: map ", "row ")),
        (("compare", "deconvnet", "guided", "ct.npy", "-l", "1", "-c", "0"), ("B: map 0", "depth ", "B less A")),
    ],
    ids=lambda value: value[0],
)  # fmt: skip
def test_commands_draw_planes_of_a_volume_and_name_them(
    command: tuple[str, ...], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code, printed = run(monkeypatch, capsys, *command, "-o", "a.svg")
    assert code == 0, printed
    text = Path("a.svg").read_text()
    assert [word for word in words if word not in text] == []
    assert "resampled" not in printed


def test_nifti_gives_what_the_array_gives_and_a_resampled_volume_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for photo in ("ct.npy", "ct.nii.gz"):
        assert run(monkeypatch, capsys, "explain", photo, "-o", f"{photo}.png")[0] == 0
    assert Path("ct.npy.png").read_bytes() == Path("ct.nii.gz.png").read_bytes()
    code, words = run(monkeypatch, capsys, "explain", "larger.npy", "--json")
    assert code == 0 and "16x8x8 voxels and was resampled to the network's 8x8x8" in words


def test_the_mask_of_a_class_is_outlined_and_maps_are_added_up(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for command in (("explain", "ct.npy"), ("responsible", "ct.npy")):
        code, words = run(monkeypatch, capsys, *command, "-o", "a.svg", "--force", function="maps")
        assert code == 0 and "positions" in words and "outlined: where the class starts" in Path("a.svg").read_text()
    code, words = run(monkeypatch, capsys, "responsible", "ct.npy", "larger.npy", "--sum", "-o", "sum.svg", "--json")
    assert code == 0, words
    facts, _ = json.JSONDecoder().raw_decode(words)
    assert (
        facts["used"] == 2 and "16x8x8 voxels" in facts["notes"][0] and "in photo ct.npy" in Path("sum.svg").read_text()
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("report", "ct.npy"), "a report page is for networks of images, and this one takes volumes of 8x8x8"),
        (("atlas", "ct.npy", "-l", "1", "-o", "a"), "an atlas is for networks of images"),
        (("explain", "sample:chelsea"), "is not a volume, and the network takes volumes"),
        (("explain", "ct.nii.gz#3"), "names the slice 3, and the network takes volumes"),
    ],
    ids=lambda value: value[0],
)  # fmt: skip
def test_what_volumes_cannot_do_is_said(
    command: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code, printed = run(monkeypatch, capsys, *command)
    assert code == 1 and words in printed
