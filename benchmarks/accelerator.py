"""All that is to be fast on an accelerator, in four minutes: accuracy, classes, units, sparse coding, the atlas.

    python benchmarks/accelerator.py --log rows.jsonl        # on the first CUDA device
    python benchmarks/accelerator.py --fill rows.jsonl       # put what was measured into benchmarks/README.md
    python benchmarks/accelerator.py --device cpu --quick    # everything tiny: whether it works

Needs PyTorch, torchvision and the package, and uses Captum where it is installed. Weights are random (batch norm with
statistics that fit), photos scikit-image's. Every figure is taken side by side in one process, after the results were
compared, with a clock that waits for the device. The rows of accuracy come first, with PyTorch's flags for TF32
untouched; all others run with TF32 off. A row or a column that fails, or a row that takes too long, is named on stderr
and loses no other; the exit code is then 1.
"""

import argparse
import gc
import json
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from accelerator_plan import LIMIT, plan
from apart import Row, in_words, rows_apart

TOTAL_SECONDS = 235.0
PAGE, MARKS = Path(__file__).with_name("README.md"), ("<!-- accelerator.py -->", "<!-- end of accelerator.py -->")
TABLES: dict[str, tuple[str, Mapping[str, str]]] = {
    "accuracy": (
        "Largest error against float64, over the largest value, with PyTorch's own flags for TF32. \"Number\" counts "
        "units, classes, images, or of a scan layers times photos.",
        {"what": "", "number": "d", "median": ".1e", "largest": ".1e", "ten lines, largest": ".1e"},
    ),
    "classes": (
        "A class of one photo, ms. The aim is the largest ratio of ours to the ten lines, both eager.",
        {"network": "", "forward ms": ".2f", "ours ms": ".2f", "ten lines ms": ".2f", "ratio": ".2f", "aim": "",
         "ours, graphs ms": ".2f", "ten lines, graph ms": ".2f", "Captum ms": ".2f", "Captum's picture": ""},
    ),
    "units": (
        "Units of one photo, each map's strongest, ms. The ratio is that of the ten lines to `auto`.",
        {"network": "", "layer": "", "units": "d", "forward ms": ".2f", "auto ms": ".2f", "auto, graphs ms": ".2f",
         "windowed ms": ".2f",
         "dense ms": ".2f", "ten lines ms": ".2f", "ten lines": "", "ratio": ".1f", "aim": "", "Captum ms": ".0f",
         "Captum ratio": ".0f", "in windows": "", "auto beside best": ".2f", "other switch": "d"},
    ),
    "coding": (
        "Sparse coding of 32 filters of 8x8 on images of 256x256 at once, 40 iterations.",
        {"images": "d", "ms an image": ".2f", "aim": "", "arrays once, ms an image": ".3f",
         "objective beside float64's": ".1e", "copies to the CPU in an iteration": ".2f"},
    ),
    "learning": (
        "An update of 32 filters of 7x7 by `fit`, 30 iterations, from images of 150x150.",
        {"boundary": "", "images": "d", "ms an update": ".2f", "batch once, ms": ".3f",
         "copies to the CPU in an update": ".2f"},
    ),
    "atlas": (
        "A whole atlas, pictures included, s.",
        {"network": "", "layers": "", "photos": "d", "workers": "d", "s": ".1f", "aim": "", "scan s": ".1f",
         "project s": ".1f", "write s": ".1f"},
    ),
    "scan": (
        "The scan of an atlas beside a bare loop (decode, batch, forward) with as many workers, photos a second.",
        {"network": "", "workers": "d", "photos": "d", "batch": "d", "scan, photos a second": ".0f",
         "bare loop, photos a second": ".0f", "bare loop's batch": "d", "ratio": ".2f", "aim": ""},
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="as PyTorch names it")
    parser.add_argument("--quick", action="store_true", help="everything tiny, to see whether it works")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORDS", help="rows whose names hold any of these")
    parser.add_argument("--log", type=Path, help="file that gets each row as a line of JSON as soon as it is measured")
    parser.add_argument("--fill", type=Path, metavar="LOG", help="measure nothing: put a log into the README")
    parser.add_argument("--seconds", type=float, default=TOTAL_SECONDS, help="for all rows; those left are listed")
    parser.add_argument("--measure", nargs="*", help=argparse.SUPPRESS)  # the process apart: its rows
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        measure(given.device, given.folder, given.quick, given.measure)
        return
    if given.fill is not None:
        fill(given.fill, PAGE)
        return
    if given.quick:
        print("Everything tiny: the figures say nothing about speed.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the process apart and the photos go too
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, str(Path(__file__).resolve()), "--device", given.device, "--folder", folder]
        limits = {
            name: LIMIT
            for name in plan(quick=given.quick)
            if name == "machine" or not given.only or any(words in name for words in given.only)
        }
        rows = rows_apart([*call, *["--quick"] * given.quick, "--measure"], limits, total=given.seconds)
        failed = report(rows, given.log)
    print(f"\n{time.monotonic() - began:.0f} s in all, {len(failed)} of {len(limits)} rows failed")
    sys.exit(1 if failed else 0)


def report(rows: Iterable[Row], log: Path | None) -> list[Row]:
    """Print each row in its table, or why it failed, and write it to the log; those that failed."""
    failed, printed = [], ""
    for row in rows:
        if log is not None:
            with log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
        if "failed" in row:
            failed.append(row)
            print(f"{row['row']}: {row['failed']}", file=sys.stderr, flush=True)
            continue
        print("\n".join(lines_of(row, printed)), flush=True)
        printed = table_of(row)
        if left_out := list(left_out_of(row)):
            failed.append(row)
            print("\n".join(left_out), file=sys.stderr, flush=True)
    return failed


def table_of(row: Row) -> str:
    """The name of its table."""
    return str(row["row"]).partition(" | ")[0]


def left_out_of(row: Row) -> Iterator[str]:
    """The columns that could not be measured, and why."""
    yield from (f"{row['row']}, {column}: {reason}" for column, reason in row.get("left out", {}).items())


def lines_of(row: Row, before: str) -> Iterator[str]:
    """A row in Markdown, under the head of its table if the row before it was of another one."""
    if table_of(row) == "machine":
        yield from (f"- {what}: {value}" for what, value in row.items() if what not in ("row", "took s", "left out"))
        return
    title, columns = TABLES[table_of(row)]
    if before != table_of(row):
        yield from ("", title, "", line(columns), line(["---"] * len(columns)))
    yield line(cells({"what": row["row"].partition(" | ")[2], **row}, columns))


def fill(log: Path, page: Path) -> None:
    """Write what a log holds between the two marks of a page; of rows of one name the last one counts."""
    rows = {row["row"]: row for row in map(json.loads, log.read_text(encoding="utf-8").splitlines())}
    lines, before = [], ""
    for name in (name for name in plan() if name in rows and "failed" not in rows[name]):
        lines += lines_of(rows[name], before)
        before = table_of(rows[name])
    lines += ["", *(f"- failed: {name}: {row['failed']}" for name, row in rows.items() if "failed" in row)]
    lines += [f"- failed: {words}" for row in rows.values() for words in left_out_of(row)]
    head, rest = page.read_text(encoding="utf-8").split(MARKS[0])
    text = "\n".join([head + MARKS[0], "", *lines]).rstrip()
    page.write_text(f"{text}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


def cells(row: Row, columns: Mapping[str, str]) -> list[str]:
    """What stands in the columns: a dash where nothing was measured."""
    return [format(row[name], form) if name in row else "-" for name, form in columns.items()]


def line(texts: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(texts)} |"


def measure(device: str, folder: Path, quick: bool, names: list[str]) -> None:
    """Print each of these rows as a line of JSON as soon as it is measured."""
    import accelerator_rows
    import torch

    warnings.simplefilter("ignore")
    planned, setting = plan(quick=quick), accelerator_rows.Setting(device, folder, quick)
    if (index := torch.device(device).index) is not None:
        torch.accelerator.set_device_index(index)  # which the clocks wait for
    for name in names:
        if planned[name].table not in ("machine", "accuracy"):
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        began = time.monotonic()
        try:
            row = getattr(accelerator_rows, planned[name].function)(setting, *planned[name].arguments)
        except Exception as fault:
            row = {"failed": in_words(fault), "traceback": traceback.format_exc()}
        if ("failed" in row or "left out" in row) and not _usable(device):
            row["fatal"] = True
        print(json.dumps({"row": name, "took s": round(time.monotonic() - began, 2), **row}), flush=True)
        if "fatal" in row:
            return


def _usable(device: str) -> bool:
    """Whether anything can still be computed there: after some faults nothing can until the process ends."""
    import torch

    gc.collect()
    try:
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
        return float(torch.ones(8, device=device).sum()) == 8
    except Exception:
        return False


if __name__ == "__main__":
    main()
