"""docs/coverage.md says what is so today: twelve of its networks, and the operations that its rows were made with."""

import re
from pathlib import Path

import pytest

pytest.importorskip("timm")
import coverage
import coverage_networks
import coverage_page

ROOT = Path(__file__).parents[2]
ROWS = coverage.read(ROOT / "benchmarks" / "coverage.jsonl")
STEP = re.compile(r"through '.*?' \((.*?)\)")
TWELVE = [
    "torchvision:squeezenet1_1", "torchvision:resnet18", "torchvision:shufflenet_v2_x0_5", "torchvision:mnasnet0_5",
    "torchvision:alexnet", "timm:dla46_c", "timm:convnext_atto", "timm:tinynet_d", "timm:starnet_s050",
    "timm:legacy_seresnet18", "timm:resnet10t", "timm:repvgg_a0",
]  # fmt: skip
OTHERS = [name for name in ROWS if name.startswith(("torchvision:", "timm:")) and name not in TWELVE]


def outcomes(row: dict) -> dict:
    """Of each way and each thing carried down: right, wrong, or the step at which it was refused."""
    if "capture" in row:
        return {"capture": row["capture"]}
    return {
        (way, what): STEP.findall(value)[:1] or value if isinstance(value, str) else value <= row["limit"]
        for way in coverage.WAYS
        for what, value in row[way].items()
    }


@pytest.mark.parametrize("name", [*TWELVE, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_a_networks_row_is_what_comes_out_today(name: str):
    row = coverage.row_of(name)
    assert outcomes(row) == outcomes(ROWS[name]), "run `make coverage` and look at what has changed"
    assert all(coverage_page.verdict(row, way) in ("right", "refused") for way in coverage.WAYS)


def test_the_rows_were_made_with_todays_operations():
    stale = [name for name, row in ROWS.items() if row["table"] != coverage.table_of_operations()]
    assert not stale, "the table of operations has changed: run `make coverage`"


def test_every_network_has_a_row_and_none_is_wrong():
    assert set(ROWS) == set(coverage.names()) | set(coverage_networks.PACKAGES)
    verdicts = {
        coverage_page.verdict(row, way) for row in ROWS.values() if "unusable" not in row for way in coverage.WAYS
    }
    assert verdicts == {"right", "refused"}


def test_the_page_is_that_of_the_rows():
    assert (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8") == coverage_page.page(list(ROWS.values()))


def test_the_operations_hash_changes_with_a_row():
    today = coverage.table_of_operations()
    assert today == coverage.table_of_operations()
    rows = coverage.operations.rows
    changed = {name: row for name, row in rows.items() if name != "aten.conv2d"}
    assert len(changed) < len(rows)
    assert coverage.table_of_operations(changed) != today


def test_a_wrong_row_is_called_wrong():
    row = {"limit": 1e-5, "deconvnet": {"class": 2e-5, "layer1": 1e-7}}
    assert coverage_page.verdict(row, "deconvnet") == "WRONG"
    assert coverage_page.verdict(row, "deconvnet", "layer1") == "right"
    assert (
        coverage_page.verdict(row | {"deconvnet": {"class": "FOREIGN ValueError: x", "a": 1.0}}, "deconvnet")
        == "FOREIGN"
    )
