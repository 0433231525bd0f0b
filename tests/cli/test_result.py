"""One failure never takes the others with it, and nothing but the result comes on stdout."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deconvnet.cli import main

MODELS = """
from torch import nn
from deconvnet import LoadedModel, Preprocess

print("words of the file")

class Chatty(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        print("words of the forward pass")
        return self.head(self.conv(x).relu()).amax((2, 3))

class Forgetful(Chatty):
    def forward(self, x):
        self.conv(x)

PHOTOS = Preprocess((16, 16), 16, (0.5,) * 3, (0.25,) * 3)

def chatty():
    return LoadedModel(Chatty(), PHOTOS, ("cat", "dog", "owl", "elk"))

def forgetful():
    return LoadedModel(Forgetful(), PHOTOS)

def nothing():
    return None
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command in an empty folder: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["deconvnet", *arguments])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    (tmp_path / "models.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return run


def photo(name: str | bytes) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    with open(name, "wb") as file:
        Image.fromarray(pixels).save(file, "PNG")
    return os.fsdecode(name)


MODEL = ("--model", "models.py:chatty")
ODD, ODD_ESCAPED = b"\xff.png", r"\xff.png"


@pytest.mark.parametrize("command", ["explain", "responsible"])
def test_every_photo_has_its_row_whatever_is_wrong_with_the_others(run, command):
    Path("bad.png").write_bytes(b"no picture")
    photos = [photo(ODD), "bad.png", photo("y" * 248 + ".png"), photo("good.png")]
    code, out, err = run(command, *photos, "--json", *MODEL, *(["-k", "1"] if command == "responsible" else []))
    rows, failed = (json.loads(out)[key] for key in ("photos", "failed"))
    assert code == 1 and [row["photo"] for row in rows] == [ODD_ESCAPED, photos[3]]
    assert [row["photo"] for row in failed] == photos[1:3] and "File name too long" in failed[1]["error"]
    assert [line for line in err.splitlines() if line.startswith("deconvnet: ")] == [
        f"deconvnet: {failed[0]['error']}",
        f"deconvnet: {photos[2]}: {failed[1]['error']}",  # whose words do not name the photo
    ]
    assert Path(rows[1]["file"]).is_file() and Path(os.fsdecode(f"{os.fsdecode(ODD[:1])}.{command}.png")).is_file()


def test_what_is_wrong_with_all_photos_is_told_once(run):
    code, out, err = run("explain", photo("a.png"), photo("b.png"), "--target", "9", *MODEL)
    assert (code, out) == (1, "") and err.count("deconvnet: ") == 1


def test_a_folder_that_cannot_be_written_is_told_for_each_photo(run, monkeypatch):
    in_earnest = Path.open

    def refuse(self: Path, mode: str = "r", **options: Any) -> Any:
        if "x" in mode:
            raise PermissionError(13, "Permission denied", str(self))
        return in_earnest(self, mode, **options)

    photos = [photo("a.png"), photo("b.png")]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        code, out, _ = run("explain", *photos, "--json", *MODEL)
    failed = json.loads(out)["failed"]
    assert code == 1 and [row["photo"] for row in failed] == photos
    assert all("Permission denied" in row["error"] for row in failed)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    "command",
    [
        ["layers"],
        ["explain", "good.png"],
        ["project", "good.png", "--layer", "conv", "-c", "0"],
        ["steps", "good.png"],
        ["responsible", "good.png", "-k", "1"],
        ["report", "good.png", "--layer", "conv", "--maps", "1"],
        ["compare", "deconvnet", "guided", "good.png", "--layer", "conv", "-c", "0"],
    ],
    ids=lambda command: command[0],
)
def test_what_a_model_prints_does_not_spoil_the_result(run, command):
    photo("good.png")
    code, out, err = run(*command, "--json", *MODEL)
    assert code == 0 and json.loads(out)
    assert "words of the file" in err and "words of the forward pass" in err


def test_a_report_names_photos_with_their_bytes_escaped(run):
    Path("bad.png").write_bytes(b"no picture")
    bad = os.fsdecode(b"\xfe.png")
    Path(bad).write_bytes(b"no picture")
    code, out, _ = run("report", photo(ODD), "bad.png", bad, "-o", "r.html", "--layer", "conv", "--json", *MODEL)
    used, failed = ([row["photo"] for row in json.loads(out)[key]] for key in ("photos", "failed"))
    assert (code, used, failed) == (1, [ODD_ESCAPED], ["bad.png", r"\xfe.png"])
    assert r"\xff" in Path("r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("function", "message"),
    [("forgetful", "the model's forward returns None"), ("nothing", "returned NoneType, but a torch.nn.Module")],
)
def test_a_model_that_gives_nothing_is_told(run, function, message):
    code, out, err = run("layers", "--model", f"models.py:{function}")
    assert (code, out) == (1, "") and message in err.splitlines()[-1]


def test_a_torn_program_is_told_in_one_line(run):
    Path("torn.pt2").write_bytes(b"PK\x03\x04" + bytes(100))
    code, out, err = run("layers", "--model", "torn.pt2")
    assert (code, out, err.count("\n")) == (1, "", 1) and "cannot read 'torn.pt2'" in err


def test_labels_of_another_network_are_refused(run):
    code, out, err = run("explain", photo("a.png"), "--labels", "imagenet", *MODEL)
    assert (code, out) == (1, "") and "1,000 names for 4 classes" in err
