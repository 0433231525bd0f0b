"""The command evolution, as a user runs it beside a training that was watched."""

import json

import pytest
import torch
from PIL import Image
from support.commands import captured_once, ran
from torch import nn

from deconvnet.capture import trace
from deconvnet.training import Evolution


@pytest.fixture
def watched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trace, "capture", captured_once)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())
    evolution = Evolution(model, torch.rand(2, 3, 6, 6), folder="watched", layers=["0", "1"], maps=2, epochs=None)
    for epoch in (1, 3):
        nn.init.normal_(model[0].weight)
        evolution.after(epoch)
    return tmp_path


def test_evolution_draws_the_snapshots_and_says_how_far_each_layer_has_settled(watched, monkeypatch, capsys):
    code, words = ran(monkeypatch, capsys, "evolution", "watched")
    assert code == 0
    assert words.startswith("watched: 2 snapshots, after epochs 1, 3 -> watched.evolution.png\n  0: cosine between its")
    assert words.rstrip().endswith("1.00")
    with Image.open("watched.evolution.png") as image:
        assert image.width > 300
    assert ran(monkeypatch, capsys, "evolution", "watched", "--convergence", "-o", "c.svg", "--title", "far")[0] == 0
    assert "far" in (watched / "c.svg").read_text()
    code, words = ran(monkeypatch, capsys, "evolution", "watched", "--json", "-o", "w.pdf", "--columns", 1)
    assert code == 0 and json.loads(words)["layers"][1]["changed"][0] is None


def test_evolution_refuses_what_it_cannot_draw(watched, monkeypatch, capsys):
    (watched / "other").mkdir()
    for arguments, reason in (
        (["other"], "holds nothing that deconvnet saved"),
        (["watched/epoch-00001"], "holds no snapshots of a training, but a Snapshot"),
        (["watched", "--convergence", "--columns", 2], "drop one of them"),
        (["watched", "--columns", 0, "--force"], "columns is a whole number"),
        (["watched", "-o", "x.doc"], "does not end in"),
    ):
        code, words = ran(monkeypatch, capsys, "evolution", *arguments)
        assert code == 1 and reason in words, words
    assert not list(watched.glob("*.evolution.png"))
