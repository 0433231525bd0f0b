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


KINDS = tuple(
    Kind(f"planted-{function.__name__}", f"planted:{function.__name__}", seconds=2, megabytes=50)
    for function in (passes, raises, differs, hangs, fills, dies)
)
