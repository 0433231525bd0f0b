"""Every row of `accelerator.py` runs, tiny and on the CPU; what only a GPU runs is kept small."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import accelerator
import accelerator_rows
import pytest
import torch
from accelerator_plan import plan

PLAN = plan(quick=True)
QUICK = ["classes | SqueezeNet 1.1", "coding | sparse coding", "accuracy | sparse coding"]
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
    assert set(columns) - set(row) <= {"what", "ten lines, graph ms"}
    assert "nan" not in accelerator.line(accelerator.cells(row, columns))


def test_some_rows_run_one_after_another(tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: None):
    for name, row in zip(QUICK, measured(QUICK, tmp_path, capsys), strict=True):
        check_row(name, row)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PLAN if name != "machine" and name not in QUICK])
def test_every_row_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: None):
    check_row(name, measured([name], tmp_path, capsys)[0])


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
    assert "device: a card\n" in printed.out and "| a | 4 | 1.0e-06 | 2.0e-06 |\n" in printed.out
    assert "| c | 1.00 | - | - | - | 0.5 | - | - | - |\n" in printed.out
    assert [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()] == rows


def test_kinds_of_copies_to_the_cpu_are_counted():
    x = torch.ones(3)
    assert accelerator_rows._copies_to_cpu(lambda: x.sum().item() + bool(x.any())) == 2
    assert accelerator_rows._copies_to_cpu(lambda: x * 2 + x.clone()) == 0
