"""Networks in files and checkpoints: the same bytes after any interruption, and never half a file."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import deconvnet
from deconvnet import ArgumentError, DeconvNetError
from deconvnet.learn import (
    AdaptiveDeconvNet,
    DeconvLayer,
    Progress,
    checkpoint,
    fit,
    load_net,
    save_net,
    singles_and_doubles,
    train,
)
from deconvnet.learn.checkpoint import about_net

EPOCHS = [2, 1]  # of three batches


def network(seed: int = 1, lam: float = 0.2) -> AdaptiveDeconvNet:
    return AdaptiveDeconvNet.of([3, 4], kernel=3, pool=(2, 2, 2), lam=lam, seed=seed)


def batches(epoch: int) -> list[Tensor]:
    random_numbers = torch.Generator().manual_seed(epoch)
    return list(torch.randn(6, 1, 10, 10, generator=random_numbers).split(2))


def learn(net: AdaptiveDeconvNet, **options: Any) -> AdaptiveDeconvNet:
    """Nine updates."""
    return fit(net, **{"loader": batches, "epochs": EPOCHS, "max_iter": 5, **options})


def state(net: AdaptiveDeconvNet) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The last checkpoint of a run that nothing interrupted."""
    path = tmp_path_factory.mktemp("whole") / "net.safetensors"
    learn(network(), checkpoint=path)
    return path


class Crash(BaseException):
    """As if the process had ended here."""


# A network in a file.


def test_a_network_comes_back_as_it_was(tmp_path):
    net = learn(network())
    save_net(net, tmp_path / "net.safetensors", {"who": "me"})
    back = load_net(str(tmp_path / "net.safetensors"))
    assert state(back) == state(net) and str(back) == str(net)
    assert about_net(tmp_path / "net.safetensors")["who"] == "me"
    assert all(layer.filters.requires_grad for layer in back.layers)
    images = batches(5)[0]
    assert torch.equal(back.infer(images)[2].z, net.infer(images)[2].z)


def test_every_option_of_a_network_comes_back(tmp_path):
    layers = [
        DeconvLayer(3, 4, 5, lam=0.3, p=0.8),
        DeconvLayer(4, 10, 3, pool=(2, 3, 2), lam=0.1, nonneg=True, connectivity=singles_and_doubles(4)),
    ]
    net = AdaptiveDeconvNet(layers, boundary="zero", target="below")
    save_net(net, tmp_path / "net.safetensors")
    back = load_net(tmp_path / "net.safetensors")
    assert (back.boundary, back.target, back.channels) == ("zero", "below", 3)
    for one, other in zip(back.layers, layers, strict=True):
        for name in ("channels", "maps", "kernel", "pool", "lam", "p", "nonneg"):
            assert getattr(one, name) == getattr(other, name)
    assert torch.equal(back.layers[1].connectivity, singles_and_doubles(4))


def test_a_network_in_double_precision_stays_so(tmp_path):
    net = learn(network().double(), loader=lambda epoch: [images.double() for images in batches(epoch)])
    save_net(net, tmp_path / "net.safetensors")
    assert state(load_net(tmp_path / "net.safetensors")) == state(net)


def test_torch_s_random_state_is_left_as_it_was(whole):
    before = torch.random.get_rng_state()
    load_net(whole)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_nothing_in_a_file_is_pickled_and_it_says_how_it_was_made(whole):
    data = whole.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    told = json.loads(header.pop("__metadata__")["learned"])
    assert told["format_version"] == 1 and told["deconvnet"] == deconvnet.__version__
    assert told["options"]["epochs"] == EPOCHS and told["position"] == {"turn": 3, "batches": 0}
    ends = [entry["data_offsets"][1] for entry in header.values()]
    assert 8 + length + max(ends) == len(data)  # tensors, and nothing else


def test_a_checkpoint_is_a_network(whole):
    assert state(load_net(whole)) == state(learn(network()))


@pytest.mark.parametrize("read", [load_net, about_net])
def test_a_file_that_is_not_there_is_told(tmp_path, read):
    for path in (tmp_path / "no.safetensors", tmp_path):
        with pytest.raises(DeconvNetError, match=r"the file .* does not exist"):
            read(path)


