"""Every command with random flags and values, in a folder full of other files.

It ends with exit code 0, 1 or 2 and without a traceback, and changes no file that was there, save with --force one that
it was told to write, or a run of its own with --resume.
"""

import contextlib
import io
import json
import os
import shutil
import sys
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from typer.main import get_command

from deconvnet.cli import main
from deconvnet.cli.commands import app
from fuzz import runs
from fuzz.table import Fault

_NETWORK = """
from torch import nn
from deconvnet import LoadedModel, Preprocess

def photos(*, names=None, act=nn.ReLU, end=()):
    torch.manual_seed(3)
    parts = nn.Conv2d(3, 3, 3), act(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 3), act(), *end
    return LoadedModel(nn.Sequential(*parts), Preprocess((16, 16), 18, (0.5,) * 3, (0.25,) * 3), names)

def classes():
    return photos(names=("cat", "\\udc80", "a/b"), end=(nn.Flatten(), nn.Linear(2 * 5 * 5, 3)))

def smooth():
    return photos(act=nn.SiLU)

def bare():
    return photos().model

def chatty():
    print("hello")
    return classes()

def nothing():
    return None

class Mute(nn.Module):
    def forward(self, x):
        return None

def mute():
    loaded = photos()
    return LoadedModel(Mute(), loaded.preprocess)

def broken():
    raise RuntimeError("on purpose")
"""

_SPECS = tuple(
    f"net.py:{name}"
    for name in ("classes", "photos", "smooth", "bare", "chatty", "chatty", "mute", "nothing", "broken", "absent")
)
_RUNS = ("atlas", "learned", "part0", "part1", "unfinished-atlas", "unfinished-learned")
_PHOTOS = ("photo.png", "photos/1.png", "sample:chelsea", "broken.png", "nowhere.png", "photos", "wei rd\n.png",
           "\udcff.png", "new\udcff/photo.png", "pipe.png", "net.py", "")  # fmt: skip
_OUT = ("out", "out", "out.png", "out.html", "out.pdf", "mine", "", ".", "photos", "photo.png", "net.py",
        "nowhere/x.png", "out/", "x" * 300, "mine/top.parquet", "loop", *_RUNS)  # fmt: skip
_ODD = ("", "x", "-1", "0", "1", "3", "1,2", "1,2,3", "nan", "inf", "1e99", "9" * 30, "0.5", ",", "all", "top:2",
        "top:0", "0-3", "3-0", "\udc80", "é", "--", "1/2", "4/2", "../x", "10MB", "-1GB")  # fmt: skip

_USUAL: dict[str, tuple[str, ...]] = {
    "photo": _PHOTOS, "photos": _PHOTOS,
    "model": (*_SPECS, "zfnet-mini", "net.py", "nowhere.py:x", "torchvision:nowhere", "binary.pt2", "", "photos"),
    "a": _SPECS, "b": _SPECS, "output": _OUT, "shards": ("part0", "part1", "atlas", "mine"),
    "folder": ("learned", "unfinished-learned", "atlas", "mine"), "atlas": ("atlas", "mine", "part0"),
    "layer": ("1", "4", "all", "0"), "to": ("0", "1"), "target": ("cat", "0", "2", "0,1,1"), "channel": ("0", "0,1"),
    "position": ("1,1", "0,0"), "k": ("1", "2"), "maps": ("2", "2,2"), "page_size": ("10MB", "1kB"), "crop": ("field",),
    "workers": ("0",), "engine": ("local",), "limit": ("2",), "batch": ("2",), "columns": ("1", "2"), "kernel": ("3",),
    "pool": ("2,2,2", "none"), "lam": ("0.1",), "epochs": ("1",), "boundary": ("valid", "zero"), "update": ("online",),
    "solver": ("auto", "ista"), "iterations": ("2",), "steps": ("2",), "seed": ("0",), "size": ("24", "16,16"),
    "mean": ("0.5",), "std": ("1",), "input_channels": ("3", "1"),
    "labels": ("labels.txt", "labels.csv:name", "binary", "nowhere.txt"),
    "device": ("cpu", "cuda:9"), "class_output": ("0",), "memory": ("1GB", "1kB"), "weights": ("binary", "photo.png"),
    "rules": ("guided", "gradient"), "smooth": ("gradient", "rectify"), "shard": ("0/2", "1/2"), "scale": ("common",),
    "ray_address": ("nowhere:1",), "sample": ("2",), "value_range": ("0,255", "-1000,400"),
}  # fmt: skip
_NEVER_LARGE = {"workers", "epochs", "iterations", "steps"}  # long runs and many processes, as was asked for
_OFTEN = {"model": 1.0, "size": 0.1, "mean": 0.1, "std": 0.1, "weights": 0.05, "engine": 0.05, "ray_address": 0.02}
_SETS = {"atlas", "learn", "atlas-merge", "site"}  # commands that take all photos of a folder, or write one


def prepare() -> None:
    runs.base()


