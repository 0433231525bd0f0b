"""Directions that made the rows are found again, and have an atlas."""

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("sklearn")

import directions
from safetensors.torch import load_file

import deconvnet


def test_directions_that_the_rows_are_made_of_are_found_again():
    random = np.random.default_rng(0)
    made_of = np.zeros((3, 12))
    made_of[[0, 0, 1, 1, 2, 2], [0, 4, 1, 5, 2, 9]] = 1
    rows = random.exponential(size=(300, 3)) @ made_of
    found = directions.directions_of(rows, 3, seed=0).double()
    alike = found @ torch.from_numpy(made_of / np.linalg.norm(made_of, axis=1, keepdims=True)).T
    assert (alike.amax(1) > 0.999).all() and len(set(alike.argmax(1).tolist())) == 3


def test_values_below_0_are_refused():
    with pytest.raises(SystemExit, match="behind a rectifier"):
        directions.directions_of(np.array([[-1.0, 2.0]]), 1, seed=0)


def test_a_folder_of_photos_becomes_directions_and_their_atlas(tmp_path, capsys):
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name in "abc":
        image = random.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(image).resize((160, 160)).save(tmp_path / "photos" / f"{name}.png")
    atlas = directions.main([str(tmp_path / "photos"), "--count", "2", "--positions", "8", "-o", str(tmp_path / "out")])
    assert "2 directions of relu4 from 24 positions" in capsys.readouterr().out
    weight = load_file(tmp_path / "out" / "directions.safetensors")["weight"]
    assert weight.shape == (2, 224) and torch.allclose(weight.norm(dim=1), torch.ones(2))
    assert list(atlas.layers) == ["directions"]
    again = deconvnet.open(tmp_path / "out" / "atlas")
    top = again.top("directions", 0)[0]
    loaded = deconvnet.load_model("zfnet-mini")
    net = deconvnet.DeconvNet(loaded.model, loaded.example_input).with_directions("relu4", weight)
    x = loaded.preprocess.images([str(tmp_path / "photos" / top.image)])
    assert top.activation == pytest.approx(float(net.project(x, "directions", channel=0).activations[0]), rel=1e-4)
