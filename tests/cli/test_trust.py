"""`deconvnet trust`: its page, its files, what an atlas adds; and the line of `explain` and `project`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import captured_once, ran

import deconvnet
from deconvnet.capture import trace

NETWORK = """
import torch
from torch import nn
from deconvnet import LoadedModel, Preprocess

def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 30, 3), nn.ReLU(), nn.Flatten(), nn.Linear(750, 3)
    )
    return LoadedModel(model, Preprocess((16, 16), 16, (0.5,) * 3, (0.25,) * 3), ("cat", "dog", "owl"))
"""
MODEL = ("-m", "net.py:network")
FEW = (*MODEL, "--measures", "other units, edges")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trace, "capture", captured_once)
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "set").mkdir()
    random = np.random.default_rng(0)
    for i in range(21):
        Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8)).save(tmp_path / "set" / f"{i:02}.png")


@pytest.fixture
def deconvnet_(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    return lambda *arguments: ran(monkeypatch, capsys, *arguments)


def test_a_page_has_questions_values_nulls_and_a_verdict(deconvnet_):
    code, printed = deconvnet_("trust", "sample:chelsea", *FEW, "-l", "4", "-o", "a.svg", "-q")
    assert code == 0, printed
    assert "Would another unit at this place give the same picture?" in printed and "Verdict: " in printed
    assert "random networks: " in printed and "-> a.svg" in printed
    assert "switches" in Path("a.svg").read_text()


def test_json_has_every_draw_and_a_folder_holds_the_result(deconvnet_):
    code, printed = deconvnet_("trust", "set/00.png", *FEW, "-t", "owl", "--others", "set", "-o", "all", "--json", "-q")
    assert code == 0, printed
    facts = json.loads(printed)
    assert facts["unit"]["label"] == "owl" and facts["others"] == "other images given (20)"
    units, edges = facts["measures"]
    assert [units["name"], edges["name"]] == ["other units", "edges"]
    assert {len(null["draws"]) for null in units["nulls"]} == {20}
    opened = deconvnet.open("all")
    assert opened["edges"].value == edges["value"] and opened.verdict == facts["verdict"]


def test_an_atlas_knows_how_strong_a_unit_is_and_which_photos_it_likes(deconvnet_):
    code, printed = deconvnet_("atlas", "set", *MODEL, "-l", "4", "-o", "atlas", "-k", "4", "-q")
    assert code == 0, printed
    asked = (*MODEL, "-l", "4", "--atlas", "atlas", "--measures", "strength,like photos", "-q", "--json")
    code, printed = deconvnet_("trust", "set/00.png", *asked)
    assert code == 0, printed
    facts = json.loads(printed)
    strength, likes = facts["measures"]
    assert 10 <= strength["value"] <= 100 and likes["why_not"]
    assert "own photos as --others" in facts["notes"][-1]
    code, printed = deconvnet_("trust", "set/00.png", *asked, "--others", "set")
    assert code == 0, printed
    assert json.loads(printed)["measures"][1]["value"] is not None
    code, printed = deconvnet_("trust", "set/00.png", "--atlas", "atlas", "-q")
    assert code == 1 and "with other weights than zfnet-mini" in printed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-l", "4", "-t", "owl"), "drop one of them"),
        (("-c", "3"), "need --layer"),
        (("-l", "4", "--measures", "edge"), "Did you mean 'edges'"),
        (("-l", "4", "-o", "net.py/a"), "net.py"),
        (("-l", "4", "--atlas", "set"), "set"),
        (("-l", "9x"), "no layer '9x'"),
    ],
)
def test_what_cannot_be_done_is_said(deconvnet_, flags, words):
    code, printed = deconvnet_("trust", "set/00.png", *MODEL, *flags, "-q")
    assert code == 1 and words in printed and "Traceback" not in printed


def test_explain_and_project_of_one_photo_have_a_line_and_of_several_none(deconvnet_):
    _, printed = deconvnet_("explain", "set/00.png", *MODEL)
    assert printed.count("trust: cosine with other units here") == 1
    _, printed = deconvnet_("explain", "set/01.png", *MODEL, "--no-trust")
    assert "trust" not in printed
    _, printed = deconvnet_("explain", "set/02.png", "set/03.png", *MODEL)
    assert "trust" not in printed
    _, printed = deconvnet_("project", "set/00.png", *MODEL, "-l", "4")
    assert printed.count("trust, map ") == 1
    _, printed = deconvnet_("project", "set/01.png", "set/02.png", *MODEL, "-l", "4", "-c", "top:2", "--trust")
    assert printed.count("trust, map ") == 4
    _, printed = deconvnet_("project", "set/04.png", *MODEL, "-l", "4", "-c", "top:2", "--trust", "--json")
    (photo,) = json.loads(printed)["photos"]
    assert [len(each["other_units"]) for each in photo["trust"]] == [2, 2]


def test_a_whole_map_has_a_reason_in_place_of_numbers(deconvnet_):
    network = NETWORK.replace("nn.Flatten(), nn.Linear(750, 3)", "nn.Conv2d(30, 3, 1)")
    Path("maps.py").write_text(network)
    _, printed = deconvnet_("explain", "set/00.png", "-m", "maps.py:network")
    assert "trust: not measured: it is the picture of a whole map" in printed