def damaged(whole: Path, path: Path, how: str) -> None:
    data = whole.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut off":
        path.write_bytes(data[:-20])
    elif how == "other bytes":
        path.write_bytes(b"\x80\x04" * 500)
    else:
        with safe_open(whole, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            told = file.metadata()["learned"]
        metadata = {
            "no words": None,
            "no JSON": {"learned": "{"},
            "a list": {"learned": "[1]"},
            "other words": {"learned": '{"format_version": 1}'},
            "a layer less": {"learned": told},
            "another shape": {"learned": told.replace('"maps": 4', '"maps": 5')},
            "an option of no meaning": {"learned": told.replace('"kernel"', '"colonel"')},
            "a number out of range": {"learned": told.replace('"maps": 4', '"maps": -4')},
        }[how]
        if how == "a layer less":
            tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("layers.0")}
        save_file(tensors, path, metadata)


DAMAGES = (
    "empty", "cut off", "other bytes", "no words", "no JSON", "a list", "other words", "a layer less",
    "another shape", "an option of no meaning", "a number out of range",
)  # fmt: skip


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_told(whole, tmp_path, how):
    path = tmp_path / "net.safetensors"
    damaged(whole, path, how)
    with pytest.raises(DeconvNetError, match=r"net\.safetensors' is damaged: .* Give what deconvnet\.learn wrote"):
        load_net(path)


def test_a_newer_file_is_told(whole, tmp_path):
    with safe_open(whole, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = json.loads(file.metadata()["learned"])
    path = tmp_path / "net.safetensors"
    save_file(tensors, path, {"learned": json.dumps({**told, "format_version": 2})})
    for read in (load_net, about_net, lambda path: learn(network(), checkpoint=path, resume=True)):
        with pytest.raises(DeconvNetError, match="has format_version 2, but this deconvnet reads version 1"):
            read(path)


# Checkpoints.


@pytest.mark.parametrize("update", range(9))
@pytest.mark.parametrize("seconds", [-1, 60])
def test_a_run_that_crashed_at_any_batch_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch, update, seconds):
    """With a checkpoint after every batch, and with one after each epoch alone."""
    monkeypatch.setattr(train, "_SAVE_SECONDS", seconds)
    path = tmp_path / "net.safetensors"
    told: list[Progress] = []

    def crash(one: Progress) -> None:
        told.append(one)
        if len(told) == update + 1:
            raise Crash

    with pytest.raises(Crash):
        learn(network(), checkpoint=path, progress=crash)
    after: list[Progress] = []
    seed = 99 if path.exists() else 1  # what a checkpoint says counts, not the filters that it finds
    learn(network(seed), checkpoint=path, resume=True, progress=after.append)
    assert path.read_bytes() == whole.read_bytes()
    kept = update if seconds < 0 else update // 3 * 3
    assert len(after) == 9 - kept
    assert after[: len(told) - kept] == told[kept:]


@pytest.mark.parametrize("call", range(1, 13))
def test_a_run_that_crashed_behind_any_checkpoint_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch, call):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    path, original, calls = tmp_path / "net.safetensors", train.save_checkpoint, [0]

    def crash(*arguments: object) -> None:
        original(*arguments)
        calls[0] += 1
        if calls[0] == call:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(train, "save_checkpoint", crash)
        with pytest.raises(Crash):
            learn(network(), checkpoint=path)
    net = learn(network(seed=99), checkpoint=path, resume=True)
    assert path.read_bytes() == whole.read_bytes()
    assert state(net) == state(load_net(whole))
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_run_that_is_done_is_done(whole):
    before, net = whole.read_bytes(), network(seed=99)
    told: list[Progress] = []
    learn(net, checkpoint=whole, resume=True, progress=told.append)
    assert told == [] and whole.read_bytes() == before and state(net) == state(load_net(whole))


def test_a_checkpoint_is_not_overwritten_unless_it_is_gone_on_from(whole):
    before = whole.read_bytes()
    with pytest.raises(ArgumentError, match=r"is there already\. Continue from it with resume=True, or name another"):
        learn(network(), checkpoint=whole)
    assert whole.read_bytes() == before


