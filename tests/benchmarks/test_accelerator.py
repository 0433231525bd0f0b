"""Every row of `accelerator.py` runs, tiny and on the CPU; what only a GPU runs is kept small."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import accelerator
import accelerator_rows
import measure
import pytest
import torch
from accelerator_plan import plan
from torch import Tensor, nn

PLAN = plan(quick=True)
TINY = [
    "accuracy | SqueezeNet 1.1 features.7",
    "accuracy | SqueezeNet 1.1 class",
    "accuracy | SqueezeNet 1.1 scan",
    "accuracy | sparse coding",
    "classes | SqueezeNet 1.1",
    "units | SqueezeNet 1.1 features.7 | 256",
    "coding | sparse coding",
    "learning | circular",
    "scan | SqueezeNet 1.1 | 0",
]
ONLY_SOMEWHERE = {"what", "ours, graphs ms", "auto, graphs ms", "ten lines, graph ms", "ten lines, largest"}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


@pytest.fixture
def flags() -> Iterator[None]:
    """PyTorch's flags for TF32 as before."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def measured(names: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    accelerator.measure("cpu", folder, True, names)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def check_row(name: str, row: dict[str, Any]) -> None:
    """It did not fail, and fills every column but those of a GPU."""
    assert row["row"] == name and "failed" not in row, row.get("traceback")
    _, columns = accelerator.TABLES[PLAN[name].table]
    assert set(columns) - set(row) <= ONLY_SOMEWHERE
    assert "nan" not in accelerator.line(accelerator.cells(row, columns))


class Tiny(nn.Module):
    """Layers under the names of SqueezeNet's."""

    def __init__(self) -> None:
        super().__init__()
        maps = iter([(3, 4), (4, 6), (6, 8), (8, 8), (8, 9), (9, 9)])
        kinds = "conv relu pool conv relu conv pool relu conv relu conv pool conv".split()
        make = {"conv": lambda: nn.Conv2d(*next(maps), 3, padding=1), "relu": nn.ReLU, "pool": lambda: nn.MaxPool2d(2)}
        self.features = nn.Sequential(*(make[kind]() for kind in kinds))
        self.head = nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


def test_rows_of_every_kind_run_one_after_another(tmp_path: Path, capsys, flags: None, monkeypatch):
    monkeypatch.setitem(measure.MODELS, "SqueezeNet 1.1", Tiny)
    for name, row in zip(TINY, measured(TINY, tmp_path, capsys), strict=True):
        check_row(name, row)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PLAN if name != "machine"])
def test_every_row_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: None):
    check_row(name, measured([name], tmp_path, capsys)[0])


