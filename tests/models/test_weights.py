"""Weights from files: in whatever training runs put them, halved, missing, damaged."""

import warnings
from argparse import Namespace
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.specs import PHOTOS, same_weights, small
from torch import Tensor, nn

from deconvnet import DeconvNetWarning, ModelLoadError
from deconvnet.models._checkpoints import read_weights
from deconvnet.models.load import load_model


def behind(prefix: str, state: dict) -> dict:
    return {f"{prefix}{name}": value for name, value in state.items()}


WRAPPINGS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": state, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}},
    "parallel": lambda state: behind("module.", state),
    "both": lambda state: {"state_dict": behind("module.", state)},
    "nested": lambda state: {"ema": {"state_dict": {"model": behind("model.net.backbone.", state)}}},
    "compiled": lambda state: {"model_state_dict": behind("_orig_mod.", state)},
    "compiled inside": lambda state: behind("model._orig_mod.module.", state),
    "a part compiled": lambda state: {name.replace("0.", "0._orig_mod."): value for name, value in state.items()},
    "average": lambda state: {"n_averaged": torch.tensor(7), **behind("module.", state)},
    "settings": lambda state: {"args": Namespace(lr=0.1, out=Path("runs"), since=datetime.now()), "model": state},
    "numpy": lambda state: {"best": np.float64(0.9), "curve": np.ones(3), "state_dict": state},
    "a table": lambda state: defaultdict(list, {"losses": [1.0], "weights": state}),
}


@pytest.fixture
def normed_file(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.BatchNorm2d(2))\n"
    )
    return tmp_path / "net.py"


def load_small(file: Path, weights: str | Path) -> nn.Module:
    return load_model(f"{file}:make", weights=weights, **PHOTOS).model


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_checkpoints_are_read_however_they_were_wrapped(wrapping, normed_file, tmp_path):
    model = small()
    torch.save(WRAPPINGS[wrapping](model.state_dict()), tmp_path / "w.pth")
    assert same_weights(load_small(normed_file, tmp_path / "w.pth"), model)


def test_a_network_that_is_wrapped_itself_takes_them_as_well(tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\nnorm = torch.compile(nn.BatchNorm2d(2))\n"
        "def make(): return nn.DataParallel(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), norm))"
    )
    torch.save({"state_dict": behind("model.", small().state_dict())}, tmp_path / "w.ckpt")
    assert load_small(tmp_path / "net.py", tmp_path / "w.ckpt").module[0].bias.shape == (2,)


def test_what_lies_beside_the_network_is_told(normed_file, tmp_path):
    model = small()
    held = {**behind("model.", model.state_dict()), "loss.weight": torch.ones(2)}
    torch.save({"state_dict": held}, tmp_path / "w.ckpt")
    with pytest.warns(DeconvNetWarning, match=r"the file also holds loss\.weight, which the network does not have"):
        assert same_weights(load_small(normed_file, tmp_path / "w.ckpt"), model)


def other() -> nn.Sequential:
    model = small()
    nn.init.ones_(model[0].weight)
    return model


def test_an_average_is_taken_where_it_is_named_or_alone(normed_file, tmp_path):
    model, average = small(), other()
    file = tmp_path / "w.pth"
    torch.save({"state_dict_ema": average.state_dict(), "state_dict": model.state_dict()}, file)
    with pytest.warns(DeconvNetWarning, match=r"those of 'state_dict' are taken; .*w\.pth:state_dict_ema has others"):
        assert same_weights(load_small(normed_file, file), model)
    with warnings.catch_warnings(action="error"):
        assert same_weights(load_small(normed_file, f"{file}:state_dict_ema"), average)
    torch.save({"ema": average.state_dict()}, file)
    assert same_weights(load_small(normed_file, file), average)


def test_one_of_two_networks_in_a_file_has_to_be_named(normed_file, tmp_path):
    teacher = other()
    held = {**behind("teacher.", teacher.state_dict()), **behind("student.", small().state_dict())}
    file = tmp_path / "w.pth"
    torch.save({"state_dict": held}, file)
    words = r"is not clear: 'state_dict\.student', 'state_dict\.teacher'\. Name one: .*w\.pth:state_dict\.teacher"
    with pytest.raises(ModelLoadError, match=words):
        load_small(normed_file, file)
    assert same_weights(load_small(normed_file, f"{file}:state_dict.teacher"), teacher)
    with pytest.raises(ModelLoadError, match=r"no weights under 'state_dict\.teach'\. It has .* Did you mean"):
        load_small(normed_file, f"{file}:state_dict.teach")