def attempt(random: Random, folder: Path) -> str:
    _furnish(folder)
    line = command_line(random)
    before = _contents(folder)
    code, out, err = run(line)
    said = f"deconvnet {' '.join(map(repr, line))}"
    if code not in (0, 1, 2):
        raise Fault(f"{said}: exit code {code}")
    if "Traceback (most recent call last)" in out + err:
        raise Fault(f"{said}: a traceback: {err.strip().splitlines()[-1]}")
    check_files(before, _contents(folder), line, said)
    if code == 0 and not out.strip():
        raise Fault(f"{said}: exit code 0 without a word")
    if code == 0 and "--json" in line and "--help" not in line:
        try:
            json.loads(out)
        except ValueError as error:
            raise Fault(f"{said}: not JSON: {out[:80]!r}") from error
    return ("success", "error", "usage")[code]


def run(line: list[str]) -> tuple[int, str, str]:
    """Exit code and output of a command."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["deconvnet", *line]
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code or 0
    except Exception as error:
        error.add_note(f"from deconvnet {' '.join(map(repr, line))}")
        raise
    finally:
        sys.argv = argv
    return code, out.getvalue(), err.getvalue()


# ---- the command line


@cache
def _commands() -> dict[str, Any]:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    return {name: command for name, command in commands.items() if name != "serve"}  # it would serve until Ctrl-C


def command_line(random: Random) -> list[str]:
    """A command and its arguments, mostly sensible."""
    command = random.choice(sorted(_commands()))
    care = random.choice((0.3, 0.9, 0.97))  # how often a value is the most usual one
    line = [command]
    for parameter in _commands()[command].params:
        name = parameter.name
        if not parameter.required and random.random() > _OFTEN.get(name, 0.3):
            continue
        if getattr(parameter, "is_flag", False):
            line.append(parameter.opts[0])
            continue
        count = random.randint(1, 3) if parameter.nargs == -1 else 1
        values = [_value(random, command, name, care) for _ in range(count)]
        if parameter.opts[0].startswith("-"):
            line += [random.choice(parameter.opts), *values]
        else:
            line += values
    return line if random.random() < 0.95 else [*line, random.choice(("--unknown", "extra", "-x", "--help"))]


def _value(random: Random, command: str, name: str, care: float) -> str:
    if name == "photos" and command in _SETS:
        usual = ("photos", "list.txt", *_PHOTOS)
    elif name == "output" and command not in _SETS:
        usual = ("out.png", "out.html", *_OUT)
    else:
        usual = _USUAL.get(name, ())
    if usual and random.random() < care:
        return usual[0]
    if usual and random.random() < 0.7:
        return random.choice(usual)
    value = random.choice(_ODD)
    return "1" if name in _NEVER_LARGE and value not in ("", "x", "-1", "nan", "0.5", ",", "\udc80") else value


# ---- the folder


def _furnish(folder: Path) -> None:
    """The user's own files, some with names that are also ours."""
    shutil.copytree(runs.base() / "photos", folder / "photos")
    for name in _RUNS:
        shutil.copytree(runs.base() / "this" / name, folder / name)
    photo = (folder / "photos" / "0.png").read_bytes()
    for name in ("photo.png", "wei rd\n.png", "\udcff.png"):
        (folder / name).write_bytes(photo)
    (folder / "net.py").write_text(_NETWORK)
    (folder / "labels.txt").write_text("a\nb\nc\n")
    (folder / "labels.csv").write_text("index,name\n1,b\n0,a\n2,c\n")
    (folder / "list.txt").write_text("photos/0.png\nphotos/1.png\nnowhere.png\n")
    for name in ("broken.png", "binary", "binary.pt2", "chelsea.explain.png", "photo.explain.png", "photo.report.html",
                 "photo.1.png", "deconvnet.png"):  # fmt: skip
        (folder / name).write_bytes(b"mine\xff\0")
    (folder / "mine" / "work").mkdir(parents=True)
    for name in ("top.parquet", "manifest.json", "skipped.csv", "work/photo.png", ".hidden"):
        (folder / "mine" / name).write_bytes(b"mine")
    os.mkfifo(folder / "pipe.png")
    (folder / "loop").symlink_to("loop")


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_files(before: dict[Path, bytes], after: dict[Path, bytes], line: list[str], said: str) -> None:
    """Raise if a file that was there is gone or another, and the command was not told so."""
    named = [Path(line[i + 1]).absolute() for i, flag in enumerate(line[:-1]) if flag in ("-o", "--output")]
    for path, data in before.items():
        if after.get(path) == data:
            continue
        within = any(path == out or out in path.parents for out in named)
        picture = path.suffix in (".png", ".html", ".pdf")
        ours = any(part in _RUNS for part in path.parts) and within and "--resume" in line
        forced = "--force" in line and picture and (within or not named)
        if not ours and not forced:
            raise Fault(f"{said}: {path.name} is {'another' if path in after else 'gone'}")
