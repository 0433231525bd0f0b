"""Features are a layer's maps, averaged where they are large; draws do not overlap; the reduction loses nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

import depth
from sklearn.svm import LinearSVC

from deconvnet import load_model


def test_a_small_layer_is_kept_whole_and_a_large_one_averaged_over_the_finest_grid_that_fits():
    small, large = torch.randn(2, 9, 32, 32), torch.randn(2, 256, 12, 12)
    assert np.array_equal(depth.pooled(small), small.flatten(1))  # 9,216 numbers
    rows = depth.pooled(large)
    assert rows.shape == (2, 256 * 6 * 6)
    assert np.allclose(rows[1].reshape(256, 6, 6)[7, 0, 5], large[1, 7, :2, 10:].mean(), atol=1e-6)
    assert depth.pooled(torch.zeros(1, 10_000, 3, 3)).shape == (1, 10_000)


def test_rows_outlive_the_values_that_they_were_made_from():
    values = torch.ones(1, 2, 3, 3)
    rows = depth.pooled(values)
    values.zero_()
    assert rows.all()


def test_the_features_are_those_of_the_network_in_the_order_of_the_photos():
    loaded = load_model("zfnet-mini")
    photos = torch.randint(0, 256, (33, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = depth.features(loaded, photos, ["relu6"])["relu6"]
    x = loaded.preprocess.images([photos[32].permute(1, 2, 0).numpy()])
    with torch.inference_mode():
        truth = loaded.model[:-2](x)
    assert rows.shape == (33, 512) and np.allclose(rows[32], truth[0], atol=1e-4)


def test_a_draw_learns_from_few_of_each_class_and_is_tested_on_others():
    labels = np.repeat([0, 1, 2], [80, 20, 7])
    learn, test = depth.draw(labels, 5, 0)
    assert np.bincount(labels[learn]).tolist() == [5, 5, 5]
    assert np.bincount(labels[test]).tolist() == [50, 15, 2]
    assert not set(learn) & set(test)
    assert not np.array_equal(learn, depth.draw(labels, 5, 1)[0])


def test_a_class_with_too_few_photos_is_told():
    with pytest.raises(SystemExit, match="7 photos of each class are to be learned from, but one class has 7"):
        depth.draw(np.repeat([0, 1], [80, 7]), 7, 0)


@pytest.mark.parametrize("unit_length", [False, True])
def test_the_reduction_keeps_all_angles_and_distances_among_the_training_rows(unit_length: bool):
    random = np.random.default_rng(0)
    rows = (random.standard_normal((12, 300)) + 3).astype(np.float32)
    test = (random.standard_normal((5, 300)) + 3).astype(np.float32)
    small, tested = depth.reduced(rows, test, unit_length=unit_length)
    assert small.shape == (12, 12) and tested.shape == (5, 12)
    if unit_length:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        test = test / np.linalg.norm(test, axis=1, keepdims=True)
    scale = np.linalg.norm(rows - rows.mean(0), axis=1).mean()
    assert np.allclose(small @ small.T, (rows - rows.mean(0)) @ (rows - rows.mean(0)).T / scale**2, atol=1e-4)
    assert np.allclose(tested @ small.T, (test - rows.mean(0)) @ (rows - rows.mean(0)).T / scale**2, atol=1e-4)


def test_the_score_is_the_mean_of_the_classes_accuracies():
    rows = np.array([[-1.0], [-1.1], [-0.9], [1.0], [1.1], [0.9]], dtype=np.float32)
    tested = np.array([[-1.0], [-1.0], [-1.0], [1.0], [-1.0]], dtype=np.float32)  # the last one is mistaken
    true = np.array([0, 0, 0, 1, 1])
    assert depth.score(LinearSVC(), (rows, tested), np.array([0, 0, 0, 1, 1, 1]), true) == 75.0


def test_the_script_prints_a_row_for_each_layer_and_what_a_network_from_scratch_does(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    call = ["", "--data", str(photo_folder / "val"), "--short-side", "144", "--few", "3", "--draws", "2"]
    monkeypatch.setattr(
        "sys.argv", [*call, "--layers", "relu2", "relu6", "--scratch-draws", "1", "--scratch-epochs", "1"]
    )
    depth.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[4:6]] == ["| relu2", "| relu6"]
    assert all("100.0 ± 0.0" in line for line in lines[4:6])  # colours are told apart by any layer
    assert not any("rank correlation" in line for line in lines)  # there is none among equal numbers
    assert lines[-1].startswith("3 photos: 100.0 ± 0.0 on the last layer, ")


def test_a_network_of_a_thousand_classes_is_trained_from_scratch_on_the_first_few():
    model = depth.FirstScores(load_model("zfnet-mini").model, 3)
    assert model(torch.zeros(2, 3, 128, 128)).shape == (2, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--few", "2"], "--few takes 3 or more"), (["--draws", "0"], "--draws 1 or more"), ([], "holds no photos")],
)
def test_what_cannot_be_measured_is_told(
    more: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["", "--data", str(tmp_path), *more])
    with pytest.raises(SystemExit):
        depth.main()
    assert message in capsys.readouterr().err
