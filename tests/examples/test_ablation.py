"""The variants differ where they say so, runs are resumed, and a difference counts only beyond the spread."""

from collections import Counter
from pathlib import Path

import ablation
import msgspec
import pytest
import torch
from ablation import VARIANTS, Run, build, errors, table, verdict
from torch import nn

from deconvnet import zfnet_mini


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_whole_variant_is_zfnet_mini(batch_norm: bool):
    ours, truth = (model.state_dict() for model in (
        build(VARIANTS["whole"], 11, batch_norm=batch_norm), zfnet_mini(11, batch_norm=batch_norm)
    ))  # fmt: skip
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in truth.items()}


@pytest.mark.parametrize(
    ("key", "gone"),
    [("no-3-4", {"conv3", "conv4"}), ("no-6-7", {"fc6"}), ("no-3-4-6-7", {"conv3", "conv4", "fc6"}), ("half", set())],
)
def test_a_variant_lacks_the_layers_of_its_name_and_no_others(key: str, gone: set[str]):
    def learned(model: nn.Module) -> set[str]:
        return {name for name, module in model.named_children() if isinstance(module, nn.Conv2d | nn.Linear)}

    model = build(VARIANTS[key], 11, batch_norm=True)
    assert learned(zfnet_mini(11)) - learned(model) == gone
    assert model(torch.zeros(2, 3, 128, 128)).shape == (2, 11)


def test_half_width_halves_every_layer_but_the_classes():
    widths = [value.shape[0] for name, value in zfnet_mini(11).state_dict().items() if name.endswith("bias")]
    half = build(VARIANTS["half"], 11, batch_norm=False).state_dict()
    assert [value.shape[0] for name, value in half.items() if name.endswith("bias")] == [
        w // 2 for w in widths[:-1]
    ] + [11]


def test_stride_four_in_the_first_layer_leaves_all_maps_above_the_second_their_size():
    model = build(VARIANTS["stride-4"], 11, batch_norm=False)
    assert (model.conv1.kernel_size, model.conv1.stride, model.conv2.stride) == ((11, 11), (4, 4), (1, 1))
    x = torch.zeros(1, 3, 128, 128)
    assert model[: list(dict(model.named_children())).index("pool2") + 1](x).shape[2:] == (8, 8)


def test_errors_are_in_percent_and_a_class_among_the_first_five_is_no_error_of_the_five():
    class Ranked(nn.Module):
        """Finds class 0 most likely, then class 1, and so on, whatever it sees."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -torch.arange(10.0).expand(len(x), 10)

    labels = torch.tensor([0, 1, 4, 5])
    assert errors(Ranked(), torch.zeros(4, 3, 144, 144, dtype=torch.uint8), labels) == (75.0, 25.0)


def test_a_difference_within_the_spread_says_nothing():
    assert verdict(1.0, 4.9, 1.0) == "within the spread"
    assert verdict(1.1, 4.9, 1.0) == "as in the paper"
    assert verdict(-1.1, 4.9, 1.0) == "against the paper"
    assert verdict(9.0, 4.9, None) == "spread not measured yet"


def test_the_table_compares_each_variant_with_the_whole_network():
    runs = [Run("no-3-4", 0, 4, 8, 6.0, 23.0, 2.5, 1.0)]
    runs += [Run("whole", seed, 4, 10, 5.0, error, 2.0, 1.0) for seed, error in enumerate((20.0, 21.0, 22.5))]
    lines = table(runs).splitlines()
    assert lines[2] == "| whole | 10 | 5.0 | 20.0 | 2.0 |  |  |  |"
    assert lines[3] == "| without 3, 4 | 8 | 6.0 | 23.0 | 2.5 | +3.0 | +4.9 | as in the paper |"
    assert lines[-1].endswith("gave 20.0, 21.0, 22.5, a range of 2.5 points.")


def test_runs_are_written_one_by_one_and_not_made_again(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(ablation, "RUNS", [("whole", 0, 4), ("no-3-4-6-7", 0, 4)])
    file, weights = tmp_path / "ablation.json", tmp_path / "weights"
    call = ["", "--data", str(photo_folder), "--out", str(file), "--epochs", "1", "--batch", "6"]
    monkeypatch.setattr("sys.argv", [*call, "--part", "1", "--weights", str(weights)])
    ablation.main()
    first = msgspec.json.decode(file.read_bytes())
    assert [run["variant"] for run in first["runs"]] == ["no-3-4-6-7"]
    assert [path.name for path in weights.iterdir()] == ["no-3-4-6-7.safetensors"]

    trained = Counter[str]()
    run = ablation.run
    monkeypatch.setattr(ablation, "run", lambda args, key, *rest: (trained.update([key]), run(args, key, *rest))[1])
    monkeypatch.setattr("sys.argv", call)
    ablation.main()
    assert trained == {"whole": 1}
    assert msgspec.json.decode(file.read_bytes())["runs"][0] == first["runs"][0]

    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["", "--table", str(file)])
    ablation.main()
    assert "| without 3, 4, 6, 7 | 368,131 |" in capsys.readouterr().out


def test_a_file_of_another_recipe_is_refused(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "ablation.json"
    file.write_bytes(msgspec.json.encode(ablation.Runs("--epochs 20 --batch 64 --rate 0.08", [])))
    monkeypatch.setattr("sys.argv", ["", "--data", str(photo_folder), "--out", str(file), "--epochs", "3"])
    with pytest.raises(SystemExit):
        ablation.main()
    assert "was made with --epochs 20 --batch 64 --rate 0.08, not with --epochs 3" in capsys.readouterr().err
