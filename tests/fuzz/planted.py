"""Faults on purpose, one of each sort that the fuzzer has to find; its own tests run them."""

import os
import signal
import time
from pathlib import Path
from random import Random

import numpy as np

from fuzz.table import Fault, Kind


def passes(random: Random, folder: Path) -> str:
    return "passed"


def raises(random: Random, folder: Path) -> str:
    raise ValueError(f"planted {random.randrange(1000)}")


def differs(random: Random, folder: Path) -> str:
    raise Fault("planted: the result is another one")


def hangs(random: Random, folder: Path) -> str:
    time.sleep(1000)
    return "slept"


def fills(random: Random, folder: Path) -> str:
    np.ones(100 << 17).sum()  # 100 MB
    return "filled"


def dies(random: Random, folder: Path) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "died"


def forgets(random: Random, folder: Path) -> str:
    """A run that is killed and not resumed: it begins anew in the file that it left."""
    from fuzz import kills  # the others need no torch

    def run(photos: Path, out: Path, resume: bool) -> None:
        out.mkdir(exist_ok=True)
        with (out / "result").open("a") as file:
            file.write("begun ")
            file.flush()
            time.sleep(0.3)

    kills.check(Random(5), run, folder, folder / "out", {"result": b"begun "})
    return "finished"


KINDS = (
    *(Kind(f"planted-{function.__name__}", f"planted:{function.__name__}") for function in (passes, raises, differs)),
    Kind("planted-hangs", "planted:hangs", seconds=2),
    Kind("planted-fills", "planted:fills", megabytes=80),
    Kind("planted-dies", "planted:dies"),
    Kind("planted-forgets", "planted:forgets"),
)
