"""The benchmarks are scripts that import each other."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torchvision")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