def test_a_set_of_weights_with_two_names_is_found_by_each_and_not_asked_about(normed_file, tmp_path):
    model, file = small(), tmp_path / "w.pth"
    state, copy = model.state_dict(), {name: value.clone() for name, value in model.state_dict().items()}
    for second in (state, copy):
        torch.save({"epoch": 3, "state_dict": state, "model_state": second, "ema": {"inner": second}}, file)
        with warnings.catch_warnings(action="error"):
            for key in ("", ":state_dict", ":model_state", ":ema", ":ema.inner"):
                assert same_weights(load_small(normed_file, f"{file}{key}"), model)
    torch.save({"state_dict": state, "model_state": other().state_dict()}, file)
    with pytest.raises(ModelLoadError, match=r"is not clear: 'model_state', 'state_dict'\. Name one"):
        load_small(normed_file, file)


def test_a_dictionary_with_very_many_names_is_read_in_a_moment(tmp_path):
    held: dict = {"weight": torch.zeros(2)}
    for _ in range(5):
        held = {f"key{i}": held for i in range(300)}
    torch.save(held, tmp_path / "w.pth")
    assert len(read_weights(tmp_path / "w.pth")) <= 300


def test_a_small_part_of_another_network_is_not_taken(normed_file, tmp_path):
    file = tmp_path / "w.pth"
    torch.save({**behind("stem.", small().state_dict()), **behind("body.", nn.LSTM(3, 3, 4).state_dict())}, file)
    with pytest.raises(ModelLoadError, match=r"which is meant is not clear: 'stem'\. Name one: .*w\.pth:stem\."):
        load_small(normed_file, file)


def test_only_some_names_behind_a_beginning_are_not_enough(normed_file, tmp_path):
    state = small().state_dict()
    state["model.0.bias"] = state.pop("0.bias")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelLoadError, match=r"missing in the file: 0\.bias; unknown to the network: model\.0\.bias"):
        load_small(normed_file, tmp_path / "w.pth")


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


class Settings:
    """A class of a training run, which is not known to be harmless."""

    def __setstate__(self, state: object) -> None:
        raise AssertionError("code of the file was run")


def test_pickled_objects_are_never_loaded(normed_file, tmp_path):
    torch.save(small(), tmp_path / "w.pt")
    with pytest.raises(ModelLoadError, match=r"pickled objects of .*Sequential, which are not loaded because they can"):
        load_small(normed_file, tmp_path / "w.pt")
    torch.save({"model": small().state_dict(), "settings": Settings()}, tmp_path / "w.pt")
    with pytest.raises(
        ModelLoadError, match=r"objects of .*\.Settings, which .* Save the weights alone, where they were"
    ):
        load_small(normed_file, tmp_path / "w.pt")


class Runs:
    """What a malicious file holds."""

    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("[][0]",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_function_in_a_pickle_is_never_called(legacy, normed_file, tmp_path):
    torch.save({"a": Runs()}, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelLoadError, match=r"pickled objects of eval, which are not loaded"):
        load_small(normed_file, tmp_path / "w.pt")


def test_harmless_classes_are_allowed_only_while_a_file_is_read(normed_file, tmp_path):
    torch.save({"model": small().state_dict(), "args": Namespace(rate=0.1)}, tmp_path / "w.pt")
    with torch.serialization.safe_globals([Namespace]):
        before = set(torch.serialization.get_safe_globals())
        load_small(normed_file, tmp_path / "w.pt")
        assert set(torch.serialization.get_safe_globals()) == before


def test_a_dictionary_that_holds_itself_ends(normed_file, tmp_path):
    held = {"model": small().state_dict()}
    held["again"] = held
    torch.save(held, tmp_path / "w.pt")
    load_small(normed_file, tmp_path / "w.pt")


def test_names_of_any_length_end(normed_file, tmp_path):
    torch.save({"." * 10**6 + "0.bias": torch.zeros(2)}, tmp_path / "w.pt")
    with pytest.raises(
        ModelLoadError, match=r"missing in the file: .*; unknown to the network: \.{120,130} Give"
    ) as told:
        load_small(normed_file, tmp_path / "w.pt")
    assert len(str(told.value)) < 1000


def test_a_torchscript_program_is_told(normed_file, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(small().eval(), torch.zeros(1, 3, 8, 8)), tmp_path / "w.pt")
        with pytest.raises(ModelLoadError, match=r"it is a TorchScript program\. Save the weights alone"):
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