def test_resume_begins_where_there_is_nothing_to_go_on_from(whole, tmp_path):
    path = tmp_path / "net.safetensors"
    learn(network(), checkpoint=str(path), resume=True)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"epochs": [2, 2]},
            r"was started with epochs=\[2, 1\], now epochs=\[2, 2\]\. Use the same options or a new",
        ),
        ({"update_by": "conjugate"}, 'update_by="online", now update_by="conjugate"'),
        ({"solver": "ista"}, 'solver="auto", now solver="ista"'),
        ({"tol": 0.5, "max_iter": 7}, "max_iter=5, now max_iter=7; tol=0.01, now tol=0.5"),
        ({"steps": 3}, "steps=10, now steps=3"),
    ],
)
def test_other_options_are_refused_by_name(whole, change, words):
    net = network(seed=99)
    before = state(net)
    with pytest.raises(ArgumentError, match=words):
        learn(net, checkpoint=whole, resume=True, **change)
    assert state(net) == before


def test_another_network_is_refused_by_name(whole):
    connected = [DeconvLayer(1, 3, 3, pool=(2, 2, 2)), DeconvLayer(2, 4, 3, pool=(2, 2, 2))]
    connected[1].connectivity[0, 0] = False
    for other, words in (
        (network(lam=0.3), 'layers=.*"lam": 0.2.*, now layers=.*"lam": 0.3'),
        (AdaptiveDeconvNet(list(network().layers), boundary="zero"), 'boundary="valid", now boundary="zero"'),
        (AdaptiveDeconvNet(list(network().layers), target="below"), 'target="input", now target="below"'),
        (AdaptiveDeconvNet(connected), "another layers.1.connectivity"),
    ):
        before = state(other)
        with pytest.raises(ArgumentError, match=words):
            learn(other, checkpoint=whole, resume=True)
        assert state(other) == before


@pytest.mark.parametrize("how", ["empty", "cut off", "other bytes", "no words", "a layer less"])
def test_a_damaged_checkpoint_is_told_and_left(whole, tmp_path, how):
    path = tmp_path / "net.safetensors"
    damaged(whole, path, how)
    before = path.read_bytes()
    with pytest.raises(DeconvNetError, match="is damaged"):
        learn(network(), checkpoint=path, resume=True)
    assert path.read_bytes() == before


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_and_the_checkpoint_before_it_is_good(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    path, real, calls = tmp_path / "net.safetensors", os.replace, [0]

    def fills(part: str, place: str) -> None:
        calls[0] += 1
        real(part, place) if calls[0] < 3 else full()

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fills)
        with pytest.raises(DeconvNetError, match=r"cannot write .*No space left on device"):
            learn(network(), checkpoint=path)
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]
    assert int(load_net(path).layers[0].updates) == 2
    learn(network(), checkpoint=path, resume=True)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", ["format_version", "deconvnet", "net", "options", "position", "digest"])
def test_a_name_that_the_file_has_for_itself_is_refused(tmp_path, name):
    with pytest.raises(ArgumentError, match=f"about has '{name}', which the file has for itself"):
        save_net(network(), tmp_path / "net.safetensors", {"mine": 1, name: 3})
    assert list(tmp_path.iterdir()) == []


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"inner": inner}
    return inner


@pytest.mark.parametrize(
    "about", [{"a": math.nan}, {"a": math.inf}, {"a": {1, 2}}, {"a": [network]}, {(1, 2): 3}, nested(10**5)]
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, about):
    with pytest.raises(ArgumentError, match="about holds what JSON cannot"):
        save_net(network(), tmp_path / "net.safetensors", about)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("about", "read"),
    [
        ({"a": "\udcff.jpg", "\udcff": 1}, {"a": "\\xff.jpg", "\\xff": 1}),
        ({1: 2, "1": 3}, {"1": 3}),
        ({"a": {"b": (1, 2.5, None)}, "big": 10**30}, {"a": {"b": [1, 2.5, None]}, "big": 10**30}),
    ],
)
def test_what_is_written_down_beside_a_network_can_be_read(tmp_path, about, read):
    path, net = tmp_path / "net.safetensors", network()
    save_net(net, path, about)
    assert state(load_net(path)) == state(net)
    found = about_net(path)
    assert {name: found[name] for name in read} == read


