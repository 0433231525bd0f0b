"""The flags that say which photos of a set are meant, on every command that takes one."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import ran
from support.photo_files import encoded, folder_of, table_of, tar_of

ATLAS = ("--layer", "relu1", "-k", "1", "-q", "--workers", "0")
LEARN = ("--maps", "2", "--filter", "3", "--pool", "none", "--size", "24", "--iterations", "1", "-q")


@pytest.mark.parametrize(("command", "options"), [("atlas", ATLAS), ("learn", LEARN)])
def test_photos_outside_the_folder_of_a_table_need_the_flag(
    command: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder_of(tmp_path, "a.png", "set/b.png")
    rows = [{"bytes": None, "path": path} for path in ("../a.png", "b.png")]
    table = table_of(tmp_path / "set" / "t.parquet", rows)
    code, words = ran(monkeypatch, capsys, command, table, "-o", tmp_path / "0", *options)
    assert code == 0 and "1 photo" in words and "could not be used" in words
    code, words = ran(monkeypatch, capsys, command, table, "-o", tmp_path / "1", "--allow-outside", *options)
    assert code == 0 and "2 photos" in words and "could not be used" not in words


def test_parts_and_their_merge_take_the_flags_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    tar = tar_of(tmp_path / "s.tar", {f"{i}{end}": encoded(i) for i in range(3) for end in (".png", ".mask.png")})
    code, words = ran(monkeypatch, capsys, "atlas", tar, "-o", tmp_path / "0", *ATLAS)
    assert code == 1 and "holds several photos of the name '0'" in words and "--suffix '*.png'" in words
    chosen = ("--suffix", ".png", "--allow-outside")
    assert ran(monkeypatch, capsys, "atlas", tar, "-o", tmp_path / "p", "--shard", "0/1", *chosen, *ATLAS)[0] == 0
    merge = ("atlas-merge", tmp_path / "p", "--photos", tar, "-o", tmp_path / "m", "-q")
    assert ran(monkeypatch, capsys, *merge)[0] == 1
    code, words = ran(monkeypatch, capsys, *merge, *chosen)
    assert code == 0 and "3 photos" in words


def test_learned_refuses_a_photo_that_is_not_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder_of(tmp_path / "p", "a.png")
    assert ran(monkeypatch, capsys, "learn", tmp_path / "p", "-o", tmp_path / "l", *LEARN)[0] == 0
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    code, words = ran(monkeypatch, capsys, "learned", tmp_path / "l", "--photo", tmp_path / "zero.png")
    assert code == 1 and "zero.png': it is not a regular file" in words


@pytest.mark.parametrize(("command", "options"), [("atlas", ATLAS), ("learn", LEARN)])
def test_a_limit_and_a_sample_mean_the_same_on_both_commands(
    command: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder_of(tmp_path / "p", *(f"{i}.png" for i in range(6)))
    for number, picked in enumerate((("--limit", 2), ("--sample", 2), ("--sample", 2, "--seed", 5))):
        code, words = ran(monkeypatch, capsys, command, tmp_path / "p", "-o", tmp_path / str(number), *picked, *options)
        assert code == 0 and " 2 photos" in words
    code, words = ran(
        monkeypatch, capsys, command, tmp_path / "p", "-o", tmp_path / "x", "--limit", 2, "--sample", 2, *options
    )
    assert code == 1 and "give one of them (--limit, --sample)" in words


def test_a_limit_and_a_sample_have_one_help_text() -> None:
    commands = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    for flag in ("--limit", "--sample", "--range"):
        lines = {line for line in commands.splitlines() if line.startswith(f"| `{flag}")}
        assert len(lines) == 1, lines


def test_the_range_of_values_is_a_flag_that_the_message_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    ct = np.linspace(-1000, 400, 96 * 96).reshape(96, 96)
    np.save("ct.npy", ct.astype(np.int16))
    np.save("unit.npy", ((ct + 1000) / 1400).astype(np.float32))
    for options in ((), ("--range", "400,-1000"), ("--range", "x"), ("--range", "0,70000")):
        code, words = ran(monkeypatch, capsys, "explain", "ct.npy", *options)
        assert code == 1 and ("range" in words if options else "(--range LOW,HIGH), such as -1000,400" in words)
    told = [
        ran(monkeypatch, capsys, "explain", *call, "--json")[1]
        for call in (("ct.npy", "--range", "-1000,400", "-o", "a.png"), ("unit.npy", "-o", "b.png"))
    ]
    labels = [json.loads(words)["photos"][0]["answer"]["label"] for words in told]
    assert labels[0] == labels[1]


def test_12_bits_in_16_are_told_once_on_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Image.fromarray(np.linspace(0, 4095, 96 * 96).reshape(96, 96).astype(np.uint16)).save(f"{name}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, words = ran(monkeypatch, capsys, "explain", "a.png", "b.png")
    assert code == 0 and words.count("is 4,095, and 65,535") == 1 and words.count("--range LOW,HIGH") == 1
    code, words = ran(monkeypatch, capsys, "explain", "a.png", "b.png", "--range", "0,4095", "--force")
    assert code == 0 and "65,535" not in words


def test_an_atlas_and_what_is_learned_carry_the_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "p").mkdir()
    for i in range(3):
        np.save(tmp_path / "p" / f"{i}.npy", (np.arange(96 * 96).reshape(96, 96) % 1400 - 1000 + i).astype(np.int16))
    for command, options in (("atlas", ATLAS), ("learn", LEARN)):
        first = (command, tmp_path / "p", "-o", tmp_path / command, *options, "--range", "-1000,400")
        code, words = ran(monkeypatch, capsys, *first)
        assert code == 0 and "3 photos" in words and "could not be read" not in words
        code, words = ran(monkeypatch, capsys, *first, "--resume")
        assert code == 0 and "finished" in words
        code, words = ran(monkeypatch, capsys, *first[:-1], "-1000,500", "--resume")
        assert code == 1 and "value_range" in words
    manifest = json.loads((tmp_path / "atlas" / "manifest.json").read_text())
    assert manifest["preprocess"]["value_range"] == [-1000, 400]
    assert ran(monkeypatch, capsys, "learned", tmp_path / "learn", "--photo", tmp_path / "p" / "0.npy")[0] == 0


def test_pictures_of_a_stack_are_named_after_their_page_and_read_by_the_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("stack.npy", np.linspace(-1000, 400, 2 * 96 * 96).reshape(2, 96, 96).astype(np.int16))
    code, words = ran(monkeypatch, capsys, "explain", "stack.npy", "--range", "-1000,400")
    assert code == 1 and "Name one of its 2 pictures" in words and "stack.npy#1" in words
    for photos, names in (("stack.npy#1", ["stack#1"]), ("stack.npy#{0..1}", ["stack#0", "stack#1"])):
        code, words = ran(monkeypatch, capsys, "explain", photos, "--range", "-1000,400", "-o", "out/", "--force")
        assert code == 0 and all(f"{name}.explain.png" in words for name in names), words
    code, words = ran(monkeypatch, capsys, "explain", "stack.npy#{0..1}", "-o", "none/")
    assert code == 1 and "--range LOW,HIGH" in words


def test_every_photo_of_a_report_is_read_by_the_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    files = deep_photos(tmp_path, 2)
    flags = ("--range", "0,4095", "--layer", "relu1", "--maps", "1", "-o", tmp_path / "page.html")
    code, words = ran(monkeypatch, capsys, "report", *files, *flags)
    assert code == 0 and "nearly black" not in words and "2 photos" not in words


def test_each_side_of_a_comparison_reads_a_photo_as_its_network_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "nets.py").write_text(SIDES, encoding="utf-8")
    (file,) = deep_photos(tmp_path, 1)
    sides = [f"{tmp_path / 'nets.py'}:{name}" for name in ("narrow", "wide")]
    flags = ("--layer", "0", "--channel", "0", "--position", "3,3", "-o", tmp_path / "pair.png", "--json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one unit on its own
        code, words = ran(monkeypatch, capsys, "compare", *sides, file, *flags)
    (row,) = json.loads(words[words.index("{") : words.rindex("}") + 1])["photos"]
    a, b = (row["pairs"][0][side]["activation"] for side in "ab")
    assert code == 0 and a == pytest.approx(16 * b, rel=1e-2)


SIDES = """
import torch
from deconvnet import LoadedModel, Preprocess

def made(value_range):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1, bias=False)).eval()
    torch.nn.init.ones_(model[0].weight)
    return LoadedModel(model, Preprocess((8, 8), 8, (0.0,), (1.0,), channels=1, value_range=value_range))

def narrow():
    return made((0, 4095))

def wide():
    return made((0, 65520))
"""


def deep_photos(folder: Path, count: int) -> list[Path]:
    """Photos of 12 bits in 16."""
    pixels = np.random.default_rng(0).integers(1, 4096, (count, 40, 40)).astype(np.uint16)
    files = [folder / f"{i}.npy" for i in range(count)]
    for file, photo in zip(files, pixels, strict=True):
        np.save(file, photo)
    return files
