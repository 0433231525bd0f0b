"""The fuzzer finds what is planted, repeats it, and its properties can fail."""

import importlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from fuzz import __main__, arguments, commands, containers, mutate, networks, photo_files, photos, runs, working_files
from fuzz.table import KINDS, Fault, Outcome
from fuzz.watch import Schedule, run
from torch import nn

from deconvnet import load_photo

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def path_of_children(monkeypatch):
    """The processes of the fuzzer find it and the package as this one does."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, sys.path)]))


@pytest.fixture
def here(monkeypatch, tmp_path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- the fuzzer


@pytest.mark.slow
def test_faults_of_every_sort_are_found_and_the_tries_go_on():
    found: dict[str, str] = {}
    names = ("raises", "differs", "fills", "dies", "hangs", "forgets", "passes")
    kinds = [__main__.BY_NAME[f"planted-{name}"] for name in names]

    def report(kind: object, seed: int, outcome: Outcome) -> None:
        found[kind.name.removeprefix("planted-")] = outcome.fault

    counts = run(Schedule(kinds, 3, 0, 1), 1, report)
    assert set(found) == {*names} - {"passes"}
    assert found["raises"].startswith("ValueError: planted")
    assert found["differs"].startswith("Fault: planted: the result is another one")
    assert re.fullmatch(r"took \d+ MB of memory", found["fills"])
    assert found["hangs"] == "took more than 2 seconds"
    assert found["dies"] == "ended the process with code -9"
    assert "result" in found["forgets"]
    assert all(words.total() == 1 for words in counts.values())
    assert counts["planted-passes"] == {"passed": 1}


def test_a_fault_is_printed_with_the_command_that_repeats_it(capsys):
    assert __main__.main(["--kind", "planted-raises", "--tries", "2"]) == 1
    printed = capsys.readouterr().out
    fault, command = printed.splitlines()[1:3]
    assert re.fullmatch(r"PYTHONPATH=tests \S+python\S* -m fuzz --kind planted-raises --seed \d+", command.strip())
    assert __main__.main(command.split("-m fuzz ")[1].split()) == 1
    again = capsys.readouterr().out
    assert fault in again
    assert "Traceback" in again


def test_without_faults_the_exit_code_is_0_and_the_tries_are_counted(capsys):
    assert __main__.main(["--kind", "planted-passes", "--tries", "3"]) == 0
    assert "planted-passes         3       0  3 passed" in capsys.readouterr().out


def test_the_kind_that_had_the_least_time_comes_next():
    schedule = Schedule(KINDS[:2], 7, 1000, None)
    first, seed = schedule.next()
    assert (first, seed) == (KINDS[0], 7)
    schedule.spent(first, 5)
    assert [schedule.next(), schedule.next()] == [(KINDS[1], 7), (KINDS[1], 8)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_its_function(kind):
    module, _, function = kind.function.partition(":")
    assert callable(getattr(importlib.import_module(f"fuzz.{module}"), function))


def test_damage_is_repeatable_and_other_json_is_json():
    data = json.dumps({"a": [1, {"b": "c"}], "d": '{"e": 1}'}).encode()
    for seed in range(50):
        assert mutate.mutated(Random(seed), data) == mutate.mutated(Random(seed), data)
        json.loads(mutate.other_json_file(Random(seed), data))
    assert any(mutate.other_json_file(Random(seed), data) != data for seed in range(5))


# ---- its properties


def test_photos_that_raise_or_give_other_pixels_are_faults(monkeypatch, here):
    def broken(path: Path) -> None:
        raise ValueError("planted")

    with monkeypatch.context() as patch, pytest.raises(ValueError, match="planted"):
        patch.setattr(photos, "load_photo", broken)
        photos.attempt(Random(0), here)
    file = photo_files.PhotoFile(b"", ".png", "a PNG", np.full((2, 3, 1), 0.25), common=True)
    photos.check(file, np.full((2, 3, 3), 0.25, np.float32))
    with pytest.raises(Fault, match=r"off by 0\.500"):
        photos.check(file, np.full((2, 3, 1), 0.75, np.float32))
    with pytest.raises(Fault, match="refused"):
        photos.check(file, None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_pixels_that_are_expected_of_a_turned_photo_are_pillows(orientation, here):
    from PIL import Image, ImageOps

    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    turned = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(photo_files.upright(pixels, orientation), turned)


def test_a_png_of_every_colour_type_and_depth_is_a_png(here):
    for seed in range(40):
        file = photo_files._png(Random(seed))
        if not any(word in file.what for word in ("16 bits", "eXIf", "tRNS")):
            (here / "a.png").write_bytes(file.data)
            photos.check(file, load_photo(here / "a.png").pixels)


def test_photos_that_are_missing_or_outside_are_faults(monkeypatch, here):
    (here / "a.png").write_bytes(containers.photo((1, 2, 3)))
    assert containers.compared([here / "a.png"], [(1, 2, 3)], "a list", whole=True) == "whole"
    with pytest.raises(Fault, match="1 of 2 photos are missing without a word"):
        containers.compared([here / "a.png"], [(1, 2, 3)] * 2, "a list", whole=False)
    with pytest.raises(Fault, match="gives"):
        containers.compared([here / "a.png"], [(9, 2, 3)], "a list", whole=True)
    (here / "a.png").write_bytes(containers.photo(containers.SECRET))
    with pytest.raises(Fault, match="outside"):
        containers.read([here / "a.png"])


def test_undamaged_working_files_give_the_same_result(monkeypatch, here):
    for name, read in working_files._RUNS.items():
        shutil.copytree(runs.base() / "this" / name, here / name)
        assert read(here / name) is not False
    monkeypatch.setattr(working_files, "_as", lambda run, name: False)
    shutil.rmtree(here / "merged")
    assert working_files._RUNS["part0"](here / "part0") is False


def test_an_argument_that_raises_another_error_is_a_fault(monkeypatch, here):
    def function(x: int = 0) -> None:
        raise error

    monkeypatch.setattr(arguments, "_calls", lambda: {"function": (function, {})})
    error = TypeError("function() missing 1 required positional argument: 'x'")
    assert arguments.attempt(Random(1), here) == "refused"
    error = TypeError("planted")
    with pytest.raises(TypeError, match="planted"):
        arguments.attempt(Random(1), here)


def test_a_command_that_changes_a_file_is_a_fault(here):
    before, after = {here / "a.png": b"1"}, {here / "a.png": b"2"}
    commands.check_files(before, after, ["explain", "--force", "-o", "a.png"], "it")
    with pytest.raises(Fault, match=r"it: a\.png is another"):
        commands.check_files(before, after, ["explain", "-o", "a.png"], "it")
    with pytest.raises(Fault, match=r"it: a\.png is gone"):
        commands.check_files(before, {}, ["explain", "--force", "-o", "b.png"], "it")


def test_a_network_whose_deconvnet_gives_other_numbers_is_a_fault(monkeypatch):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).double().eval()
    x = torch.randn(1, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert networks.check(Random(0), model, x) == "compared"
    monkeypatch.setattr(networks, "_output", lambda model, x: torch.zeros(1, 2, 4, 4))
    with pytest.raises(Fault, match="activations: off by"):
        networks.check(Random(0), model, x)
