"""The commands, through their real entry point: what they print, write and refuse."""

import contextlib
import inspect
import json
import os
import pty
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import captured_once
from torch import nn
from typer.main import get_command

import deconvnet as package
from deconvnet import ArgumentError, DeconvNet, LoadedModel, load_model
from deconvnet.capture import trace as capture
from deconvnet.cli import main
from deconvnet.cli.commands import app
from deconvnet.cli.options import ModelFlags, feature_map, feature_maps, parse_numbers
from deconvnet.cli.reference import name_of
from deconvnet.results.responsible import CONTRIBUTIONS
from deconvnet.training import Evolution

SOURCE = Path(package.__file__).parent.parent

NETWORKS = """
import torch
from torch import nn
from deconvnet import LoadedModel, Preprocess

NAMES = ("tabby cat", "collie", "owl", "goldfish", "lamp")


def network(channels=3, act=nn.ReLU, end=()):
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2), act(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(6, 8, 3, padding=1), act(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 8 * 8, 5), *end,
    )


def photos(channels=3):
    return Preprocess((32, 32), 36, (0.5,) * channels, (0.25,) * channels, channels=channels)


def colour():
    return LoadedModel(network(), photos(), NAMES)


def grey():
    return LoadedModel(network(1), photos(1), NAMES)


def nameless():
    return LoadedModel(network(), photos())


def narrow():
    return LoadedModel(network(), Preprocess((32, 32), 32, (0.5,) * 3, (0.25,) * 3))


def bare():
    return network()


def smooth():
    return LoadedModel(network(act=nn.SiLU), photos(), NAMES)


def chances():
    return LoadedModel(network(end=[nn.Softmax(1)]), photos(), NAMES)


def silent():
    made = colour()
    torch.nn.init.constant_(made.model[0].bias, -100.0)
    return made


def segmenter():
    torch.manual_seed(7)
    maps = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 1))
    return LoadedModel(maps, photos(), NAMES)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return {"main": self.head(torch.relu(self.stem(x)).mean((2, 3))), "other": x.mean()}


def functional():
    torch.manual_seed(7)
    return LoadedModel(Functional(), photos(), NAMES)


def broken():
    raise RuntimeError("no such thing here")
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def deconvnet(monkeypatch, capsys, tmp_path) -> Run:
    """Runs a command in an empty folder, through the function that the console script calls."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["deconvnet", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    monkeypatch.setattr(capture, "capture", captured_once)
    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture(scope="session")
def spec(tmp_path_factory) -> Callable[[str], str]:
    """The spec of one of NETWORKS."""
    file = tmp_path_factory.mktemp("networks") / "nets.py"
    file.write_text(NETWORKS, encoding="utf-8")
    return lambda function: f"{file}:{function}"


