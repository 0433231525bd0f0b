"""Arrays in files of ours come back as they were written, or not at all."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from deconvnet._arrays import read_arrays, read_tensors, read_text, write_arrays, write_tensors


def test_arrays_and_their_text_come_back(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "none": np.zeros(0, np.float32), "b": np.eye(3)[:, ::2]}
    write_arrays(tmp_path / "file", "their text", arrays)
    text, found = read_arrays(tmp_path / "file")
    assert text == "their text" and found.keys() == arrays.keys()
    assert all(found[name].dtype == arrays[name].dtype and np.array_equal(found[name], arrays[name]) for name in found)


def test_tensors_come_back_whatever_their_type_and_memory(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    tensors = {"a": whole, "turned": whole.T, "part": whole[1:, ::2], "narrow": whole.bfloat16(), "none": whole[:0]}
    tensors |= {
        "column of one": whole[:1, ::2][:, :1].T,
        "one": torch.tensor(True),
        "grown": whole.clone().requires_grad_(),
    }
    write_tensors(tmp_path / "file", "their text", tensors)
    text, found = read_tensors(tmp_path / "file")
    assert text == "their text" == read_text(tmp_path / "file") and found.keys() == tensors.keys()
    assert all(found[name].dtype == tensors[name].dtype and torch.equal(found[name], tensors[name]) for name in found)
    data = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(data[:-1] + b"?")
    with pytest.raises(ValueError, match="it does not hold what was written"):
        read_tensors(tmp_path / "file")


@pytest.mark.parametrize("metadata", [None, {}, {"about": "text"}, {"about": "text", "digest": "0"}, {"digest": "0"}])
def test_arrays_without_the_right_hash_are_damaged(tmp_path, metadata):
    save_file({"a": np.zeros(3)}, tmp_path / "file", metadata)
    with pytest.raises(ValueError, match="it does not hold what was written"):
        read_arrays(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_what_does_not_hold_arrays_is_damaged(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError):
        read_arrays(tmp_path / "file")
