"""Models from exported programs."""

import pytest
import torch
from safetensors.torch import save_file
from support.specs import small
from torch import nn
from torch.export import export

from deconvnet import ModelLoadError, Preprocess
from deconvnet.models.load import load_model


def test_an_exported_program_brings_its_size(program_file):
    loaded = load_model(program_file, mean=(0.5, 0.4, 0.3), std=(1, 1, 1))
    assert loaded.preprocess == Preprocess((10, 12), 12, (0.5, 0.4, 0.3), (1, 1, 1))
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.model(loaded.example_input).shape == (1, 2, 8, 10)
    assert loaded.label(3) == "class 3"


def test_an_exported_program_is_asked_for_what_it_does_not_bring(program_file):
    with pytest.raises(ModelLoadError, match=r"does not say how.*mean=\(.*std=\(.* \(--mean, --std\)"):
        load_model(program_file)


def test_an_exported_program_takes_other_weights(program_file, tmp_path):
    weights = {name: torch.zeros_like(value) for name, value in small().state_dict().items()}
    save_file(weights, tmp_path / "w.safetensors")
    loaded = load_model(program_file, mean="0,0,0", std="1,1,1", weights=tmp_path / "w.safetensors")
    assert not any(weight.any() for weight in loaded.model.parameters())


def test_a_program_that_takes_no_photos_is_refused(tmp_path):
    torch.export.save(export(nn.Linear(3, 2), (torch.zeros(2, 3),)), tmp_path / "net.pt2")
    with pytest.raises(ModelLoadError, match=r"does not take one batch of photos"):
        load_model(tmp_path / "net.pt2", mean=0, std=1)


def test_a_file_that_is_no_program_is_refused(tmp_path):
    (tmp_path / "net.pt2").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelLoadError, match=r"cannot read .*net\.pt2' as an exported program"):
        load_model(tmp_path / "net.pt2")
    with pytest.raises(ModelLoadError, match=r"the file .*other\.pt2' does not exist"):
        load_model(tmp_path / "other.pt2")