def as_process(*arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-m", "deconvnet", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, check=False, capture_output=True)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def told(done: Done, *words: str) -> None:
    """A known fault: one line that says these words, exit code 1, nothing else printed."""
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith("deconvnet: ") and done.err.count("\n") == 1, done.err
    for word in words:
        assert word in done.err


def rows_of(done: Done) -> list[dict[str, Any]]:
    """What the JSON of a command says of each photo."""
    return list(json.loads(done.out)["photos"])


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@torch.no_grad()
def outputs(loaded: LoadedModel, photo: str) -> torch.Tensor:
    return loaded.model(loaded.preprocess.images(photo))[0]


def photo(path: Path, size: tuple[int, int] = (40, 50), mode: str = "RGB", seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, "PNG")
    return path


# What every command shares.


def test_version_is_the_package_s(deconvnet):
    assert deconvnet("--version") == Done(0, f"deconvnet {package.__version__}\n", "")


def test_the_module_runs_as_the_command_does(tmp_path):
    done = as_process("--version", folder=tmp_path)
    assert (done.returncode, done.stdout.decode()) == (0, f"deconvnet {package.__version__}\n")


def test_help_tells_of_every_command_and_flag(deconvnet, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    overview = deconvnet("--help")
    assert overview.code == 0
    for command in app.registered_commands:
        assert name_of(command) in overview.out
        page = deconvnet(name_of(command), "-h").out
        for name in inspect.signature(command.callback).parameters:
            flags = {
                "as_json": "json", "photos": "PHOTO", "photo": "PHOTO", "shards": "DIR", "folder": "DIR",
                "kernel": "filter", "atlas": "DIR", "value_range": "range", "add_up": "sum",
            }  # fmt: skip
            assert flags.get(name, name.replace("_", "-")).lower() in page.lower()


def test_no_command_is_a_question_for_help(deconvnet):
    assert "Usage: deconvnet" in "".join([(done := deconvnet()).out, done.err])


def test_help_imports_no_torch(tmp_path):
    code = """
import sys
from deconvnet.cli import main
commands = (
    "explain", "responsible", "report", "project", "steps", "compare", "layers", "demo", "learn", "learned", "evolution"
)
for command in ("", *commands):
    sys.argv = ["deconvnet", *command.split(), "--help"]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code
assert not {"torch", "numpy", "PIL"} & set(sys.modules), sys.modules.keys()
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True, capture_output=True)


def test_every_command_that_takes_a_model_takes_all_of_its_flags():
    shared = {field.name for field in fields(ModelFlags)}
    options = {"channels": "input_channels"}
    taken = {options.get(name, name) for name in inspect.signature(load_model).parameters}
    assert taken - {"spec"} <= shared
    for command in app.registered_commands:
        flags = set(inspect.signature(command.callback).parameters)
        assert flags >= shared or name_of(command) in ("demo", "sheet", "site", "learn", "learned", "evolution")


def test_a_flag_has_the_same_other_spellings_on_every_command():
    spellings: dict[str, set[tuple[str, ...]]] = {}
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        for parameter in command.params:
            for spelling in parameter.opts:
                spellings.setdefault(spelling, set()).add(tuple(sorted(parameter.opts)))
    assert all(len(others) == 1 for others in spellings.values()), spellings
    assert spellings["--channel"] == {("--channel", "--feature-map", "-c")}


@pytest.mark.parametrize(
    ("text", "whole", "values"),
    [("0.5", False, 0.5), ("0.5,1", False, (0.5, 1.0)), ("224", True, 224), ("240,320", True, (240, 320))],
)
def test_numbers_of_a_flag_are_one_alone_or_several(text, whole, values):
    assert parse_numbers("--x", text, whole=whole) == values
    assert parse_numbers("--x", None) is None


@pytest.mark.parametrize(
    ("text", "channels"),
    [("3", 3), ("3,5", [3, 5]), ("0-2,7,1", [0, 1, 2, 7]), ("4-4", [4]), ("all", "all"), ("top:3", "top:3")],
)
def test_feature_maps_are_indices_ranges_or_words(text, channels):
    assert feature_maps(text) == channels


@pytest.mark.parametrize("text", ["3-1", "0,9-2"])
def test_a_range_that_counts_downwards_is_refused_with_the_other_way_round(text):
    with pytest.raises(ArgumentError, match=r"--channel \d-\d counts downwards. Give \d-\d."):
        feature_maps(text)


@pytest.mark.parametrize(("text", "channel"), [("3", 3), ("4-4", 4), (None, None)])
def test_a_single_feature_map_is_written_as_several_are(text, channel):
    assert feature_map(text) == channel
    for several in ("3,5", "0-2", "all", "top:3", "x", ""):
        with pytest.raises(ArgumentError, match="--channel takes one feature map here, such as 145; got"):
            feature_map(several)


@pytest.mark.parametrize("text", ["0-999999999999", "0-999999,7", "3,0-1000000"])
def test_more_feature_maps_than_any_layer_has_are_refused_at_once(text):
    with pytest.raises(ArgumentError, match="--channel takes at most 1,000,000 feature maps"):
        feature_maps(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "sample:chelsea"), ("project", "sample:chelsea", "-l", "a"), ("responsible", "sample:chelsea"),
        ("steps", "sample:chelsea"), ("report", "sample:chelsea"),
        ("compare", "a", "b", "sample:chelsea", "-l", "a", "-c", "1"),
        ("demo",), ("sheet", ".", "-l", "a"), ("site", "."), ("atlas", "."), ("atlas-merge", ".", "--photos", "."),
        ("learn", "."), ("learned", "."),
    ],
)  # fmt: skip
def test_an_empty_name_is_not_the_current_folder(deconvnet, arguments, tmp_path):
    told(deconvnet(*arguments, "-o", ""), 'or "." for the current folder')
    assert names(tmp_path) == []


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def documented(title: str) -> dict[str, list[str]]:
    """The keys that docs/scripts.md lists for each command, in the table whose second column has this title."""
    page = (SOURCE.parent / "docs" / "scripts.md").read_text(encoding="utf-8")
    table = page.partition(f"| command | {title} |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [[re.findall("`([^`]+)`", cell) for cell in row.strip("| ").split(" | ")] for row in table.splitlines()]
    return {command: listed for commands, listed in rows for command in commands}


def test_json_of_every_command_has_the_keys_that_are_documented(deconvnet, spec, tmp_path):
    photo(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "bad.png").write_bytes(b"no picture")
    Evolution(
        nn.Sequential(nn.Conv2d(3, 2, 3)), torch.rand(1, 3, 6, 6), folder=tmp_path / "watched", layers=["0"]
    ).after(1)
    rows = ["a,eye,9,9,20,20", "bad,eye,9,9,20,20", "chelsea,eye,142,86,198,142"]
    (tmp_path / "parts.csv").write_text("\n".join(["photo,part,left,top,right,bottom", *rows]), encoding="utf-8")
    unit, made = ["set", "-l", "4", "-c", "1"], ["-l", "4", "-k", "1", "-q", "--workers", "0"]
    learned = ["--maps", "2", "--filter", "3", "--pool", "none", "--size", "24", "--iterations", "1", "-q"]
    lines: dict[str, list[str]] = {
        "explain": ["set", "--trust"], "responsible": ["set", "-k", "2"],
        "responsible --sum": ["set", "--sum", "-o", "maps.png"],
        "report": ["set", "--maps", "1", "-l", "4"],
        "invariance": ["set", "--angles", "none", "--scales", "none"],
        "correspondence": ["set", "sample:chelsea", "--parts", "parts.csv"],
        "project": [*unit, "--trust"], "steps": unit,
        "trust": ["set/a.png", "-l", "4", "--measures", "edges"], "compare": ["deconvnet", "guided", *unit],
        "layers": [], "demo": [],
        "atlas": ["set", "-o", "atlas", *made], "atlas --shard": ["set", "--shard", "0/1", "-o", "part", *made],
        "atlas-merge": ["part", "--photos", "set", "-o", "merged", "-q"], "sheet": ["atlas", "-l", "4"],
        "site": ["atlas", "-o", "site"],
        "learn": ["set", "-o", "learned", *learned], "learned": ["learned"], "evolution": ["watched"],
    }  # fmt: skip
    without = {"demo", "sheet", "site", "learn", "learned", "evolution"}
    of_run, of_photo = documented("keys of the object"), documented("keys of each photo")
    assert of_run.keys() == lines.keys()
    for command, arguments in lines.items():
        model = [] if command in without else ["-m", spec("colour")]
        done = deconvnet(command.partition(" ")[0], *arguments, *model, "--json")
        assert done.code == 0, done.err
        run = json.loads(done.out)
        assert list(run) == of_run[command], command
        assert all(re.fullmatch("[a-z_]+", key) for key in keys(run)), keys(run)
        assert all(list(row) == of_photo[command] for row in run.get("photos", []))
        failed = [(row["photo"], row["source"]) for row in run.get("failed", [])]
        assert failed == [("bad.png", "set")] * ("failed" in run and command != "demo")


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain"],
        ["responsible"],
        ["responsible", "x.png", "-k", "few"],
        ["report", "x.png", "--maps", "few"],
        ["project", "x.png"],
        ["steps", "x.png", "--nosuch"],
        ["compare", "a", "b", "x.png", "-l", "4"],
        ["layers", "--nosuch"],
        ["nosuch"],
        ["layers", "--rules", "magic"],
    ],
)
def test_a_command_line_that_is_wrong_in_itself_ends_with_2(deconvnet, arguments):
    done = deconvnet(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Usage: deconvnet" in done.err and "Traceback" not in done.err


def test_a_process_tells_results_on_stdout_and_faults_on_stderr(tmp_path, spec):
    photo(tmp_path / "a.png")
    done = as_process("explain", "a.png", "gone.png", "-m", spec("colour"), folder=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(rb"a\.png: [a-z ]+, \d+ % -> a\.explain\.png\n", done.stdout)
    assert done.stderr == b"deconvnet: cannot read 'gone.png': no such file. Check the path.\n"
    assert names(tmp_path) == ["a.explain.png", "a.png"]


def test_someone_who_watches_sees_progress_apart_from_the_results(deconvnet, spec, tmp_path, monkeypatch):
    photos = [str(photo(tmp_path / f"{name}.png")) for name in "abc"]
    watcher, screen = pty.openpty()
    seen: list[bytes] = []
    watching = threading.Thread(target=watch, args=(watcher, seen), daemon=True)
    watching.start()
    with monkeypatch.context() as patch, open(screen, "w", encoding="utf-8") as terminal:
        patch.setattr(sys, "stderr", terminal)
        done = deconvnet("explain", *photos, "-m", spec("colour"))
    watching.join(timeout=10)
    assert done.code == 0
    assert [line.partition(":")[0] for line in done.out.splitlines()] == photos
    assert "\x1b" not in done.out
    assert b"photos" in b"".join(seen) and b"100%" in b"".join(seen)


def watch(terminal: int, seen: list[bytes]) -> None:
    """Read what is shown on a terminal until it is closed."""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            seen.append(part)
    os.close(terminal)


def test_a_warning_is_a_line_in_words(deconvnet, spec):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = deconvnet("project", "sample:coffee", "-l", "1", "-c", "0", "-m", spec("silent"))
    assert done.code == 0
    assert re.fullmatch(r"deconvnet: .* activation 0.*\n", done.err)


def test_an_interrupted_command_leaves_nothing_behind(deconvnet, spec, monkeypatch, tmp_path):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    done = deconvnet("explain", "sample:chelsea", "-m", spec("colour"))
    assert done == Done(130, "", "deconvnet: interrupted.\n")
    assert names(tmp_path) == []


def test_control_c_while_the_commands_are_imported_is_said_in_a_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "deconvnet.cli.commands", Interrupting("deconvnet.cli.commands"))
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 130 and capsys.readouterr().err == "deconvnet: interrupted.\n"


class Interrupting(ModuleType):
    """A module whose import is interrupted."""

    def __getattr__(self, _: str) -> None:
        raise KeyboardInterrupt


def test_a_disk_that_refuses_is_told_and_leaves_nothing_behind(deconvnet, spec, monkeypatch, tmp_path):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    told(deconvnet("explain", "sample:chelsea", "-m", spec("colour")), "No space left on device")
    assert names(tmp_path) == []


# Networks and their flags.


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("vgg", "'vgg' is not a model spec. A spec is zfnet-mini, torchvision:NAME"),
        ("torchvision:vgg61", "torchvision has no network 'vgg61' for photos or clips. Did you mean 'vgg"),
        ("gone.pt2", "the file 'gone.pt2' does not exist"),
        ("gone.py:make", "the file 'gone.py' does not exist"),
        ("NETS:mak", "no function 'mak' in"),
        ("NETS:broken", "RuntimeError: no such thing here"),
        ("NETS:bare", "for example size=224"),
    ],
)
def test_an_unknown_model_is_told(deconvnet, spec, tmp_path, model, words):
    told(deconvnet("layers", "-m", model.replace("NETS:", spec(""))), words)
    assert names(tmp_path) == []


def test_flags_give_what_a_model_does_not_bring(deconvnet, spec, tmp_path):
    tmp_path.joinpath("names.txt").write_text("\n".join("abcde"), encoding="utf-8")
    torch.save(load_model(spec("grey")).model.state_dict(), tmp_path / "grey.pt")
    flags = ["--size", "32,32", "--mean", "0.4", "--std", "0.2", "--input-channels", 1, "--device", "cpu"]
    flags += ["--labels", "names.txt", "--weights", "grey.pt", "--memory", "1GB"]
    done = deconvnet("explain", "sample:coffee", "--json", "-m", spec("grey"), *flags)
    assert done.code == 0, done.err
    (row,) = rows_of(done)
    loaded = load_model(spec("grey"), mean=0.4, std=0.2, labels=tuple("abcde"))
    assert row["answer"]["label"] == loaded.label(int(outputs(loaded, "sample:coffee").argmax()))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--size", "big"], "--size takes numbers"),
        (["--mean", "0.1,0.2"], "mean has 2 values, but the input has 3 channels."),
        (["--std", "a,b,c"], "--std takes numbers"),
        (["--input-channels", "2"], "the input has 2 channels"),
        (["--weights", "gone.pt"], "the weights file 'gone.pt' does not exist"),
        (["--labels", "gone.txt"], "cannot read labels='gone.txt'"),
        (["--device", "abacus"], "device='abacus' cannot be used here"),
        (["--memory", "much"], "memory is a number of bytes"),
        (["--memory", "10KB"], "memory="),
        (["--class-output", "side"], "returns no 'side'"),
    ],
)
def test_a_flag_that_cannot_be_is_told(deconvnet, spec, tmp_path, flags, words):
    told(deconvnet("explain", "sample:coffee", "-m", spec("colour"), *flags), words)
    assert names(tmp_path) == []


def test_an_exported_program_is_a_model(deconvnet, spec, tmp_path):
    model = load_model(spec("colour")).model
    torch.export.save(torch.export.export(model, (torch.zeros(1, 3, 32, 32),)), tmp_path / "net.pt2")
    told(deconvnet("explain", "sample:coffee", "-m", "net.pt2"), "--mean, --std")
    flags = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]
    done = deconvnet("explain", "sample:coffee", "-m", "net.pt2", *flags)
    lines = r"sample:coffee: class \d, \d+ % -> coffee\.explain\.png\n  trust: cosine with .*\n"
    assert re.fullmatch(lines, done.out), done.err


def test_a_model_of_several_outputs_is_asked_for_one(deconvnet, spec):
    model = ["-m", spec("functional")]
    told(deconvnet("explain", "sample:coffee", *model), "returns 2 tensors (main, other)")
    assert deconvnet("explain", "sample:coffee", *model, "--class-output", "main").code == 0


# explain


def test_explain_shows_a_photo_beside_its_class_carried_down(deconvnet, spec, tmp_path):
    done = deconvnet("explain", "sample:coffee", "-m", spec("colour"), "--no-trust")
    assert re.fullmatch(r"sample:coffee: [a-z ]+, \d+ % -> coffee\.explain\.png\n", done.out)
    assert (done.code, done.err) == (0, "")
    assert names(tmp_path) == ["coffee.explain.png"]
    loaded = load_model(spec("colour"))
    net = DeconvNet(loaded.model, loaded.example_input)
    x = loaded.preprocess.images("sample:coffee")
    chances = outputs(loaded, "sample:coffee").softmax(0)
    answer, chance = int(chances.argmax()), round(100 * float(chances.max()))
    label = loaded.label(answer)
    assert done.out.startswith(f"sample:coffee: {label}, {chance} %")
    picture = net.explain(x).beside(
        "sample:coffee",
        loaded.preprocess,
        words=f"{label}, carried down (deconvnet)",
        title=f"{label}, {chance} %",
    )
    assert np.array_equal(pixels("coffee.explain.png"), np.asarray(picture.image()))


def test_explain_takes_a_class_by_name_part_of_a_name_or_number(deconvnet, spec):
    rows = []
    for target in ("goldfish", "GoldF", "3", None):
        flags = [] if target is None else ["--target", target]
        done = deconvnet("explain", "sample:coffee", "--json", "--force", "-m", spec("colour"), *flags)
        rows += rows_of(done)
    *chosen, free = rows
    assert [[(each["class"], each["label"]) for each in row["classes"]] for row in chosen] == [[(3, "goldfish")]] * 3
    assert [row["answer"] for row in chosen] == [free["answer"]] * 3
    assert free["classes"] == [free["answer"]]
    assert chosen[0] == {**chosen[1], "photo": "sample:coffee", "file": "coffee.explain.png"}


def test_explain_says_when_the_class_is_not_the_network_s_answer(deconvnet, spec):
    (free,) = rows_of(deconvnet("explain", "sample:coffee", "--json", "-m", spec("colour")))
    other = (free["answer"]["class"] + 1) % 5
    done = deconvnet("explain", "sample:coffee", "-m", spec("colour"), "--force", "-t", other)
    assert f"(the network's answer: {free['answer']['label']}, " in done.out


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("goldfisch", "no class 'goldfisch' among the 5 (0 to 4). Did you mean 'goldfish'?"),
        ("l", "could be 1 'collie', 2 'owl', 3 'goldfish', 4 'lamp'"),
        ("5", "no class '5'"),
        ("-1", "no class '-1'"),
        ("owl,3,3", "positions do not apply"),
    ],
)
def test_a_class_that_is_not_there_is_told_with_its_nearest_names(deconvnet, spec, tmp_path, target, words):
    done = deconvnet("explain", "sample:coffee", "sample:rocket", "-m", spec("colour"), "-t", target)
    told(done, words)
    assert names(tmp_path) == []


def test_a_network_without_class_names_has_numbers(deconvnet, spec):
    model = ["-m", spec("nameless")]
    assert "sample:coffee: class 3, " in deconvnet("explain", "sample:coffee", "-t", "3", *model).out
    told(
        deconvnet("explain", "sample:coffee", "-t", "cat", "--force", *model),
        "cannot find class 'cat': the network comes without class names",
    )
    told(deconvnet("explain", "sample:coffee", "-t", "9", "--force", *model), "5 classes")


def test_a_network_that_answers_with_a_map_takes_a_position(deconvnet, spec, tmp_path):
    model = ["-m", spec("segmenter")]
    told(deconvnet("explain", "sample:coffee", "-t", "owl,16,3", *model), "(16, 3)")
    assert names(tmp_path) == []
    done = deconvnet("explain", "sample:coffee", "-t", "owl,9,3", "--json", *model)
    (row,) = rows_of(done)
    loaded = load_model(spec("segmenter"))
    there = outputs(loaded, "sample:coffee").softmax(0)[:, 9, 3]
    assert row["classes"][0]["label"] == "owl"
    assert row["classes"][0]["probability"] == pytest.approx(float(there[2]), rel=1e-4)
    assert row["answer"]["class"] == int(there.argmax())


def test_a_class_of_a_map_alone_stands_for_all_positions_where_it_wins(deconvnet, spec, tmp_path):
    model = ["-m", spec("segmenter")]
    loaded = load_model(spec("segmenter"))
    winners = outputs(loaded, "sample:coffee").argmax(0).flatten().bincount(minlength=5)
    best, never = int(winners.argmax()), int(winners.argmin())
    assert winners[never] == 0
    (row,) = rows_of(deconvnet("explain", "sample:coffee", "--json", *model))
    assert row["classes"] == [row["answer"]]
    assert (row["answer"]["class"], row["answer"]["positions"]) == (best, int(winners[best]))
    assert row["answer"]["of_positions"] == 256
    done = deconvnet("explain", "sample:coffee", "-t", best, "--force", *model)
    assert f", at {int(winners[best])} of 256 positions (" in done.out
    told(
        deconvnet("explain", "sample:coffee", "-t", never, "--force", *model),
        f"{loaded.label(never)} wins at none of the 256 positions of the output. ", f"--target {never},",
    )  # fmt: skip
    photos = ["sample:coffee", "sample:rocket"]
    done = deconvnet("explain", *photos, "-t", never, "--force", *model)
    said = [line.partition(f": {loaded.label(never)} wins")[0] for line in done.err.splitlines()]
    assert said == [f"deconvnet: {name}" for name in photos]


def test_a_class_of_a_map_starts_under_a_mask(deconvnet, spec, tmp_path):
    model = ["-m", spec("segmenter"), "--no-trust"]
    white = Image.new("L", (600, 400))
    white.paste(255, (0, 0, 300, 400))  # the left half of sample:coffee
    white.save("left.png")
    done = deconvnet("explain", "sample:coffee", "-t", "owl", "-t", "lamp", "--mask", "left.png", "--json", *model)
    (row,) = rows_of(done)
    assert [(each["label"], each["positions"], each["of_positions"]) for each in row["classes"]] == [
        ("owl", 128, 256), ("lamp", 128, 256),
    ]  # fmt: skip
    loaded = load_model(spec("segmenter"))
    net, x = DeconvNet(loaded.model, loaded.example_input), loaded.preprocess.images("sample:coffee")
    mask = torch.zeros(5, 16, 16, dtype=torch.bool)
    mask[2, :, :8] = True
    words = "owl, carried down (deconvnet)"
    title = f"owl, at 128 of 256 positions (50 %); {answer_title(row)}"
    expected = net.explain(x, mask).beside("sample:coffee", loaded.preprocess, words=words, title=title)
    deconvnet("explain", "sample:coffee", "-t", "owl", "--mask", "left.png", "--force", *model)
    assert np.array_equal(pixels("coffee.explain.png"), np.asarray(expected.image()))


def answer_title(row):
    answer = row["answer"]
    share = round(100 * answer["positions"] / answer["of_positions"])
    return f"the network's answer: {answer['label']}, at {answer['positions']} of 256 positions ({share} %)"


@pytest.mark.parametrize(
    ("target", "mask", "words"),
    [
        ("owl", "none.png", "cannot read 'none.png'"),
        (
            "owl",
            "small.png",
            "'small.png' is 30 pixels wide and 20 high, and the photo 600 pixels wide and 400 high",
        ),
        ("owl", "black.png", "nothing of what the network sees lies under the white of the mask 'black.png'"),
        ("owl,3,3", "white.png", "--mask goes with --target CLASS"),
        (None, "white.png", "--mask goes with --target CLASS"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused(deconvnet, spec, tmp_path, target, mask, words):
    Image.new("L", (30, 20), 255).save("small.png")
    Image.new("L", (600, 400), 0).save("black.png")
    Image.new("L", (600, 400), 255).save("white.png")
    flags = [] if target is None else ["-t", target]
    told(deconvnet("explain", "sample:coffee", *flags, "--mask", mask, "-m", spec("segmenter")), words)
    assert "coffee.explain.png" not in names(tmp_path)


def test_a_mask_is_for_one_photo_and_for_maps(deconvnet, spec):
    Image.new("L", (600, 400), 255).save("white.png")
    flags = ["-t", "owl", "--mask", "white.png"]
    told(deconvnet("explain", "sample:coffee", *flags, "-m", spec("colour")), "the network's output is not a map")
    photos = ["sample:coffee", "sample:rocket"]
    told(deconvnet("explain", *photos, *flags, "-m", spec("segmenter")), "--mask is for one photo, and there are 2")


def test_explain_draws_a_row_for_each_of_several_classes(deconvnet, spec, tmp_path):
    model = ["-m", spec("colour")]
    (row,) = rows_of(deconvnet("explain", "sample:coffee", "-t", "owl", "-t", "3", "--json", "-o", "two.png", *model))
    assert [each["class"] for each in row["classes"]] == [2, 3]
    deconvnet("explain", "sample:coffee", "-t", "owl", "-o", "one.png", *model)
    with Image.open("two.png") as two, Image.open("one.png") as one:
        assert two.width == one.width and two.height > 1.5 * one.height


def test_commands_of_one_class_refuse_several(deconvnet, spec, tmp_path):
    for command in ("responsible", "steps"):
        words = told(deconvnet(command, "sample:coffee", "-t", "1", "-t", "2", "-m", spec("colour")), "got 2: 1, 2")
        assert words is None and names(tmp_path) == []


@pytest.mark.parametrize("rules", ["guided", "gradient"])
def test_other_rules_give_another_picture_and_are_named(deconvnet, spec, tmp_path, rules):
    deconvnet("explain", "sample:coffee", "-m", spec("colour"), "-o", "plain.png")
    done = deconvnet("explain", "sample:coffee", "-m", spec("colour"), "-o", "other.png", "--json", "--rules", rules)
    assert json.loads(done.out)["rules"] == rules
    assert tmp_path.joinpath("plain.png").read_bytes() != tmp_path.joinpath("other.png").read_bytes()


def test_an_activation_that_is_no_rectifier_is_refused_unless_told_otherwise(deconvnet, spec, tmp_path):
    model = ["-m", spec("smooth")]
    told(deconvnet("explain", "sample:coffee", *model), "silu", 'smooth="rectify"')
    assert names(tmp_path) == []
    for smooth in ("rectify", "gradient"):
        done = deconvnet("explain", "sample:coffee", "--smooth", smooth, "--force", *model)
        assert done.code == 0
        assert f'(smooth="{smooth}")' in done.out


def test_a_softmax_at_the_end_is_skipped_and_said(deconvnet, spec):
    done = deconvnet("explain", "sample:coffee", "-m", spec("chances"))
    assert "softmax at the output was skipped" in done.out
    loaded = load_model(spec("chances"))
    chance = float(outputs(loaded, "sample:coffee").max())
    assert f", {100 * chance:.0f} % ->" in done.out


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("network", ["colour", "grey"])
def test_photos_of_any_mode_suit_networks_of_one_and_of_three_channels(deconvnet, spec, tmp_path, mode, network):
    pixels = np.random.default_rng(0).integers(0, 65536, (50, 40), dtype=np.uint16)
    if mode == "I;16":
        Image.fromarray(pixels).save(tmp_path / "a.tif")
    else:
        Image.fromarray((pixels // 256).astype(np.uint8)).convert("RGB").convert(mode).save(tmp_path / "a.tif")
    assert deconvnet("explain", "a.tif", "-m", spec(network)).code == 0


def test_a_photo_that_cannot_be_read_is_told_and_the_others_go_on(deconvnet, spec, tmp_path):
    photo(tmp_path / "a.png")
    photo(tmp_path / "z.png")
    whole = tmp_path.joinpath("a.png").read_bytes()
    tmp_path.joinpath("cut.png").write_bytes(whole[: len(whole) // 2])
    tmp_path.joinpath("empty.jpg").touch()
    tmp_path.joinpath("words.jpg").write_text("no photo", encoding="utf-8")
    tmp_path.joinpath("out").mkdir()
    bad = ["cut.png", "empty.jpg", "words.jpg", "gone.jpg", "out", "sample:nosuch"]
    done = deconvnet("explain", "a.png", *bad, "z.png", "-m", spec("colour"), "-o", "out", "--json")
    assert done.code == 1
    assert names(tmp_path / "out") == ["a.explain.png", "z.explain.png"]
    assert [row["photo"] for row in rows_of(done)] == ["a.png", "z.png"]
    assert [row["photo"] for row in json.loads(done.out)["failed"]] == bad
    lines = done.err.splitlines()
    assert len(lines) == len(bad)
    for name, line in zip(bad, lines, strict=True):
        assert line.startswith("deconvnet: ") and name.removeprefix("sample:") in line


def test_photos_of_one_name_get_a_picture_each(deconvnet, spec, tmp_path):
    places = [photo(tmp_path / "b" / name, seed=i) for i, name in enumerate(["cat.png", "cat.jpg", "Cat.png"])]
    done = deconvnet("explain", *places, "sample:coffee", "-m", spec("colour"), "--json")
    files = [row["file"] for row in rows_of(done)]
    assert files == ["cat.explain.png", "cat-2.explain.png", "Cat-3.explain.png", "coffee.explain.png"]
    assert len({tmp_path.joinpath(file).read_bytes() for file in files}) == 4


def test_no_picture_is_overwritten_without_force(deconvnet, spec, tmp_path):
    kept = tmp_path / "coffee.explain.png"
    kept.write_bytes(b"mine")
    model = ["-m", spec("colour")]
    told(
        deconvnet("explain", "sample:rocket", "sample:coffee", *model),
        "'coffee.explain.png' already exists",
        "--force",
    )
    told(deconvnet("explain", "sample:rocket", *model, "-o", kept), "--force")
    assert kept.read_bytes() == b"mine"
    assert names(tmp_path) == ["coffee.explain.png"]
    assert deconvnet("explain", "sample:coffee", "--force", *model).code == 0
    assert pixels(kept).shape[1] > 300


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample:coffee", "sample:rocket", "-o", "a.png"], "is the name of one file, and there are 2 photos. Give a"),
        (["sample:coffee", "-o", "a.gif"], "'a.gif' does not end in one of .png"),
    ],
)
def test_a_place_that_cannot_be_is_told_before_any_work(deconvnet, spec, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setattr(ModelFlags, "load", lambda self: pytest.fail("the model was loaded"))
    told(deconvnet("explain", *arguments, "-m", spec("colour")), words)
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", ["png", "JPG", "webp", "tiff", "bmp"])
def test_the_suffix_names_the_format(deconvnet, spec, tmp_path, suffix):
    done = deconvnet("explain", "sample:coffee", "-m", spec("colour"), "-o", f"a.{suffix}")
    assert done.code == 0
    formats = {"png": "PNG", "JPG": "JPEG", "webp": "WEBP", "tiff": "TIFF", "bmp": "BMP"}
    with Image.open(tmp_path / f"a.{suffix}") as picture:
        assert picture.format == formats[suffix]


@pytest.mark.filterwarnings("ignore:no font on this machine has")
@pytest.mark.parametrize(
    "name",
    [
        "a b.png",
        "[red]x.png",
        "ça—猫.png",
        "a.b.c.png",
        "-x.png",
        "100%.png",
        "two\nlines.png",
        "'\".png",
        "{0}.png",
        ".hidden.png",
        os.fsdecode(b"caf\xe9.png"),
        "x" * 250 + ".png",
    ],
    ids=ascii,
)
def test_photos_may_have_any_name(deconvnet, spec, tmp_path, name):
    photo(tmp_path / "in" / name)
    model = ["-m", spec("colour")]
    done = deconvnet("explain", *model, "--", f"in/{name}")
    if len(name) > 200:
        told(done, "File name too long")
        return
    assert (done.code, done.err) == (0, "")
    assert tmp_path.joinpath(f"{Path(name).stem}.explain.png").is_file()
    assert deconvnet("project", "--layer", "0", *model, "--", f"in/{name}").code == 0
    gone = deconvnet("explain", *model, "--", f"in/gone-{name}")
    told(gone, "no photos in" if "[" in name else "no such file")  # it may be a pattern


# responsible


def test_responsible_shows_where_the_units_of_a_class_lie(deconvnet, spec, tmp_path):
    done = deconvnet("responsible", "sample:coffee", "-k", "6", "-m", spec("colour"))
    loaded = load_model(spec("colour"))
    net = DeconvNet(loaded.model, loaded.example_input)
    x = loaded.preprocess.images("sample:coffee")
    chances = outputs(loaded, "sample:coffee").softmax(0)
    named = f"{loaded.label(int(chances.argmax()))}, {round(100 * float(chances.max()))} %"
    result = net.responsible(x, k=6)
    share = f"{round(100 * float(result.shares.sum()))} %"
    words = f"sample:coffee: {named}: 6 units of 4 with {share} of {CONTRIBUTIONS} -> coffee.responsible.png\n"
    assert done == Done(0, words, "")
    assert names(tmp_path) == ["coffee.responsible.png"]
    title = f"{named}: units of 4 that it rests on (deconvnet)"
    picture = result.beside("sample:coffee", loaded.preprocess, title=title)
    assert np.array_equal(pixels("coffee.responsible.png"), np.asarray(picture.image()))


def test_responsible_prints_json(deconvnet, spec):
    flags = ["-t", "owl", "-l", "1", "-k", "3", "--rules", "gradient", "-o", "a.png"]
    (row,) = rows_of(done := deconvnet("responsible", "sample:rocket", "--json", "-m", spec("colour"), *flags))
    loaded = load_model(spec("colour"))
    net = DeconvNet(loaded.model, loaded.example_input, rules="gradient")
    result = net.responsible(loaded.preprocess.images("sample:rocket"), 2, layer="1", k=3)
    assert (row["layer"], json.loads(done.out)["rules"], row["file"]) == ("1", "gradient", "a.png")
    chances = outputs(loaded, "sample:rocket").softmax(0)
    (chosen,) = row["classes"]
    assert (chosen["class"], chosen["label"]) == (2, "owl")
    assert chosen["probability"] == pytest.approx(float(chances[2]), rel=1e-4)
    assert row["answer"]["class"] == int(chances.argmax())
    assert len(row["units"]) == 3
    for i, (told_of, unit) in enumerate(zip(row["units"], result.units.units, strict=True)):
        assert (told_of["channel"], tuple(told_of["position"])) == (unit.channel, unit.position)
        assert told_of["box"] == result.units.boxes[i].tolist()
        assert told_of["share"] == pytest.approx(float(result.shares[i]), rel=1e-4)
        assert told_of["contribution"] == pytest.approx(told_of["activation"] * told_of["signal"], rel=1e-4)


def test_of_several_photos_each_has_its_units_and_one_that_cannot_be_read_is_told(deconvnet, spec, tmp_path):
    photo(tmp_path / "a.png")
    tmp_path.joinpath("out").mkdir()
    flags = ["-k", "2", "-m", spec("colour"), "-o", "out"]
    done = deconvnet("responsible", "a.png", "gone.png", "sample:coffee", *flags)
    assert done.code == 1
    assert [line.partition(":")[0] for line in done.out.splitlines()] == ["a.png", "sample"]
    assert done.err == "deconvnet: cannot read 'gone.png': no such file. Check the path.\n"
    assert names(tmp_path / "out") == ["a.responsible.png", "coffee.responsible.png"]


def test_responsible_takes_a_position_or_a_class_of_a_map(deconvnet, spec, tmp_path):
    model = ["-m", spec("segmenter"), "-k", "1"]
    for i, flags in enumerate((["-t", "owl,9,3"], [])):
        done = deconvnet("responsible", "sample:coffee", *flags, *model, "-o", f"{i}.png")
        assert (done.code, done.err) == (0, "")
        assert ": 1 unit of 1 with " in done.out


def test_responsible_bounds_the_units_of_a_map(deconvnet, spec):
    for flags, most in (([], 1), (["--per-map", "2"], 2), (["--per-map", "0"], 20)):
        (row,) = rows_of(deconvnet("responsible", "sample:coffee", "-k", "20", "--json", "--force", "-m",
                                   spec("colour"), *flags))  # fmt: skip
        channels = [unit["channel"] for unit in row["units"]]
        assert max(map(channels.count, channels)) <= most
    assert len(channels) == 20


def test_responsible_adds_up_the_maps_over_a_folder(deconvnet, spec, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        photo(tmp_path / "photos" / name)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    flags = ["--sum", "-t", "owl", "-l", "1", "-k", "3", "-m", spec("colour")]
    done = deconvnet("responsible", "photos", *flags)
    assert done.code == 0 and "broken.png" in done.err
    assert done.out.startswith(f"owl in 2 photos: maps of 1, each with its share of {CONTRIBUTIONS}\n  map ")
    assert all(name.startswith("photos/") for name in names(tmp_path))
    result = json.loads(deconvnet("responsible", "photos", "--json", *flags).out)
    assert len(result["maps"]) == 3 and result["used"] == 2
    assert [each["photo"] for each in result["failed"]] == ["broken.png"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-l", "44"], "no layer '44'; the nearest names are '4'"),
        (["-k", "0"], "k is a whole number, 1 or more; got 0"),
        (["-t", "dodo"], "no class 'dodo'"),
        (["-o", "old.png/a.png"], "cannot make the folder 'old.png': 'old.png' is a file"),
        (["-o", "old.png"], "'old.png' already exists"),
    ],
)
def test_units_that_cannot_be_had_are_told(deconvnet, spec, tmp_path, flags, words):
    tmp_path.joinpath("old.png").touch()
    told(deconvnet("responsible", "sample:rocket", "-m", spec("colour"), *flags), words)
    assert names(tmp_path) == ["old.png"]
    told(deconvnet("responsible", "sample:rocket", "-m", spec("smooth")), "silu", 'smooth="rectify"')


# project


def test_project_lays_each_unit_beside_its_patch(deconvnet, spec, tmp_path):
    done = deconvnet("project", "sample:rocket", "--layer", "4", "-m", spec("colour"), "--no-trust")
    assert done == Done(0, "sample:rocket: 8 units of 4 -> rocket.4.png\n", "")
    assert names(tmp_path) == ["rocket.4.png"]
    loaded = load_model(spec("colour"))
    net = DeconvNet(loaded.model, loaded.example_input)
    result = net.project(loaded.preprocess.images("sample:rocket"), "4", channel="top:9")
    title = "layer 4 of nets.py:colour on rocket (deconvnet)"
    sheet = result.sheet(["sample:rocket"], loaded.preprocess, title=title)
    assert np.array_equal(pixels("rocket.4.png"), np.asarray(sheet.image()))


@pytest.mark.parametrize(("channel", "channels"), [("5", [5]), ("5,0,2", [5, 0, 2]), ("all", list(range(8)))])
def test_project_takes_feature_maps_at_their_strongest_position(deconvnet, spec, channel, channels):
    done = deconvnet("project", "sample:rocket", "-l", "4", "-m", spec("colour"), "--json", "-c", channel)
    (report,) = rows_of(done)
    assert (report["photo"], report["layer"], json.loads(done.out)["rules"]) == ("sample:rocket", "4", "deconvnet")
    assert report["file"] == "rocket.4.png"
    assert [unit["channel"] for unit in report["units"]] == channels
    maps = maps_of_layer_4(load_model(spec("colour")))
    for unit in report["units"]:
        values = maps[unit["channel"]]
        y, x = unit["position"]
        assert unit["activation"] == pytest.approx(float(values.max()), rel=1e-4)
        assert unit["activation"] == pytest.approx(float(values[y, x]), rel=1e-4)
        low, high = unit["box"]
        assert all(b > a for a, b in zip(low, high, strict=True))


def test_project_takes_a_position(deconvnet, spec):
    maps = maps_of_layer_4(load_model(spec("colour")))
    y, x = (int(i) for i in (maps[3] > 0).nonzero()[0])
    flags = ["-l", "4", "-c", "3", "--position", f"{y},{x}"]
    done = deconvnet("project", "sample:rocket", "-m", spec("colour"), "--json", *flags)
    (unit,) = rows_of(done)[0]["units"]
    assert unit["position"] == [y, x]
    assert unit["activation"] == pytest.approx(float(maps[3, y, x]), rel=1e-4)


@torch.no_grad()
def maps_of_layer_4(loaded: LoadedModel) -> torch.Tensor:
    return loaded.model[:5](loaded.preprocess.images("sample:rocket"))[0]  # type: ignore[index]


def test_project_takes_the_strongest_maps_in_order(deconvnet, spec):
    done = deconvnet("project", "sample:rocket", "-l", "4", "-c", "top:3", "-m", spec("colour"), "--json")
    strengths = [unit["activation"] for unit in rows_of(done)[0]["units"]]
    assert len(strengths) == 3 and strengths == sorted(strengths, reverse=True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-l", "44"], "no layer '44'; the nearest names are '4'"),
        (["-l", "4", "-c", "8"], "there are 8 feature maps in '4'"),
        (["-l", "4", "-c", "top:0"], "'top:16'"),
        (["-l", "4", "-c", "best"], "'top:16'; got 'best'"),
        (["-l", "4", "--position", "1"], "a position in '4' has 2 indices"),
        (["-l", "4", "--position", "1,99"], "lies outside the maps"),
        (["-l", "4", "--position", "a,b"], "--position takes numbers"),
        (["-l", "7", "--position", "1,1"], "a position in '7' has 0 indices"),
        (["-l", "4", "-o", "rocket.4.png/a.png"], "cannot make the folder 'rocket.4.png'"),
        (["-l", "4", "-o", "."], "'rocket.4.png' already exists"),
    ],
)
def test_what_cannot_be_projected_is_told(deconvnet, spec, tmp_path, flags, words):
    tmp_path.joinpath("rocket.4.png").touch()
    extra = [] if "-o" in flags else ["-o", "new.png"]
    told(deconvnet("project", "sample:rocket", "-m", spec("colour"), *flags, *extra), words)
    assert names(tmp_path) == ["rocket.4.png"]


def test_a_photo_that_cannot_be_read_ends_project(deconvnet, spec, tmp_path):
    told(deconvnet("project", "gone.png", "-l", "4", "-m", spec("colour")), "cannot read 'gone.png'")
    assert names(tmp_path) == []


def test_a_layer_inside_a_function_names_its_file(deconvnet, spec, tmp_path):
    done = deconvnet("project", "sample:rocket", "-l", "/relu", "-c", "1", "-m", spec("functional"))
    assert done.code == 0, done.err
    assert names(tmp_path) == ["rocket._relu.png"]


@pytest.mark.parametrize("crop", ["energy", "field", "none"])
def test_a_picture_shows_the_field_or_a_part_or_all(deconvnet, spec, crop):
    assert deconvnet("project", "sample:rocket", "-l", "4", "--crop", crop, "-m", spec("grey")).code == 0


# compare


def test_compare_lays_two_rule_sets_side_by_side(deconvnet, spec, tmp_path):
    model = ["-m", spec("colour")]
    done = deconvnet("compare", "deconvnet", "gradient", "sample:rocket", "-l", "4", "-c", "3", *model)
    assert (done.code, done.err) == (0, "")
    assert names(tmp_path) == ["rocket.4.compare.png"]
    loaded = load_model(spec("colour"))
    net = DeconvNet(loaded.model, loaded.example_input)
    x = loaded.preprocess.images("sample:rocket")
    ways = [net.with_rules(rules).project(x, "4", channel=3) for rules in ("deconvnet", "gradient")]
    pair = package.compare(*ways)
    head, *units, measures = done.out.splitlines()
    row, column = pair.a.units[0].position or ()
    value = f"map 3 at row {row}, column {column}: activation {float(pair.a.activations[0]):.3g}"
    assert head == "sample:rocket: 1 pair of units of 4 -> rocket.4.compare.png"
    assert units == [f"  A: nets.py:colour, deconvnet; {value}", f"  B: nets.py:colour, gradient; {value}"]
    assert measures == f"  {pair.words()}"
    assert re.match(r"  cosine [\d.-]+, rank correlation [\d.-]+, SSIM [\d.-]+, B is [\d.]+ times", measures)
    title = "layer 4 on rocket, one scale\nA: nets.py:colour, deconvnet\nB: nets.py:colour, gradient"
    sheet = pair.sheet(["sample:rocket"], loaded.preprocess, title=title)
    assert np.array_equal(pixels("rocket.4.compare.png"), np.asarray(sheet.image()))


def test_compare_takes_networks_and_files_of_weights(deconvnet, spec):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = {
            name: torch.randn_like(weight) for name, weight in load_model(spec("colour")).model.state_dict().items()
        }
    torch.save(weights, "late.pt")
    flags = ["sample:rocket", "-l", "4", "-c", "3,0", "--json", "-m", spec("colour"), "--rules", "guided"]
    done = deconvnet("compare", spec("nameless"), "late.pt", *flags)
    report = json.loads(done.out)
    assert report["a"] == {"model": spec("nameless"), "weights": None, "rules": "guided"}
    assert report["b"] == {"model": spec("colour"), "weights": "late.pt", "rules": "guided"}
    results = []
    for loaded in (load_model(spec("nameless")), load_model(spec("colour"), weights="late.pt")):
        net = DeconvNet(loaded.model, loaded.example_input, rules="guided")
        results.append(net.project(loaded.preprocess.images("sample:rocket"), "4", channel=[3, 0]))
    truth = package.compare(*results)
    for i, pair in enumerate(rows_of(done)[0]["pairs"]):
        assert pair["a"]["channel"] == pair["b"]["channel"] == [3, 0][i]
        assert pair["b"]["position"] == list(results[1].units[i].position or ())
        for name in ("cosine", "rank_correlation", "ssim", "ratio"):
            assert pair[name] == pytest.approx(float(getattr(truth, name)[i]), rel=1e-4)


def test_compare_pairs_the_strongest_maps_of_a_with_the_same_of_b(deconvnet, spec):
    flags = ["sample:rocket", "-l", "4", "-c", "top:3", "--json", "-m", spec("colour")]
    pairs = rows_of(deconvnet("compare", spec("nameless"), spec("colour"), *flags))[0]["pairs"]
    strengths = [pair["a"]["activation"] for pair in pairs]
    assert strengths == sorted(strengths, reverse=True)
    assert [pair["a"]["channel"] for pair in pairs] == [pair["b"]["channel"] for pair in pairs]


def test_the_same_way_twice_is_the_same(deconvnet, spec):
    done = deconvnet("compare", "guided", "guided", "sample:rocket", "-l", "4", "-c", "3", "-m", spec("colour"))
    assert "cosine 1.00, rank correlation 1.00, SSIM 1.00, B is 1.00 times as strong" in done.out


def test_scales_of_their_own_give_another_picture_and_the_same_numbers(deconvnet, spec):
    flags = ["deconvnet", "gradient", "sample:rocket", "-l", "4", "-c", "3", "-m", spec("colour"), "--json"]
    reports = [json.loads(deconvnet("compare", *flags, "--scale", s, "-o", f"{s}.png").out) for s in ("common", "own")]
    assert not np.array_equal(pixels("common.png"), pixels("own.png"))
    assert [report.pop("scale") for report in reports] == ["common", "own"]
    assert {**reports[0]["photos"][0], "file": ""} == {**reports[1]["photos"][0], "file": ""}


def test_a_unit_that_is_silent_has_no_numbers_and_says_so(deconvnet, spec):
    flags = ["sample:rocket", "-l", "1", "-c", "3", "-m", spec("silent")]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = deconvnet("compare", spec("colour"), "deconvnet", *flags)
        rows = rows_of(deconvnet("compare", spec("colour"), "deconvnet", *flags, "--json", "--force"))
    assert done.code == 0
    assert "nothing to compare" in done.out
    assert "note: Pair 0: the signal of B is zero everywhere" in done.out
    (pair,) = rows[0]["pairs"]
    assert [pair[name] for name in ("cosine", "rank_correlation", "ssim", "ratio")] == [None] * 4


@pytest.mark.parametrize(
    ("a", "b", "flags", "words"),
    [
        ("guide", "guided", [], "'guide' is not a valid A or B, which is a rule set (deconvnet, guided, gradient)"),
        ("guided", "gone.pt", [], "B (gone.pt): the weights file 'gone.pt' does not exist"),
        ("broken.pt", "guided", [], "A (broken.pt): cannot read the weights 'broken.pt'"),
        ("guided", "other.pt", [], "B (other.pt): the weights 'other.pt' and"),
        ("NETS:mak", "guided", [], "A (nets.py:mak): no function 'mak'"),
        ("NETS:colour", "NETS:functional", [], "B (nets.py:functional): the network has no layer '4'"),
        ("NETS:functional", "NETS:colour", [], "A (nets.py:functional): the network has no layer '4'"),
        ("NETS:colour", "NETS:smooth", [], "B (nets.py:smooth): cannot project through '4' (aten.silu)"),
        ("NETS:colour", "NETS:grey", [], "A is on an input of 3 channels and B on one of 1"),
        ("NETS:colour", "NETS:narrow", [], "the same part of the photo at the same size: A (nets.py:colour) sees"),
        ("NETS:colour", "NETS:narrow", [], "as 32x32. Give both the same Preprocess, with FILE.py:FUNCTION."),
        ("zfnet-mini", "NETS:colour", [], "as 32x32. Give both the same --size."),
        ("guided", "deconvnet", ["-c", "8"], "there are 8 feature maps in '4'"),
        ("guided", "deconvnet", ["--position", "1"], "a position in '4' has 2 indices"),
        ("guided", "deconvnet", ["--position", "x,y"], "--position takes numbers"),
        ("guided", "deconvnet", ["-o", "there.png/a.png"], "cannot make the folder 'there.png'"),
        ("guided", "deconvnet", ["-o", "other.pt"], "'other.pt' does not end in one of .png"),
        ("guided", "deconvnet", ["-o", "there.png"], "'there.png' already exists"),
        ("NETS:colour", "NETS:grey", ["--weights", "other.pt"], "--weights belongs to a rule set"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told_and_nothing_is_written(deconvnet, spec, tmp_path, a, b, flags, words):
    tmp_path.joinpath("broken.pt").write_bytes(b"no weights")
    tmp_path.joinpath("there.png").write_bytes(b"mine")
    torch.save({"0.weight": torch.zeros(2)}, tmp_path / "other.pt")
    before = names(tmp_path)
    ways = [text.replace("NETS:", spec("")) for text in (a, b)]
    channel = [] if "-c" in flags else ["-c", "3"]
    told(deconvnet("compare", *ways, "sample:rocket", "-l", "4", "-m", spec("colour"), *channel, *flags), words)
    assert names(tmp_path) == before
    assert tmp_path.joinpath("there.png").read_bytes() == b"mine"


# steps and report


def test_steps_draws_each_step_and_tells_how_far_unpooling_is_from_an_inverse(deconvnet, spec, tmp_path):
    done = deconvnet("steps", "sample:rocket", "-l", "4", "-c", "2", "-m", spec("colour"))
    assert (done.code, done.err) == (0, "")
    assert names(tmp_path) == ["rocket.4.steps.png"]
    first, *rest = done.out.splitlines()
    assert first == "sample:rocket: 6 steps down from 4 -> rocket.4.steps.png"
    assert re.fullmatch(r"  1: unpooling 2 restores the forward maps with a relative error of \d\.\d+", rest[0])


def test_steps_prints_json_also_of_a_class_and_to_a_layer(deconvnet, spec, tmp_path):
    (told_of,) = rows_of(deconvnet("steps", "sample:rocket", "-t", "owl", "-m", spec("colour"), "--json"))
    assert told_of["layer"] == "7"
    assert [told_of["unit"][name] for name in ("channel", "position")] == [2, []]
    assert [step["layer"] for step in told_of["steps"]][:3] == ["7", "6", "5"]
    assert names(tmp_path) == ["rocket.class.steps.png"]
    flags = ["-l", "4", "--position", "1,2", "--to", "1", "-o", "x.png", "--json"]
    (told_of,) = rows_of(deconvnet("steps", "sample:rocket", *flags, "-m", spec("colour")))
    assert told_of["unit"]["position"] == [1, 2] and told_of["steps"][-1]["layer"] == "1"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-l", "nosuch"], "no layer 'nosuch'"),
        (["-l", "4", "-c", "8"], "8 feature maps in '4', counted from 0; got 8"),
        (["-l", "4", "-t", "owl"], "--target names a class and --layer a layer: drop one of them"),
        (["-c", "3"], "--channel and --position need --layer: add it, or drop them"),
        (["-t", "3", "-c", "4"], "--channel and --position need --layer"),
        (["-t", "3,1,1"], "the network's output is not a map, so positions do not apply"),
        (["-l", "4", "--position", "a,b"], "--position takes numbers"),
        (["-l", "1", "--to", "4"], "no signal travels from '1'"),
        (["-l", "4", "-o", "x.gif"], "does not end in one of"),
    ],
)
def test_steps_that_cannot_be_shown_are_told(deconvnet, spec, tmp_path, flags, words):
    told(deconvnet("steps", "sample:rocket", "-m", spec("colour"), *flags), words)
    assert names(tmp_path) == []


def test_report_writes_a_page_about_all_photos_that_can_be_read(deconvnet, spec, tmp_path):
    done = deconvnet("report", "sample:rocket", "nowhere.jpg", "sample:coffee", "-m", spec("colour"), "--maps", "2")
    assert done.code == 1 and "nowhere.jpg" in done.err
    assert names(tmp_path) == ["rocket.report.html"]
    first, *notes = done.out.splitlines()
    assert re.fullmatch(r"sample:rocket, sample:coffee -> rocket.report.html \(0\.\d+ MB, \d+ units\)", first)
    assert notes and all(note.startswith("  note: ") for note in notes)
    page = tmp_path.joinpath("rocket.report.html").read_text(encoding="utf-8")
    assert f"--model {spec('colour')}" in page and str(tmp_path) not in page


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--page-size", "50kB"], "the page size does not hold the classes and one unit of each layer"),
        (["--page-size", "much"], "page_size is a number of bytes"),
        (["-l", "nosuch"], "no layer 'nosuch'"),
        (["-o", "page.png"], "does not end in one of .html, .htm"),
        (["-o", "there.html"], "'there.html' already exists"),
        (["-o", "there.html/page.html"], "cannot make the folder 'there.html'"),
    ],
)
def test_a_report_that_cannot_be_made_is_told_and_nothing_is_written(deconvnet, spec, tmp_path, flags, words):
    tmp_path.joinpath("there.html").write_text("mine")
    told(deconvnet("report", "sample:rocket", "-m", spec("colour"), *flags), words)
    assert names(tmp_path) == ["there.html"] and tmp_path.joinpath("there.html").read_text() == "mine"


def test_report_prints_json(deconvnet, spec, tmp_path):
    done = deconvnet("report", "sample:rocket", "nowhere.jpg", "-m", spec("colour"), "--page-size", "300kB", "--json")
    told_of = json.loads(done.out)
    assert told_of["units"] > 0 and told_of["units_left_out"] > 0 and "page size" in told_of["notes"][0]
    assert done.code == 1
    assert [[row["photo"] for row in told_of[key]] for key in ("photos", "failed")] == [
        ["sample:rocket"],
        ["nowhere.jpg"],
    ]
    assert told_of["bytes"] == tmp_path.joinpath(told_of["file"]).stat().st_size and told_of["notes"]


def test_a_report_tells_apart_photos_of_one_name(deconvnet, spec, tmp_path):
    photo(tmp_path / "good" / "a.png")
    photo(tmp_path / "thin" / "a.png", (1, 40_000))
    run = json.loads(deconvnet("report", "thin", "good", "-l", "1", "--maps", "1", "--json", "-m", spec("colour")).out)
    assert [row["source"] for row in run["photos"]] == ["good"]
    assert [row["source"] for row in run["failed"]] == ["thin"]


def test_a_report_of_no_photo_that_can_be_read_is_none(deconvnet, spec, tmp_path):
    told(deconvnet("report", "nowhere.jpg", "-m", spec("colour")), "no such file")
    assert names(tmp_path) == []


# layers and demo


def test_layers_prints_the_table_of_the_deconvnet(deconvnet, spec):
    loaded = load_model(spec("colour"))
    net = DeconvNet(loaded.model, loaded.example_input, rules="guided")
    assert deconvnet("layers", "-m", spec("colour"), "--rules", "guided") == Done(0, f"{net}\n", "")


def test_layers_prints_json(deconvnet, spec):
    report = json.loads(deconvnet("layers", "-m", spec("colour"), "--json").out)
    loaded = load_model(spec("colour"))
    infos = DeconvNet(loaded.model, loaded.example_input).layers.values()
    assert report["layers"] == [json.loads(json.dumps(vars(info))) for info in infos]
    assert report["rules"] == "deconvnet"


def test_demo_shows_the_bundled_network_s_cat(deconvnet, tmp_path):
    done = deconvnet("demo")
    assert (done.code, done.err) == (0, "")
    assert "for: domestic cat, " in done.out
    assert str(tmp_path / "deconvnet-demo.png") in done.out
    assert names(tmp_path) == ["deconvnet-demo.png"]
    first = tmp_path.joinpath("deconvnet-demo.png").read_bytes()
    (row,) = rows_of(deconvnet("demo", "--json"))
    assert row["classes"] == [row["answer"]] and row["answer"]["label"] == "domestic cat"
    assert tmp_path.joinpath("deconvnet-demo.png").read_bytes() == first
    tmp_path.joinpath("mine.png").write_bytes(b"mine")
    told(deconvnet("demo", "-o", "mine.png"), "'mine.png' already exists")


def test_the_bundled_network_is_what_commands_use_when_none_is_named(deconvnet):
    done = deconvnet("explain", "sample:chelsea")
    assert done.out.startswith("sample:chelsea: domestic cat, ")
    assert "conv1" in deconvnet("layers").out
    assert deconvnet("project", "sample:chelsea", "-l", "relu5").code == 0


# atlas and atlas-merge.


@pytest.mark.parametrize(
    "arguments", [("atlas", "."), ("atlas", ".", "--shard", "0/2"), ("atlas-merge", "part", "--photos", ".")]
)
def test_an_atlas_is_not_built_over_what_lies_in_the_output_folder(deconvnet, spec, tmp_path, arguments):
    for name in ("out/work/a.png", "out/top.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"mine")
    model = ["-m", spec("colour"), "-q"]
    told(deconvnet(*arguments, *model, "-o", "out"), "'out' is not empty: it holds 'top.parquet', 'work'. Give a new")
    told(deconvnet(*arguments, *model, "-o", ""), "the name of the output folder is empty. Give a path, or")
    assert names(tmp_path) == ["out/top.parquet", "out/work/a.png"]
    assert {(tmp_path / name).read_bytes() for name in names(tmp_path)} == {b"mine"}


def test_resuming_a_finished_atlas_leaves_it_and_says_so(deconvnet, spec, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 40), (200, 90, 30)).save(tmp_path / "photos" / "a.png")
    arguments = ["atlas", "photos", "-m", spec("colour"), "-q", "-o", "out"]
    first = deconvnet(*arguments, "-k", 1)
    assert first.code == 0
    written = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    again = deconvnet(*arguments, "-k", 1, "--resume", "--take-over")
    assert again.code == 0 and again.out.replace("  it was already finished\n", "") == first.out != again.out
    told(deconvnet(*arguments, "-k", 2, "--resume"), "'out' was started with k=1, now k=2. Use the")
    part = [*arguments[:-1], "../part", "--shard", "0/1"]
    assert deconvnet(*part).out == "part 0/1 of photos -> ../part\n"
    assert deconvnet(*part, "--resume").out == "part 0/1 of photos -> ../part\n  it was already finished\n"
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == written