def test_what_is_timed_as_graphs_is_compared_first(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(measure.MODELS, "SqueezeNet 1.1", Tiny)
    setting, name = accelerator_rows.Setting("cpu", tmp_path, quick=True), "SqueezeNet 1.1"
    x, computes = torch.rand(1, 3, 64, 64), accelerator_rows._net(setting, name)
    assert accelerator_rows.as_graphs(setting, name, lambda net: net.explain(x, 3)) > 0
    with pytest.raises(ValueError, match="not the same pictures"):
        accelerator_rows.as_graphs(setting, name, lambda net: net.explain(x, int(net is computes)))


def test_flags_for_tf32_are_untouched_while_accuracy_is_measured(tmp_path: Path, capsys, flags: None, monkeypatch):
    seen = []
    for function in ("accuracy_of_coding", "coding"):
        monkeypatch.setattr(accelerator_rows, function, lambda setting: seen.append(accelerator_rows.tf32()) or {})
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    before = accelerator_rows.tf32()
    measured(["accuracy | sparse coding", "coding | sparse coding"], tmp_path, capsys)
    assert seen[0] == before and "tf32" not in seen[1]


def test_accuracy_comes_before_the_flags_are_changed():
    tables = [row.table for row in PLAN.values()]
    assert tables == sorted(tables, key=["machine", *accelerator.TABLES].index)


def test_a_row_that_fails_says_why_and_the_next_one_runs(tmp_path: Path, capsys, flags: None, monkeypatch):
    def fail(setting: accelerator_rows.Setting) -> None:
        raise RuntimeError("no room\nand more")

    monkeypatch.setattr(accelerator_rows, "coding", fail)
    rows = measured(["coding | sparse coding", "machine"], tmp_path, capsys)
    assert rows[0]["failed"] == "RuntimeError: no room" and "in fail" in rows[0]["traceback"]
    assert "torch" in rows[1]["machine"]


def test_a_process_ends_when_its_device_no_longer_computes(tmp_path: Path, capsys, flags: None, monkeypatch):
    monkeypatch.setattr(accelerator, "_usable", lambda device: False)
    monkeypatch.delattr(accelerator_rows, "coding")
    rows = measured(["coding | sparse coding", "machine"], tmp_path, capsys)
    assert len(rows) == 1 and rows[0]["fatal"]


def test_rows_stand_in_their_tables_and_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [
        {"row": "machine", "device": "a card", "took s": 1},
        {"row": "accuracy | a", "number": 4, "median": 1e-6, "largest": 2e-6},
        {"row": "accuracy | b", "failed": "too slow"},
        {"row": "classes | c", "network": "c", "forward ms": 1.0, "aim": 0.5},
    ]
    failed = accelerator.report(rows, tmp_path / "log")
    printed = capsys.readouterr()
    assert failed == [rows[2]] and printed.err == "accuracy | b: too slow\n"
    assert "- device: a card\n" in printed.out and "| a | 4 | 1.0e-06 | 2.0e-06 | - |\n" in printed.out
    assert "| c | 1.00 | - | - | - | 0.5 | - | - | - | - |\n" in printed.out
    assert [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()] == rows


def test_a_column_that_fails_is_told_and_the_others_are_kept(tmp_path: Path, capsys, flags: None, monkeypatch):
    monkeypatch.setitem(measure.MODELS, "SqueezeNet 1.1", Tiny)
    name, route = "units | SqueezeNet 1.1 features.7 | 256", accelerator_rows._route
    tried: list[Any] = []

    def fail(setting: Any, row: Any, run: Any, truth: Tensor) -> float:
        tried.append(run)
        if len(tried) == 1:
            raise RuntimeError("the kernel\nand more")
        return route(setting, row, run, truth)

    monkeypatch.setattr(accelerator_rows, "_route", fail)
    (row,) = measured([name], tmp_path, capsys)
    assert row["left out"] == {"auto ms": "RuntimeError: the kernel"} and "fatal" not in row
    assert row["dense ms"] > 0 and row["windowed ms"] > 0 and "ratio" not in row
    (tmp_path / "log").write_text(json.dumps(row) + "\n")
    (tmp_path / "page").write_text("\n".join(accelerator.MARKS))
    accelerator.fill(tmp_path / "log", tmp_path / "page")
    assert f"- failed: {name}, auto ms: RuntimeError: the kernel\n" in (tmp_path / "page").read_text()
    assert accelerator.report([row], None) == [row]
    assert capsys.readouterr().err == f"{name}, auto ms: RuntimeError: the kernel\n"


def test_clocks_wait_for_the_device_that_is_measured(tmp_path: Path, monkeypatch):
    chosen: list[int] = []
    monkeypatch.setattr(torch.accelerator, "set_device_index", chosen.append)
    for device in ("cuda:1", "cuda", "cpu"):
        accelerator.measure(device, tmp_path, True, [])
    assert chosen == [1]


def test_a_machine_says_how_windows_move_there_and_why_not_faster(monkeypatch):
    def told(device: torch.device) -> str:
        warnings.warn("no C compiler", stacklevel=2)
        return "gathered"

    monkeypatch.setattr(measure, "method_on", told)
    assert measure.how_windows_move("cuda") == "gathered: no C compiler"


def test_a_log_fills_the_page_and_the_last_row_of_a_name_counts(tmp_path: Path):
    rows = [
        {"row": "classes | VGG-16", "network": "VGG-16", "ratio": 0.5},
        {"row": "machine", "device": "a card"},
        {"row": "accuracy | sparse coding", "failed": "too slow"},
        {"row": "classes | VGG-16", "network": "VGG-16", "ratio": 0.25},
    ]
    (tmp_path / "log").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page, (begin, end) = tmp_path / "page.md", accelerator.MARKS
    page.write_text(f"before\n\n{begin}\n\nold\n\n{end}\n\nafter\n")
    accelerator.fill(tmp_path / "log", page)
    once = page.read_text()
    assert once.startswith(f"before\n\n{begin}\n\n- device: a card\n\nA class of")
    assert "| VGG-16 | - | - | - | 0.25 |" in once and "0.50" not in once and "old" not in once
    assert once.endswith(f"- failed: accuracy | sparse coding: too slow\n\n{end}\n\nafter\n")
    accelerator.fill(tmp_path / "log", page)
    assert page.read_text() == once


def test_the_readme_of_the_benchmarks_can_be_filled():
    text = accelerator.PAGE.read_text(encoding="utf-8")
    assert all(text.count(mark) == 1 for mark in accelerator.MARKS)


def test_kinds_of_copies_to_the_cpu_are_counted():
    x = torch.ones(3)
    assert measure.copies_to_cpu(lambda: x.sum().item() + bool(x.any())) == 2
    assert measure.copies_to_cpu(lambda: x * 2 + x.clone()) == 0
