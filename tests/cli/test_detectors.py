"""Commands on a detector: which answer is meant, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import captured_once, ran

from deconvnet.capture import trace

NETWORK = """
from support.detectors import NAMES, small_detector
from support.heads import Levels
from torch import nn
from deconvnet import load_model

def detector():
    return load_model(small_detector("SSD"), labels=NAMES)

def numbers():
    return Levels(lambda: nn.LeakyReLU(0.1))

def bare():
    return small_detector("RetinaNet")
"""
MODEL = ("-m", "net.py:detector")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trace, "capture", captured_once)
    (tmp_path / "net.py").write_text(NETWORK)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save("a.png")


def test_explain_takes_one_answer_or_the_strongest_of_a_class(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    targets = ("-t", "dog", "-t", "1,2,elk,3,1", "-t", "1,*,cat,*,*")
    code, printed = ran(monkeypatch, capsys, "explain", "a.png", *MODEL, *targets, "--json", "--no-trust")
    assert code == 0, printed
    (row,) = json.loads(printed)["photos"]
    dog, elk, cat = row["classes"]
    assert elk["label"] == "elk, level 1, anchor 2, at (3, 1)"
    assert elk["detection"] == {
        "class": 3, "name": "elk", "level": 1, "anchor": 2, "position": [3, 1], "centre": [28.0, 12.0],
    }  # fmt: skip
    assert (dog["detection"]["name"], cat["detection"]["name"], cat["detection"]["level"]) == ("dog", "cat", 1)
    assert 0 < elk["probability"] <= row["answer"]["probability"] <= 1
    assert Path("a.explain.png").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ("responsible", "-k", "2", "-t", "dog"),
        ("steps", "-t", "0,1,dog,2,3", "-o", "a.steps.png"),
        ("occlude", "-t", "dog"),
    ],
)
def test_commands_name_the_answer(monkeypatch: pytest.MonkeyPatch, capsys: Any, arguments: tuple[str, ...]) -> None:
    command, *flags = arguments
    code, printed = ran(monkeypatch, capsys, command, "a.png", *MODEL, *flags)
    assert code == 0, printed
    assert "dog, level " in printed
    assert any(Path().glob(f"*.{command}.*"))


def test_the_detector_itself_can_be_the_network(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    code, printed = ran(monkeypatch, capsys, "explain", "a.png", "-m", "net.py:bare", "--no-trust")
    assert code == 0, printed
    assert printed.startswith("a.png: class ") and ", level " in printed


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("0,dog,1,1", "one answer of a detector is LEVEL,ANCHOR,CLASS,Y,X"),
        ("2,0,dog,1,1", "there are 2 levels"),
        ("nothing", "stands for what is not an object"),
        ("emu", "no class 'emu' among the 4"),
    ],
)
def test_other_answers_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: Any, target: str, words: str) -> None:
    code, printed = ran(monkeypatch, capsys, "explain", "a.png", *MODEL, "-t", target)
    assert code == 1 and words in printed
    assert not Path("a.explain.png").exists()


def test_the_json_of_steps_and_trust_names_the_answer(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    name, flags = "dog, level 0, anchor 1, at (2, 3)", ("-t", "0,1,dog,2,3", "--json")
    _, printed = ran(monkeypatch, capsys, "steps", "a.png", *MODEL, *flags)
    assert json.loads(printed)["photos"][0]["unit"]["label"] == name
    _, printed = ran(monkeypatch, capsys, "explain", "a.png", *MODEL, *flags)
    assert json.loads(printed)["photos"][0]["trust"][0]["label"] == name


def test_the_trust_line_of_several_answers_names_each(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    _, printed = ran(monkeypatch, capsys, "explain", "a.png", *MODEL, "-t", "0,1,dog,2,3", "-t", "cat")
    assert "  trust, dog, level 0, anchor 1, at (2, 3): cosine with" in printed


def test_a_class_below_0_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for target in ("-1", "0,0,-1,0,0"):
        code, printed = ran(monkeypatch, capsys, "explain", "a.png", *MODEL, "-t", target)
        assert code == 1 and "'-1'" in printed


def test_a_number_of_an_output_of_more_axes_is_named_by_where_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    model = ("-m", "net.py:numbers", "--size", "32", "--mean", "0.5,0.5,0.5", "--std", "1,1,1", "--smooth", "rectify")
    flags = ("--class-output", "1", "-t", "1,2,3,6", "-t", "*,*,*,7", "--json", "--no-trust")
    code, printed = ran(monkeypatch, capsys, "explain", "a.png", *model, *flags)
    assert code == 0, printed
    (row,) = json.loads(printed)["photos"]
    number, strongest = row["classes"]
    assert number["label"] == "number (1, 2, 3, 6)"
    assert strongest["label"].endswith(", 7)") and 0 < strongest["probability"] < 1
    assert row["answer"] == number
