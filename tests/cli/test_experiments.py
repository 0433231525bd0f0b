"""`deconvnet invariance` and `deconvnet correspondence`."""

import json
from pathlib import Path

import pytest
from support.commands import captured_once, ran

from deconvnet.capture import trace

MODEL = """
import torch
from torch import nn
from deconvnet import LoadedModel, Preprocess
def make():
    torch.manual_seed(0)
    body = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 49, 6), nn.ReLU()
    prepare = Preprocess((16, 16), None, (0.5,) * 3, (0.25,) * 3)
    return LoadedModel(nn.Sequential(*body, nn.Linear(6, 3)).eval(), prepare, ("cat", "dog", "owl"))
"""
PARTS = "photo,part,left,top,right,bottom\nchelsea,eye,100,80,180,160\nrocket.png,eye,200,100,300,220\n"
PHOTOS = "sample:chelsea", "sample:rocket", "sample:coffee"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(MODEL, encoding="utf-8")
    (tmp_path / "parts.csv").write_text(PARTS.replace("rocket.png", "rocket"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trace, "capture", captured_once)
    return tmp_path


def test_invariance_draws_one_figure_of_all_photos_and_prints_numbers(monkeypatch, capsys):
    code, words = ran(monkeypatch, capsys, "invariance", *PHOTOS[:2], "-m", "net.py:make", "--angles", "0:180:90",
                      "--translations=-2,0,2", "-t", "owl", "-t", "cat", "--dpi", "40")  # fmt: skip
    assert code == 0 and Path("invariance.png").is_file()
    assert "2 photos: 1 and 5 -> invariance.png" in words and "rotation, 5: distance" in words
    assert "note: What a transform brings in from outside is filled: up to 12 % of an image (translation)" in words


def test_invariance_prints_json_and_goes_on_after_a_photo_that_cannot_be_read(monkeypatch, capsys):
    code, words = ran(monkeypatch, capsys, "invariance", "no.jpg", PHOTOS[0], "-m", "net.py:make", "--scales", "none",
                      "--angles", "none", "-t", "dog", "-t", "owl", "-l", "1", "--json", "-o", "a.svg")  # fmt: skip
    facts = json.loads(words[: words.rindex("}") + 1])
    assert code == 1 and Path("a.svg").is_file()
    assert [row["label"] for row in facts["numbers"]] == ["owl"] and facts["numbers"][0]["other"] is None
    assert facts["failed"][0]["photo"] == "no.jpg" and facts["layers"] == ["1"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--translations", "2:x"], "--translations takes a list -8,0,8, a range"),
        (["--scales", "1:2:0"], "--scales takes a list -8,0,8, a range"),
        (["--scales=-1"], "scales are above 0"),
        (["-t", "cat", "-t", "owl"], "--target is given 2 times for 1 photo"),
        (["--direction", "depth"], "only volumes"),
        (["-l", "no"], "no layer 'no'"),
    ],
)
def test_flags_of_invariance_that_cannot_be_are_told(monkeypatch, capsys, flags, words):
    code, told = ran(monkeypatch, capsys, "invariance", PHOTOS[0], "-m", "net.py:make", *flags)
    assert code == 1 and words in told and not Path("invariance.png").exists()


def test_correspondence_prints_the_table_and_draws_the_covered_photos(monkeypatch, capsys):
    code, words = ran(monkeypatch, capsys, "correspondence", *PHOTOS, "--parts", "parts.csv", "-m", "net.py:make",
                      "--dpi", "40")  # fmt: skip
    assert code == 0 and Path("correspondence.png").is_file()
    lines = words.splitlines()
    assert "2 photos, 1 part: distance of signs -> correspondence.png" in lines
    assert any(line.split()[:3] == ["part", "2", "random"] for line in lines)
    assert "  note: The file does not name 1 photo: not used." in lines


def test_correspondence_prints_json(monkeypatch, capsys):
    code, words = ran(monkeypatch, capsys, "correspondence", *PHOTOS[:2], "--parts", "parts.csv", "-m", "net.py:make",
                      "--json", "-l", "5", "--placements", "3")  # fmt: skip
    facts = json.loads(words[words.index("{") : words.rindex("}") + 1])
    assert code == 0 and facts["placements"] == 3 and facts["parts"][0]["part"] == "eye"
    assert facts["parts"][0]["spread"] is None and 0 <= facts["parts"][0]["distance"] <= 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("photo,part,left,top,right,bottom\nchelsea,eye,0,0,9,9\n", "'eye' is named in one photo alone"),
        (PARTS, "'rocket.png', which is not among the photos"),
        (PARTS.replace("rocket.png,eye,200", "rocket,eye,900").replace("300", "999"), "lies outside the photo"),
        ("x\n", "cannot read parts="),
    ],
)
def test_parts_that_cannot_be_are_told(monkeypatch, capsys, content, words):
    Path("other.csv").write_text(content, encoding="utf-8")
    code, told = ran(monkeypatch, capsys, "correspondence", *PHOTOS[:2], "--parts", "other.csv", "-m", "net.py:make")
    assert code == 1 and words in told and not Path("correspondence.png").exists()
