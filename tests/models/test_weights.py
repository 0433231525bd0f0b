"""Weights from files: wrapped, halved, missing, damaged."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.specs import PHOTOS, same_weights, small
from torch import Tensor, nn

from deconvnet import ModelLoadError
from deconvnet.models.load import load_model

WRAPPINGS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": state, "optimizer": {}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "both": lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
}


@pytest.fixture
def normed_file(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.BatchNorm2d(2))\n"
    )
    return tmp_path / "net.py"


def load_small(file: Path, weights: Path) -> nn.Module:
    return load_model(f"{file}:make", weights=weights, **PHOTOS).model


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_checkpoints_are_read_however_they_were_wrapped(wrapping, normed_file, tmp_path):
    model = small()
    torch.save(WRAPPINGS[wrapping](model.state_dict()), tmp_path / "w.pth")
    assert same_weights(load_small(normed_file, tmp_path / "w.pth"), model)


def test_half_weights_become_the_models_dtype(normed_file, tmp_path):
    state = {name: value.half() if value.is_floating_point() else value for name, value in small().state_dict().items()}
    save_file(state, tmp_path / "w.fp16.safetensors")
    model = load_small(normed_file, tmp_path / "w.fp16.safetensors")
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model[0].weight, state["0.weight"].float())


def test_counters_of_batch_norm_may_be_missing(normed_file, tmp_path):
    state = small().state_dict()
    del state["2.num_batches_tracked"]
    save_file(state, tmp_path / "w.safetensors")
    load_small(normed_file, tmp_path / "w.safetensors")


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    state = {**small().state_dict(), **{name.replace("_", ".", 1): value for name, value in changes.items()}}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (changed(**{"0_bias": None}), r"missing in the file: 0\.bias\. Give"),
        (changed(**{"7_bias": torch.zeros(1)}), r"unknown to the network: 7\.bias\. Give"),
        (
            changed(**{"0_bias": torch.zeros(5)}),
            r"shapes differ: 0\.bias is \(2,\) in the network and \(5,\) in the file",
        ),
        (
            changed(**{"0_bias": torch.zeros(2, dtype=torch.int64)}),
            r"0\.bias is \(2,\) .* and \(2,\) of int64 in",
        ),
        (
            {f"layer{i}": torch.zeros(1) for i in range(9)},
            r"missing in the file: .* and 2 more; unknown to the network: .*layer3 and 5 more\. Give",
        ),
    ],
)
def test_weights_that_do_not_fit_are_told_by_name(state, words, normed_file, tmp_path):
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelLoadError, match=words):
        load_small(normed_file, tmp_path / "w.safetensors")


def test_weights_that_do_not_fit_change_nothing():
    from deconvnet.models._weights import fit

    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ModelLoadError, match=r"these do not fit"):
        fit(model, {name: value + 1 for name, value in before.items() if name != "2.bias"}, "these")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_pickled_objects_are_never_loaded(normed_file, tmp_path):
    torch.save(small(), tmp_path / "w.pt")
    with pytest.raises(ModelLoadError, match=r"pickled objects of .*Sequential, which are not loaded because they can"):
        load_small(normed_file, tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"hello", b"garbage of some length" * 9, b"PK\x03\x04 half a zip"])
def test_damaged_weights_are_refused(name, content, normed_file, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelLoadError, match=rf"cannot read the weights .*{name}': the file is damaged or of another"):
        load_small(normed_file, tmp_path / name)


@pytest.mark.parametrize("held", [[1, 2], {}, {"a": 1}, torch.zeros(3)])
def test_a_file_without_weights_by_name_is_refused(held, normed_file, tmp_path):
    torch.save(held, tmp_path / "w.pt")
    with pytest.raises(ModelLoadError, match=r"w\.pt' does not hold weights by name"):
        load_small(normed_file, tmp_path / "w.pt")


def test_a_weights_file_that_is_not_there_is_told(normed_file, tmp_path):
    with pytest.raises(ModelLoadError, match=r"the weights file .*w\.pt' does not exist"):
        load_small(normed_file, tmp_path / "w.pt")
