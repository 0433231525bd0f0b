"""`deconvnet diagnose`, in this process: what it prints, draws and refuses."""

import json

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
    body = nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU()
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
    return LoadedModel(model.eval(), Preprocess((24, 24), 24, (0.5,) * 3, (0.25,) * 3))
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a network, and with photos of which one is broken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trace, "capture", captured_once)
    (tmp_path / "net.py").write_text(NETWORK, encoding="utf-8")
    (tmp_path / "photos").mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "photos" / "broken.png").write_bytes(b"not a picture")
    return tmp_path


def test_without_photos_the_filters_are_described(monkeypatch, capsys):
    code, words = ran(monkeypatch, capsys, "diagnose", "-m", "net.py:network")
    assert code == 0 and "First layer 0: 6 filters of 5x5 pixels" in words and "Without photos" in words


def test_with_photos_numbers_and_a_figure_come_out_and_a_broken_photo_is_reported(monkeypatch, capsys, here):
    asked = ["diagnose", "-m", "net.py:network", "--photos", "photos", "--field", "3", "-q"]
    code, words = ran(monkeypatch, capsys, *asked, "-o", "figure.png", "--dpi", "40")
    assert code == 0 and "In 3 photos" in words and "-> figure.png" in words and "broken.png" in words
    with Image.open(here / "figure.png") as drawn:
        assert drawn.width == 384
    code, words = ran(monkeypatch, capsys, *asked, "--json", "--strict")
    facts, _ = json.JSONDecoder().raw_decode(words)
    assert code == 1 and facts["used"] == 3 and facts["layer"] == "0" and facts["second"] == "2"
    assert [field["layer"] for field in facts["fields"]] == ["3"] and facts["file"] is None
    assert [failed["photo"] for failed in facts["failed"]] == ["broken.png"]
    assert set(facts["bands"]) == {"low", "mid", "high"} and 0 <= facts["aliasing"]["share"] <= 1


def test_a_single_photo_and_named_layers_are_taken_and_a_wrong_layer_refused(monkeypatch, capsys):
    asked = ["diagnose", "-m", "net.py:network", "--photos", "photos/0.png", "-q"]
    code, words = ran(monkeypatch, capsys, *asked, "-l", "0", "-l", "2")
    assert code == 0 and "In 1 photo, " in words
    code, words = ran(monkeypatch, capsys, *asked, "-l", "none")
    assert code == 1 and "the network has no layer 'none'" in words