def test_a_network_that_could_not_be_read_again_is_not_written(tmp_path):
    net = network()
    net.layers[0].filters.data[0, 0, 0, 0] = math.nan
    with pytest.raises(ArgumentError, match=r"the network cannot be saved: layers\.0\.filters holds NaN or infinity"):
        save_net(net, tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_what_a_resumed_run_needs_can_be_saved_before_each_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    path, positions = tmp_path / "net.safetensors", list[Any]()

    def save() -> None:
        positions.append(tuple(about_net(path)["position"].values()) if path.exists() else None)

    learn(network(), checkpoint=path, epochs=[1, 0], before_checkpoint=save)
    assert positions == [None, (0, 1), (0, 2), (0, 3)]
    learn(network(), before_checkpoint=save)  # without a checkpoint it is not called
    assert len(positions) == 4


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DeconvNetError, match="cannot write"):
        save_net(network(), tmp_path / "no" / "net.safetensors")


RUN = """
import sys
sys.path.insert(0, {tests!r})
import torch
from test_checkpoint import learn, network
from deconvnet.learn import train

torch.set_num_threads(1)
train._SAVE_SECONDS = -1
print("begins", flush=True)
learn(network(), checkpoint={path!r}, resume=True)
print("done", flush=True)
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on_to_the_same_bytes(whole, tmp_path):
    moments, kills, run = random.Random(1), 0, 0
    environment = {**os.environ, "PYTHONPATH": str(Path(deconvnet.__file__).parent.parent)}
    while kills < 10:
        run += 1
        path = tmp_path / f"{run}" / "net.safetensors"
        path.parent.mkdir()
        code = RUN.format(tests=str(Path(__file__).parent), path=str(path))
        for _ in range(100):
            process = subprocess.Popen(
                [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert process.stdout is not None and process.stderr is not None
            process.stdout.readline()
            time.sleep(moments.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
            said, fault = (stream.read().decode() for stream in (process.stdout, process.stderr))
            process.stdout.close()
            process.stderr.close()
            process.wait()
            assert "Error" not in fault, fault
            if "done" in said:
                break
            kills += 1
        assert path.read_bytes() == whole.read_bytes()


def rewritten(whole: Path, path: Path, name: str, change: Callable[[torch.Tensor], object], *, sealed: bool) -> None:
    """A network in a file in which a tensor was changed; with the hash of what was changed, if it is sealed."""
    with safe_open(whole, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()["learned"])
    change(tensors[name])
    if sealed:
        del about["digest"]
        about["digest"] = checkpoint._digest(json.dumps(about), tensors)
    save_file(tensors, path, {"learned": json.dumps(about)})


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("layers.0.filters", lambda tensor: tensor[0].fill_(math.nan), "layers.0.filters holds NaN or infinity"),
        ("layers.1.energy", lambda tensor: tensor[0].fill_(math.inf), "layers.1.energy holds NaN or infinity"),
        ("layers.1.energy", lambda tensor: tensor[0].fill_(-1), "layers.1.energy holds numbers below zero"),
        ("layers.0.usual", lambda tensor: tensor[0].fill_(-1), "layers.0.usual holds numbers below zero"),
    ],
)
def test_a_checkpoint_of_numbers_that_cannot_be_is_not_resumed(whole, tmp_path, name, change, what):
    path = tmp_path / "net.safetensors"
    rewritten(whole, path, name, change, sealed=True)
    for read in (load_net, lambda path: learn(network(), checkpoint=path, resume=True)):
        with pytest.raises(DeconvNetError, match=f"is damaged: {what}"):
            read(path)


def test_a_filter_that_changed_on_the_disk_is_told(whole, tmp_path):
    path = tmp_path / "net.safetensors"
    rewritten(whole, path, "layers.0.filters", lambda tensor: tensor[0, 0, 0, 0].add_(1e-6), sealed=False)
    with pytest.raises(DeconvNetError, match="it does not hold what was written"):
        load_net(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"maps": 4', '"maps": 400000000'),
        ('"pool": [2, 2, 2]', '"pool": [99999, 99999, 2]'),
        ('"kernel": 3', '"kernel": 99999'),
    ],
)
def test_a_file_that_asks_for_more_memory_than_there_is_is_damaged(whole, tmp_path, before, after):
    with safe_open(whole, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = file.metadata()["learned"]
    assert before in text
    save_file(tensors, tmp_path / "net.safetensors", {"learned": text.replace(before, after)})
    with pytest.raises(DeconvNetError, match=r"is damaged: .* instead of"):
        load_net(tmp_path / "net.safetensors")
