"""`deconvnet occlude`: a figure, words, JSON, and what it refuses before anything is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import captured_once, ran

from deconvnet.capture import trace

NETWORK = """
import torch
from torch import nn
from deconvnet import LoadedModel, Preprocess

def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
    return LoadedModel(model, Preprocess((16, 16), 16, (0.5,) * 3, (0.25,) * 3), ("cat", "dog", "owl"))
"""
FLAGS = ("-m", "net.py:network", "--square", "5", "--stride", "5")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trace, "capture", captured_once)
    (tmp_path / "net.py").write_text(NETWORK)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)).save("a.png")


def test_it_draws_the_panels_and_says_how_well_the_drop_goes_with_the_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code, printed = ran(monkeypatch, capsys, "occlude", "a.png", *FLAGS, "-o", "b.svg", "--title", "covered")
    assert code == 0, printed
    assert "a.png: 9 positions covered -> b.svg" in printed
    assert all(words in printed for words in ("1 map ", "activity falls by up to", "rank correlation with its picture"))
    assert "covered" in Path("b.svg").read_text()


def test_json_has_every_number_of_several_maps_and_classes(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    flags = ("-l", "1", "-c", "0,2", "-t", "cat", "-t", "2", "--fill", "blur", "--partial", "--dpi", "40", "--json")
    code, printed = ran(monkeypatch, capsys, "occlude", "a.png", *FLAGS, *flags)
    assert code == 0, printed
    (row,) = json.loads(printed)["photos"]
    assert row["grid"] == [4, 4] and len(row["boxes"]) == 16 and row["layer"] == "1"
    assert [each["channel"] for each in row["maps"]] == [0, 2]
    assert [each["label"] for each in row["classes"]] == ["cat", "owl"]
    assert len(row["maps"][0]["activities"]) == len(row["classes"][1]["probabilities"]) == len(row["answers"]) == 16
    assert row["file"] == "a.occlude.png" and Path("a.occlude.png").is_file()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--square", "40"), "what covers the image is 40x40, larger than the image, which is 16x16"),
        (("--stride", "0"), "stride is a whole number, 1 or more; got 0"),
        (("--fill", "red"), "--fill is mean, grey, blur, or numbers separated by commas; got 'red'"),
        (("-c", "all"), "--channel takes indices of feature maps here, such as 3,5,8; got 'all'"),
        (("-l", "3"), "'3' does not have positions to sum over"),
        (("-t", "wolf"), "wolf"),
    ],
)
def test_what_cannot_be_covered_is_said_and_nothing_is_written(
    flags: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code, printed = ran(monkeypatch, capsys, "occlude", "a.png", *FLAGS, *flags)
    assert (code, printed.count("\n")) == (1, 1) and words in printed
    assert not Path("a.occlude.png").exists()
