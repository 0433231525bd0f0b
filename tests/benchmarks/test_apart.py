"""A row that fails, hangs or dies loses none of the others."""

import os
import sys
import time
from pathlib import Path

import pytest
from apart import rows_apart

SCRIPT = """
import json, os, subprocess, sys, time
print("words of a library")
for name in sys.argv[1:]:
    if name == "hangs":
        child = subprocess.Popen(["sleep", "60"])
        open("child", "w").write(str(child.pid))
        time.sleep(60)
    if name == "dies":
        print("words before", file=sys.stderr)
        print("the last words", file=sys.stderr)
        os._exit(3)
    row = {"row": name, "process": os.getpid()}
    if name in ("fails", "fails badly"):
        row["failed"] = "as it was to"
    if name == "fails badly":
        row["fatal"] = True
    print(json.dumps(row), flush=True)
    if "fatal" in row:
        break
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return [sys.executable, "script.py"]


def test_rows_come_in_order_from_one_process(call: list[str]):
    rows = list(rows_apart(call, {"a": 20, "fails": 20, "b": 20}))
    assert [row["row"] for row in rows] == ["a", "fails", "b"]
    assert rows[1]["failed"] == "as it was to" and rows[0]["process"] == rows[2]["process"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [("hangs", "stopped after 0 s"), ("dies", "exit code 3: the last words"), ("fails badly", "as it was to")],
)
def test_another_process_goes_on_with_the_rest(call: list[str], bad: str, words: str):
    rows = list(rows_apart(call, {"a": 20, bad: 0.3 if bad == "hangs" else 20, "b": 20, "c": 20}))
    assert [row["row"] for row in rows] == ["a", bad, "b", "c"]
    assert rows[1]["failed"] == words
    assert rows[0]["process"] != rows[2]["process"] == rows[3]["process"]


def test_what_a_stopped_process_started_ends_with_it(call: list[str]):
    list(rows_apart(call, {"a": 20, "hangs": 1}))
    child = int(Path("child").read_text())
    for _ in range(100):
        if not _runs(child):
            return
        time.sleep(0.05)
    pytest.fail("the child still runs")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("bad", ["dies", "fails badly"])
def test_nothing_is_begun_anew_where_the_first_row_cannot_be_measured(call: list[str], bad: str):
    rows = list(rows_apart(call, {bad: 20, "a": 20, "b": 20}))
    assert [row["failed"] for row in rows[1:]] == [f"not begun: {bad} has failed"] * 2


def test_rows_are_listed_that_the_time_did_not_suffice_for(call: list[str]):
    rows = list(rows_apart(call, {"a": 20, "b": 20}, total=0))
    assert [row["failed"] for row in rows] == ["not begun: the 0 s for all rows were over"] * 2
